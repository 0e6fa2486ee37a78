"""Each benchmark still runs: `--quick` is the same code at a tiny size. How long it takes is not looked at."""

import fcntl
import os
from pathlib import Path

import pytest

import small_gift_shop
from forked import script_forked

BENCHMARKS = Path(__file__).parent / "benchmarks"
QUICK = sorted(path for path in BENCHMARKS.glob("*.py") if '"--quick"' in path.read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def shop(tmp_path_factory):
    """A small gift shop, made once for all processes of the tests."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "small gift shop"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "made").exists():
            done = script_forked(small_gift_shop.__file__, folder, cwd=folder)
            assert done.code == 0, done.err
            (folder / "made").touch()
    return folder


def made_of(shop):
    """What the shop and its student are made of; caches and locks may change."""
    kept = (shop, shop / "backbone", shop / ".vdistill" / "student", shop / ".vdistill" / "reports")
    return {path: path.read_bytes() for folder in kept for path in folder.glob("*") if path.is_file()}


@pytest.mark.slow
@pytest.mark.parametrize("path", QUICK, ids=lambda path: path.stem)
def test_a_benchmark_runs(path, tmp_path, request):
    needs_shop = "made_shop" in path.read_text(encoding="utf-8")
    environment = {"MADE_SHOP": str(request.getfixturevalue("shop"))} if needs_shop else None
    before = made_of(request.getfixturevalue("shop")) if needs_shop else None
    done = script_forked(path, "--quick", cwd=tmp_path, environment=environment)
    assert done.code == 0, done.err
    assert done.err.strip()
    if needs_shop:
        assert made_of(request.getfixturevalue("shop")) == before, "it changed the shop that it measures"
    if "not run:" in done.err:  # it needs photographs or further packages: let the report say so
        pytest.skip(done.err.strip().splitlines()[-1])
