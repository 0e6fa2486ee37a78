"""The vectors of texts that train, are in items, or explain: encoded once, and kept in the workspace's cache.

The text tower is frozen, so they stay the same for the backbone and for every student of it. Safe to delete.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from hashlib import sha256

import numpy as np

from vdistill.arrays import Floats, Ints
from vdistill.errors import VdistillError
from vdistill.workspace import Workspace, replacing

LIMIT = 256 << 20  # bytes of vectors that are kept: a quarter of a million of 512 numbers
PART = 1024  # texts that are encoded at once
_UNSAVED = 2048  # texts, at least, after which what was encoded is written, should the command be interrupted
PROBE, ALIKE = "a gift for a gardener", 0.999  # a text whose vector shows that the tower is the same, and its cosine
_KEY = 16  # bytes of a text's hash

Encode = Callable[[Sequence[str]], np.ndarray]
Advance = Callable[[int, int], None]


class TextVectors:
    """The vectors of one text tower, by text, in a file of its own. Not for several threads at once.

    fingerprint: of the tower; files of other towers are removed.  limit: of the file, in bytes; beyond it vectors are
    not kept.
    """

    def __init__(self, workspace: Workspace, fingerprint: str, dim: int, limit: int = LIMIT) -> None:
        name = sha256(f"{fingerprint}\0{dim}".encode()).hexdigest()[:32]
        self._path = workspace.cache / "text_vectors" / f"{name}.npy"
        self._row = np.dtype([("text", f"S{_KEY}"), ("vector", "<f2", (dim,))])
        self._most = limit // self._row.itemsize
        self._kept, self._saved = np.zeros(0, self._row), -1  # -1: the file has not been read yet

    def of(self, texts: Sequence[str], encode: Encode, advance: Advance = lambda done, total: None) -> Floats:
        """Unit vectors (n, dim), float32, one per text, exact to 1e-3.

        encode: gives those of distinct texts that are not known yet.  advance: hears how many of those are done.
        """
        if not texts:
            return np.zeros((0, *self._row["vector"].shape), np.float32)
        if self._saved < 0:
            self._open(encode)
        distinct = list(dict.fromkeys(texts))
        keys = _keys(distinct)
        place, known = _places(self._kept["text"], keys)
        rows = np.empty(len(distinct), self._row)
        rows[known], missing = self._kept[place[known]], np.flatnonzero(~known)
        rows["text"] = keys
        for start in range(0, len(missing), PART):
            advance(start, len(missing))
            part = missing[start : start + PART]
            rows["vector"][part] = encode([distinct[number] for number in part])
            self._keep(rows[part])
        if len(missing):
            advance(len(missing), len(missing))
        if len(distinct) == len(texts):
            return np.asarray(rows["vector"], np.float32)
        row = {text: number for number, text in enumerate(distinct)}
        return np.asarray(rows["vector"][[row[text] for text in texts]], np.float32)

    def save(self) -> None:
        """Write what is new; where the disk refuses, it is encoded again next time."""
        if len(self._kept) <= max(self._saved, 0):
            return
        with contextlib.suppress(VdistillError, OSError):  # NumPy's own error of a full disk has no number
            self._path.parent.mkdir(parents=True, exist_ok=True)
            for other in self._path.parent.iterdir():
                if other != self._path and other.suffix in (".npy", ".part"):  # of other towers, or of a killed process
                    other.unlink(missing_ok=True)
            with replacing(self._path) as aside, aside.open("wb") as file:
                np.save(file, self._kept, allow_pickle=False)
        self._saved = len(self._kept)

    def _open(self, encode: Encode) -> None:
        """Read what is kept, if the tower still gives what it gave then: a fingerprint knows weights, not settings."""
        kept = self._read()
        probe = np.zeros(1, self._row)
        probe["text"], probe["vector"] = _keys([PROBE]), encode([PROBE])
        (place,), (known,) = _places(kept["text"], probe["text"])
        before, now = (np.asarray(some["vector"], np.float32) for some in (kept[place : place + 1], probe))
        same = known and float((before * now).sum()) >= ALIKE
        self._kept = kept if same else probe
        self._saved = len(kept) if same else 0

    def _keep(self, new: np.ndarray) -> None:
        self._kept = np.concatenate([self._kept, new[: max(0, self._most - len(self._kept))]])
        if len(self._kept) - self._saved >= max(_UNSAVED, self._saved // 4):
            self.save()

    def _read(self) -> np.ndarray:
        """What is kept; nothing where there is no file, or one that is damaged."""
        # Whatever NumPy makes of a damaged file: it is only a cache.
        with contextlib.suppress(Exception), self._path.open("rb") as file:
            kept = np.lib.format.read_array(file, allow_pickle=False)
            if kept.dtype == self._row and kept.ndim == 1 and _are_units(kept["vector"]):
                return np.asarray(kept)
        return np.zeros(0, self._row)


def _keys(texts: Sequence[str]) -> np.ndarray:
    """(n,) the hashes of texts."""
    hashes = [sha256(text.encode(errors="surrogatepass")).digest()[:_KEY] for text in texts]
    return np.array(hashes, f"S{_KEY}")


def _are_units(vectors: np.ndarray) -> bool:
    """Whether all of them (n, dim) are as long as they should be; some at a time, as they are half as large."""
    parts = np.array_split(vectors, len(vectors) // PART + 1)
    return all(bool((abs(np.linalg.norm(part.astype(np.float32), axis=1) - 1) < 1e-2).all()) for part in parts)


def _places(kept: np.ndarray, wanted: np.ndarray) -> tuple[Ints, np.ndarray]:
    """Where each of the wanted keys (n,) is among those that are kept (k,), and whether (n,) it is."""
    if not len(kept):
        return np.zeros(len(wanted), np.int64), np.zeros(len(wanted), bool)
    order = np.argsort(kept)
    place = order[np.minimum(np.searchsorted(kept, wanted, sorter=order), len(kept) - 1)]
    return place, kept[place] == wanted
