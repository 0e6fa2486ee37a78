"""Answers are checked once, before they are stored: a plug-in may return anything, and so may a file."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from numbers import Real
from typing import Any

from vdistill.records import Answer, Failure, Question

SUM_TOLERANCE = 0.01  # by how much the sum of probabilities may miss 1, as it does in half precision


def checked(said: Any, questions: Sequence[Question]) -> list[Answer | Failure]:
    """One valid Answer or Failure for each question, whatever `said` is.

    Where there are not as many answers as questions, all are failures.
    """
    if not isinstance(said, Sequence) or len(said) != len(questions):
        found = f"{len(said)} answers" if isinstance(said, Sequence) else f"{type(said).__name__}"
        return [Failure(f"the teacher gave {found} to {len(questions)} questions")] * len(questions)
    return [_checked(one, question) for one, question in zip(said, questions, strict=True)]


def _checked(said: Any, question: Question) -> Answer | Failure:
    if isinstance(said, Failure):
        return said
    if not isinstance(said, Answer):
        return Failure(f"the teacher gave {type(said).__name__}, neither an Answer nor a Failure")
    try:
        answer = sound(said, len(question.images))
    except (TypeError, ValueError, OverflowError) as error:
        return Failure(f"not a valid answer: {error}")
    if not question.none and (answer.none is not None or answer.accepted is not None):
        return Failure('not a valid answer: "none of these" was not asked for')
    if not answer.rejects and (answer.order is not None) != (question.ask == "rank"):
        asked = "an order was" if answer.order is None else "probabilities were"
        return Failure(f"not a valid answer: {asked} asked for")
    return answer


def sound(said: Answer, count: int) -> Answer:
    """The answer about `count` images in plain Python numbers. Raises ValueError or TypeError naming what is wrong."""
    probabilities, order, none = said.probabilities, said.order, _none(said.none)
    if said.rejects and none == 1.0:
        probabilities = order = None
    elif (probabilities is None) == (order is None):
        raise ValueError("exactly one of probabilities and order must be given")
    return Answer(
        probabilities=None if probabilities is None else _probabilities(probabilities, count),
        order=None if order is None else _order(order, count),
        tokens=int(_amount("tokens", said.tokens)),
        cost_usd=_amount("cost_usd", said.cost_usd),
        coverage=None if said.coverage is None else min(_amount("coverage", said.coverage), 1.0),
        thought_tokens=int(_amount("thought_tokens", said.thought_tokens)),
        level=_level(said.level),
        none=none,
        accepted=None if said.accepted is None else _accepted(said.accepted, count),
    )


def _probabilities(given: Sequence[Any], count: int) -> tuple[float, ...]:
    found = tuple(float(p) for p in given)
    if len(found) != count:
        raise ValueError(f"{len(found)} probabilities for {count} images")
    if not all(math.isfinite(p) and p >= 0 for p in found) or abs(sum(found) - 1) > SUM_TOLERANCE:
        raise ValueError(f"probabilities must be finite, not negative, and sum to 1, got {_short(found)}")
    return found


def _order(given: Sequence[Any], count: int) -> tuple[int, ...]:
    found = tuple(operator.index(position) for position in given)
    if sorted(found) != list(range(count)):
        raise ValueError(f"an order must hold each of the positions 0 to {count - 1} once, got {_short(found)}")
    return found


def _amount(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) < math.inf:
        raise ValueError(f"{name} must be a number that is not negative, got {value!r}")
    return float(value)


def _none(given: float | None) -> float | None:
    if given is None or 0 <= given <= 1:
        return None if given is None else float(given)
    raise ValueError(f'the probability of "none of these" must be between 0 and 1, got {given!r}')


def _accepted(given: Any, count: int) -> int:
    if 0 <= (found := operator.index(given)) <= count:
        return found
    raise ValueError(f"of {count} images {found} cannot stand before none")


def _level(given: Any) -> float | None:
    if given is None or math.isfinite(given):
        return None if given is None else float(given)
    raise ValueError(f"level must be finite, got {given!r}")


def _short(values: Sequence[Any], most: int = 9) -> str:
    return f"({', '.join(f'{value:.4g}' for value in values[:most])}{', …' if len(values) > most else ''})"
