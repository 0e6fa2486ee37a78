"""Soft and hard answers in one store, through the commands: one answer of another kind changes no ranking."""

import json

import numpy as np
import pytest

from command_line import vdistill
from vdistill.inputs.split import split_of

HOLDOUT = 0.5


def pairs(query, items, count, rng):
    """What people preferred, in pairs of neighbours: those near the end of the list are liked less."""
    utility = np.linspace(3, -3, len(items))
    for _ in range(count):
        a = int(rng.integers(len(items)))
        b = int(np.clip(a + rng.choice([-2, -1, 1, 2]), 0, len(items) - 1))
        if a != b:
            first = rng.random() < 1 / (1 + np.exp(utility[b] - utility[a]))
            chosen, rejected = (a, b) if first else (b, a)
            yield {"prompt": query, "chosen": items[chosen], "rejected": items[rejected]}


def imported(home, rows):
    (home / "people.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = vdistill("label", "catalog", "--import", "people.jsonl", "--holdout", HOLDOUT, "--json", cwd=home)
    assert done.code == 0, done.err
    return done.json


def measured(home):
    done = vdistill("bench", "--json", cwd=home)
    assert done.code == 0, done.err
    return done.json["models"]["backbone"]


@pytest.mark.slow
def test_one_unsure_pair_among_sure_ones_moves_no_figure_of_the_benchmark(tmp_path, catalog, vision_text_folder):
    query = next(f"wish {n}" for n in range(99) if split_of("query", f"wish {n}", HOLDOUT) == "heldout")
    names = sorted(path.name for path in catalog.glob("*.png"))
    items = [name for name in names if split_of("item", name, HOLDOUT) == "heldout"]
    assert vdistill("index", "catalog", "--backbone", vision_text_folder, cwd=tmp_path).code == 0
    imported(tmp_path, pairs(query, items, 400, np.random.default_rng(0)))
    before = measured(tmp_path)
    imported(tmp_path, [{"prompt": query, "chosen": items[0], "rejected": items[1], "probability": 0.51}])
    after = measured(tmp_path)
    for name in ("mpr", "ndcg@10", "kendall_tau"):
        assert abs(after[name] - before[name]) < 0.02, (name, before, after)
