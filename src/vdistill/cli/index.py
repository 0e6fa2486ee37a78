"""`vdistill index`."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vdistill.cli import console, parts
from vdistill.cli.config import Meaning
from vdistill.cli.index_outputs import Outputs
from vdistill.cli.session import (
    DATABASES,
    BackboneOption,
    CacheOption,
    CatalogArgument,
    EngineOption,
    JsonOption,
    ModelOption,
    RobotsOption,
    Session,
    pick_backbone,
    pick_catalog,
    pick_model,
    remember,
    remembered,
)
from vdistill.workspace import Workspace

if TYPE_CHECKING:
    from vdistill.index.build import IndexReport
    from vdistill.index.embedding import MakesEmbedder
    from vdistill.inputs.catalog import Catalog

_TITLES = {"to": "brought to the database", "export": "exported", "pack": "packed"}
INDEXED = "indexed"  # the setting for the folder that was indexed last, where judgments are about another one


@dataclass(frozen=True, kw_only=True)
class IndexCommand:
    """Embed the catalog, and publish the bundle that `query` reads."""

    catalog: CatalogArgument = None
    model: ModelOption = None
    dtype: Annotated[Literal["bf16", "f16", "i8", "f32"], typer.Option(help="Precision of the stored vectors.")] = (
        "bf16"
    )
    backbone: BackboneOption = None
    ignore_robots: RobotsOption = None
    cache_gib: CacheOption = None
    to: Annotated[
        str | None,
        Meaning.DATABASE,
        typer.Option(help=f"Bring a database to what is indexed: {DATABASES}.", show_default=False),
    ] = None
    export: Annotated[
        Path | None,
        typer.Option(help="Write vectors, ids and metadata to a .parquet or .npy file.", show_default=False),
    ] = None
    pack: Annotated[
        Path | None,
        typer.Option(help="Write the whole index to one .vdx file.", show_default=False),
    ] = None
    thumbnails: Annotated[bool, typer.Option("--thumbnails", help="Put small images into the pack.")] = False
    engine: EngineOption = None
    as_json: JsonOption = False

    def execute(self, session: Session) -> None:
        """Index the catalog."""
        if self.thumbnails and self.pack is None:
            raise typer.BadParameter("goes with --pack FILE.vdx", param_hint="--thumbnails")
        outputs = Outputs.checked(self.to, self.export, self.pack, thumbnails=self.thumbnails)
        if self.engine is not None:
            from vdistill.cluster.engine import Engine

            Engine.parse(self.engine).check()  # before a large catalog is read
        folder = pick_catalog(session.find(), self.catalog, INDEXED)
        from vdistill.inputs.catalog import scan

        session.cache_images(self.cache_gib)
        session.ignore_robots(self.ignore_robots, keep=False)  # for the listing; remembered once there is a workspace
        catalog = scan(folder)  # before a workspace is made for a folder that is not there
        workspace = session.create()
        session.ignore_robots(self.ignore_robots)
        model, backbone = pick_model(workspace, self.model), pick_backbone(workspace, self.backbone)
        report = self._build(session, workspace, catalog, model, backbone)
        self._remember(workspace, catalog.root, backbone)
        for line in catalog.told(report.skipped):
            session.say(line)
        if report.by_text:
            session.say(f"{report.by_text:,} items without an image are indexed by their texts")
        if not self.as_json:
            console.facts("indexed", {**report.to_json(), "skipped": len(report.skipped)}, as_json=False)
        written = outputs.write(session, workspace, model) if outputs else {}
        if self.as_json:
            console.document({**report.to_json(), **written})
        else:
            for title, facts in written.items():
                console.facts(_TITLES[title], facts, as_json=False)

    def _remember(self, workspace: Workspace, catalog: str, backbone: str) -> None:
        _remember_catalog(workspace, catalog)
        if self.backbone:
            remember(workspace, "backbone", backbone)
        if self.cache_gib is not None:
            remember(workspace, "cache_gib", self.cache_gib)

    def _build(
        self, session: Session, workspace: Workspace, catalog: "Catalog", model: str, backbone: str
    ) -> "IndexReport":
        from vdistill.bundle.manifest import made_before
        from vdistill.encoders.student import open_item_head, open_model, provenance
        from vdistill.index.build import build, refresh

        if made_before(workspace.index, model):
            session.say("an older version read some images differently: all are embedded again")
        made_from, head = provenance(workspace, model, backbone), open_item_head(workspace, model)
        started, where = time.monotonic(), ""
        with console.progress(session.quiet) as update:

            def progress(done: int, total: int) -> None:
                update(done, total, f"embedding{where}, {done / (time.monotonic() - started):.0f} images/s")

            def manned(workers: str) -> None:
                nonlocal where
                where = f" by {workers}"

            report = refresh(workspace, catalog, model, dtype=self.dtype, made_from=made_from, head=head,
                             progress=progress, anyway=not parts.has("torch"))  # fmt: skip
            if report is None:
                with self._embedder(session, manned) as embedder:
                    encoder = open_model(workspace, model, backbone)
                    started = time.monotonic()
                    report = build(workspace, catalog, encoder, model, dtype=self.dtype, made_from=made_from, head=head,
                                   progress=progress, embedder=embedder)  # fmt: skip
        return report

    @contextmanager
    def _embedder(self, session: Session, manned: Callable[[str], None]) -> "Iterator[MakesEmbedder]":
        """This process, or a cluster while it is in use.  manned: gets its workers in words."""
        from vdistill.index.embedding import Embedder

        if self.engine is None:
            yield Embedder
            return
        from vdistill.cluster.connection import connected
        from vdistill.cluster.embedding import OnCluster
        from vdistill.cluster.engine import Engine

        with connected(Engine.parse(self.engine)) as cluster:
            there = OnCluster(cluster, session.say, manned)
            there.hire_early()
            yield there


def _remember_catalog(workspace: Workspace, folder: str) -> None:
    """For the next `index`; what was judged stays the catalog that `label` and `distill` work with."""
    judged = remembered(workspace, "holdout") is not None and remembered(workspace, "catalog") is not None
    if not judged:
        remember(workspace, "catalog", folder)
    remember(workspace, INDEXED, folder)
