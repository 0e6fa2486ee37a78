"""The parts of a query: texts and images with weights, to be found or to be avoided."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vdistill.errors import VdistillError
from vdistill.inputs.lines import well_formed
from vdistill.sources.suffixes import IMAGE_SUFFIXES

if TYPE_CHECKING:
    import numpy as np

SIGNS = {"+": 1.0, "-": -1.0, "−": -1.0}
_WEIGHTED = re.compile(r"(\d+(?:\.\d+)?|\.\d+):(.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Term:
    """One part of a query: a text, the path of an image, or a unit vector (dim,).

    With a negative weight it is to be avoided.
    """

    what: str | Path | np.ndarray
    weight: float = 1.0


def parse(words: Sequence[str], *, images: bool = True) -> tuple[Term, ...]:
    """Terms from the words of a command line: `"2:cosy" + photo.jpg - plastic`.

    A word that is `+` or `-` alone starts the next term, other words belong together; `2:` in front weights a term of
    several ("16:9 screen" alone is text), and a term with the name of an image file is one, unless `images` is false:
    who asks from elsewhere has no business with files here. A sign in a word is text.
    Raises VdistillError for an empty term, one of weight 0, and an image that does not exist.
    """
    groups: list[tuple[float, list[str]]] = [] if words and words[0] in SIGNS else [(1.0, [])]
    for word in words:
        if word in SIGNS:
            groups.append((SIGNS[word], []))
        else:
            groups[-1][1].append(word)
    return tuple(_term(sign, " ".join(group), weighted=len(groups) > 1, images=images) for sign, group in groups)


def spoken(terms: Sequence[Term]) -> str:
    """The terms as one would type them."""
    parts = []
    for place, term in enumerate(terms):
        sign = "- " if term.weight < 0 else "+ " if place else ""
        weight = "" if abs(term.weight) == 1 else f"{abs(term.weight):g}:"
        parts.append(f"{sign}{weight}{term.what if isinstance(term.what, str | Path) else '(vector)'}")
    return " ".join(parts)


def is_text(terms: Sequence[Term]) -> bool:
    """Whether it is a single text that is looked for, as the queries are that fit is known of."""
    return len(terms) == 1 and isinstance(terms[0].what, str) and terms[0].weight > 0


def wanted_text(terms: Sequence[Term]) -> str:
    """The texts with a positive weight, for a search by words."""
    return " ".join(term.what for term in terms if isinstance(term.what, str) and term.weight > 0)


def _term(sign: float, text: str, *, weighted: bool, images: bool) -> Term:
    found = _WEIGHTED.fullmatch(text.strip()) if weighted else None
    weight = sign * float(found[1]) if found else sign
    what = (found[2] if found else text).strip()
    if not what:
        raise VdistillError("the query is empty", hint='say what you look for: vdistill query "gift for a gardener"')
    if weight == 0:
        raise VdistillError(f"{text.strip()!r} has the weight 0", hint="leave it out, or give another weight")
    if not images or Path(what).suffix.lower() not in IMAGE_SUFFIXES:
        return Term(well_formed(what), weight)
    if not Path(what).is_file():
        raise VdistillError(f"there is no image {what}", hint="give the path of an image file, or words")
    return Term(Path(what), weight)
