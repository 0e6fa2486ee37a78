"""`vdistill query`: nothing here may import torch."""

import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vdistill.cli import console
from vdistill.cli.session import JsonOption, Session, command, pick_model
from vdistill.errors import VdistillError
from vdistill.records import Hit

if TYPE_CHECKING:
    from vdistill.query.search import Searcher


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "query")(query)


def query(
    session: Session,
    text: Annotated[str | None, typer.Argument(help="What you are looking for.", show_default=False)] = None,
    image: Annotated[Path | None, typer.Option(help="Find what looks like this picture.")] = None,
    k: Annotated[int, typer.Option("-k", "--k", min=1, help="How many results.")] = 10,
    where: Annotated[str | None, typer.Option(help="SQL expression over the metadata, e.g. 'price < 20'.")] = None,
    batch: Annotated[
        str | None, typer.Option(help="File with one query a line, or - for stdin; prints JSON Lines.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="student or backbone; the student where there is one.")] = None,
    gallery: Annotated[Path | None, typer.Option(help="Write the results as a page of pictures.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Search the catalog."""
    if sum(value is not None for value in (text, image, batch)) != 1:
        raise typer.BadParameter("give one of TEXT, --image FILE and --batch FILE", param_hint="TEXT")
    if text is not None and not text.strip():
        raise VdistillError("the query is empty", hint='say what you look for: vdistill query "gift for a gardener"')
    workspace = session.require()
    from vdistill.cli.fresh import open_searcher

    searcher = open_searcher(session, workspace, pick_model(workspace, model))
    if batch is not None:
        _batch(searcher, batch, k, where, session)
        return
    started = time.perf_counter()
    hits = _search(searcher, text, image, k, where)
    took = round((time.perf_counter() - started) * 1000, 2)
    _warn(session, searcher, text, k, hits, where)
    asked = text if text is not None else str(image)
    if gallery is not None:
        _gallery(session, gallery, asked, hits, searcher.model)
    if as_json:
        console.document(_document(searcher, asked, hits, took))
    else:
        console.result(_table(asked, hits, took))


def _search(searcher: "Searcher", text: str | None, image: Path | None, k: int, where: str | None) -> list[Hit]:
    vector = searcher.encode_picture(image) if image is not None else searcher.encode([text or ""])[0]
    return searcher.search(vector, k, where)


def _warn(
    session: Session, searcher: "Searcher", text: str | None, k: int, hits: Sequence[Hit], where: str | None
) -> None:
    if len(hits) < k:
        session.say(f"only {len(hits)} items {'match --where' if where else 'are indexed'}, {k} were asked for")
    if text is not None and searcher.truncated([text]):
        session.say("the query is longer than the model reads; its end was left out")


def _batch(searcher: "Searcher", source: str, k: int, where: str | None, session: Session) -> None:
    """One JSON document a line, as the lines come."""
    for chunk in _chunks(source, 1 if source == "-" and sys.stdin.isatty() else 64):
        started = time.perf_counter()
        vectors = searcher.encode(chunk)
        found = [searcher.search(vector, k, where) for vector in vectors]
        took = round((time.perf_counter() - started) * 1000 / len(chunk), 2)
        for asked, hits in zip(chunk, found, strict=True):
            console.document(_document(searcher, asked, hits, took), line=True)


def _chunks(source: str, size: int) -> Iterator[list[str]]:
    """The queries of a file, some at a time; empty lines are passed over."""
    try:
        file = sys.stdin if source == "-" else Path(source).open(encoding="utf-8-sig")  # noqa: SIM115
    except OSError as error:
        raise VdistillError(
            f"cannot read {source}: {error.strerror}", hint="give a file with one query a line"
        ) from error
    chunk: list[str] = []
    with file:
        try:
            for line in file:
                if line.strip():
                    chunk.append(line.strip())
                if len(chunk) == size:
                    yield chunk
                    chunk = []
        except UnicodeDecodeError as error:
            raise VdistillError(f"{source} is not UTF-8: {error}", hint="save it as UTF-8") from error
    if chunk:
        yield chunk


def _document(searcher: "Searcher", asked: str, hits: Sequence[Hit], took: float) -> dict[str, Any]:
    results = [
        {
            "rank": hit.rank,
            "id": hit.id,
            "path": str(hit.path),
            "score": round(hit.score, 6),
            "metadata": dict(hit.metadata),
        }
        for hit in hits
    ]
    return {"query": asked, "model": searcher.model, "results": results, "took_ms": took}


def _gallery(session: Session, page: Path, asked: str, hits: Sequence[Hit], model: str) -> None:
    from vdistill.query.gallery import render
    from vdistill.workspace import write_file

    write_file(page, render(asked, hits, model=model))
    session.say(f"gallery: {page.resolve()}")


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
