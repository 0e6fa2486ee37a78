"""Training: validated, the same after an interruption, the same on two processes, and never half published."""

import contextlib
import json
import random
import shutil
import sqlite3
import subprocess
import sys
import time

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import AutoModel

import forked
import trainings
from command_line import QUERIES, errors, vdistill
from forked import vdistill_forked
from trainings import TRAIN, facts, interrupt_at, trained, weights
from vdistill.database import Database
from vdistill.distill import callbacks, loop, losses, validation
from vdistill.distill.settings import DistillSettings
from vdistill.encoders.student import open_student
from vdistill.workspace import at


@pytest.fixture(scope="module")
def uninterrupted(labelled, tmp_path_factory):
    home = tmp_path_factory.mktemp("uninterrupted")
    shutil.copytree(labelled / ".vdistill", home / ".vdistill")
    trained(home)
    return home


def test_each_epoch_is_validated_on_what_training_never_sees(uninterrupted):
    known = facts(uninterrupted)
    assert [epoch["epoch"] for epoch in known["history"]] == [1, 2, 3, 4, 5]
    for epoch in known["history"]:
        assert 0 <= epoch.get("validation_ndcg@10", 0) <= 1
        assert epoch["retention"] > 0
    with contextlib.closing(sqlite3.connect(uninterrupted / ".vdistill" / "vdistill.db")) as database:
        ((last,),) = database.execute("SELECT max(asked_at) FROM judgments").fetchall()
    assert last < known["judged_until"] < time.time(), "what is judged later did not teach it"
    student = uninterrupted / ".vdistill" / "student"
    assert (student / "learning_curve.png").read_bytes().startswith(b"\x89PNG")
    card = (student / "README.md").read_text()
    assert "learning_curve.png" in card
    assert "| ndcg@10 | 0." in card
    assert "[" in card.split("| ndcg@10 |")[1].splitlines()[0], "with intervals"


def test_images_of_one_product_validate_together_or_train_together(tmp_path, clip_folder, monkeypatch):
    trainings.label_shop(tmp_path, clip_folder, sku=lambda colour, shape, size: f"{colour} {shape}")
    taken, set_aside = [], validation.set_aside

    def noted(*arguments):
        taken.append(set_aside(*arguments))
        return taken[-1]

    monkeypatch.setattr(validation, "set_aside", noted)
    trained(tmp_path, "--epochs", 1, "--refit", 0)
    (found,) = taken
    validating, training = ({name[:-5] for name in names} for names in (found.items, found.training.items))
    assert len(validating) >= 4
    assert len(training) >= 10
    assert validating.isdisjoint(training)


def test_at_the_end_all_judgments_train_for_a_quarter_of_the_epochs(home, uninterrupted):
    known = facts(uninterrupted)
    assert ["validation_ndcg@10" in epoch for epoch in known["history"]] == [True] * 4 + [False]
    trained(home, "--refit", 0)
    without = facts(home)
    assert without["history"] == known["history"][:4]
    assert without["data"]["items"] < 96 * 0.85 < known["data"]["items"], "what validates trains at the end alone"
    assert without["data"]["queries"] < len(QUERIES) * 0.8 * 0.95 < known["data"]["queries"]
    trained(home, "--refit", 1)
    assert len(facts(home)["history"]) == 8


@pytest.mark.parametrize("moment", [1, 4, 7, -3, -1])
def test_an_interrupted_training_ends_in_the_same_weights(home, uninterrupted, monkeypatch, moment):
    interrupt_at(monkeypatch, moment)
    trained(home, code=130)
    assert not (home / ".vdistill" / "student").exists()
    trained(home)
    assert weights(home) == weights(uninterrupted)
    assert facts(home)["history"] == facts(uninterrupted)["history"]


def test_interrupted_while_all_judgments_train_it_goes_on_there(home, monkeypatch):
    trained(home, "--refit", 0.5)
    whole = weights(home), facts(home)["history"], facts(home)["strengths"]
    seen, stop = [], [True]
    advance = callbacks.Callbacks.__init__

    def watch(self, told, *others):
        def counted(progress):
            seen.append(progress.epoch)
            if progress.epoch == 6 and stop:
                stop.clear()
                raise KeyboardInterrupt
            told(progress)

        advance(self, counted, *others)

    monkeypatch.setattr(callbacks.Callbacks, "__init__", watch)
    trained(home, "--refit", 0.5, code=130)
    seen.clear()
    trained(home, "--refit", 0.5)
    assert set(seen) == {6}, "epoch 5 was kept"
    assert (weights(home), facts(home)["history"], facts(home)["strengths"]) == whole


