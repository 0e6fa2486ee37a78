"""What embeds images: the dual encoder itself, or the exported encoder that an index carries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from vdistill.bundle.image_encoder import ImageEncoder
from vdistill.bundle.manifest import Entry
from vdistill.errors import VdistillError
from vdistill.images import Preprocessing

Inputs = Mapping[str, np.ndarray]


class ImageModel(Protocol):
    """Gives the vectors of preprocessed images."""

    @property
    def preprocessing(self) -> Preprocessing:
        """What is done to an image first."""
        ...

    @property
    def precision(self) -> str:
        """The name of its number format: other precisions give slightly other vectors."""
        ...

    @property
    def dim(self) -> int:
        """Length of a vector."""
        ...

    @property
    def fingerprint(self) -> str:
        """Hash of all that an image's vector depends on."""
        ...

    @property
    def text_fingerprint(self) -> str:
        """Hash of all that a text's vector depends on."""
        ...

    @property
    def on_cpu(self) -> bool:
        """Whether it computes on the CPU, which decodes the images too."""
        ...

    def encode_images(self, inputs: Inputs) -> np.ndarray:
        """Unit vectors (n, dim), float32, of one preprocessed batch."""
        ...


@dataclass(frozen=True)
class ExportedModel:
    """The exported encoder of an index as an `ImageModel`: starts without torch, but embeds at half the rate."""

    _encoder: ImageEncoder
    dim: int
    fingerprint: str
    text_fingerprint: str
    precision: str = "exported"
    on_cpu: bool = True

    @classmethod
    def open(cls, folder: Path, entry: Entry) -> ExportedModel | None:
        """The encoder of an entry; None where there is none, or a file of its encoders is damaged."""
        if not entry.image_encoder:
            return None
        try:
            paths = [file.check(folder, full=True) for file in (*entry.image_encoder, *entry.text_encoder)]
            encoder = ImageEncoder.open(paths[0].parent)
        except VdistillError:
            return None
        return cls(encoder, entry.dim, entry.model_fingerprint, entry.text_fingerprint)

    @property
    def preprocessing(self) -> Preprocessing:
        """That of the model it was exported from."""
        return self._encoder.preprocessing

    def encode_images(self, inputs: Inputs) -> np.ndarray:
        """Unit vectors (n, dim), float32, of one preprocessed batch."""
        return self._encoder.encode_arrays(inputs)
