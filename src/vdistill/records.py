"""The values that the stages exchange."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from vdistill.sources import Source, Stamp, source_at

Split = Literal["train", "heldout"]
Ask = Literal["best", "rank"]
Per = Literal["product", "image"]


class Located:
    """An image that is found by its locator.  file: the locator (see `vdistill.sources`)."""

    __slots__ = ()
    file: Path | str

    @property
    def path(self) -> Path:
        """The path of a file on this machine."""
        return Path(self.file)

    @property
    def source(self) -> Source:
        """Where its bytes are."""
        return source_at(self.file)


@dataclass(frozen=True, slots=True)
class Item(Located):
    """An image of the catalog. `id` is its POSIX path relative to the catalog.

    file: its locator (see `vdistill.sources`), such as a path.  stamp: as the catalog's listing gave it; None where the
    image itself is to be asked.
    """

    id: str
    file: Path | str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    stamp: Stamp | None = field(default=None, compare=False)

    @property
    def source(self) -> Source:
        """Where its bytes are; the listing's stamp saves asking for one."""
        return source_at(self.file, self.stamp)

    @property
    def title(self) -> str | None:
        """The literal name of the item, where the metadata gives one."""
        return title_of(self.metadata)


def title_of(metadata: Mapping[str, Any]) -> str | None:
    """The literal name that the metadata gives an item."""
    column = title_column(metadata)
    return None if column is None else str(metadata[column]).strip()


def title_column(metadata: Mapping[str, Any]) -> str | None:
    """The column that holds the literal name."""
    for column in ("title", "name", "text", "caption"):
        value = metadata.get(column)
        if isinstance(value, str) and value.strip():
            return column
    return None


@dataclass(frozen=True, slots=True)
class Query:
    """What somebody searches for.

    id: names it in qrels files.  said: the side that its file asks for.  paraphrases: other wordings that its file has.
    answered: False where its file says that nothing in the catalog answers it.
    """

    id: str
    text: str
    split: Split
    persona: str | None = None
    said: Split | None = field(default=None, compare=False)
    paraphrases: tuple[str, ...] = field(default=(), compare=False)
    answered: bool = field(default=True, compare=False)


@dataclass(frozen=True, slots=True)
class ShownImage(Located):
    """An image as a teacher sees it.  file: its locator.  sha256: the hash of its bytes."""

    item_id: str
    file: Path | str
    sha256: str


@dataclass(frozen=True, slots=True)
class Question:
    """One teacher call: which of these images (in the order shown) fits the query best.

    none: whether "none of these" can be said too, behind all images.
    """

    query: str
    images: tuple[ShownImage, ...]
    ask: Ask = "best"
    none: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What a teacher said, by position shown.

    Of `probabilities` (ask `best`; sums to 1, one-hot for a hard label) and `order` (ask `rank`; positions,
    best first) exactly one is set, or neither where all that was said is "none of these".
    coverage: the probability that the model gave to all option letters together, in [0, 1]; None where that is unknown.
    thought_tokens: those of `tokens` that the model thought before it answered.
    level: of a teacher that scores each image by itself: its scores, comparable over all of a query's answers, are the
    log-probabilities plus this number. None where probabilities compare the images shown and nothing else.
    none: of a choice, the probability of "none of these"; `probabilities` are those where some image is taken. None
    where it could not be said. 1 is a rejection, which prefers no image.
    accepted: of a ranking, how many images stand before "none of these"; None where it could not be said.
    """

    probabilities: tuple[float, ...] | None = None
    order: tuple[int, ...] | None = None
    tokens: int = 0
    cost_usd: float = 0.0
    coverage: float | None = None
    thought_tokens: int = 0
    level: float | None = None
    none: float | None = None
    accepted: int | None = None

    @property
    def rejects(self) -> bool:
        """Whether it is "none of these" and nothing else."""
        return self.probabilities is None and self.order is None

    @property
    def best(self) -> int:
        """The position of the preferred image."""
        if self.order is not None:
            return self.order[0]
        chances = self.probabilities or ()
        return max(range(len(chances)), key=chances.__getitem__)

    @property
    def soft(self) -> bool:
        """Whether it tells how sure the teacher is."""
        return self.probabilities is not None and max(self.probabilities) < 1.0


@dataclass(frozen=True, slots=True)
class Failure:
    """A call without a readable answer. Recorded, never turned into a preference.

    tokens, cost_usd: what the call cost all the same, where the server answered something else.
    """

    reason: str
    tokens: int = 0
    cost_usd: float = 0.0


@dataclass(frozen=True, slots=True)
class Rewording:
    """A call that asked for `asked_for` other wordings of a query: who was asked, with which prompt, at what cost."""

    teacher: str
    prompt: str
    asked_for: int
    tokens: int = 0
    cost_usd: float = 0.0


@dataclass(frozen=True, slots=True)
class Judgment:
    """An answer in the store: the question, what was said, by whom, and by which version of the prompt."""

    query: str
    items: tuple[str, ...]
    sha256: tuple[str, ...]
    ask: Ask
    answer: Answer
    teacher: str
    split: Split
    pool: int | None = None
    prompt: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Rejection:
    """What was said where none of the images fits the query: no preference among them, and so no judgment."""

    query: str
    items: tuple[str, ...]
    sha256: tuple[str, ...]
    teacher: str
    split: Split
    pool: int | None = None
    prompt: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Hit(Located):
    """One search result: an image, the best of its product.

    file: its locator (see `vdistill.sources`): the path of a file on this machine.
    score: the cosine similarity, in [-1, 1].  product: the name of the product, None for an image without a group.
    images: how many images the index has of the product.
    fit: the probability that the teacher would accept it, in [0, 1]; None where the index does not know.
    """

    rank: int
    id: str
    file: str
    score: float
    metadata: Mapping[str, Any]
    product: str | None = None
    images: int = 1
    fit: float | None = None
