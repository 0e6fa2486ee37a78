"""What a catalog holds: each kind of catalog is listed by a module of its own, and none opens an image."""

from __future__ import annotations

from vdistill.inputs.listings import feed, folder
from vdistill.inputs.listings.listed import Entry, Imageless, Listing, MetadataFile, Skipped, skipped_lines

__all__ = ["Entry", "Imageless", "Listing", "MetadataFile", "Skipped", "list_catalog", "skipped_lines"]


def list_catalog(root: str) -> Listing:
    """What the catalog `root` holds. Raises VdistillError for one that is missing or of no known kind."""
    return feed.listing(root) if feed.is_feed(root) else folder.listing(root)
