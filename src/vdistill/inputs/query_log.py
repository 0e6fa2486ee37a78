"""Search logs as queries: counted in bounded memory, folded, the most frequent first.

A log is a table with a column `count`, or a text file a fifth of whose lines repeat others; anything else is a list of
queries. Texts that differ in letter case and the like are one query, and so are, among the most frequent, those of the
same words in other forms or another order.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vdistill.errors import VdistillError
from vdistill.inputs.lines import read_lines
from vdistill.inputs.sides import plain
from vdistill.inputs.tables import Line, read_rows
from vdistill.inputs.words import STOP_WORDS, TABLE, indexable
from vdistill.workspace import writing

REPEATED = 0.2  # of the lines of a text file, from which on it is a log
MOST = 20_000  # queries that are kept: the most frequent
_AT_ONCE = 100_000  # different texts in memory
_NEGATE = frozenset({"no", "not"})  # stop words for a search engine, but not for what is meant

IDS = ("id", "qid", "query_id")  # columns that name a query
_OF_LISTS = {*IDS, "persona", "paraphrases"}

Search = tuple[str, int, float, str]  # text, line, times, what its row says of the split


@dataclass(frozen=True)
class Logged:
    """A query of a log: how often it was searched for, the line where it stands first, and what its row says."""

    text: str
    times: float
    line: int
    split: str = ""


@dataclass(frozen=True)
class Log:
    """The most frequent queries of a log, most frequent first; searches: of the whole log.  notes: what was folded."""

    queries: tuple[Logged, ...]
    searches: float
    notes: tuple[str, ...]

    def share(self, count: int) -> float:
        """The share of all searches that the first `count` queries make up."""
        return sum(query.times for query in self.queries[:count]) / self.searches


def read(path: Path) -> Log | None:
    """The log in a file; None where it is a list of queries.

    Raises VdistillError, naming file and line, for what cannot be read, and a count that is not a positive number.
    """
    text = path.suffix.lower() == ".txt"
    searches = _lines(path) if text else _counted(path)
    if searches is None:
        return None
    with Counter.open() as counter:
        counter.add(searches)
        repeated = 1 - counter.different / counter.lines if counter.lines else 0.0
        if text and repeated < REPEATED:
            return None
        return _folded(counter, path)


def _lines(path: Path) -> Iterator[Search]:
    return ((line, number, 1.0, "") for number, line in read_lines(path, "query"))


def _counted(path: Path) -> Iterator[Search] | None:
    """The searches in a table with a column `count`; None for another one.

    What has ids, personas or paraphrases is a list of queries, whatever else it counts.
    """
    rows = read_rows(path)
    first = next(rows, None)
    if first is None or "count" not in first.row or "query" not in first.row or first.row.keys() & _OF_LISTS:
        return None
    found = (_search(path, line) for line in itertools.chain([first], rows))
    return (search for search in found if search is not None)


def _search(path: Path, line: Line) -> Search | None:
    """A row's search; None for a row without a text, as searches for nothing are in every log."""
    text, said = str(line.row.get("query") or "").strip(), line.row.get("count")
    try:
        times = float(said)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        times = math.nan
    if not (math.isfinite(times) and times >= 0):
        raise VdistillError(
            f"{path}, line {line.number}: count {said!r} is not a positive number",
            hint="`count` says how often a query was searched for; call the column something else if it does not",
        )
    return (text, line.number, times, str(line.row.get("split") or "").strip().lower()) if text and times else None


@dataclass
class Counter:
    """Counts texts in a temporary SQLite file, through a table in memory that takes the frequent ones.

    lines: how many searches were added.  searches: the sum of their counts.
    """

    connection: sqlite3.Connection
    lines: int = 0
    searches: float = 0.0
    _recent: dict[str, list[float]] = field(default_factory=dict)  # by text: times, first line
    _splits: dict[str, str] = field(default_factory=dict)

    @classmethod
    @contextlib.contextmanager
    def open(cls) -> Iterator[Counter]:
        """An empty one; its file goes when it is closed."""
        with contextlib.closing(sqlite3.connect("", isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = OFF")
            connection.execute("PRAGMA cache_size = -65536")  # 64 MB
            connection.execute(
                "CREATE TABLE counts (key TEXT PRIMARY KEY, text TEXT, times REAL, line INTEGER, split TEXT) "
                "WITHOUT ROWID"
            )
            yield cls(connection)

    @property
    def different(self) -> int:
        """How many texts there are, `plain`."""
        return int(self.connection.execute("SELECT count(*) FROM counts").fetchone()[0])

    def add(self, searches: Iterable[Search]) -> None:
        """Count them."""
        recent = self._recent
        for text, line, times, split in searches:
            self.lines += 1
            self.searches += times
            known = recent.get(text)
            if split:
                self._splits.setdefault(text, split)
            if known is None:
                recent[text] = [times, line]
                if len(recent) >= _AT_ONCE:
                    self._flush()
            else:
                known[0] += times
        self._flush()

    def most_frequent(self) -> list[Logged]:
        """The `MOST` most frequent texts."""
        rows = self.connection.execute(
            "SELECT text, times, line, split FROM counts ORDER BY times DESC, line LIMIT ?", (MOST,)
        )
        return [Logged(*row) for row in rows]

    def _flush(self) -> None:
        rows = [
            (plain(text), text, times, line, self._splits.get(text, "")) for text, (times, line) in self._recent.items()
        ]  # as they came, so that of two spellings the first stays
        with writing(Path("the temporary file that counts a search log")):
            self.connection.execute("BEGIN")
            self.connection.executemany(
                "INSERT INTO counts VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT (key) DO UPDATE SET times = times + excluded.times, "
                "split = CASE WHEN split = '' THEN excluded.split ELSE split END",
                rows,
            )
            self.connection.execute("COMMIT")
        self._recent.clear()
        self._splits.clear()


def _folded(counter: Counter, path: Path) -> Log:
    """The most frequent queries, with those of the same words in other forms or another order as one."""
    found = counter.most_frequent()
    if not found:
        raise VdistillError(f"no queries in {path}", hint="each row needs a query and how often it was searched for")
    together: dict[frozenset[str] | str, list[Logged]] = defaultdict(list)
    for query, words in zip(found, _stems([query.text for query in found]), strict=True):
        together[words or query.text].append(query)
    merged = [
        Logged(
            some[0].text,
            sum(one.times for one in some),
            some[0].line,
            next((one.split for one in some if one.split), ""),
        )
        for some in together.values()
    ]
    notes = [f"a search log: {counter.searches:,.0f} searches, {counter.different:,} different queries"]
    if len(merged) < len(found):
        notes.append(
            f"{len(found) - len(merged):,} of the {len(found):,} most frequent are folded into others of the same words"
        )
    order = sorted(merged, key=lambda query: (-query.times, query.line))
    return Log(tuple(order), counter.searches, tuple(notes))


def _stems(texts: Sequence[str]) -> list[frozenset[str]]:
    """For each text the stems of its words, as the text search has them, without stop words."""
    ignored = STOP_WORDS - _NEGATE
    found: list[set[str]] = [set() for _ in texts]
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(f"CREATE VIRTUAL TABLE words {TABLE}")
        words = (" ".join(w for w in indexable(plain(text)).split() if w not in ignored) for text in texts)
        connection.executemany("INSERT INTO words (rowid, text) VALUES (?, ?)", enumerate(words))
        connection.execute("CREATE VIRTUAL TABLE vocabulary USING fts5vocab (words, instance)")
        for term, row in connection.execute("SELECT term, doc FROM vocabulary"):
            found[row].add(term)
    return [frozenset(some) for some in found]
