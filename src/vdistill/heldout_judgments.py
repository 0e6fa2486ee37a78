"""Which of the stored held-out judgments count: those of one teacher, on pictures that are still what was judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from vdistill.records import Judgment


def admissible(judgments: Sequence[Judgment], hashes: Mapping[str, str]) -> tuple[list[Judgment], tuple[str, ...]]:
    """The judgments to measure by, and what was left out, one line each.

    judgments: of the held-out split, oldest first. hashes: of the pictures' contents as they are now, by item.

    Two teachers may disagree, so the latest is the judge. A picture that has another content now is another item in
    the judgments that saw the old one, so that what they say of the others still counts.
    """
    teachers = list(dict.fromkeys(one.teacher for one in judgments))
    if not teachers:
        return [], ()
    judge = judgments[-1].teacher
    notes = []
    if len(teachers) > 1:
        others = ", ".join(name for name in teachers if name != judge)
        notes.append(f"judged by {judge}, the latest teacher; not by {others}")
    ours = [one for one in judgments if one.teacher == judge]
    changed = {item for one in ours for item in _changed(one, hashes)}
    if changed:
        notes.append(f"{len(changed):,} held-out pictures changed since they were judged: those judgments do not count")
    return [_renamed(one, hashes) for one in ours], tuple(notes)


def _changed(judgment: Judgment, hashes: Mapping[str, str]) -> list[str]:
    pairs = zip(judgment.items, judgment.sha256, strict=True)
    return [item for item, known in pairs if hashes.get(item, known) != known]


def _renamed(judgment: Judgment, hashes: Mapping[str, str]) -> Judgment:
    changed = set(_changed(judgment, hashes))
    if not changed:
        return judgment
    pairs = zip(judgment.items, judgment.sha256, strict=True)
    return replace(judgment, items=tuple(f"{item}\0{known}" if item in changed else item for item, known in pairs))
