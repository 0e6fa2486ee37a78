"""Who works on what: the workers of a run, and what becomes of their jobs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from vdistill.cluster.connection import Cluster
from vdistill.cluster.nodes import Node, Post, Posts

JobT = TypeVar("JobT")


@dataclass(frozen=True, slots=True)
class Role:
    """What the workers of a run are.

    kind: a class with the methods `prepare(…) -> list of notices` and `method(job)`; it is made with the number of its
    cores and whether it has a GPU.  depth: how many jobs one has at a time, so that none waits.
    side_by_side: how many of them it works on at once.
    """

    kind: type
    method: str
    room: Posts
    depth: int = 2
    side_by_side: int = 1


@dataclass(frozen=True, slots=True)
class Outcome(Generic[JobT]):
    """What became of a job.  found: None where the worker was lost, or what it found.

    blamed: whether the worker died while it worked on this job, on a node that lives on.
    """

    job: JobT
    node: Node
    found: Any = None
    lost: bool = False
    blamed: bool = False


@dataclass(eq=False)
class Worker(Generic[JobT]):
    """A worker and what it has to do.  state: then "preparing", "ready", "gone"."""

    post: Post
    actor: Any
    started: float
    state: str = "hired"
    jobs: dict[Any, JobT] = field(default_factory=dict)  # by reference, oldest first


def hired(cluster: Cluster, role: Role, post: Post) -> Any:
    """A new actor at a post; it starts at once."""
    options = {"num_cpus": post.cpus, "num_gpus": post.gpus, "max_restarts": 0, "max_task_retries": 0}
    if role.side_by_side > 1:
        options["max_concurrency"] = role.side_by_side
    if post.memory and post.node.memory:
        options["memory"] = post.memory
    kind = cluster.ray.remote(role.kind).options(**options, scheduling_strategy=cluster.only_on(post.node))
    return kind.remote(post.cpus, post.gpus > 0)
