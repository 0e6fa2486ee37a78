"""The results of `bench`: what was measured, and what follows from it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from vdistill.bench.examples import Example
from vdistill.bench.fit import FitReport
from vdistill.bench.gates import Outcome
from vdistill.bench.graded import RERANKED, Graded, Known, Ranker, largest_changes
from vdistill.bench.rerank import Spent
from vdistill.bench.robustness import Perturbed
from vdistill.bench.slices import Slice
from vdistill.errors import VdistillError
from vdistill.evaluation import metrics
from vdistill.evaluation.metrics import METRICS, Interval

DIFFERENCE = "student-backbone"  # the key of the paired difference in `ci95`


@dataclass(frozen=True, slots=True)
class Gain:
    """Student minus backbone in one metric, with the 95 % interval and the p-value of the paired difference."""

    value: float
    ci95: Interval | None
    p: float | None

    @property
    def direction(self) -> Literal["up", "down", ""]:
        """`up` or `down` where the interval excludes zero."""
        if self.ci95 is None or self.ci95.low <= 0 <= self.ci95.high:
            return ""
        return "up" if self.ci95.low > 0 else "down"


@dataclass(frozen=True)
class BenchReport(Graded):
    """What was measured, and what follows from it.

    ci95:     95 % intervals of the means, and under `student-backbone` of the paired difference.
    p_values: of the paired difference, by metric.
    gates:    the outcome of each `--fail-under`.
    metadata: of the held-out items, by id.
    judge:    who judged: its name and, for a teacher, the version of its prompt and how many judgments it gave.
    notes:    what was left out, one line each.
    public_set: what the public set says of itself that was measured on, if any.
    reranked: what re-ordering the head took.
    rankings: of the models, by name, to write them to files.
    fit: of the student's hits; None where the index knows none.
    """

    ci95: dict[str, dict[str, Interval]]
    gates: tuple[Outcome, ...]
    notes: tuple[str, ...]
    p_values: dict[str, float]
    metadata: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    judge: Mapping[str, str | int] = field(default_factory=dict)
    slices: tuple[Slice, ...] = ()
    examples: tuple[Example, ...] = ()
    robustness: tuple[Perturbed, ...] = ()
    reranked: Spent | None = None
    public_set: Mapping[str, Any] = field(default_factory=dict)
    file_of: Callable[[str], str] = str
    rankings: Mapping[str, Ranker] = field(default_factory=dict)
    known: Known = field(default_factory=lambda: Known((), ()))
    fit: FitReport | None = None

    @property
    def present(self) -> dict[str, dict[str, float]]:
        """The means of the models that are there."""
        return {model: found for model, found in self.models.items() if found}

    @property
    def metrics(self) -> list[str]:
        """The metrics that any model has, in the usual order."""
        return [name for name in METRICS if any(name in found for found in self.present.values())]

    def gain(self, metric: str) -> Gain | None:
        """Student minus backbone; None where one has no such figure."""
        student, backbone = (self.present.get(model, {}).get(metric) for model in ("student", "backbone"))
        if student is None or backbone is None:
            return None
        return Gain(student - backbone, self.ci95[DIFFERENCE].get(metric), self.p_values.get(metric))

    @property
    def failed(self) -> tuple[Outcome, ...]:
        """The gates that were not met."""
        return tuple(gate for gate in self.gates if not gate.passed)

    @property
    def verdict(self) -> str:
        """The outcome in one sentence: what the paired interval of nDCG@10 allows to say."""
        backbone, student = self.models["backbone"], self.models["student"]
        if backbone is None:
            raise VdistillError("nothing was measured for the backbone", hint="run `vdistill index --model backbone`")
        gain = self.gain("ndcg@10")
        if student is None or gain is None:
            return (
                f"The backbone alone reaches an nDCG@10 of {backbone['ndcg@10']:.3f}; there is no student to compare."
            )
        figures = f"nDCG@10 {student['ndcg@10']:.3f} against {backbone['ndcg@10']:.3f}"
        if gain.ci95 is None:
            return f"One query is too few to tell student and backbone apart ({figures})."
        spread = f"{gain.value:+.3f}, 95 % interval {gain.ci95.low:+.3f} to {gain.ci95.high:+.3f}"
        if not gain.direction:
            return f"No difference between student and backbone can be shown: {figures} ({spread})."
        better = "better" if gain.direction == "up" else "worse"
        return f"The student ranks {better} than the backbone it came from: {figures} ({spread})."

    @property
    def reranking(self) -> Gain | None:
        """The re-ordered model minus the model alone in nDCG@10, on the queries that were re-ordered."""
        if self.reranked is None:
            return None
        name = self.reranked.model
        gained = self.values[name]["ndcg@10"] - self.values[name.partition(RERANKED)[0]]["ndcg@10"]
        between = metrics.interval(gained, self.seed)
        return Gain(metrics.mean(gained), between, metrics.p_value(gained, self.seed))

    def _rerank_gain(self) -> dict[str, Any]:
        gain = self.reranking
        known = gain is not None and math.isfinite(gain.value)
        return {"gain": asdict(gain) if gain is not None and known else None}

    def to_json(self) -> dict[str, Any]:
        """What `bench --json` prints."""
        return {
            "models": self.models,
            "ci95": self.ci95,
            "judge": self.judge,
            "queries": len(self.held_out.judged),
            "items": len(self.held_out.items),
            "gates": [gate.to_json() for gate in self.gates],
            "p_values": self.p_values,
            "gained": [asdict(one) for one in largest_changes(self, 10)],
            "lost": [asdict(one) for one in largest_changes(self, -10)],
            "slices": [asdict(one) for one in self.slices],
            "per": self.held_out.per,
            "products": len(self.held_out.products.names),
            **({"set": dict(self.public_set)} if self.public_set else {}),
            **({"rerank": asdict(self.reranked) | self._rerank_gain()} if self.reranked else {}),
            **({"fit": self.fit.to_json()} if self.fit else {}),
            **({"robustness": [asdict(one) for one in self.robustness]} if self.robustness else {}),
        }
