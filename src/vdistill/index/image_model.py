"""What embeds images: the dual encoder itself, or what an index exported of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from vdistill.images import Preprocessing

Inputs = Mapping[str, np.ndarray]


class ImageModel(Protocol):
    """Gives the vectors of preprocessed images."""

    @property
    def preprocessing(self) -> Preprocessing:
        """What is done to an image before it."""
        ...

    @property
    def precision(self) -> str:
        """Names its way of computing."""
        ...

    @property
    def dim(self) -> int:
        """Length of a vector."""
        ...

    @property
    def fingerprint(self) -> str:
        """Hash of all that a vector depends on."""
        ...

    @property
    def text_fingerprint(self) -> str:
        """The same of a text's vector."""
        ...

    @property
    def on_cpu(self) -> bool:
        """Whether it shares its cores with what prepares its inputs."""
        ...

    def encode_images(self, inputs: Inputs) -> np.ndarray:
        """Unit vectors (n, dim), float32, of one preprocessed batch."""
        ...
