"""Where the bytes of an image are: a file, an object in a bucket, a member of a tar, a cell of a Parquet file.

An image is named by a *locator*, a text, which takes less memory than an object and is kept in the index:

    /shop/a.jpg, s3://bucket/shop/a.jpg, https://shop.example/a.jpg     a file, here or elsewhere
    tar:512+20333:/shop/000.tar                                         bytes of a tar: offset and size
    parquet:3+17+image:/shop/000.parquet                                a cell: row group, row, column
"""

from vdistill.sources.locators import NOTHING, Source, absolute, escaped, is_remote, joined, order, relative, source_at
from vdistill.sources.secrets import shown
from vdistill.sources.stamps import Stamp

__all__ = [
    "NOTHING",
    "Source",
    "Stamp",
    "absolute",
    "escaped",
    "is_remote",
    "joined",
    "order",
    "relative",
    "shown",
    "source_at",
]
