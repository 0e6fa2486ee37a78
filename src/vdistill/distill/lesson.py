"""What the first process makes of the judgments in its workspace, for those that have other workspaces, or empty ones.

Everything that a step depends on is sent, not made again: fits and vectors of another machine differ in their last
digits. Of the images only names and hashes are sent; each process reads its own copy.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vdistill.arrays import Ints
from vdistill.distill.choices import Calls
from vdistill.distill.distributed import Processes
from vdistill.distill.reader import Reader
from vdistill.distill.retention import Titles
from vdistill.distill.sources import Say
from vdistill.distill.towers import PartTower, Tower, TowerMaker, embed
from vdistill.distill.training_data import TrainingData
from vdistill.distill.validation import Validation
from vdistill.distill.wordings import Wordings
from vdistill.errors import VdistillError
from vdistill.evaluation.by_product import NO_PRODUCTS, ByProduct
from vdistill.evaluation.test_set import HeldOutSet
from vdistill.inputs import catalog as catalogs
from vdistill.inputs.hashes import Hashes
from vdistill.inputs.items_by_id import ItemsById

_NAMES = ("queries", "items")  # of `Calls`; the others are arrays


@dataclass(frozen=True, slots=True)
class Images:
    """The training images: their ids, and the hashes of their files."""

    ids: Sequence[str]
    sha256: Sequence[str]

    def to_json(self) -> str:
        """As they are sent."""
        return json.dumps([list(self.ids), list(self.sha256)])


def send(data: TrainingData, processes: Processes) -> None:
    """From the first process, once the tower is there: all of `data` but the images."""
    if processes.size == 1:
        return
    sent, checked = data.final, data.validation
    facts = {
        "calls": _names(sent.calls),
        "part": _names(data.calls) if data.everything else None,
        "scale": sent.titles.scale,
        "nats": sent.reader and sent.reader.nats,
        "validation": checked and {
            "items": checked.test_set.items, "trains": checked.trains, "backbone": checked.backbone,
            "known": checked.known,
        },
    }  # fmt: skip
    tensors = {
        **_tensors("calls", sent.calls),
        **(_tensors("part", data.calls) if data.everything else {}),
        "wordings": sent.wordings.vectors,
        "wordings/first": torch.from_numpy(sent.wordings.first),
        "wordings/count": torch.from_numpy(sent.wordings.count),
        "titles": sent.titles.texts,
        "titles/row": sent.titles.row,
        **{f"reader/{name}": of.reader.vectors for name, of in (("all", sent), ("part", data)) if of.reader},
    }
    processes.told(json.dumps(facts))
    processes.given(tensors)


def received(images: Images, tower: Tower, before: Tensor, processes: Processes) -> TrainingData:
    """What `send` sends, with this process's own tower over the images; before: their vectors by the backbone."""
    facts, found = json.loads(processes.told()), processes.given()
    where, said = before.device, facts["validation"]
    calls = _calls("calls", facts["calls"], found)
    rows = _places(images.ids, calls.items)
    known = before[torch.from_numpy(rows).to(where)]
    wordings = Wordings(found["wordings"].to(where), found["wordings/first"].numpy(), found["wordings/count"].numpy())
    titles = Titles(found["titles"].to(where), found["titles/row"].to(where), known, facts["scale"])
    data = TrainingData(
        calls, PartTower(tower, rows), wordings, known, titles, reader=_reader("all", facts, found, where)
    )
    if said is None:
        return data
    validation = _validation(said, PartTower(tower, _places(images.ids, said["items"])), facts["scale"])
    if facts["part"] is None:
        return replace(data, validation=validation)
    part = data.part(_calls("part", facts["part"], found), validation)
    return replace(part, everything=data, reader=_reader("part", facts, found, where))


def own_images(root: str, images: Images, cache: Path, say: Say) -> list[Path | str]:
    """The files of a copy of the catalog. Raises VdistillError where it is not a copy."""
    table = catalogs.scan(root).items
    items = ItemsById(table, (key for key in images.ids if table.has(key)))
    with Hashes.open(cache) as kept:
        hashes = kept.of(items.values(), say)
    other = [key for key, sha256 in zip(images.ids, images.sha256, strict=True) if hashes.get(key) != sha256]
    if other:
        what = "is not there" if other[0] not in items else "is another file"
        raise VdistillError(
            f"{len(other):,} of the {len(images.ids):,} training images are missing or different in {root} on "
            f"{socket.gethostname()}, e.g. {other[0]!r}, which {what}",
            hint="copy the catalog of the first process there, or name the copy with --node-catalog DIR",
        )
    return [items.file_of(key) for key in images.ids]


def learned(towers: TowerMaker, files: Sequence[Path | str], images: Images, processes: Processes) -> TrainingData:
    """The training data of a process that does not lead."""
    tower = towers.tower(files, images.sha256, processes)
    return received(images, tower, embed(tower, processes), processes)


def _reader(name: str, facts: Mapping[str, Any], found: Mapping[str, Tensor], where: torch.device) -> Reader | None:
    vectors = found.get(f"reader/{name}")
    return None if vectors is None else Reader(vectors.to(where), facts["nats"])


def _validation(said: Mapping[str, Any], tower: Tower, scale: float) -> Validation:
    """Of a process that embeds its share of the images, but never scores: so without judgments and titles."""
    ids = tuple(said["items"])
    test_set = HeldOutSet("teacher", "", ids, ByProduct.of(ids, NO_PRODUCTS), (), (), ())
    nothing = np.zeros((0, 0), np.float32)
    return Validation(test_set, tower, nothing, nothing, scale, said["trains"], said["backbone"], said["known"])


def _places(of: Sequence[str], wanted: Sequence[str]) -> Ints:
    place = {name: number for number, name in enumerate(of)}
    return np.array([place[name] for name in wanted], np.int64)


def _names(calls: Calls) -> dict[str, Any]:
    return {name: getattr(calls, name) for name in _NAMES}


def _tensors(prefix: str, calls: Calls) -> dict[str, Tensor]:
    return {f"{prefix}/{name}": torch.from_numpy(np.ascontiguousarray(getattr(calls, name))) for name in _arrays()}


def _arrays() -> list[str]:
    return [one.name for one in fields(Calls) if one.name not in _NAMES]


def _calls(prefix: str, names: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Calls:
    found: dict[str, Any] = {name: tuple(of) for name, of in names.items()}
    found |= {name: tensors[f"{prefix}/{name}"].numpy() for name in _arrays()}
    return Calls(**found)
