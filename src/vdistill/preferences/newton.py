"""Damped Newton steps for the posterior mode: the items of each query are one block, the slot biases join them all.

A row shows the items i₁…i_k of one query in the slots s₁…s_k; its linear term is l_j = u[i_j] + b[s_j]. With
p = softmax(l), t the answer of a hard row, which adds up to 1, y that of a soft one, which adds up to 0, σ² the noise
of the row, and C = I − 11ᵀ/k, which takes the mean off, the negative log-posterior is, up to a constant,

    L = Σ_hard −tᵀ log p  +  Σ_soft |C l − y|² / 2σ²  +  |u|² / 2·prior  +  |b|² / 2·BIAS_VARIANCE

In its l a hard row has the gradient p − t and the Hessian diag(p) − p pᵀ; a soft one, as C y = y and CᵀC = C, has
(C l − y) / σ² and C / σ² = (k / σ²) (diag(w) − w wᵀ) with w = 1/k. Both Hessians are positive semidefinite, the priors'
definite, so L is strictly convex: its only minimum is the mode, and halving a Newton step lowers it at last.

No row joins two queries, so the Hessian H_uu of the utilities has a block H_q for each query, and only the biases join
them, by the cross derivatives H_qb. Of a Newton step H δ = g the utilities are eliminated query by query:

    (H_bb − Σ_q H_bq H_q⁻¹ H_qb) δb = g_b − Σ_q H_bq H_q⁻¹ g_q        (the Schur complement)
    δu_q = H_q⁻¹ g_q − H_q⁻¹ H_qb δb
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from vdistill.arrays import Floats, Ints
from vdistill.preferences.choices import Choices, centred

BIAS_VARIANCE = 1.0
STEPS, TOLERANCE = 25, 1e-4  # most steps; the largest change of a utility that ends them, in logits
_ENTRIES = 4_000_000  # of the matrices of one block of queries: 32 MB


@dataclass(frozen=True, slots=True)
class Mode:
    """Utilities per query (n,), and all slot biases."""

    mean: tuple[Floats, ...]
    bias: Floats


@dataclass(frozen=True, slots=True)
class Block:
    """Some queries and their rows, the items of each numbered from `query` · `width`."""

    queries: range
    rows: slice
    owner: Ints
    width: int


def solve(choices: Choices, prior: float, noise: Floats, start: Mode | None = None) -> Mode:
    """The posterior mode. prior: the variance of a utility. noise: (m,) of a soft row's log-probabilities."""
    mean = [np.zeros(len(items)) for items in choices.items] if start is None else list(start.mean)
    bias = np.zeros(choices.bias_count) if start is None else start.bias
    blocks = list(blocks_of(choices))
    now = loss(choices, mean, bias, prior, noise)
    for _ in range(STEPS):
        steps, bias_step = _newton_step(choices, blocks, mean, bias, prior, noise)
        scale = 1.0
        while True:
            tried = [values - scale * step for values, step in zip(mean, steps, strict=True)]
            tried_bias = bias - scale * bias_step
            after = loss(choices, tried, tried_bias, prior, noise)
            if after <= now + 1e-9 * abs(now) or scale < 1e-3:
                break
            scale /= 2
        largest = max((float(np.abs(step).max(initial=0.0)) for step in steps), default=0.0)
        mean, bias, now = tried, tried_bias, after
        if scale * largest < TOLERANCE:
            break
    return Mode(tuple(mean), bias)


def variances(choices: Choices, mode: Mode) -> tuple[float, float]:
    """(of a utility, of a log-probability's noise) in logits², from the residuals of a fit to soft answers alone."""
    shown, observed = choices.shown, choices.target
    residual = observed - centred(_linear(choices, mode.mean, mode.bias), shown)
    free = float((shown.sum(axis=1) - 1).sum())  # a row of k centred numbers has k − 1 to tell
    fitted = sum(len(items) - 1 for items in choices.items) + choices.bias_count
    total = float((observed**2).sum()) / free
    noise = float((residual**2).sum()) / max(free - fitted, 0.25 * free)
    noise = float(np.clip(noise, 0.02 * total, 0.75 * total)) + 1e-6
    return max(total - noise, 0.25 * total) + 1e-6, noise


