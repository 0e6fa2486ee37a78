"""The state of a training after each epoch, in one safetensors file, from which an interrupted one resumes."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from vdistill.distill.distributed import ALONE, Processes
from vdistill.records import Judgment
from vdistill.workspace import replacing, writing

VERSION = 8  # of the file's layout: a file of another version is ignored, and the training starts over


@dataclass
class State:
    """How far a training has come. Randomness depends on seed and epoch alone, so no generator's state is in it.

    memory: (n, dim) the last known vectors of the images.  best: the weights kept so far, at first the backbone's.
    kept: their epoch, 0 for the backbone.  scores: their validation nDCG of each query; peak: that of the epoch with
    the highest mean.  stale: epochs since weights were kept.  history: the figures of each epoch.
    restarts: after which epoch how much was lost at which learning rate.
    at_once: images encoded in one pass, 0 before that is known.  reads: whether the reader of the texts still teaches.
    strengths: in a refit, how the weights before it validated at other strengths; see `strength.Point`.
    """

    memory: Tensor
    epoch: int = 0
    retention: float = 0.0
    peak: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    kept: int = 0
    stale: int = 0
    best: dict[str, Tensor] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    restarts: list[dict[str, float]] = field(default_factory=list)
    at_once: int = 0
    reads: bool = False
    strengths: list[dict[str, Any]] = field(default_factory=list)

    _TENSORS = ("memory", "best")

    def facts(self) -> dict[str, object]:
        """All but the tensors."""
        return {one.name: getattr(self, one.name) for one in fields(self) if one.name not in self._TENSORS}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A file that belongs to one training: `key` is the hash of all that decides its outcome."""

    path: Path
    key: str

    def of(self, part: str) -> Checkpoint:
        """The checkpoint of a later part of the training, in the same file."""
        return replace(self, key=training_key(self.key, part))

    def epochs_before(self) -> int | None:
        """How many epochs the earlier parts of the training took; None where this part has not begun."""
        with contextlib.suppress(OSError, SafetensorError), safe_open(self.path, "pt") as file:
            state = self._state(file.metadata())
            return None if state is None else len(state["history"]) - int(state["epoch"])
        return None

    def save(self, model: nn.Module, optimizer: torch.optim.Optimizer, state: State) -> None:
        """Replace the file by the present state."""
        tensors: dict[str, Tensor] = {f"weight/{name}": value for name, value in trained(model).items()}
        tensors["memory"] = state.memory
        tensors.update({f"best/{name}": value for name, value in state.best.items()})
        for number, moments in optimizer.state_dict()["state"].items():
            tensors.update({f"state/{number}/{name}": torch.as_tensor(value) for name, value in moments.items()})
        facts = {"version": str(VERSION), "key": self.key, "state": json.dumps(state.facts())}
        with writing(self.path), replacing(self.path) as aside:
            save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, aside, facts)

    def load(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, state: State, processes: Processes = ALONE
    ) -> None:
        """Put the saved state back into all three; nothing changes where none of this training is saved.

        With several processes all must ask for it, and get what the first one has: the file is in its workspace alone.
        """
        saved = self._saved() if processes.leads else None
        facts = json.loads(processes.told(json.dumps(saved and saved[0])))
        if facts is None:
            return
        tensors = processes.given(saved and saved[1])
        with torch.no_grad():
            for name, parameter in trained(model).items():
                parameter.copy_(tensors[f"weight/{name}"])
            state.memory.copy_(tensors["memory"])
        state.best = {
            name.removeprefix("best/"): tensor.to(state.memory.device)
            for name, tensor in tensors.items()
            if name.startswith("best/")
        }
        for name, value in facts.items():
            setattr(state, name, value)
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith("state/"):
                _, number, what = name.split("/")
                moments.setdefault(int(number), {})[what] = tensor
        optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})

    def _saved(self) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
        """The saved state and its tensors, where there is one of this training and the file is whole."""
        with contextlib.suppress(OSError, SafetensorError), safe_open(self.path, "pt") as file:
            facts = self._state(file.metadata())
            if facts is not None:
                return facts, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return None

    @property
    def trials(self) -> Path:
        """The file of the short trainings that chose the learning rate."""
        return self.path.with_name("learning_rates.json")

    def remove(self) -> None:
        """Delete the files."""
        self.path.unlink(missing_ok=True)
        self.trials.unlink(missing_ok=True)

    def _state(self, facts: dict[str, str] | None) -> dict[str, Any] | None:
        """The saved state without its tensors; None where it belongs to another training."""
        if facts is None or (facts.get("version"), facts.get("key")) != (str(VERSION), self.key):
            return None
        state: dict[str, Any] = json.loads(facts["state"])
        return state


def trained(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that are trained, by name."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def training_key(*facts: object) -> str:
    """The key of a training from all that decides its outcome."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


def judgments_key(judgments: Iterable[Judgment]) -> str:
    """Hash of everything in the judgments that a training depends on."""
    digest = hashlib.sha256()
    for one in judgments:
        said = (one.answer.probabilities, one.answer.order, one.teacher, one.prompt, one.pool)
        digest.update(repr((one.query, one.items, one.sha256, said)).encode())
    return digest.hexdigest()
