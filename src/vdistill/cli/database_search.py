"""`query --from`: the searcher of a database, and what the user should know about it."""

from __future__ import annotations

from vdistill.bundle import manifest
from vdistill.cli.session import Session
from vdistill.databases.address import parse
from vdistill.databases.search import DatabaseSearcher
from vdistill.workspace import Workspace


def open_database_searcher(session: Session, workspace: Workspace, source: str, model: str | None) -> DatabaseSearcher:
    """Open it, with the encoders of the workspace. Raises VdistillError where the two do not belong together."""
    searcher = DatabaseSearcher.open(parse(source), workspace.index, model)
    if searcher.outdated and searcher.model in manifest.read(workspace.index):
        session.say(f"the database holds another {searcher.model} than the index here: `vdistill index --to` brings it")
    return searcher
