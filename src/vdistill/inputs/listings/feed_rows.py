"""The rows of a feed in whatever form it comes: XML, JSON Lines, values between tabs or commas, Parquet; packed or not.

The content decides, since addresses such as https://shop.example/feed?lang=de have no suffix.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from vdistill.errors import VdistillError
from vdistill.inputs.lines import regular
from vdistill.inputs.listings.feed_columns import MORE_IMAGES, called
from vdistill.inputs.listings.feed_xml import xml_rows
from vdistill.inputs.tables import Line, Reader, csv_rows, jsonl_rows, parquet_rows, read_rows

_PACKED: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}
_START = 1 << 16  # bytes, in which a header ends
_DELIMITERS = "\t,;|"


def feed_rows(path: Path) -> Iterator[Line]:
    """The rows of a feed, one at a time.

    Raises VdistillError where it cannot be read, is cut short, or is of no known form.
    """
    regular(path)
    with _unpacked(path) as plain:
        try:
            yield from read_rows(plain, reader=_reader(plain))
        except VdistillError as error:
            raise VdistillError(error.message.replace(str(plain), str(path)), error.hint) from error


@contextlib.contextmanager
def _unpacked(path: Path) -> Iterator[Path]:
    """The file itself, or its content where it is compressed."""
    with path.open("rb") as file:
        start = file.read(8)
    unpack = next((one for magic, one in _PACKED.items() if start.startswith(magic)), None)
    if unpack is None:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="vdistill-") as folder:
        plain = Path(folder) / path.stem
        try:
            with unpack(path, "rb") as packed, plain.open("wb") as file:
                shutil.copyfileobj(packed, file)
        except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
            raise VdistillError(
                f"cannot unpack {path}: {error}", hint="the file seems to be cut short: fetch it again"
            ) from error
        yield plain


def _reader(path: Path) -> Reader:
    """How to read the file, by its beginning. Raises VdistillError for what is no table."""
    with path.open("rb") as file:
        start = file.read(_START)
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"PAR1"):
        return parquet_rows
    if text.startswith(b"<") or start.startswith((b"\xff\xfe", b"\xfe\xff")):
        if text[:200].lower().startswith((b"<!doctype html", b"<html")):
            raise VdistillError(f"{path} is a web page, not a feed", hint="give the address of the feed itself")
        return xml_rows
    if text.startswith(b"{"):
        return jsonl_rows
    if text.startswith(b"["):
        raise VdistillError(f"{path} is a JSON array", hint="write one JSON object on each line")
    if start.startswith(b"PK") or b"\0" in start:
        what = "a zip archive" if start.startswith(b"PK") else "a binary file"
        raise VdistillError(f"{path} is {what}, not a feed", hint="give XML, CSV, TSV, JSON Lines or Parquet")
    header = text.partition(b"\n")[0].decode("utf-8", "replace")
    delimiter = max(_DELIMITERS, key=header.count)
    names = [name.strip(' "\r') for name in header.split(delimiter)]
    return partial(csv_rows, delimiter=delimiter, lists=[name for name in {*names} if called(name) in MORE_IMAGES])
