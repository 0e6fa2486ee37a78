"""What the tests of labelling have in common."""

import pytest

from command_line import QUERIES
from truth_servers import Truth


@pytest.fixture(autouse=True)
def judging_alone(monkeypatch):
    """Servers of these tests are asked to judge, and for other wordings only where a test says so."""
    monkeypatch.setenv("VDISTILL_PARAPHRASES", "0")


@pytest.fixture
def truth(catalog):
    return Truth(catalog)


@pytest.fixture
def home(tmp_path, catalog):
    """Catalog, queries, and prices: 0.0335 dollars for a call with four images, 0.00178 for a score."""
    (tmp_path / "queries.txt").write_text("\n".join(QUERIES) + "\n")
    (tmp_path / "vdistill.toml").write_text('[prices]\n"vlm" = [10, 10]\n"rr" = [2, 0]\n')
    return tmp_path
