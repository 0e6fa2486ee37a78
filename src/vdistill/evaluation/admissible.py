"""Which of the stored held-out judgments count: those of one judge, on images that are still what was judged."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from vdistill.errors import VdistillError
from vdistill.inputs.sides import Sides
from vdistill.records import Judgment


@dataclass(frozen=True, slots=True)
class Judge:
    """A teacher with one version of its prompt: with other words it is another judge."""

    teacher: str
    prompt: str

    @property
    def full_name(self) -> str:
        """What `--judge` takes where a teacher was asked by several prompts."""
        return f"{self.teacher}#{self.prompt}"


@dataclass(frozen=True, slots=True)
class Admitted:
    """The judgments to measure by, who gave them, and what was left out, one line each."""

    judgments: list[Judgment]
    judge: Judge | None
    notes: tuple[str, ...]


def admissible(
    judgments: Sequence[Judgment], hashes: Mapping[str, str], sides: Sides, judge: str | None = None
) -> Admitted:
    """The judgments of one judge on held-out queries.

    judgments: of the held-out split. hashes: of the images' contents as they are now, by item. judge: the name of a
    teacher, or `TEACHER#PROMPT`; without it the one with most judgments, among equals the latest.

    An image that has another content now is another item in the judgments that saw the old one, so that what they say
    of the others still counts. Raises VdistillError for a judge that gave none.
    """
    held_out = [one for one in judgments if sides.of_registered(one.query, one.split) == "heldout"]
    notes = [*_other_side(judgments, len(judgments) - len(held_out))]
    if not held_out:
        return Admitted([], None, tuple(notes))
    judges = Counter(Judge(one.teacher, one.prompt) for one in reversed(held_out))  # of equals the first is the latest
    chosen = _chosen(judges, judge)
    notes += _not_asked(judges, chosen)
    ours = [one for one in held_out if (one.teacher, one.prompt) == (chosen.teacher, chosen.prompt)]
    changed = {item for one in ours for item in _changed(one, hashes)}
    if changed:
        notes.append(f"{len(changed):,} held-out pictures changed since they were judged: those judgments do not count")
    return Admitted([_renamed(one, hashes) for one in ours], chosen, tuple(notes))


def _other_side(judgments: Sequence[Judgment], count: int) -> Iterator[str]:
    if count:
        yield f"{count:,} of {len(judgments):,} held-out judgments are left out: their queries are trained on"


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


def _not_asked(judges: Counter[Judge], chosen: Judge) -> Iterator[str]:
    """One line on who might have judged too."""
    if len(judges) > 1:
        others = ", ".join(f"{_name(one, judges)} ({count:,})" for one, count in judges.most_common() if one != chosen)
        yield (
            f"judged by {_name(chosen, judges)} ({judges[chosen]:,} held-out judgments), not by {others}; "
            "`vdistill bench --judge NAME` takes another"
        )


def _name(judge: Judge, judges: Mapping[Judge, int]) -> str:
    """The teacher, with the prompt where it was asked by several."""
    return judge.full_name if sum(one.teacher == judge.teacher for one in judges) > 1 else judge.teacher


def _changed(judgment: Judgment, hashes: Mapping[str, str]) -> list[str]:
    pairs = zip(judgment.items, judgment.sha256, strict=True)
    return [item for item, known in pairs if hashes.get(item, known) != known]


def _renamed(judgment: Judgment, hashes: Mapping[str, str]) -> Judgment:
    changed = set(_changed(judgment, hashes))
    if not changed:
        return judgment
    pairs = zip(judgment.items, judgment.sha256, strict=True)
    return replace(judgment, items=tuple(f"{item}\0{known}" if item in changed else item for item, known in pairs))
