"""How much of a student's quality is left when queries are reworded, or images small and compressed."""

from __future__ import annotations

import io
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from vdistill.arrays import Floats
from vdistill.bench.graded import Values
from vdistill.bench.parts import with_texts
from vdistill.encoders.item_head import ItemHead
from vdistill.evaluation import metrics
from vdistill.evaluation.grading import evaluate
from vdistill.evaluation.metrics import Interval
from vdistill.evaluation.test_set import HeldOutSet
from vdistill.images import load, quiet
from vdistill.inputs.words import STOP_WORDS
from vdistill.query.search import Searcher
from vdistill.sources import source_at

METRIC = "ndcg@10"
MOST_IMAGES = 2000  # more held-out images would take minutes to embed again
_BATCH = 64


@dataclass(frozen=True, slots=True)
class Perturbed:
    """One change of all queries or images, and what it does to the nDCG@10 of a model.

    An entry of `robustness` in `bench --json`: the paired difference and its 95 % interval.
    """

    change: str
    model: str
    before: float
    after: float
    difference: float
    ci95: Interval | None


def robustness(
    held_out: HeldOutSet,
    searchers: Mapping[str, Searcher],
    values: Mapping[str, Values],
    seed: int = 0,
    head: ItemHead | None = None,
) -> list[Perturbed]:
    """Every change, for each model.

    values: of the unchanged queries and images, by model.  head: of a student whose vectors
    hold texts too. Raises VdistillError for an image that can no longer be read.
    """
    found = []
    for model, searcher in searchers.items():
        images, texts = searcher.vectors(held_out.items), searcher.encode(held_out.queries)
        changed = {
            name: (images, searcher.encode([reword(query) for query in held_out.queries]))
            for name, reword in WORDINGS.items()
        }
        if len(held_out.items) <= MOST_IMAGES and searcher.manifest.image_encoder:
            for name, corrupt in CORRUPTED.items():
                corrupted = _embedded(searcher, held_out.items, corrupt)
                if head is not None and model == "student":
                    corrupted = with_texts(searcher, head, held_out.items, corrupted)
                changed[name] = (corrupted, texts)
        before = values[model][METRIC]
        for name, vectors in changed.items():
            after = _graded(held_out, *vectors)
            difference = after - before
            found.append(
                Perturbed(name, model, metrics.mean(before), metrics.mean(after), metrics.mean(difference),
                          metrics.interval(difference, seed))
            )  # fmt: skip
    return found


def plain(query: str) -> str:
    """Lower case, no punctuation."""
    return " ".join(re.findall(r"\w+", query.lower()))


def keywords(query: str) -> str:
    """Without stop words."""
    return " ".join(word for word in plain(query).split() if word not in STOP_WORDS) or query


def chatty(query: str) -> str:
    """As one would ask a person."""
    return f"Hi, I am looking for the following, could you help me? {query}"


def mistyped(query: str) -> str:
    """Two letters of the longest word swapped."""
    word = max(query.split(), key=len, default=query)
    if len(word) < 4:
        return query
    at = random.Random(query).randrange(1, len(word) - 2)
    return query.replace(word, word[:at] + word[at + 1] + word[at] + word[at + 2 :], 1)


def compressed(image: Image.Image) -> Image.Image:
    """A JPEG of quality 20."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=20)
    return Image.open(file).convert("RGB")


def small(image: Image.Image) -> Image.Image:
    """A thumbnail whose longer side has 96 pixels."""
    copy = image.copy()
    copy.thumbnail((96, 96))
    return copy


WORDINGS: dict[str, Callable[[str], str]] = {
    "small letters, no punctuation": plain,
    "keywords alone": keywords,
    "a chatty wording": chatty,
    "a typing mistake": mistyped,
}
CORRUPTED: dict[str, Callable[[Image.Image], Image.Image]] = {
    "JPEG of quality 20": compressed,
    "thumbnails of 96 px": small,
}


def _graded(held_out: HeldOutSet, images: np.ndarray, texts: np.ndarray) -> Floats:
    untitled = replace(held_out, titles=(), with_title=())
    return evaluate(untitled, images, texts, texts[:0])[METRIC]


def _embedded(searcher: Searcher, ids: Sequence[str], corrupt: Callable[[Image.Image], Image.Image]) -> np.ndarray:
    prepare = searcher.image_encoder.preprocessing

    def one(file: str) -> dict[str, np.ndarray]:
        return prepare(corrupt(load(source_at(file))))

    def batches() -> Iterator[np.ndarray]:
        with quiet(), ThreadPoolExecutor() as executor:
            for start in range(0, len(ids), _BATCH):
                files = searcher.files(ids[start : start + _BATCH])
                yield searcher.image_encoder.encode_images(prepare.stack(list(executor.map(one, files))))

    return np.concatenate(list(batches()))
