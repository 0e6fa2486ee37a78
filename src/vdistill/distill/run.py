"""`distill`: from the judgments in the workspace to a student in it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vdistill import catalog as catalogs
from vdistill.catalog import Catalog
from vdistill.database import Database
from vdistill.distill import calls as lessons
from vdistill.distill import card
from vdistill.distill.adapter import attach
from vdistill.distill.checkpoint import Checkpoint, training_key
from vdistill.distill.pictures import Pictures
from vdistill.distill.settings import DistillSettings
from vdistill.distill.train import Lesson, Progress, train
from vdistill.encoder import DualEncoder
from vdistill.errors import ImageError, VdistillError
from vdistill.heldout import HeldOut, evaluate_mean, from_judgments
from vdistill.heldout_judgments import admissible
from vdistill.images import file_sha256, load
from vdistill.pretrained import quiet_peft, quiet_transformers
from vdistill.records import Item, Judgment
from vdistill.splits import split_of
from vdistill.student import SCHEMA_VERSION, adapter_file
from vdistill.workspace import Workspace, replacing_folder, write_file, writing

BATCH = 64


@dataclass(frozen=True, slots=True)
class DistillReport:
    """What came out. The fields are the keys of `distill --json`."""

    backbone: str
    trainable_parameters: int
    steps: int
    seconds: float
    heldout: dict[str, dict[str, float]]
    adapter: str

    def to_json(self) -> dict[str, Any]:
        """The Contract's document."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Where:
    """The backbone and the machine to train it on."""

    backbone: str
    device: str = "auto"
    precision: str = "auto"


def distill(
    workspace: Workspace,
    where: Where,
    settings: DistillSettings,
    *,
    fresh: bool,
    say: Callable[[str], None],
    advance: Callable[[Progress], None],
) -> DistillReport:
    """Train a student and publish it whole; the one before stays until then.

    With `fresh`, an interrupted training is not taken up again.
    Raises VdistillError where there is nothing to learn from, or nothing to learn with.
    """
    started = time.monotonic()
    with workspace.lock("distill"), Database.open(workspace.database) as database:
        holdout, catalog = _catalog(database)
        judgments = _usable(database.judgments("train"), catalog, holdout, say)
        calls = lessons.read(judgments)
        encoder = DualEncoder.load(where.backbone, device=where.device, precision=where.precision)
        fingerprint = encoder.fingerprint
        exam = _exam(database, catalog, holdout, encoder, say)
        lesson = _lesson(encoder, calls, {item.id: item for item in catalog.items})
        before = exam.grade(encoder) if exam else None
        trainable = attach(encoder, settings)
        checkpoint = Checkpoint(
            workspace.cache / "checkpoint.safetensors",
            training_key(asdict(settings), fingerprint, encoder.precision, [asdict(one) for one in judgments]),
        )
        if fresh:
            checkpoint.remove()
        steps = train(encoder, lesson, settings, checkpoint, advance)
        after = exam.grade(encoder) if exam else None
        heldout = {"backbone": before, "student": after} if before and after else {}
        facts = {
            "schema_version": SCHEMA_VERSION,
            "backbone": _portable(where.backbone),
            "backbone_fingerprint": fingerprint,
            "holdout": holdout,
            "seed": settings.seed,
            "settings": asdict(settings),
            "judgments": len(judgments),
            "teachers": sorted({judgment.teacher for judgment in judgments}),
            "heldout": heldout,
        }
        _publish(workspace, encoder, facts)
        checkpoint.remove()
        database.remember("backbone", where.backbone)
    seconds = round(time.monotonic() - started, 3)
    return DistillReport(where.backbone, trainable, steps, seconds, heldout, str(workspace.student))


def _catalog(database: Database) -> tuple[float, Catalog]:
    root = database.setting("catalog")
    if root is None or not database.judgment_count():
        raise VdistillError(
            "there are no judgments yet", hint="run `vdistill label CATALOG` first: the student learns from them"
        )
    return float(database.setting("holdout") or 0.0), catalogs.scan(Path(root))


