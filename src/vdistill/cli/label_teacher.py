"""The parts of `vdistill label` that ask a teacher: opening it, an audit, the run itself."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import typer

from vdistill.cli import console
from vdistill.cli.session import Session, pick_backbone, price_table, remember, remembered
from vdistill.errors import VdistillError
from vdistill.label import generate, run
from vdistill.label.asking import Tally
from vdistill.label.audit import LEAST_CALLS, stored_size
from vdistill.label.audit import audit as audit_teacher
from vdistill.label.outlook import announcement, outlook
from vdistill.label.prepare import CALLS_PER_QUERY, LabelSettings, Samples, Stage, prepare
from vdistill.label.prompts import LETTERS, Wording, read_wording
from vdistill.label.run import LabelReport
from vdistill.label.teacher import Teacher
from vdistill.label.teachers import open_teacher
from vdistill.label.teachers.options import TeacherOptions
from vdistill.label.teachers.options import price_table as checked
from vdistill.label.teachers.thinking import read_thinking
from vdistill.records import Item, Query
from vdistill.sides import Sides
from vdistill.workspace import FOLDER

AUDIT_CALLS = 120  # of the audit that `--images-per-call auto` makes where there was none
WRITTEN = "written_queries.jsonl"


@dataclass(frozen=True)
class WorkspaceMemory:
    """What a teacher wants to know again in the next run, in the workspace's settings."""

    session: Session

    def recall(self, name: str) -> Any | None:
        """The value kept last under `name`, or None."""
        return remembered(self.session.find(), name)

    def keep(self, name: str, value: Any) -> None:
        """Keep a value."""
        remember(self.session.create(), name, value)


