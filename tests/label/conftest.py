"""What the tests of labelling have in common."""

import pytest


@pytest.fixture(autouse=True)
def judging_alone(monkeypatch):
    """Servers of these tests are asked to judge, and for other wordings only where a test says so."""
    monkeypatch.setenv("VDISTILL_PARAPHRASES", "0")
