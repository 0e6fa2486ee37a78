"""Reading what a chat completion says: letters and their log-probabilities, or the reason why there is none."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from vdistill.label.prompts import letters
from vdistill.records import Answer, Failure, Question


def read_answer(document: Any, question: Question) -> tuple[Answer | Failure, bool]:
    """The answer in a chat completion, and whether it came with probabilities.

    Whatever is not one of the letters asked for is a Failure: never a guess.
    """
    text = read_text(document)
    if isinstance(text, Failure):
        return text, False
    known = letters(len(question.images))
    if question.ask == "rank":
        return _order(text, known), False
    letter = _letter(text, known)
    if letter is None:
        return Failure(f"not one of the letters {known}: {_short(text)!r}"), False
    soft = _probabilities(document["choices"][0].get("logprobs"), letter, known)
    hard = tuple(float(each == letter) for each in known)
    return Answer(probabilities=soft or hard), soft is not None


def read_text(document: Any) -> str | Failure:
    """The text of a chat completion."""
    choice = _first_choice(document)
    if choice is None:
        return Failure("the server's answer has no choices")
    message = choice["message"]
    if message.get("refusal"):
        return Failure(f"the model refused: {_short(message['refusal'])}")
    text = message.get("content")
    if not isinstance(text, str):
        return Failure(f"the server's answer has no text (finish_reason {choice.get('finish_reason')})")
    return text


def used_tokens(document: Mapping[str, Any]) -> tuple[int, int]:
    """Tokens read and written, 0 where the server does not count."""
    usage = document.get("usage")
    counts = usage if isinstance(usage, Mapping) else {}
    read, written = (counts.get(name) for name in ("prompt_tokens", "completion_tokens"))
    return (read if isinstance(read, int) else 0), (written if isinstance(written, int) else 0)


def _first_choice(document: Any) -> Mapping[str, Any] | None:
    try:
        choice = document["choices"][0]
        return choice if isinstance(choice["message"], Mapping) else None
    except (KeyError, IndexError, TypeError):
        return None


def _letter(text: str, known: str) -> str | None:
    """The letter that is the whole of a text: "B", " b.", "(B)", "**B**", "Picture B"."""
    found = re.fullmatch(r"[\s*(\"']*(?:picture\s+)?([a-z])[\s*)\"'.:]*", text, flags=re.IGNORECASE)
    letter = found[1].upper() if found else ""
    return letter if letter and letter in known else None


def _order(text: str, known: str) -> Answer | Failure:
    """All letters, each once, best first, and no prose around them: "C, A, B", "1. C 2. A 3. B", "C > A > B", "CAB"."""
    words = re.sub(r"[^\w]|[\d_]", " ", text).upper().split()
    found = list(words[0]) if len(words) == 1 else [word for word in words if word != "AND"]
    if sorted(found) != list(known):
        return Failure(f"not an order of the letters {known}: {_short(text)!r}")
    return Answer(order=tuple(known.index(letter) for letter in found))


def _probabilities(logprobs: Any, letter: str, known: str) -> tuple[float, ...] | None:
    """The mass of each letter where the model chose `letter`, summing to 1; None without log-probabilities.

    " A", "a" and "A" are one letter. One that is not listed, or whose log-probability is −∞, has no mass; where that
    is the chosen one, the log-probabilities contradict the answer and are not used.
    """
    token = next((token for token in _tokens(logprobs) if _bare(token) == letter), None)
    if token is None:
        return None
    mass = dict.fromkeys(known, 0.0)
    for option in _alternatives(token):
        each, value = _bare(option), option.get("logprob")
        if each in mass and isinstance(value, int | float) and not math.isnan(value):
            mass[each] += math.exp(min(value, 0.0))
    total = sum(mass.values())
    return tuple(value / total for value in mass.values()) if mass[letter] > 0 else None


def _alternatives(token: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What could have stood at a token's place; a server need not list the chosen one among its likeliest."""
    listed = list(_maps(token, "top_logprobs"))
    missing = listed and all(option.get("token") != token.get("token") for option in listed)
    return [*listed, token] if missing else listed


def _tokens(logprobs: Any) -> Iterator[Mapping[str, Any]]:
    return _maps(logprobs, "content") if isinstance(logprobs, Mapping) else iter(())


def _maps(holder: Mapping[str, Any], name: str) -> Iterator[Mapping[str, Any]]:
    """The mappings in a list, which may be absent or hold anything."""
    values = holder.get(name)
    return (value for value in values if isinstance(value, Mapping)) if isinstance(values, list) else iter(())


def _bare(token: Mapping[str, Any]) -> str:
    return str(token.get("token", "")).strip().strip("*(\"'.):").upper()


def _short(text: Any) -> str:
    return " ".join(str(text).split())[:120]
