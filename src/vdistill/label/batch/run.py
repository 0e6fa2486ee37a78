"""One run of `label --batch`: finds lost jobs, collects those that are over, plans the next round and submits it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path

from vdistill.database import Database
from vdistill.database.batch_jobs import BatchJobs, Job
from vdistill.database.rejections import stored
from vdistill.label import ask_mode, habits, paraphrase
from vdistill.label.asking import Asker, Tally
from vdistill.label.batch.desk import Desk
from vdistill.label.batch.files import Lines, written
from vdistill.label.batch.results import Results, read_results, usd_of
from vdistill.label.batch.rounds import questions
from vdistill.label.paraphrase import Paraphraser
from vdistill.label.purse import Purse
from vdistill.label.questions import Asked, Keyed, judgment_of, rejection_of, shown_in
from vdistill.label.registry import NewSides, Registry
from vdistill.label.run import LabelReport, LabelRun, both_sides, guides_of, remember_split
from vdistill.label.schedules import Guides
from vdistill.label.stage import Stage
from vdistill.label.teacher import Batched, Teacher
from vdistill.label.turns import Side
from vdistill.records import Failure
from vdistill.workspace import Workspace


@dataclass(frozen=True, slots=True)
class BatchRun:
    """One run of a session.

    session: of the command; its runs share caps.  desk: makes the desk of the open database's jobs.
    direct: whether the teacher can also be asked at once, for what has to be known before many are asked.
    first: what was asked in that way before this run began.
    """

    session: str
    desk: Callable[[BatchJobs], Desk]
    direct: bool = True
    first: Tally = field(default_factory=Tally)


@dataclass(slots=True)
class Round:
    """What is open while a run goes on."""

    teacher: Teacher
    database: Database
    desk: Desk
    session: str
    registry: Registry
    purse: Purse
    folder: Path
    say: Callable[[str], None]
    tally: Tally = field(default_factory=Tally)
    submitted: int = 0
    stopped: bool = False  # whether the caps are reached

    @property
    def jobs(self) -> BatchJobs:
        """The jobs in the database."""
        return self.database.batch_jobs


def label_in_batches(
    workspace: Workspace, stage: Stage, run: LabelRun, batch: BatchRun, *, choose_ask: bool = False
) -> LabelReport:
    """Collect, plan and submit; nothing is waited for. See `vdistill.label.run.label`."""
    started, teacher, say = time.monotonic(), run.teacher, run.say
    guides = guides_of(workspace, stage, say)
    with workspace.lock("label"), Database.open(workspace.database) as database:
        remember_split(database, stage.settings)
        stage.register(database)
        paraphrase.keep_given(database, stage.queries, say)
        habits.calibrate(teacher, database)
        registry, desk = NewSides(stage.sides), batch.desk(database.batch_jobs)
        now = Round(teacher, database, desk, batch.session, registry, run.purse, workspace.cache, say)
        try:
            collect(now)
            _count_earlier(now)
            asker = Asker(teacher, database, run.purse, 1, lambda _: None, registry)
            if batch.direct:
                stage = _asked_at_once(stage, guides, asker, say, choose_ask=choose_ask)
            writer = Paraphraser(teacher, database, run.purse, stage.settings.concurrency, say, run.rewording)
            if batch.direct and stage.settings.paraphrases:
                writer.write(stage, paraphrase.count_for(teacher, stage.settings.paraphrases))
            _remember(now, batch.first, asker.tally, Tally(writer.tally.calls, cost_usd=writer.tally.cost_usd))
            submit(now, both_sides(stage, guides, teacher))
            waiting = now.jobs.open(teacher.name)
            if waiting:
                say(desk.told(waiting))
        finally:
            desk.close()
    tally = {name: value + getattr(asker.tally, name) for name, value in asdict(now.tally).items()}
    return LabelReport(
        teacher.name,
        len(stage.queries),
        len(stage.items),
        **tally,
        seconds=time.monotonic() - started,
        batch_submitted=now.submitted,
        batch_waiting=sum(job.calls for job in waiting),
        batch_jobs=len(waiting),
        **writer.tally.to_json(),
    )


def collect(now: Round) -> None:
    """Store the answers of all jobs of this teacher that are over, each job at once or not at all."""
    for job in now.jobs.open(now.teacher.name):
        now.desk.settle(job)
    for job in now.jobs.open(now.teacher.name):
        ended = now.desk.ended(job)
        if ended is None:
            continue
        assert isinstance(now.teacher, Batched)
        found = read_results(ended, now.jobs.questions(job.name), now.teacher)
        _store(now, job, found)
        if ended.reason:
            unprocessed = len(found.outcomes) - len(found.paid)
            now.say(f"a job ended early ({ended.reason}): {unprocessed:,} questions will be asked again")


def submit(now: Round, sides: Sequence[Side]) -> None:
    """Ask all that can be asked before any answer is in, as far as the caps allow."""
    now.folder.mkdir(parents=True, exist_ok=True)
    for left in now.folder.glob("batch-*.jsonl"):  # of a killed process
        left.unlink()

    def reused(count: int) -> None:
        now.tally.reused += count

    fresh = _affordable(now, questions(sides, now.database, now.session, reused), sides)
    assert isinstance(now.teacher, Batched)
    for lines in written(fresh, now.teacher, lambda: now.folder / f"batch-{uuid.uuid4().hex}.jsonl",
                         lambda key, one, why: _refuse(now, key, one, why), now.desk.most):  # fmt: skip
        name = lines.path.stem.removeprefix("batch-")
        now.jobs.plan(_planned(now, name, lines), lines.questions)
        try:
            now.desk.submit(name, lines)
        finally:
            lines.path.unlink(missing_ok=True)
        now.submitted += len(lines.questions)


def _affordable(now: Round, fresh: Iterable[Keyed], sides: Sequence[Side]) -> Iterator[tuple[Keyed, float]]:
    """The questions with their prices, until the caps are reached.

    Those of training leave what the held-out side will need in later rounds.
    """
    asked, expected = 0, 0.0
    capped = now.purse.max_cost is not None
    for key, one in fresh:
        usd = (now.teacher.price(one.question).usd or 0.0) if capped else 0.0
        later = sum(side.schedule.left for side in sides if side.schedule.listens) if one.split == "train" else 0
        if not now.purse.affords(asked + 1 + later, expected + (1 + later) * usd):
            if one.split == "train":
                continue  # the held-out side has its share still
            return
        asked, expected = asked + 1, expected + usd
        yield (key, one), (now.teacher.price(one.question).usd or 0.0)


def _planned(now: Round, name: str, lines: Lines) -> Job:
    teacher, count = now.teacher.name, len(lines.questions)
    return Job(name, now.session, teacher, now.desk.place, "planned", None, None, count, lines.usd, 0.0, time.time())


def _store(now: Round, job: Job, found: Results) -> None:
    """Commit what a job brought, and that it is over, in one transaction."""
    teacher, known = now.teacher.name, now.jobs.questions(job.name)
    rows, rejections = [], []
    for key, (asked, said) in found.answers.items():
        prompt = known[key]["prompt"]
        if said.rejects:
            rejections.append((key, prompt, rejection_of(asked, teacher, prompt), said))
        else:
            rows.append((key, prompt, judgment_of(asked, said, teacher)))
    failures = [(key, teacher, asked.question, said.reason) for key, (asked, said) in found.failures.items()]
    also = [now.jobs.stepped(job.name, "collected"), now.jobs.paid(job.name, found.answered, usd_of(found.paid)),
            now.jobs.ended(job.name, found.outcomes), stored(rejections)]  # fmt: skip
    judgments = [judgment for _, _, judgment in rows] + [shown_in(rejection) for _, _, rejection, _ in rejections]
    now.database.add_judgments(rows, failures, now.registry.rows(judgments), also)
    now.registry.stored(judgments)
    tally = now.tally
    tally.calls += len(found.paid)
    tally.judgments += len(rows)
    tally.rejected += len(rejections)
    tally.none_asked += sum(asked.question.none for asked, _ in found.answers.values())
    tally.failed += len(failures)
    tally.images_shown += sum(len(asked.question.images) for asked, _ in found.answers.values())
    tally.tokens += sum(said.tokens for said in found.paid)
    tally.thought_tokens += sum(said.thought_tokens for _, said in found.answers.values())
    tally.cost_usd += usd_of(found.paid)


def _count_earlier(now: Round) -> None:
    """What this command has spent before, or has under way, counts against its caps."""
    for job in now.jobs.of_session(now.session):
        if job.state == "collected":
            now.purse.earlier(job.calls, job.usd or job.estimated, job.estimated)
        elif job.state != "lost":
            now.purse.earlier(job.calls, job.estimated, job.estimated)


def _asked_at_once(
    stage: Stage, guides: Guides, asker: Asker, say: Callable[[str], None], *, choose_ask: bool
) -> Stage:
    """What the server accepts, and how it is best asked, is found out with the first question, at the full price."""
    if choose_ask:
        stage = ask_mode.chosen(stage, guides, asker, say)
    if not getattr(asker.teacher, "settled", True):
        queries = stage.queries_of("train")
        schedule = stage.training(guides) if queries else stage.held_out()
        for group in islice(schedule.next_round([]), 1) if schedule else ():
            asker.ask([Asked(stage.question(group), "train" if queries else "heldout", group.pool)])
            asker.tally.reused -= asker.tally.judgments  # it comes up in the plan again
    return stage


def _remember(now: Round, *direct: Tally) -> None:
    """Write down what was asked at once, so that later runs count it."""
    calls, usd = sum(one.calls for one in direct), sum(one.cost_usd for one in direct)
    if calls:
        name = uuid.uuid4().hex
        now.jobs.plan(
            Job(name, now.session, now.teacher.name, "", "collected", None, None, calls, usd, usd, time.time())
        )


def _refuse(now: Round, key: str, asked: Asked, why: Failure) -> None:
    now.tally.failed += 1
    now.database.add_judgments([], [(key, now.teacher.name, asked.question, why.reason)])
