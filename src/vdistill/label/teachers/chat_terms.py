"""What a server accepts: which fields it refuses, and what it calls and allows the others.

Servers say so with an error that names the field. Only words that refuse *this* field teach anything: an error that
merely mentions one ("the prompt is too long: reduce max_tokens") does not.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from vdistill.label.teachers.options import Memory

CAP, NEWER_CAP = "max_tokens", "max_completion_tokens"
# The answer can be read without these. Where two are named together, the earlier one is left out.
DISPENSABLE = ("structured_outputs", "chat_template_kwargs", "thinking_token_budget", "reasoning_effort", "top_k",
               "top_p", "top_logprobs", "logprobs", "temperature")  # fmt: skip
SAMPLING = frozenset({"temperature", "top_p"})  # without them answers are sampled differently
QUIET = ("none", "minimal")  # efforts that ask for no thoughts; which of them a server knows is found out
FEWER = (5, 2)  # alternatives asked for, where the server does not say how many it gives
HIGHEST_FLOOR = 64  # a server that demands more tokens than this for an answer means something else

_REFUSES = re.compile(
    r"unsupported|not (?:be |yet )?support|not configured|n't support|no support|unrecogni[sz]ed|unavailable"
    r"|deprecated|forbidden"
    r"|un(?:known|expected) (?:\w+ )?(?:name|param|field|arg|propert|key|option)|cannot find"
    r"|extra(?: inputs| fields)|not (?:permitted|allowed|enabled|available|accepted)"
    r"|(?:cannot|can't|can not) (?:both )?be (?:used|set|specified)",
    re.IGNORECASE,
)
_REFUSES_VALUE = re.compile(r"must be|should be|only .{0,40}(?:allowed|supported)|invalid", re.IGNORECASE)
_OF_ALTERNATIVES = re.compile(r"\b(?:top_?logprobs|logprobs|top_n_tokens)\b", re.IGNORECASE)
_AT_MOST = re.compile(
    r"(?:<=|≤|>|at most|(?:less|greater|more|larger) than(?: or equal to)?|up to|above|exceeds?"
    r"|between \d+ and|\[\d+, ?|\bmax(?:imum)?\b[\w\s]{0,20}?(?:of|is|:))\s*(\d+)",
    re.IGNORECASE,
)
_TOO_MANY = re.compile(r"too (?:large|high|big|many)|exceed|greater|above|maximum|must be|should be", re.IGNORECASE)
_AT_LEAST = re.compile(r"max_\w*tokens\b.{0,80}?(?:>=|≥|at least)\D{0,20}(\d+)", re.IGNORECASE | re.DOTALL)
_THINKING_FLAG = re.compile(r"\benable_thinking\b.{0,20}must be set to false", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.!;]\s+|\n")


@dataclass(frozen=True, slots=True)
class Terms:
    """What is left out of requests or put differently.

    cap: what the server calls the cap on tokens. top_logprobs: the most alternatives that it gives. least_tokens: the
    lowest cap that it accepts. thinking_flag: it wants `enable_thinking` in the request itself (DashScope). quiet: the
    effort that keeps the model from thinking; "" where it does not think anyway, and none is sent.
    """

    dropped: frozenset[str] = frozenset()
    cap: str = CAP
    top_logprobs: int | None = None
    least_tokens: int = 0
    thinking_flag: bool = False
    quiet: str = ""

    def applied(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The request as this server accepts it."""
        sent = {name: value for name, value in body.items() if name not in self.dropped}
        if CAP in sent:
            sent[self.cap] = max(sent.pop(CAP), self.least_tokens)
        if self.top_logprobs is not None and "top_logprobs" in sent:
            sent["top_logprobs"] = min(sent["top_logprobs"], self.top_logprobs)
        if self.thinking_flag and "chat_template_kwargs" in body:
            sent |= body["chat_template_kwargs"]
        if sent.get("reasoning_effort") in QUIET:
            sent["reasoning_effort"] = self.quiet
            if not self.quiet:
                del sent["reasoning_effort"]
        return sent

    def quieter(self, effort: str) -> Terms | None:
        """The terms after a request with this effort brought thoughts all the same; None where nothing else is left."""
        if "reasoning_effort" in self.dropped:
            return None
        if effort != self.quiet:
            return self
        following = QUIET[QUIET.index(effort) + 1 :] if effort else QUIET
        return replace(self, quiet=following[0]) if following else None

    def learnt(self, words: str, sent: Mapping[str, Any]) -> Terms:
        """The terms after the server refused the request `sent` with these words; the same if they teach nothing."""
        if _THINKING_FLAG.search(words):
            return replace(self, thinking_flag=True)
        for sentence in filter(None, _SENTENCE_END.split(words)):
            found = (
                self._of_cap(sentence, words, sent)
                or self._of_alternatives(sentence, words, sent)
                or self._of_fields(sentence, sent)
            )
            if found is not None:
                return found
        return self

    def differences(self, before: Terms) -> str:
        """What became known since `before`, for the user; "" for nothing."""
        parts = [f"without {name}" for name in sorted(self.dropped - before.dropped)]
        if self.cap != before.cap:
            parts.append(f"with {self.cap} for {before.cap}")
        if self.top_logprobs != before.top_logprobs and "top_logprobs" not in self.dropped:
            parts.append(f"for {self.top_logprobs} alternatives of a token")
        if self.least_tokens != before.least_tokens:
            parts.append(f"for {self.least_tokens} tokens at least")
        if self.thinking_flag != before.thinking_flag:
            parts.append("with enable_thinking")
        if self.quiet != before.quiet and "reasoning_effort" not in self.dropped:
            parts.append(f"with reasoning_effort {self.quiet}")
        return ", ".join(parts)

    def to_json(self) -> dict[str, Any]:
        """For the workspace to remember."""
        return {**asdict(self), "dropped": sorted(self.dropped)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Terms:
        """The terms that `to_json` gave; what another version wrote besides is ignored."""
        known = {each.name: stored[each.name] for each in fields(cls) if each.name in stored}
        return cls(**{**known, "dropped": frozenset(known.get("dropped", ()))})

    def _of_cap(self, sentence: str, words: str, sent: Mapping[str, Any]) -> Terms | None:
        named = next((name for name in (CAP, NEWER_CAP) if name in sent and _names(sentence, name)), None)
        if named is None:
            return None
        floor = _AT_LEAST.search(words)
        if floor and sent[named] < int(floor[1]) <= HIGHEST_FLOOR:
            return replace(self, least_tokens=int(floor[1]))
        if not _REFUSES.search(sentence):
            return None
        if named == CAP:  # a server that does not say so may know the other name too
            return replace(self, cap=NEWER_CAP)
        return replace(self, dropped=self.dropped | {CAP})

    def _of_alternatives(self, sentence: str, words: str, sent: Mapping[str, Any]) -> Terms | None:
        asked = sent.get("top_logprobs")
        if asked is None or not _OF_ALTERNATIVES.search(sentence):
            return None
        too_many = _TOO_MANY.search(sentence)
        limit = _AT_MOST.search(sentence) or (_AT_MOST.search(words) if too_many else None)
        fewer = int(limit[1]) if limit and 2 <= int(limit[1]) < asked else None
        if fewer is None:
            if _REFUSES.search(sentence) or not too_many:
                return None
            fewer = next((number for number in FEWER if number < asked), None)
        if fewer is None:
            return replace(self, dropped=self.dropped | {"top_logprobs"})
        return replace(self, top_logprobs=min(fewer, self.top_logprobs or fewer))

    def _of_fields(self, sentence: str, sent: Mapping[str, Any]) -> Terms | None:
        if not (_REFUSES.search(sentence) or _REFUSES_VALUE.search(sentence)):
            return None
        refused = next((name for name in DISPENSABLE if name in sent and _names(sentence, name)), None)
        if refused is None:
            return None
        if refused == "reasoning_effort" and sent[refused] in QUIET and (quieter := self.quieter(sent[refused])):
            return quieter
        with_it = {"top_logprobs"} if refused == "logprobs" else set()  # meaningless without the other
        return replace(self, dropped=self.dropped | {refused} | with_it)


def _names(sentence: str, name: str) -> bool:
    return re.search(rf"\b{name}\b", sentence, re.IGNORECASE) is not None


class Agreement:
    """The terms of one server for one model: learnt from its refusals, shared by threads, kept by the workspace.

    `sampling` are the sampling fields that are left out. They are part of each answer's key, so they are settled with
    the first answer and stay, in later runs too: what is refused afterwards is left out and the user told, but no
    question is asked again because of it.
    """

    def __init__(self, name: str, memory: Memory | None, say: Callable[[str], None]) -> None:
        """Recall what was agreed before under `name`."""
        self._name, self._memory, self._say = name, memory, say
        self._lock = threading.Lock()
        stored = memory.recall(name) if memory else None
        stored = stored if isinstance(stored, Mapping) else {}
        self.terms = self._told = Terms.from_json(stored)
        settled = stored.get("sampling")
        self._sampling = None if settled is None else frozenset(settled)

    @property
    def settled(self) -> bool:
        """Whether the server has answered a question, now or in an earlier run."""
        return self._sampling is not None

    @property
    def sampling(self) -> frozenset[str]:
        """The sampling fields that are not sent."""
        return self.terms.dropped & SAMPLING if self._sampling is None else self._sampling

    def refused(self, words: str, body: Mapping[str, Any], sent: Mapping[str, Any]) -> bool:
        """Learn from the words that refuse `sent`; whether `body` would now be sent differently.

        What counts is what *this* request sent: a field that another thread's refusal took away meanwhile is a reason
        to ask again, not to fail.
        """
        with self._lock:
            self.terms = self.terms.learnt(words, sent)
            return self.terms.applied(body) != sent

    def quieter(self, effort: str) -> bool:
        """Learn that a request with this effort ("" for none) brought thoughts and no answer; whether to ask again."""
        with self._lock:
            terms = self.terms.quieter(effort)
            self.terms = terms or self.terms
            return terms is not None

    def accepted(self, *, settles: bool = False) -> None:
        """A request went through: tell the user and the workspace on what terms. settles: it was a question."""
        if self._told is self.terms and (self.settled or not settles):
            return
        with self._lock:
            news = self.terms.differences(self._told)
            self._told = self.terms
            if settles and self._sampling is None:
                self._sampling = self.terms.dropped & SAMPLING
            elif not news:
                return
            if self._memory:
                sampling = None if self._sampling is None else sorted(self._sampling)
                self._memory.keep(self._name, {**self.terms.to_json(), "sampling": sampling})
        if news:
            self._say(f"adapted to what the server accepts: {news}")
