"""The connection to a cluster: made once a command, told apart by what can go wrong, and closed at the end."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vdistill.cluster.engine import CLIENT, Engine
from vdistill.cluster.nodes import Node, Post, alive
from vdistill.cluster.quiet import SETTINGS, own_streams, settings
from vdistill.errors import VdistillError, first_line

# Of a cluster that is started here: it listens on the loopback address alone, where Ray would take any, and its workers
# have the priority of this process, where Ray would give them the least.
OURS = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_worker_niceness": "0"}


SILENCE = 25.0  # seconds without an answer after which it is given up; after 60 Ray would end this process
LEAVE = 5.0  # seconds to take leave of a cluster that does not answer


@dataclass(slots=True)
class Cluster:
    """A cluster while it is in use.

    ray: the package.  heard: when it last answered.  gone: whether it does not.
    early: the first workers, hired before it is known what they will need, each with its post.
    """

    engine: Engine
    ray: Any
    heard: float = field(default_factory=time.monotonic)
    gone: bool = False
    early: list[tuple[Post, Any]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """In messages."""
        return self.engine.name

    def nodes(self) -> list[Node]:
        """The nodes that are alive. Raises VdistillError where the cluster does not answer any more."""
        try:
            return alive(self.ray.nodes())
        except Exception as error:  # Ray's client and its core each raise their own kinds
            raise self.lost(first_line(error)) from error

    def answers(self) -> bool:
        """Whether its first node can be reached now. Raises VdistillError where that has not been so for long."""
        if self.engine.reached():
            self.heard = time.monotonic()
            return True
        if time.monotonic() - self.heard > SILENCE:
            raise self.lost()
        return False

    def lost(self, reason: str = "") -> VdistillError:
        """The error of a cluster that is not there any more; from now on nothing is asked of it."""
        self.gone = True
        return VdistillError(
            f"{self.name} does not answer any more{f': {reason}' if reason else ''}",
            hint="start it again and run the same command; what was done is kept",
        )

    def leave(self) -> None:
        """End what was started here, and the connection."""
        if not self.gone:
            self.ray.shutdown()
            return
        last = threading.Thread(target=self.ray.shutdown, daemon=True)  # it would wait for the cluster
        last.start()
        last.join(LEAVE)

    def run_on(self, node: Node, function: Callable[..., Any], *arguments: Any) -> Any:
        """A reference to what a function returns on this node alone, where it occupies nothing."""
        task = self.ray.remote(num_cpus=0, max_retries=3)(function)
        return task.options(scheduling_strategy=self.only_on(node)).remote(*arguments)

    def only_on(self, node: Node) -> Any:
        """The strategy that puts something on this node, or fails."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        return NodeAffinitySchedulingStrategy(node.id, soft=False)

    def free(self) -> dict[str, float]:
        """What is free in the whole cluster, by resource."""
        return dict(self.ray.available_resources())


@contextlib.contextmanager
def connected(engine: Engine) -> Iterator[Cluster]:
    """The cluster of an engine, started where it is this machine's, and left (or ended) afterwards.

    Raises VdistillError where it cannot be used.
    """
    engine.check()
    with contextlib.ExitStack() as after:
        after.enter_context(own_streams())
        after.enter_context(settings({**SETTINGS, **({} if engine.address else _own())}))
        import ray

        if ray.is_initialized():  # by a program that calls vdistill; its cluster is not ours to end
            raise VdistillError("this process uses a Ray cluster already", hint="call ray.shutdown() first")
        options: dict[str, Any] = {"logging_level": "critical", "log_to_driver": False, "configure_logging": False}
        if engine.address.startswith(CLIENT):
            options = {"address": engine.address, "log_to_driver": False}
        elif engine.address:
            options |= {"address": engine.address}
        else:
            # Its sockets must have names of 107 bytes at most, which a long TMPDIR would exceed.
            folder = tempfile.mkdtemp(prefix="vdistill-ray-", dir="/tmp" if Path("/tmp").is_dir() else None)
            after.callback(shutil.rmtree, folder, ignore_errors=True)
            options |= {"address": "local", "num_cpus": cores(), "include_dashboard": False, "_temp_dir": folder}
        cluster = Cluster(engine, ray)
        after.callback(cluster.leave)
        _start(ray, engine, options)
        cluster.heard = time.monotonic()
        yield cluster


def cores() -> int:
    """The cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _own() -> dict[str, str]:
    """A cluster of our own listens to this process and its children alone, which know a token that is never written."""
    token = {} if "RAY_AUTH_MODE" in os.environ else {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    return OURS | token


def _start(ray: Any, engine: Engine, options: dict[str, Any]) -> None:
    """Start or join the cluster. Raises VdistillError where that fails."""
    import logging
    import warnings

    logging.getLogger("ray").setLevel(logging.CRITICAL)
    for name in ("ray.client_builder", "ray.util.client", "ray.util.client.dataclient"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Ray's, about time-outs
            ray.init(**options)
    except Exception as error:  # whatever Ray raises: it has no class of its own for most of it
        raise _refused(engine, error) from error


def _refused(engine: Engine, error: Exception) -> VdistillError:
    """The error of a cluster that could not be joined."""
    words = " ".join(str(error).split())
    lower = words.lower()
    if "version mismatch" in lower or "python version" in lower or "ray version" in lower:
        return VdistillError(
            f"{engine.name} has another version of Ray or Python: {_shortened(words)}",
            hint="install the same versions here and on all nodes",
        )
    if "token" in lower or "unauthenticated" in lower:
        return VdistillError(
            f"{engine.name} asks for another token than this machine has",
            hint="copy ~/.ray/auth_token from its first node, or set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN",
        )
    if not engine.address:
        return VdistillError(
            f"Ray could not be started on this machine: {_shortened(words)}", hint="--debug shows more"
        )
    return VdistillError(
        f"{engine.name} cannot be joined: {_shortened(words)}",
        hint=f"{engine.remedy}; and where it asks for a token, this machine needs the same (~/.ray/auth_token, or "
        "RAY_AUTH_MODE=token and RAY_AUTH_TOKEN)",
    )


def _shortened(words: str, most: int = 300) -> str:
    return words if len(words) <= most else f"{words[:most]}…"
