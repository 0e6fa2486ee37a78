"""The parts of `vdistill label` that ask several teachers: opening them, an audit side by side, the run itself."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from vdistill.cli import console
from vdistill.cli.label_task import LabelTask, progress_of, rewording_of
from vdistill.cli.teacher_names import and_server
from vdistill.database import Database
from vdistill.errors import VdistillError
from vdistill.inputs.sides import Sides
from vdistill.label import habits
from vdistill.label.audit.comparison import Wanted, compare
from vdistill.label.jury.dry_run import plan_jury
from vdistill.label.jury.members import Jury
from vdistill.label.jury.planning import Planner
from vdistill.label.jury.run import JuryRun, label_jury
from vdistill.label.none_share import each_offers_none
from vdistill.label.outlook import outlook
from vdistill.label.prepare import Samples
from vdistill.label.run import LabelReport
from vdistill.label.teacher import Teacher
from vdistill.label.teachers import open_teacher
from vdistill.records import Item, Query


def refuse_in_jury(names: Sequence[str], *, batch: bool) -> None:
    """Raise VdistillError for what only one teacher can be asked."""
    if batch:
        raise VdistillError(
            "--batch asks one teacher, and a jury has several",
            hint=f"submit the batches of each by itself, such as --teacher {names[0]} --batch",
        )


@dataclass
class JuryTask(LabelTask):
    """One run of `label` that asks several teachers. specs: their names as the user gave them."""

    specs: tuple[str, ...] = ()

    def set_size(self, given: str) -> None:
        """How many images a call shows. Raises VdistillError for `auto`: teachers differ in what suits them."""
        if given == "auto":
            raise VdistillError(
                "--images-per-call auto is for one teacher, and a jury shares its questions",
                hint="--audit 200 shows what suits each of them; then give the number",
            )
        super().set_size(given)

    def opened(self, items: Sequence[Item], max_cost: float | None = None) -> Teacher:
        """The jury; all of its teachers are closed with this task. Raises VdistillError as `LabelTask.opened`."""
        teachers: list[Teacher] = []
        try:
            for spec in self.specs:
                name, server = and_server(spec)
                options = replace(self.options, endpoint=server, endpoints=()) if server else self.options
                teacher = open_teacher(name, options, items, self.session.say)
                teachers.append(teacher)
                teachers[-1] = self._placed(teacher)
                if max_cost is not None or self.settings.max_cost is not None:
                    self._check_price(teachers[-1], items, name)
            self._teacher = Jury(teachers)
        except BaseException:
            for teacher in teachers:
                teacher.close()
            raise
        return self._teacher

    def _placed(self, teacher: Teacher) -> Teacher:
        """One of the jury: on the cluster where there is one and the teacher is a model of ours."""
        if self.engine is None or self.options.plan:
            return teacher
        from vdistill.label.teachers.local_vlm import LocalVLM

        return self._on_cluster(teacher, self.engine) if isinstance(teacher, LocalVLM) else teacher

    def audit(self, calls: int) -> dict[str, Any]:
        """What audits of so many calls each find, side by side on the same images, and which mixture to buy."""
        self.judged_by_backbone = self._backbone() is not None
        budget, self.purse = self.purse.budget, replace(self.purse, budget=None)
        self._recalled()
        stage, workspace, jury = self._read().stage(self.settings), self.session.create(), self._jury()
        with console.progress(self.session.quiet) as update:
            run = replace(self._run(), advance=progress_of(update))
            return compare(workspace, stage, run, jury.teachers, Wanted(calls, self._scores(stage), budget))

    def plan(self) -> LabelReport:
        """What a run would do."""
        report = plan_jury(self.session.find(), self._planner(), self._jury_run())
        for teacher, row in zip(self._jury().teachers, report.teachers, strict=True):
            self._say_all(outlook(teacher, row["calls"], row["seconds"]))
        return self._with_inputs(report)

    def label(self) -> LabelReport:
        """Ask, and store the answers."""
        planner, purse, workspace = self._planner(), self.purse, self.session.create()
        self._say_cut(planner.full)
        with console.progress(self.session.quiet) as update:
            run = replace(self._jury_run(), advance=progress_of(update), rewording=rewording_of(update))
            report = label_jury(workspace, planner, run)
        return self._with_inputs(replace(report, calls=purse.calls, tokens=purse.tokens, cost_usd=purse.usd))

    def _planner(self) -> Planner:
        self._recalled()
        jury, session = self._jury(), self.session
        jury.nones = each_offers_none(
            self.none, jury.teachers, session.find(), session.say, typed=session.typed("none")
        )
        return Planner(self._read(), jury, replace(self.settings, none=any(jury.nones)))

    def _jury(self) -> Jury:
        teacher = self._read().teacher
        assert isinstance(teacher, Jury)
        return teacher

    def _jury_run(self) -> JuryRun:
        return JuryRun(self.purse, self.session.say, choose_ask=not self.ask_given)

    def _recalled(self) -> bool:
        with Database.existing(self.session.find()) as database:
            return all([habits.recall(teacher, database) for teacher in self._jury().teachers])

    def _write(self, teacher: Teacher, samples: Samples, sides: Sides) -> list[Query]:
        assert isinstance(teacher, Jury)
        return super()._write(teacher.writer, samples, sides)
