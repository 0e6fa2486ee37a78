"""The audit tells teachers that are worth asking from those that are not."""

import json

import numpy as np
import pytest

import vlm_models
from command_line import errors, vdistill, write_scores
from vdistill.label.audit.statistics import bits, evidence, position_effects
from vdistill.records import Answer

KEYS = ["teacher", "prompt", "calls", "reused", "failed", "tokens", "cost_usd", "soft", "reliability", "hears_query",
        "self_agreement", "tie_rate", "backbone", "coverage", "thought_tokens", "sizes", "images_per_call",
        "verdict", "reason", "none"]  # fmt: skip


@pytest.fixture
def shop(tmp_path, catalog):
    write_scores(tmp_path, sorted(path.name for path in catalog.glob("*.png")))
    return tmp_path


def test_a_teacher_that_knows_is_worth_it(shop, vision_text_folder):
    done = vdistill("label", "catalog", "--teacher", "table:scores.csv", "--queries", "queries.txt", "--audit", 120,
                    "--backbone", vision_text_folder, "--json", cwd=shop)  # fmt: skip
    assert done.code == 0, done.err
    facts = done.json
    assert list(facts) == KEYS
    assert facts["verdict"] == "worth its calls"
    assert facts["calls"] <= 120
    assert facts["self_agreement"] == 1.0
    assert facts["reliability"][0] > 0.99
    assert [size["flip_rate"] for size in facts["sizes"]] == [0, 0, 0]
    assert [size["position_bias"] for size in facts["sizes"]] == pytest.approx([0, 0, 0], abs=0.01)
    assert facts["images_per_call"] == 8


def test_its_answers_teach_no_student_and_are_not_asked_again(shop):
    command = ["label", "catalog", "--teacher", "table:scores.csv", "--queries", "queries.txt", "--audit", 60]
    assert vdistill(*command, cwd=shop).code == 0
    assert "no judgments" in errors(vdistill("label", "--export", "all.jsonl", cwd=shop))[0]
    again = json.loads(vdistill(*command, "--json", cwd=shop).out)
    assert again["reused"] > 40 > again["calls"], "only what is asked twice on purpose is asked again"


def test_auto_shows_as_many_images_as_the_audit_found(shop):
    done = vdistill("label", "catalog", "--teacher", "table:scores.csv", "--queries", "queries.txt", "--budget", 480,
                    "--images-per-call", "auto", "--json", cwd=shop)  # fmt: skip
    assert "an audit of 120 calls first" in done.err
    assert "8 images per call, as the audit found" in done.err
    again = vdistill("label", "catalog", "--teacher", "table:scores.csv", "--queries", "queries.txt", "--budget", 360,
                     "--images-per-call", "auto", "--json", cwd=shop)  # fmt: skip
    assert "audit of" not in again.err
    assert "8 images per call, as the audit found" in again.err
    assert again.json["reused"] > 100


def test_the_audit_of_auto_counts_against_the_budget(shop):
    command = ["label", "catalog", "--teacher", "table:scores.csv", "--queries", "queries.txt",
               "--images-per-call", "auto", "--json"]  # fmt: skip
    done = vdistill(*command, "--budget", 200, cwd=shop)
    assert "an audit of 50 calls first" in done.err
    assert 50 < done.json["calls"] <= 200
    small = vdistill(*command, "--budget", 40, "-w", "other", cwd=shop)
    assert "too few for an audit" in small.err
    assert small.json["calls"] <= 40


@pytest.mark.slow
def test_a_model_of_random_weights_is_worthless(shop, tmp_path_factory):
    model = vlm_models.qwen2_vl(tmp_path_factory.mktemp("vlm"))
    done = vdistill("label", "catalog", "--teacher", model, "--queries", "queries.txt", "--audit", 200, "--json",
                    cwd=shop)  # fmt: skip
    assert done.code == 0, done.err
    assert done.json["verdict"] == "worthless", done.json


def test_too_few_calls_are_an_error(shop):
    done = vdistill(
        "label", "catalog", "--teacher", "table:scores.csv", "--queries", "queries.txt", "--audit", 5, cwd=shop
    )
    assert "too little" in errors(done)[0]


def noisy(rng, utilities, effects, noise):
    logits = utilities + effects + noise * rng.normal(size=len(utilities))
    p = np.exp(logits - logits.max())
    return Answer(tuple(p / p.sum()))


def test_position_effects_are_found_whatever_the_images_are():
    rng = np.random.default_rng(0)
    effects = np.array([1.0, 0.0, -0.5, -0.5])
    twice = []
    for _ in range(40):
        utilities, turn = rng.normal(size=4), rng.permutation(4)
        one, two = noisy(rng, utilities, effects, 0.2), noisy(rng, utilities[turn], effects, 0.2)
        twice.append((evidence(one), evidence(two), tuple(turn)))
    assert position_effects(twice, 4) == pytest.approx(effects, abs=0.15)


def test_bits_grow_with_reliability_and_are_bounded_for_hard_answers():
    for soft in (True, False):
        values = [bits(r, 8, soft=soft) for r in (0.0, 0.2, 0.5, 0.9)]
        assert values == sorted(values)
        assert values[0] == pytest.approx(0, abs=0.05)
    assert bits(1.0, 8, soft=False) <= 3.0
    assert bits(0.5, 8, soft=True) == pytest.approx(3.5)
