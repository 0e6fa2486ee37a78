"""The parts of `vdistill label` that ask a teacher: opening it, an audit, the run itself."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import typer

from vdistill.cli import console
from vdistill.cli.label_batches import Batching, notes
from vdistill.cli.session import Session, pick_backbone, remember, remembered
from vdistill.database import Database
from vdistill.encoders.text_length import surely_whole
from vdistill.errors import VdistillError
from vdistill.inputs.sides import Sides
from vdistill.label import generate, habits
from vdistill.label.asking import Tally
from vdistill.label.audit import LEAST_CALLS, audit_teacher, stored_size
from vdistill.label.batch.run import label_in_batches
from vdistill.label.dry_run import dry_run
from vdistill.label.first_answers import find_out
from vdistill.label.none_share import offers_none
from vdistill.label.outlook import announcement, outlook
from vdistill.label.prepare import Inputs, Samples, read_inputs
from vdistill.label.prompts import LETTERS
from vdistill.label.purse import Purse
from vdistill.label.run import LabelReport, LabelRun, label
from vdistill.label.settings import LabelSettings
from vdistill.label.stage import Stage
from vdistill.label.teacher import Teacher, pointwise
from vdistill.label.teachers import open_teacher
from vdistill.label.teachers.options import TeacherOptions, refuse_without_price
from vdistill.records import Item, Query, Question, ShownImage
from vdistill.workspace import FOLDER

COUNTED = ("judgments", "failed", "none_asked", "rejected", "images_shown", "thought_tokens")  # of the first answers
AUDIT_CALLS = 120  # of the audit that `--images-per-call auto` makes where there was none
WRITTEN = "written_queries.jsonl"


@dataclass(frozen=True)
class WorkspaceMemory:
    """What a teacher needs to know again in the next run, in the workspace's settings."""

    session: Session

    def recall(self, name: str) -> Any | None:
        """The value kept last under `name`, or None."""
        return remembered(self.session.find(), name)

    def keep(self, name: str, value: Any) -> None:
        """Keep a value."""
        remember(self.session.create(), name, value)


