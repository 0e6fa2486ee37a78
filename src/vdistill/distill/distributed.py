"""Data-parallel training: each process encodes a share of a step's images, and all see the whole step's loss.

Every process holds the same weights. The vectors of a step are gathered, each process differentiates the loss through
those it encoded, and the sum of the gradients is the gradient of one process that had encoded them all.

Messages are JSON and safetensors, so that nothing that comes from another machine is run.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np
import torch
import torch.distributed as dist
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from vdistill.distill.watch import HINT, Watch
from vdistill.errors import VdistillError


@dataclass(frozen=True, slots=True)
class Processes:
    """This process among all that train together. device: that messages are sent from."""

    rank: int = 0
    size: int = 1
    device: str = "cpu"
    watch: Watch | None = field(default=None, compare=False)

    @property
    def leads(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    def share(self, count: int) -> slice:
        """The part of `count` things that this process handles."""
        each = -(-count // self.size)
        return slice(min(self.rank * each, count), min((self.rank + 1) * each, count))

    def gathered(self, own: Tensor, count: int) -> Tensor:
        """(count, …) the rows of all processes; only `own` carry a gradient."""
        if self.size == 1:
            return own
        each = -(-count // self.size)
        padded = torch.zeros(each, *own.shape[1:], dtype=own.dtype, device=own.device)
        padded[: len(own)] = own.detach()
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        with self._heard():
            dist.all_gather(parts, padded)
        mine = self.share(count)
        rows = torch.cat(parts)[:count]
        return torch.cat([rows[: mine.start], own, rows[mine.stop :]])

    def exchanged(self, own: Tensor, count: int) -> Tensor:
        """(count, …) the rows of all processes, without gradients, on the CPU; of any type."""
        if self.size == 1:
            return own
        data = own.detach().contiguous().flatten(1) if own.dim() > 1 else own[:, None].contiguous()
        found = self.gathered(data.view(torch.uint8).to(self.device), count).cpu().contiguous()
        return found.view(own.dtype).view(count, *own.shape[1:])

    def add_gradients(self, parameters: list[nn.Parameter]) -> None:
        """Sum the gradients over all processes, in one message."""
        if self.size == 1:
            return
        for parameter in parameters:
            if parameter.grad is None:  # this process had no image of the step
                parameter.grad = torch.zeros_like(parameter)
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = parameters_to_vector(gradients)
        with self._heard():
            dist.all_reduce(flat)
        vector_to_parameters(flat, gradients)

    def align(self, parameters: list[nn.Parameter]) -> None:
        """Give all processes the first one's values: machines of other kinds round otherwise, and would drift apart."""
        if self.size == 1:
            return
        with torch.no_grad():
            flat = parameters_to_vector(parameters)
            with self._heard():
                dist.broadcast(flat, src=0)
            vector_to_parameters(flat, parameters)

    def agreed(self, values: Sequence[float]) -> list[float]:
        """The values of the first process, so that all decide alike."""
        if self.size == 1:
            return list(values)
        return np.frombuffer(self._first(np.array(values, np.float64).tobytes())).tolist()  # type: ignore[no-any-return]

    def told(self, text: str = "") -> str:
        """The text of the first process."""
        return text if self.size == 1 else self._first(text.encode()).decode()

    def given(self, tensors: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """The tensors of the first process, on the CPU; on the others None goes in."""
        found = {name: tensor.detach().cpu().contiguous() for name, tensor in (tensors or {}).items()}
        return found if self.size == 1 else load(self._first(save(found) if self.leads else b""))

    def texts(self, text: str) -> list[str]:
        """The texts of all processes, in order."""
        if self.size == 1:
            return [text]
        data = text.encode()
        lengths = [torch.zeros(1, dtype=torch.int64, device=self.device) for _ in range(self.size)]
        with self._heard():
            dist.all_gather(lengths, torch.tensor([len(data)], device=self.device))
            most = max(int(length) for length in lengths)
            parts = [torch.zeros(most, dtype=torch.uint8, device=self.device) for _ in range(self.size)]
            dist.all_gather(parts, _tensor(data.ljust(most)).to(self.device))
        return [_data(part)[: int(length)].decode() for part, length in zip(parts, lengths, strict=True)]

    def wait(self) -> None:
        """Wait until all processes have reached this point."""
        if self.size > 1:
            with self._heard():
                dist.barrier()

    def _first(self, data: bytes) -> bytes:
        """What the first process has."""
        length = torch.tensor([len(data)], device=self.device)
        with self._heard():
            dist.broadcast(length, src=0)
            if not int(length):
                return b""
            message = _tensor(data) if self.leads else torch.empty(int(length), dtype=torch.uint8)
            message = message.to(self.device)
            dist.broadcast(message, src=0)
        return _data(message)

    @contextlib.contextmanager
    def _heard(self) -> Iterator[None]:
        """Turn the end of another process into one line."""
        try:
            yield
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            why = self.watch.why() if self.watch else None
            closed = "by peer" in str(error)
            told = "its connection was closed" if closed else str(error).splitlines()[0]
            found = why or VdistillError(told, hint=HINT)
            raise Lost(f"another process of this training stopped: {found.message}", hint=found.hint) from error


class Lost(VdistillError):
    """Another process of the training is gone."""


ALONE = Processes()
# The others wait while the first process measures on the held-out set, which may take longer than torch's own half an
# hour on a large catalog. `Watch` notices much earlier when it is gone.
PATIENCE = timedelta(days=1)


def join(device: str, lost: Callable[[VdistillError], None] = lambda _: None) -> tuple[Processes, str]:
    """This process among those that `accelerate launch` or torchrun started, and its device.

    lost: is told, in another thread, when a process falls silent; it must end this one.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return ALONE, device
    from accelerate import PartialState

    cpu = device == "cpu" or torch.accelerator.current_accelerator(check_available=True) is None
    try:
        state = PartialState(cpu=cpu, timeout=PATIENCE)
        watch = Watch(state.process_index, state.num_processes, lost)
    except RuntimeError as error:
        where = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
        raise VdistillError(
            f"the processes of this training cannot find one another at {where}: {str(error).splitlines()[0]}",
            hint="start the command on every node, with the same --nnodes, --master-addr and --master-port",
        ) from error
    watch.start()
    device = "cpu" if cpu else str(state.device)
    return Processes(state.process_index, state.num_processes, device, watch), device


def leave(processes: Processes) -> None:
    """Shut the process group down, where there is one."""
    if processes.watch is not None:
        processes.watch.end()
    if dist.is_initialized():
        dist.destroy_process_group()


@contextlib.contextmanager
def failures_told(processes: Processes) -> Iterator[None]:
    """Tell the others why this process fails, if it does."""
    try:
        yield
    except VdistillError as error:
        if processes.watch is not None and not isinstance(error, Lost):
            processes.watch.fail(error)
        raise


def _tensor(data: bytes) -> Tensor:
    return torch.frombuffer(bytearray(data), dtype=torch.uint8) if data else torch.empty(0, dtype=torch.uint8)


def _data(message: Tensor) -> bytes:
    return message.cpu().numpy().tobytes()
