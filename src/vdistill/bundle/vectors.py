"""Vectors as they are stored and compared: of length 1."""

from __future__ import annotations

import numpy as np


def unit(vectors: np.ndarray) -> np.ndarray:
    """The rows of (n, dim) scaled to length 1, float32."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def usable(vectors: np.ndarray) -> np.ndarray:
    """Which rows of (n, dim) are finite and not zero: USearch accepts the others too, and may rank them first."""
    return np.asarray(np.isfinite(vectors).all(axis=1) & (np.abs(vectors).max(axis=1) > 0))
