"""`table:FILE`: a teacher that answers from a file of query, item and score: logs, human ratings, or a simulation.

A row with an empty item holds the score from which on its query accepts an item: that of "none of these".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.special import expit, logsumexp, softmax

from vdistill.arrays import Floats
from vdistill.errors import VdistillError
from vdistill.images import file_sha256
from vdistill.inputs.tables import Line, read_rows
from vdistill.label.teacher import Price
from vdistill.records import Answer, Failure, Question

_NONE = ""  # the item of a row with the score of acceptance


class TableTeacher:
    """Chooses among the images with p ∝ exp(score): a Bradley–Terry chooser.

    A ranking (`--ask rank`) is the order of the scores, ties as shown; nothing is drawn at random. "None of these" is
    one more option, where its query has a score of acceptance.
    """

    prompt = ""
    batch_size = 64
    concurrency = 1
    looks = False

    def __init__(self, path: Path) -> None:
        self._scores = _read(path)
        self._acceptance = {query: scores.pop(_NONE) for query, scores in self._scores.items() if _NONE in scores}
        self.none = "acceptance" if self._acceptance else ""
        self.name = f"table:{path.name}@{file_sha256(path)[:8]}"

    def unknown(self, queries: Sequence[str], items: Sequence[str]) -> tuple[list[str], list[str]]:
        """The queries without a row, and the items that some known query has no score for."""
        unknown = [query for query in queries if query not in self._scores]
        known = [self._scores[query] for query in queries if query in self._scores]
        return unknown, [item for item in items if not known or any(item not in scores for scores in known)]

    def ask(self, questions: Sequence[Question]) -> list[Answer | Failure]:
        """Answer from the table; a question about a query or an item that it does not hold is a Failure."""
        return [self._answer(question) for question in questions]

    def price(self, question: Question) -> Price:
        """It costs nothing."""
        return Price()

    def close(self) -> None:
        """Nothing is held open."""

    def _answer(self, question: Question) -> Answer | Failure:
        scores = self._scores.get(question.query)
        if scores is None:
            return Failure(f"the table has no query {question.query!r}")
        items = [image.item_id for image in question.images]
        missing = [item for item in items if item not in scores]
        if missing:
            return Failure(f"the table has no score of {missing[0]!r} for {question.query!r}")
        acceptance = self._acceptance.get(question.query) if question.none else None
        return choose([scores[item] for item in items], question, acceptance=acceptance)


def choose(
    scores: Sequence[float] | Floats, question: Question, temperature: float = 1.0, acceptance: float | None = None
) -> Answer:
    """The answer to `question` of a chooser with these scores of its images (higher is better).

    acceptance: the score of "none of these"; an image of the same score is accepted.
    """
    values = np.asarray(scores, np.float64)
    if question.ask == "rank":
        order = tuple(np.argsort(-values, kind="stable").tolist())
        return Answer(order=order, accepted=None if acceptance is None else int((values >= acceptance).sum()))
    chances = tuple(softmax(values / temperature).tolist())
    if acceptance is None:
        return Answer(chances)
    return Answer(chances, none=float(expit(acceptance / temperature - logsumexp(values / temperature))))


def _read(path: Path) -> dict[str, dict[str, float]]:
    scores: dict[str, dict[str, float]] = {}
    for line in read_rows(path, required="query"):
        query, item, score = str(line.row["query"]).strip(), str(line.row.get("item")), _score(path, line)
        if scores.setdefault(query, {}).setdefault(item, score) != score:
            raise VdistillError(
                f"{path}, line {line.number}: another score of {item!r} for {query!r}",
                hint="give one row for each query and item, for example the sum or the mean",
            )
    if alone := next((query for query, known in scores.items() if known.keys() == {_NONE}), None):
        raise VdistillError(f"{path}: {alone!r} has no 'item', only a score of acceptance", hint="add scores of items")
    if not scores:
        raise VdistillError(f"{path} has no rows", hint="each row needs query, item and score")
    return scores


def _score(path: Path, line: Line) -> float:
    value = line.row.get("score")
    if line.row.get("item") is None:
        raise VdistillError(f"{path}, line {line.number}: no 'item'", hint="each row needs query, item and score")
    try:
        score = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        score = math.nan
    if not math.isfinite(score):
        raise VdistillError(
            f"{path}, line {line.number}: the score {value!r} is not a number",
            hint="give a finite number",
        )
    return score
