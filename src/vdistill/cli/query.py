"""`vdistill query`: nothing here may import torch."""

import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vdistill.cli import console
from vdistill.cli.config import Meaning
from vdistill.cli.session import DATABASES, JsonOption, ModelOption, Session, pick_model
from vdistill.errors import VdistillError
from vdistill.records import Hit, Per

if TYPE_CHECKING:
    from typing import TypeAlias

    from vdistill.databases.search import DatabaseSearcher
    from vdistill.query.search import Searcher, SearchOptions
    from vdistill.query.terms import Term
    from vdistill.workspace import Workspace

    AnySearcher: TypeAlias = Searcher | DatabaseSearcher

_ranking = partial(typer.Option, rich_help_panel="Ranking")
_output = partial(typer.Option, rich_help_panel="Output")


@dataclass(frozen=True, kw_only=True)
class QueryCommand:
    """Search the catalog."""

    text: Annotated[
        list[str] | None,
        typer.Argument(
            help="What you are looking for: words and images, as in  '2:cosy' + photo.jpg - plastic",
            show_default=False,
        ),
    ] = None
    image: Annotated[Path | None, typer.Option(help="Find what looks like this image.")] = None
    k: Annotated[int, typer.Option("-k", "--k", min=1, help="How many results.")] = 10
    per: Annotated[
        Per, typer.Option(help="One result a product (group, item_id or sku in the metadata), or every image.")
    ] = "product"
    where: Annotated[str | None, _ranking(help="SQL expression over the metadata, e.g. 'price < 20'.")] = None
    hybrid: Annotated[bool, _ranking("--hybrid", help="Rank by the words in the items' texts too.")] = False
    diverse: Annotated[float, _ranking(min=0, max=1, help="How much results should differ from one another.")] = 0.0
    min_score: Annotated[float | None, _ranking(help="Minimum similarity, from -1 to 1.")] = None
    min_fit: Annotated[
        float | None, _ranking(min=0, max=1, help="Minimum probability that the teacher would accept a result.")
    ] = None
    exact: Annotated[bool, _ranking("--exact", help="Compare with every image, however many.")] = False
    batch: Annotated[
        str | None, Meaning.PATH, typer.Option(help="File of queries, one per line, or - for stdin; prints JSON Lines.")
    ] = None
    source: Annotated[
        str | None,
        Meaning.DATABASE,
        typer.Option("--from", help=f"Search a database: {DATABASES}.", show_default=False),
    ] = None
    index: Annotated[
        Path | None,
        typer.Option(help="Search a pack (`vdistill index --pack`), or the folder of an index.", show_default=False),
    ] = None
    model: ModelOption = None
    show: Annotated[bool, _output("--show", help="Show the images in the terminal.")] = False
    gallery: Annotated[Path | None, _output(help="Write the results as a page of images.")] = None
    compare: Annotated[bool, _output("--compare", help="Show the backbone's results beside them.")] = False
    paths0: Annotated[bool, _output("--paths0", help="Only the paths, each ended by NUL: for xargs -0.")] = False
    as_json: JsonOption = False

    def execute(self, session: Session) -> None:
        """Answer the query, or a batch of them."""
        self._check_usage()
        from vdistill.query.terms import Term, parse

        terms = (Term(self.image),) if self.image is not None else parse(self.text) if self.text else ()
        model, searchers = self._packed(self.index) if self.index else self._searchers(session, session.require())
        try:
            self._answer(session, searchers, model, terms)
        finally:
            for searcher in searchers.values():
                searcher.close()

    def _answer(
        self, session: Session, searchers: "Mapping[str, AnySearcher]", model: str, terms: "Sequence[Term]"
    ) -> None:
        from vdistill.query.search import SearchOptions
        from vdistill.query.terms import spoken

        options = SearchOptions(self.where, self.exact, self.hybrid, self.min_score, self.diverse, self.per,
                                self.min_fit)  # fmt: skip
        if self.batch is not None:
            self._answer_batch(session, searchers[model], self.batch, options)
            return
        started = time.perf_counter()
        hits = self._hits(searchers[model], terms, options)
        took = round((time.perf_counter() - started) * 1000, 2)
        self._warn(session, searchers[model], terms, hits)
        if self.gallery or self.show:
            session.cache_images()
        if self.gallery is not None:
            compared = self._hits(searchers["backbone"], terms, options) if self.compare else None
            _gallery(session, self.gallery, spoken(terms), hits, model, compared)
        self._print(model, spoken(terms), hits, took)

    def _searchers(self, session: Session, workspace: "Workspace") -> "tuple[str, Mapping[str, AnySearcher]]":
        """The model to search with, and the open searchers by model."""
        if self.source is not None:
            from vdistill.cli.database_search import open_database_searcher

            found = open_database_searcher(session, workspace, self.source, self.model)
            return found.model, {found.model: found}
        from vdistill.cli.fresh import open_searchers

        model = pick_model(workspace, self.model)
        models = [model, "backbone"] if self.compare else [model]
        return model, open_searchers(session, workspace, models, by_text=self.image is None)

    def _packed(self, pack: Path) -> "tuple[str, Mapping[str, AnySearcher]]":
        from vdistill.query.search import Searcher

        found = Searcher.packed(pack, self.model, by_text=self.image is None)
        return found.model, {found.model: found}

    def _check_usage(self) -> None:
        if sum(value not in (None, []) for value in (self.text, self.image, self.batch)) != 1:
            raise typer.BadParameter("give one of TEXT, --image FILE and --batch FILE", param_hint="TEXT")
        if self.batch is not None and (self.show or self.gallery or self.compare or self.paths0):
            raise typer.BadParameter("prints JSON Lines and nothing else", param_hint="--batch")
        if self.compare and not self.gallery:
            raise typer.BadParameter("goes with --gallery FILE.html", param_hint="--compare")
        if self.compare and (self.source or self.index):
            raise typer.BadParameter("goes with an index of both models", param_hint="--compare")
        if self.index is not None and self.source is not None:
            raise typer.BadParameter("cannot be given together", param_hint="--index, --from")
        if self.paths0 and self.as_json:
            raise typer.BadParameter("cannot be given together", param_hint="--paths0, --json")
        if self.show and not (sys.stdin.isatty() and sys.stdout.isatty() and all(os.get_terminal_size())):
            raise VdistillError("--show needs a terminal", hint="write a page instead: --gallery results.html")

    def _answer_batch(self, session: Session, searcher: "AnySearcher", source: str, options: "SearchOptions") -> None:
        """Print one document per query of `source` as it comes, the same as the query alone would get."""
        from vdistill.inputs.queries import texts
        from vdistill.query.documents import hits_document

        long = 0
        for text in texts(source):
            started = time.perf_counter()
            hits = searcher.hits(searcher.encode([text])[0], self.k, options, text, text=True)
            took = round((time.perf_counter() - started) * 1000, 2)
            console.document(hits_document(searcher.model, text, hits, took, self.min_fit), line=True)
            long += bool(searcher.truncated([text]))
        if long:
            session.say(f"{long} queries are longer than the model reads; their ends were left out")

    def _hits(self, searcher: "AnySearcher", terms: Sequence["Term"], options: "SearchOptions") -> list[Hit]:
        from vdistill.query.terms import is_text, wanted_text

        return searcher.hits(searcher.vector(terms), self.k, options, wanted_text(terms), text=is_text(terms))

    def _warn(self, session: Session, searcher: "AnySearcher", terms: Sequence["Term"], hits: Sequence[Hit]) -> None:
        from vdistill.query.documents import nothing_fits_well

        if nothing_fits_well(hits, self.min_fit):
            best = max((hit.fit or 0.0 for hit in hits), default=None)
            session.say("nothing fits well" + (f": the best fit is {best:.2f}" if best is not None else ""))
        elif len(hits) < self.k:
            limited = self.where or self.min_score is not None or self.min_fit is not None
            why = "match" if limited else "are indexed"
            what = "products" if any(hit.images > 1 for hit in hits) and self.per == "product" else "items"
            session.say(f"only {len(hits)} {what} {why}, {self.k} were asked for")
        texts = [term.what for term in terms if isinstance(term.what, str)]
        if texts and searcher.truncated(texts):
            session.say("the query is longer than the model reads; its end was left out")

    def _print(self, model: str, asked: str, hits: Sequence[Hit], took: float) -> None:
        if self.paths0:
            console.raw(b"".join(os.fsencode(hit.file) + b"\0" for hit in hits))
        elif self.as_json:
            from vdistill.query.documents import hits_document

            console.document(hits_document(model, asked, hits, took, self.min_fit))
        else:
            console.result(_table(asked, hits, took))
            if self.show:
                _show(hits)


