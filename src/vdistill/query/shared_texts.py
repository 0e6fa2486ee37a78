"""Texts to vectors for many callers: what waits together is encoded together, and the last vectors are remembered."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vdistill.bundle.store import Store
from vdistill.bundle.text_encoder import TextEncoder

KEPT = 4096  # vectors: 8 MiB of 512 numbers
THREADS = 2  # of a batch: a single text is ready sooner, at a quarter more work in all
TOGETHER = 8  # texts: twice as fast as one by one, since the weights are read once, and hardly slower than 16
_SIZES = (2, 3, TOGETHER)  # of the batches that are tried
_SHORT = ["red mug", "blue lamp", "green chair", "old clock", "warm hat", "soft toy", "big plant", "new pot"]


@dataclass(eq=False, slots=True)
class _Wish:
    """A text that waits for its vector.  length: in tokens."""

    text: str
    length: int
    vector: np.ndarray | None = None
    error: BaseException | None = None

    @property
    def done(self) -> bool:
        return self.vector is not None or self.error is not None


class CachedTexts:
    """A text encoder for many threads, that remembers its last vectors.

    Texts of as many tokens that wait at the same time share a batch, if that leaves each vector as it is alone, to
    the last bit: then a search finds what `vdistill query` finds. It is tried when the encoder is opened.
    """

    def __init__(self, encoder: TextEncoder) -> None:
        self._encoder = encoder
        self._known: OrderedDict[str, np.ndarray] = OrderedDict()
        self._waiting: list[_Wish] = []
        self._changed = threading.Condition()
        self._running, self._most = 0, max(1, (os.cpu_count() or 1) // THREADS)
        self._together = TOGETHER if _same_together(encoder) else 1

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors (n, dim), float32, one per text."""
        with self._changed:
            found = {text: self._known[text] for text in texts if text in self._known}
            for text in found:
                self._known.move_to_end(text)
        wishes = {text: _Wish(text, self._encoder.length(text)) for text in dict.fromkeys(texts) if text not in found}
        if wishes:
            self._fulfil([*wishes.values()])
        return np.stack([found[text] if text in found else _vector(wishes[text]) for text in texts])

    def truncated(self, texts: Sequence[str]) -> int:
        """How many tokens of these texts are cut."""
        return self._encoder.truncated(texts)

    def token_counts(self, texts: Sequence[str]) -> list[int]:
        """How many tokens the model reads of each text."""
        return self._encoder.token_counts(texts)

    def _fulfil(self, wishes: Sequence[_Wish]) -> None:
        """Wait for the vectors of these; whoever waits encodes what is waiting, his own or another's."""
        with self._changed:
            self._waiting += wishes
            while not all(wish.done for wish in wishes):
                if not self._waiting or self._running >= self._most:
                    self._changed.wait()
                    continue
                part = self._take()
                self._running += 1
                self._changed.release()
                try:
                    self._encode(part)
                finally:
                    self._changed.acquire()
                    self._running -= 1
                    self._remember(part)
                    self._changed.notify_all()

    def _take(self) -> list[_Wish]:
        """The text that has waited longest, and others of its length."""
        length = self._waiting[0].length
        part = [wish for wish in self._waiting if wish.length == length][: self._together]
        self._waiting = [wish for wish in self._waiting if wish not in part]
        return part

    def _encode(self, part: Sequence[_Wish]) -> None:
        try:
            vectors = self._encoder.encode([wish.text for wish in part])
        except BaseException as error:
            for wish in part:
                wish.error = error
            return
        for wish, vector in zip(part, vectors, strict=True):
            vector.setflags(write=False)
            wish.vector = vector

    def _remember(self, part: Sequence[_Wish]) -> None:
        for wish in part:
            if wish.vector is not None:
                self._known[wish.text] = wish.vector.copy()  # not a view of the whole batch
        while len(self._known) > KEPT:
            self._known.popitem(last=False)


class TextEncoders:
    """The open text encoders by the content of their files: models share one, and so do indexes that follow."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, ...], CachedTexts] = {}

    def of(self, store: Store) -> CachedTexts:
        """The encoder of an open index. Raises VdistillError where it is damaged."""
        content = _content(store)
        if content not in self._open:
            folder = store.encoder_folder(store.entry.text_encoder)
            self._open[content] = CachedTexts(TextEncoder.open(folder, threads=min(THREADS, os.cpu_count() or 1)))
        return self._open[content]

    def keep(self, stores: Sequence[Store]) -> None:
        """Forget the encoders of other indexes."""
        needed = {_content(store) for store in stores}
        self._open = {content: encoder for content, encoder in self._open.items() if content in needed}


def _content(store: Store) -> tuple[str, ...]:
    return tuple(file.sha256 for file in store.entry.text_encoder)


def _vector(wish: _Wish) -> np.ndarray:
    if wish.error is not None:
        raise wish.error
    assert wish.vector is not None
    return wish.vector


def _same_together(encoder: TextEncoder) -> bool:
    """Whether texts have the same vectors in a batch as alone, to the last bit."""
    for start in ("", "a gift for somebody who likes a "):
        texts = [start + text for text in _SHORT]
        length = encoder.length(texts[0])
        alike = [text for text in texts if encoder.length(text) == length]
        alone = np.concatenate([encoder.encode([text]) for text in alike])
        for size in _SIZES:
            if not np.array_equal(encoder.encode(alike[:size]), alone[:size]):
                return False
    return True
