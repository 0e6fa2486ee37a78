"""Which texts of the metadata go into an item's vector, and how: chosen by validation, then fitted to all judgments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor

from vdistill.arrays import Floats
from vdistill.distill.exam import Exam, Grades
from vdistill.distill.head_training import HeadJob, HeadSettings, trained_heads
from vdistill.distill.item_field_texts import ItemTexts
from vdistill.distill.settings import DistillSettings
from vdistill.distill.sources import Say
from vdistill.distill.towers import embed
from vdistill.distill.training_data import TrainingData
from vdistill.encoders.dual_encoder import DualEncoder
from vdistill.encoders.item_head import ItemHead
from vdistill.encoders.text_vectors import Encode
from vdistill.inputs import item_texts
from vdistill.inputs.items_by_id import ItemsById
from vdistill.records import Judgment, title_column

HEADS = 2  # that are trained at the end
STRENGTHS = (1.0, 0.75, 0.5, 0.25, 0.1)  # of the image; never 0, because of items without text

How = Literal["image alone", "weights", "head"]
Way = tuple[How, HeadSettings]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to make an item's vector, and how it ranks the validation items.

    ndcg, nats: the mean nDCG@10 and cross-entropy over all training queries.  difference, error: how many nats fewer
    than those of the candidate chosen before it, and the standard error of that.  lost: of the probability that the
    backbone gives titles' own images.
    """

    fields: str
    how: How
    ndcg: float
    nats: float
    difference: float = 0.0
    error: float = 0.0
    lost: float | None = None


@dataclass(frozen=True, slots=True)
class Chosen:
    """head: None for the image alone.  candidates: the simplest first."""

    head: ItemHead | None = None
    how: How = "image alone"
    candidates: tuple[Candidate, ...] = ()

    @property
    def fields(self) -> str:
        """As `--fields` takes them."""
        return ",".join((item_texts.IMAGE, *(self.head.fields if self.head else ())))

    def to_json(self) -> dict[str, Any]:
        """What `student.json` and `distill --json` say."""
        weights = dict(zip(self.head.fields, map(float, self.head.weights), strict=True)) if self.head else {}
        return {
            "fields": self.fields,
            "how": self.how,
            "weights": weights,
            "strength": self.head.strength if self.head else 1.0,
            "candidates": [asdict(one) for one in self.candidates],
        }


@dataclass(frozen=True)
class Material:
    """What the choice is made from.

    items: the catalog, by id.  encode: texts that train to unit vectors (n, dim).  unseen: (n, dim) the vectors of the
    images of all judgments from before the refit, when the tower had not seen those of validation; None where there was
    no refit.  retention: the weight it arrived at.
    """

    data: TrainingData
    items: ItemsById
    encoder: DualEncoder
    encode: Encode
    settings: DistillSettings
    unseen: Tensor | None
    judgments: Sequence[Judgment]
    retention: float
    say: Say = field(default=lambda _: None)


def choose(material: Material) -> Chosen:
    """Choose the fields as `settings.fields` asks, and fit their head to all judgments.

    Candidates are tried in turn, the simplest first; `Grades.better_than` says when one takes the place of another.
    """
    rows = [item.metadata for item in material.items.only(material.data.final.calls.items).values()]
    asked = item_texts.parse(material.settings.fields)
    fields = item_texts.automatic(rows) if asked is None else asked
    if not fields:
        return Chosen()
    lost = material.unseen is None and material.data.everything is not None  # what the tower made of unseen images
    exam = None if lost else material.data.exam()
    automatic = asked is None
    if exam is None:
        reason = "what validates fields is gone from the cache" if lost else "too few judgments to validate fields"
        then = "is that of its image alone" if automatic else "holds the given ones by plain weights"
        material.say(f"{reason}: an item's vector {then}")
        if automatic:
            return Chosen()
    for remark in (*item_texts.kinds(fields, rows), *_cut(material, fields)):
        material.say(remark)
    texts = _texts(material, fields)
    if exam is None:
        found = Chosen(_fitted(material, texts, HeadSettings(fields, hidden=0)), "weights")
    else:
        found = _validated(material, exam, texts, list(_ways(fields, rows, automatic=automatic)), automatic)
    material.say(_told(found))
    return found


def _ways(fields: tuple[str, ...], rows: Sequence[Mapping[str, Any]], *, automatic: bool) -> Iterator[Way]:
    """The candidates beside the image alone, the simplest first."""
    yield "weights", HeadSettings(fields, hidden=0)
    titles = tuple(name for name in fields if name in {title_column(row) for row in rows})
    if automatic and titles and titles != fields:
        yield "head", HeadSettings(titles)
    yield "head", HeadSettings(fields)


