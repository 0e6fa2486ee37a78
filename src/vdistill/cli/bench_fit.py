"""The fit of hits, for `vdistill bench`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from vdistill.cli.session import Session

if TYPE_CHECKING:
    from vdistill.bench.fit import FitReport
    from vdistill.query.search import Searcher
    from vdistill.workspace import Workspace


class Options(Protocol):
    """The options of `bench` that this depends on."""

    @property
    def unanswered(self) -> Path | None:
        """The file of queries that nothing answers."""

    @property
    def judge(self) -> str | None:
        """Whose judgments are measured by."""

    @property
    def min_fit(self) -> float:
        """At which false hits are counted."""

    @property
    def seed(self) -> int:
        """Of the parts and of the bootstrap."""


def fit_report(
    session: Session, workspace: Workspace, searchers: Mapping[str, Searcher], options: Options
) -> FitReport | None:
    """As `bench.fit.measure`, of the student's index or without one of the backbone's; None where it knows no fit.

    Raises VdistillError for a file that cannot be read.
    """
    from vdistill.bench.fit import measure
    from vdistill.database import Database
    from vdistill.inputs.queries import texts
    from vdistill.inputs.sides import Sides

    given = list(texts(str(options.unanswered))) if options.unanswered else []
    searcher = searchers.get("student", searchers.get("backbone"))
    if searcher is None or searcher.fit is None:
        if given:
            session.say("the index knows no fit, so false hits are not measured (see docs/fit.md)")
        return None
    with Database.open(workspace.database, write=False) as database:
        known = {query.text for query in database.queries()}
        unseen = [text for text in given if text not in known]
        if len(unseen) < len(given):
            session.say(f"{len(given) - len(unseen)} unanswered queries left out: the workspace knows them")
        images = searcher.hashes(searcher.ids), Sides.read(database)
        return measure(
            searcher, database, images, judge=options.judge, unseen=unseen, min_fit=options.min_fit, seed=options.seed
        )
