"""`vdistill label`."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from enum import Enum
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vdistill.cli import console
from vdistill.cli.config import Meaning
from vdistill.cli.session import (
    HOLDOUT,
    BackboneOption,
    JsonOption,
    Session,
    command,
    pick_backbone,
    pick_catalog,
    pick_holdout,
)

if TYPE_CHECKING:
    from vdistill.cli.label_teacher import Asking
    from vdistill.label.stage import LabelSettings

TEACHER, QUESTIONS, INSTEAD = "Teacher", "What is asked", "Instead of asking"


class AskChoice(str, Enum):
    """How a question is put."""

    best = "best"
    rank = "rank"


class ScheduleChoice(str, Enum):
    """Who is shown what, and in which order."""

    adaptive = "adaptive"
    banded = "banded"
    knockout = "knockout"


class Guide(str, Enum):
    """Who decides what is worth showing."""

    student = "student"
    backbone = "backbone"
    none = "none"


@dataclass(frozen=True)
class LabelOptions:
    """What the options of `vdistill label` say, wherever they come from; the fields are its parameters."""

    catalog: Path | None
    teacher: str
    endpoint: str | None
    api_key_env: str | None
    think: str
    queries: str | None
    generate_queries: int | None
    budget: int | None
    max_cost: float | None
    images_per_call: str
    ask: AskChoice | None
    schedule: ScheduleChoice
    guide: Guide
    pool: int
    prompt: Path | None
    max_pixels: int | None
    concurrency: int
    calls_per_minute: int | None
    holdout: float | None
    seed: int
    backbone: str | None

    def settings(self, session: Session) -> "LabelSettings":
        """The stage's settings, with what the workspace remembers. Raises VdistillError where no catalog is known."""
        from vdistill.label.stage import LabelSettings

        found = session.find()
        return LabelSettings(
            catalog=pick_catalog(found, self.catalog),
            queries=self.queries,
            budget=self.budget,
            max_cost=self.max_cost,
            ask=self.ask.value if self.ask else "best",
            schedule=self.schedule.value,
            guide=self.guide.value,
            backbone=pick_backbone(found, self.backbone) if self.backbone or self.guide is Guide.backbone else None,
            pool=self.pool,
            concurrency=self.concurrency,
            holdout=pick_holdout(found, self.holdout),
            seed=self.seed,
        )

    @contextmanager
    def asking(self, session: Session) -> Iterator["Asking"]:
        """One run that asks; what its teacher holds is given back in the end."""
        from vdistill.cli.label_teacher import Asking
        from vdistill.label.teachers.options import TeacherOptions

        asking = Asking(
            session, self.teacher, self.settings(session), self.generate_queries, ask_given=self.ask is not None
        )
        options = TeacherOptions(
            self.endpoint,
            calls_per_minute=self.calls_per_minute,
            max_pixels=self.max_pixels,
            key_name=self.api_key_env,
        )
        asking.open(options, self.prompt, self.think)
        try:
            yield asking
        finally:
            asking.close()


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "label")(label)


