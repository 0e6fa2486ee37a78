"""Judgments as arrays, sorted by query."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from vdistill.arrays import Bools, Floats, Ints
from vdistill.records import Answer, Judgment

_Row = tuple[list[int], list[int], Sequence[float], bool, int]  # items, slots, probabilities, soft, teacher

LOG_CLIP = 8.0  # of a soft answer: below the likeliest by more than this, a log-probability is noise


@dataclass(frozen=True)
class Choices:
    """All choices as arrays, those of a query next to each other; the unused places of a row are not `shown`.

    queries: (q,) texts. items: per query its items, by id. start: (q + 1,) where the rows of each query begin.
    local:   (m, k) place of the item in each slot among the items of its query.
    slot:    (m, k) place of the slot's bias among all biases.
    shown:   (m, k) bool.
    target:  (m, k) of a hard row the probabilities; of a soft one the log-probabilities, centred on their mean.
    soft:    (m,) bool.
    teacher: (m,) place of the one who answered among `teachers`.
    biases:  where the biases of (teacher, images shown) begin.
    """

    queries: tuple[str, ...]
    items: tuple[tuple[str, ...], ...]
    start: Ints
    local: Ints
    position: Ints
    shown: Bools
    target: Floats
    soft: Bools
    teacher: Ints
    teachers: tuple[str, ...]
    biases: dict[tuple[str, int], int]

    @property
    def bias_count(self) -> int:
        """How many slot biases there are."""
        return sum(size for _, size in self.biases)


def read(judgments: Sequence[Judgment]) -> Choices:
    """Sort out what was said about what."""
    by_query: dict[str, list[Judgment]] = {}
    for judgment in judgments:
        by_query.setdefault(judgment.query, []).append(judgment)
    biases: dict[tuple[str, int], int] = {}
    for key in sorted({(one.teacher, len(one.items)) for one in judgments}):
        biases[key] = sum(size for _, size in biases)
    teachers = tuple(sorted({one.teacher for one in judgments}))
    number = {name: place for place, name in enumerate(teachers)}
    rows: list[_Row] = []
    start, items = [0], []
    for found in by_query.values():
        known = tuple(sorted({item for judgment in found for item in judgment.items}))
        place = {item: row for row, item in enumerate(known)}
        for judgment in found:
            first = biases[judgment.teacher, len(judgment.items)]
            for positions, probabilities, soft in picks(judgment):
                local = [place[judgment.items[position]] for position in positions]
                rows.append(
                    (local, [first + position for position in positions], probabilities, soft, number[judgment.teacher])
                )
        items.append(known)
        start.append(len(rows))
    return _pack(tuple(by_query), tuple(items), start, rows, teachers, biases)


def is_soft(answer: Answer) -> bool:
    """Whether it says how likely each of the images was, and not which one it takes."""
    return answer.probabilities is not None and max(answer.probabilities) < 1.0


def picks(judgment: Judgment) -> Iterable[tuple[tuple[int, ...], tuple[float, ...], bool]]:
    """The choices of one judgment: (slots to choose from, probabilities, whether they are soft)."""
    answer = judgment.answer
    if answer.probabilities is not None:
        yield tuple(range(len(judgment.items))), answer.probabilities, is_soft(answer)
        return
    order = answer.order or ()
    for place in range(len(order) - 1):
        yield order[place:], (1.0, *(0.0 for _ in order[place + 1 :])), False


def _pack(
    queries: tuple[str, ...],
    items: tuple[tuple[str, ...], ...],
    start: list[int],
    rows: list[_Row],
    teachers: tuple[str, ...],
    biases: dict[tuple[str, int], int],
) -> Choices:
    width = max((len(row[0]) for row in rows), default=1)
    count = np.array([len(row[0]) for row in rows], np.int64)
    shown = np.arange(width) < count[:, None]
    local, position = np.zeros((len(rows), width), np.int64), np.zeros((len(rows), width), np.int64)
    target = np.zeros((len(rows), width))
    local[shown] = np.fromiter((place for row in rows for place in row[0]), np.int64, int(count.sum()))
    position[shown] = np.fromiter((place for row in rows for place in row[1]), np.int64, int(count.sum()))
    target[shown] = np.fromiter((p for row in rows for p in row[2]), np.float64, int(count.sum()))
    soft = np.array([row[3] for row in rows], bool)
    target[soft] = _centred_logs(target[soft], shown[soft])
    teacher = np.array([row[4] for row in rows], np.int64)
    return Choices(queries, items, np.array(start), local, position, shown, target, soft, teacher, teachers, biases)


def _centred_logs(probabilities: Floats, shown: Bools) -> Floats:
    """(m, k) log-probabilities, no lower than `LOG_CLIP` below the likeliest, minus their mean; 0 where not shown."""
    if not len(probabilities):
        return probabilities
    best = probabilities.max(axis=1, keepdims=True)
    logs = np.log(np.maximum(probabilities, best * np.exp(-LOG_CLIP)))
    return centred(logs, shown)


def centred(values: Floats, shown: Bools) -> Floats:
    """(m, k) minus the mean over what is shown of each row; 0 elsewhere."""
    mean = (values * shown).sum(axis=1, keepdims=True) / shown.sum(axis=1, keepdims=True)
    return np.where(shown, values - mean, 0.0)
