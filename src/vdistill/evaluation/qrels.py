"""A test set from TREC qrels: grades from elsewhere, one `query iteration item grade` per line."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from vdistill.arrays import Floats, Ints
from vdistill.errors import VdistillError
from vdistill.evaluation.test_set import HeldOutSet, JudgedQuery, distinct_titles
from vdistill.inputs.lines import read_lines
from vdistill.records import Item, Query, Split

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


def from_qrels(
    qrels: Qrels, name: str, queries: Sequence[Query], items: Sequence[Item], sides: Mapping[str, Split],
    *, only_judged: bool = False,
) -> HeldOutSet:  # fmt: skip
    """Judge by the grades of a qrels file called `name`.

    queries: all that the workspace knows. items: all that have vectors. sides: of the items, by id. Only those held out
    are used, and only queries with a relevant item; the rest is counted in `notes`. only_judged: whether only items
    with a grade are candidates of a query, as with trec_eval's -J.
    Raises VdistillError where nothing is left.
    """
    kept = sorted((item for item in items if sides.get(item.id) == "heldout"), key=lambda item: item.id)
    rows = {item.id: row for row, item in enumerate(kept)}
    texts, twice = _by_id(queries)
    least = 0 if only_judged else 1
    graded = {text: _graded(qrels[key], rows, least) for key, text in texts.items() if key in qrels}
    judged = [JudgedQuery(text, *found, found[1]) for text, found in graded.items() if found[1].any()]
    named = {item for grades in qrels.values() for item in grades}
    notes = (
        *unknown_note("queries", name, qrels.keys() - {query.id for query in queries}, [query.id for query in queries]),
        *unknown_note("items", name, named - {item.id for item in items}, [item.id for item in items]),
        *_count(len(twice & qrels.keys()), "query ids left out: each names more than one query of the workspace"),
        *_count(len(graded) - len(judged), "held-out queries left out: no relevant held-out item"),
    )
    if not judged:
        raise VdistillError(
            f"{name} has no relevant held-out item for any held-out query" + "".join(f"; {note}" for note in notes),
            hint="its first column must hold the ids of held-out queries, its third item paths relative to the catalog",
        )
    return HeldOutSet("qrels", name, tuple(rows), tuple(judged), *distinct_titles(kept), notes, only_judged=only_judged)


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


def _by_id(queries: Sequence[Query]) -> tuple[dict[str, str], set[str]]:
    """The texts of the held-out queries by id, and the ids that name several texts."""
    texts: dict[str, set[str]] = {}
    for query in queries:
        texts.setdefault(query.id, set()).add(query.text)
    twice = {key for key, found in texts.items() if len(found) > 1}
    return {q.id: q.text for q in queries if q.split == "heldout" and q.id not in twice}, twice


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
