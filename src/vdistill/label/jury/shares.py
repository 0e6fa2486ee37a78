"""Who gets how many of a jury's calls: as many as tell most about an image, for the calls and dollars that they take.

Teachers whose noise averages out with v_t, and whose taste t_t does not, know an image that each of them looked at n_t
times with the precision

    1/U + Σ_t 1 / (t_t + v_t / n_t)        U: the prior variance of a utility

and half the logarithm of it, over the prior's, is the information about the image. It is concave in the n_t. Calls are
dealt in small parts, each to whoever adds most information for what it takes of the caps: a careful teacher first,
others as soon as its taste is known and a second opinion tells more.  Source: Cover & Thomas 2006, section 9.4.

A teacher that scores each image by itself says the same again, so for it n_t ends at 1, and below 1 it is the share of
the images that it looks at. Beside others who compare, its call is one look, and theirs are as many as the numbers that
an answer tells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vdistill.arrays import Floats
from vdistill.preferences import Trust

PARTS = 400  # that calls are dealt in
CLEAR = 0.02  # a smaller share is not worth a teacher's start


@dataclass(frozen=True, slots=True)
class Offer:
    """What one teacher offers.

    trust: None where it is not known.  usd: of a call, None where the price is not known.  answered: the share of its
    calls that brought an answer.
    once: whether it can look at an image only once, since it would say the same.  looks: that a call is, as a multiple
    of what `Means.looks` counts.
    """

    trust: Trust | None
    usd: float | None = 0.0
    answered: float = 1.0
    once: bool = False
    looks: float = 1.0


@dataclass(frozen=True, slots=True)
class Means:
    """What there is to share: calls, and dollars if they are capped.

    looks: how often an image is looked at in a plan of so many calls by one teacher.
    """

    calls: int
    usd: float | None
    looks: float


def dealt(offers: Sequence[Offer], means: Means) -> Floats:
    """(teachers,) how many calls each gets: all that the means allow, fewer where nobody has more to say.

    Those that would get a handful get none.
    """
    calls = _dealt(offers, means)
    calls[calls < CLEAR * calls.sum()] = 0.0
    return calls


def _dealt(offers: Sequence[Offer], means: Means) -> Floats:
    price = np.array([offer.usd or 0.0 for offer in offers])
    cost = _cost(price, means)
    once = np.array([offer.once for offer in offers])
    looks, calls, usd = np.zeros(len(offers)), np.zeros(len(offers)), 0.0
    step = means.calls / PARTS
    more = means.looks / max(means.calls, 1) * step * np.array([offer.looks for offer in offers])
    while calls.sum() < means.calls - step / 2:
        gains = _gains(offers, looks, more) / cost
        gains[once & (looks >= 1 - 1e-9)] = -1.0
        if means.usd is not None:
            gains[usd + price * step > means.usd + 1e-9] = -1.0
        best = int(np.argmax(gains))
        if gains[best] < 0:
            break
        calls[best] += step
        looks[best] += more[best]
        usd += price[best] * step
    return calls


def shares(offers: Sequence[Offer], means: Means) -> Floats:
    """(teachers,) the shares of the calls, which add up to 1. Equal ones where no teacher is known."""
    if all(offer.trust is None for offer in offers):
        return _alike(offers, means)
    found = dealt(offers, means)
    return np.asarray(found / found.sum() if found.sum() else np.full(len(offers), 1 / len(offers)))


def _alike(offers: Sequence[Offer], means: Means) -> Floats:
    """(teachers,) equal shares; what those who look only once have no images for goes to the others."""
    once, able = np.array([offer.once for offer in offers]), np.array([offer.answered > 0 for offer in offers])
    if not once.any():
        return np.full(len(offers), 1 / len(offers))
    found = able / max(able.sum(), 1)
    found[once] = np.minimum(found[once], 1 / max(means.looks, 1e-9))
    if (others := able & ~once).any():
        found[others] = (1 - found[once].sum()) / others.sum()
    return np.asarray(found)


def _cost(price: Floats, means: Means) -> Floats:
    """(teachers,) the share of the caps that a call takes: of the calls, and of the dollars."""
    usual = means.usd if means.usd is not None else float(price.mean()) * means.calls
    return np.asarray(1 / max(means.calls, 1) + (price / usual if usual else 0.0))


def _gains(offers: Sequence[Offer], looks: Floats, more: Floats) -> Floats:
    """(teachers,) the information about an image that so many more looks of each add, in nats."""
    prior = next((1 / one.trust.utility for one in offers if one.trust is not None), 1.0)
    answered = np.array([offer.answered for offer in offers])
    before, after = (
        np.array([_precision(offer, n) for offer, n in zip(offers, n_all * answered, strict=True)])
        for n_all in (looks, looks + more)
    )
    return np.asarray(np.log1p((after - before) / (prior + before.sum())) / 2)


def _precision(offer: Offer, looks: float) -> float:
    """Of what a teacher knows about an image, in 1 / logits²; nothing is expected of one that is not known."""
    trust = offer.trust
    if trust is None or looks <= 0:
        return 0.0
    return looks / trust.variance if offer.once else 1 / (trust.taste + trust.own / looks)
