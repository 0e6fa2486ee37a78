"""The output of frozen layers on disk: one safetensors file for each batch of images, read by memory map.

A folder belongs to one model, one cut and one version of the decoder; states are found by the hash of the image file.
All of it may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vdistill.encoders.frozen_layers import FrozenLayers
from vdistill.images import DECODER_VERSION
from vdistill.workspace import replacing, writing

FOLDER = "trunk"
GIB = 1024**3


class FeatureCache:
    """The states of images below one cut; `root` is the folder of all caches, `folder` this one's."""

    def __init__(self, root: Path, frozen: FrozenLayers) -> None:
        self.frozen = frozen
        self.folder = root / f"{frozen.key}-{DECODER_VERSION}"
        self._parts: list[Any] = []
        self._at: dict[str, tuple[int, int]] = {}
        self._seen: set[Path] = set()
        self.refresh()

    def refresh(self) -> None:
        """Open the files that another process has added."""
        for path in sorted(self.folder.glob("*.safetensors")):
            if path not in self._seen:
                self._open(path)

    def missing(self, sha256: Sequence[str]) -> list[int]:
        """Places of the images that are not in the cache yet."""
        return [place for place, key in enumerate(sha256) if key not in self._at]

    def make_room(self, count: int, limit: float) -> bool:
        """Whether `count` more images fit into `limit` bytes; the caches of other models are deleted if need be."""
        need = count * self.frozen.bytes_per_image
        if _size(self.folder) + need > limit:
            return False
        if _size(self.folder.parent) + need > limit:
            for other in self.folder.parent.iterdir():
                if other != self.folder:
                    shutil.rmtree(other, ignore_errors=True)
        return True

    def add(self, sha256: Sequence[str], states: Tensor) -> None:
        """Write (n, tokens, width) states. Raises VdistillError where the disk refuses."""
        path = self.folder / f"{uuid.uuid4().hex}.safetensors"
        with writing(path), replacing(path) as aside:
            facts = {"sha256": json.dumps(list(sha256))}
            save_file({"states": states.detach().cpu().contiguous()}, aside, metadata=facts)
        self._open(path)

    def read(self, sha256: Sequence[str]) -> Tensor:
        """(n, tokens, width) the states of images that are in the cache."""
        found = torch.empty(len(sha256), *self.frozen.shape, dtype=self.frozen.dtype)
        for row, key in enumerate(sha256):
            part, place = self._at[key]
            found[row] = self._parts[part][place]
        return found

    def _open(self, path: Path) -> None:
        self._seen.add(path)
        try:
            # Not closed: the file is mapped for as long as its slices are referenced.
            file = safe_open(path, "pt").__enter__()  # type: ignore[no-untyped-call]
            keys = json.loads(file.metadata()["sha256"])
            states = file.get_slice("states")
            if list(states.get_shape()) != [len(keys), *self.frozen.shape]:
                raise ValueError(states.get_shape())
        except (OSError, SafetensorError, ValueError, KeyError, TypeError):
            with contextlib.suppress(OSError):  # it is damaged: its states are computed again
                path.unlink()
            return
        self._at.update({key: (len(self._parts), place) for place, key in enumerate(keys)})
        self._parts.append(states)


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) if folder.is_dir() else 0
