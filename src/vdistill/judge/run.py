"""`vdistill label --teacher me`: a sitting from its preparation to what it brought."""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
import sys
import threading
import time
import webbrowser
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from vdistill.database import Database
from vdistill.errors import VdistillError
from vdistill.evaluation.agreement import of_people
from vdistill.judge.app import Judging, application
from vdistill.judge.disputes import MOST_IMAGES, by_index, disputes
from vdistill.judge.person import Person
from vdistill.judge.questions import Memory, Planned, agenda
from vdistill.judge.sitting import Sitting
from vdistill.label.prepare import Inputs, read_inputs
from vdistill.label.registry import NewSides
from vdistill.label.run import LabelReport, remember_split
from vdistill.label.settings import LabelSettings
from vdistill.label.stage import Stage
from vdistill.preferences import teacher_noise
from vdistill.query.search import Searcher
from vdistill.records import ShownImage
from vdistill.serve.run import listen, run_until_told, server_of
from vdistill.serve.thumbnails import Thumbnails
from vdistill.workspace import Workspace

COUNT = 50  # answers of a sitting
_LEAST_PLAN = 200  # calls that are planned, so that held-out queries are asked about often enough in the end


@dataclass(frozen=True, slots=True)
class Caller:
    """What the command gives.

    student: what searches by the student, where there is one.  say: gets one-line notices.  address: gets that of the
    page.  browser: whether the page is opened.
    """

    workspace: Workspace
    student: Searcher | None
    say: Callable[[str], None]
    address: Callable[[str], None]
    browser: bool


@dataclass(frozen=True, slots=True)
class JudgeReport:
    """What a sitting brought.

    agreement: as `agreement.of_people` gives it.  noise: of each teacher, as `preferences.teacher_noise` gives it.
    """

    label: LabelReport
    none: int
    skipped: int
    repeats: int
    agreement: list[dict[str, Any]]
    noise: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        """What `label --json` prints: its usual keys, and those of people."""
        noise = {name: round(value, 3) for name, value in self.noise.items()}
        return self.label.to_json() | {
            "none": self.none, "skipped_questions": self.skipped, "repeats": self.repeats,
            "agreement": self.agreement, "noise": noise,
        }  # fmt: skip


@dataclass(frozen=True)
class Prepared:
    """What a sitting is made of: the catalog and the queries, the plan, and how many answers there will be."""

    person: Person
    inputs: Inputs
    stage: Stage
    count: int

    def shown(self, item: str, content: str) -> ShownImage | None:
        """An item as it is now; None where it has other content than was judged, or is gone."""
        if item not in self.inputs.items or self.inputs.hashes.get(item) != content:
            return None
        return ShownImage(item, self.inputs.items[item].file, content)


def judge(caller: Caller, person: Person, settings: LabelSettings) -> JudgeReport:
    """Serve the judge page until the person is done, and tell what that brought.

    Raises VdistillError where there is nothing to ask; what was answered is kept, whatever happens.
    """
    started = time.monotonic()
    with _alone(caller.workspace, person):
        prepared = prepare(caller.workspace, person, settings, caller.say)
        with _sitting(caller, prepared) as (sitting, thread):
            if sitting.current is None:
                raise VdistillError(
                    f"there is nothing left to ask {person.name}",
                    hint="give other queries with --queries FILE, or more images",
                )
            _serve(caller, sitting, thread)
    return _report(caller, prepared, sitting, time.monotonic() - started)


def prepare(
    workspace: Workspace | None, person: Person, settings: LabelSettings, say: Callable[[str], None]
) -> Prepared:
    """Read catalog and queries, by default those of the workspace, and plan; nothing is written.

    The plan is longer than the sitting, so that the next one continues it.
    """
    with Database.existing(workspace) as database:
        usual = database.queries() if database and settings.queries is None else []
        before = database.count_of(person.name) if database else 0
    inputs = read_inputs(settings, workspace, lambda _: person, say, looks=True, usual=usual)
    count, planned = settings.budget or COUNT, _LEAST_PLAN
    while planned < before + count:
        planned *= 2
    return Prepared(person, inputs, inputs.stage(replace(settings, budget=planned)), count)


