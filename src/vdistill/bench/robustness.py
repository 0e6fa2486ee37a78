"""What is left of a student when queries are worded otherwise, or pictures are small and squeezed."""

from __future__ import annotations

import io
import random
import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from vdistill.evaluation import metrics
from vdistill.evaluation.metrics import Floats, Interval
from vdistill.evaluation.test_set import HeldOutSet, evaluate
from vdistill.images import load, quiet
from vdistill.inputs.words import STOP_WORDS

if TYPE_CHECKING:
    from vdistill.query.search import Searcher

METRIC = "ndcg@10"
MOST_IMAGES = 2000  # more held-out pictures would take minutes to embed again
_BATCH = 64


@dataclass(frozen=True, slots=True)
class Change:
    """One change, and what it does to the nDCG@10 of a model: the paired difference and its 95 % interval."""

    change: str
    model: str
    before: float
    after: float
    difference: float
    ci95: Interval | None

    def to_json(self) -> dict[str, Any]:
        """An entry of `robustness` in `bench --json`."""
        return asdict(self)


def robustness(
    held_out: HeldOutSet, searchers: Mapping[str, Searcher], values: Mapping[str, Mapping[str, Floats]], seed: int = 0
) -> list[Change]:
    """Every change, for each model.

    values: of the unchanged queries and pictures, by model and metric. Raises VdistillError for a picture that cannot
    be read any more.
    """
    found = []
    for model, searcher in searchers.items():
        images, texts = searcher.vectors(held_out.items), searcher.encode(held_out.queries)
        for name, reword in WORDINGS.items():
            after = _graded(held_out, images, searcher.encode([reword(query) for query in held_out.queries]))
            found.append(_change(name, model, values[model][METRIC], after, seed))
        if len(held_out.items) <= MOST_IMAGES and searcher.manifest.image_encoder:
            for name, corrupt in CORRUPTED.items():
                after = _graded(held_out, _embedded(searcher, held_out.items, corrupt), texts)
                found.append(_change(name, model, values[model][METRIC], after, seed))
    return found


def plain(query: str) -> str:
    """Small letters, no punctuation."""
    return " ".join(re.findall(r"\w+", query.lower()))


def keywords(query: str) -> str:
    """Without the little words."""
    return " ".join(word for word in plain(query).split() if word not in STOP_WORDS) or query


def chatty(query: str) -> str:
    """As one would ask a person."""
    return f"Hi, I am looking for the following, could you help me? {query}"


def mistyped(query: str) -> str:
    """Two letters of the longest word exchanged."""
    word = max(query.split(), key=len, default=query)
    if len(word) < 4:
        return query
    place = random.Random(query).randrange(1, len(word) - 2)
    return query.replace(word, word[:place] + word[place + 1] + word[place] + word[place + 2 :], 1)


def compressed(image: Image.Image) -> Image.Image:
    """A JPEG of quality 20."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=20)
    return Image.open(file).convert("RGB")


def small(image: Image.Image) -> Image.Image:
    """A thumbnail: its longer side 96 pixels."""
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
    untitled = replace(held_out, titles=(), titled=())
    return evaluate(untitled, images, texts, texts[:0])[METRIC]


def _change(name: str, model: str, before: Floats, after: Floats, seed: int) -> Change:
    difference = after - before
    return Change(
        name, model, metrics.mean(before), metrics.mean(after), metrics.mean(difference),
        metrics.interval(difference, seed),
    )  # fmt: skip


def _embedded(searcher: Searcher, ids: tuple[str, ...], corrupt: Callable[[Image.Image], Image.Image]) -> np.ndarray:
    images = searcher.image_encoder
    prepare = images.preprocessing

    def one(path: Path) -> dict[str, np.ndarray]:
        return prepare(corrupt(load(path)))

    def batches() -> Iterator[np.ndarray]:
        with quiet(), ThreadPoolExecutor() as executor:
            for start in range(0, len(ids), _BATCH):
                paths = [searcher.catalog_root / key for key in ids[start : start + _BATCH]]
                yield images.encode_images(prepare.stack(list(executor.map(one, paths))))

    return np.concatenate(list(batches()))
