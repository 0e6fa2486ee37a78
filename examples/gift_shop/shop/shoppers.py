"""Simulated shoppers: what they score each product (the teacher), and what is truly relevant (the qrels)."""

from __future__ import annotations

import math

import numpy as np

# A match of 0.5 or less is irrelevant; each tenth above is a grade.
LEAST, GRADES = 0.5, 5
# A shopper's score in logits: how much a perfect match is worth, and how much mood there is in it.
WORTH, MOOD = 8.0, 0.5
# The score from which on they would take a product rather than none: that of the least match that is relevant.
ACCEPTED = WORTH * LEAST


def grade(fit: float) -> int:
    """The TREC grade 0 … 5 of a match in [0, 1]."""
    return max(0, min(GRADES, math.floor((fit - LEAST) * 10 + 1e-9) + 1)) if fit >= LEAST else 0


def scores(fits: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What a simulated shopper says of products that fit this well: persistent moods, so the same each time."""
    return WORTH * fits + rng.normal(0, MOOD, len(fits))
