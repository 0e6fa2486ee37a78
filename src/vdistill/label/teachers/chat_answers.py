"""Reading what a chat completion says: letters and their log-probabilities, or the reason why there is none."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from vdistill.label.prompts import letters
from vdistill.records import Answer, Failure, Question


def read_answer(document: Any, question: Question) -> tuple[Answer | Failure, bool]:
    """The answer in a chat completion, and whether it came with probabilities.

    Whatever is not one of the letters asked for is a Failure: never a guess.
    """
    try:
        choice = document["choices"][0]
        message = choice["message"]
    except (KeyError, IndexError, TypeError):
        return Failure("the server's answer has no choices"), False
    refusal = message.get("refusal")
    if refusal:
        return Failure(f"the model refused: {str(refusal)[:120]}"), False
    text = message.get("content")
    if not isinstance(text, str):
        return Failure("the server's answer has no text"), False
    if question.ask == "rank":
        return _order(text, len(question.images)), False
    soft = _probabilities(choice.get("logprobs"), letters(len(question.images)))
    if soft is not None:
        return Answer(probabilities=soft), True
    return _picked(text, len(question.images)), False


def _picked(text: str, count: int) -> Answer | Failure:
    """A bare letter, as a one-hot answer."""
    found = re.fullmatch(r"\s*(?:picture\s+)?\(?([a-z])\)?[.:]?\s*", text, flags=re.IGNORECASE)
    slot = letters(count).find(found[1].upper()) if found else -1
    if slot < 0:
        return Failure(f"not one of the letters {letters(count)}: {text.strip()[:60]!r}")
    return Answer(probabilities=tuple(float(place == slot) for place in range(count)))


def _order(text: str, count: int) -> Answer | Failure:
    """All letters, each once, best first."""
    found = re.findall(r"\b[A-I]\b", text.upper())
    if sorted(found) != list(letters(count)):
        return Failure(f"not an order of the letters {letters(count)}: {text.strip()[:60]!r}")
    return Answer(order=tuple(letters(count).index(letter) for letter in found))


def _probabilities(logprobs: Any, known: str) -> tuple[float, ...] | None:
    """The mass of each letter among the alternatives of the first token that could be one, or None where it has none.

    " A", "a" and "A" are one letter. A letter that is not listed, or whose log-probability is −∞, has no mass.
    """
    content = logprobs.get("content") if isinstance(logprobs, Mapping) else None
    for token in content if isinstance(content, list) else []:
        mass = dict.fromkeys(known, 0.0)
        for option in token.get("top_logprobs") or []:
            letter = str(option.get("token", "")).strip().upper()
            value = option.get("logprob")
            if letter in mass and isinstance(value, int | float) and not math.isnan(value):
                mass[letter] += math.exp(min(value, 0.0))
        total = sum(mass.values())
        if total > 0:
            return tuple(value / total for value in mass.values())
    return None
