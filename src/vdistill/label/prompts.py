"""How a vision-language model is asked: all the wording, in one versioned place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeVar

from vdistill.errors import TeacherError
from vdistill.records import Ask

# Part of the key of each stored answer: raise it with any change below, so that old answers are not taken for new.
PROMPT_VERSION = "1"

LETTERS = "ABCDEFGHI"

SYSTEM = (
    "You help a shop to know its customers. You see a few of its pictures, each under a letter, and what one customer "
    "is looking for. Judge by what would truly please this customer: purpose, taste and wishes, not words alone."
)
_WORDING: dict[Ask, str] = {
    "best": "Which of these pictures suits this customer best? Answer with one letter and nothing else.",
    "rank": "Order these pictures from the one that suits this customer best to the one that suits least. "
    "Answer with all their letters, separated by commas, and nothing else.",
}

Picture = TypeVar("Picture")
Part = tuple[Literal["text"], str] | tuple[Literal["image"], Picture]


def letters(count: int) -> str:
    """The letters of `count` pictures. Raises TeacherError for more pictures than there are letters."""
    if count > len(LETTERS):
        raise TeacherError(
            f"{count} pictures a question, where a model is shown {len(LETTERS)} at most",
            hint=f"give --images-per-call {len(LETTERS)} or less",
        )
    return LETTERS[:count]


def content(query: str, pictures: Sequence[Picture], ask: Ask) -> list[Part[Picture]]:
    """The user's message in order: each picture behind its letter ("A:"), then the question."""
    parts: list[Part[Picture]] = []
    for letter, picture in zip(letters(len(pictures)), pictures, strict=True):
        parts += [("text", f"{letter}:"), ("image", picture)]
    return [*parts, ("text", f'The customer is looking for: "{query}"\n{_WORDING[ask]}')]
