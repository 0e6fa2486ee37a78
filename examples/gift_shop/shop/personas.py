"""Persona queries: what people type, and the wish behind it. Held-out ones share neither persons nor wording.

Training queries come with paraphrases, as a teacher would write them: the same wish in other phrases for training.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import ModuleType

import numpy as np

from shop.attributes import Wish
from shop.stocks import Stock

# Many wordings teach more than many calls a query: with four times the queries, and as many calls in all, an unseen
# wording is understood better (docs/benchmarks.md).
TRAIN, HELDOUT = 1008, 70
PARAPHRASES = 4  # of a training query


@dataclass(frozen=True, slots=True)
class PersonaQuery:
    """A query, who asks, and what would please them (the wish is hidden from everyone but the judges).

    paraphrases: the same wish in other words.
    """

    id: str
    text: str
    persona: str
    split: str
    wish: Wish
    paraphrases: tuple[str, ...] = ()


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
    found = with_paraphrases(stock.train, found, seed)
    check_disjoint(found)
    return found


def with_paraphrases(words: ModuleType, queries: Sequence[PersonaQuery], seed: int) -> list[PersonaQuery]:
    """The same with `PARAPHRASES` of each training query, all different from one another and from all queries."""
    tested = {gram for query in queries if query.split == "heldout" for gram in _grams(query.text)}
    said = {query.text for query in queries}
    found = []
    for number, query in enumerate(queries):
        rng, others = np.random.default_rng([seed, 5, number]), []
        while query.split == "train" and len(others) < PARAPHRASES:
            text = _rephrased(words, query, rng)
            if text not in said and tested.isdisjoint(_grams(text)):
                said.add(text)
                others.append(text)
        found.append(replace(query, paraphrases=tuple(others)))
    return found


def check_disjoint(queries: Sequence[PersonaQuery]) -> None:
    """Raise ValueError where a held-out query shares a person, or four words in a row, with a training query."""
    train = [query for query in queries if query.split == "train"]
    persons = {query.persona for query in train}
    known = {gram for query in train for text in (query.text, *query.paraphrases) for gram in _grams(text)}
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


def _rephrased(words: ModuleType, query: PersonaQuery, rng: np.random.Generator) -> str:
    """The wish behind a query in words drawn anew: phrases that mean the same, with the same weight."""
    wish, clauses = query.wish, []
    (interest,) = wish.interests
    if wish.taste:
        same = [clause for clause, weight in words.TASTES[wish.taste] if weight == wish.taste_weight]
        clauses.append(_one(same, rng))
    if wish.colours:
        meant = (wish.colours, wish.colour_weight)
        clauses.append(_one([clause for clause, *meaning in words.COLOURS if tuple(meaning) == meant], rng))
    if wish.budget:
        same = [clause for clause, weight in words.BUDGETS[wish.budget] if weight == wish.budget_weight]
        clauses.append(_one(same, rng))
    order = rng.permutation(len(clauses))
    opener = _one(words.OPENERS, rng).format(who=query.persona, what=_one(words.INTERESTS[interest], rng))
    return ", ".join([opener, *(clauses[i] for i in order)])


def _one(choices: Sequence, rng: np.random.Generator):  # noqa: ANN202
    return choices[int(rng.integers(len(choices)))]


def _grams(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"[\w'€-]+", text.lower())
    return {tuple(words[i : i + 4]) for i in range(len(words) - 3)}
