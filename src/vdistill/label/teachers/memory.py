"""What a teacher wants to know again in the next run; where that is kept is not its business."""

from __future__ import annotations

from typing import Any, Protocol


class Memory(Protocol):
    """Keeps JSON-able values by name. May be used from several threads at once."""

    def recall(self, name: str) -> Any | None:
        """The value kept last under `name`, or None."""
        ...

    def keep(self, name: str, value: Any) -> None:
        """Keep a value."""
        ...


class NoMemory:
    """Forgets: for a teacher without a workspace."""

    def recall(self, name: str) -> Any | None:
        """Nothing."""
        return None

    def keep(self, name: str, value: Any) -> None:
        """Keep nothing."""
