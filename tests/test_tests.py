"""The tests themselves."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
# Of `time` itself, of `module.time`, or of a path of names that ends in one of `time`.
CLOCK_OF_ALL = re.compile(r"setattr\(\s*(?:(?:\w+\.)*time\s*,|[\"'](?:\w+\.)*time\.\w+[\"'])")


@pytest.mark.parametrize("path", sorted(TESTS.rglob("*.py")), ids=lambda path: path.relative_to(TESTS).as_posix())
def test_no_test_sets_the_clock_of_the_whole_process(path):
    """Servers of other tests run in threads beside it, and would wait for a time that does not come."""
    assert not CLOCK_OF_ALL.findall(path.read_text(encoding="utf-8")), "give the module under test a `time` of its own"
