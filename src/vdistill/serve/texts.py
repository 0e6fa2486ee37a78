"""Texts to vectors for many callers: one encoder for all models and indexes that share it, and the last vectors."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vdistill.bundle.store import Store
from vdistill.bundle.text_encoder import TextEncoder

KEPT = 4096  # vectors: 8 MiB of 512 numbers


class CachedTexts:
    """A text encoder that remembers its last vectors. May be shared between threads.

    Texts are encoded one by one, each in one thread: together in a batch they would have vectors that differ in the
    last digits from those that `vdistill query` gets, and two threads for one text help little where others wait.
    """

    def __init__(self, encoder: TextEncoder) -> None:
        self._encoder = encoder
        self._lock = threading.Lock()
        self._known: OrderedDict[str, np.ndarray] = OrderedDict()

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors (n, dim), float32, one per text."""
        return np.stack([self._one(text) for text in texts])

    def truncated(self, texts: Sequence[str]) -> int:
        """How many tokens of these texts are cut."""
        return self._encoder.truncated(texts)

    def token_counts(self, texts: Sequence[str]) -> list[int]:
        """How many tokens the model reads of each text."""
        return self._encoder.token_counts(texts)

    def _one(self, text: str) -> np.ndarray:
        with self._lock:
            known = self._known.get(text)
            if known is not None:
                self._known.move_to_end(text)
                return known
        found = np.asarray(self._encoder.encode([text])[0])
        found.setflags(write=False)
        with self._lock:
            self._known[text] = found
            if len(self._known) > KEPT:
                self._known.popitem(last=False)
        return found


class TextEncoders:
    """The open text encoders by the content of their files: models share one, and so do indexes that follow."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, ...], CachedTexts] = {}

    def of(self, store: Store) -> CachedTexts:
        """The encoder of an open index. Raises VdistillError where it is damaged."""
        content = _content(store)
        if content not in self._open:
            folder: Path = store.encoder_folder(store.entry.text_encoder)
            self._open[content] = CachedTexts(TextEncoder.open(folder, threads=1))
        return self._open[content]

    def keep(self, stores: Sequence[Store]) -> None:
        """Forget the encoders of other indexes."""
        needed = {_content(store) for store in stores}
        self._open = {content: encoder for content, encoder in self._open.items() if content in needed}


def _content(store: Store) -> tuple[str, ...]:
    return tuple(file.sha256 for file in store.entry.text_encoder)
