"""Gates: what the student must reach for a build to pass."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from vdistill.errors import VdistillError
from vdistill.metrics import METRICS


@dataclass(frozen=True, slots=True)
class Gate:
    """A `--fail-under METRIC=VALUE`."""

    metric: str
    threshold: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """A gate and what the student reached; `value` is None where it could not be measured, which fails."""

    metric: str
    threshold: float
    value: float | None
    passed: bool

    def to_json(self) -> dict[str, Any]:
        """The Contract's entry of `gates`."""
        return asdict(self)

    def __str__(self) -> str:
        shown = "has no value" if self.value is None else f"is {self.value:.4f}"
        return f"{self.metric} of the student {shown}, {'at least' if self.passed else 'below'} {self.threshold:g}"


def parse_gates(texts: Sequence[str]) -> tuple[Gate, ...]:
    """Read `METRIC=VALUE` each.

    Raises VdistillError for anything else, with the close matches of a metric that does not exist.
    """
    return tuple(_parse(text) for text in texts)


def check_gates(gates: Sequence[Gate], student: Mapping[str, float] | None) -> tuple[Outcome, ...]:
    """Hold the student's metrics against the gates. Raises VdistillError where there is no student."""
    if gates and student is None:
        raise VdistillError("there is no student to hold to --fail-under", hint="run `vdistill distill` first")
    return tuple(_check(gate, (student or {}).get(gate.metric)) for gate in gates)


def _check(gate: Gate, value: float | None) -> Outcome:
    return Outcome(gate.metric, gate.threshold, value, value is not None and value >= gate.threshold)


def _parse(text: str) -> Gate:
    metric, equals, number = (part.strip() for part in text.rpartition("="))
    if not equals or not metric:
        raise VdistillError(f"--fail-under {text!r} is not METRIC=VALUE", hint="for example --fail-under ndcg@10=0.6")
    if metric not in METRICS:
        close = difflib.get_close_matches(metric.lower(), METRICS, n=2)
        meant = f"did you mean {' or '.join(close)}? " if close else ""
        raise VdistillError(f"--fail-under: no metric {metric!r}", hint=f"{meant}metrics: {', '.join(METRICS)}")
    return Gate(metric, _number(text, number))


def _number(text: str, number: str) -> float:
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise VdistillError(
            f"--fail-under {text!r}: {number!r} is not a number", hint="for example --fail-under ndcg@10=0.6"
        )
    return value
