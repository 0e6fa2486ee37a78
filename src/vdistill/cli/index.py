"""`vdistill index`."""

import time
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from vdistill.cli import console
from vdistill.cli.session import (
    BackboneOption,
    JsonOption,
    Session,
    command,
    pick_backbone,
    pick_catalog,
    pick_model,
    remember,
    remembered,
)
from vdistill.workspace import Workspace

INDEXED = "indexed"  # the setting for the folder that was indexed last, where judgments are about another one


class Dtype(str, Enum):
    """How a vector is stored."""

    bf16 = "bf16"
    f16 = "f16"
    i8 = "i8"
    f32 = "f32"


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "index")(index)


def index(
    session: Session,
    catalog: Annotated[Path | None, typer.Argument(help="Folder of pictures. Remembered.", show_default=False)] = None,
    model: Annotated[str | None, typer.Option(help="student or backbone; the student where there is one.")] = None,
    dtype: Annotated[Dtype, typer.Option(help="Precision of the stored vectors.")] = Dtype.bf16,
    backbone: BackboneOption = None,
    as_json: JsonOption = False,
) -> None:
    """Embed the catalog, and publish the bundle that `query` reads."""
    found = session.find()
    folder = pick_catalog(found, catalog, INDEXED)
    from vdistill.inputs.catalog import scan

    scanned = scan(folder)  # before a workspace is made for a folder that is not there
    workspace = session.create()
    name = pick_model(workspace, model)
    source = pick_backbone(workspace, backbone)
    from vdistill.bundle.store import made_before
    from vdistill.encoders.student import open_model, provenance
    from vdistill.index.build import build, refresh

    if made_before(workspace.index, name):
        session.say("this index is of an older version, which misread some images: all are embedded anew")

    made_from = provenance(workspace, name, source)
    started = time.monotonic()
    with console.progress(session.quiet) as update:

        def progress(done: int, total: int) -> None:
            update(done, total, f"embedding, {done / (time.monotonic() - started):.0f} pictures/s")

        report = refresh(workspace, scanned, name, dtype=dtype.value, made_from=made_from, progress=progress)
        if report is None:
            encoder = open_model(workspace, name, source)
            started = time.monotonic()
            report = build(workspace, scanned, encoder, name, dtype=dtype.value, made_from=made_from,
                           progress=progress)  # fmt: skip
    _remember_catalog(workspace, str(folder.resolve()))
    if backbone:
        remember(workspace, "backbone", source)
    for line in scanned.told(report.skipped):
        session.say(line)
    if as_json:
        console.document(report.to_json())
        return
    from vdistill.cli.tables import facts_table

    console.result(facts_table("indexed", {**report.to_json(), "skipped": len(report.skipped)}))


def _remember_catalog(workspace: Workspace, folder: str) -> None:
    """For the next `index`; what was judged stays the catalog that `label` and `distill` work with."""
    judged = remembered(workspace, "holdout") is not None and remembered(workspace, "catalog") is not None
    if not judged:
        remember(workspace, "catalog", folder)
    remember(workspace, INDEXED, folder)
