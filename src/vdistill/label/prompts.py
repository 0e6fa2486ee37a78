"""How a vision-language model is asked: all the wording, in one versioned place."""

from __future__ import annotations

import difflib
import hashlib
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Literal, TypeVar

from vdistill.errors import TeacherError, VdistillError
from vdistill.records import Ask

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# Part of the key of each stored answer: raise it with any change below, so that old answers are not taken for new.
PROMPT_VERSION = "1"

LETTERS = "ABCDEFGHI"
PLACE, COUNT = "{query}", "{count}"

ImageT = TypeVar("ImageT")
Part = tuple[Literal["text"], str] | tuple[Literal["image"], ImageT]


@dataclass(frozen=True, slots=True)
class Wording:
    """What is said to a model. `version` becomes part of each answer's key.

    `customer` holds the place of the query, `shoppers` that of the number of queries to write.
    """

    system: str = (
        "You help a shop to know its customers. You see a few of its pictures, each under a letter, and what one "
        "customer is looking for. Judge by what would truly please this customer: purpose, taste and wishes, not words "
        "alone."
    )
    customer: str = f'The customer is looking for: "{PLACE}"'
    best: str = "Which of these pictures suits this customer best? Answer with one letter and nothing else."
    rank: str = (
        "Order these pictures from the one that suits this customer best to the one that suits least. "
        "Answer with all their letters, separated by commas, and nothing else."
    )
    shoppers: str = (
        f"These are pictures from a shop. Think of {COUNT} people, as different as can be in age, taste, purse and "
        "purpose, who could find something here, or for whom somebody looks for a present. For each write what they "
        "would type into the shop's search: a wish, an occasion or a person, and no product's name. "
        "One search a line, without numbers, and nothing else."
    )
    version: str = PROMPT_VERSION

    def content(self, query: str, images: Sequence[ImageT], ask: Ask) -> list[Part[ImageT]]:
        """The user's message in order: each picture behind its letter ("A:"), then the question."""
        parts: list[Part[ImageT]] = []
        for letter, image in zip(letters(len(images)), images, strict=True):
            parts += [("text", f"{letter}:"), ("image", image)]
        question = self.best if ask == "best" else self.rank
        return [*parts, ("text", f"{self.customer.replace(PLACE, query)}\n{question}")]

    def request(self, images: Sequence[ImageT], count: int) -> list[Part[ImageT]]:
        """The message that asks for `count` queries of shoppers whom these pictures suit."""
        shown: list[Part[ImageT]] = [("image", image) for image in images]
        return [*shown, ("text", self.shoppers.replace(COUNT, str(count)))]


def letters(count: int) -> str:
    """The letters of `count` pictures. Raises TeacherError for more pictures than there are letters."""
    if count > len(LETTERS):
        raise TeacherError(
            f"{count} pictures a question, where a model is shown {len(LETTERS)} at most",
            hint=f"give --images-per-call {len(LETTERS)} or less",
        )
    return LETTERS[:count]


def read_wording(path: Path) -> Wording:
    """The built-in wording with what a TOML file says otherwise; its version is a hash of the words.

    Raises VdistillError for a file that cannot be read, a name that is not known, and a `customer` without the query.
    """
    known = [field.name for field in fields(Wording) if field.name != "version"]
    try:
        with path.open("rb") as file:
            said = tomllib.load(file)
    except (OSError, ValueError) as error:
        raise VdistillError(
            f"cannot read the prompt {path}: {error}", hint=f"give a TOML file with any of: {', '.join(known)}"
        ) from error
    for name, words in said.items():
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
            raise VdistillError(f"{path}: unknown part of a prompt {name!r}", hint=hint)
        if not isinstance(words, str) or not words.strip():
            raise VdistillError(f"{path}: {name} is no text", hint=f'write {name} = "…"')
    wording = replace(Wording(), **said)
    if PLACE not in wording.customer:
        raise VdistillError(f"{path}: customer does not say where the query goes", hint=f"put {PLACE} into it")
    if COUNT not in wording.shoppers:
        raise VdistillError(f"{path}: shoppers does not say how many", hint=f"put {COUNT} into it")
    if wording == Wording():
        return wording
    digest = hashlib.sha256(repr(sorted(asdict(wording).items())).encode()).hexdigest()
    return replace(wording, version=f"{PROMPT_VERSION}+{digest[:8]}")
