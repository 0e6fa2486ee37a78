"""How much of a model's probability falls on the option letters, and what the rest of it means.

A model that wants to think, greet or explain still has a next token, and forced to choose a letter it chooses one. The
little probability that its letters have says nothing about the images, though normalised it looks like any answer.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from vdistill.records import Answer, Failure

LEAST = 0.05  # below it the letters are no answer
SURE = 1 - 1e-5  # of "none of these" from which on the rest says nothing about the images
DOUBTFUL = 0.5  # below it an answer is used, and the user is told


@dataclass(frozen=True, slots=True)
class LetterMass:
    """The probability of each letter as the model gave it; together at most 1."""

    letters: tuple[float, ...]

    @property
    def total(self) -> float:
        """The probability that the answer is any of the letters."""
        return min(math.fsum(self.letters), 1.0)

    @property
    def shares(self) -> tuple[float, ...]:
        """The same, normalised to sum to 1. Raises ZeroDivisionError where no letter has any."""
        whole = math.fsum(self.letters)
        return tuple(value / whole for value in self.letters)

    def choice(self, images: int) -> Answer:
        """The choice among so many images; a letter behind theirs is "none of these"."""
        if len(self.letters) == images:
            return Answer(probabilities=self.shares)
        none = self.shares[images]
        if none >= SURE:
            return Answer(none=1.0)
        return Answer(probabilities=LetterMass(self.letters[:images]).shares, none=none)

    def failure(self) -> Failure | None:
        """Why the letters are no answer; None where they are one."""
        if self.total >= LEAST:
            return None
        return Failure(f"the letters have {self.total:.1g} of the model's probability: it means to say something else")

    def doubt(self, teacher: str) -> str | None:
        """What to tell the user, once a run, about letters that have less than half of the probability."""
        if self.total >= DOUBTFUL:
            return None
        return (
            f"{teacher} puts only {self.total:.0%} of its probability on the letters asked for: it may want to think "
            "or to explain first, and its answers say less (see docs/teachers.md)"
        )


def listed_mass(options: Iterable[tuple[str, float]], letters: str) -> LetterMass:
    """The mass of each letter among (token, natural log-probability) pairs.

    " A", "a" and "A" are spellings of one letter and add up; the very same token listed twice counts once.
    """
    tokens: dict[str, float] = {}
    for token, value in options:
        tokens[token] = max(math.exp(min(value, 0.0)), tokens.get(token, 0.0))
    mass = dict.fromkeys(letters, 0.0)
    for token, probability in tokens.items():
        letter = spelt(token)
        if letter in mass:
            mass[letter] += probability
    return LetterMass(tuple(mass.values()))


def spelt(token: str) -> str:
    """The letter that a token spells: "A" for " a", "(A", "**A"; any other text stripped and in capitals."""
    return token.strip().strip("*(\"'.):").upper()