def _gallery(
    session: Session, page: Path, asked: str, hits: Sequence[Hit], model: str, compare: Sequence[Hit] | None
) -> None:
    from vdistill.query.gallery import render
    from vdistill.workspace import write_file

    write_file(page, render(asked, hits, model=model, compare=compare))
    session.say(f"gallery: {page.resolve()}")


def _show(hits: Sequence[Hit]) -> None:
    """The images below the table, by the terminal's own protocol or as coloured half blocks."""
    from rich.columns import Columns
    from rich.console import Group
    from rich.text import Text

    from vdistill.errors import ImageError
    from vdistill.images import load

    try:
        from textual_image.renderable import Image
    except ImportError as error:
        raise VdistillError("showing images needs one more package", hint="pip install 'vdistill[show]'") from error
    cells: list[Any] = []
    for hit in hits:
        caption = Text(
            f"{hit.rank}. {console.printable(str(hit.metadata.get('title') or hit.id))}", overflow="ellipsis"
        )
        try:
            cells.append(Group(Image(load(hit.source, 240), width=24, height=12), caption))
        except ImageError as error:
            cells.append(Group(Text(f"[{error.message}]"), caption))
    console.result(Columns(cells, width=26))


def _table(asked: str, hits: Sequence[Hit], took: float) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(f"{asked}  ({took:.0f} ms)"), title_justify="left", box=SIMPLE_HEAD)
    table.add_column("#", justify="right")
    table.add_column("score", justify="right")
    with_fit = any(hit.fit is not None for hit in hits)
    if with_fit:
        table.add_column("fit", justify="right")
    table.add_column("title", ratio=2, overflow="fold")
    table.add_column("item", ratio=2, overflow="fold")
    grouped = any(hit.images > 1 for hit in hits)
    if grouped:
        table.add_column("product", ratio=1, overflow="fold")
        table.add_column("images", justify="right")
    for hit in hits:
        texts = [str(hit.metadata.get("title") or ""), hit.id]
        texts += [hit.product or "", str(hit.images)] if grouped else []
        fit = ["–" if hit.fit is None else f"{hit.fit:.2f}"] if with_fit else []
        table.add_row(str(hit.rank), f"{hit.score:.3f}", *fit, *(Text(console.printable(text)) for text in texts))
    return table
