"""A file becomes an array, without torch."""

from vdistill.images.decode import DECODER_VERSION, MAX_PIXELS, load, quiet
from vdistill.images.hashes import edges_sha256, file_sha256
from vdistill.images.preprocessing import Preprocessing

__all__ = ["DECODER_VERSION", "MAX_PIXELS", "Preprocessing", "edges_sha256", "file_sha256", "load", "quiet"]
