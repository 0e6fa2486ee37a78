"""What the logits behind a question say about its letters, and whether the question fits into the model at all."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image
from torch import Tensor

from vdistill.errors import TeacherError
from vdistill.label.prompts import options_of
from vdistill.label.teachers.letter_mass import LetterMass
from vdistill.label.teachers.none_answers import ranked
from vdistill.records import Answer, Failure, Question


@dataclass(frozen=True, slots=True)
class Ready:
    """A question as the model will see it.  thought_tokens: that its prompt holds; None where it is still to think."""

    question: Question
    prompt: str
    images: list[Image.Image]
    thought_tokens: int | None = 0


def read_letters(
    ready: Ready,
    logits: Tensor,
    tokens: int,
    letter_ids: Mapping[str, Sequence[int]],
    look: Callable[[LetterMass], None],
) -> Answer | Failure:
    """The answer by the logits (vocabulary,) of its first token. look: is shown the mass of letters that are used."""
    log_probabilities = logits.double().log_softmax(dim=0)
    images = len(ready.question.images)
    ids = [letter_ids[letter] for letter in options_of(images, ready.question.none)]
    mass = LetterMass(tuple(log_probabilities[of_letter].exp().sum().item() for of_letter in ids))
    if not math.isfinite(mass.total):
        return Failure("the model's scores of the letters are not finite", tokens)
    if failure := mass.failure():
        return replace(failure, tokens=tokens)
    look(mass)
    order = sorted(range(len(ids)), key=lambda position: -mass.letters[position])
    said = ranked(order, images) if ready.question.ask == "rank" else mass.choice(images)
    return replace(said, tokens=tokens, coverage=mass.total, thought_tokens=ready.thought_tokens or 0)


def check_length(config: Any, name: str, images: int, tokens: int, thoughts: int = 0) -> None:
    """Raise TeacherError for more tokens than the model has positions. thoughts: those that are still to come."""
    limit = getattr(config.get_text_config(), "max_position_embeddings", None)
    if isinstance(limit, int) and tokens + thoughts > limit:
        what = ", the question and its thoughts" if thoughts else " and the question"
        raise TeacherError(
            f"{images} images{what} are {tokens + thoughts:,} tokens, and {name} reads {limit:,}",
            hint="show fewer images (--images-per-call) or smaller ones (--max-pixels)"
            + (", or give a lower --think" if thoughts else ""),
        )
