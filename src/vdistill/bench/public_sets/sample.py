"""Some of a set's queries: always the same ones, whatever the order of a file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def sampled(ids: Iterable[str], count: int | None) -> set[str]:
    """`count` of `ids`, those with the lowest hashes; all without a count."""
    order = sorted(ids, key=lambda key: hashlib.sha256(key.encode()).digest())
    return set(order[:count])
