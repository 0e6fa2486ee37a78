"""Text search over what a catalog says of its items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def words_of(metadata: Mapping[str, Any]) -> str:
    """What text search reads of an item: the texts among its metadata, also those in lists."""
    found: list[str] = []
    for value in metadata.values():
        found += [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str)]
    return "\n".join(found)


class Bm25:
    """Okapi BM25 (Robertson & Zaragoza 2009) over texts, English stop words left out."""

    def __init__(self, texts: Sequence[str]) -> None:
        import bm25s

        tokens = bm25s.tokenize(list(texts), stopwords="en", show_progress=False)
        self._count = len(texts)
        self._index = None
        if set(tokens.vocab) - {""}:
            self._index = bm25s.BM25()
            self._index.index(tokens, show_progress=False)

    @property
    def empty(self) -> bool:
        """Whether no text has a word to be found by."""
        return self._index is None

    def scores(self, query: str) -> NDArray[np.float64]:
        """(n,) how much each text has to do with the words of the query; 0 where it has none of them."""
        import bm25s

        words = bm25s.tokenize(query, stopwords="en", show_progress=False, return_ids=False)[0]
        if self._index is None or not words:
            return np.zeros(self._count)
        return np.asarray(self._index.get_scores(words), np.float64)
