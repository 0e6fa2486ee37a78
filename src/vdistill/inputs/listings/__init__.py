"""What a catalog holds: each kind of catalog is listed by a module of its own, and none opens an image."""

from __future__ import annotations

from vdistill.inputs.listings import folder
from vdistill.inputs.listings.listed import Entry, Listing, MetadataFile, Skipped

__all__ = ["Entry", "Listing", "MetadataFile", "Skipped", "list_catalog"]


def list_catalog(root: str) -> Listing:
    """What the catalog `root` holds. Raises VdistillError for one that is missing or of no known kind."""
    return folder.listing(root)
