"""Which judgments taught the student about a hit (`query --why`), without torch."""

from vdistill.query.why.explain import UNTAUGHT, Explainer
from vdistill.query.why.reasons import Reason, Shown

__all__ = ["UNTAUGHT", "Explainer", "Reason", "Shown"]
