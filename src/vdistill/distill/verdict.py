"""Whether a student is worth publishing: not where it is worse than its backbone by more than chance."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vdistill.arrays import Floats
from vdistill.distill.progress import Trained
from vdistill.distill.retention import MOST_LOST
from vdistill.evaluation.metrics import interval, p_value

METRIC = "ndcg@10"


def objection(
    done: Trained, before: Mapping[str, Floats] | None, after: Mapping[str, Floats] | None, seed: int = 0
) -> str | None:
    """Why the student should not be published; None where nothing speaks against it.

    before, after: the held-out metrics of backbone and student, for each query; None without an exam. Then the
    validation queries decide.
    """
    if not done.kept:
        return (
            f"no epoch was as good as the backbone on what validates, or all lost more than {MOST_LOST:g} of its titles"
        )
    if before is not None and after is not None:
        return _worse("held-out", before[METRIC], after[METRIC], seed)
    return _worse("validation", np.array(done.backbone), np.array(done.student), seed)


def _worse(which: str, before: Floats, after: Floats, seed: int) -> str | None:
    """By the paired 95 % bootstrap interval of the difference, and by flipping its signs.

    The bootstrap alone is too sure of a handful of queries; with fewer than six the signs never are.
    """
    found, chance = interval(after - before, seed), p_value(after - before, seed)
    if found is None or found.high >= 0 or chance is None or chance > 0.05:
        return None
    return (
        f"on {which} queries the student is worse than its backbone: nDCG@10 {np.nanmean(after):.3f} against "
        f"{np.nanmean(before):.3f} (95 % interval of the difference {found.low:+.3f} to {found.high:+.3f})"
    )
