"""The held-out split: a stable hash decides, never the order."""

from __future__ import annotations

import hashlib
from typing import Literal

from vdistill.records import Split


def split_of(kind: Literal["item", "query"], key: str, holdout: float) -> Split:
    """Which side an item id or a query text falls on; `holdout` in [0, 1) is the share held out.

    Growing `holdout` only ever moves keys from `train` to `heldout`.
    """
    digest = hashlib.sha256(f"{kind}\0{key}".encode()).digest()
    return "heldout" if int.from_bytes(digest[:8], "big") / 2**64 < holdout else "train"
