"""An image that is in memory already."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import BinaryIO, Literal


@dataclass(frozen=True, slots=True)
class Held:
    """An image in memory, as a source."""

    data: bytes

    def open(self, mode: Literal["rb"] = "rb") -> BinaryIO:
        """Its bytes."""
        return io.BytesIO(self.data)

    def stamp(self) -> tuple[int, int, int]:
        """It never changes."""
        return len(self.data), 0, 0
