"""`vdistill bench`."""

from pathlib import Path
from typing import Annotated

import typer

from vdistill.cli.session import BackboneOption, JsonOption, Session, command


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "bench")(bench)


def bench(
    session: Session,
    qrels: Annotated[Path | None, typer.Option(help="Judge by this TREC qrels file instead of the teacher.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write a self-contained page.")] = None,
    fail_under: Annotated[
        list[str] | None, typer.Option(help="METRIC=VALUE the student must reach, else exit 3. Repeatable.")
    ] = None,
    speed: Annotated[bool, typer.Option("--speed", help="Measure query latency and size on this machine too.")] = False,
    backbone: BackboneOption = None,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Measure backbone, student and teacher on held-out queries and pictures."""
    raise NotImplementedError
