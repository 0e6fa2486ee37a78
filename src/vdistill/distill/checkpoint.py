"""Where an interrupted training goes on: weights and optimizer state after each epoch, in safetensors."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from vdistill.workspace import replacing, writing


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A file that belongs to one training: `key` is the hash of all that decides its outcome."""

    path: Path
    key: str

    def save(self, model: nn.Module, optimizer: torch.optim.Optimizer, memory: Tensor, epoch: int) -> None:
        """Replace the checkpoint by the state after `epoch` epochs; `memory`: what is kept beside the weights."""
        tensors: dict[str, Tensor] = {f"weight/{name}": value for name, value in _trainable(model).items()}
        tensors["memory"] = memory
        for number, state in optimizer.state_dict()["state"].items():
            tensors.update({f"state/{number}/{name}": torch.as_tensor(value) for name, value in state.items()})
        with writing(self.path), replacing(self.path) as aside:
            save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, aside,
                      metadata={"key": self.key, "epoch": str(epoch)})  # fmt: skip

    def load(self, model: nn.Module, optimizer: torch.optim.Optimizer, memory: Tensor) -> int:
        """Put the saved state back; the number of epochs done, 0 where there is nothing that fits this training."""
        try:
            with safe_open(self.path, "pt") as file:
                facts = file.metadata() or {}
                if facts.get("key") != self.key:
                    return 0
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError):  # none yet, or damaged: the training starts over, nothing else is lost
            return 0
        with torch.no_grad():
            for name, parameter in _trainable(model).items():
                parameter.copy_(tensors[f"weight/{name}"])
            memory.copy_(tensors["memory"])
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith("state/"):
                _, number, field = name.split("/")
                state.setdefault(int(number), {})[field] = tensor
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
        return int(facts["epoch"])

    def remove(self) -> None:
        """The training is done."""
        self.path.unlink(missing_ok=True)


def forget(folder: Path) -> None:
    """Drop whatever checkpoint is in `folder`."""
    shutil.rmtree(folder, ignore_errors=True)


def _trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def training_key(*facts: object) -> str:
    """The key of a training from all that decides its outcome."""
    import hashlib

    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()
