"""Each benchmark still runs: `--quick` is the same code at a tiny size. How long it takes is not looked at."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent / "benchmarks"
QUICK = sorted(path for path in BENCHMARKS.glob("*.py") if '"--quick"' in path.read_text(encoding="utf-8"))


@pytest.mark.slow
@pytest.mark.parametrize("path", QUICK, ids=lambda path: path.stem)
def test_a_benchmark_runs(path, tmp_path):
    done = subprocess.run(
        [sys.executable, path, "--quick"], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    if "not run:" in done.stdout:  # it needs a made shop, or photographs: let the report say so
        pytest.skip(done.stdout.strip().splitlines()[-1])