def label(
    session: Session,
    catalog: Annotated[Path | None, typer.Argument(help="Folder of pictures. Remembered.", show_default=False)] = None,
    teacher: Annotated[
        str,
        Meaning.TEACHER,
        typer.Option(
            help="metadata, table:FILE, an alias (qwen2-vl, smolvlm, …), a model id or folder, openai:MODEL.",
            rich_help_panel=TEACHER,
        ),
    ] = "qwen2-vl",
    endpoint: Annotated[
        str | None, typer.Option(help="Ask an OpenAI-compatible server at this URL.", rich_help_panel=TEACHER)
    ] = None,
    api_key_env: Annotated[
        str | None,
        typer.Option(
            help="Environment variable with the server's key.",
            show_default="VDISTILL_API_KEY; OPENAI_API_KEY for OpenAI alone",
            metavar="NAME",
            rich_help_panel=TEACHER,
        ),
    ] = None,
    think: Annotated[
        str,
        typer.Option(
            help="off, low, or tokens that a model may think for before it answers, over HTTP.",
            rich_help_panel=TEACHER,
        ),
    ] = "off",
    queries: Annotated[
        str | None,
        Meaning.PATH,
        typer.Option(
            help=".txt, .jsonl, .csv or .parquet, a path or a URL; without it the built-in personas.",
            rich_help_panel=QUESTIONS,
        ),
    ] = None,
    generate_queries: Annotated[
        int | None,
        typer.Option(
            min=1, help="Let the teacher write so many queries that suit the catalog.", rich_help_panel=QUESTIONS
        ),
    ] = None,
    budget: Annotated[
        int | None, typer.Option(min=1, help="Maximum teacher calls; default: 40 per query.", rich_help_panel=QUESTIONS)
    ] = None,
    max_cost: Annotated[
        float | None, typer.Option(min=0, help="Maximum US dollars to spend.", rich_help_panel=QUESTIONS)
    ] = None,
    images_per_call: Annotated[
        str, typer.Option(help="Pictures shown at once, 2 to 9; auto: by an audit.", rich_help_panel=QUESTIONS)
    ] = "8",
    ask: Annotated[
        AskChoice | None,
        typer.Option(
            help="One forced choice, or a full order.", rich_help_panel=QUESTIONS, show_default="what tells more"
        ),
    ] = None,
    schedule: Annotated[
        ScheduleChoice, typer.Option(help="What training queries are shown.", rich_help_panel=QUESTIONS)
    ] = ScheduleChoice.adaptive,
    guide: Annotated[
        Guide, typer.Option(help="Whose scores pick an image of each training call.", rich_help_panel=QUESTIONS)
    ] = Guide.none,
    pool: Annotated[
        int, typer.Option(min=2, help="Pictures in a pool that queries share.", rich_help_panel=QUESTIONS)
    ] = 64,
    prompt: Annotated[
        Path | None, typer.Option(help="TOML file with another wording.", rich_help_panel=TEACHER)
    ] = None,
    max_pixels: Annotated[
        int | None,
        typer.Option(
            min=784,
            help="Pixels of a picture as the teacher sees it.",
            show_default="by teacher",
            rich_help_panel=TEACHER,
        ),
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="Calls at once, over HTTP.", rich_help_panel=TEACHER)] = 8,
    calls_per_minute: Annotated[
        int | None, typer.Option(min=1, help="Maximum calls per minute, over HTTP.", rich_help_panel=TEACHER)
    ] = None,
    holdout: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=0.9,
            help="Share of items and queries kept unseen. Remembered.",
            show_default=f"{HOLDOUT}",
            rich_help_panel=QUESTIONS,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of all that is drawn.", rich_help_panel=QUESTIONS)] = 0,
    backbone: BackboneOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Plan and price, ask nothing.", rich_help_panel=INSTEAD)
    ] = False,
    audit: Annotated[
        int | None,
        typer.Option(
            help="Spend so many calls on finding out what the teacher is worth, and no more.", rich_help_panel=INSTEAD
        ),
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option(help="Write all judgments to a .jsonl or .parquet file; ask nothing.", rich_help_panel=INSTEAD),
    ] = None,
    import_file: Annotated[
        Path | None,
        typer.Option(
            "--import", help="Take in preference pairs, an export, or TREC qrels; ask nothing.", rich_help_panel=INSTEAD
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Let a teacher judge a sample of the catalog; each answer is stored as it comes."""
    from vdistill.cli import audit_table, label_files

    if export is not None:
        label_files.export_file(session, export, as_json=as_json)
        return
    options = LabelOptions(
        catalog=catalog,
        teacher=teacher,
        endpoint=endpoint,
        api_key_env=api_key_env,
        think=think,
        queries=queries,
        generate_queries=generate_queries,
        budget=budget,
        max_cost=max_cost,
        images_per_call=images_per_call,
        ask=ask,
        schedule=schedule,
        guide=guide,
        pool=pool,
        prompt=prompt,
        max_pixels=max_pixels,
        concurrency=concurrency,
        calls_per_minute=calls_per_minute,
        holdout=holdout,
        seed=seed,
        backbone=backbone,
    )
    if import_file is not None:
        label_files.import_file(session, import_file, options.settings(session), as_json=as_json)
        return
    with options.asking(session) as asking:
        if audit is not None:
            _show(audit_table.audit_table, asking.audit(audit), as_json)
            return
        asking.set_size(images_per_call, dry_run=dry_run)
        report = asking.dry_run() if dry_run else asking.run()
    _show(lambda facts: _summary(facts, planned=dry_run), report.to_json(), as_json)


def resolved(session: Session, *given: str) -> LabelOptions:
    """What `vdistill label` with these arguments would be asked, by the environment and `vdistill.toml` too."""

    @wraps(label)
    def read(_: Session, **values: Any) -> LabelOptions:
        return LabelOptions(**{field.name: values[field.name] for field in fields(LabelOptions)})

    reader = typer.Typer(add_completion=False)
    command(reader, "label")(read)
    common = {"workspace": session.folder, "quiet": session.quiet, "debug": session.debug}
    found = typer.main.get_command(reader).main(
        args=list(given), prog_name="vdistill label", standalone_mode=False, obj=common,
        default_map=session.defaults.get("label", {}),
    )  # fmt: skip
    assert isinstance(found, LabelOptions)
    return found


def _show(table: Any, facts: dict[str, Any], as_json: bool) -> None:
    if as_json:
        console.document(facts)
    else:
        console.result(table(facts))


def _summary(facts: dict[str, Any], *, planned: bool) -> object:
    from vdistill.cli.tables import facts_table

    return facts_table("planned, nothing was asked" if planned else "labelled", facts)
