"""Stamps: what changes when the bytes of an image do, known without reading them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeAlias

Stamp: TypeAlias = "tuple[int, int, int]"  # size, time of the last change, and whatever else changes with the content


def version_of(stamp: Stamp) -> str:
    """The stamp as a text."""
    return "-".join(map(str, stamp))


def stamp_of(info: Mapping[str, Any]) -> Stamp:
    """The stamp of what fsspec tells of a file: file systems have different names for its parts."""
    changed = next((info[name] for name in ("LastModified", "mtime", "last_modified", "updated", "created")
                    if info.get(name)), None)  # fmt: skip
    version = next((info[name] for name in ("ETag", "etag", "generation", "blob_id", "md5Hash", "content_md5",
                                            "ukey") if info.get(name)), "")  # fmt: skip
    return int(info.get("size") or 0), _nanoseconds(changed), number_of(str(version))


def _nanoseconds(changed: Any) -> int:
    if isinstance(changed, str):
        try:
            changed = datetime.fromisoformat(changed.replace("Z", "+00:00"))
        except ValueError:
            return number_of(changed)
    if isinstance(changed, datetime):
        changed = changed.timestamp()
    return round(changed * 10**6) * 1000 if isinstance(changed, (int, float)) else 0


def number_of(version: str) -> int:
    """A text as a number below 2⁵⁹: as a time in nanoseconds, beside which it may stand, it would be long past."""
    digest = hashlib.sha256(version.strip('"').encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") >> 5 if version else 0