def explained(choices: Choices, mode: Mode, scale: Floats) -> float:
    """1 − log-loss of the fit / log-loss of even chances, over all answers; below 0 where the prior holds it back.

    scale: (m,) what one logit of the fit is in the answers of a row.
    """
    linear = _linear(choices, mode.mean, mode.bias) * scale[:, None]
    wanted = np.where(choices.soft[:, None], _softmax(choices.target, choices.shown), choices.target)
    chances = np.maximum(_softmax(linear, choices.shown), 1e-12)
    entropy = -(wanted * np.log(np.maximum(wanted, 1e-12))).sum()
    even = (wanted.sum(axis=1) * np.log(choices.shown.sum(axis=1))).sum() - entropy
    return float(1 - (-(wanted * np.log(chances)).sum() - entropy) / even) if even > 1e-9 else 0.0


def curvature(choices: Choices, row: int, mean: Floats, bias: Floats, prior: float, noise: Floats) -> Floats:
    """(n, n) second derivatives of the negative log-posterior in the utilities of one query, the biases held."""
    block = Block(range(row, row + 1), slice(*choices.start[row : row + 2]), np.zeros(0, np.int64), len(mean))
    hessian = derivatives(choices, block, [mean], bias, prior, noise)[2]
    return np.asarray(hessian[0])


def blocks_of(choices: Choices) -> Iterator[Block]:
    """Cut the queries so that the matrices of one block stay small."""
    first = 0
    while first < len(choices.queries):
        width, last = 0, first
        while last < len(choices.queries):
            wider = max(width, len(choices.items[last]))
            if last > first and (last + 1 - first) * wider**2 > _ENTRIES:
                break
            width, last = wider, last + 1
        start = choices.start[first : last + 1]
        owner = np.repeat(np.arange(last - first), np.diff(start))
        yield Block(range(first, last), slice(int(start[0]), int(start[-1])), owner, width)
        first = last


def _newton_step(
    choices: Choices,
    blocks: list[Block],
    mean: Sequence[Floats],
    bias: Floats,
    prior: float,
    noise: Floats,
) -> tuple[list[Floats], Floats]:
    """The full step of utilities and biases, the former eliminated block by block."""
    steps: list[tuple[Floats, Floats]] = []
    right = bias / BIAS_VARIANCE
    left = np.eye(len(bias)) / BIAS_VARIANCE
    for block in blocks:
        gradient, cross, hessian, bias_gradient, bias_hessian = derivatives(
            choices, block, [mean[row] for row in block.queries], bias, prior, noise
        )
        solved = np.linalg.solve(hessian, np.concatenate([gradient[..., None], cross], axis=2))
        by_gradient, by_cross = solved[..., 0], solved[..., 1:]
        right = right + bias_gradient - np.einsum("qnb,qn->b", cross, by_gradient)
        left = left + bias_hessian - np.einsum("qnb,qnc->bc", cross, by_cross)
        steps.append((by_gradient, by_cross))
    bias_step = np.asarray(np.linalg.solve(left, right))
    found = [
        np.asarray(by_gradient[place] - by_cross[place] @ bias_step)[: len(choices.items[row])]
        for block, (by_gradient, by_cross) in zip(blocks, steps, strict=True)
        for place, row in enumerate(block.queries)
    ]
    return found, bias_step


