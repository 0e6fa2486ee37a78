"""What a catalog holds: each kind of catalog is listed by a module of its own, and none opens an image."""

from __future__ import annotations

from pathlib import Path

from vdistill.errors import VdistillError
from vdistill.inputs.listings import bucket, feed, folder, shard, shards
from vdistill.inputs.listings.listed import Entry, Imageless, Listing, MetadataFile, Skipped, skipped_lines
from vdistill.sources import is_remote

__all__ = ["Entry", "Imageless", "Listing", "MetadataFile", "Skipped", "list_catalog", "skipped_lines"]


def list_catalog(root: str) -> Listing:
    """What the catalog `root` holds. Raises VdistillError for one that is missing or of no known kind."""
    if feed.is_feed(root):
        return feed.listing(root)
    if root.lower().endswith((*shard.SUFFIXES, *shard.COMPRESSED)) and (is_remote(root) or Path(root).is_file()):
        return _one_shard(root)
    return bucket.listing(root) if is_remote(root) else folder.listing(root)


def _one_shard(file: str) -> Listing:
    """What one tar or Parquet file holds."""
    if is_remote(file):
        bucket.check(file)
    root = file if is_remote(file) else str(Path(file).resolve())
    one = shard.Shard(root.replace("\\", "/").rpartition("/")[2], root)
    empty = VdistillError(f"no images in {one.shown}", hint="check the file")
    return Listing(root, shards.held(root, [one]), empty)
