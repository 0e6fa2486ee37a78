"""95 % bootstrap intervals over queries, through scipy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
RESAMPLES = 2000


def mean_interval(values: Floats, seed: int) -> list[float]:
    """[low, high] of the mean of per-query values; NaN values are left out."""
    return _interval([values], lambda a, axis: np.mean(a, axis=axis), seed)


def difference_interval(ours: Floats, theirs: Floats, seed: int) -> list[float]:
    """[low, high] of the mean difference of two models on the same queries."""
    return mean_interval(ours - theirs, seed)


def ratio_interval(low: Floats, middle: Floats, high: Floats, seed: int) -> list[float]:
    """[low, high] of (mean middle − mean low) / (mean high − mean low), all resampled together."""

    def statistic(a: Floats, b: Floats, c: Floats, axis: int) -> Any:
        gap = np.mean(c, axis=axis) - np.mean(a, axis=axis)
        return (np.mean(b, axis=axis) - np.mean(a, axis=axis)) / np.where(gap > 1e-9, gap, np.nan)

    return _interval([low, middle, high], statistic, seed)


def _interval(samples: Sequence[Floats], statistic: Callable[..., Any], seed: int) -> list[float]:
    from scipy.stats import bootstrap

    known = ~np.isnan(np.stack(samples)).any(axis=0)
    kept = [sample[known] for sample in samples]
    if len(kept[0]) < 2:
        value = float(statistic(*kept, axis=0)) if len(kept[0]) else 0.0
        return [round(value, 6), round(value, 6)]
    found = bootstrap(
        kept,
        statistic,
        n_resamples=RESAMPLES,
        paired=len(kept) > 1,
        vectorized=True,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return [round(float(found.low), 6), round(float(found.high), 6)]
