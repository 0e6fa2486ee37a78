"""`query --why`: what it can be given with, the index and the judgments that it needs, and its words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

from vdistill.cli import console
from vdistill.cli.session import Session, pick_model
from vdistill.errors import VdistillError
from vdistill.records import Hit

if TYPE_CHECKING:
    import numpy as np

    from vdistill.databases.search import DatabaseSearcher
    from vdistill.query.search import Searcher
    from vdistill.query.why import Reason
    from vdistill.workspace import Workspace

Reasons: TypeAlias = "Sequence[tuple[Reason, ...]] | None"
Explain: TypeAlias = "Callable[[np.ndarray, Sequence[Hit]], Reasons]"


def require_student(workspace: Workspace, model: str | None) -> None:
    """Raise VdistillError where the backbone would be searched, before an index of it is built."""
    if pick_model(workspace, model) == "backbone":
        from vdistill.query.why import UNTAUGHT

        why = "" if model else ", and there is no student yet"
        raise VdistillError(f"{UNTAUGHT}{why}",
                            hint="leave --model out, or leave --why out" if model else "run `vdistill distill` first"
                            )  # fmt: skip


@contextmanager
def explained(session: Session, searcher: Searcher | DatabaseSearcher) -> Iterator[Explain]:
    """Yields what names the judgments behind hits of this searcher, by the vector of their search."""
    from vdistill.query.search import Searcher
    from vdistill.query.why import Explainer

    workspace = session.find()
    local = searcher if isinstance(searcher, Searcher) else _beside(session.require(), searcher)
    try:
        with ExitStack() as bar, Explainer.open(workspace, local, _advance(bar, session)) as explainer:
            yield lambda vector, hits: explainer.reasons(vector, [hit.id for hit in hits])
    finally:
        if local is not searcher:
            local.close()


def _advance(bar: ExitStack, session: Session) -> Callable[[int, int], None]:
    """Shows a bar from the first call to the last: what is printed later must not meet it."""
    shown: list[Callable[..., None]] = []

    def advance(done: int, total: int) -> None:
        if not shown:
            shown.append(bar.enter_context(console.progress(session.quiet)))
        shown[0](done, total, "encoding training queries, once")
        if done == total:
            bar.close()
            shown.clear()

    return advance


def _beside(workspace: Workspace, searcher: DatabaseSearcher) -> Searcher:
    """The index here that a database was filled from: it has the vectors of what was judged."""
    from vdistill.bundle import manifest
    from vdistill.query.search import Searcher

    if searcher.model == "student" and (searcher.outdated or "student" not in manifest.read(workspace.index)):
        raise VdistillError("the index here is of another student than the vectors in the database",
                            hint="run `vdistill index --to` first, or leave --why out")  # fmt: skip
    return Searcher.at(workspace.index, searcher.model)


def table(hits: Sequence[Hit], why: Sequence[Sequence[Reason]]) -> Any:
    """The judgments behind each hit, for the terminal."""
    from rich.table import Table
    from rich.text import Text

    from vdistill.query.why import words

    lines = Table.grid(padding=(0, 1))
    lines.add_column(justify="right")
    lines.add_column()
    lines.add_column(overflow="fold")
    for hit, found in zip(hits, why, strict=True):
        title = console.printable(str(hit.metadata.get("title") or hit.id))
        lines.add_row(str(hit.rank), "", Text(title, style="bold"))
        if not found:
            lines.add_row("", "", Text("nothing like it was judged for a query near this one", style="dim"))
        for reason in found:
            sign = Text("+", style="green") if reason.verdict == "for" else Text("−", style="red")
            said = f"{words.verdict(reason)}: {words.detail(reason, hit.id)}"
            asked = f"{reason.similarity:.2f} “{reason.query}”"
            text = Text(console.printable(asked))
            text.append("\n" + console.printable(f"{said} · {words.source(reason)}"), style="dim")
            lines.add_row("", sign, text)
    return lines
