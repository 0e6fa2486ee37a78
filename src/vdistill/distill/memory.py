"""How many images a tower can train on at once: what each keeps for the backward pass, and how much memory is free."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from vdistill.distill.settings import DistillSettings
from vdistill.encoders.feature_cache import GIB
from vdistill.errors import VdistillError

SHARE = 0.5  # of what is free: the rest is for short-lived memory of the backward pass, and for other programs
BEYOND = 1.25  # times what is kept: gradients in flight, and short-lived memory of a layer
SCATTERED = 3.0  # … this where the C library has the memory: freed blocks lie between gaps that nothing fits into
UNKNOWN = 4 * GIB  # assumed to be free where the device does not say


@contextlib.contextmanager
def memory_errors(settings: DistillSettings) -> Iterator[None]:
    """Turn running out of memory into one clear error that names the options that help."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:  # which torch raises on a CPU, and subclasses of it elsewhere
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "allocate memory" not in str(error):
            raise
        raise VdistillError(
            f"out of memory with {settings.batch_images} images per step",
            hint=f"--step-memory 1 encodes a step in smaller parts, with the same result; --batch-images "
            f"{max(settings.batch_images // 2, 2)} or --train-layers need less, too",
        ) from error


def images_at_once(features: Callable[[int], Tensor], most: int, limit: float, *, on_cpu: bool = True) -> int:
    """How many of up to `most` images can be encoded with a graph in `limit` bytes; at least one.

    features: gives the vectors of a number of images, with a graph. What one more image keeps is measured, and what is
    kept however many there are, such as copies of the weights in another precision.
    on_cpu: the C library has the memory; from now on it keeps what is freed.
    """
    if most < 2:
        return max(most, 1)
    one, first = _kept(lambda: features(1))
    two, _ = _kept(lambda: features(2))  # at the same time, so that what both keep is what was there before: weights
    before = one.keys() & two.keys()
    alone, both = (sum(size for place, size in kept.items() if place not in before) for kept in (one, two))
    del first
    always = max(2 * alone - both, 0)
    each = max(both - alone, 1) * (SCATTERED if on_cpu else BEYOND)
    if on_cpu:
        _keep_blocks()
    return int(min(max((limit - always) / each, 1), most))


def _keep_blocks() -> None:
    """Make the C library keep freed blocks for later, the largest too, where it can.

    To get each anew from the system took a third to half of the time of a training of ViT-B/32 (docs/benchmarks.md).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if platform.system() == "Linux" else None
    if mallopt is not None:
        m_trim_threshold, m_mmap_threshold = -1, -3  # in malloc.h
        if not mallopt(m_mmap_threshold, GIB):
            mallopt(m_mmap_threshold, GIB // 32)  # the most that older ones take
        mallopt(m_trim_threshold, 2 * GIB - 1)


def kept_bytes(forward: Callable[[], Tensor]) -> int:
    """What the graph of a forward pass keeps for the backward pass; memory shared by tensors counts once."""
    return sum(_kept(forward)[0].values())


def _kept(forward: Callable[[], Tensor]) -> tuple[dict[int, int], Tensor]:
    """The bytes of each block of memory by its address, and the output: while it is held, no address is used again."""
    sizes: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()  # an output that is kept itself would keep its own graph, and never be freed

    with saved_tensors_hooks(note, lambda tensor: tensor):
        output = forward()
    return sizes, output


def free_bytes(device: torch.device) -> float:
    """Memory that is free on the device; on a CPU, how much more this process may take."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return float(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))
    if device.type == "mps":
        return float(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    if device.type == "cpu":
        available = min([float(psutil.virtual_memory().available), *_control_groups()])
        return available / int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return UNKNOWN


def _control_groups(groups: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> Iterator[float]:
    """What the limits of this process's control groups (Linux, version 1 or 2) and of their parents leave.

    Within a container the paths that the kernel gives may not exist; then the topmost folder is the group.
    """
    for line in groups.read_text().splitlines() if groups.is_file() else []:
        _, controllers, path = line.split(":", 2)
        top, limit, usage = root, "memory.max", "memory.current"
        if controllers:
            top, limit, usage = root / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
        if controllers and "memory" not in controllers.split(","):
            continue
        folder = top / path.strip("/")
        for group in (folder, *folder.parents)[: len(folder.parts) - len(top.parts) + 1]:
            with contextlib.suppress(OSError, ValueError):  # "max": no limit
                yield max(int((group / limit).read_text()) - _used(group, usage), 0)


def _used(group: Path, usage: str) -> float:
    """Without cached files, which the kernel can drop."""
    used = int((group / usage).read_text())
    with contextlib.suppress(OSError, ValueError):
        facts = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        used -= int(facts.get("inactive_file", 0))
    return used
