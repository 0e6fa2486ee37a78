"""How many images a tower can train on at once: what each leaves in memory for the backward pass, and what is free."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

GIB = 1024**3
SHARE = 0.5  # of what is free: the rest is for what the backward pass needs for a moment, and for others
BEYOND = 1.25  # times what is kept: gradients on their way, and what a layer needs for a moment
SCATTERED = 2.0  # … times this where what is freed is not given back: measured 1.5 to 2.2 with glibc's own rule
LARGE = 1 * GIB  # kept by a step: from there on freed blocks are given back
UNKNOWN = 4 * GIB  # taken to be free where the system does not say


def images_at_once(features: Callable[[int], Tensor], most: int, limit: float, *, on_cpu: bool = True) -> int:
    """How many of up to `most` images can be encoded with a graph in `limit` bytes; at least one.

    features: the vectors of so many images, with a graph. What one more image keeps is measured.
    """
    if most < 2:
        return max(most, 1)
    one = kept_bytes(lambda: features(1))
    each = max(kept_bytes(lambda: features(2)) - one, 1) * BEYOND  # the difference: weights are kept once
    if on_cpu and each * most > min(LARGE, limit) and not _gives_back():
        each *= SCATTERED
    return int(min(max(limit / each, 1), most))


def _gives_back() -> bool:
    """Let the C library give large blocks back as they are freed; False where it cannot be told.

    glibc learns to keep blocks of up to 32 MB for later, and those of the backward pass come to lie between holes that
    nothing fits into. To ask the system for each block of a megabyte costs a large tower next to nothing.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if platform.system() == "Linux" else None
    return mallopt is not None and mallopt(_MMAP_THRESHOLD, 1024**2) == 1


_MMAP_THRESHOLD = -3  # M_MMAP_THRESHOLD of malloc.h


def kept_bytes(forward: Callable[[], Tensor]) -> int:
    """What the graph of a forward pass keeps for the backward pass; memory that tensors share counts once."""
    sizes: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(note, lambda tensor: tensor):
        output = forward()  # held until all is counted, so that no address is used twice
    del output
    return sum(sizes.values())


def free_bytes(device: torch.device) -> float:
    """Memory that is free on the device; on a CPU what this process may still take."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return float(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))
    if device.type == "mps":
        return float(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    if device.type == "cpu":
        return _of_machine() / int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return UNKNOWN


def _of_machine() -> float:
    system = platform.system()
    if system == "Linux":
        return min([_available(), *_control_groups()])
    if system == "Windows":
        return _windows()
    with contextlib.suppress(AttributeError, ValueError, OSError):  # what is free is not told: half of what there is
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2
    return UNKNOWN


def _available(path: Path = Path("/proc/meminfo")) -> float:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in path.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024.0
    return UNKNOWN


def _control_groups(groups: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> Iterator[float]:
    """What the limits of this process's control groups leave, of either version, and of those they lie in.

    Within a container the paths that the kernel tells may not be there; then `root` itself is the group.
    """
    with contextlib.suppress(OSError):
        for line in groups.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            names = ("memory.max", "memory.current")
            folder = root
            if controllers:
                names, folder = ("memory.limit_in_bytes", "memory.usage_in_bytes"), root / "memory"
            if not controllers or "memory" in controllers.split(","):
                yield from _limits(folder, path.strip("/"), *names)


def _limits(root: Path, path: str, limit: str, usage: str) -> Iterator[float]:
    here = root / path
    for folder in (here, *here.parents):
        with contextlib.suppress(OSError, ValueError):  # "max" is none
            yield max(int((folder / limit).read_text()) - _used(folder, usage), 0)
        if folder == root:
            return


def _used(folder: Path, usage: str) -> float:
    """Without files that were read and can be forgotten."""
    used = int((folder / usage).read_text())
    with contextlib.suppress(OSError, ValueError):
        facts = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        used -= int(facts.get("inactive_file", 0))
    return used


def _windows() -> float:
    class Status(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ulong), ("load", ctypes.c_ulong)] + [
            (name, ctypes.c_ulonglong)
            for name in ("physical", "free", "pages", "free_pages", "virtual", "free_virtual", "extended")
        ]

    status = Status(length=ctypes.sizeof(Status))
    windll = getattr(ctypes, "windll", None)
    if windll is None or not windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):
        return UNKNOWN
    return float(status.free)
