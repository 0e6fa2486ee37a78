"""Which of the texts that are offered as other wordings of a query may be trained on under its judgments."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from vdistill.inputs.sides import plain
from vdistill.inputs.words import STOP_WORDS
from vdistill.label.written_lines import searches

SHORTEST = 3  # characters: a query may be a word
_STEM = 5  # letters of a word that count: "garden" is in "gardening"
_LISTED, _SHORT = 3, 3  # so many parts of at most so many words make a list

REPEATS, ANSWERS = "repeat another query or wording", "name products instead of the wish"


@dataclass
class Rephrased:
    """Sorts out wordings. What it is told to `learn` is known from then on.

    known: `plain` texts of all queries and wordings.  sold: stems of the words that the titles of the catalog have.
    dropped: how many were sorted out, by reason.
    """

    known: set[str]
    sold: frozenset[str]
    dropped: Counter[str] = field(default_factory=Counter)

    def written(self, query: str, lines: Sequence[str]) -> list[str]:
        """The usable new wordings in what a model wrote; none where most of it answers the query."""
        texts = searches(lines, (), SHORTEST, words=1)  # some languages are written without spaces
        kept = [text for text in texts if not self.answers(query, text)]
        if len(kept) * 2 < len(texts):  # the model took the query for a question
            kept = []
        self.dropped[ANSWERS] += len(texts) - len(kept)
        return self.new(kept)

    def new(self, texts: Iterable[str]) -> list[str]:
        """Those that nobody has said yet."""
        found: dict[str, str] = {}
        for text in texts:
            if plain(text) in self.known or plain(text) in found:
                self.dropped[REPEATS] += 1
            else:
                found[plain(text)] = text
        return list(found.values())

    def learn(self, texts: Iterable[str]) -> None:
        """What was said is not new any more."""
        self.known.update(map(plain, texts))

    def answers(self, query: str, text: str) -> bool:
        """Whether a text says nothing of what the query says, and names what the shop sells or lists things."""
        asked, said = stems(query), stems(text)
        if not asked or not said or asked & said:
            return False
        return bool(said & self.sold) or _is_list(text)

    @property
    def told(self) -> str:
        """What was dropped, in words; "" for nothing."""
        return ", ".join(f"{count:,} {reason}" for reason, count in self.dropped.items() if count)


def stems(text: str) -> frozenset[str]:
    """The beginnings of the words of a text that carry meaning."""
    words = re.findall(r"\w+", plain(text))
    return frozenset(word[:_STEM] for word in words if word not in STOP_WORDS and len(word) > 1)


def _is_list(text: str) -> bool:
    parts = [part for part in re.split(r",|;|/|\band\b|\bor\b", text) if part.strip()]
    return len(parts) >= _LISTED and all(len(part.split()) <= _SHORT for part in parts)
