"""Writes vectors into USearch files of bounded size that are never changed, as they come or in lists."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from vdistill.bundle.calibration import ASKED, TrueNeighbours, fitted
from vdistill.bundle.list_table import Centres, ListTable
from vdistill.bundle.manifest import FileFacts, ShardFacts, shard_facts
from vdistill.bundle.partition import Partition, sampled
from vdistill.bundle.shards import usearch_index
from vdistill.bundle.vectors import usable
from vdistill.bundle.waiting_vectors import WaitingVectors
from vdistill.errors import VdistillError
from vdistill.workspace import read_json, replacing, write_file

LIMIT = 1_000_000  # vectors in a file: what a build holds in memory, and does again when it was killed
_LISTS = 0.65  # the power of the number of vectors: 8,000 lists of a million, 600 of 20,000
_BLOCK = 16_384  # vectors that are read, compared or added at once
_NO_GRAPH = {"connectivity": 2, "expansion_add": 1}  # the least that USearch accepts, for files that are only scanned


class ShardWriter:
    """Writes vectors into as many files as they need. No reader sees them before the manifest names them."""

    def __init__(self, folder: Path, stem: str, dim: int, dtype: str, *, lists: bool) -> None:
        """lists: put the vectors in lists, for more of them than a full scan is good for."""
        self._folder, self._stem, self._dim, self._dtype, self._lists = folder, stem, dim, dtype, lists
        self._written: list[ShardFacts] = []
        self._start_file()

    def add(self, keys: Sequence[int] | np.ndarray, vectors: np.ndarray) -> None:
        """Add unit vectors (n, dim). Raises ValueError for one that cannot be searched, OSError as `finish` does."""
        if not usable(vectors).all():
            raise ValueError("a vector is zero or not finite")
        keys = np.asarray(keys, np.uint64)
        while len(keys):
            room = LIMIT - len(self._waiting)
            self._waiting.add(keys[:room], vectors[:room])
            keys, vectors = keys[room:], vectors[room:]
            if len(self._waiting) >= LIMIT:
                self._save()

    def finish(self) -> tuple[ShardFacts, ...]:
        """Write what is left. Raises OSError where the disk refuses."""
        if len(self._waiting):
            self._save()
        self._waiting.close()
        return tuple(self._written)

    def _start_file(self) -> None:
        self._waiting = WaitingVectors(self._folder, self._dim, self._dtype)

    def _save(self) -> None:
        name, waiting = f"{self._stem}-{len(self._written)}", self._waiting
        if self._lists:
            facts = self._made_before(name) or self._save_lists(name)
        else:
            order = np.arange(len(waiting))
            facts = ShardFacts(self._save_vectors(name, order), len(order), False, self._save_precise(name))
        self._written.append(facts)
        waiting.close()
        self._start_file()

    def _made_before(self, name: str) -> ShardFacts | None:
        """The file that a killed build made of the same vectors, if it is whole."""
        note = self._folder / f"{name}.json"
        if not note.exists():
            return None
        try:
            found = read_json(note, "a note", "")
            if found["vectors"] != self._waiting.digest:
                return None
            facts = shard_facts(found["shard"])
            for file in facts.files:
                file.check(self._folder, full=True)
        except (VdistillError, KeyError, TypeError):
            return None
        return facts

    def _save_lists(self, name: str) -> ShardFacts:
        """Order the vectors by their nearest centre, and write them with their centres and their table."""
        waiting, count = self._waiting, round(len(self._waiting) ** _LISTS)
        partition = Partition.of(waiting.read(sampled(len(waiting), count)), count)
        near = TrueNeighbours(waiting.read(np.linspace(0, len(waiting) - 1, ASKED).astype(np.int64)))
        nearest = np.empty(len(waiting), np.int64)
        for part in _blocks(np.arange(len(waiting))):
            vectors = waiting.read(part)
            nearest[part] = partition.nearest(vectors)
            near.add(vectors, nearest[part])
        every = np.concatenate(partition.centres)
        sizes = np.bincount(nearest, minlength=len(every))
        centres, order = Centres.of(every[sizes > 0]), np.argsort(nearest, kind="stable")
        near.lists = (np.cumsum(sizes > 0) - 1)[near.lists]
        sizes = sizes[sizes > 0]
        fit = fitted(near, centres.compared, sizes)
        ListTable.of(waiting.keys[order], sizes, centres, fit).write(self._folder / f"{name}.lists", self._dim)
        lists = self._measured(f"{name}.lists")
        del centres, partition, near, every, vectors
        rows, precise = self._save_vectors(name, order), self._save_precise(name)
        facts = ShardFacts(rows, len(order), False, precise, lists)
        note = {"vectors": waiting.digest, "shard": asdict(facts)}  # swept away once the index is published
        write_file(self._folder / f"{name}.json", json.dumps(note))
        return facts

    def _save_vectors(self, name: str, order: np.ndarray) -> FileFacts:
        index = usearch_index(self._dim, self._dtype, **_NO_GRAPH)
        for part in _blocks(order, _BLOCK // 4):  # the index is in memory already
            index.add(self._waiting.keys[part], self._waiting.read(part), threads=1)  # in this order
        with replacing(self._folder / f"{name}.usearch") as path:
            try:
                index.save(str(path))
            except RuntimeError as error:  # how USearch reports a full disk
                raise OSError(str(error)) from error
        return self._measured(f"{name}.usearch")

    def _save_precise(self, name: str) -> FileFacts | None:
        """Beside i8, the vectors in a higher precision with their keys, by key."""
        if self._dtype != "i8":
            return None
        order, kind = np.argsort(self._waiting.keys), [("key", "<u8"), ("vector", "<f2", (self._dim,))]
        with replacing(self._folder / f"{name}.npy") as path, path.open("wb") as file:
            head = {"descr": kind, "fortran_order": False, "shape": (len(order),)}
            np.lib.format.write_array_header_1_0(file, head)
            for part in _blocks(order):
                rows = np.empty(len(part), kind)
                rows["key"], rows["vector"] = self._waiting.keys[part], self._waiting.read(part)
                file.write(rows.tobytes())
        return self._measured(f"{name}.npy")

    def _measured(self, name: str) -> FileFacts:
        return FileFacts.measure(self._folder, name)


def _blocks(rows: np.ndarray, size: int = _BLOCK) -> Iterator[np.ndarray]:
    return (rows[start : start + size] for start in range(0, len(rows), size))
