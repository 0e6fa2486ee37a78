"""Names for kinds of numpy arrays in annotations; docstrings give the shapes, and the precision where it matters."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]
Bools = NDArray[np.bool_]
