"""The image encoder that an index carries, as one that embeds pictures: without torch, for a few of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vdistill.bundle.image_encoder import ImageEncoder
from vdistill.bundle.manifest import Entry
from vdistill.errors import VdistillError
from vdistill.images import Preprocessing


@dataclass(frozen=True)
class Exported:
    """The encoder of an entry; an `ImageModel`."""

    _images: ImageEncoder
    dim: int
    fingerprint: str
    text_fingerprint: str
    precision: str = "exported"
    on_cpu: bool = True

    @classmethod
    def of(cls, folder: Path, entry: Entry) -> Exported | None:
        """None where the entry has none, or it is damaged."""
        try:
            paths = [file.check(folder, full=True) for file in (*entry.image_encoder, *entry.text_encoder)]
            if not entry.image_encoder:
                return None
            images = ImageEncoder.open(paths[0].parent)
        except VdistillError:
            return None
        return cls(images, entry.dim, entry.model_fingerprint, entry.text_fingerprint)

    @property
    def preprocessing(self) -> Preprocessing:
        """As the model was trained with."""
        return self._images.preprocessing

    def encode_images(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Unit vectors (n, dim), float32, of one preprocessed batch."""
        return self._images.encode_arrays(dict(inputs))
