"""The posterior of all utilities and position biases: its loss, its curvature, and its mode by scipy's Newton-CG.

A row shows the items i₁…i_k of one query in the positions s₁…s_k; its linear term is l_j = a (u[i_j] + b[s_j]), where
a is how sharply its teacher chooses: 1 where nothing else is known, and in soft rows. With p = softmax(l), t the answer
of a hard row, which adds up to 1, y that of a soft one, which adds up to 0, σ² the noise of the row, C = I − 11ᵀ/k,
which takes the mean off, and m what is expected of u, 0 by default, the negative log-posterior is, up to a constant,

    L = Σ_hard −tᵀ log p  +  Σ_soft |C l − y|² / 2σ²  +  |u − m|² / 2·prior  +  |b|² / 2·BIAS_VARIANCE

In its l a hard row has the gradient p − t and the Hessian diag(p) − p pᵀ; a soft one, as C y = y and CᵀC = C, has
(C l − y) / σ² and C / σ² = (k / σ²) (diag(w) − w wᵀ) with w = 1/k. Both Hessians are positive semidefinite, the priors'
definite, so L is strictly convex: its only minimum is the mode.

All utilities, query by query, and then all biases are one vector x, and l = D x for a sparse matrix D of zeros and
the a of the rows. So the gradient in x is Dᵀ times that in l, plus the priors' part; the same goes for products with
the Hessian, which is never formed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from vdistill.arrays import Bools, Floats
from vdistill.preferences.choices import Choices, centred

if TYPE_CHECKING:
    from scipy.sparse import csc_array, csr_array
    from scipy.sparse.linalg import LinearOperator

BIAS_VARIANCE = 1.0
TOLERANCE = 1e-5  # the mean change that ends the search, in standard deviations of each number, the others held
_BLOCK = 1 << 16  # rows at once, so that what is computed on the way stays small


@dataclass(frozen=True)
class Posterior:
    """The posterior.

    prior: the variance of a utility, in logits². noise: (m,) that of the log-probabilities of a soft row.
    sharpness: (m,) a of the docstring above; None for 1 in all rows.  mean: (u + b,) of the priors.
    """

    choices: Choices
    prior: float
    noise: Floats
    sharpness: Floats | None = None
    mean: Floats | float = 0.0

    def mode(self, start: Floats | None = None) -> Floats:
        """(u + b,) where the loss is lowest, searched for from `start`."""
        from scipy.optimize import minimize

        start = np.zeros(len(self._precision)) + self.mean if start is None else start
        if not len(start):
            return start
        unit = 1 / np.sqrt(self._diagonal(start))  # numbers of one curvature take CG half as many products

        def loss(scaled: Floats) -> tuple[float, Floats]:
            value, slope = self.loss(unit * scaled)
            return value, unit * slope

        def hessian(scaled: Floats) -> Any:  # scipy takes an operator, though its stubs do not say so
            return self.hessian(unit * scaled, unit)

        found = minimize(loss, start / unit, jac=True, hess=hessian, method="Newton-CG", options={"xtol": TOLERANCE})
        return np.asarray(unit * found.x)

    def split(self, point: Floats) -> tuple[tuple[Floats, ...], Floats]:
        """The utilities of each query (n,), and the biases (b,)."""
        *utilities, bias = np.split(point, np.cumsum([len(items) for items in self.choices.items], dtype=np.int64))
        return tuple(utilities), bias

    def linear(self, point: Floats) -> Floats:
        """(m, k) l of the docstring above; 0 where nothing is shown."""
        return np.asarray((self._design @ point).reshape(self.choices.shown.shape))

    def loss(self, point: Floats) -> tuple[float, Floats]:
        """The negative log-posterior, up to a constant, and its gradient (u + b,)."""
        choices, slope, away = self.choices, self.linear(point), point - self.mean
        value = (self._precision * away**2).sum() / 2
        for rows in np.array_split(np.arange(len(slope)), len(slope) // _BLOCK + 1):
            soft, hard = rows[choices.soft[rows]], rows[~choices.soft[rows]]
            if len(soft):
                missed = centred(slope[soft], choices.shown[soft]) - choices.target[soft]
                value += (missed**2 / (2 * self.noise[soft, None])).sum()
                slope[soft] = missed / self.noise[soft, None]
            if len(hard):
                chances = _softmax(slope[hard], choices.shown[hard])
                value -= (choices.target[hard] * np.log(np.maximum(chances, 1e-300))).sum()
                slope[hard] = chances - choices.target[hard]
        return float(value), np.asarray(self._precision * away + self._transposed @ slope.ravel())

    def hessian(self, point: Floats, unit: Floats | float = 1.0) -> LinearOperator:
        """(u + b, u + b) second derivatives of the loss, each number in multiples of its `unit`."""
        from scipy.sparse.linalg import LinearOperator

        weight, scale = self.curvature(point)

        def times(direction: Floats) -> Floats:
            direction = unit * direction.ravel()
            slope = self.linear(direction)
            slope *= weight
            slope -= weight * slope.sum(axis=1, keepdims=True)
            slope *= scale[:, None]
            return np.asarray(unit * (self._precision * direction + self._transposed @ slope.ravel()))

        return LinearOperator((len(point), len(point)), matvec=times, dtype=np.float64)

    def pulled(self, slope: Floats) -> Floats:
        """(u + b,) what a gradient (m, k) in `linear` is in the utilities and biases."""
        return np.asarray(self._transposed @ slope.ravel())

    def solved(self, point: Floats, wanted: Floats) -> Floats:
        """(u + b,) H⁻¹ times `wanted`, with the Hessian at `point`; by conjugate gradients."""
        from scipy.sparse.linalg import cg

        unit = 1 / np.sqrt(self._diagonal(point))
        return np.asarray(unit * cg(self.hessian(point, unit), unit * wanted, rtol=1e-6)[0])

    def curvature(self, point: Floats) -> tuple[Floats, Floats]:
        """W (m, k) and c (m,): the Hessian of each row in its linear term is c · (diag(w) − w wᵀ)."""
        shown, soft = self.choices.shown, self.choices.soft
        count = shown.sum(axis=1)
        weight = shown / count[:, None]
        if not soft.all():
            weight[~soft] = _softmax(self.linear(point)[~soft], shown[~soft])
        return weight, np.where(soft, count / self.noise, 1.0)

    def _diagonal(self, point: Floats) -> Floats:
        """(u + b,) of the Hessian."""
        weight, scale = self.curvature(point)
        squared = self._transposed if self.sharpness is None else self._transposed.power(2)
        return np.asarray(self._precision + squared @ (scale[:, None] * weight * (1 - weight)).ravel())

    def of_query(self, number: int, curvature: tuple[Floats, Floats]) -> Floats:
        """(n, n) the Hessian in the utilities of one query, the biases held."""
        rows = slice(*self.choices.start[number : number + 2])
        weight, scale = (part[rows] for part in curvature)
        scale = scale if self.sharpness is None else scale * self.sharpness[rows] ** 2
        row, position = np.nonzero(self.choices.shown[rows])
        of_item = np.zeros((len(scale), len(self.choices.items[number])))
        of_item[row, self.choices.local[rows][row, position]] = weight[row, position]
        scaled = scale[:, None] * of_item
        return np.asarray(np.diag(scaled.sum(axis=0) + 1 / self.prior) - scaled.T @ of_item)

    @cached_property
    def _precision(self) -> Floats:
        """(u + b,) of the priors."""
        utilities = sum(len(items) for items in self.choices.items)
        return np.repeat([1 / self.prior, 1 / BIAS_VARIANCE], [utilities, self.choices.bias_count])

    @cached_property
    def _design(self) -> csr_array:
        """(m · k, u + b) D of the docstring above; a row of zeros where nothing is shown."""
        from scipy.sparse import csr_array

        choices, shown = self.choices, self.choices.shown
        sizes = [len(items) for items in choices.items]
        first = np.repeat(np.cumsum([0, *sizes[:-1]]), np.diff(choices.start))[:, None]
        columns = np.empty((int(shown.sum()), 2), np.int32)
        columns[:, 0], columns[:, 1] = (first + choices.local)[shown], sum(sizes) + choices.position[shown]
        ends = np.cumsum(np.r_[0, 2 * shown.ravel()])
        entries = np.ones(columns.size)
        if self.sharpness is not None:
            entries = np.repeat(self.sharpness, 2 * shown.sum(axis=1))
        return csr_array((entries, columns.ravel(), ends), shape=(shown.size, len(self._precision)))

    @cached_property
    def _transposed(self) -> csc_array:
        """(u + b, m · k) Dᵀ: scipy takes longer to transpose a small matrix than to multiply it."""
        return self._design.T


def _softmax(linear: Floats, shown: Bools) -> Floats:
    logits = np.where(shown, linear, -np.inf)
    exponent = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-1e300))
    return np.asarray(exponent / exponent.sum(axis=1, keepdims=True))