@dataclass
class LabelTask:
    """One run of `label` that asks. Every call, also of an audit or to write queries, is paid from one purse.

    spec: the teacher's name as the user gave it.  ask_given: whether the user said how to ask; otherwise the teacher's
    answers decide.  judged_by_backbone: whether a backbone, too, will look at the images.
    engine: where the teacher's model runs, as the user gave it; None for this process.
    batch: where its questions are asked in batches.  none: whether "none of these" is offered, if the user said so.
    """

    session: Session
    spec: str
    settings: LabelSettings
    options: TeacherOptions
    purse: Purse
    queries_to_write: int | None = None
    ask_given: bool = True
    judged_by_backbone: bool = False
    engine: str | None = None
    batch: Batching | None = None
    none: bool | None = None
    _none: bool | None = None
    _teacher: Teacher | None = None
    _inputs: Inputs | None = None

    def close(self) -> None:
        """Close the teacher, if it was opened."""
        if self._teacher is not None:
            self._teacher.close()

    def set_size(self, given: str) -> None:
        """How many images a call shows; `auto` takes what an audit finds, an earlier one where there is one."""
        size = self._audited_size() if given == "auto" else images_per_call(given)
        if size is not None:
            self.settings = replace(self.settings, images_per_call=size)

    def _audited_size(self) -> int | None:
        self.judged_by_backbone = self._backbone() is not None
        inputs, say, usual = self._read(), self.session.say, self.settings.images_per_call
        if pointwise(inputs.teacher):
            say(f"--images-per-call auto: {inputs.teacher.name} scores each image by itself; {usual} in a question")
            return None
        size = stored_size(self.session.find(), inputs.teacher)
        budget = inputs.reach(self.settings)
        calls = AUDIT_CALLS if budget is None else min(AUDIT_CALLS, budget // 4)
        if size is None and calls < LEAST_CALLS:
            say(f"--images-per-call auto: {budget} calls are too few for an audit; {usual} images per call")
        elif size is None and self.options.plan:
            say(f"--images-per-call auto: an audit of {calls} calls will come first; planned with {usual}")
        elif size is None:
            say(f"--images-per-call auto: an audit of {calls} calls first")
            size = int(self._audit(calls)["images_per_call"])
        if size is not None:
            say(f"{size} images per call, as the audit found")
        return size

    def audit(self, calls: int) -> dict[str, Any]:
        """What an audit of so many calls finds, whatever `--budget` says."""
        self.judged_by_backbone = self._backbone() is not None
        self.purse = replace(self.purse, budget=None)
        return self._audit(calls)

    def _audit(self, calls: int) -> dict[str, Any]:
        stage, workspace = self._stage(), self.session.create()
        with console.progress(self.session.quiet) as update:
            run = replace(self._run(), advance=progress_of(update))
            return audit_teacher(workspace, stage, run, calls, self._scores(stage)).to_json()

    def plan(self) -> LabelReport:
        """What a run would do."""
        stage, teacher, workspace = self._stage(), self._read().teacher, self.session.find()
        report = dry_run(workspace, stage, self._run(), choose_ask=not self.ask_given)
        self._say_all(outlook(teacher, report.calls, report.seconds))
        return self._with_inputs(report)

    def label(self) -> LabelReport:
        """Ask, and store the answers."""
        if self.batch is not None:
            return self._in_batches(self.batch)
        first = self._first_answers()
        stage, purse, workspace = self._stage(), self.purse, self.session.create()
        self._say_cut(stage)
        self._say_all(announcement(self._read().teacher, stage))
        with console.progress(self.session.quiet) as update:
            run = replace(self._run(), advance=progress_of(update), rewording=rewording_of(update))
            report = label(workspace, stage, run, choose_ask=not self.ask_given)
        paid: dict[str, Any] = {"calls": purse.calls, "tokens": purse.tokens, "cost_usd": purse.usd}
        more: dict[str, Any] = {name: getattr(report, name) + getattr(first, name) for name in COUNTED}
        return self._with_inputs(replace(report, **more, **paid))

    def _in_batches(self, batch: Batching) -> LabelReport:
        teacher = self._read().teacher
        self._say_all(notes(teacher, self.options, self.settings.paraphrases))
        first = Tally() if self.options.offline else self._first_answers()
        stage, workspace = self._stage(), self.session.create()
        self._say_cut(stage)
        run = batch.run(self.options, self.spec.removeprefix("openai:"), first)
        report = label_in_batches(workspace, stage, self._run(), run, choose_ask=not self.ask_given)
        return self._with_inputs(report)

    def _first_answers(self) -> Tally:
        """Where a cap in dollars decides how many calls are planned, find out first what a thinking model's cost."""
        if self.settings.max_cost is None or self._recalled():
            return Tally()
        return find_out(self.session.create(), self._stage(), self._run())

    def _recalled(self) -> bool:
        with Database.existing(self.session.find()) as database:
            return habits.recall(self._read().teacher, database)

    def _with_inputs(self, report: LabelReport) -> LabelReport:
        inputs = self._read()
        before, after = inputs.coverage or (None, None)
        return replace(report, coverage_before=before, coverage=after, skipped=tuple(inputs.skipped))

    def _run(self) -> LabelRun:
        return LabelRun(self._read().teacher, self.purse, self.session.say)

    def _stage(self) -> Stage:
        self._recalled()  # what is planned must not depend on the answers that came since
        inputs = self._read()
        if self._none is None:
            session, typed = self.session, self.session.typed("none")
            self._none = offers_none(self.none, inputs.teacher, session.find(), session.say, typed=typed)
        return inputs.stage(replace(self.settings, none=self._none))

    def _read(self) -> Inputs:
        """Catalog, queries and teacher, read once a command."""
        if self._inputs is None:
            write = self._write if self.queries_to_write else None
            self._inputs = read_inputs(
                self.settings, self.session.find(), self.opened, self.session.say, write, looks=self.judged_by_backbone
            )
        return self._inputs

    def opened(self, items: Sequence[Item], max_cost: float | None = None) -> Teacher:
        """The teacher, which is closed with this task. Raises VdistillError where a cap needs a price that is unknown.

        max_cost: the cap where it is not that of the settings.
        """
        self._teacher = open_teacher(self.spec, self.options, items, self.session.say)
        if self.engine is not None and not self.options.plan:
            self._teacher = self._on_cluster(self._teacher, self.engine)
        if max_cost is not None or self.settings.max_cost is not None:
            self._check_price(self._teacher, items)
        return self._teacher

    def _on_cluster(self, teacher: Teacher, engine: str) -> Teacher:
        from vdistill.cluster.engine import Engine
        from vdistill.cluster.teacher import on_cluster
        from vdistill.label.teachers.local_vlm import LocalVLM

        if not isinstance(teacher, LocalVLM) and not self.session.typed("engine"):
            return teacher  # a default for all commands, which this teacher has no use for
        return on_cluster(teacher, self.options, Engine.parse(engine), self.session.say)

    def _check_price(self, teacher: Teacher, items: Sequence[Item], spec: str | None = None) -> None:
        """Raise VdistillError where the price is unknown, so that a cap in dollars could not stop anything."""
        some = Question("", tuple(ShownImage(item.id, item.file, "") for item in items[:2]))
        usd = teacher.price(some).usd
        if usd is None:
            model = (spec or self.spec).removeprefix("openai:")
            raise refuse_without_price(teacher.name, model, self.options.prices)
        if usd == 0:
            self.session.say(f"{teacher.name} costs no money: --max-cost caps nothing")

    def _write(self, teacher: Teacher, samples: Samples, sides: Sides) -> list[Query]:
        """The queries that the teacher wrote before, and unless this is a dry run, as many more as are wanted."""
        settings, count, dry = self.settings, self.queries_to_write or 0, self.options.plan
        workspace = self.session.find() if dry else self.session.create()
        path = (workspace.root if workspace else Path(FOLDER)) / WRITTEN
        writing = generate.Writing(teacher, samples, sides, settings.seed, self.purse, self.session.say)
        if dry:
            known = generate.first(generate.stored(path, sides), generate.shares(count, writing))
            if len(known) < count:
                self.session.say(f"{count - len(known)} queries are still to be written, and not in this plan")
            if not known and settings.queries is None:
                raise VdistillError(
                    "no queries to plan with: none were written yet", hint="plan with --queries FILE, or run it"
                )
            return known
        before = self.purse.calls
        written = generate.generate(writing, count, path)
        if self.purse.calls > before:
            self.session.say(f"wrote queries in {self.purse.calls - before} calls, to {path}")
        return written

    def _say_all(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.session.say(line)

    def _backbone(self) -> str | None:
        """The backbone, where one is known already."""
        return self.settings.backbone or remembered(self.session.find(), "backbone")

    def _scores(self, stage: Stage) -> Any:
        """What scores items as the backbone does, where a backbone is known."""
        source = self._backbone()
        if source is None:
            return None
        from vdistill.label.guide import scores

        return lambda queries, keys: scores(None, source, queries, [stage.items[key] for key in keys])

    def _say_cut(self, stage: Stage) -> None:
        """Queries that are longer than the student will be able to read, where its backbone is known already."""
        source = self._backbone()
        texts = [query.text for query in stage.queries]
        if source is None or surely_whole(source, texts):
            return
        from vdistill.encoders.pretrained import count_cut

        with suppress(VdistillError):  # `distill` reports a backbone that cannot be loaded
            cut, limit = count_cut(pick_backbone(None, source), texts)
            if cut:
                self.session.say(f"{cut} queries are longer than the {limit} tokens that {source} reads: they are cut")


def images_per_call(given: str) -> int:
    """The number that `--images-per-call` gives. Raises typer.BadParameter for anything else."""
    if given not in map(str, range(2, len(LETTERS) + 1)):
        raise typer.BadParameter(f"{given!r} is neither auto nor from 2 to 9", param_hint="--images-per-call")
    return int(given)


def rewording_of(update: Callable[..., None]) -> Callable[[int, int, int], None]:
    """Progress of the calls for other wordings."""

    def show(calls: int, total: int, failed: int) -> None:
        update(calls, total, f"asking for other wordings{f'  {failed:,} failed' if failed else ''}")

    return show


def progress_of(update: Callable[..., None]) -> Callable[[Tally, int], None]:
    """Progress with cost and failures."""

    def show(tally: Tally, total: int) -> None:
        cost = f"  ${tally.cost_usd:,.2f}" if tally.cost_usd else ""
        failed = f"  {tally.failed:,} failed" if tally.failed else ""
        update(tally.calls + tally.reused, total, f"asking{cost}{failed}")

    return show
