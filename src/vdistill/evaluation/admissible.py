"""Which of the stored held-out judgments count: those of one judge, on images that have not changed since."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from vdistill.database import Database
from vdistill.errors import VdistillError
from vdistill.inputs.sides import Sides
from vdistill.records import Judgment

JURIES = "juries"  # the setting that holds them


@dataclass(frozen=True, slots=True)
class Judge:
    """A teacher with one version of its prompt: asked by another prompt it is another judge.

    members: of a jury, its teachers; their prompts make no difference.
    """

    teacher: str
    prompt: str
    members: tuple[str, ...] = ()

    @property
    def full_name(self) -> str:
        """What `--judge` takes where a teacher was asked by several prompts."""
        return f"{self.teacher}#{self.prompt}"

    def gave(self, teacher: str, prompt: str) -> bool:
        """Whether an answer of this teacher, asked with this prompt, is its own."""
        return teacher in self.members if self.members else (teacher, prompt) == (self.teacher, self.prompt)


@dataclass(frozen=True, slots=True)
class Admitted:
    """The judgments to measure by, who gave them, and what was left out, one note each."""

    judgments: list[Judgment]
    judge: Judge | None
    notes: tuple[str, ...]


def admissible(
    judgments: Sequence[Judgment],
    hashes: Mapping[str, str],
    sides: Sides,
    judge: str | None = None,
    juries: Sequence[Sequence[str]] = (),
) -> Admitted:
    """The judgments of one judge, or of one jury, on held-out queries.

    judgments: of the held-out split. hashes: of the images' contents as they are now, by item. judge: the name of a
    teacher, or `TEACHER#PROMPT`; by default the one with most judgments, among equals the latest. juries: the names of
    teachers who shared questions: together they are one judge, called by their names with ` + ` between.

    An image whose content changed is another item in the judgments of the old content, so that what they say about the
    other images still counts. Raises VdistillError for a judge that gave none.
    """
    held_out = [one for one in judgments if sides.of_registered(one.query, one.split) == "heldout"]
    notes = []
    if trained := len(judgments) - len(held_out):
        notes.append(
            f"{trained:,} of {len(judgments):,} held-out judgments left out: their queries are used for training"
        )
    if not held_out:
        return Admitted([], None, tuple(notes))
    of_jury = {name: Judge(" + ".join(names), "", tuple(names)) for names in juries for name in names}
    if judge is not None and all(judge != one.teacher for one in of_jury.values()):
        of_jury = {}
    found = {id(one): of_jury.get(one.teacher) or Judge(one.teacher, one.prompt) for one in held_out}
    judges = Counter(found[id(one)] for one in reversed(held_out))  # of equals the first is the latest
    chosen = _chosen(judges, judge)
    if len(judges) > 1:
        notes.append(_among(judges, chosen))
    ours = [one for one in held_out if found[id(one)] == chosen]
    current = [_renamed(one, hashes) for one in ours]
    changed = {old for one, now in zip(ours, current, strict=True) for old in set(one.items) - set(now.items)}
    if changed:
        notes.append(f"{len(changed):,} held-out images changed since they were judged: those judgments do not count")
    return Admitted(current, chosen, tuple(notes))


def juries_of(database: Database) -> list[list[str]]:
    """The juries that judged in this workspace, oldest first: the names of their teachers."""
    return [list(names) for names in database.setting(JURIES) or []]


def _chosen(judges: Counter[Judge], name: str | None) -> Judge:
    (most, _), *_ = judges.most_common()
    if name is None:
        return most
    found = [judge for judge, _ in judges.most_common() if name in (judge.teacher, judge.full_name)]
    if found:
        return found[0]
    names = [_name(judge, judges) for judge, _ in judges.most_common()]
    close = difflib.get_close_matches(name, names, n=1)
    meant = f"did you mean {close[0]!r}? " if close else ""
    raise VdistillError(
        f"no held-out query was judged by {name!r}", hint=f"{meant}the judges are: {', '.join(map(repr, names))}"
    )


def _among(judges: Counter[Judge], chosen: Judge) -> str:
    """Who judged, and who else could have."""
    others = ", ".join(f"{_name(one, judges)} ({count:,})" for one, count in judges.most_common() if one != chosen)
    return (
        f"judged by {_name(chosen, judges)} ({judges[chosen]:,} held-out judgments), not by {others}; "
        "`vdistill bench --judge NAME` chooses another"
    )


def _name(judge: Judge, judges: Mapping[Judge, int]) -> str:
    """The teacher, and its prompt where it was asked by several."""
    return judge.full_name if sum(one.teacher == judge.teacher for one in judges) > 1 else judge.teacher


def _renamed(judgment: Judgment, hashes: Mapping[str, str]) -> Judgment:
    """The judgment, with new item ids for images whose content is no longer that of `hashes`."""
    pairs = zip(judgment.items, judgment.sha256, strict=True)
    items = tuple(item if hashes.get(item, known) == known else f"{item}\0{known}" for item, known in pairs)
    return judgment if items == judgment.items else replace(judgment, items=items)
