"""Queries that all items are candidates for: the metrics of `metrics`, by counting instead of sorting."""

import numpy as np
import pytest

from vdistill.evaluation import among_all, metrics
from vdistill.evaluation.by_product import ByProduct
from vdistill.evaluation.grading import evaluate
from vdistill.evaluation.item_vectors import vectors_of
from vdistill.evaluation.test_set import HeldOutSet, JudgedQuery


def sorting(scores, gains):
    """The same, straightforwardly: everything by a stable sort."""
    order = np.argsort(-scores, kind="stable")
    ranks = np.empty(len(scores))
    ranks[order] = np.arange(1, len(scores) + 1)
    found = scores > -np.inf
    places = np.where(found, ranks, (found.sum() + 1 + len(scores)) / 2)
    winners, relevant = gains == gains.max(), gains > 0
    discount = 1 / np.log2(np.arange(2, 12))
    first = np.where(found[order[:10]], gains[order[:10]], 0)
    alike = metrics.agreement(scores, gains)
    return {
        "ndcg@10": (first * discount).sum() / (np.sort(gains)[::-1][:10] * discount).sum(),
        "recall@10": (first > 0).sum() / relevant.sum(),
        "mrr": max(found[relevant] / ranks[relevant]),
        "mpr": np.mean((len(scores) - places[winners]) / (len(scores) - 1)),
        **{f"winner@{k}": np.mean((ranks[winners] <= k) & found[winners]) for k in (5, 20, 100)},
        "kendall_tau": alike.tau,
        "pairwise_accuracy": alike.pairwise,
    }


@pytest.mark.parametrize("levels", [3, 40, 1e4, 1e9])
@pytest.mark.parametrize("lost", [0.0, 0.5, 0.999])
def test_counting_gives_what_sorting_gives_ties_and_items_not_found_included(levels, lost):
    rng = np.random.default_rng([int(levels), int(1000 * lost)])
    for dtype in (np.float32, np.float64):
        for judged in (1, 2, 30, 60):
            scores = rng.integers(0, levels, 5000).astype(dtype) / dtype(7)
            scores[rng.random(5000) < lost] = -np.inf
            rows = np.sort(rng.choice(5000, judged, replace=False))
            grades = rng.integers(0, 4, judged).astype(float)
            grades[0] = 2
            gains = np.zeros(5000)
            gains[rows] = grades
            assert among_all.grades(scores, rows, grades) == pytest.approx(sorting(scores, gains), abs=1e-9)


def test_tied_pairs_of_very_many_scores_are_known_well_enough():
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((200_000, 16), np.float32)
    vectors[:20_000] = vectors[20_000:40_000]  # copies
    scores = vectors @ rng.standard_normal(16, np.float32)
    scores[-30_000:] = -np.inf
    scores[:1000] = [0.0, -0.0] * 500
    for some in (scores, scores[1000:], scores.astype(np.float64)[1000:]):
        pairs = len(some) ** 2 / 2
        assert among_all.tied_pairs(some) / pairs == pytest.approx(metrics.tied_pairs(some) / pairs, abs=1e-7)


def test_vectors_from_a_file_are_graded_as_those_in_memory(monkeypatch):
    rng = np.random.default_rng(1)
    vectors = rng.standard_normal((3000, 8)).astype(np.float32)
    texts = rng.standard_normal((70, 8)).astype(np.float32)
    ids = tuple(f"{number:04}" for number in range(3000))
    products = ByProduct.of(ids, {key: f"p{number // 2}" for number, key in enumerate(ids) if number < 2000})
    judged = tuple(JudgedQuery(f"q{n}", rows := np.sort(rng.choice(2000, 9, replace=False)), *[np.ones(9)] * 2, rows)
                   for n in range(70))  # fmt: skip
    held_out = HeldOutSet("qrels", "", ids, products, judged, ("t",), (np.array([5]),))
    known = evaluate(held_out, vectors, texts, texts[:1])
    for name, value in {"IN_MEMORY": 100, "_ITEMS": 128, "SCORE_BYTES": 1, "_LEAST": 16}.items():
        monkeypatch.setattr(f"vdistill.evaluation.item_vectors.{name}", value)
    place = {key: row for row, key in enumerate(ids)}
    with vectors_of(ids, lambda some: vectors[[place[key] for key in some]]) as stored:
        assert not isinstance(stored, np.ndarray)
        found = evaluate(held_out, stored, texts, texts[:1])
    assert found.keys() == known.keys()
    for name, values in known.items():
        assert found[name] == pytest.approx(values, abs=1e-9), name
