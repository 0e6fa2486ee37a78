"""How much of a large held-out side the exam of a training looks at: `bench`, which has an index, looks at all."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from vdistill.records import Item, Judgment

MOST = 20_000  # images that are decoded, and embedded by backbone and student


def bounded(items: Sequence[Item], judgments: Sequence[Judgment]) -> tuple[list[Item], list[Judgment]]:
    """At most about `MOST` held-out items, with the judgments that are about them.

    Queries come in the order of their hashes, each with all items that were judged for it, until those are too many;
    what room is left goes to other items by their hashes, so that titles choose among as many. At least one query is
    taken, however much was judged for it.
    """
    if len(items) <= MOST:
        return list(items), list(judgments)
    known = {item.id for item in items}
    judged: dict[str, set[str]] = {}
    for one in judgments:
        judged.setdefault(one.query, set()).update(known.intersection(one.items))
    chosen: set[str] = set()
    asked: set[str] = set()
    for query in sorted(judged, key=_place):
        if asked and len(chosen | judged[query]) > MOST:
            break
        chosen |= judged[query]
        asked.add(query)
    others = sorted(known - chosen, key=_place)
    chosen.update(others[: max(MOST - len(chosen), 0)])
    return [item for item in items if item.id in chosen], [one for one in judgments if one.query in asked]


def _place(name: str) -> bytes:
    return sha256(name.encode()).digest()
