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
OPTIONS = LETTERS + "J"  # with the one that may stand for "none of these"
PLACE, COUNT, LETTER = "{query}", "{count}", "{letter}"
OF_NONE = ("none", "none_rank")  # what only questions with "none of these" hold: no part of `Wording.version`
CHARACTERS = 4  # of a token, for prices

ImageT = TypeVar("ImageT")
Part = tuple[Literal["text"], str] | tuple[Literal["image"], ImageT]


@dataclass(frozen=True, slots=True)
class Wording:
    """What a model is told. `version` becomes part of each answer's key.

    `customer` has a place holder for the query, `shoppers` one for the number of queries to write, `rewording` both.
    `none` and `none_rank` have one for the letter behind those of the images.
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
    none: str = f"{LETTER}: none of these would please this customer."
    none_rank: str = (
        f"Put {LETTER} among the letters, too: behind the last picture that would still please this customer, and "
        "before the first that would not."
    )
    shoppers: str = (
        f"These are pictures from a shop. Think of {COUNT} people, as different as can be in age, taste, purse and "
        "purpose, who could find something here, or for whom somebody looks for a present. For each write what they "
        "would type into the shop's search: a wish, an occasion or a person, and no product's name. "
        "One search a line, without numbers, and nothing else."
    )
    rewording: str = (
        f'Somebody types into the search of a shop: "{PLACE}"\n'
        f"Write {COUNT} other searches in which people would put exactly this wish: in the same language, otherwise "
        "as different as can be in words, length and manner. Leave no detail out (person, occasion, taste, colour, "
        "price), add none, and do not name a product that would fulfil the wish. "
        "One search a line, without numbers, and nothing else."
    )
    version: str = PROMPT_VERSION

    @property
    def none_version(self) -> str:
        """A hash of the words that offer "none of these": they are no part of `version`, which other questions have."""
        return hashlib.sha256(f"{self.none}\0{self.none_rank}".encode()).hexdigest()[:8]

    @property
    def rewording_version(self) -> str:
        """A hash of the words that ask for other wordings: they are no part of `version`, since judging has its own."""
        return hashlib.sha256(f"{self.system_of_rewording}\0{self.rewording}".encode()).hexdigest()[:8]

    @property
    def system_of_rewording(self) -> str:
        """The system message where there are no pictures to see."""
        return "You help a shop to understand its customers, who say the same thing in very different words."

    def other_words(self, query: str, count: int) -> str:
        """The message that asks for `count` other wordings of a query."""
        return self.rewording.replace(COUNT, str(count)).replace(PLACE, query)

    def content(self, query: str, images: Sequence[ImageT], ask: Ask, none: bool = False) -> list[Part[ImageT]]:
        """The user's message in order: each image after its letter ("A:"), `none` as an option, then the question."""
        parts: list[Part[ImageT]] = []
        for letter, image in zip(letters(len(images)), images, strict=True):
            parts += [("text", f"{letter}:"), ("image", image)]
        question = self.best if ask == "best" else self.rank
        if none:
            letter = OPTIONS[len(images)]
            parts.append(("text", self.none.replace(LETTER, letter)))
            question += "" if ask == "best" else "\n" + self.none_rank.replace(LETTER, letter)
        return [*parts, ("text", f"{self.customer.replace(PLACE, query)}\n{question}")]

    def request(self, images: Sequence[ImageT], count: int) -> list[Part[ImageT]]:
        """The message that asks for `count` queries of shoppers who would like these images."""
        shown: list[Part[ImageT]] = [("image", image) for image in images]
        return [*shown, ("text", self.shoppers.replace(COUNT, str(count)))]


def usual_rewording(query: str, count: int) -> int:
    """About how many tokens `count` other wordings of a query are."""
    return count * (len(query) // CHARACTERS + 8)


def longest_rewording(query: str, count: int) -> int:
    """The most tokens that `count` other wordings may take, also in a language of long tokens."""
    return count * (len(query) + 40)


def letters(count: int) -> str:
    """The letters of `count` images. Raises TeacherError for more images than there are letters."""
    if count > len(LETTERS):
        raise TeacherError(
            f"a model can be shown at most {len(LETTERS)} images per question, got {count}",
            hint=f"give --images-per-call {len(LETTERS)} or less",
        )
    return LETTERS[:count]


def options_of(count: int, none: bool) -> str:
    """The letters of `count` images and, with `none`, the one behind them. Raises TeacherError as `letters` does."""
    return OPTIONS[: len(letters(count)) + none]


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
    _check_places(wording, path)
    others = {name: getattr(Wording(), name) for name in ("rewording", *OF_NONE)}
    judging = {name: words for name, words in asdict(wording).items() if name not in others}
    if replace(wording, **others) == Wording():
        return wording
    digest = hashlib.sha256(repr(sorted(judging.items())).encode()).hexdigest()
    return replace(wording, version=f"{PROMPT_VERSION}+{digest[:8]}")


def _check_places(wording: Wording, path: Path) -> None:
    if PLACE not in wording.customer:
        raise VdistillError(f"{path}: customer does not say where the query goes", hint=f"put {PLACE} into it")
    if COUNT not in wording.shoppers:
        raise VdistillError(f"{path}: shoppers does not say how many", hint=f"put {COUNT} into it")
    if PLACE not in wording.rewording or COUNT not in wording.rewording:
        raise VdistillError(
            f"{path}: rewording does not say which query or how many", hint=f"put {PLACE} and {COUNT} into it"
        )
    for name in OF_NONE:
        if LETTER not in getattr(wording, name):
            raise VdistillError(f"{path}: {name} does not say which letter", hint=f"put {LETTER} into it")
