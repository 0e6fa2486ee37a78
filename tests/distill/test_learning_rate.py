"""`--lr auto`: short trainings choose the rate, once, and an interrupted search goes on."""

import shutil

import pytest

from command_line import vdistill
from trainings import TRAIN, facts, trained
from vdistill.distill import learning_rate
from vdistill.distill.learning_rate import CAUTIOUS, RATES
from vdistill.distill.loop import Loop

AUTO = ("--lr", "auto", "--refit", 0, "--epochs", 8)


@pytest.fixture
def attempts(monkeypatch):
    """The rates that were tried in this process."""
    seen, attempt = [], Loop.attempt

    def noted(self, lr, count):
        seen.append(lr)
        return attempt(self, lr, count)

    monkeypatch.setattr(Loop, "attempt", noted)
    return seen


@pytest.fixture(scope="module")
def found(labelled, tmp_path_factory):
    """A training that chose its rate, and what it printed."""
    folder = tmp_path_factory.mktemp("found")
    shutil.copytree(labelled / ".vdistill", folder / ".vdistill")
    return folder, trained(folder, *AUTO).json


def test_the_rate_that_validates_best_trains(found):
    home, printed = found
    known = facts(home)
    trials = known["learning_rates"]
    assert sorted({one["lr"] for one in trials}) == list(RATES)
    first, last = trials[:6], trials[6:]
    best_two = sorted(first, key=lambda one: -one["validation_ndcg@10"])[:2]
    assert {one["lr"] for one in last} == {one["lr"] for one in best_two}
    best = max(last, key=lambda one: one["validation_ndcg@10"])
    expected = best["lr"] if best["validation_ndcg@10"] > known["validation"]["backbone"] else CAUTIOUS
    assert printed["lr"] == known["lr"] == expected
    assert known["settings"]["lr"] == "auto"
    card = (home / ".vdistill" / "student" / "README.md").read_text()
    assert f"rose to {expected:g}, by the short trainings below" in card
    assert f"| 0.001 | {first[0]['steps']} |" in card


def test_the_search_adds_no_more_than_its_share_of_the_steps(found):
    known = facts(found[0])
    taken = sum(one["steps"] for one in known["learning_rates"])
    per_epoch = -(-known["data"]["items"] // 40)
    assert taken <= max(learning_rate.SHARE * 8 * per_epoch, 12)


def test_it_is_the_training_that_the_rate_alone_would_have_given(home, found):
    alone = trained(home, "--lr", found[1]["lr"], *AUTO[2:]).json
    assert alone["heldout"] == found[1]["heldout"]


def test_an_interrupted_search_goes_on_where_it_was(home, attempts, monkeypatch):
    write = learning_rate.Finished.write

    def interrupted(self, trials):
        write(self, trials)
        if len(trials) == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(learning_rate.Finished, "write", interrupted)
        assert vdistill(*TRAIN, *AUTO, cwd=home).code == 130
    tried, attempts[:] = list(attempts), []
    trained(home, *AUTO)
    assert tried == list(RATES[:4])
    assert attempts[:2] == list(RATES[4:])
    assert len(attempts) == 4
    assert not (home / ".vdistill" / "cache" / "learning_rates.json").exists()


def test_a_rate_that_explodes_is_not_taken(home, monkeypatch):
    attempt = Loop.attempt

    def explosive(self, lr, count):
        return attempt(self, 1e20 if lr > 1e-4 else lr, count)

    monkeypatch.setattr(Loop, "attempt", explosive)
    assert trained(home, *AUTO).json["lr"] <= 1e-4


def test_with_too_little_validation_a_cautious_rate_is_taken_and_said(home):
    done = trained(home, "--lr", "auto", "--validation", 0, "--refit", 0)
    assert done.json["lr"] == CAUTIOUS
    assert "too little validation to choose a learning rate: 0.0001 is taken" in done.err


@pytest.mark.parametrize("value", ["fast", "-1", "nan", "inf"])
def test_a_rate_is_a_number_or_auto(home, value):
    done = vdistill(*TRAIN, "--lr", value, cwd=home)
    assert done.code == 2
    assert "neither a number from 0 nor auto" in done.err


def test_a_rate_of_the_settings_file_may_be_either(home):
    for value, expected in (("0.002", 0.002), ('"auto"', None)):
        (home / "vdistill.toml").write_text(f"[distill]\nlr = {value}\n")
        command = [one for one in TRAIN if one not in ("--lr", 1e-3)]
        done = vdistill(*command, "--refit", 0, "--epochs", 2, cwd=home)
        assert done.code == 0, done.err
        assert done.json["lr"] == (expected or done.json["lr"])
        assert bool(facts(home)["learning_rates"]) is (expected is None)
