"""What a teacher hands back is looked at once, before it is stored: a plug-in may say anything."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from numbers import Real
from typing import Any

from vdistill.records import Answer, Failure, Question

SUM_TOLERANCE = 0.01  # by which probabilities may miss 1: models in half precision do


def checked(said: Any, questions: Sequence[Question]) -> list[Answer | Failure]:
    """One sound Answer or Failure for each question, whatever `said` is.

    Where the answers cannot be told apart (another number of them than of questions), all are failures.
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
        return _sound(said, question)
    except (TypeError, ValueError, OverflowError) as error:
        return Failure(f"not a valid answer: {error}")


def _sound(said: Answer, question: Question) -> Answer:
    """The answer in plain Python numbers, as they are stored. Raises ValueError or TypeError naming what is wrong."""
    probabilities, order, count = said.probabilities, said.order, len(question.images)
    if (probabilities is None) == (order is None):
        raise ValueError("exactly one of probabilities and order must be given")
    if (order is not None) != (question.ask == "rank"):
        raise ValueError("an order was asked for" if order is None else "probabilities were asked for, not an order")
    tokens, cost_usd = _amount("tokens", said.tokens), _amount("cost_usd", said.cost_usd)
    return Answer(
        probabilities=None if probabilities is None else _probabilities(probabilities, count),
        order=None if order is None else _order(order, count),
        tokens=int(tokens),
        cost_usd=cost_usd,
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


def _short(values: Sequence[Any], most: int = 9) -> str:
    return f"({', '.join(f'{value:.4g}' for value in values[:most])}{', …' if len(values) > most else ''})"
