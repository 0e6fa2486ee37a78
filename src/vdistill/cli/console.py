"""The only place that prints: results on stdout, all else on stderr."""

import contextlib
import io
import json
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from vdistill.errors import VdistillError

SECONDS_A_LINE = 60.0


class ReaderGoneError(Exception):
    """The reader of our output has closed it. Not an OSError, which click and rich would end with exit code 1."""


@contextlib.contextmanager
def _to_reader() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise ReaderGoneError from None


def never_fail() -> None:
    """Let the streams write what their encoding lacks (a pipe of cp1252, a path that is not UTF-8) with backslashes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def result(renderable: Any) -> None:
    """Print a result: a string as it is, anything else through rich."""
    if isinstance(renderable, str):
        with _to_reader():
            sys.stdout.write(renderable + "\n")
        return
    from rich.console import Console

    class ToReader(Console):
        def on_broken_pipe(self) -> None:
            raise ReaderGoneError

    ToReader(soft_wrap=False).print(renderable)


def document(value: Any, *, line: bool = False) -> None:
    """Print a JSON document; as one line for JSON Lines."""
    encoding = (sys.stdout.encoding or "utf-8").lower().replace("_", "-")
    text = json.dumps(value, ensure_ascii=encoding != "utf-8", indent=None if line else 2, allow_nan=False)
    with _to_reader():
        sys.stdout.write(text + "\n")
        if line:
            sys.stdout.flush()


def facts(title: str, found: Mapping[str, Any], *, as_json: bool) -> None:
    """Print names and values: as a JSON document, or as a table of two columns without what is None."""
    if as_json:
        document(found)
        return
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in found.items():
        if value is None:
            continue
        table.add_row(name.replace("_", " "), Text(_formatted(value)))
    result(table)


def _formatted(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.2f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def raw(data: bytes) -> None:
    """Print bytes as they are."""
    with _to_reader():
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


def notice(text: str) -> None:
    """One line for the person at the terminal."""
    sys.stderr.write(printable(text) + "\n")


def failure(error: VdistillError, *, debug: bool) -> None:
    """`error: …` and `hint: …`."""
    if debug:
        traceback.print_exc()
    notice(f"error: {error.message}")
    if error.hint:
        notice(f"hint: {error.hint}")


def printable(text: str) -> str:
    """One line without control characters: file names may hold anything."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in " ".join(text.split("\n")))


class _Lines:
    """Progress for a log file."""

    def __init__(self) -> None:
        self._started = self._last = time.monotonic()
        self._first: int | None = None

    def update(self, done: int, total: int, text: str = "") -> None:
        """Say how far the work is, at most once a minute."""
        now = time.monotonic()
        self._first = done if self._first is None else self._first
        if now - self._last < SECONDS_A_LINE or not total:
            return
        self._last = now
        pace = (done - self._first) / (now - self._started)
        left = f", about {max(total - done, 0) / pace / 60:.0f} min left" if pace > 0 else ""
        notice(f"{text}: {done:,} of {total:,}{left}")


@contextlib.contextmanager
def progress(quiet: bool) -> Iterator[Callable[..., None]]:
    """A bar on stderr, or a line a minute where that is not a terminal; yields `update(done, total, text)`."""
    if quiet:
        yield lambda done, total, text="": None
        return
    if not sys.stderr.isatty():
        yield _Lines().update
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("", total=None)
        yield lambda done, total, text="": bars.update(task, completed=done, total=total, description=text)
