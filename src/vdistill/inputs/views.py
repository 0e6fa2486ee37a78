"""Values of a large catalog that are made when they are looked up, instead of one object for each item."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

T = TypeVar("T")


class View(Mapping[str, T]):
    """What `make` gives for each of `ids`, in their order; made anew each time."""

    def __init__(self, ids: Iterable[str], make: Callable[[str], T]) -> None:
        """ids: a dictionary is kept as it is, whatever its values."""
        self.ids: dict[str, Any] = ids if isinstance(ids, dict) else dict.fromkeys(ids)
        self._make = make

    def __getitem__(self, key: str) -> T:
        """The value of an id."""
        if key not in self.ids:
            raise KeyError(key)
        return self._make(key)

    def __contains__(self, key: object) -> bool:
        """Whether it is one of the ids; nothing is made."""
        return key in self.ids

    def __iter__(self) -> Iterator[str]:
        """The ids."""
        return iter(self.ids)

    def __len__(self) -> int:
        """How many ids there are."""
        return len(self.ids)
