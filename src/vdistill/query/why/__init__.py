"""Which judgments taught the student about a hit (`query --why`), without torch."""

from vdistill.query.why.explain import Explainer
from vdistill.query.why.reasons import Reason, Shown

__all__ = ["Explainer", "Reason", "Shown"]
