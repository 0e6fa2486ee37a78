"""Text from users: lines of files and of standard input, and what to do about broken Unicode."""

from __future__ import annotations

import gzip
import re
import stat
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from vdistill.errors import VdistillError

STDIN = "-"
_BOM = b"\xef\xbb\xbf"
_LONE = re.compile("[\ud800-\udfff]")  # half a character: of an emoji cut in two, or a byte that is not UTF-8
_STREAMS = re.compile(r"/dev/(fd/\d+|stdin)|/proc/(self|\d+)/fd/\d+")  # already open, as from <(command)


def read_lines(source: str | Path, what: str = "line") -> Iterator[tuple[int, str]]:
    """The lines of a text file (UTF-8, a byte order mark or not), or of standard input for "-", with their numbers.

    A file named `.gz` is decompressed. A line ends with a line feed, or carriage return and line feed, and with nothing
    else. Space around it is stripped, empty ones are skipped. Lines are yielded as they are read.
    what: what each line should hold, for messages.
    Raises VdistillError where the source cannot be read or a line is not UTF-8, which it names.
    """
    name = "standard input" if str(source) == STDIN else str(source)
    hint = f"give a UTF-8 text file with one {what} per line"
    try:
        with _opened(source) as file:
            for number, line in enumerate(file, start=1):
                text = _decoded(line.removeprefix(_BOM) if number == 1 else line, name, number).strip()
                if text:
                    yield number, text
    except BrokenPipeError:  # on the side of our output, not of this file
        raise
    except (OSError, EOFError, zlib.error) as error:
        raise VdistillError(f"cannot read {name}: {getattr(error, 'strerror', None) or error}", hint=hint) from error


def regular(path: Path) -> None:
    """Raise VdistillError for anything but a regular file: opening a named pipe may wait for ever."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise VdistillError(f"cannot read {path}: {reason}", hint="check the path") from error
    if not stat.S_ISREG(mode) and not _STREAMS.fullmatch(str(path)):
        kind = "a folder" if stat.S_ISDIR(mode) else "a named pipe or a device"
        raise VdistillError(f"cannot read {path}: it is {kind}, not a file", hint="check the path")


def well_formed(text: str) -> str:
    """The text with U+FFFD for each half of a character, which no file, model or terminal accepts."""
    return _LONE.sub("\ufffd", text) if not text.isascii() else text


def whole(value: Any) -> Any:
    """A JSON value with all of its texts well formed."""
    if isinstance(value, str):
        return well_formed(value)
    if isinstance(value, list):
        return [whole(one) for one in value]
    if isinstance(value, dict):
        return {whole(name): whole(one) for name, one in value.items()}
    return value


def _decoded(line: bytes, name: str, number: int) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise VdistillError(f"{name}, line {number}: not UTF-8 ({error.reason})", hint="save it as UTF-8") from error


@contextmanager
def _opened(source: str | Path) -> Iterator[BinaryIO | Iterator[bytes]]:
    if str(source) != STDIN:
        path = Path(source)
        regular(path)
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            yield file
    elif hasattr(sys.stdin, "buffer"):
        yield sys.stdin.buffer
    else:  # a stream of text that a program has put in its place
        yield (line.encode("utf-8", "surrogateescape") for line in sys.stdin)
