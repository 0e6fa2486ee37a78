"""A product feed of the Google Merchant kind, or any table with addresses of images: each row is a product.

The main image of a product has the id of its row, the others `id/2`, `id/3` and so on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vdistill.errors import VdistillError
from vdistill.inputs.listings import feed_columns as columns
from vdistill.inputs.listings.feed_rows import feed_rows
from vdistill.inputs.listings.listed import Entry, Found, Imageless, Listing, Skipped
from vdistill.inputs.plain_values import plain
from vdistill.inputs.urls import local
from vdistill.sources import shown

_SUFFIXES = (".xml", ".rss", ".atom", ".csv", ".tsv", ".txt", ".jsonl", ".ndjson")
_PACKED = (".gz", ".bz2", ".xz")
_OTHERS = (".tar", ".tgz", ".parquet")  # files that hold images


def is_feed(root: str) -> bool:
    """Whether the catalog `root` is a feed, by its name: a table, XML, or a page of the web that is no folder.

    A Parquet file is one if it has a column of Google's, and none that may hold images themselves.
    """
    name = root.partition("?")[0].lower() if "://" in root else root.lower()
    name = next((name.removesuffix(end) for end in _PACKED if name.endswith(end)), name)
    if root.startswith(("http://", "https://")):
        return not name.endswith((*_OTHERS, "/"))
    if "://" in root:
        return name.endswith(_SUFFIXES)
    if name.endswith(_SUFFIXES):
        return not Path(root).is_dir()
    return name.endswith(".parquet") and Path(root).is_file() and _names_images(root)


def _names_images(file: str) -> bool:
    """Whether a Parquet file has addresses of images and no images."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(file)
    except (OSError, pa.ArrowException):
        return False
    held = any(pa.types.is_struct(one.type) or pa.types.is_binary(one.type) for one in schema)
    return not held and any(columns.called(name) in columns.IMAGE_COLUMNS for name in schema.names)


def listing(root: str) -> Listing:
    """The images that a feed names, local or at a URL. Raises VdistillError where it cannot be read."""
    root = root if "://" in root else str(Path(root).resolve())
    empty = VdistillError(f"no row of {shown(root)} names an image", hint="its images need http or https addresses")
    return Listing(root, _Feed(root).found(), empty)


@dataclass
class _Feed:
    """One reading of a feed.  names: the columns that were met."""

    root: str
    names: dict[str, None] = field(default_factory=dict)
    images: int = 0

    def found(self) -> Iterator[Found]:
        """What its rows name. Raises VdistillError for a table that has no column of images."""
        base = self.root if self.root.startswith(("http://", "https://")) else ""
        with self._local() as path:
            try:
                for line in feed_rows(path):
                    self.names.update(dict.fromkeys(line.row))
                    yield from self._of(columns.renamed(line.row), line.number, base)
            except VdistillError as error:
                raise VdistillError(error.message.replace(str(path), shown(self.root)), error.hint) from error
        known = {columns.called(name) for name in self.names}
        if not self.images and not known & {*columns.IMAGE_COLUMNS, *columns.MORE_IMAGES}:
            raise self._no_feed(known)

    def _of(self, row: dict[str, Any], number: int, base: str) -> Iterator[Found]:
        images = columns.images_of(row, base)
        addresses = [(place, address) for place, address in images if address]
        key = columns.id_of(row) or next((address for _, address in addresses), "")
        if not key:
            yield Skipped(f"row {number}", "its row has neither an id nor an image")
            return
        metadata = {name: plain(value) for name, value in
                    columns.metadata_of(row, key, several=len(addresses) > 1).items()}  # fmt: skip
        if not addresses:
            yield Imageless(key, columns.NO_ADDRESS if images else columns.NO_IMAGE, metadata)
        first = addresses[0][0] if addresses else 1
        for place, address in images:
            one = key if place in (1, first) else f"{key}/{place}"
            if address:
                self.images += 1
                yield Entry(one, address, metadata=metadata)
            elif addresses:
                yield Skipped(f"{key}/{place}", columns.NO_ADDRESS)

    def _no_feed(self, known: set[str]) -> VdistillError:
        called = f"{shown(self.root)} has no column of images"
        if "file_name" in known:
            return VdistillError(
                f"{called}: it names files", hint="give the folder of the images, which holds this file"
            )
        has = columns.known_columns(list(self.names))
        return VdistillError(
            f"{called}: looked for {' and '.join(columns.IMAGE_COLUMNS)}, found {has or 'no columns at all'}",
            hint=f"rename the column of the images' addresses to {columns.IMAGE_COLUMNS[0]}",
        )

    def _local(self) -> AbstractContextManager[Path]:
        return local(self.root)
