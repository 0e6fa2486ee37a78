"""How much each teacher's answers tell about what all of them prefer, by the variances of the fit.

Of a soft answer, `own` is the noise that the teacher's answers show by themselves, beside one another: it averages out
when the teacher is asked more. What noise the others see beyond that is a taste of its own, which stays the same
however often it is asked: `taste`, as far as it is beyond two standard errors of the noise.
Sources: as of `noise.py`; Shannon 1948 for the Gaussian channel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from vdistill.preferences.scales import scaled
from vdistill.records import Judgment

CHOICE = float(np.pi**2 / 3)  # the variance of the logistic noise in a choice between two, in logits²


@dataclass(frozen=True, slots=True)
class Trust:
    """What is known of one teacher, in logits² of the scale that all share.

    own: the variance of what averages out over its answers.  taste: of what does not.  utility: the prior variance of
    a utility.  noise: as `Fitted.noise`.  soft: whether it says how likely each image is.
    """

    own: float
    taste: float
    utility: float
    noise: float
    soft: bool

    @property
    def variance(self) -> float:
        """Of the noise in a single answer."""
        return self.own + self.taste

    @property
    def bits_of_number(self) -> float:
        """The information in one number that it measures, a difference of images or a score: a Gaussian channel."""
        return float(np.log2(1 + self.utility / self.variance)) / 2

    def scaled(self, factor: float) -> Trust:
        """The same in units of which there are `factor` in one of these."""
        return replace(self, own=self.own * factor, taste=self.taste * factor, utility=self.utility * factor)

    def bits(self, images: int) -> float:
        """The information in one answer about so many images, which tells images − 1 differences.

        A choice tells no more than which image it was: log2(images) at most.
        """
        found = (images - 1) * self.bits_of_number
        return found if self.soft else min(found, float(np.log2(images)))


def trust(judgments: Sequence[Judgment]) -> dict[str, Trust]:
    """What these judgments show of each of their teachers; who shares no ground with another has no taste."""
    if not judgments:
        return {}
    given = scaled(judgments)
    choices, variance, found = given.posterior.choices, given.posterior.noise, {}
    for number, name in enumerate(choices.teachers):
        rows = choices.teacher == number
        soft, noise = rows & choices.soft, given.noise[name]
        if 2 * soft.sum() > rows.sum():
            whole = float(np.median(variance[soft]))
            numbers = float((choices.shown[soft].sum(axis=1) - 1).sum())
            sure = max(noise / (1 + 2 / np.sqrt(2 * numbers)), 1.0)
            own = whole / sure**2
            found[name] = Trust(own, whole - own, given.posterior.prior, noise, soft=True)
        else:
            found[name] = Trust(CHOICE * noise**2, 0.0, given.posterior.prior, noise, soft=False)
    return found
