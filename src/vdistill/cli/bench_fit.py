"""The fit of the student's hits, for `vdistill bench`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vdistill.cli.session import Session

if TYPE_CHECKING:
    from vdistill.bench.fit import FitReport
    from vdistill.query.search import Searcher
    from vdistill.workspace import Workspace


def fit_report(
    session: Session,
    workspace: Workspace,
    searcher: Searcher | None,
    unanswered: Path | None,
    judge: str | None,
    min_fit: float,
    seed: int,
) -> FitReport | None:
    """As `bench.fit.measure`, with what is left out said; None where the index knows no fit.

    unanswered: the file of queries that nothing answers. Raises VdistillError for one that cannot be read.
    """
    from vdistill.bench.fit import measure
    from vdistill.database import Database
    from vdistill.inputs.queries import texts
    from vdistill.inputs.sides import Sides

    given = list(texts(str(unanswered))) if unanswered else []
    if searcher is None or searcher.fit is None:
        if given:
            session.say("no index of the student that knows a fit: false hits are not measured (see docs/fit.md)")
        return None
    with Database.open(workspace.database, write=False) as database:
        known = {query.text for query in database.queries()}
        unseen = [text for text in given if text not in known]
        if len(unseen) < len(given):
            session.say(f"{len(given) - len(unseen)} unanswered queries left out: the workspace knows them")
        hashes = searcher.hashes(searcher.ids)
        return measure(searcher, database, (hashes, Sides.read(database)), judge=judge, unseen=unseen,
                       min_fit=min_fit, seed=seed)  # fmt: skip
