"""Queries to vectors, by the encoders in an index: texts, images, and mixtures of both, without torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from vdistill.bundle.manifest import Entry, FileFacts
from vdistill.bundle.pack import Place
from vdistill.errors import VdistillError
from vdistill.inputs.lines import well_formed
from vdistill.query.terms import Term

if TYPE_CHECKING:
    from vdistill.bundle.early import EarlySessions
    from vdistill.bundle.image_encoder import ImageEncoder


BLOCK = 256  # texts that an encoder which keeps them apart is given at once


class Texts(Protocol):
    """Who encodes texts, such as `vdistill.bundle.text_encoder.TextEncoder`."""

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors (n, dim), float32, one per text."""

    def truncated(self, texts: Sequence[str]) -> int:
        """How many tokens of these texts are cut."""


class QueryEncoder:
    """The encoders of an index, opened when first used: they need its manifest and their own files alone.

    sample: returns vectors (n, dim) of items spread over the whole catalog; called for mixtures.
    texts: encodes texts instead of the index's own encoder, each as if it were alone.
    """

    def __init__(
        self,
        folder: Place,
        entry: Entry,
        sample: Callable[[], np.ndarray],
        early: EarlySessions | None = None,
        texts: Texts | None = None,
    ) -> None:
        self._folder, self._entry, self._early = folder, entry, early
        self._take_sample, self._texts = sample, texts

    def vector(self, terms: Sequence[Term]) -> np.ndarray:
        """The unit vector (dim,), float32, of a query. Raises VdistillError for an empty one.

        In a mixture the scores of each term are scaled to the same spread over the catalog before they are weighted:
        images are much closer to an image than to any text, so it would outweigh the text.
        """
        if not terms or not all(str(term.what).strip() for term in terms):  # of a vector numpy's text, never empty
            raise VdistillError("the query is empty", hint="say what you look for")
        parts = np.stack([self._vector(term.what) for term in terms])
        weights = np.array([term.weight for term in terms])
        if len(terms) > 1:
            weights = weights / np.maximum((self._sample @ parts.T).std(axis=0), 1e-6)
        elif weights[0] > 0:
            return np.asarray(parts[0])
        mixed = weights @ parts
        length = float(np.linalg.norm(mixed))
        if length <= 1e-6 * float(np.abs(weights).sum()):
            raise VdistillError("the parts of the query cancel out", hint="leave one of them out")
        return np.asarray(mixed / length, np.float32)

    def _vector(self, what: str | Path | np.ndarray) -> np.ndarray:
        if isinstance(what, np.ndarray):
            return what
        return self.encode_image(what) if isinstance(what, Path) else self.encode([what])[0]

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors (n, dim), float32, of texts, each encoded by itself: its vector depends on no other text."""
        if not texts:
            return np.zeros((0, self._entry.dim), np.float32)
        block = 1 if self._texts is None else BLOCK
        parts = [texts[at : at + block] for at in range(0, len(texts), block)]
        return np.concatenate([self._text_encoder.encode([well_formed(text) for text in part]) for part in parts])

    def truncated(self, texts: Sequence[str]) -> int:
        """How many tokens of these texts are cut, because the model reads no more."""
        return self._text_encoder.truncated([well_formed(text) for text in texts])

    def encode_image(self, path: Path) -> np.ndarray:
        """The unit vector (dim,), float32, of an image file. Raises VdistillError where it cannot be read."""
        return self.image_encoder.encode(path)

    @cached_property
    def image_encoder(self) -> ImageEncoder:
        """The exported image encoder. Raises VdistillError for a backbone that has none."""
        from vdistill.bundle.image_encoder import ImageEncoder

        if not self._entry.image_encoder:
            raise VdistillError(
                "this backbone cannot be queried with an image: its image tower takes images of any shape",
                hint="search by text, or index with a backbone of a fixed image size",
            )
        return ImageEncoder.open(self._checked(self._entry.image_encoder))

    @cached_property
    def _text_encoder(self) -> Texts:
        if self._texts is not None:
            return self._texts
        from vdistill.bundle.text_encoder import TextEncoder

        return TextEncoder.open(self._checked(self._entry.text_encoder), self._early.take if self._early else None)

    @cached_property
    def _sample(self) -> np.ndarray:
        return self._take_sample()

    def _checked(self, files: Sequence[FileFacts]) -> Place:
        """The folder of these files. Raises VdistillError where one of them is damaged."""
        paths = [file.check(self._folder) for file in files]
        return paths[0].parent
