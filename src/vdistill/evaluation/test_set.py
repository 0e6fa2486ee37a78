"""The test set: held-out queries on held-out items, judged by a teacher or by a qrels file.

A `HeldOutSet` is built from held-out queries and held-out items alone, and every model is graded on the same queries
and candidates.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vdistill import preferences
from vdistill.arrays import Floats, Ints
from vdistill.errors import VdistillError
from vdistill.evaluation.by_product import NO_PRODUCTS, ByProduct
from vdistill.evaluation.metrics import DEPTH
from vdistill.records import Item, Judgment, Per

MOST_TITLES = 1000  # literal recall is a mean over titles: so many give it to ± 0.02

# A query is left out where so many items were shown, and the judge would rather take none than any of them.
_MANY, _FAR = 100, 0.1
_SAME = 1e-6  # logits: a teacher whose utilities are all this close prefers nothing
_LABEL = "`vdistill label` judges held-out queries too: run it with a larger --budget, or with --holdout above 0"


@dataclass(frozen=True, slots=True)
class JudgedQuery:
    """What is known of one query.

    rows:      (m,) numbers of products, ascending.
    gains:     (m,) ≥ 0, for nDCG and recall.
    utilities: (m,) what τ and pairwise accuracy compare with: the teacher's utilities, or the gains again.
    images:    (m,) of each product the image that was judged best: indices into `HeldOutSet.items`.
    """

    query: str
    rows: Ints
    gains: Floats
    utilities: Floats
    images: Ints


@dataclass(frozen=True)
class HeldOutSet:
    """Held-out queries and items, and what is known of them.

    source:     `teacher`: the candidates of a query are the products the teacher judged for it. `qrels`: all products
                are candidates of every query, and those without a grade have gain 0; with `only_judged`, those with a
                grade alone.
    judged_by:  the teacher, or the name of the qrels file.  prompt: the version of the prompt that the teacher got.
    items:      ids (n,) of the images, ascending: the rows of item vectors.
    products:   which of them show the same product.
    titles:     distinct titles of the items (t,), at most `MOST_TITLES`, chosen by their hash.
    with_title: (t,) indices of the items that have each title.
    notes:      what was left out, for the reader of the figures.
    """

    source: Literal["teacher", "qrels"]
    judged_by: str
    items: tuple[str, ...]
    products: ByProduct
    judged: tuple[JudgedQuery, ...]
    titles: tuple[str, ...]
    with_title: tuple[Ints, ...]
    notes: tuple[str, ...] = ()
    prompt: str = ""
    only_judged: bool = False

    @property
    def all_items(self) -> bool:
        """Whether all items are candidates of every query."""
        return self.source == "qrels" and not self.only_judged

    @property
    def queries(self) -> tuple[str, ...]:
        """The texts (q,): the rows of query vectors."""
        return tuple(one.query for one in self.judged)

    @property
    def per(self) -> Per:
        """What is ranked. Where every product has one image, that is the same, and called `image`."""
        return "product" if self.products.several else "image"

    @property
    def candidates(self) -> Ints:
        """(q,) how many products are ranked for each query."""
        sizes = [len(self.products.names) if self.all_items else len(one.rows) for one in self.judged]
        return np.array(sizes, np.intp)

    @property
    def names(self) -> tuple[str, ...]:
        """(p,) what to call the candidates elsewhere: the products, or where each has one image, the images."""
        return self.products.names if self.products.several else self.items

    def dense(self, judged: JudgedQuery) -> tuple[Ints | slice, Floats, Floats]:
        """The candidates of a query among the products, with the gain and the utility of each."""
        if not self.all_items:
            return judged.rows, judged.gains, judged.utilities
        gains = np.zeros(len(self.products.names))
        gains[judged.rows] = judged.gains
        return slice(None), gains, gains


def from_judgments(
    judgments: Sequence[Judgment], items: Sequence[Item], products: Mapping[str, str] = NO_PRODUCTS
) -> HeldOutSet:
    """Judge by the teacher's preferences.

    judgments: those of the held-out split; others are ignored. items: the held-out items with vectors, in any order;
    judged items that are not among them are left out. products: of the items, as `ByProduct.of` takes them.

    The teacher's best ten get the gains 10, 9, … 1 (tied ones share), so that nDCG does not depend on the scale of the
    utilities; recall@10 asks for those ten. Raises VdistillError where no query has two judged products.
    """
    items = sorted(items, key=lambda item: item.id)
    ids = tuple(item.id for item in items)
    grouped = ByProduct.of(ids, products)
    used = [one for one in judgments if one.split == "heldout"]
    fitted = preferences.fit(used)
    by_query = {query: grouped.judged(*known) for query, known in _utilities(fitted, ids).items()}
    rejected = _rejected(fitted, used)
    found = {query: known for query, known in by_query.items() if len(known[0]) > 1 and query not in rejected}
    judged = tuple(
        JudgedQuery(query, rows, _gains(utilities), utilities, images)
        for query, (rows, utilities, images) in found.items()
        if np.ptp(utilities) > _SAME
    )
    if not judged:
        raise VdistillError("no held-out judgments to measure by", hint=_LABEL)
    lost = len(found) - len(judged)
    notes: tuple[str, ...] = (
        (f"{lost:,} held-out queries left out: the teacher rates their images all alike",) if lost else ()
    )
    notes += (f"{len(rejected):,} held-out queries left out: the teacher would take none",) if rejected else ()
    teachers, prompts = sorted({one.teacher for one in used}), {one.prompt for one in used}
    prompt = prompts.pop() if len(prompts) == 1 else ""
    return HeldOutSet("teacher", ", ".join(teachers), ids, grouped, judged, *distinct_titles(items), notes, prompt)


def utilities_of(judgments: Sequence[Judgment], items: Sequence[str]) -> dict[str, tuple[Ints, Floats]]:
    """For each judged query the indices of its items among `items`, ascending, and their utilities.

    A query with fewer than two such items is absent.
    """
    return _utilities(preferences.fit(judgments), items)


def _rejected(fitted: preferences.Fitted, judgments: Sequence[Judgment]) -> set[str]:
    """The queries that nothing answers: what is preferred among their images is a matter of chance."""
    many = {query for query in fitted.queries if len(fitted.means(query)[0]) >= _MANY}
    asked = [one for one in judgments if one.query in many and (one.answer.none, one.answer.accepted) != (None, None)]
    utilities = {query: dict(zip(*fitted.means(query), strict=True)) for query in many}
    zeros = preferences.zeros(fitted, utilities, asked)
    limit = math.log(_FAR / (1 - _FAR))
    return {query for query, zero in zeros.items() if max(utilities[query].values()) - zero < limit}


def _utilities(fitted: preferences.Fitted, items: Sequence[str]) -> dict[str, tuple[Ints, Floats]]:
    index = {item: row for row, item in enumerate(items)}
    found = {}
    for query in fitted.queries:
        keys, utilities = fitted.means(query)
        here = sorted((index[key], place) for place, key in enumerate(keys) if key in index)
        if len(here) > 1:
            rows, places = np.array(here, np.intp).T
            found[query] = (rows, utilities[places])
    return found


def distinct_titles(items: Sequence[Item]) -> tuple[tuple[str, ...], tuple[Ints, ...]]:
    """The titles (t,), at most `MOST_TITLES`, and for each the indices of the items that have it."""
    rows: dict[str, list[int]] = {}
    for row, item in enumerate(items):
        if item.title is not None:
            rows.setdefault(item.title, []).append(row)
    titles = sorted(sorted(rows, key=lambda title: hashlib.sha256(title.encode()).digest())[:MOST_TITLES])
    return tuple(titles), tuple(np.array(rows[title], np.intp) for title in titles)


def _gains(utilities: Floats) -> Floats:
    """(n,): 10 for the first, 9 for the second, … 0 from the eleventh on."""
    from scipy.stats import rankdata

    return np.asarray(np.maximum(0.0, DEPTH + 1 - rankdata(-utilities)))
