"""The cache of the frozen layers filled by all processes of a training, each of which computes a share.

Processes on one machine share a folder; those on other machines have folders of their own, and are sent what the others
computed: a step may need any image, and to send its states takes far less time than to compute them.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from vdistill.distill.distributed import Processes
from vdistill.encoders.feature_cache import FeatureCache
from vdistill.workspace import writing

_FILE = 512  # images of a process in one go, and in one file where it writes them itself


def fill(
    cache: FeatureCache,
    compute: Callable[[Sequence[int]], Tensor],
    sha256: Sequence[str],
    limit: float,
    processes: Processes,
) -> bool:
    """Add the images that any process's folder lacks; False where `limit` bytes are too few for some folder.

    compute: gives the states (n, tokens, width) of images by their places.
    """
    keepers = _keepers(cache.folder, processes)
    keeps, lacking = processes.rank in keepers, cache.missing(sha256)
    room = not keeps or cache.make_room(len(lacking), limit)
    if not all(processes.exchanged(torch.tensor([room]), processes.size).tolist()):
        return False
    mask = torch.zeros(1, len(sha256), dtype=torch.bool)
    mask[0, lacking] = True
    needed = processes.exchanged(mask, processes.size).any(dim=0).nonzero().flatten().tolist()
    here = set(lacking)
    for start in range(0, len(needed), _FILE * processes.size):
        part = needed[start : start + _FILE * processes.size]
        mine = part[processes.share(len(part))]
        states = _states(cache, mine, sha256, here, compute)
        if len(keepers) == 1:
            _add(cache, mine, sha256, states)
            continue
        all_states = processes.exchanged(states, len(part))
        if keeps:
            rows = [row for row, place in enumerate(part) if place in here]
            _add(cache, [part[row] for row in rows], sha256, all_states[rows])
    processes.wait()
    cache.refresh()
    return True


def _states(
    cache: FeatureCache,
    places: Sequence[int],
    sha256: Sequence[str],
    lacking: set[int],
    compute: Callable[[Sequence[int]], Tensor],
) -> Tensor:
    """The states of images, of which only those are computed that the folder lacks."""
    found = torch.empty(len(places), *cache.frozen.shape, dtype=cache.frozen.dtype)
    new = [row for row, place in enumerate(places) if place in lacking]
    known = [row for row, place in enumerate(places) if place not in lacking]
    if new:
        found[new] = compute([places[row] for row in new])
    if known:
        found[known] = cache.read([sha256[places[row]] for row in known])
    return found


def _add(cache: FeatureCache, places: Sequence[int], sha256: Sequence[str], states: Tensor) -> None:
    if places:
        cache.add([sha256[place] for place in places], states)


def _keepers(folder: Path, processes: Processes) -> set[int]:
    """Of the processes that see the same folder one each, which writes there for the others."""
    if processes.size == 1:
        return {0}
    mark = folder / f".{uuid.uuid4().hex}.mark"
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        mark.touch()
    seen = [(folder / name).exists() for name in processes.texts(mark.name)]
    keepers = processes.texts(str(seen.index(True)))  # after which all have looked
    mark.unlink(missing_ok=True)
    return set(map(int, keepers))
