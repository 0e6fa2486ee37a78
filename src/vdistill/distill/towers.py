"""Where the vectors of training pictures come from: the whole image tower, or the part above a cached trunk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from vdistill.arrays import Ints
from vdistill.distill.augment import Crops, moved
from vdistill.distill.distributed import ALONE, Processes
from vdistill.distill.training_images import TrainingImages
from vdistill.encoders.dual_encoder import DualEncoder
from vdistill.encoders.feature_cache import FeatureCache

BATCH = 64
_PART = 512  # pictures in a file of the cache


class Tower(Protocol):
    """Gives the vectors of numbered pictures as the model is now."""

    @property
    def crops(self) -> bool:
        """Whether crops change anything."""
        ...

    def __len__(self) -> int: ...

    def features(self, numbers: Ints, crops: Crops | None = None) -> Tensor:
        """(n, dim) unit vectors that carry gradients; each picture moved by its crop where there are some."""
        ...


class WholeTower:
    """From pixels."""

    crops = True

    def __init__(self, encoder: DualEncoder, images: TrainingImages) -> None:
        self._encoder = encoder
        self._images = images

    def __len__(self) -> int:
        return len(self._images)

    def features(self, numbers: Ints, crops: Crops | None = None) -> Tensor:
        """As in `Tower`."""
        inputs = self._encoder.to_tensors(self._images.batch(numbers.tolist()))
        return self._encoder.image_features(**(moved(inputs, crops) if crops else inputs))


class UpperTower:
    """From the states that the trunk gave once. There are no pixels, so crops change nothing."""

    crops = False

    def __init__(self, encoder: DualEncoder, cache: FeatureCache, sha256: Sequence[str]) -> None:
        self._encoder = encoder
        self._cache = cache
        self._sha256 = sha256

    def __len__(self) -> int:
        return len(self._sha256)

    def features(self, numbers: Ints, crops: Crops | None = None) -> Tensor:
        """As in `Tower`."""
        states = self._cache.read([self._sha256[number] for number in numbers])
        return self._cache.layers.features(states.to(self._encoder.device))


class PartTower:
    """Some of the pictures of another tower, by their numbers (n,) there."""

    def __init__(self, whole: Tower, numbers: Ints) -> None:
        self.crops = whole.crops
        self._whole = whole
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def features(self, numbers: Ints, crops: Crops | None = None) -> Tensor:
        """As in `Tower`."""
        return self._whole.features(self._numbers[numbers], crops)


def tower_of(
    encoder: DualEncoder,
    paths: Sequence[Path],
    sha256: Sequence[str],
    cache: FeatureCache | None,
    limit: float,
    processes: Processes = ALONE,
) -> Tower:
    """The tower over these images: on the cache where there is one and it has room, else from pixels.

    The first process of the crew fills the cache and decides for all: two that fill it would see each other's files and
    could think differently of the room that is left.
    """
    training_images = TrainingImages(paths, encoder.preprocessing)
    if cache is None:
        return WholeTower(encoder, training_images)
    fits = processes.leads and filled(
        cache, sha256, limit, lambda places: encoder.to_tensors(training_images.batch(places))
    )
    (agreed,) = processes.agreed([float(fits)])
    if not agreed:
        return WholeTower(encoder, training_images)
    if not processes.leads:
        cache.refresh()
    return UpperTower(encoder, cache, sha256)


def filled(
    cache: FeatureCache, sha256: Sequence[str], limit: float, inputs: Callable[[list[int]], dict[str, Tensor]]
) -> bool:
    """Bring into the cache what it lacks of these pictures; False where `limit` bytes are too few."""
    missing = cache.missing(sha256)
    if not cache.make_room(len(missing), limit):
        return False
    for start in range(0, len(missing), _PART):
        part = missing[start : start + _PART]
        states = [cache.layers.states(inputs(part[at : at + BATCH])).cpu() for at in range(0, len(part), BATCH)]
        cache.add([sha256[place] for place in part], torch.cat(states))
    return True


def embed(tower: Tower) -> Tensor:
    """(n, dim) unit vectors of all its pictures."""
    with torch.inference_mode():
        parts = [
            tower.features(np.arange(start, min(start + BATCH, len(tower)))) for start in range(0, len(tower), BATCH)
        ]
    return torch.cat(parts)  # outside inference mode, so that it can be written to
