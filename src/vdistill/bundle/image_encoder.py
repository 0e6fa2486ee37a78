"""The exported image encoder, for queries that are images: ONNX Runtime and Pillow, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vdistill.bundle.manifest import REMEDY
from vdistill.bundle.pack import Place
from vdistill.bundle.text_encoder import open_session
from vdistill.bundle.vectors import unit
from vdistill.errors import ImageError, VdistillError
from vdistill.images import Preprocessing, load, quiet

if TYPE_CHECKING:
    from PIL.Image import Image

MODEL, SETTINGS = "model.onnx", "preprocessing.json"


class ImageEncoder:
    """Images to unit vectors. May be shared between threads."""

    on_cpu = True

    def __init__(self, preprocessing: Preprocessing, session: Any) -> None:
        self.preprocessing = preprocessing
        self._session = session

    @classmethod
    def open(cls, folder: Place) -> ImageEncoder:
        """Open an exported encoder. Raises VdistillError where it is damaged."""
        try:
            preprocessing = Preprocessing.from_json((folder / SETTINGS).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise VdistillError(f"the image encoder is damaged: {error}", hint=REMEDY) from error
        return cls(preprocessing, open_session(folder / MODEL))

    def encode(self, path: Path) -> np.ndarray:
        """The unit vector (dim,), float32, of an image file. Raises VdistillError where it cannot be read."""
        try:
            with quiet():
                image = load(path, self.preprocessing.target)
        except ImageError as error:
            raise VdistillError(f"cannot search by {path}: {error.message}", hint="give an image file") from error
        return self.encode_loaded(image)

    def encode_loaded(self, image: Image) -> np.ndarray:
        """The unit vector (dim,), float32, of a decoded image, upright and RGB, as `vdistill.images.load` gives it."""
        return np.asarray(self.encode_images(self.preprocessing.stack([self.preprocessing(image)]))[0])

    def encode_images(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Unit vectors (n, dim), float32, of one preprocessed batch, compact or not (`Preprocessing.compact`)."""
        if "pixels" in inputs:
            factor, shift = self.preprocessing.normalization
            pixels = inputs["pixels"].astype(np.float32) * factor + shift
            inputs = {"pixel_values": np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))}
        return unit(self._session.run(None, inputs)[0])
