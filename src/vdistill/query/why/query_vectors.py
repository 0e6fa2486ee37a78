"""The vectors of training queries, kept in the workspace's cache: encoded once, safe to delete."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np

from vdistill.arrays import Floats
from vdistill.errors import VdistillError
from vdistill.workspace import replacing, writing

PART = 256  # texts that are encoded at once
KEPT = 2048  # texts after which what was encoded is written, should the command be interrupted
_KEY = 16  # bytes of a text's hash

Encode = Callable[[Sequence[str]], np.ndarray]
Advance = Callable[[int, int], None]


class QueryVectors:
    """The vectors of one text encoder, by text, in a file of its own.

    folder: where it lies.  fingerprint: of the encoder; files of other encoders are removed.
    """

    def __init__(self, folder: Path, fingerprint: str, dim: int) -> None:
        name = sha256(f"{fingerprint}\0{dim}".encode()).hexdigest()[:32]
        self._path = folder / f"{name}.npy"
        self._row = np.dtype([("text", "u1", (_KEY,)), ("vector", "<f2", (dim,))])

    def of(self, texts: Sequence[str], encode: Encode, advance: Advance = lambda done, total: None) -> Floats:
        """Unit vectors (n, dim), float32, of distinct texts, exact to 1e-3.

        encode: gives those that are not known yet.  advance: hears how many of those are done.
        """
        keys = [sha256(text.encode(errors="surrogatepass")).digest()[:_KEY] for text in texts]
        kept = self._read()
        place = {row.tobytes(): number for number, row in enumerate(kept["text"])}
        missing = [number for number, key in enumerate(keys) if key not in place]
        for start in range(0, len(missing), KEPT):
            part = missing[start : start + KEPT]
            new = np.zeros(len(part), self._row)
            new["text"] = np.frombuffer(b"".join(keys[number] for number in part), np.uint8).reshape(-1, _KEY)
            for at in range(0, len(part), PART):
                advance(start + at, len(missing))
                new["vector"][at : at + PART] = encode([texts[number] for number in part[at : at + PART]])
            place.update((keys[number], len(kept) + offset) for offset, number in enumerate(part))
            kept = np.concatenate([kept, new])
            self._write(kept)
            advance(start + len(part), len(missing))
        return np.asarray(kept["vector"][[place[key] for key in keys]], np.float32)

    def _read(self) -> np.ndarray:
        """What is kept; nothing where there is no file, or one that is damaged."""
        with contextlib.suppress(OSError, ValueError, EOFError):
            kept = np.load(self._path, allow_pickle=False)
            if kept.dtype == self._row and kept.ndim == 1 and np.isfinite(kept["vector"]).all():
                return np.asarray(kept)
        return np.zeros(0, self._row)

    def _write(self, kept: np.ndarray) -> None:
        """Replace the file; where the disk refuses, they are encoded again next time."""
        with contextlib.suppress(VdistillError), writing(self._path):
            for other in self._path.parent.glob("*.npy"):
                if other != self._path:
                    other.unlink(missing_ok=True)
            with replacing(self._path) as aside, aside.open("wb") as file:
                np.save(file, kept, allow_pickle=False)
