"""Which weights are kept and published: nothing that is worse than the backbone, and nothing that forgot too much."""

import contextlib
import csv
import dataclasses
import sqlite3
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from command_line import QUERIES, vdistill
from trainings import TRAIN, facts, trained, weights
from vdistill.database import Database
from vdistill.distill import held_out, loop
from vdistill.distill.validation import Scores, Validation
from vdistill.images import decode, load
from vdistill.inputs.split import split_of

BACKBONE = [0.3, 0.4, 0.5]


@pytest.fixture
def script(monkeypatch):
    """What validation finds after each epoch: (nDCG, lost). Returns the weights of the epochs as they come."""

    def write(*scores):
        told, seen = iter(scores), []

        def with_backbone(self, _):
            return dataclasses.replace(self, backbone=BACKBONE, known=0.9)

        def found(self):
            ndcg, lost = next(told)
            seen.append(self._weights())
            return Scores([ndcg - 0.1, ndcg, ndcg + 0.1 + 0.02 * (ndcg == 0.89)], lost)

        monkeypatch.setattr(Validation, "with_backbone", with_backbone)
        monkeypatch.setattr(loop.Loop, "_scores", found)
        return seen

    return write


def is_student(home, weights):
    saved = load_file(home / ".vdistill" / "student" / "adapter_model.safetensors")
    return all(torch.equal(saved[name.replace(".default", "")], value) for name, value in weights.items())


def test_the_last_epoch_that_is_not_clearly_worse_is_kept(home, script):
    seen = script((0.5, 0), (0.9, 0), (0.89, 0), (0.7, 0))
    assert trained(home, "--refit", 0).json["kept_epoch"] == 3
    assert is_student(home, seen[2])


def test_an_epoch_that_forgot_too_much_is_not_kept_however_well_it_ranks(home, script):
    seen = script((0.5, 0.02), (0.6, 0.09), (0.9, 0.11), (0.95, 0.2))
    trained(home, "--refit", 0)
    assert is_student(home, seen[1])
    assert facts(home)["kept_epoch"] == 2
    assert facts(home)["validation"] == {"backbone": pytest.approx(0.4), "student": pytest.approx(0.6)}
    assert "epoch 2" in (home / ".vdistill" / "student" / "README.md").read_text()


def test_patience_counts_epochs_in_a_row_that_are_not_kept(home, script):
    """Two in a row end it, three with a good one between do not; what forgot too much is not kept either."""
    script((0.5, 0), (0.4, 0), (0.5, 0), (0.4, 0), (0.6, 0.15), (0.9, 0))
    trained(home, "--epochs", 9, "--patience", 2, "--refit", 0)
    assert len(facts(home)["history"]) == 5
    script(*[(0.5, 0)] + [(0.4, 0)] * 8)
    trained(home, "--epochs", 9, "--patience", 0, "--refit", 0)
    assert len(facts(home)["history"]) == 9


def test_ruin_after_an_early_epoch_starts_over_at_a_third_of_the_rate(home, script, monkeypatch):
    rates = []
    update = loop.Loop._update

    def noted(self, done):
        update(self, done)
        rates.append(self.optimizer.param_groups[0]["lr"])

    monkeypatch.setattr(loop.Loop, "_update", noted)
    script((0.9, 0.6), (0.9, 0.3), *[(0.5, 0.0)] * 4)
    done = trained(home, "--lr", 0.09, "--refit", 0)
    each = len(rates) // 6
    assert [max(rates[at : at + each]) for at in (0, each)] == pytest.approx([max(rates), max(rates) / 3], rel=0.01)
    assert "epoch 1 lost 0.60" in done.err
    assert "0.03" in done.err
    assert [one["lost"] for one in done.json["restarts"]] == [0.6, 0.3]
    assert [one["lr"] for one in done.json["restarts"]] == pytest.approx([0.09, 0.03])
    assert [one["epoch"] for one in facts(home)["history"]] == [1, 2, 3, 4]
    started_over = weights(home)
    script(*[(0.5, 0.0)] * 4)
    trained(home, "--lr", 0.01, "--refit", 0)
    assert weights(home) == started_over, "as if the smaller rate had been given"


