"""`table:FILE`: a teacher that answers from a file of query, item and score: logs, human ratings, or a simulation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.special import softmax

from vdistill.arrays import Floats
from vdistill.errors import VdistillError
from vdistill.images import file_sha256
from vdistill.inputs.tables import Line, read_rows
from vdistill.label.teacher import Price
from vdistill.records import Answer, Failure, Question


class TableTeacher:
    """Chooses among the images with p ∝ exp(score): a Bradley–Terry chooser.

    A ranking (`--ask rank`) is the order of the scores, ties as shown; nothing is drawn at random.
    """

    prompt = ""
    batch_size = 64
    concurrency = 1
    looks = False

    def __init__(self, path: Path) -> None:
        self._scores = _read(path)
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
        return choose([scores[item] for item in items], question)


def choose(scores: Sequence[float] | Floats, question: Question, temperature: float = 1.0) -> Answer:
    """The answer to `question` of a chooser with these scores of its images (higher is better)."""
    values = np.asarray(scores, np.float64)
    if question.ask == "rank":
        return Answer(order=tuple(np.argsort(-values, kind="stable").tolist()))
    return Answer(probabilities=tuple(softmax(values / temperature).tolist()))


def _read(path: Path) -> dict[str, dict[str, float]]:
    scores: dict[str, dict[str, float]] = {}
    for line in read_rows(path, required="query"):
        query, item, score = str(line.row["query"]).strip(), str(line.row.get("item")), _score(path, line)
        if scores.setdefault(query, {}).setdefault(item, score) != score:
            raise VdistillError(
                f"{path}, line {line.number}: another score of {item!r} for {query!r}",
                hint="give one row for each query and item, for example the sum or the mean",
            )
    if not scores:
        raise VdistillError(f"{path} has no rows", hint="each row needs query, item and score")
    return scores


def _score(path: Path, line: Line) -> float:
    if line.row.get("item") in (None, ""):
        raise VdistillError(f"{path}, line {line.number}: no 'item'", hint="each row needs query, item and score")
    try:
        score = float(line.row.get("score"))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        score = math.nan
    if not math.isfinite(score):
        raise VdistillError(
            f"{path}, line {line.number}: the score {line.row.get('score')!r} is not a number",
            hint="give a finite number",
        )
    return score
