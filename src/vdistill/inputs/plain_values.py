"""Values of tables, as JSON can hold them."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import Any

BYTES = (bytes, bytearray, memoryview)
_AS_THEY_ARE = (str, int, type(None))  # made once: to write `str | int | None` makes a new type for each value


def plain(value: Any) -> Any:
    """A value that JSON can hold: decimals as numbers, dates as texts, and null for NaN and infinity."""
    if isinstance(value, _AS_THEY_ARE):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return json.loads(json.dumps(value, default=_other), parse_constant=lambda _: None)


def _other(value: Any) -> Any:
    if isinstance(value, BYTES):  # within a list or a struct
        return None
    if isinstance(value, Decimal):
        if not value.is_finite():
            return None
        near = int(value) if value == value.to_integral_value() and abs(value) < 2**63 else float(value)
        return near if Decimal(repr(near)) == value else str(value)
    return str(value)
