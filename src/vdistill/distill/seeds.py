"""Trainings that differ in their seed alone: how much of a gain is luck, and which one to publish.

What is finished is on disk, so an interrupted run goes on with the next seed.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vdistill.distill.held_out import HeldOutMetrics
from vdistill.distill.phases import Trained
from vdistill.distill.strength import Point
from vdistill.workspace import replacing, writing

SHOWN = ("ndcg@10", "literal_recall@1")


@dataclass(frozen=True)
class Outcome:
    """One training: its seed, the hash of all that decided it, what it did, and the adapter's weights.

    metrics: on the held-out set, by the images alone; None where they were not measured yet.
    """

    seed: int
    key: str
    trained: Trained
    metrics: HeldOutMetrics | None
    weights: Mapping[str, Tensor]

    def figures(self) -> dict[str, Any]:
        """Its row in `student.json`."""
        held_out = self.metrics.means() if self.metrics else {}
        shown = {side: {name: of[name] for name in SHOWN if name in of} for side, of in held_out.items()}
        facts = {"seed": self.seed, "lr": self.trained.lr, "strength": self.trained.strength}
        return {**facts, "validation": self.trained.validation.get("student"), "heldout": shown}


@dataclass(frozen=True, slots=True)
class Kept:
    """The file of a finished training; `key` is the hash of all that decided its outcome."""

    path: Path
    key: str

    def read(self) -> Outcome | None:
        """What is there of this training."""
        with (
            contextlib.suppress(OSError, SafetensorError, KeyError, ValueError, TypeError),
            safe_open(self.path, "pt") as file,
        ):
            facts = file.metadata() or {}
            if facts.get("key") == self.key:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                return _outcome(self.key, json.loads(facts["outcome"]), tensors)
        return None

    def write(self, outcome: Outcome) -> None:
        """Replace the file."""
        tensors = {f"weights/{name}": value.detach().cpu().contiguous() for name, value in outcome.weights.items()}
        for side in ("backbone", "student") if outcome.metrics else ():
            values: dict[str, Any] = getattr(outcome.metrics, side)
            tensors |= {f"{side}/{name}": torch.from_numpy(np.asarray(of)).contiguous() for name, of in values.items()}
        facts = {"key": self.key, "outcome": json.dumps({"seed": outcome.seed, "trained": asdict(outcome.trained)})}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with writing(self.path), replacing(self.path) as aside:
            save_file(tensors, aside, facts)


def best_of(outcomes: Sequence[Outcome]) -> Outcome:
    """Of those that were kept the one that validates best; the first where nothing validates."""
    return max(outcomes, key=lambda one: (one.trained.kept > 0, one.trained.validation.get("student", 0.0)))


def _outcome(key: str, facts: dict[str, Any], tensors: Mapping[str, Tensor]) -> Outcome:
    def of(side: str) -> dict[str, Any]:
        return {name.removeprefix(f"{side}/"): one for name, one in tensors.items() if name.startswith(f"{side}/")}

    found = {**facts["trained"], "strengths": [Point(**one) for one in facts["trained"]["strengths"]]}
    sides = [{name: one.numpy() for name, one in of(side).items()} for side in ("backbone", "student")]
    return Outcome(facts["seed"], key, Trained(**found), HeldOutMetrics(*sides) if sides[0] else None, of("weights"))
