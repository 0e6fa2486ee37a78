"""What goes wrong with workers, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vdistill.cluster.connection import Cluster
from vdistill.cluster.nodes import Node
from vdistill.errors import VdistillError, first_line


def no_room(cluster: Cluster, nodes: Sequence[Node]) -> VdistillError:
    """The error of a cluster on which no worker could ever run."""
    has = f"{sum(node.cpus for node in nodes)} CPUs and {sum(node.gpus for node in nodes)} GPUs"
    memory = max((node.memory for node in nodes), default=0) / 2**30
    return VdistillError(
        f"{cluster.name} has no room for a worker: {len(nodes)} nodes with {has}, at most {memory:.1f} GiB of memory",
        hint="add a node with CPUs or a GPU (`ray start --address=… --num-cpus=…`) and enough memory for the model",
    )


def free_now(cluster: Cluster) -> str:
    """What nobody uses, in words."""
    free, nodes = cluster.free(), cluster.nodes()
    return (
        f"{free.get('CPU', 0):.0f} of {sum(node.cpus for node in nodes)} CPUs and "
        f"{free.get('GPU', 0):.0f} of {sum(node.gpus for node in nodes)} GPUs are free"
    )


def as_ours(error: Any, node: Node) -> VdistillError:
    """What a job raised: our own errors as they are, anything else in one line."""
    cause = error.cause
    if isinstance(cause, VdistillError):
        return cause
    return VdistillError(
        f"a worker on {node.name} failed: {type(cause).__name__}: {first_line(cause)}",
        hint="what was done is kept; --debug shows where it failed",
    )


def reason(error: BaseException) -> str:
    """Why a worker cannot begin."""
    return error.message if isinstance(error, VdistillError) else f"{type(error).__name__}: {shortened(error)}"


def shortened(error: BaseException, most: int = 200) -> str:
    """What an error says, in one line of at most so many letters."""
    words = " ".join(str(error).split())
    return words if len(words) <= most else f"{words[:most]}…"
