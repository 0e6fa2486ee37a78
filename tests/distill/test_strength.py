"""The strength of a student: swept in validation, published with it, changed later without training."""

import json
import os
import shutil

import numpy as np
import pytest

from command_line import errors, vdistill, vdistill_process
from trainings import facts, trained, weights
from vdistill.distill import strength
from vdistill.distill.strength import STRENGTHS, Point, chosen
from vdistill.encoders.student import open_student
from vdistill.workspace import at

QUIET = ("--refit", 0)


def config(home):
    return json.loads((home / ".vdistill" / "student" / "adapter_config.json").read_text())


def points(means, literal, spread=0.01):
    rng = np.random.default_rng(0)
    noise = spread * rng.standard_normal(40)
    return [
        Point(at, list(mean + noise * (1 + at)), [], one, 0.0)
        for at, mean, one in zip(STRENGTHS, means, literal, strict=False)
    ]


def test_of_equally_good_strengths_the_one_that_retains_most_is_chosen():
    assert chosen(points([0.5, 0.6, 0.7, 0.7001], [1.0, 1.0, 0.95, 0.90]), 0.1) == 0.2
    assert chosen(points([0.5, 0.6, 0.7, 0.75], [1.0, 1.0, 0.95, 0.90]), 0.1) == 0.3, "clearly better"
    assert chosen(points([0.5, 0.6, 0.7, 0.7001], [1.0, 1.0, 0.9, 0.9]), 0.1) == 0.3, "nothing more to retain"


def test_a_strength_that_forgets_too_much_is_none():
    forgetful = [Point(0.5, [0.5] * 20, [], 1.0, 0.0), Point(1.0, [0.9] * 20, [], 0.2, 0.5)]
    assert chosen(forgetful, 0.1) == 0.5


def test_a_handful_of_queries_chooses_nothing():
    assert chosen([Point(0.5, [0.9] * 5, [], 1.0, 0.0), Point(1.0, [0.1] * 5, [], 1.0, 0.0)], 0.1) == 1.0


@pytest.fixture(scope="module")
def student(labelled, tmp_path_factory):
    """A training whose few validation queries are enough to choose a strength."""
    folder = tmp_path_factory.mktemp("swept")
    shutil.copytree(labelled / ".vdistill", folder / ".vdistill")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strength, "_FEWEST", 2)
        trained(folder, *QUIET)
    return folder


@pytest.fixture
def swept(student, home):
    """A copy of it."""
    shutil.copytree(student / ".vdistill", home / ".vdistill", dirs_exist_ok=True)
    return home


def test_a_training_publishes_at_the_strength_that_validation_chose(swept):
    known = facts(swept)
    curve = known["strengths"]
    assert [one["strength"] for one in curve] == list(STRENGTHS)
    assert curve[0]["validation_ndcg@10"] == pytest.approx(known["validation"]["backbone"])
    at_it = next(one for one in curve if one["strength"] == known["strength"])
    assert known["validation"]["student"] == pytest.approx(at_it["validation_ndcg@10"])
    assert config(swept)["lora_alpha"] == pytest.approx(8 * known["strength"])
    assert f"| {known['strength']:g} | {at_it['ndcg@10']:.3f} | {at_it['validation_ndcg@10']:.3f} |" in card(swept)


def card(home):
    return (home / ".vdistill" / "student" / "README.md").read_text()


def vectors(home, encoder):
    inputs = encoder.blank()
    return encoder.image_features(**inputs).detach().numpy()


def test_another_strength_needs_no_training(swept, monkeypatch):
    before, published = weights(swept), facts(swept)["strength"]
    done = vdistill("distill", "--strength", 0, "--json", cwd=swept)
    assert done.json == {"strength": 0.0, "before": published}
    assert weights(swept) == before
    assert config(swept)["lora_alpha"] == 0
    assert "now has strength 0: `vdistill bench` measures it" in card(swept)
    student = open_student(at(swept / ".vdistill"))
    vdistill("distill", "--strength", 1, cwd=swept)
    full = open_student(at(swept / ".vdistill"))
    from vdistill.encoders.dual_encoder import DualEncoder

    backbone = DualEncoder.load(facts(swept)["backbone"])
    assert np.allclose(vectors(swept, student), vectors(swept, backbone), atol=1e-5), "0 is the backbone"
    assert not np.allclose(vectors(swept, full), vectors(swept, backbone), atol=1e-3)
    assert config(swept)["lora_alpha"] == 8, "and back"


def test_the_index_follows_the_strength(swept):
    assert vdistill("index", cwd=swept).code == 0
    one = vdistill("query", "--json", "a red square", cwd=swept).json
    vdistill("distill", "--strength", 0, cwd=swept)
    other = vdistill("query", "--json", "a red square", cwd=swept).json
    backbone = vdistill("query", "--json", "--model", "backbone", "a red square", cwd=swept).json
    assert scores(other) == pytest.approx(scores(backbone), abs=2e-3)
    assert scores(one) != pytest.approx(scores(other), abs=1e-4)


def scores(document):
    return [hit["score"] for hit in document["results"]]


def test_it_loads_no_model(swept, tmp_path):
    heavy = tmp_path / "stubs"
    heavy.mkdir()
    for name in ("torch", "transformers", "peft"):
        (heavy / f"{name}.py").write_text("raise SystemExit('loaded')")
    done = vdistill_process("distill", "--strength", 0.5, cwd=swept, prefix=("env", f"PYTHONPATH={stubbed(heavy)}"))
    assert done.code == 0, done.err


def stubbed(heavy):
    return os.pathsep.join([str(heavy), *filter(None, [os.environ.get("PYTHONPATH")])])


@pytest.mark.parametrize(("value", "said"), [("-0.1", "from 0 to 2"), ("2.5", "from 0 to 2")])
def test_strengths_beyond_reason_are_refused(swept, value, said):
    done = vdistill("distill", "--strength", value, cwd=swept)
    assert done.code == 2
    assert said in done.err


def test_without_a_student_there_is_nothing_to_change(home):
    done = vdistill("distill", "--strength", 1, cwd=home)
    assert done.code == 1
    assert errors(done) == ("error: there is no student yet", "hint: run `vdistill distill` first")


def test_a_weight_decomposed_adapter_has_no_strength(home):
    trained(home, *QUIET, "--dora", "--epochs", 1)
    assert facts(home)["strengths"] == []
    done = vdistill("distill", "--strength", 0.5, cwd=home)
    assert done.code == 1
    assert "weight-decomposed" in done.err
