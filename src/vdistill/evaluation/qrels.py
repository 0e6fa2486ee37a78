"""A test set from TREC qrels: grades from elsewhere, one `query iteration item grade` per line."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vdistill.arrays import Floats, Ints
from vdistill.errors import VdistillError
from vdistill.evaluation.by_product import NO_PRODUCTS, ByProduct
from vdistill.evaluation.test_set import HeldOutSet, JudgedQuery, distinct_titles
from vdistill.evaluation.trec_ids import ItemNames, QueryNames
from vdistill.inputs.lines import read_lines
from vdistill.records import Item, Per, Query, Split

Qrels = dict[str, dict[str, int]]

HINT = "a line reads `QUERY_ID 0 ITEM_ID GRADE`, with a whole number as the grade"


def read_qrels(path: Path) -> Qrels:
    """The grades by query id and item id. Item ids may hold spaces; a negative grade counts as 0.

    Raises VdistillError, naming the line, for a line that cannot be read or contradicts an earlier one.
    """
    found: Qrels = {}
    for number, line in read_lines(path, "judgment"):
        query, item, grade = _parse(line, f"{path}, line {number}")
        before = found.setdefault(query, {}).setdefault(item, grade)
        if before != grade:
            raise VdistillError(
                f"{path}, line {number}: {item!r} has grade {grade} for query {query!r}, and {before} further up",
                hint="keep one of the two lines",
            )
    if not found:
        raise VdistillError(f"{path} holds no judgments", hint=HINT)
    return found


@dataclass(frozen=True)
class Candidates:
    """What a qrels file is about.

    items: all that have vectors.  sides: of the items, by id.  products: of the items, as `ByProduct.of` takes them;
    the file may name them too.  per: what is ranked; the grade of a product is that of all its images.
    only_judged: whether only what has a grade is a candidate of a query, as with trec_eval's -J.
    """

    items: Sequence[Item]
    sides: Mapping[str, Split]
    products: Mapping[str, str] = field(default_factory=lambda: NO_PRODUCTS)
    per: Per = "product"
    only_judged: bool = False


def from_qrels(qrels: Qrels, name: str, queries: Sequence[Query], among: Candidates) -> HeldOutSet:
    """Judge by the grades of a qrels file called `name`.

    queries: all that the workspace knows. Only what is held out is used, and only queries with a relevant item; the
    rest is counted in `notes`. Raises VdistillError where nothing is left.
    """
    kept = sorted((item for item in among.items if among.sides.get(item.id) == "heldout"), key=lambda item: item.id)
    ids, products = tuple(item.id for item in kept), among.products
    grouped = ByProduct.of(ids, products if among.per == "product" else NO_PRODUCTS)
    row = {key: number for number, key in enumerate(ids)}
    names, asked, least = ItemNames(among.items, products), QueryNames(queries), 0 if among.only_judged else 1
    by_text = _by_text(qrels, queries, asked)
    graded = {text: _graded(by_image(grades, names), row, least) for text, grades in by_text.items()}
    judged = []
    for text, found in graded.items():
        numbers, gains, images = grouped.judged(*found)
        if gains.any():
            judged.append(JudgedQuery(text, numbers, gains, gains, images))
    strange = {query for query in qrels if asked.find(query) is None}
    unknown = {item for grades in qrels.values() for item in grades if not names.find(item)}
    notes = (
        *unknown_note("queries", name, strange - asked.several, asked.known),
        *unknown_note("items", name, unknown, names.known),
        *_count(len(strange & asked.several), "query ids left out: each names more than one query of the workspace"),
        *_count(len(graded) - len(judged), "held-out queries left out: no relevant held-out item"),
    )
    if not judged:
        raise VdistillError(
            f"{name} has no relevant held-out item for any held-out query" + "".join(f"; {note}" for note in notes),
            hint="its first column must hold the ids or texts of held-out queries, its third item paths relative to "
            "the catalog, or names of products",
        )
    titles = distinct_titles(kept)
    return HeldOutSet("qrels", name, ids, grouped, tuple(judged), *titles, notes, only_judged=among.only_judged)


def by_image(grades: Mapping[str, int], names: ItemNames) -> dict[str, int]:
    """The grade of each image, by id: the highest of those that a qrels file gives to it and to its product.

    A name that is not known is left out.
    """
    found: dict[str, int] = {}
    for name, grade in grades.items():
        for image in names.find(name):
            found[image] = max(grade, found.get(image, 0))
    return found


def _parse(line: str, where: str) -> tuple[str, str, int]:
    head = line.split(None, 2)
    tail = head[2].rsplit(None, 1) if len(head) == 3 else []
    if len(tail) != 2:
        raise VdistillError(f"{where}: {len(line.split())} columns instead of 4", hint=HINT)
    try:
        return head[0], tail[0], max(int(tail[1]), 0)
    except ValueError:
        raise VdistillError(f"{where}: grade {tail[1]!r} is not a whole number", hint=HINT) from None


def _graded(grades: Mapping[str, int], rows: Mapping[str, int], least: int) -> tuple[Ints, Floats]:
    """The indices and grades of the items that are among `rows` and have at least this grade."""
    found = sorted((rows[item], grade) for item, grade in grades.items() if item in rows and grade >= least)
    return np.array([row for row, _ in found], np.intp), np.array([grade for _, grade in found], np.float64)


def _by_text(qrels: Qrels, queries: Sequence[Query], names: QueryNames) -> dict[str, dict[str, int]]:
    """The grades of the held-out queries that the file names, by text; of two for one item the highest."""
    found: dict[str, dict[str, int]] = {query.text: {} for query in queries if query.split == "heldout"}
    named = set()
    for key, grades in qrels.items():
        text = names.find(key)
        if text in found:
            named.add(text)
            found[text] |= {item: max(grade, found[text].get(item, 0)) for item, grade in grades.items()}
    return {text: grades for text, grades in found.items() if text in named}


def _count(number: int, what: str) -> tuple[str, ...]:
    return (f"{number:,} {what}",) if number else ()


def unknown_note(kind: str, name: str, unknown: set[str], known: Sequence[str]) -> tuple[str, ...]:
    """One line on unknown ids, with what the first of them may have meant."""
    if not unknown:
        return ()
    first = min(unknown)
    close = difflib.get_close_matches(first, known, n=1)
    meant = f" (close: {close[0]!r})" if close else ""
    return (f"{len(unknown):,} of the {kind} in {name} are not known, e.g. {first!r}{meant}",)
