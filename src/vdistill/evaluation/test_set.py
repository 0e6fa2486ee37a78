"""What models are judged by: held-out queries on held-out items, with the teacher's verdicts or those of a qrels file.

Nothing else can enter. A `HeldOut` is built from held-out queries and held-out items alone, and every model is graded
on the same queries and candidates.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vdistill import preferences
from vdistill.arrays import Floats, Ints
from vdistill.errors import VdistillError
from vdistill.evaluation import metrics
from vdistill.evaluation.metrics import DEPTH, METRICS
from vdistill.records import Item, Judgment

# Literal retention is a mean over titles: this many give it to ± 0.02, and a large catalog need not be asked for all.
MOST_TITLES = 1000

_SAME = 1e-6  # logits: a teacher whose utilities are all this close prefers nothing
_BLOCK = 32  # queries scored at once: a matrix of 32 × 100,000 float32 is 13 MB
_LABEL = "`vdistill label` judges held-out queries too: run it with a larger --budget, or with --holdout above 0"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known of one query.

    rows:  (m,) places in `HeldOut.items`, ascending.
    gains: (m,) ≥ 0, for nDCG and recall.
    worth: (m,) what τ and pairwise accuracy compare with: the teacher's utilities, or the gains again.
    """

    query: str
    rows: Ints
    gains: Floats
    utilities: Floats


@dataclass(frozen=True)
class HeldOutSet:
    """Held-out queries and items, and what is known of them.

    source:    `teacher`: the candidates of a query are the items the teacher judged for it. `qrels`: all items are
               candidates of every query, and those without a grade have gain 0.
    judged_by: the teacher, or the name of the qrels file.  prompt: the version of the words it was asked by.
    items:     ids (n,), ascending: the rows of item vectors.
    titles:    distinct titles of the items (t,), at most `MOST_TITLES`, chosen by their hash.
    bearers:   (t,) places of the items that bear each title.
    notes:     what was left out, for the person who reads the figures.
    """

    source: Literal["teacher", "qrels"]
    judged_by: str
    items: tuple[str, ...]
    verdicts: tuple[Verdict, ...]
    titles: tuple[str, ...]
    titled: tuple[Ints, ...]
    notes: tuple[str, ...] = ()
    prompt: str = ""

    @property
    def queries(self) -> tuple[str, ...]:
        """The texts (q,): the rows of query vectors."""
        return tuple(verdict.query for verdict in self.verdicts)

    @property
    def candidates(self) -> Ints:
        """(q,) how many items are ranked for each query."""
        sizes = [len(v.rows) if self.source == "teacher" else len(self.items) for v in self.verdicts]
        return np.array(sizes, np.intp)

    def dense(self, verdict: Verdict) -> tuple[Ints | slice, Floats, Floats]:
        """The candidates of a query with the gain and the worth of each."""
        if self.source == "teacher":
            return verdict.rows, verdict.gains, verdict.utilities
        gains = np.zeros(len(self.items))
        gains[verdict.rows] = verdict.gains
        return slice(None), gains, gains


def from_judgments(judgments: Sequence[Judgment], items: Sequence[Item]) -> HeldOutSet:
    """Judge by the teacher's preferences.

    judgments: those of the held-out split; others are passed over. items: the held-out items with vectors, in any
    order; what was judged beyond them is left out.

    The teacher's best ten get the gains 10, 9, … 1 (tied ones share), so that nDCG does not hang on the scale of the
    utilities; recall@10 asks for those ten. Raises VdistillError where no query has two judged items.
    """
    items = sorted(items, key=lambda item: item.id)
    ids = tuple(item.id for item in items)
    found = _utilities([one for one in judgments if one.split == "heldout"], ids)
    verdicts = [
        Verdict(query, rows, _gains(utilities), utilities)
        for query, (rows, utilities) in found.items()
        if np.ptp(utilities) > _SAME
    ]
    if not verdicts:
        raise VdistillError("no held-out judgments to measure by", hint=_LABEL)
    lost = len(found) - len(verdicts)
    notes = (f"{lost:,} held-out queries left out: the teacher tells no two pictures apart",) if lost else ()
    teachers = sorted({one.teacher for one in judgments if one.split == "heldout"})
    prompts = {one.prompt for one in judgments if one.split == "heldout"}
    titles, titled = titles_of(items)
    prompt = prompts.pop() if len(prompts) == 1 else ""
    return HeldOutSet("teacher", ", ".join(teachers), ids, tuple(verdicts), titles, titled, notes, prompt)


def evaluate(held_out: HeldOutSet, items: Floats, queries: Floats, titles: Floats) -> dict[str, Floats]:
    """Grade a dual encoder.

    items: (n, d), queries: (q, d), titles: (t, d) unit vectors, in the order of `heldout`.
    Returns per metric the values of the queries (q,), of `literal_…` those of the titles (t,); NaN where a metric has
    no meaning for a query. Raises VdistillError where the texts and the items are of different dimensions.
    """
    if items.shape[1] != queries.shape[1]:
        raise VdistillError(
            f"the items have {items.shape[1]} dimensions, the queries {queries.shape[1]}",
            hint="index and text encoder are of different models: run `vdistill index`",
        )
    values = grade(held_out, _scores(queries, items))
    if held_out.titles:
        values.update(_literal(held_out, items, titles))
    return values


