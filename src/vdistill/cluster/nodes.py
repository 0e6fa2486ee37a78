"""The nodes of a cluster: what they have, what runs there, and where workers have room."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from vdistill import __version__

# Vectors and answers depend on these: their first two numbers must be the same everywhere.
PACKAGES = ("torch", "transformers", "tokenizers", "pillow", "numpy")
SLACK = 2**30  # bytes of memory that a worker takes beside its model, for the most part torch
DECODERS = 4  # cores to decode beside one GPU


@dataclass(frozen=True, slots=True)
class Node:
    """A machine of the cluster, as Ray describes it.  memory: bytes that Ray may give away."""

    id: str
    name: str
    cpus: int
    gpus: int
    memory: float


@dataclass(frozen=True, slots=True)
class Post:
    """Room for one worker on a node: what it occupies.  memory: bytes."""

    node: Node
    cpus: int
    gpus: int
    memory: int = 0


Posts = Callable[[Sequence[Node]], list[Post]]


def alive(described: Iterable[Mapping[str, Any]]) -> list[Node]:
    """The nodes that are alive, from what `ray.nodes()` says."""
    found = []
    for one in described:
        if one.get("Alive"):
            has = one.get("Resources", {})
            name = str(one.get("NodeName") or one.get("NodeManagerHostname") or one["NodeID"][:8])
            cpus, gpus, memory = (has.get(kind, 0) for kind in ("CPU", "GPU", "memory"))
            found.append(Node(str(one["NodeID"]), name, int(cpus), int(gpus), float(memory)))
    return found


@dataclass(frozen=True, slots=True)
class Room:
    """How workers of one kind are spread.

    most_cpus: of one worker on a node without GPUs; 0 for the whole node.  memory: bytes that one needs.
    """

    most_cpus: int
    memory: int = 0

    def __call__(self, nodes: Sequence[Node]) -> list[Post]:
        """A post for each GPU; where no node has any, posts for the cores of all nodes.

        GPUs and CPUs never work side by side: their vectors would differ a little, and the last part of a CPU would
        keep the GPUs waiting.
        """
        if any(node.gpus for node in nodes):
            return [post for node in nodes for post in self._on_gpus(node)]
        return [post for node in nodes for post in self._on_cpus(node)]

    def _on_gpus(self, node: Node) -> list[Post]:
        cpus = min(DECODERS, node.cpus // max(node.gpus, 1))
        return [Post(node, cpus, 1, self.memory)] * self._fitting(node, node.gpus)

    def _on_cpus(self, node: Node) -> list[Post]:
        if not node.cpus:
            return []
        each = min(self.most_cpus or node.cpus, node.cpus)
        count = self._fitting(node, node.cpus // each)  # where memory is short fewer workers, with more cores each
        return [Post(node, node.cpus // count, 0, self.memory)] * count if count else []

    def _fitting(self, node: Node, count: int) -> int:
        """As many of `count` as the node's memory holds; Ray does not always know it."""
        return min(count, int(node.memory // self.memory)) if self.memory and node.memory else count


def versions_here() -> dict[str, str]:
    """What this process runs, by name."""
    return {"Python": platform.python_version(), "vdistill": __version__, **{one: _version(one) for one in PACKAGES}}


def versions_there() -> Callable[[Sequence[str]], dict[str, str]]:
    """The same for a process of another machine, which may lack vdistill: a function that Ray carries there whole."""

    def found(packages: Sequence[str]) -> dict[str, str]:
        import importlib.metadata
        import platform

        versions = {"Python": platform.python_version()}
        try:
            import vdistill

            versions["vdistill"] = vdistill.__version__
        except Exception:
            versions["vdistill"] = ""
        for name in packages:
            try:
                versions[name] = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                versions[name] = ""
        return versions

    return found


def differences(here: Mapping[str, str], there: Mapping[str, str]) -> str:
    """What a node lacks or has in another version, in words; empty where it may work."""
    missing = [name for name in here if not there.get(name)]
    if missing:
        return f"it lacks {' and '.join(missing)}"
    other = [name for name in here if _compared(name, here[name]) != _compared(name, there[name])]
    return ", ".join(f"it has {name} {there[name]}, this machine {here[name]}" for name in other)


def _compared(name: str, full: str) -> str:
    return full if name == "vdistill" else ".".join(full.partition("+")[0].split(".")[:2])


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
