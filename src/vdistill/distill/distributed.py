"""Data-parallel training: each process encodes a share of a step's images, and all see the whole step's loss.

Every process holds the same weights. The vectors of a step are gathered, each process differentiates the loss through
those it encoded, and the sum of the gradients is the gradient of one process that had encoded them all.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters


@dataclass(frozen=True, slots=True)
class Processes:
    """This process among all that train together."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    def share(self, count: int) -> slice:
        """The part of `count` things that this process handles."""
        each = -(-count // self.size)
        return slice(min(self.rank * each, count), min((self.rank + 1) * each, count))

    def gathered(self, own: Tensor, count: int) -> Tensor:
        """(count, d) the rows of all processes; only `own` carry a gradient."""
        if self.size == 1:
            return own
        each = -(-count // self.size)
        padded = torch.zeros(each, own.shape[1], dtype=own.dtype, device=own.device)
        padded[: len(own)] = own.detach()
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        dist.all_gather(parts, padded)
        mine = self.share(count)
        rows = torch.cat(parts)[:count]
        return torch.cat([rows[: mine.start], own, rows[mine.stop :]])

    def add_gradients(self, parameters: list[nn.Parameter]) -> None:
        """Sum the gradients over all processes, in one message."""
        if self.size == 1:
            return
        for parameter in parameters:
            if parameter.grad is None:  # this process had no image of the step
                parameter.grad = torch.zeros_like(parameter)
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = parameters_to_vector(gradients)
        dist.all_reduce(flat)
        vector_to_parameters(flat, gradients)

    def agreed(self, values: list[float]) -> list[float]:
        """The values of the first process, so that all decide alike."""
        if self.size == 1:
            return values
        said: list[object] = [values]
        dist.broadcast_object_list(said, src=0)
        return list(said[0])  # type: ignore[call-overload, no-any-return]

    def wait(self) -> None:
        """Wait until all processes have reached this point."""
        if self.size > 1:
            dist.barrier()


ALONE = Processes()
# The others wait while the first process fills the cache of the frozen layers and measures on the held-out set, either
# of which may take longer than torch's own half an hour on a large catalog.
PATIENCE = timedelta(days=1)


def join(device: str) -> tuple[Processes, str]:
    """This process among those that `accelerate launch` or torchrun started, and its device."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return ALONE, device
    from accelerate import PartialState

    cpu = device == "cpu" or torch.accelerator.current_accelerator(check_available=True) is None
    state = PartialState(cpu=cpu, timeout=PATIENCE)
    return Processes(state.process_index, state.num_processes), "cpu" if cpu else str(state.device)


def leave() -> None:
    """Shut the process group down, where there is one."""
    if dist.is_initialized():
        dist.destroy_process_group()
