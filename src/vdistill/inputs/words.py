"""Text search over the metadata: what SQLite's FTS5 indexes and looks for."""

from __future__ import annotations

import re
import sqlite3
import threading
import unicodedata
import weakref
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from vdistill.arrays import Floats
from vdistill.records import title_of

TABLE = "USING fts5 (text, content = '', tokenize = 'porter unicode61 remove_diacritics 2')"

# English stop words (Lucene's list).
# fmt: off
STOP_WORDS = frozenset([
    "a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "if", "in", "into", "is", "it", "no", "not", "of",
    "on", "or", "such", "that", "the", "their", "then", "there", "these", "they", "this", "to", "was", "will", "with",
])
# fmt: on

# Scripts without spaces between words: Thai, Lao, Burmese, Khmer, Chinese, Japanese; and Korean, whose words have
# endings that the stemmer does not know.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3041-\u309f\u30a1-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uac00-\ud7a3\U00020000-\U0003ffff]+"
)


def words_of(metadata: Mapping[str, Any]) -> str:
    """All text that the metadata has about an item, its title first: what text search and the metadata teacher read."""
    title = title_of(metadata)
    texts = [text for value in metadata.values() for text in _texts(value) if text != title]
    return ". ".join(text for text in (title, *texts) if text)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value.strip()
    elif isinstance(value, list):
        yield ", ".join(entry for entry in value if isinstance(entry, str))


def indexable(text: str) -> str:
    """The text as FTS5 should index it: runs of a script without spaces as their characters and pairs of characters."""
    text = unicodedata.normalize("NFKC", text)
    if text.isascii():
        return text
    return _UNSPACED.sub(lambda run: f" {' '.join(_grams(run[0], single=True))} ", text)


def match(query: str) -> str:
    """The FTS5 expression that finds texts with any of the query's words; empty where it has none."""
    return " OR ".join(f'"{word}"' for word in terms(query))


def terms(query: str) -> list[str]:
    """The words of a query, each once: what `indexable` makes of them in a text."""
    query = unicodedata.normalize("NFKC", query)
    found = re.findall(r"\w+", _UNSPACED.sub(" ", query))
    for run in _UNSPACED.findall(query):
        found += _grams(run, single=len(run) == 1)
    return list(dict.fromkeys(found))


class Tokens:
    """The tokens of texts, as the text index of `query --hybrid` has them: stemmed, without accents."""

    def __init__(self) -> None:
        self._db = sqlite3.connect(":memory:", check_same_thread=False)
        weakref.finalize(self, self._db.close)

    def of(self, texts: Sequence[str]) -> list[tuple[str, ...]]:
        """The tokens of each text, in order, repeated as they are."""
        self._db.executescript(f"""
            DROP TABLE IF EXISTS vocabulary; DROP TABLE IF EXISTS words;
            CREATE VIRTUAL TABLE words {TABLE};
            CREATE VIRTUAL TABLE vocabulary USING fts5vocab (words, instance);
        """)
        self._db.executemany("INSERT INTO words (rowid, text) VALUES (?, ?)", enumerate(map(indexable, texts)))
        found: list[list[str]] = [[] for _ in texts]
        for place, term in self._db.execute("SELECT doc, term FROM vocabulary ORDER BY doc, offset"):
            found[place].append(term)
        return [tuple(tokens) for tokens in found]


def _grams(run: str, *, single: bool) -> Iterator[str]:
    """Tokens for pairs of neighbours and, if `single`, for the characters alone.

    They are spelled in letters and digits, since the tokenizer drops vowel signs, and end in a digit, since the stemmer
    would cut endings off.
    """
    codes = [f"u{ord(character):x}" for character in run]
    if single:
        yield from (f"{code}z0" for code in codes)
    yield from (f"{one}{other}z0" for one, other in pairwise(codes))


class Bm25:
    """BM25 over texts (Robertson & Zaragoza 2009), with the engine and the tokens of `query --hybrid`."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._count = len(texts)
        self._lock = threading.Lock()
        self._db = sqlite3.connect(":memory:", check_same_thread=False)
        weakref.finalize(self, self._db.close)
        self._db.execute(f"CREATE VIRTUAL TABLE words {TABLE}")
        self._db.executemany("INSERT INTO words (rowid, text) VALUES (?, ?)", enumerate(map(indexable, texts)))
        self._db.execute("CREATE VIRTUAL TABLE vocabulary USING fts5vocab (words, row)")

    @property
    def empty(self) -> bool:
        """Whether no text has a word to be found by."""
        with self._lock:
            return self._db.execute("SELECT 1 FROM vocabulary LIMIT 1").fetchone() is None

    def scores(self, query: str) -> Floats:
        """(n,) how well each text matches the words of the query; 0 where it has none of them."""
        scores = np.zeros(self._count)
        if wanted := match(query):
            with self._lock:
                rows = self._db.execute("SELECT rowid, rank FROM words WHERE words MATCH ?", (wanted,)).fetchall()
            for place, rank in rows:
                scores[place] = -rank
        return scores