def derivatives(
    choices: Choices, block: Block, mean: list[Floats], bias: Floats, prior: float, noise: Floats
) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """The derivatives of a block's negative log-posterior, but for the prior of the biases.

    Of the utilities: gradient (q, n), cross derivatives (q, n, b), Hessian (q, n, n). Of the biases: (b,) and (b, b).
    """
    q, n, b = len(block.queries), block.width, len(bias)
    padded = np.zeros((q, n))
    for place, values in enumerate(mean):
        padded[place, : len(values)] = values
    rows = block.rows
    owner = block.owner if len(block.owner) else np.zeros(rows.stop - rows.start, np.int64)
    shown, position, local = choices.shown[rows], choices.position[rows], choices.local[rows]
    variable = owner[:, None] * n + local
    residual, curve = _row_derivatives(choices, rows, padded.ravel()[variable] + bias[position], noise)
    both = shown[:, :, None] & shown[:, None, :]
    curve = np.where(both, curve, 0.0).ravel()
    residual = np.where(shown, residual, 0.0).ravel()
    gradient = np.bincount(variable.ravel(), residual, q * n).reshape(q, n)
    first = np.broadcast_to(variable[:, :, None], both.shape).ravel()
    entries = np.bincount(first * n + np.broadcast_to(local[:, None, :], both.shape).ravel(), curve, q * n * n)
    other = np.broadcast_to(position[:, None, :], both.shape).ravel()
    cross = np.bincount(first * b + other, curve, q * n * b)
    own = np.broadcast_to(position[:, :, None], both.shape).ravel()
    return (
        np.asarray(gradient + padded / prior, np.float64),
        np.asarray(cross.reshape(q, n, b), np.float64),
        np.asarray(entries.reshape(q, n, n) + np.eye(n) / prior, np.float64),
        np.asarray(np.bincount(position.ravel(), residual, b), np.float64),
        np.asarray(np.bincount(own * b + other, curve, b * b).reshape(b, b), np.float64),
    )


def _row_derivatives(choices: Choices, rows: slice, linear: Floats, noise: Floats) -> tuple[Floats, Floats]:
    """Of each row the gradient (m, k) and the Hessian (m, k, k) of its negative log-likelihood in its slots."""
    shown, soft, target, noise = choices.shown[rows], choices.soft[rows], choices.target[rows], noise[rows]
    chances = _softmax(linear, shown)
    eye = np.eye(linear.shape[1])
    share = shown / shown.sum(axis=1, keepdims=True)
    weight = np.where(soft[:, None], share, chances)  # both Hessians are diag(w) − w wᵀ, up to a factor
    scale = np.where(soft, shown.sum(axis=1) / noise, 1.0)
    curve = scale[:, None, None] * (weight[:, :, None] * eye - weight[:, :, None] * weight[:, None, :])
    measured = (centred(linear, shown) - target) / noise[:, None]
    return np.where(soft[:, None], measured, chances - target), curve


def loss(choices: Choices, mean: Sequence[Floats], bias: Floats, prior: float, noise: Floats) -> float:
    """The negative log-posterior, up to a constant."""
    linear = _linear(choices, mean, bias)
    soft, hard = choices.soft, ~choices.soft
    found = sum(float((values**2).sum()) for values in mean) / (2 * prior) + (bias**2).sum() / (2 * BIAS_VARIANCE)
    if soft.any():
        away = centred(linear[soft], choices.shown[soft]) - choices.target[soft]
        found += ((away**2).sum(axis=1) / (2 * noise[soft])).sum()
    if hard.any():
        chances = _softmax(linear[hard], choices.shown[hard])
        found -= (choices.target[hard] * np.log(np.maximum(chances, 1e-300))).sum()
    return float(found)


def _linear(choices: Choices, mean: Sequence[Floats], bias: Floats) -> Floats:
    """(m, k) utility plus bias of each slot."""
    offset = np.cumsum([0, *(len(items) for items in choices.items)])
    owner = np.repeat(np.arange(len(choices.queries)), np.diff(choices.start))
    flat = np.concatenate(list(mean)) if len(mean) else np.zeros(0)
    return np.asarray(flat[np.where(choices.shown, offset[owner][:, None] + choices.local, 0)] + bias[choices.position])


def _softmax(linear: Floats, shown: np.ndarray) -> Floats:
    logits = np.where(shown, linear, -np.inf)
    exponent = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-1e300))
    return np.asarray(exponent / exponent.sum(axis=1, keepdims=True))
