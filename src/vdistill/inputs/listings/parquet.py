"""The rows of a Parquet file whose images are in a column: their bytes, or where they are."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any
from urllib.parse import quote

from vdistill.errors import VdistillError
from vdistill.inputs.lines import whole
from vdistill.inputs.listings.listed import Skipped
from vdistill.inputs.listings.shard import Member, Shard, ShardFound, opened
from vdistill.inputs.plain_values import plain
from vdistill.sources import is_remote, joined
from vdistill.sources.secrets import holds_secret

URLS = ("image_url", "image_link", "url", "URL")
NAMES = ("file_name", "id")
_LIKELY = ("image", "img", "picture", "photo", "jpg", "jpeg", "png", "webp", "image_bytes", "bytes")
_NETWORK = ("http", "https", "s3", "s3a", "gs", "gcs", "hf", "az", "abfs", "abfss", "memory")
_ROWS = 4096
_BLOCK = 1 << 20  # bytes of a file that is elsewhere


@dataclass(frozen=True, slots=True)
class _Layout:
    """Which column holds the images, and how.

    bytes: whether their bytes are in it.  paths: whether it is a struct that names them.  name: the column that names
    those whose struct does not.  others: the columns to read, that one too.
    """

    image: str
    bytes: bool
    paths: bool
    name: str | None
    others: Sequence[str]
    labels: Mapping[str, Sequence[str]]


def members(shard: Shard) -> Iterator[ShardFound]:
    """The images of a Parquet file, a row each, with their other columns; the images themselves are not read.

    Raises VdistillError where it has no column of images, or cannot be read now.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with opened(shard, _BLOCK) as source, pq.ParquetFile(source, pre_buffer=is_remote(shard.file)) as file:
            yield from _rows(shard, file, _layout(shard, file))
    except pa.ArrowException as error:
        yield Skipped(shard.name, f"not a Parquet file that can be read: {str(error).splitlines()[0]}")


def _layout(shard: Shard, file: Any) -> _Layout:
    schema = file.schema_arrow
    image = _image_column(shard, schema)
    kind = schema.field(image).type
    has = {one.name for one in kind} if _is_struct(kind) else set()
    held = image not in URLS and (not has or not _all_null(file, f"{image}.bytes"))
    name = next((one for one in NAMES if one in schema.names and one != image), None)
    others = [one for one in schema.names if one != image and not _is_bytes(schema.field(one).type)]
    return _Layout(image, held, "path" in has, name, others, _labels(schema))


def _image_column(shard: Shard, schema: Any) -> str:
    """The column of images. Raises VdistillError where there is none, or it may be any of several."""
    if twice := [name for name in set(schema.names) if schema.names.count(name) > 1]:
        raise VdistillError(f"{shard.shown}: two columns are called {min(twice)!r}", hint="rename one of them")
    kinds = {name: schema.field(name).type for name in schema.names}
    structs = [name for name, kind in kinds.items() if _is_struct(kind)]
    found = structs or [name for name, kind in kinds.items() if _is_bytes(kind)]
    likely = [name for name in _LIKELY if name in found]
    found = likely[:1] or found or [name for name in URLS if name in kinds][:1]
    if len(found) == 1:
        return found[0]
    columns = ", ".join(found or schema.names)
    if found:
        raise VdistillError(f"{shard.shown} has several columns of images: {columns}", hint="call one of them image")
    raise VdistillError(
        f"{shard.shown} has no column of images; its columns: {columns}",
        hint="a column of bytes, of {bytes, path} as Hugging Face writes it, or image_url",
    )


def _is_bytes(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def _is_struct(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_struct(kind)) and any(one.name == "bytes" and _is_bytes(one.type) for one in kind)


def _all_null(file: Any, leaf: str) -> bool:
    """Whether the file says that a column has no value."""
    about = file.metadata
    for group in map(about.row_group, range(about.num_row_groups)):
        chunk = next(one for one in map(group.column, range(group.num_columns)) if one.path_in_schema == leaf)
        known = chunk.statistics
        if known is None or known.null_count is None or known.null_count < group.num_rows:
            return False
    return True


def _labels(schema: Any) -> dict[str, Sequence[str]]:
    """The names of labels, which Hugging Face keeps beside the numbers."""
    try:
        features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
        return {name: one["names"] for name, one in features.items() if one.get("_type") == "ClassLabel"}
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}


def _rows(shard: Shard, file: Any, layout: _Layout) -> Iterator[ShardFound]:
    wanted = f"{layout.image}.path" if layout.paths else None if layout.bytes else layout.image
    number = 0
    for group in range(file.metadata.num_row_groups):
        row = 0
        for cells in _batches(file, group, [*layout.others, *([wanted] if wanted else [])]):
            for one in cells:
                yield _member(shard, layout, one, (group, row, number))
                row, number = row + 1, number + 1


def _batches(file: Any, group: int, columns: Sequence[str]) -> Iterator[list[dict[str, Any]]]:
    if not columns:
        yield [{}] * file.metadata.row_group(group).num_rows
        return
    for batch in file.iter_batches(batch_size=_ROWS, row_groups=[group], columns=columns, use_threads=False):
        yield batch.to_pylist()


def _member(shard: Shard, layout: _Layout, cells: dict[str, Any], at: tuple[int, int, int]) -> ShardFound:
    group, row, number = at
    place = f"{shard.name}/{number:07}"
    image = cells.pop(layout.image, None)
    path = image.get("path") if layout.paths and image else image
    by_path, column = bool(layout.paths and path), layout.name or ""
    name = path if by_path else cells.get(column)
    if not (by_path and column == "id"):  # beside a path, the id is something that is known of the image
        cells.pop(column, None)
    if layout.bytes:
        file = f"parquet:{group}+{row}+{quote(layout.image, safe='')}:{shard.file}"
    elif not isinstance(path, str) or not path.strip():
        return Skipped(place, "no image in this row")
    elif holds_secret(path):
        return Skipped(place, "its URL holds a signature or a password, which an index would keep")
    elif not (file := _beside(shard.file, path.strip())):
        return Skipped(place, "its image is named outside of the catalog")
    metadata = {column: _value(value, layout.labels.get(column)) for column, value in cells.items()}
    return Member(_as_id(name), place, file, metadata)


def _beside(shard: str, path: str) -> str:
    """The locator of a file that is named relative to the shard's folder; empty where a row must not lead there.

    A table may come from anybody: it names files of its own folder, and what the network gives, but none of this disk.
    """
    scheme, there, _ = path.partition("://")
    if there:
        return path if scheme in _NETWORK else ""
    if not _inside(path):
        return ""
    return joined(shard.rpartition("/")[0] if is_remote(shard) else str(Path(shard).parent), path)


def _inside(path: str) -> bool:
    windows = PureWindowsPath(path)  # which knows slashes, backslashes and drives
    return not windows.anchor and ".." not in windows.parts


def _as_id(name: Any) -> str | None:
    text = str(whole(name)).strip().replace("\\", "/").removeprefix("./") if isinstance(name, str | int) else ""
    return text if text and _inside(text) else None


def _value(value: Any, names: Sequence[str] | None) -> Any:
    if names and isinstance(value, int) and 0 <= value < len(names):
        return names[value]
    return whole(plain(value))
