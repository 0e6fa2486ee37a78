"""The wording in which a vision-language model is asked, in one versioned place."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Literal, TypeVar

from vdistill.errors import TeacherError, VdistillError
from vdistill.inputs.toml_file import read_toml
from vdistill.records import Ask

# Part of the key of each stored answer: raise it with any change of the words below, or old answers pass for new ones.
PROMPT_VERSION = "1"

LETTERS = "ABCDEFGHI"
PLACE, COUNT = "{query}", "{count}"

ImageT = TypeVar("ImageT")
Part = tuple[Literal["text"], str] | tuple[Literal["image"], ImageT]


@dataclass(frozen=True, slots=True)
class Wording:
    """What a model is told. `version` becomes part of each answer's key.

    `customer` has a place holder for the query, `shoppers` one for the number of queries to write.
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
        """The user's message in order: each image after its letter ("A:"), then the question."""
        parts: list[Part[ImageT]] = []
        for letter, image in zip(letters(len(images)), images, strict=True):
            parts += [("text", f"{letter}:"), ("image", image)]
        question = self.best if ask == "best" else self.rank
        return [*parts, ("text", f"{self.customer.replace(PLACE, query)}\n{question}")]

    def request(self, images: Sequence[ImageT], count: int) -> list[Part[ImageT]]:
        """The message that asks for `count` queries of shoppers who would like these images."""
        shown: list[Part[ImageT]] = [("image", image) for image in images]
        return [*shown, ("text", self.shoppers.replace(COUNT, str(count)))]


def letters(count: int) -> str:
    """The letters of `count` images. Raises TeacherError for more images than there are letters."""
    if count > len(LETTERS):
        raise TeacherError(
            f"a model can be shown at most {len(LETTERS)} images per question, got {count}",
            hint=f"give --images-per-call {len(LETTERS)} or less",
        )
    return LETTERS[:count]


def read_wording(path: Path) -> Wording:
    """The built-in wording with the parts that a TOML file replaces; its version is a hash of the words.

    Raises VdistillError for a file that cannot be read, an unknown name, and words without their place holder.
    """
    known = [field.name for field in fields(Wording) if field.name != "version"]
    replaced = read_toml(path, hint=f"a prompt is a TOML file with any of: {', '.join(known)}")
    for name, words in replaced.items():
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
            raise VdistillError(f"{path}: unknown part of a prompt {name!r}", hint=hint)
        if not isinstance(words, str) or not words.strip():
            raise VdistillError(f"{path}: {name} must be text", hint=f'write {name} = "…"')
    wording = replace(Wording(), **replaced)
    if PLACE not in wording.customer:
        raise VdistillError(f"{path}: customer does not say where the query goes", hint=f"put {PLACE} into it")
    if COUNT not in wording.shoppers:
        raise VdistillError(f"{path}: shoppers does not say how many", hint=f"put {COUNT} into it")
    if wording == Wording():
        return wording
    digest = hashlib.sha256(repr(sorted(asdict(wording).items())).encode()).hexdigest()
    return replace(wording, version=f"{PROMPT_VERSION}+{digest[:8]}")
