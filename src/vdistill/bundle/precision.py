"""How vectors are stored, and how many of them are compared with a query at once."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from vdistill.arrays import Floats

# bf16 has no type in numpy: its 16 bits are the upper half of a float32.
STORED: dict[str, np.dtype[Any]] = {
    "bf16": np.dtype("<u2"),
    "f16": np.dtype("<f2"),
    "f32": np.dtype("<f4"),
    "i8": np.dtype("i1"),
}
_I8 = 127  # what USearch multiplies a unit vector by
_Name = Literal["bf16", "float16", "int8"]
_NAMES: dict[str, _Name] = {"bf16": "bf16", "f16": "float16", "i8": "int8"}  # as NumKong has it


def stored(vectors: np.ndarray, dtype: str) -> np.ndarray:
    """Float32 vectors, rounded to the nearest that `dtype` can hold."""
    if dtype == "bf16":
        bits = np.ascontiguousarray(vectors, "<f4").view("<u4")
        rounded: np.ndarray = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
        return rounded.astype("<u2")
    if dtype == "i8":
        return np.asarray(np.rint(vectors * _I8).astype("i1"))
    return np.ascontiguousarray(vectors, STORED[dtype])


def restored(vectors: np.ndarray, dtype: str) -> np.ndarray:
    """Stored vectors as float32."""
    if dtype == "bf16":
        return (vectors.astype("<u4") << 16).view("<f4")
    return vectors.astype(np.float32)


def similarities(query: np.ndarray, vectors: np.ndarray, dtype: str) -> Floats:
    """(n,) inner products of a stored query (1, dim) with stored vectors (n, dim)."""
    if dtype == "f32":  # NumKong sums these in float64, at a third of the speed
        whole: Floats = vectors @ query[0]
        return whole
    import numkong

    found: Floats = np.asarray(numkong.cdist(query, vectors, "dot", dtype=_NAMES[dtype]))[0]
    return found / _I8**2 if dtype == "i8" else found
