"""A vision-language model that answers on all nodes of a cluster."""

from __future__ import annotations

import itertools
import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from vdistill.cluster.connection import Cluster, connected
from vdistill.cluster.crew import Crew
from vdistill.cluster.engine import Engine
from vdistill.cluster.jobs import Outcome, Role
from vdistill.cluster.nodes import SLACK, Room
from vdistill.cluster.teacher_worker import Call, Said, TeacherWorker
from vdistill.errors import VdistillError
from vdistill.label.habits import Habits
from vdistill.label.teacher import Price, Teacher, Written
from vdistill.label.teachers.local_vlm import LocalVLM
from vdistill.label.teachers.options import TeacherOptions
from vdistill.records import Answer, Failure, Question, ShownImage
from vdistill.sources import absolute

DEPTH = 2  # calls that a worker has at a time, so that none waits for this process
DEATHS = 3  # of workers by one call, until it counts as failed
WAIT = 0.05  # seconds until new calls are looked for
DIED = "the worker's process dies of it"


def on_cluster(teacher: Teacher, options: TeacherOptions, engine: Engine, say: Callable[[str], None]) -> ClusterTeacher:
    """The teacher's model on all nodes of a cluster. Raises VdistillError for a teacher without one, and as `Crew`."""
    if not isinstance(teacher, LocalVLM):
        raise VdistillError(
            f"--engine is for models that run in processes of ours, and {teacher.name} does not",
            hint="leave --engine out",
        )
    return ClusterTeacher(teacher, options, engine, say)


class ClusterTeacher:
    """As `LocalVLM`, with a model in each worker. Close it at the end."""

    batch_size = LocalVLM.batch_size
    looks = True

    def __init__(self, model: LocalVLM, options: TeacherOptions, engine: Engine, say: Callable[[str], None]) -> None:
        """model: opened, but without weights: it says names and prices.

        Raises VdistillError where the cluster cannot be used, or has no room.
        """
        self._model = model
        self.name, self.prompt, self.rewording = model.name, model.prompt, model.rewording
        self.thoughts, self.none = model.thoughts, model.none
        source = str(Path(model.source).resolve()) if Path(model.source).is_dir() else model.source
        room = Room(0, _bytes(source) + SLACK if Path(source).is_dir() else 0)
        briefing = source, replace(options, memory=None), (self.name, self.prompt)
        with ExitStack() as opened:
            cluster = opened.enter_context(connected(engine))
            self.concurrency = DEPTH * len(room(cluster.nodes()))
            self._desk = _Desk(cluster, Role(TeacherWorker, "do", room, DEPTH), briefing, say)
            opened.callback(self._desk.end)
            self._opened = opened.pop_all()

    def ask(self, questions: Sequence[Question]) -> list[Answer | Failure]:
        """Answer each question, in order; see `Teacher`."""
        said = self._desk.ask("ask", [replace(one, images=_absolute(one.images)) for one in questions])
        return [said] * len(questions) if isinstance(said, Failure) else list(said)

    def write(self, images: Sequence[ShownImage], count: int) -> Written | Failure:
        """About `count` searches of shoppers who would like these images."""
        found: Written | Failure = self._desk.ask("write", _absolute(images), count)
        return found

    def reword(self, query: str, count: int) -> Written | Failure:
        """About `count` other wordings of a query."""
        found: Written | Failure = self._desk.ask("reword", query, count)
        return found

    def price(self, question: Question) -> Price:
        """Tokens; how long it takes depends on the cluster."""
        return replace(self._model.price(question), seconds=0.0)

    def learn(self, habits: Habits | None) -> None:
        """Price calls by what they took so far."""
        self._model.learn(habits)

    def price_of_rewording(self, query: str, count: int) -> Price:
        """The same of a call for other wordings."""
        return replace(self._model.price_of_rewording(query, count), seconds=0.0)

    def close(self) -> None:
        """End the workers, and leave the cluster."""
        self._opened.close()
        self._model.close()


class _Desk(threading.Thread):
    """Takes calls from many threads, and is the only one that talks to the workers."""

    def __init__(self, cluster: Cluster, role: Role, briefing: tuple[Any, ...], say: Callable[[str], None]) -> None:
        super().__init__(daemon=True, name="cluster")
        self._crew = Crew[Call](cluster, role, say)
        self._crew.brief(*briefing)
        self._numbers = itertools.count()
        self._given: SimpleQueue[tuple[Call, Future[Any]]] = SimpleQueue()
        self._waiting: deque[Call] = deque()
        self._futures: dict[int, Future[Any]] = {}
        self._deaths: Counter[int] = Counter()
        self._over = threading.Event()
        self._error: BaseException | None = None
        self.start()

    def ask(self, method: str, *arguments: Any) -> Any:
        """What a worker says. Raises VdistillError where no worker can."""
        future: Future[Any] = Future()
        self._given.put((Call(next(self._numbers), method, arguments), future))
        while not future.done():
            if not self.is_alive():
                raise self._error or VdistillError("the cluster was left")
            _wait(future)
        return future.result()

    def end(self) -> None:
        """Let the workers go."""
        self._over.set()
        self.join()

    def run(self) -> None:
        """Until the end, or what makes it useless to go on: that is what all who wait get."""
        try:
            while not self._over.is_set():
                self._step()
        except BaseException as error:
            self._error = error
        finally:
            self._crew.close()
            for future in self._futures.values():
                future.set_exception(self._error or VdistillError("the cluster was left"))

    def _step(self) -> None:
        while (found := _next(self._given)) is not None:
            call, future = found
            self._futures[call.number] = future
            self._waiting.append(call)
        while self._waiting and self._crew.free > 0:
            self._crew.give(self._waiting.popleft())
        for outcome in self._crew.outcomes(WAIT):
            self._take(outcome)

    def _take(self, outcome: Outcome[Call]) -> None:
        call, said = outcome.job, outcome.found
        if outcome.lost:
            self._deaths[call.number] += outcome.blamed
            if self._deaths[call.number] >= DEATHS:
                self._futures.pop(call.number).set_result(Failure(DIED))
            else:
                self._waiting.appendleft(call)
            return
        assert isinstance(said, Said)
        if said.unseen:
            here = [path for path in said.unseen if Path(path).exists()]
            self._waiting.appendleft(call if here else replace(call, sure=True))
            if here:
                self._crew.leave_out(outcome.node, f"it does not see the catalog: no file {here[0]}")
            return
        self._crew.relay(said.notices)
        self._futures.pop(call.number).set_result(said.value)


def _next(given: SimpleQueue[tuple[Call, Future[Any]]]) -> tuple[Call, Future[Any]] | None:
    try:
        return given.get_nowait()
    except Empty:
        return None


def _wait(future: Future[Any], seconds: float = 1.0) -> None:
    """Wait a little, as the one that answers may have ended meanwhile."""
    from concurrent.futures import wait

    wait([future], timeout=seconds)


def _absolute(images: Sequence[ShownImage]) -> tuple[ShownImage, ...]:
    """The images by paths that do not depend on the folder of a process."""
    return tuple(replace(image, file=absolute(str(image.file))) for image in images)


def _bytes(folder: str) -> int:
    return sum(path.stat().st_size for path in Path(folder).iterdir() if path.is_file())