def test_late_losses_start_nothing_over(home, script):
    script((0.9, 0.0), (0.9, 0.3), (0.9, 0.0), (0.9, 0.0))
    assert trained(home, "--refit", 0).json["restarts"] == []


def test_a_training_that_started_over_goes_on_after_an_interruption(home, script, monkeypatch):
    scores = [(0.9, 0.6), (0.9, 0.3), (0.5, 0.0), (0.6, 0.0), (0.6, 0.0), (0.6, 0.0), (0.6, 0.0)]
    script(*scores)
    trained(home)
    whole, known = weights(home), facts(home)
    for epochs in (1, 3, 5):
        script(*scores[:epochs], *scores[epochs:])
        with monkeypatch.context() as patch:
            interrupt_after(patch, epochs)
            trained(home, code=130)
        script(*scores[epochs:])
        trained(home)
        assert weights(home) == whole
        assert facts(home)["restarts"] == known["restarts"]
        assert facts(home)["history"] == known["history"]


def interrupt_after(patch, epochs):
    """Ctrl-C in the first step after so many epochs."""
    begin, made = loop.Loop.epoch, []

    def epoch(self):
        if len(made) == epochs:
            raise KeyboardInterrupt
        made.append(1)
        begin(self)

    patch.setattr(loop.Loop, "epoch", epoch)


def test_a_refit_that_does_harm_is_left_out(home, script):
    seen = script(*[(0.6, 0.0)] * 4, (0.5, 0.0))
    done = trained(home)
    assert is_student(home, seen[3])
    assert "made the student worse" in done.err
    assert (done.json["kept_epoch"], len(facts(home)["history"])) == (4, 5)
    seen = script(*[(0.6, 0.0)] * 4, (0.7, 0.2))
    trained(home)
    assert is_student(home, seen[3]), "one that forgets is as bad"
    seen = script(*[(0.6, 0.0)] * 4, (0.61, 0.0))
    assert trained(home).json["kept_epoch"] == 5
    assert is_student(home, seen[4])


def test_where_no_epoch_is_as_good_as_the_backbone_nothing_is_published(home, script, monkeypatch):
    script(*[(0.6, 0.0)] * 5)
    trained(home, "--seed", 1)
    before = weights(home)
    script(*[(0.3, 0.0)] * 4)
    done = trained(home, code=3)
    assert "no epoch was as good as the backbone" in done.err
    assert "--keep-anyway" in done.err
    assert not done.json["published"]
    assert done.json["kept_epoch"] == 0
    assert set(done.json["heldout"]) == {"backbone", "student"}, "with the table"
    assert weights(home) == before
    monkeypatch.setattr(loop.Loop, "epoch", None)
    assert trained(home, "--keep-anyway").json["published"], "without training again"
    assert weights(home) != before
    assert "no epoch was as good as the backbone" in (home / ".vdistill" / "student" / "README.md").read_text()


def test_too_few_judgments_to_validate_are_watched_by_titles(home):
    few_queries(home)
    done = trained(home, "--epochs", 2)
    assert "the titles of " in done.err
    for epoch in facts(home)["history"]:
        assert "validation_ndcg@10" not in epoch
        assert -1 < epoch["validation_lost"] < 1
        assert epoch["retention"] >= 0.2, "titles that train do not tell that less would do"


def test_a_small_catalog_that_forgets_its_titles_publishes_nothing(home, script):
    few_queries(home)
    script_titles = [Scores([], 0.2)] * 9
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.Loop, "_scores", lambda _: script_titles.pop())
        done = trained(home, code=3)
    assert "titles" in done.err
    assert not (home / ".vdistill" / "student").exists()


