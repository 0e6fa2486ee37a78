"""`vdistill bench --set`: the models of a workspace on a public set, which needs no index."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vdistill.bench.baselines import Against, Files
from vdistill.bench.graded import Embedded
from vdistill.bench.parts import WithTexts
from vdistill.bench.public_sets.named import made, parse
from vdistill.cli.session import Session
from vdistill.database import Database
from vdistill.encoders.student import open_item_head, open_model
from vdistill.inputs import catalog as catalogs
from vdistill.inputs import queries
from vdistill.inputs.known_hashes import hashes_of
from vdistill.inputs.sides import Sides
from vdistill.records import Query
from vdistill.workspace import Workspace


@dataclass(frozen=True)
class PublicSet:
    """A public set, ready to be measured on."""

    files: Files
    qrels: Path
    queries: list[Query]
    known: Sides
    about: dict[str, Any]

    @classmethod
    def opened(cls, session: Session, workspace: Workspace, text: str, count: int | None) -> PublicSet:
        """The set of `NAME[:FOLDER]`, made where it is not there yet. Raises VdistillError where that fails."""
        folder, about = made(*parse(text), count, session.say)
        with hashes_of(folder.catalog, workspace.cache) as cache:
            catalog = catalogs.scan(folder.catalog)
            hashes = cache.of(catalog.items, session.say)
        with Database.existing(workspace) as database:
            known = Sides.read(database)
        asked = queries.load(folder.queries, 0.0)
        return cls(Files(catalog.items, hashes, catalog.root), folder.qrels, asked, known, about)

    def models(self, workspace: Workspace, backbone: str) -> Mapping[str, Embedded]:
        """The backbone and, where there is one, the student."""
        names = ["backbone", "student"] if workspace.student.is_dir() else ["backbone"]
        return {name: self._embedded(workspace, name, backbone) for name in names}

    def _embedded(self, workspace: Workspace, name: str, backbone: str) -> Embedded:
        encoder, head = open_model(workspace, name, backbone), open_item_head(workspace, name)
        if head is None:
            return Against(encoder, self.files, workspace.cache)
        return WithTexts(encoder, self.files, workspace.cache, head)