def ndcg(held_out: HeldOutSet, items: Floats, queries: Floats) -> Floats:
    """nDCG@10 of a dual encoder for each query (q,): what `evaluate` says of it, without the cost of the rest."""
    found = zip(held_out.verdicts, _scores(queries, items), strict=True)
    graded = [(scores, *held_out.dense(verdict)) for verdict, scores in found]
    return np.array([metrics.ndcg(scores[candidates], gains) for scores, candidates, gains, _ in graded])


def evaluate_mean(held_out: HeldOutSet, items: Floats, queries: Floats, titles: Floats) -> dict[str, float]:
    """The means of `evaluate`; metrics without a value are absent."""
    return means(evaluate(held_out, items, queries, titles))


def means(values: Mapping[str, Floats]) -> dict[str, float]:
    """The mean of each metric that has one, in the order of `METRICS`."""
    found = {name: metrics.mean(values[name]) for name in METRICS if name in values}
    return {name: value for name, value in found.items() if np.isfinite(value)}


def grade(held_out: HeldOutSet, scores: Iterable[Floats | None]) -> dict[str, Floats]:
    """Grade anything that scores items: (n,) for each query, None where it has nothing to say.

    Returns per metric the values (q,), NaN where there are no scores.
    """
    heads = [f"winner@{k}" for k in metrics.HEADS]
    names = ("ndcg@10", "recall@10", "mrr", "mpr", *heads, "kendall_tau", "pairwise_accuracy")
    values = np.full((len(held_out.verdicts), len(names)), np.nan)
    for row, (verdict, found) in enumerate(zip(held_out.verdicts, scores, strict=True)):
        if found is not None:
            candidates, gains, utilities = held_out.dense(verdict)
            values[row] = _grades(found[candidates], gains, utilities)
    return dict(zip(names, values.T, strict=True))


def teacher_scores(held_out: HeldOutSet, judgments: Sequence[Judgment]) -> list[Floats | None]:
    """The teacher as a ranker: its fitted utilities (n,), items that it never saw below all others.

    None for a query that it was never asked. Judged by its own preferences it is perfect; by qrels it is the ceiling.
    """
    if held_out.source == "teacher":
        return [_spread(verdict.rows, verdict.utilities, len(held_out.items)) for verdict in held_out.verdicts]
    found = _utilities([one for one in judgments if one.split == "heldout"], held_out.items)
    return [_spread(*found[query], len(held_out.items)) if query in found else None for query in held_out.queries]


def _grades(scores: Floats, gains: Floats, utilities: Floats) -> tuple[float, ...]:
    alike = metrics.agreement(scores, utilities)
    return (
        metrics.ndcg(scores, gains),
        metrics.recall(scores, gains),
        metrics.reciprocal_rank(scores, gains),
        metrics.percentile_rank(scores, utilities),
        *(metrics.winner_at(scores, utilities, k) for k in metrics.HEADS),
        alike.tau,
        alike.pairwise,
    )


def _literal(held_out: HeldOutSet, items: Floats, titles: Floats) -> dict[str, Floats]:
    found = [
        (metrics.literal_recall(scores, titled, 1), metrics.literal_recall(scores, titled, DEPTH))
        for scores, titled in zip(_scores(titles, items), held_out.titled, strict=True)
    ]
    first, tenth = np.array(found).T
    return {"literal_recall@1": first, "literal_recall@10": tenth}


def _scores(texts: Floats, items: Floats) -> Iterator[Floats]:
    """The cosine similarities (n,) of each text."""
    for start in range(0, len(texts), _BLOCK):
        yield from texts[start : start + _BLOCK] @ items.T


def _utilities(judgments: Sequence[Judgment], items: Sequence[str]) -> dict[str, tuple[Ints, Floats]]:
    """For each judged query the places of its items among `items`, ascending, and their utilities."""
    if not judgments:
        return {}
    rows = {item: row for row, item in enumerate(items)}
    fitted = preferences.fit(judgments)
    found = {}
    for query in fitted.queries:
        keys, utilities = fitted.means(query)
        here = [place for place, key in enumerate(keys) if key in rows]
        places = np.array([rows[keys[place]] for place in here], np.intp)
        order = np.argsort(places)
        found[query] = (places[order], utilities[here][order])
    return {query: pair for query, pair in found.items() if len(pair[0]) > 1}


def _gains(utilities: Floats) -> Floats:
    """(n,): 10 for the first, 9 for the second, … 0 from the eleventh on."""
    from scipy.stats import rankdata

    return np.asarray(np.maximum(0.0, DEPTH + 1 - rankdata(-utilities)))


def _spread(rows: Ints, utilities: Floats, count: int) -> Floats:
    scores = np.full(count, utilities.min() - 1)
    scores[rows] = utilities
    return scores


def titles_of(items: Sequence[Item]) -> tuple[tuple[str, ...], tuple[Ints, ...]]:
    """Distinct titles (t,), at most `MOST_TITLES`, and for each the places of the items that bear it."""
    titled: dict[str, list[int]] = {}
    for row, item in enumerate(items):
        if item.title is not None:
            titled.setdefault(item.title, []).append(row)
    chosen = sorted(titled, key=lambda title: hashlib.sha256(title.encode()).digest())[:MOST_TITLES]
    return tuple(sorted(chosen)), tuple(np.array(titled[title], np.intp) for title in sorted(chosen))