def _usable(
    judgments: Sequence[Judgment], catalog: Catalog, holdout: float, say: Callable[[str], None]
) -> list[Judgment]:
    """The judgments on training items that are still the pictures they were."""
    paths = {item.id: item.path for item in catalog.items}
    hashes: dict[str, str | None] = {}
    for judgment in judgments:
        for item in judgment.items:
            if item not in hashes:
                hashes[item] = file_sha256(paths[item]) if item in paths else None
    broken = {item for item, known in hashes.items() if known is not None and not _decodes(paths[item])}
    kept = [
        judgment
        for judgment in judgments
        if all(hashes[item] == known for item, known in zip(judgment.items, judgment.sha256, strict=True))
        and not broken.intersection(judgment.items)
        and all(split_of("item", item, holdout) == "train" for item in judgment.items)
    ]
    if len(kept) < len(judgments):
        say(f"{len(judgments) - len(kept)} judgments are left out: their pictures are gone, changed or broken")
    if not kept:
        raise VdistillError(
            "no judgment can be used for training",
            hint="run `vdistill label CATALOG` on the catalog as it is now, with some training queries",
        )
    return kept


def _decodes(path: Path) -> bool:
    try:
        load(path, 64)
    except ImageError:
        return False
    return True


def _lesson(encoder: DualEncoder, calls: lessons.Calls, items: dict[str, Item]) -> Lesson:
    pictures = Pictures([items[key].path for key in calls.items], encoder.preprocessing)
    titles = [items[key].title for key in calls.items]
    return Lesson(
        calls=calls,
        pictures=pictures,
        texts=_tensor(encoder, encoder.encode_texts(calls.queries)),
        before=_tensor(encoder, embed(encoder, pictures)),
        titles=_tensor(encoder, encoder.encode_texts([str(title) for title in titles])) if all(titles) else None,
    )


def embed(encoder: DualEncoder, pictures: Pictures) -> np.ndarray:
    """(n, dim) unit vectors of the pictures."""
    parts = [
        encoder.encode_images(pictures.batch(range(start, min(start + BATCH, len(pictures)))))
        for start in range(0, len(pictures), BATCH)
    ]
    return np.concatenate(parts)


def _tensor(encoder: DualEncoder, vectors: np.ndarray) -> Tensor:
    return torch.from_numpy(vectors).to(encoder.device)


@dataclass(frozen=True)
class Exam:
    """The held-out pictures and what they are judged by. Texts are encoded once: their tower never changes."""

    heldout: HeldOut
    pictures: Pictures
    queries: np.ndarray
    titles: np.ndarray

    def grade(self, encoder: DualEncoder) -> dict[str, float]:
        """The held-out metrics of the encoder as it is now."""
        return evaluate_mean(self.heldout, embed(encoder, self.pictures), self.queries, self.titles)


def _exam(
    database: Database, catalog: Catalog, holdout: float, encoder: DualEncoder, say: Callable[[str], None]
) -> Exam | None:
    items = [item for item in catalog.items if split_of("item", item.id, holdout) == "heldout" and _decodes(item.path)]
    judgments, left_out = admissible(database.judgments("heldout"), {item.id: file_sha256(item.path) for item in items})
    for note in left_out:
        say(note)
    try:
        heldout = from_judgments(judgments, items)
    except VdistillError as error:  # training needs no exam
        say(f"{error.message}: the student's figures stay unknown")
        return None
    return Exam(
        heldout,
        Pictures([item.path for item in items], encoder.preprocessing),
        encoder.encode_texts(heldout.queries),
        encoder.encode_texts(heldout.titles),
    )


def _publish(workspace: Workspace, encoder: DualEncoder, facts: dict[str, Any]) -> None:
    """Write the adapter folder aside and put it in place of the old one."""
    import json

    with replacing_folder(workspace.student) as folder, writing(workspace.student):
        with quiet_peft(), quiet_transformers():
            encoder.model.save_pretrained(folder, safe_serialization=True)
        facts["adapter_sha256"] = file_sha256(adapter_file(folder))
        write_file(folder / "student.json", json.dumps(facts, indent=2) + "\n")
        write_file(folder / "README.md", card.render(facts))


def _portable(backbone: str) -> str:
    """A folder is remembered by its full path, a hub id as it is."""
    return str(Path(backbone).resolve()) if Path(backbone).is_dir() else backbone
