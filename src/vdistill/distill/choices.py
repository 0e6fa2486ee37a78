"""Training judgments as arrays: the query, the images shown and the preferences, without the position bias."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vdistill import preferences
from vdistill.arrays import Bools, Floats, Ints
from vdistill.distill.settings import HEAD
from vdistill.errors import VdistillError
from vdistill.records import Judgment


@dataclass(frozen=True)
class Calls:
    """m choices among up to k of the n images.

    query:  (m,) index into `queries`.
    image:  (m, k) index into `items`; 0 where not `shown`.
    target: (m, k) probabilities, rows summing to 1.
    pool:   (m,) number of the pool, −1 without one.
    weight: (n,) of an image: the inverse of how often it was shown, mean 1 over what was shown.
    mass:   (m,) of a choice: those that make up a ranking share 1, the first has most of it. Of several teachers, the
            noisier weigh less; the mean over their answers is 1.
    """

    queries: tuple[str, ...]
    items: tuple[str, ...]
    query: Ints
    image: Ints
    shown: Bools
    target: Floats
    pool: Ints
    weight: Floats
    mass: Floats

    def without(self, queries: Bools, items: Bools) -> Calls:
        """The calls of all but these queries (q,), with these items (n,) left out of what was shown.

        A call is dropped where fewer than two items are left, or none that it prefers.
        """
        shown = self.shown & ~items[self.image]
        target = np.where(shown, self.target, 0.0)
        mass = target.sum(axis=1)
        kept = ~queries[self.query] & (shown.sum(axis=1) > 1) & (mass > 0)
        shown, target = shown[kept], target[kept] / mass[kept, None]
        used, image = np.unique(self.image[kept][shown], return_inverse=True)
        asked, query = np.unique(self.query[kept], return_inverse=True)
        renumbered = np.zeros(shown.shape, np.int64)
        renumbered[shown] = image
        return Calls(
            queries=tuple(self.queries[i] for i in asked),
            items=tuple(self.items[i] for i in used),
            query=query,
            image=renumbered,
            shown=shown,
            target=target.astype(np.float32),
            pool=self.pool[kept],
            weight=_weights(renumbered[shown], len(used)),
            mass=self.mass[kept],
        )


def read(judgments: Sequence[Judgment], head: float = HEAD) -> Calls:
    """The choices that the judgments consist of; in a ranking each weighs `head` times the one above it.

    Raises VdistillError where none of them prefers anything.
    """
    bias, trust = preferences.position_biases(judgments), _trust(judgments)
    queries = {text: i for i, text in enumerate(dict.fromkeys(judgment.query for judgment in judgments))}
    items = {item: i for i, item in enumerate(sorted({item for judgment in judgments for item in judgment.items}))}
    rows = [(judgment, *pick) for judgment in judgments for pick in preferences.picks(judgment)]
    width = max(len(positions) for _, positions, _, _ in rows)
    image = np.zeros((len(rows), width), np.int64)
    shown = np.zeros((len(rows), width), bool)
    given, favour = np.zeros((len(rows), width)), np.zeros((len(rows), width))
    for row, (judgment, positions, probabilities, _soft) in enumerate(rows):
        count = len(positions)
        image[row, :count] = [items[judgment.items[position]] for position in positions]
        shown[row, :count] = True
        given[row, :count] = probabilities
        if judgment.answer.level is None:
            favour[row, :count] = bias[judgment.teacher, preferences.positions(judgment)][list(positions)]
    target = _unbiased(given, favour, shown)
    if np.allclose(target, shown / shown.sum(axis=1, keepdims=True), atol=1e-4):
        raise VdistillError(
            "all judgments are ties: the teacher preferred nothing",
            hint="another teacher, or `vdistill label --images-per-call 2`, may tell the images apart",
        )
    return Calls(
        queries=tuple(queries),
        items=tuple(items),
        query=np.array([queries[judgment.query] for judgment, *_ in rows]),
        image=image,
        shown=shown,
        target=target,
        pool=np.array([-1 if judgment.pool is None else judgment.pool for judgment, *_ in rows]),
        weight=_weights(image[shown], len(items)),
        mass=np.array([one for judgment in judgments for one in trust[judgment.teacher] * _masses(judgment, head)],
                      np.float32),
    )  # fmt: skip


def _trust(judgments: Sequence[Judgment]) -> dict[str, float]:
    """By how much an answer of each teacher weighs: the information in a choice goes with 1 / noise²."""
    known = {name: noise**-2 for name, noise in preferences.teacher_noise(judgments).items()}
    mean = sum(known[judgment.teacher] for judgment in judgments) / max(len(judgments), 1)
    return {name: weight / mean for name, weight in known.items()}


def _masses(judgment: Judgment, head: float) -> Floats:
    """The weights of a judgment's choices, with sum 1."""
    mass = head ** np.arange(sum(1 for _ in preferences.picks(judgment)))
    return np.asarray(mass / mass.sum())


def _weights(shown: Ints, count: int) -> Floats:
    """(count,) the inverse of how often each image was shown, with mean 1 over what was shown."""
    times = np.bincount(shown, minlength=count).astype(np.float32)
    weight = 1.0 / np.maximum(times, 1.0)
    weight /= max((weight * times).sum(), 1e-12) / max(times.sum(), 1.0)
    return np.asarray(weight, np.float32)


def _unbiased(given: Floats, favour: Floats, shown: np.ndarray) -> np.ndarray:
    """(n, width) float32: soft labels as they would be without position bias; hard ones stay as they are.

    given: (n, width) probabilities of what is `shown`.  favour: (n, width) the bias of where it was.
    """
    middle = favour.sum(axis=1, keepdims=True) / shown.sum(axis=1, keepdims=True)
    found = np.where(shown, given * np.exp(middle - favour), 0.0)
    found /= found.sum(axis=1, keepdims=True)
    return np.where(given.max(axis=1, keepdims=True) == 1.0, given, found).astype(np.float32)
