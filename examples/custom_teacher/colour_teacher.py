"""A teacher that looks at colours alone."""

import math
from collections.abc import Sequence

from PIL import ImageStat

from vdistill.errors import ImageError
from vdistill.images import load
from vdistill.label.teacher import Price
from vdistill.records import Answer, Failure, Question

COLOURS = {"red": (255, 0, 0), "green": (0, 128, 0), "blue": (0, 0, 255), "yellow": (255, 255, 0)}


class ColourTeacher:
    """Prefers the images whose mean colour is close to the one that the query names."""

    prompt = "1"  # change it when answers would change
    batch_size = 16  # questions that one `ask` gets
    concurrency = 1  # threads that may call `ask` at once
    looks = True  # it opens the images, so broken ones are left out beforehand

    def __init__(self, option: str) -> None:  # `colour:OPTION`, "" for `colour` alone
        self.softness = float(option or 40)
        self.name = f"colour:{self.softness:g}"

    def ask(self, questions: Sequence[Question]) -> list[Answer | Failure]:
        """One answer, or the reason why there is none, for each question."""
        return [self._answer(question) for question in questions]

    def price(self, question: Question) -> Price:
        """Tokens and dollars, for `--dry-run` and `--max-cost`; usd=None where the price is not known."""
        return Price()

    def close(self) -> None:
        """Let go of what `__init__` opened."""

    def _answer(self, question: Question) -> Answer | Failure:
        wanted = next((COLOURS[word] for word in question.query.lower().split() if word in COLOURS), None)
        if wanted is None:
            return Failure("the query names no colour")  # never guess
        try:
            means = [ImageStat.Stat(load(image.source, 64)).mean for image in question.images]
        except ImageError as error:
            return Failure(error.message)
        weights = [math.exp(-math.dist(mean, wanted) / self.softness) for mean in means]
        if question.ask == "rank":
            return Answer(order=tuple(sorted(range(len(weights)), key=lambda position: -weights[position])))
        return Answer(probabilities=tuple(weight / sum(weights) for weight in weights))
