"""`vdistill label --teacher me`: options that a person has no use for, and what a sitting brought, as tables."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from vdistill.cli import console
from vdistill.cli.agreement_table import agreement_table
from vdistill.cli.session import Session, remembered
from vdistill.errors import VdistillError
from vdistill.label.settings import LabelSettings

if TYPE_CHECKING:
    from vdistill.judge.run import JudgeReport
    from vdistill.query.search import Searcher
    from vdistill.workspace import Workspace

_NOT_ASKED = {
    "audit": "an earlier question comes up again now and then, which measures a person",
    "generate_queries": "people judge; let a model write queries, or give --queries FILE",
    "endpoint": "a person answers in the browser",
    "engine": "a person answers in the browser",
    "guide": "what student and teacher disagree on comes first anyway",
    "paraphrases": "people judge; let a model write other wordings",
    "prompt": "the page asks which image fits best",
}


def judge_page(session: Session, spec: str, settings: LabelSettings, given: dict[str, Any], *, as_json: bool) -> None:
    """Let a person judge, and print what that brought.

    given: the other options by name. Raises VdistillError for those that make no sense here.
    """
    _check(session, given)
    try:
        from vdistill.judge.person import Person, name_in
        from vdistill.judge.run import COUNT, Caller, judge, prepare
        from vdistill.label.run import LabelReport
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in ("starlette", "uvicorn", "prometheus_client", "python_multipart"):
            raise
        raise VdistillError("the judge page needs more packages", hint="pip install 'vdistill[serve]'") from error
    person = Person(name_in(spec))
    if given["dry_run"]:
        prepared = prepare(session.find(), person, settings, session.say)
        count = min(settings.budget or COUNT, prepared.stage.most_calls)
        planned = LabelReport(person.name, len(prepared.stage.queries), len(prepared.stage.items), calls=count)
        console.facts("planned, nothing was asked", planned.to_json(), as_json=as_json)
        return
    with ExitStack() as stack:
        workspace = session.create()
        student = _student(session, workspace, stack)
        report = judge(Caller(workspace, student, session.say, _tell, not session.quiet), person, settings)
    console.document(report.to_json()) if as_json else _show(report)


def _show(report: JudgeReport) -> None:
    label = report.label
    facts = {
        "teacher": label.teacher, "answers": label.calls, "none of these": report.none, "skipped": report.skipped,
        "asked again": report.repeats, "minutes": label.seconds / 60,
    }  # fmt: skip
    console.facts("judged", facts, as_json=False)
    if report.agreement:
        console.result(agreement_table(report.agreement))
    if any(value != 1 for value in report.noise.values()):
        noise = {name: f"{value:.2f}" for name, value in report.noise.items()}
        console.facts("noise, 1 for a usual judge: the noisier weigh less", noise, as_json=False)


def _check(session: Session, given: dict[str, Any]) -> None:
    for name, why in _NOT_ASKED.items():
        if session.typed(name) and given[name] not in (None, (), []):  # elsewhere it may stand for other teachers
            raise VdistillError(f"--{name.replace('_', '-')} is not for a person", hint=why)
    if given["ask"] == "rank":
        raise VdistillError("--ask rank is not for a person", hint="a person chooses the best of what is shown")
    if given["images_per_call"] == "auto":
        raise VdistillError("--images-per-call auto is not for a person", hint="give a number from 2 to 9")


def _student(session: Session, workspace: Workspace, stack: ExitStack) -> Searcher | None:
    """What searches by the student, where there are one and a judged catalog; its index is made first if it is old."""
    if not workspace.student.is_dir() or remembered(workspace, "catalog") is None:
        return None
    from vdistill.cli.fresh import open_searchers

    try:
        return stack.enter_context(open_searchers(session, workspace, ["student"])["student"])
    except VdistillError as error:
        session.say(f"questions come in the order of the schedule, since the student cannot be asked: {error.message}")
        return None


def _tell(address: str) -> None:
    """Where the page is: on stderr, even with --quiet, since nobody could find it otherwise."""
    console.notice(f"judge at {address} (Ctrl-C ends it; every answer is kept)")
