"""`--seeds N`: trainings that differ in their seed alone; the best in validation is published, the spread is said."""

import pytest

from command_line import vdistill
from trainings import TRAIN, facts, trained, weights
from vdistill.distill import job
from vdistill.distill.phases import Trained
from vdistill.distill.seeds import Outcome, best_of

SHORT = ("--refit", 0, "--epochs", 2)


@pytest.fixture
def seeds_trained(monkeypatch):
    """The seeds that were trained in this process."""
    seen, train = [], job.train

    def noted(training, checkpoint):
        seen.append(training.settings.seed)
        return train(training, checkpoint)

    monkeypatch.setattr(job, "train", noted)
    return seen


def test_the_best_in_validation_is_published_with_the_spread_of_all(home, seeds_trained, tmp_path):
    done = trained(home, *SHORT, "--seeds", 3)
    rows = done.json["seeds"]
    assert seeds_trained == [one["seed"] for one in rows] == [0, 1, 2]
    best = max(rows, key=lambda one: one["validation"])
    known = facts(home)
    assert known["seed"] == best["seed"]
    assert known["seeds"] == rows
    assert done.json["heldout"]["student"]["ndcg@10"] == best["heldout"]["student"]["ndcg@10"]
    assert len({one["validation"] for one in rows}) > 1
    card = (home / ".vdistill" / "student" / "README.md").read_text()
    assert f"the best in validation, seed {best['seed']}, is this one" in card
    published = weights(home)
    trained(home, *SHORT, "--seed", best["seed"])
    assert weights(home) == published, "as it would have been alone"


def test_interrupted_it_goes_on_with_the_next_seed(home, seeds_trained, monkeypatch):
    write = job.Kept.write

    def interrupted(self, outcome):
        write(self, outcome)
        if outcome.seed == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(job.Kept, "write", interrupted)
        assert vdistill(*TRAIN, *SHORT, "--seeds", 3, cwd=home).code == 130
    assert seeds_trained == [0, 1]
    trained(home, *SHORT, "--seeds", 3)
    assert seeds_trained == [0, 1, 2]
    assert not (home / ".vdistill" / "cache" / "seeds").exists()


def test_people_read_how_much_is_luck(home):
    command = [one for one in TRAIN if one != "--json"]
    done = vdistill(*command, *SHORT, "--seeds", 2, cwd=home)
    assert done.code == 0, done.err
    assert "2 seeds" in done.out
    low, high = sorted(one["heldout"]["student"]["ndcg@10"] for one in facts(home)["seeds"])
    assert f"({low:.3f} to {high:.3f})" in done.out


def test_a_seed_that_was_not_kept_is_not_published_before_one_that_was():
    kept = Outcome(1, "", Trained(0, [], 3, [], [0.5], [0.545], 1e-3), None, {})
    lost = Outcome(0, "", Trained(0, [], 0, [], [0.55], [0.55], 1e-3), None, {})
    assert best_of([lost, kept]) is kept
