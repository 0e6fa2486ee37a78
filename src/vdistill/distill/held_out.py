"""How backbone and student do on the held-out set, and whether the student is good enough to be published."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np

from vdistill.arrays import Floats
from vdistill.database import Database
from vdistill.distill.phases import Trained
from vdistill.distill.retention import MOST_LOST
from vdistill.distill.sources import Say, Sources
from vdistill.distill.towers import TowerMaker, embed
from vdistill.encoders.item_head import ItemHead, encoded
from vdistill.errors import VdistillError
from vdistill.evaluation.admissible import admissible, juries_of
from vdistill.evaluation.grading import evaluate, means
from vdistill.evaluation.metrics import interval, p_value
from vdistill.evaluation.test_set import HeldOutSet, from_judgments
from vdistill.inputs import near_duplicates
from vdistill.inputs.item_texts import texts_of
from vdistill.inputs.renamed import following
from vdistill.records import Judgment

MOST_IMAGES = 20_000  # that are decoded, and embedded by backbone and student: `bench`, which has an index, takes all


@dataclass(frozen=True)
class HeldOutMetrics:
    """The metrics of both models for each held-out query or title, as `evaluation.test_set.evaluate` gives them."""

    backbone: dict[str, Floats]
    student: dict[str, Floats]

    def means(self) -> dict[str, dict[str, float]]:
        """The mean of each metric, by model."""
        return {"backbone": means(self.backbone), "student": means(self.student)}

    def intervals(self) -> dict[str, dict[str, tuple[float, float]]]:
        """The 95 % interval of each metric of both models, and of their paired difference."""
        difference: dict[str, Floats] = {name: self.student[name] - self.backbone[name] for name in self.backbone}
        sides = {"backbone": self.backbone, "student": self.student, "student-backbone": difference}
        return {
            side: {name: (found.low, found.high) for name, of in values.items() if (found := interval(of)) is not None}
            for side, values in sides.items()
        }


def held_out_metrics(
    database: Database, sources: Sources, towers: TowerMaker, say: Say, head: ItemHead | None = None
) -> HeldOutMetrics | None:
    """Grade the trained encoder with its adapter and without it; None where nothing was judged for a held-out set.

    head: makes the student's vectors from those of its images and the items' texts.
    """
    held_out = held_out_set(database, sources, say)
    if held_out is None:
        return None
    encoder = towers.encoder
    tower = towers.tower(
        [sources.items.file_of(key) for key in held_out.items], [sources.hashes[key] for key in held_out.items]
    )
    queries, titles = encoder.encode_texts(held_out.queries), encoder.encode_texts(held_out.titles)

    def grades(head: ItemHead | None) -> dict[str, Floats]:
        vectors = embed(tower).cpu().numpy()
        if head is not None:
            items = sources.items.only(held_out.items).values()
            rows = [texts_of(item.metadata, head.fields) for item in items]
            vectors = head.vectors(vectors, encoded(rows, encoder.encode_texts, vectors.shape[1]))
        return evaluate(held_out, vectors, queries, titles)

    with encoder.model.disable_adapter():
        backbone = grades(None)
    return HeldOutMetrics(backbone, grades(head))


def held_out_set(database: Database, sources: Sources, say: Say) -> HeldOutSet | None:
    """What the judge with most held-out judgments says of the held-out images; None where nothing was judged."""
    there = [key for key in sources.sides.of("heldout") if key in sources.hashes]
    hashes = {key: sources.hashes[key] for key in there}
    admitted = admissible(
        following(database.judgments("heldout"), hashes), hashes, sources.registered, juries=juries_of(database)
    )
    chosen, judgments = _bounded(there, admitted.judgments)
    some = [*sources.items.only(chosen).values()]
    if len(some) < len(there):
        say(
            f"the student is measured on {len(some):,} of the {len(there):,} held-out images; "
            "`vdistill bench` takes all"
        )
    sketched = near_duplicates.sketches(some)
    for note in (*near_duplicates.notes(sources.sketched | sketched, sources.sides.split), *admitted.notes):
        say(note)
    try:
        return from_judgments(judgments, [item for item in some if item.id in sketched], sources.sides.products())
    except VdistillError as error:  # training needs no held-out set
        say(f"{error.message}: the student's figures stay unknown")
        return None


def _bounded(ids: Sequence[str], judgments: Sequence[Judgment]) -> tuple[list[str], list[Judgment]]:
    """About `MOST_IMAGES` of the held-out items at most, with the judgments about them.

    Queries are taken in the order of their hashes, each with all items that were judged for it, until those are too
    many; the remaining room goes to other items by their hashes, so that titles choose among as many. At least one
    query is taken, however much was judged for it.
    """
    if len(ids) <= MOST_IMAGES:
        return list(ids), list(judgments)
    known = {*ids}
    judged: dict[str, set[str]] = {}
    for one in judgments:
        judged.setdefault(one.query, set()).update(known.intersection(one.items))
    chosen: set[str] = set()
    asked: set[str] = set()
    for query in sorted(judged, key=_place):
        if asked and len(chosen | judged[query]) > MOST_IMAGES:
            break
        chosen |= judged[query]
        asked.add(query)
    others = sorted(known - chosen, key=_place)
    chosen.update(others[: max(MOST_IMAGES - len(chosen), 0)])
    return [key for key in ids if key in chosen], [one for one in judgments if one.query in asked]


def _place(name: str) -> bytes:
    return sha256(name.encode()).digest()


def objection(trained: Trained, metrics: HeldOutMetrics | None) -> str | None:
    """Why the student should not be published; None where nothing speaks against it.

    Without held-out metrics the validation queries decide.
    """
    if not trained.kept:
        return f"no epoch was as good as the backbone in validation, or all lost more than {MOST_LOST:g} of its titles"
    if metrics is not None:
        return _worse("held-out", metrics.backbone["ndcg@10"], metrics.student["ndcg@10"])
    return _worse("validation", np.array(trained.backbone), np.array(trained.student))


def _worse(which: str, backbone: Floats, student: Floats) -> str | None:
    """By the paired 95 % bootstrap interval of the difference, and by flipping its signs.

    The bootstrap alone is too sure of a handful of queries; with fewer than six the signs never are.
    """
    found, chance = interval(student - backbone), p_value(student - backbone)
    if found is None or found.high >= 0 or chance is None or chance > 0.05:
        return None
    return (
        f"on {which} queries the student is worse than its backbone: nDCG@10 {np.nanmean(student):.3f} against "
        f"{np.nanmean(backbone):.3f} (95 % interval of the difference {found.low:+.3f} to {found.high:+.3f})"
    )
