"""Indexes of given vectors, for tests and benchmarks that need no images."""

import contextlib
import json
import sqlite3
from dataclasses import astuple

import numpy as np

from vdistill.bundle import items, manifest
from vdistill.bundle.items import Row
from vdistill.bundle.shard_writer import ShardWriter
from vdistill.bundle.shards import METRIC_OF
from vdistill.query.search import Searcher


def unit(count, dim, seed=0):
    """So many random vectors of length 1."""
    vectors = np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def write_items(path, rows):
    """A file of items."""
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(items.SCHEMA)
        connection.executemany(
            f"INSERT INTO items ({items.COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)", (astuple(one)[:7] for one in rows)
        )
        items.describe(connection)
    return path


def row(key, id_, metadata=None):
    """An item."""
    return Row(key, id_, id_, id_, 1, 1, json.dumps(metadata or {}, ensure_ascii=False, sort_keys=True))


def write_index(folder, vectors, dtype="f32", *, lists=False, metadata=lambda n: {}):
    """An index of (n, dim) vectors, its items named 00000, 00001, … with keys that run backwards; returns its entry."""
    folder.mkdir(parents=True, exist_ok=True)
    count, dim = vectors.shape
    write_items(folder / "items.db", (row(count - n, f"{n:05}", metadata(n)) for n in range(count)))
    writer = ShardWriter(folder, "vectors", dim, dtype, lists=lists)
    for start in range(0, count, 4096):
        keys = np.arange(count - start, max(count - start - 4096, 0), -1)
        writer.add(keys, vectors[start : start + 4096])
    shards = writer.finish()
    facts = manifest.FileFacts.measure(folder, "items.db")
    entry = manifest.Entry(
        1, "", "", "", "", dim, dtype, METRIC_OF[dtype], "/catalog", 0.0, count, count + 1, shards, facts
    )
    manifest.write(folder, {"student": entry})
    return entry


def verify(folder):
    """Read every file of an index folder in full. Raises VdistillError for one that is not what was written."""
    for entry in manifest.read(folder).values():
        for file in entry.files:
            file.check(folder, full=True)


def index_of(folder, vectors, dtype="f32", **more):
    """The searcher of `write_index`."""
    write_index(folder, vectors, dtype, **more)
    return Searcher.at(folder, "student")
