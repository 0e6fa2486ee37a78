"""Utilities of one query's items where something is expected of them before anyone is asked: a student's scores.

The scores, standardised over the items (z), say what share ρ of a utility's standard deviation √prior is expected:
u ~ N(ρ √prior z, (1 − ρ²) prior), so that ρ is the correlation of scores and utilities, and the spread of the
utilities stays the prior's. The answers then move what they speak of, and no more than they can tell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from vdistill.preferences.scales import PRIOR_VARIANCE, scaled
from vdistill.records import Judgment


def expected_utilities(
    judgments: Sequence[Judgment], scores: Mapping[str, float], correlation: float
) -> dict[str, float]:
    """The utility of each item that has a score, in logits: at the mode of the posterior.

    judgments: of one query; items without a score are expected where the lowest is.
    correlation: ρ, in [0, 1), of scores and utilities.
    """
    standard = _standardised(scores)
    if not judgments or not standard:
        return {item: correlation * PRIOR_VARIANCE**0.5 * z for item, z in standard.items()}
    given = scaled(judgments, weigh=False).posterior
    unit, items = correlation * given.prior**0.5, given.choices.items[0]
    lowest = min(standard.values())
    mean = np.zeros(len(items) + given.choices.bias_count)
    mean[: len(items)] = [unit * standard.get(item, lowest) for item in items]
    posterior = replace(given, prior=(1 - correlation**2) * given.prior, mean=mean)
    found = dict(zip(items, posterior.split(posterior.mode())[0][0].tolist(), strict=True))
    return {item: found.get(item, unit * z) for item, z in standard.items()}


def _standardised(scores: Mapping[str, float]) -> dict[str, float]:
    """The scores with mean 0 and standard deviation 1; all 0 where they are equal."""
    values = np.array([*scores.values()], np.float64)
    spread = float(values.std()) if len(values) else 0.0
    return dict(zip(scores, ((values - values.mean()) / spread if spread else 0 * values).tolist(), strict=True))
