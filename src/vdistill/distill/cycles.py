"""Label and distill in turns, each student guiding what the teacher sees next; an interrupted run continues."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from vdistill.database import Database
from vdistill.distill.run import DistillReport
from vdistill.label.run import LabelReport
from vdistill.workspace import Workspace, writing

FILE, SETTING = "cycles.jsonl", "cycles"


@dataclass(frozen=True, slots=True)
class Share:
    """What one cycle may spend, and whether the student of the cycle before guides the questions."""

    calls: int
    max_cost: float | None
    guided: bool


@dataclass(frozen=True, slots=True)
class Cycles:
    """`count` cycles within one budget.

    budget: teacher calls of all cycles; None for as many as one run of `label` plans.  max_cost: US dollars of all
    cycles; None for no cap.  asked, training: the options of both stages; interrupted cycles continue where these are
    the same.  plan, label, distill: the stages, so configured.
    """

    count: int
    budget: int | None
    max_cost: float | None
    asked: Mapping[str, Any]
    training: Mapping[str, Any]
    plan: Callable[[], LabelReport]
    label: Callable[[Share], LabelReport]
    distill: Callable[[], DistillReport]

    def share(self, number: int, total: int) -> Share:
        """What cycle `number`, from 0, may spend of `total` calls."""
        calls = total * (number + 1) // self.count - total * number // self.count
        money = None if self.max_cost is None else self.max_cost / self.count
        return Share(max(calls, 1), money, guided=number > 0)


@dataclass(slots=True)
class State:
    """How far the cycles have come, as the workspace remembers it.

    key: a hash of what was asked for.  total: teacher calls of all cycles.  done: the figures of each finished cycle.
    labelled: what `label` reported in the cycle under way.  report: of the last training.
    """

    key: str
    total: int
    done: list[dict[str, Any]] = field(default_factory=list)
    labelled: dict[str, Any] | None = None
    report: dict[str, Any] | None = None


def alternate(
    workspace: Workspace, cycles: Cycles, say: Callable[[str], None], *, fresh: bool
) -> tuple[DistillReport, list[dict[str, Any]]]:
    """The last training's report, and the figures of each cycle, which are also appended to `reports/cycles.jsonl`.

    What an interrupted run has finished is not done again; neither are finished cycles, unless `fresh`.
    """
    state = _resumed(workspace, cycles, say, fresh=fresh)
    for number in range(len(state.done), cycles.count):
        if state.labelled is None:
            share = cycles.share(number, state.total)
            say(f"cycle {number + 1} of {cycles.count}: up to {share.calls:,} calls")
            state.labelled = cycles.label(share).to_json()
            _save(workspace, state)
        report = cycles.distill()
        asked = {name: state.labelled[name] for name in ("teacher", "calls", "reused")}
        state.done.append({"cycle": number + 1, **asked, "heldout": report.heldout})
        state.labelled, state.report = None, report.to_json()
        _save(workspace, state)
        _append(workspace, state.done[-1])
    return DistillReport(**(state.report or {})), state.done


def _resumed(workspace: Workspace, cycles: Cycles, say: Callable[[str], None], *, fresh: bool) -> State:
    """The state of interrupted cycles that were asked to do the same, else a new one."""
    asked = [cycles.count, cycles.budget, dict(cycles.asked), dict(cycles.training)]
    key = hashlib.sha256(json.dumps(asked, default=str).encode()).hexdigest()
    with Database.open(workspace.database) as database:
        known = database.setting(SETTING)
    state = State(**known) if known else None
    if fresh or state is None or state.key != key or (state.done and not workspace.student.is_dir()):
        state = State(key, cycles.budget or _calls_of_one_label(cycles.plan()))
    say(f"{cycles.count} cycles, {state.total:,} teacher calls in all")
    if len(state.done) == cycles.count:
        say("they are finished already, nothing is asked (--fresh: start over)")
    elif state.done or state.labelled:
        say(f"continuing with cycle {len(state.done) + 1}")
    return state


def _calls_of_one_label(planned: LabelReport) -> int:
    """Whether stored already or not."""
    return max(planned.calls + planned.reused, 1)


def _save(workspace: Workspace, state: State) -> None:
    with Database.open(workspace.database) as database:
        database.remember(SETTING, asdict(state))


def _append(workspace: Workspace, figures: Mapping[str, Any]) -> None:
    path = workspace.reports / FILE
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"time": time.time(), **figures}) + "\n")