def few_queries(home):
    with Database.open(home / ".vdistill" / "vdistill.db") as database:
        chosen = sorted({one.query for one in database.judgments("train")})[:3]
    placeholders = ",".join("?" * len(chosen))
    with contextlib.closing(sqlite3.connect(home / ".vdistill" / "vdistill.db")) as connection, connection:
        connection.execute(f"DELETE FROM judgments WHERE split = 'train' AND query NOT IN ({placeholders})", chosen)


def test_a_student_surely_worse_than_its_backbone_is_refused_with_the_table(labelled, tmp_path, clip_encoder):
    """Held-out judgments prefer what the backbone prefers, training judgments the opposite."""
    home = tmp_path
    write_scores_of(clip_encoder, labelled / "catalog", home / "scores.csv")
    label = ["label", labelled / "catalog", "--teacher", "table:scores.csv", "--holdout", 0.4, "--queries",
             labelled / "queries.txt", "--images-per-call", 4, "--budget", 800]  # fmt: skip
    assert vdistill(*label, "--backbone", clip_encoder.source, cwd=home).code == 0
    trained(home, "--epochs", 1, "--lr", 1e-9, "--validation", 0)
    before = weights(home)
    ruin = ["--lr", 0.03, "--validation", 0]
    done = trained(home, *ruin, code=3)
    assert "on held-out queries the student is worse than its backbone: nDCG@10" in done.err
    assert done.json["heldout"]["student"]["ndcg@10"] < done.json["heldout"]["backbone"]["ndcg@10"] - 0.1
    assert weights(home) == before
    plain = [argument for argument in TRAIN if argument != "--json"]
    said = vdistill(*plain, *ruin, cwd=home)
    assert said.code == 3
    assert "ndcg@10" in said.out
    assert trained(home, *ruin, "--keep-anyway").json["objection"] in done.err
    assert weights(home) != before


def write_scores_of(encoder, catalog, path):
    paths = sorted(catalog.glob("*.png"))
    images = encoder.encode_images(encoder.preprocessing.stack([encoder.preprocessing(load(one, 64)) for one in paths]))
    scores = encoder.encode_texts(QUERIES) @ images.T
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["query", "item", "score"])
        for query, found in zip(QUERIES, scores.argsort(axis=1).argsort(axis=1), strict=True):
            sign = 1 if split_of("query", query, 0.4) == "heldout" else -1
            rows.writerows([query, one.name, sign * rank] for one, rank in zip(paths, found.tolist(), strict=True))


def test_a_large_held_out_set_is_bounded_and_read_only_after_the_training(home, monkeypatch):
    opened = []
    as_before = decode.Image.open

    def noted(file, **more):
        opened.append(Path(getattr(file, "name", "")).name)
        return as_before(file, **more)

    monkeypatch.setattr(decode.Image, "open", noted)
    monkeypatch.setattr(held_out, "MOST_IMAGES", 10)
    held = few_held_out_judgments(home)
    with monkeypatch.context() as patch:
        patch.setattr(loop.Loop, "epoch", interrupted)
        trained(home, code=130)
    assert opened
    assert not held.intersection(opened), "the held-out set is read after the training"
    done = trained(home)
    assert "the student is measured on" in done.err
    assert f"of the {len(held)} held-out images" in done.err
    assert 10 <= len(held.intersection(opened)) < len(held)
    assert 0 <= done.json["heldout"]["student"]["literal_recall@10"] <= 1


def few_held_out_judgments(home):
    """The held-out images; all but two of the calls about them are forgotten."""
    with Database.open(home / ".vdistill" / "vdistill.db") as database:
        found = database.judgments("heldout")
    with contextlib.closing(sqlite3.connect(home / ".vdistill" / "vdistill.db")) as connection, connection:
        few = "SELECT rowid FROM judgments WHERE split = 'heldout' LIMIT 2"
        connection.execute(f"DELETE FROM judgments WHERE split = 'heldout' AND rowid NOT IN ({few})")
    return {item for one in found for item in one.items}


def interrupted(_):
    raise KeyboardInterrupt
