"""Judgments become utilities: one number for each query and item, with what is known of its error.

The utility u of an item for a query and the bias b of a slot (one vector for each teacher and number of images shown)
explain the answers:

    forced choices and rankings   P(slot s is taken) ∝ exp(u[item in s] + b[s])        (Bradley–Terry, Plackett–Luce)
    soft answers                  (log p[s] − mean log p) / scale = u[item in s] + b[s] − mean + normal noise

A ranking of k images is k − 1 choices: the best of all, the best of the rest, … A soft answer tells more than the pick
it leans to: its log-probabilities are measured, so they are fitted as measurements, each on its teacher's scale.

Utilities have a normal prior, slot biases too. The posterior mode is found by Newton's method, many queries at once.
Sources: Bradley & Terry 1952; Plackett 1975; Thurstone 1927 for the measured differences.
"""

from vdistill.preferences.choices import picks
from vdistill.preferences.fitted import Fitted, Utilities, fit
from vdistill.preferences.position_bias import position_biases

__all__ = ["Fitted", "Utilities", "fit", "picks", "position_biases"]
