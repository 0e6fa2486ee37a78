"""Each benchmark still runs: `--quick` is the same code at a tiny size. How long it takes is not looked at."""

from pathlib import Path

import pytest

from forked import script_forked

BENCHMARKS = Path(__file__).parent / "benchmarks"
QUICK = sorted(path for path in BENCHMARKS.glob("*.py") if '"--quick"' in path.read_text(encoding="utf-8"))


@pytest.mark.slow
@pytest.mark.parametrize("path", QUICK, ids=lambda path: path.stem)
def test_a_benchmark_runs(path, tmp_path):
    done = script_forked(path, "--quick", cwd=tmp_path)
    assert done.code == 0, done.err
    assert done.err.strip()
    if "not run:" in done.err:  # it needs a made shop, or photographs: let the report say so
        pytest.skip(done.err.strip().splitlines()[-1])
