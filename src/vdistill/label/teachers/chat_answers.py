"""What a chat completion says: letters and their log-probabilities, or the reason why there is no answer."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from vdistill.label.prompts import options_of
from vdistill.label.teachers.letter_mass import LEAST, LetterMass, listed_mass, spelt
from vdistill.label.teachers.none_answers import ranked, taken
from vdistill.records import Answer, Failure, Question

# Where thoughts end: Qwen, GLM and DeepSeek; Magistral; Kimi-VL.
_THOUGHTS_END = re.compile(r"</think(?:ing)?>|\[/THINK\]|◁/think▷")
_THOUGHTS_BEGIN = re.compile(r"\s*(?:<think(?:ing)?>|\[THINK\]|◁think▷)")
THOUGHT_FIELDS = ("reasoning_content", "reasoning")  # where servers put thoughts, beside the text
# GLM puts its answer between <|begin_of_box|> and <|end_of_box|>; the others end an answer.
_MARKS = re.compile(r"<\|[^|<>]{1,40}\|>|</s>|<eos>|<end_of_turn>")


@dataclass(frozen=True, slots=True)
class Reading:
    """What a completion answers, and the probability of its letters if the server gave it.

    cut: there is no answer, as it came to its cap on tokens. thinking: it holds nothing but thoughts.
    unreadable: it has log-probabilities, but they say nothing about the letters or contradict the answer.
    """

    answer: Answer | Failure
    mass: LetterMass | None = None
    cut: bool = False
    thinking: bool = False
    unreadable: bool = False


def read_answer(document: Any, question: Question, *, thought: bool = False) -> Reading:
    """The answer in a chat completion; thought: the model was asked to think first.

    Whatever is not one of the letters asked for is a Failure, and so is a letter that the model hardly meant: never a
    guess.
    """
    reading = _read_answer(document, question)
    cut = (_first_choice(document) or {}).get("finish_reason") == "length"
    if not isinstance(reading.answer, Failure):
        if not (thought and cut):
            return reading
        reading = Reading(Failure("the answer was cut, and may be part of a thought"))
    return replace(reading, cut=cut, thinking=only_thinks(document))


def _read_answer(document: Any, question: Question) -> Reading:
    text = read_text(document)
    if isinstance(text, Failure):
        return Reading(text)
    images = len(question.images)
    known = options_of(images, question.none)
    if question.ask == "rank":
        return Reading(_order(text, known, images))
    letter = _letter(text, known)
    if letter is None:
        return Reading(Failure(f"not one of the letters {known}: {_short(text)!r}"))
    logprobs = document["choices"][0].get("logprobs")
    mass = _probabilities(logprobs, letter, known)
    if mass is None:
        listed = any(_alternatives(token) for token in _tokens(logprobs))
        return Reading(taken(known.index(letter), images, question.none), unreadable=listed)
    return Reading(mass.failure() or mass.choice(images), mass)


def read_text(document: Any) -> str | Failure:
    """The text of a chat completion, after the thoughts that some servers leave in it."""
    choice = _first_choice(document)
    if choice is None:
        return Failure("the server's answer has no choices")
    message = choice["message"]
    if message.get("refusal"):
        return Failure(f"the model refused: {_short(message['refusal'])}")
    if only_thinks(document):
        return Failure(f"the model thought and did not answer (finish_reason {choice.get('finish_reason')})")
    text = message.get("content")
    if not isinstance(text, str):
        return Failure(f"the server's answer has no text (finish_reason {choice.get('finish_reason')})")
    return _MARKS.sub("", _THOUGHTS_END.split(text)[-1]).strip()


def only_thinks(document: Any) -> bool:
    """Whether a completion holds thoughts and no answer: in fields of their own, counted alone, or without an end."""
    choice = _first_choice(document)
    if choice is None:
        return False
    message = choice["message"]
    text = message.get("content")
    if isinstance(text, str) and text.strip():
        return bool(_THOUGHTS_BEGIN.match(text)) and not _THOUGHTS_END.search(text)
    usage = document.get("usage")
    details = usage.get("completion_tokens_details") if isinstance(usage, Mapping) else None
    counted = isinstance(details, Mapping) and bool(details.get("reasoning_tokens"))
    return counted or any(message.get(name) for name in THOUGHT_FIELDS)


@dataclass(frozen=True, slots=True)
class Used:
    """Tokens of the prompt, and of the completion with the thoughts in it; 0 where the server does not count."""

    prompt: int = 0
    completion: int = 0
    thoughts: int = 0


def used_tokens(document: Any) -> Used:
    """The tokens of a completion.

    Some servers (xAI, Gemini) count thoughts in the total alone. Where none are counted though there are some, all but
    the last token of the completion are taken for them.
    """
    usage = document.get("usage") if isinstance(document, Mapping) else None
    counts = usage if isinstance(usage, Mapping) else {}
    prompt, completion, total = (_count(counts, f"{name}_tokens") for name in ("prompt", "completion", "total"))
    completion = max(completion, total - prompt)
    thoughts = _count(counts.get("completion_tokens_details"), "reasoning_tokens") or _count(counts, "reasoning_tokens")
    if not thoughts and _shows_thoughts(document):
        thoughts = completion - 1
    return Used(prompt, completion, max(min(thoughts, completion), 0))


def _count(counts: Any, name: str) -> int:
    value = counts.get(name) if isinstance(counts, Mapping) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _shows_thoughts(document: Any) -> bool:
    """Whether a completion has thoughts in its text or in a field of their own."""
    message = (_first_choice(document) or {}).get("message") or {}
    text = message.get("content")
    marked = isinstance(text, str) and bool(_THOUGHTS_BEGIN.match(text) or _THOUGHTS_END.search(text))
    return marked or any(message.get(name) for name in THOUGHT_FIELDS)


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


def _order(text: str, known: str, images: int) -> Answer | Failure:
    """All letters, each once, best first, and no prose around them: "C, A, B", "1. C 2. A 3. B", "C > A > B", "CAB".

    A letter behind those of the images is "none of these".
    """
    words = re.sub(r"[^\w]|[\d_]", " ", text).upper().split()
    found = list(words[0]) if len(words) == 1 else [word for word in words if word != "AND"]
    if sorted(found) != list(known):
        return Failure(f"not an order of the letters {known}: {_short(text)!r}")
    return ranked([known.index(letter) for letter in found], images)


def _probabilities(logprobs: Any, letter: str, known: str) -> LetterMass | None:
    """The mass of each letter where the model chose `letter`; None where there are no log-probabilities to read.

    A letter that is not listed, or whose log-probability is −∞, has no mass. Where that is the chosen one though other
    letters have some, the log-probabilities contradict the answer and are not used.
    """
    # The last one: what came before may be thoughts, which name letters too. After it come marks at most; where words
    # do, the answer's own token is not listed, and this one is of a thought.
    tokens = list(_tokens(logprobs))
    last = next((at for at in reversed(range(len(tokens))) if _spelling(tokens[at]) == letter), None)
    after = "" if last is None else "".join(str(token.get("token", "")) for token in tokens[last + 1 :])
    if last is None or re.search(r"\w", _MARKS.sub("", after)):
        return None
    options = _alternatives(tokens[last])
    if not any(math.exp(min(value, 0.0)) > 0 for _, value in options):
        return None
    mass = listed_mass(options, known)
    return mass if mass.total < LEAST or mass.letters[known.index(letter)] > 0 else None


def _spelling(token: Mapping[str, Any]) -> str:
    return spelt(str(token.get("token", "")))


def _alternatives(token: Mapping[str, Any]) -> list[tuple[str, float]]:
    """What could have been said instead of a token; a server need not list the chosen one among its likeliest."""
    listed = list(_maps(token, "top_logprobs"))
    missing = listed and all(option.get("token") != token.get("token") for option in listed)
    options = [*listed, token] if missing else listed
    values = [(str(option.get("token", "")), option.get("logprob")) for option in options]
    return [(text, float(value)) for text, value in values if isinstance(value, int | float) and not math.isnan(value)]


def _tokens(logprobs: Any) -> Iterator[Mapping[str, Any]]:
    return _maps(logprobs, "content") if isinstance(logprobs, Mapping) else iter(())


def _maps(holder: Mapping[str, Any], name: str) -> Iterator[Mapping[str, Any]]:
    """The mappings in a list, which may be absent or hold anything."""
    values = holder.get(name)
    return (value for value in values if isinstance(value, Mapping)) if isinstance(values, list) else iter(())


def _short(text: Any) -> str:
    return " ".join(str(text).split())[:120]
