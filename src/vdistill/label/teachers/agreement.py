"""What was agreed with one server for one model: learnt from its refusals, shared by threads, kept by the workspace."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from vdistill.label.teachers.chat_terms import SAMPLING, Terms
from vdistill.label.teachers.memory import Memory


class Agreement:
    """The terms of a server and a model.

    `sampling` are the fields without which answers are drawn in another way. It is part of each answer's key, so it is
    settled with the first answer and stays, in later runs too: what is refused afterwards is left out and said, and
    asks nothing anew.
    """

    def __init__(self, name: str, memory: Memory, say: Callable[[str], None]) -> None:
        """Recall what was agreed before under `name`."""
        self._name, self._memory, self._say = name, memory, say
        self._lock = threading.Lock()
        stored = memory.recall(name)
        stored = stored if isinstance(stored, Mapping) else {}
        self._terms = self._told = Terms.from_json(stored)
        settled = stored.get("sampling")
        self._sampling = None if settled is None else frozenset(settled)

    @property
    def settled(self) -> bool:
        """Whether the server has answered a question, now or in an earlier run."""
        return self._sampling is not None

    @property
    def sampling(self) -> frozenset[str]:
        """The sampling fields that are not sent."""
        return self._terms.dropped & SAMPLING if self._sampling is None else self._sampling

    def applied(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The request as it is sent."""
        return self._terms.applied(body)

    def refused(self, words: str, body: Mapping[str, Any], sent: Mapping[str, Any]) -> bool:
        """Learn from the words that refuse `sent`; whether `body` would now be sent in another way.

        What counts is what *this* request sent: a field that another thread's refusal took away meanwhile is a reason
        to ask again, not to fail.
        """
        with self._lock:
            self._terms = self._terms.learnt(words, sent)
            return self._terms.applied(body) != sent

    def quieter(self, effort: str) -> bool:
        """Learn that a request with this effort ("" for none) brought thoughts and no answer; whether to ask again."""
        with self._lock:
            terms = self._terms.quieter(effort)
            self._terms = terms or self._terms
            return terms is not None

    def accepted(self, *, settles: bool = False) -> None:
        """A request went through: tell the user and the workspace what it took. settles: it was a question."""
        if self._told is self._terms and (self.settled or not settles):
            return
        with self._lock:
            news = self._terms.differences(self._told)
            self._told = self._terms
            if settles and self._sampling is None:
                self._sampling = self._terms.dropped & SAMPLING
            elif not news:
                return
            self._memory.keep(self._name, self._stored())
        if news:
            self._say(f"adapted to what the server takes: {news}")

    def _stored(self) -> dict[str, Any]:
        sampling = None if self._sampling is None else sorted(self._sampling)
        return {**self._terms.to_json(), "sampling": sampling}
