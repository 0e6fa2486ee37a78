"""`vdistill distill --cycles N`: label and distill in turns, each student guiding what the teacher sees next."""

import contextlib
import io
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vdistill.cli import console
from vdistill.cli.session import Session
from vdistill.workspace import Workspace, writing

if TYPE_CHECKING:
    from vdistill.distill.run import DistillReport

FILE = "cycles.jsonl"


@dataclass(frozen=True)
class Cycles:
    """So many turns within one budget of teacher calls; what is not said here is as for `vdistill label`."""

    count: int
    teacher: str | None
    endpoint: str | None
    budget: int | None

    def run(
        self, session: Session, distill: Callable[[], "DistillReport"]
    ) -> tuple["DistillReport", list[dict[str, Any]]]:
        """The last training's report, and the figures of each turn, which are also kept in the workspace."""
        total = self.budget or int(self._label(session, "--dry-run")["calls"])
        session.say(f"{self.count} cycles, {total:,} teacher calls in all")
        workspace, found = session.create(), []
        for number in range(self.count):
            share = total * (number + 1) // self.count - total * number // self.count
            session.say(f"cycle {number + 1} of {self.count}: up to {share:,} calls")
            labelled = self._label(session, "--budget", str(max(share, 1)))
            report = distill()
            facts = {
                "cycle": number + 1,
                "teacher": labelled["teacher"],
                "calls": labelled["calls"],
                "reused": labelled["reused"],
                "heldout": report.heldout,
            }
            found.append(facts)
            _keep(workspace, facts)
        return report, found

    def _label(self, session: Session, *more: str) -> dict[str, Any]:
        """Run `vdistill label` with the defaults of the environment and `vdistill.toml`."""
        from vdistill.cli.app import main

        arguments = ["label", *more, "--json"]
        arguments += ["--workspace", str(session.folder)] if session.folder else []
        arguments += ["--quiet"] if session.quiet else []
        arguments += ["--teacher", self.teacher] if self.teacher else []
        arguments += ["--endpoint", self.endpoint] if self.endpoint else []
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            main(arguments)
        return dict(json.loads(said.getvalue()))


def show(found: list[dict[str, Any]]) -> None:
    """The held-out figures of the student after each cycle, with the backbone's first."""
    from vdistill.metrics_table import metrics_table

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
