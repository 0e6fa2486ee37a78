"""`vdistill label`."""

from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from vdistill.cli import console
from vdistill.cli.session import BackboneOption, JsonOption, Session, command, pick_catalog
from vdistill.label.teacher import Teacher
from vdistill.records import Item


class AskChoice(str, Enum):
    """How a question is put."""

    best = "best"
    rank = "rank"


class Guide(str, Enum):
    """Who decides what is worth showing."""

    student = "student"
    backbone = "backbone"
    none = "none"


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "label")(label)


def label(
    session: Session,
    catalog: Annotated[Path | None, typer.Argument(help="Folder of pictures. Remembered.", show_default=False)] = None,
    teacher: Annotated[
        str,
        typer.Option(help="metadata, table:FILE, an alias (qwen2-vl, smolvlm, …), a model id or folder, openai:MODEL."),
    ] = "qwen2-vl",
    endpoint: Annotated[str | None, typer.Option(help="Ask an OpenAI-compatible server at this URL.")] = None,
    queries: Annotated[
        Path | None, typer.Option(help=".txt, .jsonl, .csv or .parquet; without it the built-in personas.")
    ] = None,
    budget: Annotated[int | None, typer.Option(min=1, help="Most teacher calls; 40 a query without it.")] = None,
    max_cost: Annotated[float | None, typer.Option(min=0, help="Most US dollars to spend.")] = None,
    images_per_call: Annotated[int, typer.Option(min=2, max=9, help="Pictures shown at once.")] = 8,
    ask: Annotated[AskChoice, typer.Option(help="One forced choice, or a full order.")] = AskChoice.best,
    guide: Annotated[
        Guide | None, typer.Option(help="Whose scores pick what is shown; the student where there is one.")
    ] = None,
    pool: Annotated[int, typer.Option(min=2, help="Pictures in a pool that queries share.")] = 64,
    concurrency: Annotated[int, typer.Option(min=1, help="Calls at once, over HTTP.")] = 8,
    holdout: Annotated[float, typer.Option(min=0, max=0.9, help="Share of items and queries kept unseen.")] = 0.2,
    seed: Annotated[int, typer.Option(help="Seed of all that is drawn.")] = 0,
    backbone: BackboneOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Plan and price, ask nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Let a teacher judge a sample of the catalog; each answer is stored as it comes."""
    from vdistill.cli.session import pick_backbone
    from vdistill.label import prepare, run
    from vdistill.label.teachers import open_teacher

    found = session.find()
    settings = prepare.LabelSettings(
        catalog=pick_catalog(found, catalog),
        queries=queries,
        budget=budget,
        max_cost=max_cost,
        images_per_call=images_per_call,
        ask=ask.value,
        guide=guide.value if guide else None,
        backbone=pick_backbone(found, backbone) if backbone or guide is Guide.backbone else None,
        pool=pool,
        concurrency=concurrency,
        holdout=holdout,
        seed=seed,
    )

    def opened(items: Sequence[Item]) -> Teacher:
        return open_teacher(teacher, endpoint=endpoint, items=items, concurrency=concurrency, say=session.say)

    stage, asked = prepare.prepare(settings, opened, session.say)
    try:
        if dry_run:
            report = run.dry_run(found, stage, asked)
        else:
            workspace = session.create()
            with console.progress(session.quiet) as update:
                report = run.label(
                    workspace,
                    stage,
                    asked,
                    session.say,
                    lambda tally, total: update(tally.calls + tally.reused, total, "asking"),
                )
    finally:
        asked.close()
    if as_json:
        console.document(report.to_json())
    else:
        console.result(_summary(report.to_json(), planned=dry_run))


def _summary(facts: dict[str, object], *, planned: bool) -> object:
    from vdistill.cli.tables import facts_table

    return facts_table("planned, nothing was asked" if planned else "labelled", facts)