def _validated(material: Material, exam: Exam, texts: ItemTexts, ways: Sequence[Way], automatic: bool) -> Chosen:
    """The choice among `ways`, and the image alone if `automatic`, fitted to all judgments."""
    part, items = material.data, exam.items
    known, images = _images(material, part.calls.items), _images(material, items)
    first = exam.graded(images, material.settings.temperature)
    candidates = [Candidate(item_texts.IMAGE, "image alone", first.mean, float(first.nats.mean()), lost=first.lost)]
    best, chosen = (first if automatic else None), None
    seed = material.settings.seed
    jobs = [HeadJob(texts.known(part, known, wanted.fields, material.retention), wanted, seed) for _, wanted in ways]
    for (how, wanted), head in zip(ways, trained_heads(jobs, material.settings), strict=True):
        strength, found = _strongest(exam, head, images, texts.of(items, wanted.fields), material.settings.temperature)
        against = first if best is None else best
        fields = ",".join((item_texts.IMAGE, *wanted.fields))
        nats = float(found.nats.mean())
        candidates.append(Candidate(fields, how, found.mean, nats, *found.difference(against), found.lost))
        if best is None or found.better_than(best):
            best, chosen = found, (how, wanted, strength)
    if chosen is None:
        return Chosen(candidates=tuple(candidates))
    how, wanted, strength = chosen
    return Chosen(replace(_fitted(material, texts, wanted), strength=strength), how, tuple(candidates))


def _strongest(exam: Exam, head: ItemHead, images: Tensor, texts: Floats, temperature: float) -> tuple[float, Grades]:
    """The strength of the image whose items agree best with the teacher on unseen images, and their grades.

    Those that the head was trained on are better known to the tower than others.
    """
    graded = {}
    for strength in STRENGTHS:
        vectors = replace(head, strength=strength).vectors(images.cpu().numpy(), texts)
        graded[strength] = exam.graded(torch.from_numpy(vectors).to(images.device), temperature)
    return min(graded.items(), key=lambda one: one[1].nats.mean())


def _fitted(material: Material, texts: ItemTexts, wanted: HeadSettings) -> ItemHead:
    """A head trained on all judgments, with the vectors of the finished tower.

    It is the mean of several, which differ in their seeds: each alone varies by chance.
    """
    final, settings = material.data.final, material.settings
    known = texts.known(final, embed(final.tower), wanted.fields, material.retention)
    seeds = [settings.seed + number * 100_003 for number in range(HEADS if wanted.hidden else 1)]
    return ItemHead.mean(trained_heads([HeadJob(known, wanted, seed) for seed in seeds], settings))


def _images(material: Material, items: Sequence[str]) -> Tensor:
    """(n, dim) vectors of images by a tower that did not see those of validation."""
    data = material.data
    if material.unseen is not None:
        place = {key: number for number, key in enumerate(data.final.calls.items)}
        return material.unseen[torch.tensor([place[key] for key in items], device=material.unseen.device)]
    assert data.validation is not None
    return embed(data.tower if items is data.calls.items else data.validation.tower)


def _texts(material: Material, fields: tuple[str, ...]) -> ItemTexts:
    """Those of all items that anything is trained on or validated with."""
    keys = material.data.final.calls.items
    tested = material.data.validation.test_set.items if material.data.validation else ()
    return ItemTexts(material.items.only((*keys, *tested)), fields, material.encoder, material.encode)


def _cut(material: Material, fields: Sequence[str]) -> Iterator[str]:
    """A remark where texts of the catalog are longer than the text tower reads."""
    encoder, limit = material.encoder, material.encoder.max_text_length
    texts = (text for item in material.items.values() for text in item_texts.texts_of(item.metadata, fields))
    long = [*{text for text in texts if len(text.encode()) > limit - 2}]  # a token is at least one byte
    cut = sum(len(tokens) > limit for tokens in encoder.tokenizer(long, verbose=False).input_ids) if long else 0
    if cut:
        yield f"{cut:,} texts of the fields are cut: the text tower reads {limit} tokens"


def _told(chosen: Chosen) -> str:
    how = {"image alone": "", "weights": ", by weights", "head": ", by an item head"}[chosen.how]
    figures = "; ".join(f"{one.fields} ({one.how}) {one.ndcg:.3f}, {one.nats:.3f}" for one in chosen.candidates)
    return f"an item's vector is made of {chosen.fields}{how}" + (
        f"; validation nDCG@10 and nats: {figures}" if figures else ""
    )
