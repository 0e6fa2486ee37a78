"""What `query` has found, as a table, as JSON and as a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vdistill.cli import console
from vdistill.query.documents import hits_document
from vdistill.query.second_stage import reranked_document
from vdistill.records import Hit

if TYPE_CHECKING:
    from vdistill.cli.why import Reasons
    from vdistill.query.second_stage import Reranked


@dataclass(frozen=True, slots=True)
class Found:
    """The answer to one search.

    asked: the search in words.  took: milliseconds.  moved: what a second stage did, where there was one.
    why: the judgments that explain each hit, and min_fit, where those were asked for.
    """

    model: str
    asked: str
    hits: Sequence[Hit]
    took: float
    moved: Reranked | None = None
    why: Reasons = None
    min_fit: float | None = None

    def document(self) -> dict[str, Any]:
        """What `--json` and `--batch` print."""
        document = hits_document(self.model, self.asked, self.hits, self.took, self.why, self.min_fit)
        return document if self.moved is None else reranked_document(document, self.moved)

    def tables(self) -> list[Any]:
        """What a terminal shows."""
        if self.why is None:
            return [self._table()]
        from vdistill.cli.why import table

        return [self._table(), table(self.hits, self.why)]

    def page(self, compare: Sequence[Hit] | None) -> str:
        """The page of images, as HTML.  compare: the backbone's hits."""
        from vdistill.query.gallery import render

        return render(self.asked, self.hits, model=self.model, compare=compare, why=self.why)

    def _table(self) -> Any:
        from rich.box import SIMPLE_HEAD
        from rich.table import Table
        from rich.text import Text

        facts = [f"{self.took:.0f} ms"] if self.moved is None else [f"{self.took:.0f} ms", _spent(self.moved)]
        table = Table(title=Text(f"{self.asked}  ({', '.join(facts)})"), title_justify="left", box=SIMPLE_HEAD)
        table.add_column("#", justify="right")
        if self.moved is not None:
            table.add_column("was", justify="right")
        table.add_column("score", justify="right")
        with_fit = any(hit.fit is not None for hit in self.hits)
        if with_fit:
            table.add_column("fit", justify="right")
        table.add_column("title", ratio=2, overflow="fold")
        table.add_column("item", ratio=2, overflow="fold")
        grouped = any(hit.images > 1 for hit in self.hits)
        if grouped:
            table.add_column("product", ratio=1, overflow="fold")
            table.add_column("images", justify="right")
        for hit in self.hits:
            numbers = [str(hit.rank)] if self.moved is None else [str(hit.rank), str(self.moved.student_rank[hit.id])]
            numbers.append(f"{hit.score:.3f}")
            if with_fit:
                numbers.append("–" if hit.fit is None else f"{hit.fit:.2f}")
            texts = [str(hit.metadata.get("title") or ""), hit.id]
            texts += [hit.product or "", str(hit.images)] if grouped else []
            table.add_row(*numbers, *(Text(console.printable(text)) for text in texts))
        return table


def _spent(moved: Reranked) -> str:
    """What the second stage took, in words."""
    cost = f", ${moved.cost_usd:.4f}" if moved.cost_usd else ""
    calls = "1 call" if moved.calls == 1 else f"{moved.calls} calls"
    return f"{calls}{cost}, {moved.judged} judged"
