"""Retaining what the backbone knew: its own title ↔ image distributions, and how strongly to retain them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import kl_div, log_softmax, softmax

# Half of the target is what the backbone believed, half is the truth: which image has which title. The belief alone
# loses fine distinctions, and so does the truth alone, which also learns the training images by heart.
TRUTH = 0.5
MOST = 4096  # titles, and images, that one step compares with: two logits for each pair
_KEPT = 1 << 22  # logits of the backbone that are kept, 16 MiB; of more those of a step are computed

# After each epoch the weight is adjusted so that about TOLERANCE is lost of the probability that the backbone gives a
# validation title's own image among the validation images. It moves slowly: at high learning rates more is lost, and
# comes back by itself. Above MOST_LOST, with which no epoch is kept, it moves faster.
START, LEAST, HIGHEST = 0.2, 0.05, 2.0
TOLERANCE, WIDTH, PACE = 0.03, 0.05, 0.1
MOST_LOST, HURRY = max(0.1, 3 * TOLERANCE), 5.0


@dataclass(frozen=True)
class Titles:
    """The titles of the training images.

    texts: (t, dim) unit vectors of the distinct titles.  row: (n,) the title of each image, −1 for none.
    before: (n, dim) the backbone's vectors of the images.  scale: of the backbone's logits.
    believed: (n, t) these logits, where they are known.
    """

    texts: Tensor
    row: Tensor
    before: Tensor
    scale: float
    believed: Tensor | None = None

    def loss(self, student: Tensor, images: Tensor, memory: Tensor, rng: torch.Generator) -> Tensor:
        """The mean over images, in nats: the divergence of those with titles, the drift of those without.

        student: (k, dim) unit vectors of the images `images` (k,).
        memory: (n, dim) the last known vectors of all images.
        """
        titled = self.row[images] >= 0
        count = int(titled.sum())
        if count == len(images):
            return self._divergence(student, images, memory, rng)
        untitled = drift(student[~titled], self.before[images[~titled]])
        if not count:
            return untitled
        held = self._divergence(student[titled], images[titled], memory, rng)
        return (count * held + (len(images) - count) * untitled) / len(images)

    def _divergence(self, student: Tensor, images: Tensor, memory: Tensor, rng: torch.Generator) -> Tensor:
        """KL divergence from the target, in both directions, in nats; all `images` have titles.

        Titles choose among all images, and images among all titles, since what is easily confused is rarely in one
        step. Beyond `MOST` a random sample stands for all.
        """
        titles = some(len(self.texts), self.row[images], rng)
        others = some(len(memory), images, rng)
        vectors = memory[others].index_copy(0, torch.searchsorted(others, images), student)
        wanted_titles, wanted_images = self._targets(images, titles, others)
        by_image = _kl(wanted_titles, self.scale * student @ self.texts[titles].T)
        by_title = _kl(wanted_images, self.scale * self.texts[self.row[images]] @ vectors.T)
        return 0.5 * (by_image + by_title)

    def _targets(self, images: Tensor, titles: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
        """The distributions over `titles` that `images` should have, and over `others` that their titles should."""
        own = self.row[images]
        everywhere = others if len(others) < len(self.before) else None
        if everywhere is None and len(titles) == len(self.texts) and self._all_targets is not None:
            of_images, of_titles = self._all_targets
            return of_images[images], of_titles[own]
        return (
            _target(self._logits(images, titles), own[:, None] == titles[None, :]),
            _target(self._logits(everywhere, own).T, own[:, None] == self.row[others][None, :]),
        )

    @cached_property
    def _all_targets(self) -> tuple[Tensor, Tensor] | None:
        """These of all images (n, t) and titles (t, n), which do not change; None where they are too many."""
        if self._known is None:
            return None
        same = self.row[:, None] == torch.arange(len(self.texts), device=self.row.device)[None, :]
        return _target(self._known, same), _target(self._known.T, same.T)

    def part(self, images: Tensor) -> Titles:
        """The titles of some of the images (k,) alone."""
        used, row = torch.unique(self.row[images], return_inverse=True)
        untitled = int((used < 0).sum())
        titles = used[untitled:]
        believed = None if self._known is None else self._known[images].index_select(1, titles)
        return Titles(self.texts[titles], row - untitled, self.before[images], self.scale, believed)

    def _logits(self, images: Tensor | None, titles: Tensor) -> Tensor:
        """(k, l) the backbone's logits of some images, None for all in their order, and some titles."""
        if self._known is not None:
            return (self._known if images is None else self._known[images]).index_select(1, titles)
        return self.scale * (self.before if images is None else self.before[images]) @ self.texts[titles].T

    @cached_property
    def _known(self) -> Tensor | None:
        """All of these logits, computed once; None where they are too many."""
        if self.believed is None and len(self.before) * len(self.texts) <= _KEPT:
            return self.scale * self.before @ self.texts.T
        return self.believed


def titles_of(names: Sequence[str], before: Tensor, encode: Callable[[Sequence[str]], Tensor], scale: float) -> Titles:
    """Titles from the names of images, "" for none; each distinct one is encoded once."""
    number = {name: row for row, name in enumerate(dict.fromkeys(filter(None, names)))}
    row = torch.tensor([number.get(name, -1) for name in names], device=before.device)
    return Titles(encode(list(number)), row, before, scale)


def drift(student: Tensor, backbone: Tensor) -> Tensor:
    """Mean cosine distance between the student's and the backbone's (n, dim) unit vectors: for untitled images."""
    return (1.0 - (student * backbone).sum(dim=-1)).mean()


def own_probability(titles: Tensor, own: Tensor, images: Tensor, scale: float) -> float:
    """The mean probability that a title gives to its own images among all: a smooth literal recall@1.

    titles: (t, dim), images: (n, dim) unit vectors.  own: (t, n) bool, which images have the title.
    """
    return float((softmax(scale * titles @ images.T, dim=1) * own).sum(dim=1).mean())


def steered(weight: float, lost: float) -> float:
    """The weight for the next epoch, from what is lost of the probability of validation titles' own images."""
    push = min(HURRY if lost > MOST_LOST else 1.0, max(-1.0, (lost - TOLERANCE) / WIDTH))
    return min(HIGHEST, max(LEAST, weight * math.exp(PACE * push)))


def _target(before: Tensor, own: Tensor) -> Tensor:
    """Of the backbone's logits, and which are each row's own: belief and truth. A row without its own is of no use."""
    truth = own.float()
    return (1 - TRUTH) * softmax(before, dim=1) + TRUTH * truth / truth.sum(dim=1, keepdim=True)


def _kl(wanted: Tensor, after: Tensor) -> Tensor:
    return kl_div(log_softmax(after, dim=1), wanted, reduction="batchmean")


def some(count: int, needed: Tensor, rng: torch.Generator) -> Tensor:
    """Ascending numbers below `count`: all, or `MOST` random ones and those that are needed."""
    if count <= MOST:
        return torch.arange(count, device=needed.device)
    drawn = torch.randint(count, (MOST,), generator=rng).to(needed.device)
    return torch.unique(torch.cat([drawn, needed]))  # type: ignore[no-any-return]
