"""The image of an item: where it is, and a small one of it."""

from __future__ import annotations

from dataclasses import dataclass

from vdistill.errors import ImageError
from vdistill.serve.answers import item_key
from vdistill.serve.refusals import Refused
from vdistill.serve.service import Service
from vdistill.sources import Source, joined, source_at


@dataclass(frozen=True, slots=True)
class Picture:
    """sha256: of the file as it was indexed.  packed: the small image that a pack has of it."""

    sha256: str
    source: Source
    packed: bytes | None

    @classmethod
    def of(cls, service: Service, id_: str, model: str | None) -> Picture:
        """That of an item. Raises Refused where there is no such item."""
        with service.indexes.lease() as found:
            searcher = found.named(model)
            key = item_key(searcher, id_)
            row = searcher.store.items.rows_of([key])[key]
            source = source_at(joined(searcher.catalog_root, row.path))
            return cls(row.sha256, source, searcher.store.items.thumbnail(row.sha256))

    def jpeg(self, service: Service, side: int) -> bytes:
        """At most side × side pixels. Raises Refused where it cannot be read."""
        try:
            return service.thumbnails.of(self.sha256, self.source, side, self.packed)
        except (ImageError, ModuleNotFoundError) as error:
            reason = error.message if isinstance(error, ImageError) else str(error)  # Parquet needs pyarrow
            raise Refused(404, "image_unreadable", f"the image of this item cannot be read: {reason}",
                          "run `vdistill index` again if it was moved") from error  # fmt: skip
