"""A file becomes an array, without torch; and Pillow is imported only when one is decoded."""

from typing import TYPE_CHECKING, Any

from vdistill.images.hashes import edges_sha256, file_sha256
from vdistill.images.version import DECODER_VERSION

if TYPE_CHECKING:
    from vdistill.images.decode import MAX_PIXELS, load, quiet
    from vdistill.images.preprocessing import Preprocessing

__all__ = ["DECODER_VERSION", "MAX_PIXELS", "Preprocessing", "edges_sha256", "file_sha256", "load", "quiet"]


def __getattr__(name: str) -> Any:
    """The names that need Pillow."""
    if name == "Preprocessing":
        from vdistill.images.preprocessing import Preprocessing

        return Preprocessing
    if name in ("MAX_PIXELS", "load", "quiet"):
        from vdistill.images import decode

        return getattr(decode, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
