"""What a catalog holds: each kind of catalog is listed by a module of its own, and none opens an image."""

from __future__ import annotations

from pathlib import Path

from vdistill.errors import VdistillError
from vdistill.inputs.listings import bucket, feed, folder, shards
from vdistill.inputs.listings.listed import Entry, Imageless, Listing, MetadataFile, Skipped, skipped_lines
from vdistill.sources import is_remote

__all__ = ["Entry", "Imageless", "Listing", "MetadataFile", "Skipped", "list_catalog", "skipped_lines"]


def list_catalog(root: str) -> Listing:
    """What the catalog `root` holds. Raises VdistillError for one that is missing or of no known kind."""
    if feed.is_feed(root):
        return feed.listing(root)
    if root.lower().endswith((*shards.SUFFIXES, *shards.COMPRESSED)) and (is_remote(root) or Path(root).is_file()):
        return _one_shard(root)
    return bucket.listing(root) if is_remote(root) else folder.listing(root)


def _one_shard(file: str) -> Listing:
    """What one tar or Parquet file holds."""
    if is_remote(file):
        bucket.check(file)
    root = file if is_remote(file) else str(Path(file).resolve())
    shard = shards.Shard(root.replace("\\", "/").rpartition("/")[2], root)
    empty = VdistillError(f"no images in {shard.shown}", hint="check the file")
    return Listing(root, shards.held(root, [shard]), empty)
