"""The item head: the vector of an item from those of its image and of its texts, in the same space. Without torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from vdistill.arrays import Floats
from vdistill.errors import VdistillError

FILE = "item_head.safetensors"
SCHEMA_VERSION = 1
_INNER = ("inner.weight", "inner.bias")
_BLOCK = 4096  # items at once


@dataclass(frozen=True)
class ItemHead:
    """Item = s · image + Σ weight · text + MLP(s · image, texts), scaled to length 1; a part that is missing is zero.

    fields: the columns of the metadata (f).  weights: (f,) float32.  strength: s, of the image.
    layers: of the MLP (one hidden layer, ReLU): `inner.weight` (h, (1 + f) · dim), `inner.bias` (h,), `outer.weight`
    (dim, h), `outer.bias` (dim,); empty where the weights alone make the vector.
    """

    fields: tuple[str, ...]
    weights: Floats
    layers: Mapping[str, Floats]
    strength: float = 1.0

    @classmethod
    def mean(cls, heads: Sequence[ItemHead]) -> ItemHead:
        """One head for several of the same fields and strength: its vectors, before they are scaled, are their mean."""
        count, first = len(heads), heads[0]
        layers = {}
        if first.layers:
            layers = {name: np.concatenate([head.layers[name] for head in heads]) for name in _INNER}
            outer = [head.layers["outer.weight"] / count for head in heads]
            layers["outer.weight"] = np.concatenate(outer, axis=1)
            layers["outer.bias"] = np.mean([head.layers["outer.bias"] for head in heads], axis=0)
        return cls(first.fields, np.mean([head.weights for head in heads], axis=0), layers, first.strength)

    def vectors(self, images: Floats, texts: Floats) -> Floats:
        """Unit vectors (n, dim), float32, of images (n, dim) and texts (n, f, dim), each of length 1 or all zero."""
        parts = [
            self._vectors(images[at : at + _BLOCK], texts[at : at + _BLOCK]) for at in range(0, len(images), _BLOCK)
        ]
        return np.concatenate(parts) if parts else np.zeros_like(images, np.float32)

    def _vectors(self, images: Floats, texts: Floats) -> Floats:
        images = np.float32(self.strength) * images
        mixed = images + np.einsum("f,nfd->nd", self.weights, texts)
        if self.layers:
            parts = np.concatenate([images[:, None], texts], axis=1).reshape(len(images), -1)
            hidden = np.maximum(parts @ self.layers["inner.weight"].T + self.layers["inner.bias"], 0)
            mixed = mixed + hidden @ self.layers["outer.weight"].T + self.layers["outer.bias"]
        length = np.linalg.norm(mixed, axis=1, keepdims=True)
        return np.asarray(mixed / np.maximum(length, 1e-12), np.float32)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of all that a vector depends on."""
        digest = hashlib.sha256(json.dumps(self.fields).encode())
        for name, values in sorted(self.tensors().items()):
            digest.update(name.encode() + np.ascontiguousarray(values, "<f4").tobytes())
        return digest.hexdigest()

    def tensors(self) -> dict[str, Floats]:
        """What is stored."""
        return {"weights": self.weights, "strength": np.array([self.strength], np.float32), **self.layers}

    def save(self, path: Path) -> None:
        """Write the file. Raises OSError or SafetensorError where the disk refuses."""
        from safetensors.numpy import save_file

        tensors = {name: np.ascontiguousarray(values, np.float32) for name, values in self.tensors().items()}
        save_file(tensors, path, {"version": str(SCHEMA_VERSION), "fields": json.dumps(self.fields)})

    @classmethod
    def load(cls, path: Path, hint: str) -> ItemHead:
        """Read the file. Raises VdistillError with `hint` for a damaged one."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "numpy") as file:
                facts: dict[str, Any] = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            fields = tuple(json.loads(facts["fields"]))
            weights, strength = tensors.pop("weights"), float(tensors.pop("strength")[0])
            return cls(fields, weights, tensors, strength)
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise VdistillError(f"the student is damaged: cannot read {path} ({error})", hint=hint) from error


def encoded(rows: Sequence[Sequence[str]], encode: Callable[[Sequence[str]], Floats], dim: int) -> Floats:
    """(n, f, dim) of the texts of n items; each distinct text is encoded once."""
    texts = list(dict.fromkeys(text for row in rows for text in row if text))
    return text_vectors(rows, dict(zip(texts, encode(texts), strict=True)) if texts else {}, dim)


def text_vectors(rows: Sequence[Sequence[str]], vectors: Mapping[str, Floats], dim: int) -> Floats:
    """(n, f, dim) of the texts of n items, zero where a text is empty. vectors: of each other text."""
    fields = len(rows[0]) if rows else 0
    found = np.zeros((len(rows), fields, dim), np.float32)
    for row, texts in enumerate(rows):
        for place, text in enumerate(texts):
            if text:
                found[row, place] = vectors[text]
    return found
