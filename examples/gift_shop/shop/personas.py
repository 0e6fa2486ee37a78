"""Persona queries: what people type, and the wish behind it. Held-out ones share neither persons nor wording."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from shop.attributes import Wish
from shop.stocks import Stock

# Many wordings teach more than many calls a query: with four times the queries, and as many calls in all, an unseen
# wording is understood better (docs/benchmarks.md).
TRAIN, HELDOUT = 1008, 70


@dataclass(frozen=True, slots=True)
class PersonaQuery:
    """A query, who asks, and what would please them (the wish is hidden from everyone but the judges)."""

    id: str
    text: str
    persona: str
    split: str
    wish: Wish


def persona_queries(stock: Stock, seed: int) -> list[PersonaQuery]:
    """All queries, training ones first."""
    found: list[PersonaQuery] = []
    for split, words, count in (("train", stock.train, TRAIN), ("heldout", stock.heldout, HELDOUT)):
        rng = np.random.default_rng([seed, len(split)])
        texts: set[str] = set()
        while len(texts) < count:
            interest = stock.interests[len(texts) % len(stock.interests)]
            text, persona, wish = _query(words, interest, rng)
            if text not in texts:
                texts.add(text)
                found.append(PersonaQuery(f"q{len(found) + 1:03}", text, persona, split, wish))
    check_disjoint(found)
    return found


def check_disjoint(queries: Sequence[PersonaQuery]) -> None:
    """Raise ValueError where a held-out query shares a person, or four words in a row, with a training query."""
    train = [query for query in queries if query.split == "train"]
    persons = {query.persona for query in train}
    known = {gram for query in train for gram in _grams(query.text)}
    for query in queries:
        if query.split == "heldout" and (query.persona in persons or known.intersection(_grams(query.text))):
            raise ValueError(f"held-out query {query.id} repeats training words: {query.text!r}")


def _query(words: ModuleType, interest: str, rng: np.random.Generator) -> tuple[str, str, Wish]:
    """A query about `interest`: half of them name a taste, half a colour, two fifths a budget."""
    persona = _one(words.PERSONS, rng)
    clauses: list[str] = []
    wish: dict[str, object] = {"interests": {interest: 1.0}}
    if rng.random() < 0.5:
        taste = _one(tuple(words.TASTES), rng)
        clause, weight = _one(words.TASTES[taste], rng)
        clauses.append(clause)
        wish |= {"taste": taste, "taste_weight": weight}
    if rng.random() < 0.5:
        clause, colours, weight = _one(words.COLOURS, rng)
        clauses.append(clause)
        wish |= {"colours": colours, "colour_weight": weight}
    if rng.random() < 0.4:
        budget = _one(tuple(words.BUDGETS), rng)
        clause, weight = _one(words.BUDGETS[budget], rng)
        clauses.append(clause)
        wish |= {"budget": budget, "budget_weight": weight}
    order = rng.permutation(len(clauses))
    opener = _one(words.OPENERS, rng).format(who=persona, what=_one(words.INTERESTS[interest], rng))
    return ", ".join([opener, *(clauses[i] for i in order)]), persona, Wish(**wish)  # type: ignore[arg-type]


def _one(choices: Sequence, rng: np.random.Generator):  # noqa: ANN202
    return choices[int(rng.integers(len(choices)))]


def _grams(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"[\w'€-]+", text.lower())
    return {tuple(words[i : i + 4]) for i in range(len(words) - 3)}
