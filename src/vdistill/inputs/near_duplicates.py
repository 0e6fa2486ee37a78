"""Near-duplicates across the held-out split: counted where images are decoded anyway, and reported.

A sketch of an image is its thumbnail of 9 × 8 pixels. Near-duplicates are images whose thumbnails hardly differ: copies
that were scaled, compressed or retouched. They are found by their difference hashes (one bit for each pair of
neighbouring pixels: which one is brighter) in time that grows with the number of images, not with its square.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vdistill.errors import ImageError
from vdistill.images import load
from vdistill.records import Item, Split
from vdistill.sources.read_ahead import readers

WIDTH, HEIGHT = 9, 8
MEAN, MOST = 3.0, 48  # difference of two thumbnails, of 255: on average, and of any value
AT_ONCE = 32  # training images of one hash that a held-out image is compared with

Sketch = bytes


def sketch(image: Image.Image) -> Sketch:
    """The thumbnail of an RGB image."""
    return image.resize((WIDTH, HEIGHT), Image.Resampling.BOX).tobytes()


def sketches(items: Sequence[Item]) -> dict[str, Sketch]:
    """The thumbnails by id; an image that cannot be read is absent."""

    def of(item: Item) -> Sketch | None:
        try:
            return sketch(load(item.source, 64))
        except ImageError:
            return None

    with readers(item.file for item in items) as executor:
        found = zip(items, executor.map(of, items), strict=True)
        return {item.id: one for item, one in found if one is not None}


def across(found: Mapping[str, Sketch], sides: Mapping[str, Split]) -> dict[str, str]:
    """For each held-out image that looks like a training image, that training image."""
    train, held_out = ([key for key in found if sides.get(key) == side] for side in ("train", "heldout"))
    if not train or not held_out:
        return {}
    ours, theirs = _pixels(found, train), _pixels(found, held_out)
    like: dict[str, str] = {}
    for band, other in zip(_bands(ours), _bands(theirs), strict=True):
        order = np.argsort(band, kind="stable")
        starts = np.searchsorted(band[order], other)
        ends = np.minimum(np.searchsorted(band[order], other, side="right"), starts + AT_ONCE)
        for place in np.flatnonzero(ends > starts).tolist():
            if held_out[place] not in like:
                rows = order[starts[place] : ends[place]]
                difference = np.abs(ours[rows] - theirs[place])
                near = (difference.mean(axis=1) <= MEAN) & (difference.max(axis=1) <= MOST)
                if near.any():
                    like[held_out[place]] = train[int(rows[np.argmax(near)])]
    return like


def notes(found: Mapping[str, Sketch], sides: Mapping[str, Split]) -> Iterator[str]:
    """One line, if there are any."""
    like = across(found, sides)
    if like:
        first = min(like)
        yield (
            f"{len(like):,} held-out images look like training images, e.g. {first!r} like {like[first]!r}: where they "
            "show the same product, a metadata column `group`, the same for both, keeps them on one side"
        )


def _pixels(found: Mapping[str, Sketch], keys: Sequence[str]) -> NDArray[np.int16]:
    """(n, 216) values of the thumbnails."""
    flat = np.frombuffer(b"".join(found[key] for key in keys), np.uint8)
    return flat.reshape(len(keys), -1).astype(np.int16)


def _bands(pixels: NDArray[np.int16]) -> NDArray[np.uint16]:
    """(4, n) the difference hash in four parts: two hashes that differ in three bits share one of them."""
    grey = pixels.reshape(len(pixels), HEIGHT, WIDTH, 3).sum(axis=3)
    bits = (grey[:, :, 1:] > grey[:, :, :-1]).reshape(len(pixels), -1)
    return np.ascontiguousarray(np.packbits(bits, axis=1)).view(np.uint16).T
