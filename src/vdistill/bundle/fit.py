"""The fit of a hit: the probability that the teacher would accept it, by numbers that cost a query next to nothing.

A cosine alone says little: those of one query lie higher than those of another, whatever there is to find. So two
things are told apart, each by a logistic regression (Platt 1999), and their probabilities multiplied:

    whether the catalog answers the query at all   from its *reach*, a linear function of its vector that was taught
                                                   which wishes the catalog answers
    whether this hit is accepted, if it does       from its cosine, and mean and standard deviation of the query's
                                                   cosines over a sample of the catalog that is always the same

The product is made straight by isotonic regression (Zadrozny & Elkan 2002). It rises with the cosine, so hits of one
query keep their order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vdistill.arrays import sigmoid
from vdistill.errors import VdistillError

FEATURES = ("z", "mean", "spread", "reach")
LEAST, MOST = 0.001, 0.999  # a fit is never certain
_REACH = 6.0  # log-odds beyond which reach is not believed
_SMALL = 1e-6
_LISTS = ("reach", "weights", "answered", "products", "values")


@dataclass(frozen=True, slots=True)
class Context:
    """What is known of a query before its hits: mean and standard deviation of its cosines to the sample, and reach."""

    mean: float
    spread: float
    reach: float

    def features(self, scores: np.ndarray) -> np.ndarray:
        """(n, 4) of hits with these cosines (n,)."""
        rest = np.broadcast_to([self.mean, self.spread, self.reach], (len(scores), 3))
        return np.column_stack([(scores - self.mean) / self.spread, rest])


@dataclass(frozen=True)
class FitModel:
    """What an index knows about fit.

    reach: (dim + 1) weights of a query's vector, the last one the offset; empty where nothing was known to learn from.
    weights: (4) of `FEATURES` but for reach, and 1: the log-odds that a hit is accepted.  answered: (2) of reach and 1:
    the log-odds that anything is; empty where that is not known.
    products, values: (k) what the product of both means, ascending; empty where it stands as it is.
    facts: whose judgments it was made from, and how many.  made_from: a hash of these and of the index.
    reach_from: one of what reach was learnt from, which an index of another model may share.
    """

    reach: tuple[float, ...]
    weights: tuple[float, ...]
    answered: tuple[float, ...] = ()
    products: tuple[float, ...] = ()
    values: tuple[float, ...] = ()
    facts: Mapping[str, Any] | None = None
    made_from: str = ""
    reach_from: str = ""

    @classmethod
    def of_json(cls, document: Mapping[str, Any]) -> FitModel:
        """From a manifest. Raises VdistillError for another document."""
        try:
            lists = {name: tuple(map(float, document[name])) for name in _LISTS}
            return cls(
                **lists, facts=document["facts"], made_from=document["made_from"], reach_from=document["reach_from"]
            )
        except (KeyError, TypeError, ValueError) as error:
            raise VdistillError(
                f"the index is damaged: what it says of fit lacks {error}", hint="run `vdistill index` again"
            ) from error

    def to_json(self) -> dict[str, Any]:
        """For a manifest."""
        return asdict(self)

    def context(self, vector: np.ndarray, sample: np.ndarray) -> Context:
        """What is known of a query. vector: (dim,).  sample: (n, dim) of the catalog."""
        return context_of(vector, sample, self.reach)

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """(n,) the fit of hits with these features (n, 4)."""
        found = self.product(features)
        if self.products:
            found = np.interp(found, self.products, self.values)
        return np.asarray(found.clip(LEAST, MOST))

    def product(self, features: np.ndarray) -> np.ndarray:
        """(n,) the probability that the query is answered times that of the hit, before it is made straight."""
        found = sigmoid(features[:, :-1] @ np.array(self.weights[:-1]) + self.weights[-1])
        if self.answered:
            found = found * sigmoid(features[:, -1] * self.answered[0] + self.answered[1])
        return np.asarray(found)

    def fits(self, vector: np.ndarray, sample: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """(n,) the fit of a query's hits with these cosines (n,)."""
        return self.probabilities(self.context(vector, sample).features(np.asarray(scores, np.float64)))


def context_of(vector: np.ndarray, sample: np.ndarray, reach: tuple[float, ...]) -> Context:
    """As `FitModel.context`."""
    scores = (sample @ vector).astype(np.float64)
    logit = float(vector @ np.array(reach[:-1]) + reach[-1]) if reach else 0.0
    return Context(float(scores.mean()), max(float(scores.std()), _SMALL), min(max(logit, -_REACH), _REACH))
