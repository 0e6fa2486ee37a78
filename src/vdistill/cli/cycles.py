"""`vdistill distill --cycles N`: label and distill in turns, each student guiding what the teacher sees next."""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from vdistill.cli import console
from vdistill.cli.label import Guide, LabelOptions, resolved
from vdistill.cli.session import Session, remember, remembered
from vdistill.workspace import Workspace, writing

if TYPE_CHECKING:
    from vdistill.distill.run import DistillReport

FILE, SETTING = "cycles.jsonl", "cycles"


@dataclass
class Turns:
    """How far some cycles have come, as the workspace remembers it.

    key: what they were asked to do.  total: teacher calls of all of them.  done: the figures of each finished turn.
    labelled: what `label` did in the turn under way.  report: of the last training.
    """

    key: str
    total: int
    done: list[dict[str, Any]] = field(default_factory=list)
    labelled: dict[str, Any] | None = None
    report: dict[str, Any] | None = None


@dataclass(frozen=True)
class Cycles:
    """So many turns within one budget of teacher calls; what is not said here is as for `vdistill label`."""

    count: int
    teacher: str | None
    endpoint: str | None
    budget: int | None
    training: Mapping[str, Any]  # the settings of `distill`

    def run(
        self, session: Session, distill: Callable[[], "DistillReport"], *, fresh: bool
    ) -> tuple["DistillReport", list[dict[str, Any]]]:
        """The last training's report, and the figures of each turn, which are also kept in the workspace.

        What an interrupted run has finished is not done again, nor are finished cycles without `fresh`.
        """
        from vdistill.distill.run import DistillReport

        workspace, options = session.create(), self._options(session)
        turns = self._taken_up(session, workspace, options, fresh=fresh)
        for number in range(len(turns.done), self.count):
            if turns.labelled is None:
                turns.labelled = self._label(session, options, number, turns.total)
                remember(workspace, SETTING, asdict(turns))
            report = distill()
            facts = {
                "cycle": number + 1,
                **{name: turns.labelled[name] for name in ("teacher", "calls", "reused")},
                "heldout": report.heldout,
            }
            turns.done.append(facts)
            turns.labelled, turns.report = None, report.to_json()
            remember(workspace, SETTING, asdict(turns))
            _keep(workspace, facts)
        return DistillReport(**(turns.report or {})), turns.done

    def _options(self, session: Session) -> LabelOptions:
        given = ["--teacher", self.teacher] if self.teacher else []
        given += ["--endpoint", self.endpoint] if self.endpoint else []
        return resolved(session, *given)

    def _taken_up(self, session: Session, workspace: Workspace, options: LabelOptions, *, fresh: bool) -> Turns:
        """The cycles that were interrupted where they were asked to do the same, else new ones."""
        asked = [self.count, self.budget, asdict(options), dict(self.training)]
        key = hashlib.sha256(json.dumps(asked, default=str).encode()).hexdigest()
        known = remembered(workspace, SETTING)
        turns = Turns(**known) if known else None
        if fresh or turns is None or turns.key != key or (turns.done and not workspace.student.is_dir()):
            turns = Turns(key, self.budget or self._calls_of_one_label(session, options))
        session.say(f"{self.count} cycles, {turns.total:,} teacher calls in all")
        if len(turns.done) == self.count:
            session.say("they are finished already, nothing is asked (--fresh: begin anew)")
        elif turns.done or turns.labelled:
            session.say(f"going on with cycle {len(turns.done) + 1}")
        return turns

    def _calls_of_one_label(self, session: Session, options: LabelOptions) -> int:
        """What `vdistill label` alone would plan, whether stored already or not."""
        with options.asking(session) as asking:
            asking.set_size(options.images_per_call, dry_run=True)
            planned = asking.dry_run()
        return max(planned.calls + planned.reused, 1)

    def _label(self, session: Session, options: LabelOptions, number: int, total: int) -> dict[str, Any]:
        """The turn's share of the calls and of the money; from the second turn on the student guides."""
        share = max(total * (number + 1) // self.count - total * number // self.count, 1)
        session.say(f"cycle {number + 1} of {self.count}: up to {share:,} calls")
        money = None if options.max_cost is None else options.max_cost / self.count
        turn = replace(options, budget=share, max_cost=money, guide=Guide.student if number else options.guide)
        with turn.asking(session) as asking:
            asking.set_size(turn.images_per_call, dry_run=False)
            return asking.run().to_json()


def show(found: list[dict[str, Any]]) -> None:
    """The held-out figures of the student after each cycle, with the backbone's first."""
    from vdistill.evaluation.metrics_table import metrics_table

    if found and found[-1]["heldout"]:
        columns = {"backbone": found[-1]["heldout"]["backbone"]}
        columns |= {f"cycle {facts['cycle']}": facts["heldout"]["student"] for facts in found if facts["heldout"]}
        console.result(metrics_table(columns, title="the student after each cycle, on what was held out"))


def _keep(workspace: Workspace, facts: dict[str, Any]) -> None:
    path = workspace.reports / FILE
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"time": time.time(), **facts}) + "\n")
