"""The workers of a run: one actor for each post, given jobs ahead of time, replaced when they die.

Ray would start dead actors again and repeat their calls by itself, but waits for ever, and in silence, where there is
no room. So its actors are never restarted (`max_restarts=0`): what a dead one had is given back to the caller, and
another is hired where there is room.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Generic

from vdistill.cluster.connection import Cluster
from vdistill.cluster.failures import as_ours, free_now, no_room, reason, shortened
from vdistill.cluster.jobs import JobT, Outcome, Role, Worker, hired
from vdistill.cluster.nodes import PACKAGES, Node, Post, differences, versions_here, versions_there
from vdistill.errors import VdistillError, first_line

LOOK = 3.0  # seconds between two looks at the nodes
BUSY = 60.0  # seconds without any worker after which it is said that there is no room
PATIENCE = 180.0  # seconds after which it is given up; Ray frees what a killed command had after 30
STARTS = 3  # deaths of workers one after the other before they had a job, until their node gets no more
FRUITLESS = 20  # deaths one after the other without a job done; one bad image takes ten workers until it is found


class Crew(Generic[JobT]):
    """Workers on all nodes that have room, also on those that come later. For one thread; close it at the end.

    They start, and import what they need, at once; `brief` them before anything else.
    """

    def __init__(self, cluster: Cluster, role: Role, say: Callable[[str], None]) -> None:
        """Begin to hire. Raises VdistillError where no node could ever have room."""
        self._cluster, self._ray, self._role, self._say = cluster, cluster.ray, role, say
        self._workers: list[Worker[JobT]] = []
        self._events: dict[Any, Callable[[Any], None]] = {}  # what to do when a reference is there
        self._outcomes: deque[Outcome[JobT]] = deque()
        self._known: dict[str, Node] = {}
        self._trusted: set[str] = set()
        self._left_out: dict[str, str] = {}  # nodes, and why
        self._strikes: Counter[str] = Counter()
        self._said: set[str] = set()
        self._here = versions_here()
        self._briefing: tuple[Any, ...] = ()
        self._looked = time.monotonic()
        self._alone_since = time.monotonic()
        nodes = cluster.nodes()
        if not role.room(nodes):
            raise no_room(cluster, nodes)
        self._look(nodes)
        self._dismiss_early()

    def __len__(self) -> int:
        """How many workers are ready."""
        return len(self._ready())

    def brief(self, *arguments: Any) -> None:
        """Say what workers prepare with; references to what was put into the cluster's store are followed."""
        self._briefing = arguments

    @property
    def free(self) -> int:
        """How many jobs can be given now."""
        return sum(self._role.depth - len(worker.jobs) for worker in self._ready())

    @property
    def busy(self) -> int:
        """How many jobs are under way."""
        return sum(len(worker.jobs) for worker in self._workers)

    def give(self, job: JobT) -> None:
        """Give a job to the worker that has least to do; only where one is free."""
        worker = min(self._ready(), key=lambda one: len(one.jobs))
        reference = getattr(worker.actor, self._role.method).remote(job)
        worker.jobs[reference] = job
        self._events[reference] = lambda ready: self._done(worker, ready)

    def outcomes(self, seconds: float) -> list[Outcome[JobT]]:
        """What became of jobs, waiting at most so long for the first.

        Raises VdistillError where no worker is left or to be had, or what a job raised.
        """
        try:
            self._await(seconds)
        except ConnectionError as error:  # of Ray's client
            raise self._cluster.lost(first_line(error)) from error
        if time.monotonic() - self._looked > LOOK:
            if self._cluster.answers():
                self._look(self._cluster.nodes())
            self._looked = time.monotonic()
        self._check_patience()
        found = list(self._outcomes)
        self._outcomes.clear()
        return found

    def leave_out(self, node: Node, reason: str) -> None:
        """Give a node no more work. Raises VdistillError where it is the last one."""
        if node.id not in self._left_out:
            self._left_out[node.id] = reason
            self._say(f"{node.name} is left out: {reason}")
        for worker in [worker for worker in self._workers if worker.post.node.id == node.id]:
            self._lose(worker, blame=False)
        self._require_nodes()

    def close(self) -> None:
        """End all workers."""
        for worker in self._workers:
            self._kill(worker.actor)
        self._workers.clear()
        self._events.clear()

    def describe(self) -> str:
        """How many there are, in words."""
        nodes = {worker.post.node.id for worker in self._ready()}
        return f"{len(self)} workers on {len(nodes)} node{'s' if len(nodes) != 1 else ''}"

    def _ready(self) -> list[Worker[JobT]]:
        return [worker for worker in self._workers if worker.state == "ready"]

    def _await(self, seconds: float) -> None:
        """Wait for the first references, and do what is to be done about each that is there."""
        if not self._events:
            time.sleep(min(seconds, LOOK))
            return
        there, _ = self._ray.wait(list(self._events), num_returns=1, timeout=min(seconds, LOOK))
        if there:
            more, _ = self._ray.wait(list(self._events), num_returns=len(self._events), timeout=0)
            for reference in more or there:
                if act := self._events.pop(reference, None):
                    act(reference)

    def _look(self, nodes: Sequence[Node]) -> None:
        """Take note of nodes that went and came, and hire where there is room."""
        now = {node.id: node for node in nodes}
        for node in [node for key, node in self._known.items() if key not in now]:
            del self._known[node.id]
            if node.id not in self._left_out:
                self._say(f"{node.name} is gone: what it was doing is handed out again")
            for worker in [worker for worker in self._workers if worker.post.node.id == node.id]:
                self._lose(worker, blame=False)
        for node in nodes:
            if node.id not in self._known:
                self._known[node.id] = node
                self._meet(node)
        self._hire()

    def _meet(self, node: Node) -> None:
        """Ask a new node what it runs; those of this machine's own cluster run what we do."""
        if not self._cluster.engine.address or not self._role.room([node]):
            self._trusted.add(node.id)
            return
        reference = self._cluster.run_on(node, versions_there(), list(PACKAGES))
        self._events[reference] = lambda ready: self._met(node, ready)

    def _met(self, node: Node, reference: Any) -> None:
        try:
            problem = differences(self._here, self._ray.get(reference))
        except self._ray.exceptions.RayError as error:
            problem = f"it does not run anything: {shortened(error)}"
        if problem and node.id in self._known:
            self.leave_out(node, problem)
        elif node.id in self._known:
            self._trusted.add(node.id)
            self._hire()

    def _hire(self) -> None:
        """A worker for each post that has none, on nodes that may work."""
        nodes = [node for node in self._known.values() if node.id not in self._left_out]
        manned = Counter(worker.post for worker in self._workers)
        for post in self._role.room(nodes):
            manned[post] -= 1
            if manned[post] < 0 and post.node.id in self._trusted:
                self._hire_for(post)

    def _hire_for(self, post: Post) -> None:
        early = [one for one in self._cluster.early if replace(one[0], memory=post.memory) == post]
        if early:
            self._cluster.early.remove(early[0])
        actor = early[0][1] if early else hired(self._cluster, self._role, post)
        worker: Worker[JobT] = Worker(post, actor, time.monotonic())
        self._workers.append(worker)
        self._events[worker.actor.hello.remote()] = lambda ready: self._arrived(worker, ready)

    def _arrived(self, worker: Worker[JobT], reference: Any) -> None:
        """It has its place; now it may take its time to prepare."""
        if self._answer(worker, reference) is not None:
            worker.state = "preparing"
            self._alone_since = time.monotonic()
            self._events[worker.actor.prepare.remote(*self._briefing)] = lambda ready: self._prepared(worker, ready)

    def _prepared(self, worker: Worker[JobT], reference: Any) -> None:
        answer = self._answer(worker, reference)
        if answer is not None:
            worker.state = "ready"
            self.relay(answer)

    def relay(self, notices: Sequence[str]) -> None:
        """Say each line once, however many workers say it."""
        for line in notices:
            if line not in self._said:
                self._said.add(line)
                self._say(line)

    def _answer(self, worker: Worker[JobT], reference: Any) -> Any:
        """What a worker answered before it had a job; None where it is lost, or its node is of no use."""
        if worker.state == "gone":
            return None
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            self.leave_out(worker.post.node, reason(error.cause))
        except self._ray.exceptions.RayError as error:
            self._lose(worker, blame=False)
            self._strike(worker, shortened(error), STARTS)
        return None

    def _done(self, worker: Worker[JobT], reference: Any) -> None:
        """A job is done, or its worker is lost."""
        if worker.state == "gone":
            return
        try:
            found = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            raise as_ours(error, worker.post.node) from error
        except self._ray.exceptions.ObjectLostError:  # the answer is lost, not the worker
            self._outcomes.append(Outcome(worker.jobs.pop(reference), worker.post.node, lost=True))
        except self._ray.exceptions.RayError as error:
            self._lose(worker, blame=True)
            self._strike(worker, shortened(error), FRUITLESS)
        else:
            self._strikes[worker.post.node.id] = 0
            self._outcomes.append(Outcome(worker.jobs.pop(reference), worker.post.node, found))

    def _lose(self, worker: Worker[JobT], *, blame: bool) -> None:
        """Give back the jobs of a worker, the first of which may be why it died."""
        living = {node.id for node in self._cluster.nodes()} if blame and self._cluster.answers() else set()
        alive = worker.post.node.id in living
        for place, (reference, job) in enumerate(worker.jobs.items()):
            self._events.pop(reference, None)
            self._outcomes.append(Outcome(job, worker.post.node, lost=True, blamed=alive and not place))
        worker.jobs = {}
        self._kill(worker.actor)
        worker.state = "gone"
        if worker in self._workers:
            self._workers.remove(worker)

    def _strike(self, worker: Worker[JobT], reason: str, most: int) -> None:
        """Count a death; a node where nothing lives long enough to do anything gets no more workers."""
        node = worker.post.node
        self._strikes[node.id] += 1
        if node.id in self._known and self._strikes[node.id] >= most:
            self.leave_out(node, f"workers die there: {reason}")

    def _dismiss_early(self) -> None:
        """End those that were hired early where there is no room for them after all."""
        for _, actor in self._cluster.early:
            self._kill(actor)
        self._cluster.early.clear()

    def _kill(self, actor: Any) -> None:
        if self._cluster.gone or not self._ray.is_initialized():
            return
        try:
            self._ray.kill(actor, no_restart=True)
        except Exception:  # it is dead, or the cluster is
            return

    def _require_nodes(self) -> None:
        nodes = self._cluster.nodes()
        if nodes and all(node.id in self._left_out for node in nodes if self._role.room([node])):
            reasons = dict.fromkeys(self._left_out[node.id] for node in nodes if node.id in self._left_out)
            raise VdistillError(
                f"no node of {self._cluster.name} can do this: {'; '.join(reasons)}",
                hint="every node needs the same vdistill with the extra `ray`, the models and the catalog at the same "
                "paths (docs/cluster.md); what was done is kept",
            )

    def _check_patience(self) -> None:
        """Say that there is no worker where that lasts, and at last raise VdistillError."""
        if any(worker.state != "hired" for worker in self._workers):
            self._alone_since = time.monotonic()
            return
        waited = time.monotonic() - self._alone_since
        if waited < BUSY:
            return
        room = free_now(self._cluster)
        if waited > PATIENCE:
            raise VdistillError(
                f"{self._cluster.name} started no worker in {waited:.0f} seconds: {room}",
                hint="if others use it, wait until they are done, or add nodes; the same command goes on from here",
            )
        self.relay([f"{self._cluster.name} has started no worker yet: {room}"])
