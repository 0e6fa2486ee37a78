"""Where the vectors of training images come from: the whole image tower, or its last layers on cached states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from vdistill.arrays import Ints
from vdistill.distill.augment import Crops, cropped
from vdistill.distill.distributed import ALONE, Processes
from vdistill.distill.shared_cache import fill
from vdistill.encoders.dual_encoder import DualEncoder
from vdistill.encoders.feature_cache import GIB, FeatureCache
from vdistill.images import Preprocessing, load
from vdistill.sources import source_at
from vdistill.sources.read_ahead import readers

BATCH = 64  # images encoded at once without gradients
_KEEP_BYTES = 2 * GIB  # of preprocessed images in memory


class TrainingImages:
    """Preprocessed images by number, decoded on threads; those that fit into 2 GiB are decoded only once."""

    def __init__(self, files: Sequence[Path | str], prepare: Preprocessing) -> None:
        self._files = files
        self._prepare = prepare
        self._left = _KEEP_BYTES
        self._kept: dict[int, dict[str, np.ndarray]] = {}

    def __len__(self) -> int:
        return len(self._files)

    def batch(self, numbers: Sequence[int]) -> dict[str, np.ndarray]:
        """The model inputs of these images. Raises ImageError for one that cannot be read."""
        kept = {number: self._kept[number] for number in numbers if number in self._kept}
        if missing := [number for number in numbers if number not in kept]:
            with readers(self._files[number] for number in missing) as executor:
                kept |= zip(missing, executor.map(self._decoded, missing), strict=True)
        return self._prepare.stack([kept[number] for number in numbers])

    def _decoded(self, number: int) -> dict[str, np.ndarray]:
        arrays = self._prepare.compact(load(source_at(self._files[number]), self._prepare.target))
        size = sum(array.nbytes for array in arrays.values())
        if size <= self._left:
            self._left -= size
            self._kept[number] = arrays
        return arrays


class Tower(Protocol):
    """Gives the vectors of numbered images under the model's present weights."""

    @property
    def crops(self) -> bool:
        """Whether crops have an effect."""
        ...

    def __len__(self) -> int: ...

    def features(self, numbers: Ints, crops: Crops | None = None) -> Tensor:
        """(n, dim) unit vectors that carry gradients; each image is moved by its crop where crops are given."""
        ...


@dataclass(frozen=True)
class WholeTower:
    """The whole image tower, on pixels."""

    encoder: DualEncoder
    images: TrainingImages
    crops = True

    def __len__(self) -> int:
        return len(self.images)

    def features(self, numbers: Ints, crops: Crops | None = None) -> Tensor:
        """Vectors from the image files; see `Tower.features`."""
        inputs = self.encoder.to_tensors(self.images.batch(numbers.tolist()))
        return self.encoder.image_features(**(cropped(inputs, crops) if crops else inputs))


@dataclass(frozen=True)
class UpperTower:
    """The layers that train, on the cached output of the frozen ones: no pixels, so crops have no effect."""

    encoder: DualEncoder
    cache: FeatureCache
    sha256: Sequence[str]
    crops = False

    def __len__(self) -> int:
        return len(self.sha256)

    def features(self, numbers: Ints, crops: Crops | None = None) -> Tensor:
        """Vectors from the cached states; see `Tower.features`."""
        states = self.cache.read([self.sha256[number] for number in numbers])
        return self.cache.frozen.features(states.to(self.encoder.device))


@dataclass(frozen=True)
class PartTower:
    """Some of the images of another tower, given by their numbers (n,) there."""

    whole: Tower
    numbers: Ints

    @property
    def crops(self) -> bool:
        """As of the other tower."""
        return self.whole.crops

    def __len__(self) -> int:
        return len(self.numbers)

    def features(self, numbers: Ints, crops: Crops | None = None) -> Tensor:
        """Vectors from the other tower; see `Tower.features`."""
        return self.whole.features(self.numbers[numbers], crops)


@dataclass(frozen=True)
class TowerMaker:
    """Makes towers: on cached states where the frozen layers have a cache and `limit` bytes suffice, else on pixels."""

    encoder: DualEncoder
    cache: FeatureCache | None
    limit: float

    def tower(self, files: Sequence[Path | str], sha256: Sequence[str], processes: Processes = ALONE) -> Tower:
        """The tower over these image files, given with their hashes; all `processes` must ask for it.

        Each fills the cache with a share.
        """
        images = TrainingImages(files, self.encoder.preprocessing)
        if self.cache is None:
            return WholeTower(self.encoder, images)
        frozen = self.cache.frozen

        def compute(places: Sequence[int]) -> Tensor:
            batches = (images.batch(places[at : at + BATCH]) for at in range(0, len(places), BATCH))
            return torch.cat([frozen.states(self.encoder.to_tensors(batch)).cpu() for batch in batches])

        if not fill(self.cache, compute, sha256, self.limit, processes):
            return WholeTower(self.encoder, images)
        return UpperTower(self.encoder, self.cache, sha256)


def embed(tower: Tower, processes: Processes = ALONE) -> Tensor:
    """(n, dim) unit vectors of all its images; of several processes, which all ask for it, each makes a share."""
    numbers, mine = np.arange(len(tower)), processes.share(len(tower))
    own = numbers[mine] if mine.start < mine.stop else numbers[:1]  # for its width
    with torch.inference_mode():
        parts = [tower.features(own[start : start + BATCH]) for start in range(0, len(own), BATCH)]
    found = torch.cat(parts)  # outside inference mode, so that it can be written to
    return processes.gathered(found[: mine.stop - mine.start], len(numbers))
