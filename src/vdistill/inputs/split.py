"""The held-out split of what was not judged yet: a stable hash decides, never the order (see `sides.py`)."""

from __future__ import annotations

import hashlib
from typing import Literal

from vdistill.records import Split


def split_of(kind: Literal["item", "query"], key: str, holdout: float) -> Split:
    """Which side the key of an item or of a query falls on; `holdout` in [0, 1) is the share held out.

    Growing `holdout` only ever moves keys from `train` to `heldout`.
    """
    return "heldout" if _place(kind, key) < holdout else "train"


def validates(kind: Literal["item", "query"], key: str, share: float) -> bool:
    """Whether a training item or query is among the `share` set aside for validation, independently of `split_of`."""
    return _place(f"validation {kind}", key) < share


def _place(kind: str, key: str) -> float:
    """Where a key falls in [0, 1)."""
    digest = hashlib.sha256(f"{kind}\0{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
