"""How a vision-language model is asked: all the wording, in one versioned place."""

from __future__ import annotations

from collections.abc import Sequence

from vdistill.records import Ask

# Part of the key of each stored answer: raise it with any change below, so that old answers are not taken for new.
PROMPT_VERSION = "1"

LETTERS = "ABCDEFGHI"

SYSTEM = (
    "You help a shop to know its customers. You see a few of its pictures, each under a letter, and what one customer "
    "is looking for. Judge by what would truly please this customer: purpose, taste and wishes, not words alone."
)
_BEST = "Which one picture suits this customer best? Answer with its letter alone."
_RANK = (
    "Order the pictures from the one that suits this customer best to the one that suits least. "
    "Answer with all letters, separated by commas, and nothing else."
)


def letters(count: int) -> str:
    """The letters of `count` pictures; at most nine can be shown."""
    return LETTERS[:count]


def label_of(letter: str) -> str:
    """What stands before a picture."""
    return f"Picture {letter}:"


def instruction(query: str, count: int, ask: Ask) -> str:
    """What stands behind the pictures."""
    return f'The customer is looking for: "{query}"\n{_BEST if ask == "best" else _RANK}'


def content(query: str, pictures: Sequence[object], ask: Ask) -> list[tuple[str, object]]:
    """The parts of the user's message in order: ("text", str) and ("image", picture)."""
    parts: list[tuple[str, object]] = []
    for letter, picture in zip(letters(len(pictures)), pictures, strict=True):
        parts += [("text", label_of(letter)), ("image", picture)]
    return [*parts, ("text", instruction(query, len(pictures), ask))]