def test_a_checkpoint_of_another_version_or_training_is_not_taken_up(home, uninterrupted, monkeypatch):
    monkeypatch.setattr("vdistill.distill.checkpoint.Checkpoint.remove", lambda _: None)
    trained(home, "--seed", 3)
    trained(home)
    assert weights(home) == weights(uninterrupted)
    saved = home / ".vdistill" / "cache" / "checkpoint.safetensors"
    with safe_open(saved, "pt") as file:
        known = file.metadata()
    save_file(load_file(saved), saved, {**known, "version": "5", "state": "{}"})
    trained(home)
    assert weights(home) == weights(uninterrupted)
    saved.write_bytes(saved.read_bytes()[:100])
    trained(home)
    assert weights(home) == weights(uninterrupted)


def test_without_validation_the_last_epoch_is_taken_at_the_weight_given(home):
    trained(home, "--validation", 0, "--retention", 0.7)
    assert all(epoch["retention"] == 0.7 and "validation_ndcg@10" not in epoch for epoch in facts(home)["history"])


def test_pools_that_do_not_pair_leave_no_step_half_empty(home):
    """Pools of 24 do not pair into steps of 40."""
    steps = trained(home, "--refit", 0).json["steps"]
    assert steps == 4 * -(-facts(home)["data"]["items"] // 40)


def test_an_image_without_a_title_leaves_the_titles_of_all_others_held(home, labelled, tmp_path):
    catalog = shutil.copytree(labelled / "catalog", tmp_path / "catalog")
    with Database.open(home / ".vdistill" / "vdistill.db") as database:
        database.remember("catalog", str(catalog))
        shown = database.judgments("train")[0].items[0]
    rows = [json.loads(line) for line in (catalog / "metadata.jsonl").read_text().splitlines()]
    whole = trained(home, "--epochs", 1)
    held = facts(home)["history"]
    rows = [row if row["file_name"] != shown else {"file_name": shown} for row in rows]
    (catalog / "metadata.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    one = trained(home, "--epochs", 1)
    assert "no title" not in whole.err
    assert "1 of the " in one.err
    assert "training images have no title" in one.err
    assert facts(home)["history"][0]["retention_loss"] == pytest.approx(held[0]["retention_loss"], rel=0.1)
    (catalog / "metadata.jsonl").unlink()
    trained(home, "--epochs", 1)
    assert facts(home)["history"][0]["retention_loss"] < 0.5 * held[0]["retention_loss"], "drift, on another scale"


def test_updates_of_several_steps(home, monkeypatch):
    made = []
    update = loop.Loop._update
    monkeypatch.setattr(loop.Loop, "_update", lambda self, done: (made.append(done), update(self, done)))
    steps = trained(home, "--refit", 0).json["steps"]
    assert len(made) == steps
    made.clear()
    assert trained(home, "--accumulate", 3, "--refit", 0).json["steps"] == steps
    assert len(made) == 4 * -(-steps // 4 // 3), "what is left at the end of an epoch is an update too"


@pytest.mark.parametrize(
    ("flags", "name", "value"),
    [(["--dora"], "use_dora", True), (["--rslora"], "use_rslora", True), (["--dropout", 0.1], "lora_dropout", 0.1),
     (["--alpha", 3], "lora_alpha", 3.0), ([], "lora_alpha", 8)],
)  # fmt: skip
def test_adapters_of_every_kind_can_be_opened(home, flags, name, value):
    trained(home, "--epochs", 1, *flags)
    config = json.loads((home / ".vdistill" / "student" / "adapter_config.json").read_text())
    if name == "lora_alpha":
        value *= facts(home)["strength"]
    assert config[name] == pytest.approx(value)
    open_student(at(home / ".vdistill"))


def test_what_lies_below_the_trained_blocks_is_computed_once(home, monkeypatch):
    trained(home, "--train-layers", 1)
    parts = {path: path.stat().st_mtime_ns for path in (home / ".vdistill" / "cache").rglob("trunk/*/*")}
    assert parts
    first = weights(home)
    monkeypatch.setattr("vdistill.distill.towers.TrainingImages.batch", None)
    trained(home, "--train-layers", 1)
    assert {path: path.stat().st_mtime_ns for path in parts} == parts
    assert weights(home) == first


def test_states_of_frozen_layers_that_would_not_fit_are_not_cached(home):
    trained(home, "--train-layers", 1, "--trunk-cache", 0)
    assert not list((home / ".vdistill" / "cache").rglob("trunk/*/*.safetensors"))
    known = facts(home)
    trained(home, "--train-layers", 1)
    assert [one["epoch"] for one in facts(home)["history"]] == [one["epoch"] for one in known["history"]]
    assert facts(home)["heldout"]["backbone"] == known["heldout"]["backbone"]


@pytest.mark.parametrize("layers", [0, 1])
def test_only_the_layers_asked_for_are_trained(home, clip_folder, layers):
    trained(home, "--train-layers", layers)
    before = AutoModel.from_pretrained(clip_folder).state_dict()
    after = open_student(at(home / ".vdistill")).model.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    allowed = ("visual_projection", "vision_model.encoder.layers.1.") if layers else ("visual_projection",)
    assert changed
    assert all(name.startswith(allowed) for name in changed)


def test_a_disk_that_refuses_the_weights_is_one_line_and_the_student_stays(home):
    trained(home)
    before = weights(home)
    done = vdistill_forked(*TRAIN, "--rank", 64, cwd=home, most=60_000)
    message, hint = errors(done)
    assert message.startswith("error: cannot write")
    assert "free space" in hint
    assert weights(home) == before


def test_a_loss_that_is_not_a_number_stops_and_keeps_the_student(home, monkeypatch):
    trained(home, "--epochs", 1)
    before = weights(home)
    real = losses.LOSSES["listwise"]
    calls = iter(range(1000))
    monkeypatch.setitem(losses.LOSSES, "listwise", lambda *a: real(*a) * (float("nan") if next(calls) > 6 else 1.0))
    done = vdistill(*TRAIN, cwd=home)
    assert done.code == 1
    error, hint = errors(done)
    assert "no longer a number (epoch " in error
    assert "--lr" in hint
    assert weights(home) == before


@pytest.mark.parametrize(
    "raised", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("can't allocate memory: 9")]
)
def test_out_of_memory_names_the_options_that_help(home, monkeypatch, raised):
    def full(*_):
        raise raised

    monkeypatch.setitem(losses.LOSSES, "listwise", full)
    error, hint = errors(vdistill(*TRAIN, cwd=home))
    assert "out of memory with 40 images" in error
    assert "--step-memory 1" in hint
    assert "--batch-images 20" in hint


def test_figures_go_to_tensorboard(home):
    trained(home, "--track", "tensorboard", "--epochs", 1)
    assert list((home / ".vdistill" / "reports").rglob("events.out.tfevents*"))


def test_one_query_is_trained_on_without_validation(home):
    with Database.open(home / ".vdistill" / "vdistill.db") as database:
        first = database.judgments("train")[0].query
    with contextlib.closing(sqlite3.connect(home / ".vdistill" / "vdistill.db")) as connection, connection:
        connection.execute("DELETE FROM judgments WHERE split = 'train' AND query != ?", (first,))
    done = trained(home, "--epochs", 1)
    assert "too few judgments" in done.err
    assert facts(home)["data"]["queries"] == 1


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [(["--train-layers", 7], 1, "has 2 blocks"), (["--rank", 0], 2, "'--rank': Input should be greater"),
     (["--dropout", 1], 2, "'--dropout': Input should be less")],
)  # fmt: skip
def test_an_adapter_that_does_not_fit_is_refused(home, flags, code, said):
    done = trained(home, *flags, code=code)
    assert said in done.err
    assert not (home / ".vdistill" / "student").exists()


def test_another_backbone_shares_neither_cached_states_nor_checkpoint(home, vision_text_folder, monkeypatch):
    monkeypatch.setattr("vdistill.distill.checkpoint.Checkpoint.remove", lambda _: None)
    trained(home, "--train-layers", 1)
    trained(home, "--train-layers", 1, "--backbone", vision_text_folder)
    assert len(list((home / ".vdistill" / "cache" / "trunk").iterdir())) == 2
    assert facts(home)["backbone"] == str(vision_text_folder)
    assert len(facts(home)["history"]) == 5


def test_unknown_trackers_are_named(home):
    error, hint = errors(vdistill(*TRAIN, "--track", "teletype", cwd=home))
    assert "teletype" in error
    assert "tensorboard" in hint


@pytest.mark.slow
def test_killed_at_ten_moments_it_ends_in_the_same_weights(home, labelled):
    plain = shutil.copytree(labelled / ".vdistill", home / "plain" / ".vdistill").parent
    long = ["--epochs", 24, "--patience", 0]
    trained(plain, *long)
    rng = random.Random(1)
    checkpoint = home / ".vdistill" / "cache" / "checkpoint.safetensors"
    for _ in range(10):
        before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        process = forked.start(*TRAIN, *long, cwd=home)
        while process.is_alive() and (not checkpoint.exists() or checkpoint.stat().st_mtime_ns == before):
            time.sleep(0.005)
        time.sleep(rng.random() * 0.3)
        process.kill()
        process.join()
        student = home / ".vdistill" / "student"
        assert not student.exists() or open_student(at(home / ".vdistill"))
    trained(home, *long)
    assert weights(home) == weights(plain)


def trained_by_two(home, *more):
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "vdistill"]
    arguments = map(str, [*TRAIN, *more])
    done = subprocess.run([*launch, *arguments], cwd=home, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "2 processes on" in done.stderr


def assert_alike(one, two):
    moved = sum(((one[name] - tensor) ** 2).sum() for name, tensor in two.items()) ** 0.5
    size = sum((tensor**2).sum() for tensor in one.values()) ** 0.5
    assert moved < 1e-4 * size


@pytest.mark.slow
def test_two_processes_train_what_one_trains(home, tmp_path):
    alone = shutil.copytree(home / ".vdistill", tmp_path / "alone" / ".vdistill").parent
    trained(alone, "--reader", 4)
    trained_by_two(home, "--reader", 4)
    assert [row["epoch"] for row in facts(home)["history"]] == [1, 2, 3, 4, 5]
    assert [epoch.keys() for epoch in facts(home)["history"]] == [epoch.keys() for epoch in facts(alone)["history"]]
    assert "reader_loss" in facts(home)["history"][0]
    assert_alike(tensors(alone), tensors(home))


@pytest.mark.slow
def test_two_processes_share_one_cache_of_states_that_just_fits(home, tmp_path):
    alone = shutil.copytree(home / ".vdistill", tmp_path / "alone" / ".vdistill").parent
    upper = ["--train-layers", 1, "--epochs", 2]
    trained(alone, *upper)
    size = max(part.stat().st_size for part in (alone / ".vdistill" / "cache").rglob("trunk/*/*.safetensors"))
    trained_by_two(home, *upper, "--trunk-cache", 1.05 * size / 1024**3)
    files = (home / ".vdistill").rglob("trunk/*/*.safetensors")
    kept = [json.loads(safe_open(path, "pt").metadata()["sha256"]) for path in files]
    once = [key for keys in kept for key in keys]
    assert len(kept) > 1, f"each process wrote a share: {[len(keys) for keys in kept]}"
    assert len(once) == len(set(once)), "of each image once"
    assert_alike(tensors(alone), tensors(home))


def tensors(home):
    return load_file(home / ".vdistill" / "student" / "adapter_model.safetensors")


def test_a_teacher_named_for_label_by_the_environment_is_not_an_error(home, monkeypatch):
    monkeypatch.setenv("VDISTILL_TEACHER", "metadata")
    monkeypatch.setenv("VDISTILL_BUDGET", "9")
    trained(home, "--epochs", 1)
    assert "--cycles" in trained(home, "--budget", 9, code=2).err


def test_the_command_has_the_defaults_of_the_settings(home, monkeypatch):
    seen = []

    def run(_, __, settings, **___):
        seen.append(settings)
        raise KeyboardInterrupt

    monkeypatch.setattr("vdistill.distill.run.distill", run)
    vdistill("distill", cwd=home)
    assert seen == [DistillSettings()]
