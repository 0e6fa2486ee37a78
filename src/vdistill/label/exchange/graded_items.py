"""The grades of TREC qrels as choices of a teacher: a relevant item against some that are less relevant."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from vdistill.errors import VdistillError
from vdistill.label.exchange.preference_rows import ImportedCall
from vdistill.records import Answer, Query

BEST_OF = 8  # images of a choice
ALL, LOOKS = 4096, 256  # up to ALL items each is a candidate for a lower grade; of more, LOOKS random ones are


def texts_by_id(known: Sequence[Query], given: Sequence[Query]) -> tuple[dict[str, str], set[str]]:
    """What each id in qrels means, and the ids that mean several things; a text that is not an id stands for itself.

    known: the registered queries. given: those of a file, which alone settles what ids mean.
    Raises VdistillError where it uses an id twice.
    """
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for query in given or known:
        found[query.id][query.text] = None
    twice = {key for key, texts in found.items() if len(texts) > 1}
    if given and twice:
        first = min(twice)
        names = " and ".join(map(repr, list(found[first])[:2]))
        raise VdistillError(
            f"{len(twice):,} ids of the queries file are not unique, e.g. {first!r} names {names}",
            hint="give each query an id of its own: qrels know queries by their ids",
        )
    ids = {key: next(iter(texts)) for key, texts in found.items() if key not in twice}
    return {query.text: query.text for query in [*known, *given] if query.text not in twice} | ids, twice


def choices(query: str, grades: Mapping[str, int], items: Sequence[str]) -> Iterator[ImportedCall]:
    """For each relevant item a choice against some of `items` that are less so; what has no grade is not relevant.

    items: those on the side of the query, in order.
    """
    rng = np.random.default_rng(int(hashlib.sha256(query.encode()).hexdigest()[:15], 16))
    ours = set(items)
    for item in sorted(item for item, grade in grades.items() if grade > 0 and item in ours):
        if worse := _less_relevant(items, grades, grades[item], rng):
            yield ImportedCall(query, (item, *worse), Answer(probabilities=(1.0, *(0.0 for _ in worse))))


def _less_relevant(items: Sequence[str], grades: Mapping[str, int], grade: int, rng: np.random.Generator) -> list[str]:
    if len(items) <= ALL:
        worse = [other for other in items if grades.get(other, 0) < grade]
        return [worse[place] for place in rng.permutation(len(worse))[: BEST_OF - 1]]
    places = dict.fromkeys(rng.integers(len(items), size=LOOKS).tolist())
    return [items[place] for place in places if grades.get(items[place], 0) < grade][: BEST_OF - 1]
