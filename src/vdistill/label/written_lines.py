"""What a model wrote, line by line: searches without the numbers, bullets, quotes and talk around them."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from vdistill.inputs.sides import plain

SHORTEST, LONGEST = 8, 240  # characters of a query
_MARK = re.compile(r"^\s*(?:[-*•]|\(?\d+[.):])\s*")


def searches(lines: Sequence[str], known: Collection[str], shortest: int = SHORTEST, words: int = 2) -> list[str]:
    """The new searches among the lines. known: `plain` texts that are not new.  words: how many one has at least."""
    found: dict[str, str] = {}
    for line in lines:
        text = _MARK.sub("", line).strip().strip("\"'“”*").strip()
        clean = text.isprintable() and not text.endswith(":")
        if shortest <= len(text) <= LONGEST and len(text.split()) >= words and clean and plain(text) not in known:
            found.setdefault(plain(text), text)
    return list(found.values())
