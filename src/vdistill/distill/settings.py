"""How a student is trained: all that decides the outcome, in one frozen value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

HEAD = 0.25  # of a ranking: the order of poor matches is mostly noise


@dataclass(frozen=True, slots=True)
class DistillSettings:
    """How to train.

    train_layers: blocks of the image tower to adapt, counted from the last; None for all, 0 for the projection alone.
    alpha: LoRA's scale, None for twice the rank.  dropout: of the adapter's inputs, in [0, 1).
    dora, rslora: weight-decomposed (arXiv 2402.09353) and rank-stabilised (arXiv 2312.03732) adapters.
    head: the weight of each choice of a ranking relative to the one above it, in (0, 1].
    accumulate: steps whose gradients make one update of the weights.
    lr: the peak of the learning rate; "auto" to choose it by short trainings (`learning_rate.py`).
    temperature: cosines are divided by it before they are compared with the teacher's preferences.
    reader: weight of what a reader of the items' texts teaches the image tower (`reader.py`); 0 for none.
    retention: weight of the term that retains what the backbone knew; None to choose it while training.
    validation: share of the training queries and of the training items that only validate, in [0, 1).
    patience: epochs in a row whose weights are not worth keeping (clearly worse than the best epoch or the backbone on
        the validation queries, or having lost too much) after which training stops; 0 to never stop early.
    fields: what an item's vector is made of: `auto`, or `image` and columns of the metadata, separated by commas.
    refit: epochs after that on all judgments, those set aside too, as a share of those before; 0 for none.
    seeds: how many trainings, with this seed and those that follow it; the best in validation is published.
    """

    loss: Literal["bradley-terry", "listwise"] = "listwise"
    rank: int = 32
    alpha: float | None = None
    dropout: float = 0.0
    dora: bool = False
    rslora: bool = False
    train_layers: int | None = None
    head: float = HEAD
    epochs: int = 30
    batch_images: int = 128
    accumulate: int = 1
    lr: float | Literal["auto"] = "auto"
    temperature: float = 0.08
    reader: float = 2.0
    retention: float | None = None
    validation: float = 0.1
    patience: int = 10
    refit: float = 0.25
    augment: bool = True
    seed: int = 0
    seeds: int = 1
    fields: str = "auto"
