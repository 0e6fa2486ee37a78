"""The values that explain a hit: judgments, and what each of them said about an item like it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["for", "against"]


@dataclass(frozen=True, slots=True)
class Shown:
    """An image of a judgment.

    file: its locator; None where the index no longer has the image that was judged.
    probability: what the teacher gave it, None for a ranking.
    """

    id: str
    title: str
    file: str | None
    probability: float | None


@dataclass(frozen=True, slots=True)
class Reason:
    """A judgment that taught the student about a hit.

    query: the training query that was judged.  similarity: its cosine to what was searched for.
    shown: the images, best first as the teacher had it: the first was chosen over the others.
    place: where among them the image is that the hit is like, and which therefore explains it.
    item_similarity: the cosine of that image and the hit.
    influence: by how much it raised the hit's score, compared with the other judgments; below 0 it lowered it.
    asked_at: UNIX time in seconds.
    """

    query: str
    similarity: float
    shown: tuple[Shown, ...]
    place: int
    item_similarity: float
    influence: float
    teacher: str
    asked_at: float

    @property
    def item(self) -> Shown:
        """The image that the hit is like."""
        return self.shown[self.place]

    @property
    def chosen(self) -> Shown:
        """What the teacher liked best."""
        return self.shown[0]

    @property
    def over(self) -> tuple[Shown, ...]:
        """What it was chosen over, best first."""
        return self.shown[1:]

    @property
    def verdict(self) -> Verdict:
        """Whether the judgment speaks for the hit, or is the counter-argument: shown, and not chosen."""
        return "for" if self.influence > 0 else "against"