@contextmanager
def _sitting(caller: Caller, prepared: Prepared) -> Iterator[tuple[Sitting, ThreadPoolExecutor]]:
    """The sitting, and the thread in which all of it is done: a database belongs to one."""
    stack = ExitStack()

    def opened() -> Sitting:
        database = stack.enter_context(Database.open(caller.workspace.database))
        return make_sitting(database, prepared, caller.student)

    with ThreadPoolExecutor(1, thread_name_prefix="sitting") as thread:
        try:
            yield thread.submit(opened).result(), thread
        finally:
            thread.submit(stack.close).result()


def make_sitting(database: Database, prepared: Prepared, student: Searcher | None) -> Sitting:
    """A sitting of what was prepared."""
    person, stage, seed = prepared.person, prepared.stage, prepared.stage.settings.seed
    remember_split(database, stage.settings)
    stage.register(database)
    memory = Memory()
    for judgment in database.judgments(teacher=person.name):
        memory.add(judgment)
    for _, rejection in database.people.rejections(person.name):
        memory.add(rejection)
    disputed: Iterator[Planned] = iter(())
    if student is not None:
        texts = [query.text for query in prepared.inputs.queries if query.split == "train"]
        train = [one for _, one in database.judgments_on(texts) if one.split == "train"]
        disputed = disputes(train, texts, prepared.shown, by_index(student), seed)
    questions = (
        one
        for one in agenda(stage, person, database.answers, disputed)
        if 2 <= len(one.asked.question.images) <= MOST_IMAGES
    )
    sides = NewSides(stage.sides)
    return Sitting(person, database, questions, memory, sides, prepared.shown, prepared.count, seed)


def _serve(caller: Caller, sitting: Sitting, thread: ThreadPoolExecutor) -> None:
    token = secrets.token_urlsafe(24)
    thumbnails = Thumbnails(caller.workspace.cache / "thumbnails")
    judging = Judging(sitting, lambda: _of(sitting.person, sitting.database), thumbnails, thread, token)
    with listen("127.0.0.1", 0) as listening:
        server = server_of(application(judging))

        def end() -> None:
            server.should_exit = True

        judging.ended = end
        run_until_told(lambda: server, listening, lambda: _announce(caller, listening, token))


def _announce(caller: Caller, listening: socket.socket, token: str) -> None:
    # What follows the # stays in the browser: it is in no request line, and in no Referer.
    address = f"http://127.0.0.1:{listening.getsockname()[1]}/#{token}"
    caller.address(address)
    if caller.browser and _has_display():
        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()


def _has_display() -> bool:
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _report(caller: Caller, prepared: Prepared, sitting: Sitting, seconds: float) -> JudgeReport:
    answers = [entry.answered for entry in sitting.history if entry.answered is not None]
    none = sum(entry.choice == "none" for entry in sitting.history)
    images = sum(len(one.said.items) for one in answers)
    inputs, stage = prepared.inputs, prepared.stage
    report = LabelReport(
        prepared.person.name, len(stage.queries), len(stage.items), calls=len(answers), judgments=len(answers) - none,
        images_shown=images, seconds=seconds, skipped=tuple(inputs.skipped),
    )  # fmt: skip
    repeats = sum(one.reason == "repeat" for one in answers)
    with Database.open(caller.workspace.database, write=False) as database:
        queries = {one.query for one in database.judgments(teacher=prepared.person.name)}
        noise = teacher_noise([one for _, one in database.judgments_on(queries)])
        found = _of(prepared.person, database)
    return JudgeReport(report, none, sitting.skipped, repeats, found, noise)


def _of(person: Person, database: Database) -> list[dict[str, Any]]:
    """The agreement of a person with themselves, and with all others."""
    return [row for row in of_people(database) if person.name in row["judges"]]


@contextmanager
def _alone(workspace: Workspace, person: Person) -> Iterator[None]:
    """Hold the sitting of a person. Raises VdistillError where they have another one open."""
    name = hashlib.sha256(person.name.encode()).hexdigest()[:12]
    with ExitStack() as stack:
        try:
            stack.enter_context(workspace.lock(f"sitting-{name}"))
        except VdistillError as error:
            if "already running" not in error.message:
                raise
            raise VdistillError(
                f"{person.name} has another sitting open in {workspace.root}",
                hint="go on there, or end that command first; another person gives --teacher me:NAME",
            ) from error
        yield
