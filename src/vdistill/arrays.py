"""Names for kinds of numpy arrays in annotations, and what numpy lacks where scipy is too slow to import.

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
