"""A catalog becomes items with their metadata, wherever it lives; what cannot be used is named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vdistill.errors import VdistillError
from vdistill.inputs.catalog_metadata import CatalogMetadata
from vdistill.inputs.item_table import ItemTable
from vdistill.inputs.listings import Entry, MetadataFile, Skipped, list_catalog, skipped_lines
from vdistill.records import Item
from vdistill.sources import NOTHING


@dataclass(frozen=True, slots=True)
class Catalog:
    """The items of a catalog, in the order of their ids, and what had to be left out.

    remarks: what the user should know about the metadata, one line each.
    absent: those of the skipped that the metadata names and that do not exist; the remarks sum them up.
    imageless: items of the metadata whose images do not exist: some models can index them by their texts.
    """

    root: str
    items: ItemTable
    skipped: tuple[Skipped, ...]
    remarks: tuple[str, ...] = ()
    absent: frozenset[str] = frozenset()
    imageless: Sequence[Item] = ()

    def told(self, skipped: tuple[Skipped, ...]) -> list[str]:
        """Lines about those of `skipped` that the remarks do not sum up, and the remarks."""
        return [*skipped_lines([one for one in skipped if one.id not in self.absent]), *self.remarks]


def scan(root: Path | str) -> Catalog:
    """List the images of a catalog with their metadata; the images themselves are not opened.

    Raises VdistillError for a catalog that is missing or holds no image, and for metadata with a broken line.
    """
    listed = list_catalog(str(root))
    items, skipped, tables = ItemTable(listed.root), list[Skipped](), list[MetadataFile]()
    imageless = ItemTable(listed.root)

    def entries() -> Iterator[Entry]:
        for one in listed.found:
            if isinstance(one, Entry):  # as nearly all are
                yield one
            elif isinstance(one, Skipped):
                skipped.append(one)
            elif isinstance(one, MetadataFile):
                tables.append(one)
            else:
                skipped.append(Skipped(one.id, one.reason))
                imageless.enter([Entry(one.id, f"{NOTHING}{one.id}", metadata=one.metadata)])

    items.enter(entries())
    skipped += [Skipped(key, "another image has this id") for key in items.index()]
    if not items:
        raise _empty(listed.empty, skipped)
    metadata = CatalogMetadata(listed.root, items)
    for table in sorted(tables, key=lambda table: table.name):
        with table.local() as path:
            metadata.read(path, table.name)
    skipped += [Skipped(key, reason) for key, reason in metadata.unused]
    absent = frozenset(key for key, _ in metadata.unused if not items.has(key))
    imageless.enter(Entry(key, metadata=row) for key, row in metadata.imageless.items())
    imageless.index()
    imageless.remove(items)
    return Catalog(listed.root, items, tuple(skipped), tuple(metadata.remarks()), absent, imageless)


def _empty(error: VdistillError, skipped: list[Skipped]) -> VdistillError:
    """The error of a catalog without an image, with the first reason."""
    if not skipped:
        return error
    return VdistillError(f"{error.message} that can be used; {skipped[0].id}: {skipped[0].reason}", hint=error.hint)
