"""Judgments as arrays, sorted by query."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vdistill.arrays import Bools, Floats, Ints
from vdistill.records import Answer, Judgment

LOG_CLIP = 8.0  # of a soft answer: below the likeliest by more than this, a log-probability is noise


@dataclass(frozen=True)
class Choices:
    """All choices as arrays, those of a query next to each other; the unused positions of a row are not `shown`.

    queries:  (q,) texts. items: per query its items, by id. start: (q + 1,) where the rows of each query begin.
    local:    (m, k) index of the item in each position among the items of its query.
    position: (m, k) index of the position's bias among all biases.
    shown:    (m, k).
    target:   (m, k) of a hard row the probabilities; of a soft one the log-probabilities, centred on their mean.
    soft:     (m,).
    teacher:  (m,) index of the one who answered among `teachers`.
    biases:   where the biases of (teacher, images shown) begin.
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
        """How many position biases there are."""
        return sum(size for _, size in self.biases)

    def of_queries(self, numbers: Sequence[int]) -> tuple[Ints, Choices]:
        """The rows of some queries, by number, and the choices of these alone."""
        rows = np.concatenate([np.arange(*self.start[number : number + 2]) for number in numbers])
        sizes = np.diff(self.start)[list(numbers)]
        return rows, replace(
            self,
            queries=tuple(self.queries[number] for number in numbers),
            items=tuple(self.items[number] for number in numbers),
            start=np.concatenate([[0], np.cumsum(sizes)]),
            **{name: getattr(self, name)[rows] for name in ("local", "position", "shown", "target", "soft", "teacher")},
        )


class _Rows:
    """Choices one after the other, in flat arrays: as Python objects they would take several times the memory."""

    def __init__(self) -> None:
        self.count, self.soft, self.teacher = array("q"), array("b"), array("q")
        self.local, self.position, self.probabilities = array("i"), array("i"), array("d")
        self.clip = array("d")

    def add(
        self,
        local: Sequence[int],
        position: Sequence[int],
        probabilities: Sequence[float],
        soft: bool,
        clip: float = LOG_CLIP,
    ) -> None:
        """One more choice, but for its teacher."""
        self.count.append(len(local))
        self.soft.append(bool(soft))
        self.clip.append(clip)
        self.local.extend(local)
        self.position.extend(position)
        self.probabilities.extend(probabilities)

    def arrays(self) -> tuple[Ints, Ints, Bools, Floats, Bools, Ints]:
        """`local`, `position`, `shown`, `target`, `soft` and `teacher` of the choices."""
        count = np.array(self.count, np.int64)
        shown = np.arange(count.max(initial=1)) < count[:, None]
        local, position = np.zeros(shown.shape, np.int32), np.zeros(shown.shape, np.int32)
        target, soft = np.zeros(shown.shape), np.array(self.soft, bool)
        local[shown], position[shown], target[shown] = self.local, self.position, self.probabilities
        target[soft] = _centred_logs(target[soft], shown[soft], np.array(self.clip)[soft])
        return local, position, shown, target, soft, np.array(self.teacher, np.int64)


def read(judgments: Sequence[Judgment]) -> Choices:
    """The choices that these judgments are made of."""
    by_query: dict[str, list[Judgment]] = {}
    for judgment in judgments:
        by_query.setdefault(judgment.query, []).append(judgment)
    biases: dict[tuple[str, int], int] = {}
    for key in sorted({(one.teacher, positions(one)) for one in judgments}):
        biases[key] = sum(size for _, size in biases)
    teachers = tuple(sorted({one.teacher for one in judgments}))
    rows, start, items = _Rows(), [0], []
    for found in by_query.values():
        known = tuple(sorted({item for judgment in found for item in judgment.items}))
        index = {item: number for number, item in enumerate(known)}
        for teacher, scores in pointwise(found).items():
            scored = [index[item] for item, _ in scores]
            best = max(score for _, score in scores)
            chances = [math.exp(max(score - best, -2 * LOG_CLIP)) for _, score in scores]
            # Beside others, what is cut off would look like what they agree on.
            clip = LOG_CLIP if len(teachers) == 1 else 2 * LOG_CLIP
            rows.add(scored, [biases[teacher, 1]] * len(scored), chances, soft=True, clip=clip)
            rows.teacher.append(teachers.index(teacher))
        for judgment in found:
            if judgment.answer.level is not None:
                continue
            local, first = [index[item] for item in judgment.items], biases[judgment.teacher, len(judgment.items)]
            for shown, probabilities, soft in picks(judgment):
                rows.add([local[s] for s in shown], [first + s for s in shown], probabilities, soft)
                rows.teacher.append(teachers.index(judgment.teacher))
        items.append(known)
        start.append(len(rows.count))
    return Choices(tuple(by_query), tuple(items), np.array(start), *rows.arrays(), teachers, biases)


def positions(judgment: Judgment) -> int:
    """How many positions have a bias of their own: all are one where each image was scored by itself."""
    return len(judgment.items) if judgment.answer.level is None else 1


def pointwise(judgments: Sequence[Judgment]) -> dict[str, list[tuple[str, float]]]:
    """For each teacher that scored images of a query by themselves, (item, score) of all of them.

    They are one soft choice among all these images, since they are comparable over the calls.
    """
    found: dict[str, list[tuple[str, float]]] = {}
    for judgment in judgments:
        answer = judgment.answer
        if answer.level is not None and answer.probabilities is not None:
            logs = [math.log(max(chance, 1e-9)) + answer.level for chance in answer.probabilities]
            found.setdefault(judgment.teacher, []).extend(zip(judgment.items, logs, strict=True))
    return {teacher: scores for teacher, scores in found.items() if len(scores) > 1}


def is_soft(answer: Answer) -> bool:
    """Whether it says how likely each of the images was, and not which one it takes."""
    return answer.probabilities is not None and max(answer.probabilities) < 1.0


def picks(judgment: Judgment) -> Iterator[tuple[tuple[int, ...], tuple[float, ...], bool]]:
    """The choices of one judgment: (positions to choose from, probabilities, whether they are soft)."""
    answer = judgment.answer
    if answer.probabilities is not None:
        yield tuple(range(len(judgment.items))), answer.probabilities, is_soft(answer)
        return
    order = answer.order or ()
    for place in range(len(order) - 1):
        yield order[place:], (1.0, *(0.0 for _ in order[place + 1 :])), False


def _centred_logs(probabilities: Floats, shown: Bools, clip: Floats) -> Floats:
    """(m, k) log-probabilities, no lower than `clip` (m,) below the likeliest, minus their mean; 0 where not shown."""
    best = probabilities.max(axis=1, keepdims=True, initial=0.0)
    logs = np.log(np.maximum(probabilities, best * np.exp(-clip)[:, None]))
    return centred(logs, shown)


def centred(values: Floats, shown: Bools) -> Floats:
    """(m, k) minus the mean over what is shown of each row; 0 elsewhere."""
    mean = (values * shown).sum(axis=1, keepdims=True) / shown.sum(axis=1, keepdims=True)
    return np.where(shown, values - mean, 0.0)
