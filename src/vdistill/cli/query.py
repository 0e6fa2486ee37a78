"""`vdistill query`: nothing here may import torch."""

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vdistill.cli import console
from vdistill.cli.config import Meaning
from vdistill.cli.query_batch import answer
from vdistill.cli.session import JsonOption, Session, command, pick_model
from vdistill.errors import VdistillError
from vdistill.records import Hit

if TYPE_CHECKING:
    from vdistill.query.search import Searcher, SearchOptions
    from vdistill.query.terms import Term

RANKING, OUTPUT = "Ranking", "Output"


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "query")(query)


def query(
    session: Session,
    text: Annotated[
        list[str] | None,
        typer.Argument(
            help="What you are looking for: words and pictures, as in  '2:cosy' + photo.jpg - plastic",
            show_default=False,
        ),
    ] = None,
    image: Annotated[Path | None, typer.Option(help="Find what looks like this picture.")] = None,
    k: Annotated[int, typer.Option("-k", "--k", min=1, help="How many results.")] = 10,
    where: Annotated[
        str | None,
        typer.Option(help="SQL expression over the metadata, e.g. 'price < 20'.", rich_help_panel=RANKING),
    ] = None,
    hybrid: Annotated[
        bool, typer.Option("--hybrid", help="Rank by the words in the items' texts too.", rich_help_panel=RANKING)
    ] = False,
    diverse: Annotated[
        float,
        typer.Option(min=0, max=1, help="How much results should differ from one another.", rich_help_panel=RANKING),
    ] = 0.0,
    min_score: Annotated[
        float | None, typer.Option(help="The least similarity, from -1 to 1.", rich_help_panel=RANKING)
    ] = None,
    exact: Annotated[
        bool, typer.Option("--exact", help="Compare with every picture, however many.", rich_help_panel=RANKING)
    ] = False,
    batch: Annotated[
        str | None,
        Meaning.PATH,
        typer.Option(help="File of queries, one a line, or - for stdin; prints JSON Lines."),
    ] = None,
    model: Annotated[str | None, typer.Option(help="student or backbone; the student where there is one.")] = None,
    show: Annotated[
        bool, typer.Option("--show", help="Show the pictures in the terminal.", rich_help_panel=OUTPUT)
    ] = False,
    gallery: Annotated[
        Path | None, typer.Option(help="Write the results as a page of pictures.", rich_help_panel=OUTPUT)
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Beside the backbone's results.", rich_help_panel=OUTPUT)
    ] = False,
    paths0: Annotated[
        bool, typer.Option("--paths0", help="Only the paths, each ended by NUL: for xargs -0.", rich_help_panel=OUTPUT)
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Search the catalog."""
    _check_usage(text, image, batch, show=show, gallery=gallery, compare=compare, paths0=paths0, as_json=as_json)
    from vdistill.query.terms import Term, parse, spoken

    terms = (Term(image),) if image is not None else parse(text) if text else ()
    workspace = session.require()
    from vdistill.cli.fresh import open_searchers
    from vdistill.query.search import SearchOptions

    options = SearchOptions(where, exact, hybrid, min_score, diverse)
    name = pick_model(workspace, model)
    searchers = open_searchers(session, workspace, [name, "backbone"] if compare else [name])
    searcher = searchers[name]
    if batch is not None:
        answer(searcher, batch, k, options, session)
        return
    started = time.perf_counter()
    hits = _hits(searcher, terms, k, options)
    took = round((time.perf_counter() - started) * 1000, 2)
    _warn(session, searcher, terms, k, hits, options)
    asked = spoken(terms)
    if gallery is not None:
        other = searchers["backbone"] if compare else None
        _gallery(session, gallery, asked, hits, searcher.model, _hits(other, terms, k, options) if other else None)
    if paths0:
        console.raw(b"".join(bytes(hit.path) + b"\0" for hit in hits))
    elif as_json:
        console.document(console.hits_document(searcher.model, asked, hits, took))
    else:
        console.result(_table(asked, hits, took))
        if show:
            _show(hits)


def _check_usage(
    text: list[str] | None, image: Path | None, batch: str | None, *, show: bool, gallery: Path | None, compare: bool,
    paths0: bool, as_json: bool,
) -> None:  # fmt: skip
    if sum(value not in (None, []) for value in (text, image, batch)) != 1:
        raise typer.BadParameter("give one of TEXT, --image FILE and --batch FILE", param_hint="TEXT")
    if batch is not None and (show or gallery or compare or paths0):
        raise typer.BadParameter("prints JSON Lines and nothing else", param_hint="--batch")
    if compare and not gallery:
        raise typer.BadParameter("goes with --gallery FILE.html", param_hint="--compare")
    if paths0 and as_json:
        raise typer.BadParameter("cannot be given together", param_hint="--paths0, --json")
    if show and not (sys.stdin.isatty() and sys.stdout.isatty() and all(os.get_terminal_size())):
        raise VdistillError("--show needs a terminal", hint="write a page instead: --gallery results.html")


def _hits(searcher: "Searcher", terms: Sequence["Term"], k: int, options: "SearchOptions") -> list[Hit]:
    from vdistill.query.terms import wanted_text

    return searcher.hits(searcher.vector(terms), k, options, wanted_text(terms))


def _warn(
    session: Session,
    searcher: "Searcher",
    terms: Sequence["Term"],
    k: int,
    hits: Sequence[Hit],
    options: "SearchOptions",
) -> None:
    if len(hits) < k:
        why = "match" if options.where or options.min_score is not None else "are indexed"
        session.say(f"only {len(hits)} items {why}, {k} were asked for")
    texts = [term.what for term in terms if isinstance(term.what, str)]
    if texts and searcher.truncated(texts):
        session.say("the query is longer than the model reads; its end was left out")


def _gallery(
    session: Session, page: Path, asked: str, hits: Sequence[Hit], model: str, compare: Sequence[Hit] | None
) -> None:
    from vdistill.query.gallery import render
    from vdistill.workspace import write_file

    write_file(page, render(asked, hits, model=model, compare=compare))
    session.say(f"gallery: {page.resolve()}")


def _show(hits: Sequence[Hit]) -> None:
    """The pictures below the table, in whatever way the terminal can: its own protocol, or coloured half blocks."""
    from rich.columns import Columns
    from rich.console import Group
    from rich.text import Text

    from vdistill.errors import ImageError
    from vdistill.images import load

    try:
        from textual_image.renderable import Image
    except ImportError as error:
        raise VdistillError("showing pictures needs one more package", hint="pip install 'vdistill[show]'") from error
    cells: list[Any] = []
    for hit in hits:
        caption = Text(
            f"{hit.rank}. {console.printable(str(hit.metadata.get('title') or hit.id))}", overflow="ellipsis"
        )
        try:
            cells.append(Group(Image(load(hit.path, 240), width=24, height=12), caption))
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
    table.add_column("title", ratio=2, overflow="fold")
    table.add_column("item", ratio=2, overflow="fold")
    for hit in hits:
        title = hit.metadata.get("title") or ""
        table.add_row(
            str(hit.rank), f"{hit.score:.3f}", Text(console.printable(str(title))), Text(console.printable(hit.id))
        )
    return table
