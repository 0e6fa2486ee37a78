"""Gates: what the student must reach for a build to pass."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from vdistill.bench.graded import Graded
from vdistill.bench.runs import Run
from vdistill.errors import VdistillError
from vdistill.evaluation import metrics
from vdistill.evaluation.metrics import METRICS

GAIN = "gain:"  # before a metric: student − backbone
# What a new student must not lose against an earlier one: the head, the bulk, and what the backbone knew.
GUARDED = ("ndcg@10", "mpr", "literal_recall@10")
_EXAMPLE = "for example --fail-under ndcg@10=0.6"


@dataclass(frozen=True, slots=True)
class Gate:
    """A `--fail-under METRIC=VALUE`; the metric may be a gain."""

    metric: str
    threshold: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """A gate and what the student reached; `value` is None where it could not be measured, which fails.

    against: the run whose student it was compared with; then `value` is the upper end of the difference's interval.
    """

    metric: str
    threshold: float
    value: float | None
    passed: bool
    against: str | None = None

    def to_json(self) -> dict[str, Any]:
        """An entry of `gates` in `bench --json`."""
        return {name: value for name, value in asdict(self).items() if name != "against" or value is not None}

    def __str__(self) -> str:
        if self.against is not None:
            verdict = "no worse than" if self.passed else "worse than"
            best = "it has no value now" if self.value is None else f"at best {self.value:+.4f}"
            return f"{self.metric} of the student is {verdict} in run {self.against} ({best})"
        gained = self.metric.startswith(GAIN)
        what = f"{self.metric.removeprefix(GAIN)} {'gained over the backbone' if gained else 'of the student'}"
        shown = "has no value" if self.value is None else f"is {self.value:.4f}"
        return f"{what} {shown}, {'at least' if self.passed else 'below'} {self.threshold:g}"


def parse_gates(texts: Sequence[str]) -> tuple[Gate, ...]:
    """Read `METRIC=VALUE` or `gain:METRIC=VALUE` each.

    Raises VdistillError for anything else, with the close matches of a metric that does not exist.
    """
    return tuple(_parse(text) for text in texts)


def check_gates(gates: Sequence[Gate], models: Mapping[str, Mapping[str, float] | None]) -> tuple[Outcome, ...]:
    """Compare the student's metrics with the gates. Raises VdistillError where there is no student."""
    student, backbone = models.get("student"), models.get("backbone") or {}
    if gates and student is None:
        raise VdistillError("there is no student to hold to --fail-under", hint="run `vdistill distill` first")
    gains = {f"{GAIN}{name}": value - backbone[name] for name, value in (student or {}).items() if name in backbone}
    found = {**(student or {}), **gains}
    return tuple(_check(gate, found.get(gate.metric)) for gate in gates)


def no_worse(report: Graded, run: Run) -> tuple[Outcome, ...]:
    """Compare the student with that of an earlier run, query by query.

    A metric fails where the 95 % interval of the paired difference lies below 0: chance alone fails one good student
    in forty, and the guarded metrics move together. A metric that only the earlier run has fails too.
    Raises VdistillError where the runs cannot be compared.
    """
    if "student" not in report.values or "student" not in run.models:
        raise VdistillError(f"nothing to compare with run {run.id}", hint="both runs need a student")
    return tuple(_compared(report, run, metric) for metric in GUARDED if metric in run.values)


def _compared(report: Graded, run: Run, metric: str) -> Outcome:
    between = None
    if metric in report.values["student"]:
        between = metrics.interval(run.paired(report, metric), report.seed)
    high = None if between is None else between.high
    return Outcome(metric, 0.0, high, high is not None and high >= 0, run.id)


def _check(gate: Gate, value: float | None) -> Outcome:
    return Outcome(gate.metric, gate.threshold, value, value is not None and value >= gate.threshold)


def _parse(text: str) -> Gate:
    metric, equals, number = (part.strip() for part in text.rpartition("="))
    if not equals or not metric:
        raise VdistillError(f"--fail-under {text!r} is not METRIC=VALUE", hint=_EXAMPLE)
    name = metric.removeprefix(GAIN)
    if name not in METRICS or (name == "gap_closed" and name != metric):
        close = difflib.get_close_matches(name.lower(), METRICS, n=2)
        meant = f"did you mean {' or '.join(close)}? " if close else ""
        raise VdistillError(f"--fail-under: no metric {metric!r}", hint=f"{meant}metrics: {', '.join(METRICS)}")
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise VdistillError(f"--fail-under {text!r}: {number!r} is not a number", hint=_EXAMPLE)
    return Gate(metric, value)
