"""Images in a column of a Parquet file, which is read by batches of a row group: a cell has no address of its own."""

from __future__ import annotations

import errno
import io
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal

from vdistill.sources.cache import cache_in_use, through_cache
from vdistill.sources.local import LocalFile
from vdistill.sources.remote import as_oserror, open_remote, remote_stamp
from vdistill.sources.stamps import Stamp, version_of

_ROWS = 32  # in a batch
_KEPT = 384 << 20  # bytes of images in memory, of all row groups together
_WHOLE = 64 << 20  # bytes of a column in a row group that are read at once; larger ones are streamed
_BUFFER = 4 << 20


class ParquetCell:
    """A cell of the Parquet file `file`, a path or a URL.  stamp: of the file, as a listing gave it."""

    __slots__ = ("_column", "_file", "_group", "_row", "_stamp")

    def __init__(self, file: str, group: int, row: int, column: str, stamp: Stamp | None = None) -> None:
        self._file, self._group, self._row, self._column, self._stamp = file, group, row, column, stamp

    def open(self, mode: Literal["rb"] = "rb") -> BinaryIO:
        """Its bytes in memory. Raises OSError where they cannot be read now, or the file has no such cell any more."""
        if "://" not in self._file or cache_in_use() is None:
            return io.BytesIO(self._read())
        name = f"parquet:{self._group}+{self._row}+{self._column}:{self._file}"
        return through_cache(name, version_of(self.stamp()), self._read)

    def stamp(self) -> Stamp:
        """The stamp of the file. Raises OSError."""
        return self._stamp or (remote_stamp(self._file) if "://" in self._file else LocalFile(self._file).stamp())

    def _read(self) -> bytes:
        # Of a file here the stamp is asked each time: another may have taken its place.
        known = LocalFile(self._file).stamp() if "://" not in self._file else self._stamp
        key = os.getpid(), self._file, known, self._column, self._group
        return as_oserror(lambda: _groups.cell(key, self._row), self._file)


class _Groups:
    """Row groups that are being read; those used least recently are given up."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._groups: OrderedDict[Any, _Group] = OrderedDict()

    def cell(self, key: Any, row: int) -> bytes:
        with self._lock:
            group = self._groups.setdefault(key, _Group(*key[1:2], *key[3:]))
            self._groups.move_to_end(key)
            while len(self._groups) > 1 and sum(one.bytes for one in self._groups.values()) > _KEPT:
                self._groups.popitem(last=False)
        try:
            return group.cell(row)
        except BaseException:
            with self._lock:
                self._groups.pop(key, None)
            raise


class _Group:
    """One column of one row group, from the front on: what was passed is kept while it is small."""

    def __init__(self, file: str, column: str, group: int) -> None:
        self._file, self._column, self._group = file, column, group
        self._lock = threading.Lock()
        self._batches: OrderedDict[int, Any] = OrderedDict()  # by the first row
        self._coming: Iterator[Any] = iter(())
        self._next: int | None = None
        self.bytes = 0

    def cell(self, row: int) -> bytes:
        with self._lock:
            first = row - row % _ROWS
            if self._next is None or (first < self._next and first not in self._batches):
                self._start()
            while first not in self._batches:
                self._advance()
            batch = self._batches[first]
            if row - first >= len(batch):
                raise _changed()
            value = batch[row - first].as_py()
        if not isinstance(value, bytes):
            raise OSError(errno.EINVAL, "no image in this row")
        return value

    def _start(self) -> None:
        import pyarrow as pa

        try:
            self._coming = self._read()
        except (pa.ArrowException, IndexError, KeyError) as error:
            raise _changed() from error
        self._batches.clear()
        self.bytes = self._next = 0

    def _advance(self) -> None:
        import pyarrow as pa

        try:
            batch = next(self._coming, None)
        except pa.ArrowException as error:
            raise _changed() from error
        if batch is None or self._next is None:
            raise _changed()
        self._batches[self._next] = batch
        self._next += len(batch)
        self.bytes += batch.nbytes
        while self.bytes > _KEPT // 2 and len(self._batches) > 1:
            self.bytes -= self._batches.popitem(last=False)[1].nbytes

    def _read(self) -> Iterator[Any]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        source = open_remote(self._file, _BUFFER) if "://" in self._file else Path(self._file).open("rb")  # noqa: SIM115
        try:
            file = pq.ParquetFile(source, buffer_size=_BUFFER, pre_buffer=False)
            field = file.schema_arrow.field(self._column)
            leaf = f"{self._column}.bytes" if pa.types.is_struct(field.type) else self._column
            size = sum(
                chunk.total_compressed_size
                for chunk in map(file.metadata.row_group(self._group).column, range(file.metadata.num_columns))
                if chunk.path_in_schema == leaf
            )
            if size <= _WHOLE:
                file = pq.ParquetFile(source, metadata=file.metadata, pre_buffer=True)
        except BaseException:
            source.close()
            raise
        return _batches(source, file, self._group, leaf)


def _batches(source: BinaryIO, file: Any, group: int, leaf: str) -> Iterator[Any]:
    """The images of a row group, _ROWS at a time but for the last."""
    import pyarrow.compute as pc

    with source:
        for batch in file.iter_batches(batch_size=_ROWS, row_groups=[group], columns=[leaf], use_threads=False):
            column = batch.column(0)
            yield pc.struct_field(column, "bytes") if "." in leaf else column


def _changed() -> OSError:
    return OSError(errno.EINVAL, "the Parquet file is damaged, or has changed since it was listed")


_groups = _Groups()
