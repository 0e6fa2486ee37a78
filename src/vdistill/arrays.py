"""Names for kinds of numpy arrays in annotations, and what numpy lacks where more would be too slow to import.

Docstrings give the shapes, and the precision where it matters.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]
Bools = NDArray[np.bool_]


def sigmoid(values: Floats) -> Floats:
    """1 / (1 + exp(−x)) of each, without overflow."""
    return np.asarray((1 + np.tanh(values / 2)) / 2)


def distinct(values: Ints) -> tuple[Ints, Ints]:
    """Where each different value (n,) stands first, in the order of the values; and for each (n,) which of them it is.

    As `numpy.unique` tells, which imports numpy.ma for it, and a `query` waits for its imports.
    """
    order = np.argsort(values, kind="stable")
    new = np.diff(values[order], prepend=values[order[:1]] - 1) != 0
    place = np.empty(len(values), np.int64)
    place[order] = np.cumsum(new) - 1
    return order[new], place