@dataclass
class Asking:
    """One run of `label` that asks."""

    session: Session
    spec: str
    settings: LabelSettings
    queries_to_write: int | None
    ask_given: bool = True
    dry: bool = False
    spent: generate.Spent = field(default_factory=generate.Spent)
    _teacher: Teacher | None = None
    _options: TeacherOptions = field(default_factory=TeacherOptions)

    def open(self, options: TeacherOptions, prompt: Path | None, think: str) -> None:
        """Note how the teacher is asked; it is opened when its catalog is known."""
        self._options = replace(
            options,
            concurrency=self.settings.concurrency,
            wording=read_wording(prompt) if prompt else Wording(),
            thinking=read_thinking(think),
            prices=checked(*price_table()),
            memory=WorkspaceMemory(self.session),
        )

    def close(self) -> None:
        """Give back what the teacher holds."""
        if self._teacher is not None:
            self._teacher.close()

    def set_size(self, said: str, *, dry_run: bool) -> None:
        """How many pictures a call shows; `auto` asks an audit, an earlier one where there is one."""
        self.dry = dry_run
        sizes = [str(size) for size in range(2, len(LETTERS) + 1)]
        if said != "auto" and said not in sizes:
            raise typer.BadParameter(f"{said!r} is neither auto nor from 2 to 9", param_hint="--images-per-call")
        if said != "auto":
            self.settings = replace(self.settings, images_per_call=int(said))
            return
        _, teacher = self._stage()
        found = self.session.find()
        size = stored_size(found, teacher) if found else None
        budget = self.settings.budget
        calls = AUDIT_CALLS if budget is None else min(AUDIT_CALLS, budget // 4)
        if size is None and calls < LEAST_CALLS:
            self.session.say(f"--images-per-call auto: --budget {budget} is too small for an audit; 8 pictures a call")
        elif size is None and dry_run:
            self.session.say(f"--images-per-call auto: an audit of {calls} calls will come first; planned with 8")
        elif size is None:
            self.session.say(f"--images-per-call auto: an audit of {calls} calls first")
            size = self._audit_size(calls)
        if size is not None:
            self.session.say(f"{size} pictures a call, as the audit found")
            self.settings = replace(self.settings, images_per_call=size)

    def _audit_size(self, calls: int) -> int:
        found = self.audit(calls)
        self.spent.add(found["calls"], found["tokens"], found["cost_usd"])
        return int(found["images_per_call"])

    def audit(self, calls: int) -> dict[str, Any]:
        """What an audit finds."""
        stage, teacher = self._stage()
        with console.progress(self.session.quiet) as update:
            found = audit_teacher(self.session.create(), stage, teacher, calls, _shown(update), self._scores(stage))
        return found.to_json()

    def dry_run(self) -> LabelReport:
        """What a run would do."""
        stage, teacher = self._stage()
        report = run.dry_run(self.session.find(), stage, teacher)
        self._say_all(outlook(teacher, report.calls, report.seconds))
        return report

    def run(self) -> LabelReport:
        """Ask."""
        stage, teacher = self._stage()
        self._say_cut(stage)
        workspace, spent = self.session.create(), self.spent
        first = 0  # the answer that told how to ask
        if not self.ask_given:
            stage, tally = run.as_it_can(workspace, stage, teacher, self.session.say)
            if tally is not None:
                spent.add(tally.calls, tally.tokens, tally.cost_usd)
                first = tally.judgments
        stage = replace(stage, settings=_less(stage.settings, spent))
        self._announce(stage, teacher)
        with console.progress(self.session.quiet) as update:
            report = run.label(workspace, stage, teacher, self.session.say, _shown(update))
        return replace(
            report,
            calls=report.calls + spent.calls,
            judgments=report.judgments + first,
            reused=report.reused - (first if stage.settings.ask == "best" else 0),
            tokens=report.tokens + spent.tokens,
            cost_usd=round(report.cost_usd + spent.cost_usd, 6),
        )

    def _stage(self) -> tuple[Stage, Teacher]:
        write = self._write if self.queries_to_write else None
        return prepare(self.settings, self.session.find(), self._opened, self.session.say, write)

    def _opened(self, items: Sequence[Item]) -> Teacher:
        if self._teacher is None:
            self._teacher = open_teacher(self.spec, replace(self._options, plan=self.dry), items, self.session.say)
        return self._teacher

    def _write(self, teacher: Teacher, samples: Samples, sides: Sides) -> list[Query]:
        """The queries that the teacher wrote before, and when nothing is dry, as many more as are wanted."""
        settings, count = self.settings, self.queries_to_write or 0
        workspace = self.session.find() if self.dry else self.session.create()
        path = (workspace.root if workspace else Path(FOLDER)) / WRITTEN
        writing = generate.Writing(teacher, samples, sides, settings.seed, settings.max_cost, self.session.say)
        if self.dry:
            known = generate.first(generate.stored(path, sides), generate.shares(count, writing))
            if len(known) < count:
                self.session.say(f"{count - len(known)} queries are still to be written, and not in this plan")
            if not known and settings.queries is None:
                raise VdistillError(
                    "no queries to plan with: none were written yet", hint="plan with --queries FILE, or run it"
                )
            return known
        written, spent = generate.generate(writing, count, path)
        self.spent.add(spent.calls, spent.tokens, spent.cost_usd)
        if spent.calls:
            self.session.say(f"wrote queries in {spent.calls} calls, to {path}")
        return written

    def _announce(self, stage: Stage, teacher: Teacher) -> None:
        """How long this will take, where a model on this machine will take long."""
        budget = stage.settings.budget
        calls = CALLS_PER_QUERY * len(stage.queries) if budget is None else budget
        self._say_all(announcement(teacher, calls, list(stage.shown.values())[: stage.settings.images_per_call]))

    def _say_all(self, lines: Sequence[str]) -> None:
        for line in lines:
            self.session.say(line)

    def _scores(self, stage: Stage) -> Any:
        """The backbone's opinion, where a backbone is known and to be had."""
        source = stage.settings.backbone or remembered(self.session.find(), "backbone")
        if source is None:
            return None
        from vdistill.label.guide import scores

        items = stage.items
        return lambda queries, keys: scores(None, source, queries, [items[key] for key in keys])

    def _say_cut(self, stage: Stage) -> None:
        """Queries that are longer than the student will be able to read, where its backbone is known already."""
        source = stage.settings.backbone or remembered(self.session.find(), "backbone")
        if source is None:
            return
        from vdistill.pretrained import count_cut

        with suppress(VdistillError):  # a backbone that is not to be had is the business of `distill`
            cut, limit = count_cut(pick_backbone(None, source), [query.text for query in stage.queries])
            if cut:
                self.session.say(f"{cut} queries are longer than the {limit} tokens that {source} reads: they are cut")


def _less(settings: LabelSettings, spent: generate.Spent) -> LabelSettings:
    """What is left of the caps."""
    budget = None if settings.budget is None else max(settings.budget - spent.calls, 0)
    cost = None if settings.max_cost is None else max(settings.max_cost - spent.cost_usd, 0.0)
    return replace(settings, budget=budget, max_cost=cost)


def _shown(update: Callable[..., None]) -> Callable[[Tally, int], None]:
    """Progress with cost and failures."""

    def show(tally: Tally, total: int) -> None:
        cost = f"  ${tally.cost_usd:,.2f}" if tally.cost_usd else ""
        failed = f"  {tally.failed:,} failed" if tally.failed else ""
        update(tally.calls + tally.reused, total, f"asking{cost}{failed}")

    return show


def audit_table(facts: dict[str, Any]) -> Any:
    """The findings of an audit for the terminal."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(f"audit of {facts['teacher']}"), title_justify="left", box=SIMPLE_HEAD)
    for name in (
        "pictures",
        "calls",
        "flips",
        "chance",
        "reliability",
        "bias",
        "bits",
        "bits/1k tok.",
    ):
        table.add_column(name, justify="right")
    for size in facts["sizes"]:
        per_token = size["bits_per_1000_tokens"]
        table.add_row(
            str(size["images"]),
            str(size["calls"]),
            f"{size['flip_rate']:.2f}",
            f"{size['chance']:.2f}",
            f"{size['reliability']:.2f}",
            f"{size['position_bias']:.2f}",
            f"{size['bits']:.2f}",
            "–" if per_token is None else f"{per_token:.2f}",
        )
    facts_of = Table(box=SIMPLE_HEAD, show_header=False)
    facts_of.add_column(style="bold")
    facts_of.add_column(overflow="fold")
    for name, value in _findings(facts):
        facts_of.add_row(name, Text(value))
    verdict = Text(f"{facts['verdict']}: {facts['reason']}", style="bold")
    return Group(table, facts_of, verdict)


def _findings(facts: dict[str, Any]) -> list[tuple[str, str]]:
    def with_interval(values: Sequence[float]) -> str:
        return f"{values[0]:.2f}  [{values[1]:.2f}, {values[2]:.2f}]"

    def share(value: float | None) -> str:
        return "–" if value is None else f"{value:.2f}"

    return [
        ("reliability", with_interval(facts["reliability"])),
        ("hears the query", with_interval(facts["hears_query"])),
        ("says the same again", share(facts["self_agreement"])),
        ("ties", share(facts["tie_rate"])),
        ("like the backbone", share(facts["backbone"])),
        ("answers", "probabilities" if facts["soft"] else "bare choices or orders"),
        ("calls", f"{facts['calls']:,}, {facts['failed']:,} failed, ${facts['cost_usd']:,.4f}"),
        ("pictures a call", f"{facts['images_per_call']} tell most"),
    ]
