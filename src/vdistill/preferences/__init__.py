"""Judgments become utilities: one number for each query and item, with what is known of its error.

The utility u of an item for a query and the bias b of a position (one vector for each teacher and number of images
shown) explain the answers:

    forced choices and rankings   P(position s is taken) ∝ exp(u[item in s] + b[s])    (Bradley–Terry, Plackett–Luce)
    soft answers                  (log p[s] − mean log p) / scale = u[item in s] + b[s] − mean + normal noise

A ranking of k images is k − 1 choices: the best of all, the best of the rest, … A soft answer says more than which
image is the likeliest: its log-probabilities are fitted as measurements, each on its teacher's scale.

A teacher that scores each image by itself has no positions, and its scores compare over calls: all scores of a query
are one soft answer about all its images.

A teacher's noise, where others judged the same, divides u + b of its choices, and multiplies the noise of its soft
answers (`noise.py`): a careful judge counts for more.

Utilities have a normal prior, and so do position biases. The posterior mode is found by Newton's method.
Sources: Bradley & Terry 1952; Plackett 1975; Thurstone 1927 for the measured differences.
"""

from vdistill.preferences.choices import picks, positions
from vdistill.preferences.expected import expected_utilities
from vdistill.preferences.fitted import Fitted, Utilities, fit, teacher_noise
from vdistill.preferences.position_bias import position_biases
from vdistill.preferences.trust import Trust, trust
from vdistill.preferences.zero import Accepted, acceptance, zeros

__all__ = [
    "Accepted", "Fitted", "Trust", "Utilities", "acceptance", "expected_utilities", "fit", "picks", "position_biases",
    "positions", "teacher_noise", "trust", "zeros",
]  # fmt: skip
