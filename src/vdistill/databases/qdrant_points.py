"""Items as points of Qdrant: their vectors, their words as BM25 weighs them, and their payload."""

from __future__ import annotations

import hashlib
import json
import uuid
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vdistill.bundle.columns import Kind
from vdistill.bundle.vectors import unit
from vdistill.databases.engine import Found, StoredItem

VECTOR, WORDS = "vector", "words"  # the names of an item's two vectors
SHOWN = ["id", "path", "metadata", "product", "images"]  # the payload that a result needs
_K1, _B, _AVERAGE = 1.2, 0.75, 32.0  # of BM25; tokens of a text, on average


def point(item: StoredItem, kinds: Mapping[str, Kind]) -> Any:
    """The point (`models.PointStruct`) of an item.  kinds: of the columns, by key."""
    from qdrant_client import models

    words = Counter(map(place, item.words))
    sparse = models.SparseVector(
        indices=list(words), values=[_weight(count, len(item.words)) for count in words.values()]
    )
    values = {key: _moment(value) if kinds[key] == "time" else value for key, value in item.values.items()}
    payload = {
        "id": item.id, "path": item.path, "sha256": item.sha256, "product": item.product, "images": item.images,
        "metadata": json.loads(item.metadata), "values": values, "lists": item.lists, "stamp": item.stamp.hex(),
    }  # fmt: skip
    vectors = {VECTOR: item.vector.tolist(), WORDS: sparse}
    return models.PointStruct(id=point_id(item.id), vector=vectors, payload=payload)


def _moment(text: str) -> str:
    return f"{text.replace(' ', 'T')}Z"


def point_id(id_: str) -> str:
    """Qdrant's ids are numbers or UUIDs."""
    return str(uuid.UUID(bytes=hashlib.blake2b(id_.encode(), digest_size=16).digest()))


def place(word: str) -> int:
    """The place of a word in the sparse vector."""
    return zlib.crc32(word.encode())


def _weight(count: int, length: int) -> float:
    """What BM25 gives a word of a text, but for its rarity."""
    return count * (_K1 + 1) / (count + _K1 * (1 - _B + _B * length / _AVERAGE))


def found_of(point: Any, score: float) -> Found:
    """What a search found, from a point with its payload."""
    payload = point.payload
    return Found(payload["id"], payload["path"], float(score), payload["metadata"], payload["product"],
                 payload["images"])  # fmt: skip


def dense(points: Sequence[Any], dim: int) -> np.ndarray:
    """(n, dim) unit vectors, float32, of points that were fetched with them."""
    return unit(np.array([point.vector[VECTOR] for point in points], np.float32).reshape(len(points), dim))
