"""What of the catalog the queries reach: images that are among the first results of some query.

By the backbone's index, where there is one that can be searched; else by the words of titles and descriptions.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from vdistill.errors import VdistillError
from vdistill.inputs.words import Bm25, words_of
from vdistill.records import Item
from vdistill.workspace import Workspace

REACH = 20  # results that people look at


@dataclass
class Coverage:
    """Which of `items`, ids, some query reaches. first: the ids among the first results of each of some queries."""

    items: Collection[str]
    first: Callable[[Sequence[str]], Iterable[str]]
    reached: set[str] = field(default_factory=set)
    _asked: set[str] = field(default_factory=set)

    @property
    def share(self) -> float:
        """The share of the items that is reached, in [0, 1]."""
        return len(self.reached) / max(len(self.items), 1)

    def add(self, queries: Iterable[str]) -> None:
        """With these queries, too."""
        new = [query for query in dict.fromkeys(queries) if query not in self._asked]
        self._asked.update(new)
        self.reached |= set(self.first(new)).intersection(self.items) if new else set()


def coverage_of(workspace: Workspace | None, items: Sequence[Item]) -> Coverage | None:
    """Nothing is reached yet. None where there is neither an index of the backbone nor any text to go by."""
    ids = {item.id for item in items}
    if workspace is not None and workspace.index.is_dir() and (found := _by_vectors(workspace)) is not None:
        return Coverage(ids, found)
    search = Bm25([words_of(item.metadata) for item in items])
    return None if search.empty else Coverage(ids, _by_words(search, [item.id for item in items]))


def _by_words(search: Bm25, ids: Sequence[str]) -> Callable[[Sequence[str]], Iterable[str]]:
    def first(queries: Sequence[str]) -> Iterable[str]:
        for query in queries:
            scores = search.scores(query)
            best = np.argsort(-scores, kind="stable")[:REACH]
            yield from (ids[row] for row in best if scores[row] > 0)

    return first


def _by_vectors(workspace: Workspace) -> Callable[[Sequence[str]], Iterable[str]] | None:
    """By the backbone's index; None where it cannot be searched as it is."""
    from vdistill.query.search import Searcher, SearchOptions

    try:
        Searcher.open(workspace.root, "backbone").close()
    except VdistillError:
        return None

    def first(queries: Sequence[str]) -> Iterable[str]:
        with Searcher.open(workspace.root, "backbone") as searcher:
            for query in queries:
                (vector,) = searcher.encode([query])
                yield from (hit.id for hit in searcher.hits(vector, REACH, SearchOptions(per="image")))

    return first
