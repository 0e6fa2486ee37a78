"""Where a second stage keeps answers, so that searching feeds the next `distill` and never reaches the test.

What is shown here was chosen by a student and typed by whoever searches. Answers to a training query about training
images alone are judgments like any others: they go into `vdistill.db`, where `distill` finds them. All others, about a
held-out query or with a held-out image among those shown, go into `rerank.db` beside it, which is read for searches
alone: in the test set they would make the exam depend on who takes it, and in training they would leak it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from vdistill.database import Database
from vdistill.database.migrations import Statement
from vdistill.inputs.renamed import following
from vdistill.inputs.sides import ItemSides, Sides, plain
from vdistill.label.registry import Row
from vdistill.label.teacher import Teacher
from vdistill.records import Answer, Item, Judgment, Query, Question, Split
from vdistill.workspace import Workspace

APART = "rerank.db"  # in the workspace


@dataclass(frozen=True)
class Placed:
    """On which side a search is.

    query: the side of its text.  items: of the images it found.  known: the text is registered.
    """

    query: Split
    items: ItemSides
    known: bool

    @classmethod
    def of(cls, sides: Sides, text: str, items: Sequence[Item], hashes: Mapping[str, str]) -> Placed:
        """By the sides of the workspace."""
        return cls(sides.of_query(text), sides.of_items(items, hashes), plain(text) in sides.queries)

    def split(self, items: Iterable[str]) -> Split:
        """Where an answer about these images is kept: "train" for what may be trained on, else "heldout"."""
        trains = self.query == "train" and all(self.items.split.get(item) == "train" for item in items)
        return "train" if trains else "heldout"

    def rows(self, judgments: Iterable[Judgment]) -> list[Row]:
        """A `Registry`: the sides of what is trained on; that of others is no business of a search."""
        return self.items.rows({item for one in judgments if one.split == "train" for item in one.items})

    def stored(self, judgments: Iterable[Judgment]) -> None:
        """There is nothing to note: the next answers may register the same again."""


@dataclass(frozen=True)
class Stores:
    """Both databases as one: an `AnswerStore`, in which the side of an answer says where it goes."""

    judgments: Database
    apart: Database
    placed: Placed
    fresh: list[Judgment]  # that were stored since it was opened

    @classmethod
    @contextmanager
    def open(cls, workspace: Workspace, placed: Placed) -> Iterator[Stores]:
        """Open both, for one thread. Raises VdistillError where one is damaged."""
        with ExitStack() as stack:
            judgments, apart = (
                stack.enter_context(Database.open(path)) for path in (workspace.database, workspace.root / APART)
            )
            yield cls(judgments, apart, placed, [])

    def known(self, teacher: Teacher, query: str, hashes: Mapping[str, str]) -> list[Judgment]:
        """What this teacher said of the query, where its images are what they were. hashes: of images, by id."""
        rows = [*self.judgments.judgments_on([query]), *self.apart.judgments_on([query])]
        ours = [one for _, one in rows if (one.teacher, one.prompt) == (teacher.name, teacher.prompt)]
        return [
            one
            for one in following(ours, hashes)
            if all(hashes.get(item, then) == then for item, then in zip(one.items, one.sha256, strict=True))
        ]

    def answers(self, keys: Sequence[str]) -> dict[str, Answer]:
        """The stored answers among `keys`."""
        return self.apart.answers(keys) | self.judgments.answers(keys)

    def answered(self, keys: Sequence[str]) -> set[str]:
        """Those of `keys` that have an answer."""
        return self.apart.answered(keys) | self.judgments.answered(keys)

    def add_judgments(
        self,
        rows: Sequence[tuple[str, str, Judgment]],
        failures: Sequence[tuple[str, str, Question, str]] = (),
        sides: Iterable[Row] = (),
        also: Sequence[Statement] = (),
    ) -> None:
        """Commit answers, each where its side belongs; `also` beside those that are kept apart."""
        trained = [row for row in rows if row[2].split == "train"]
        others = [row for row in rows if row[2].split != "train"]
        if trained:
            query = trained[0][2].query
            if not self.placed.known:
                self.judgments.add_queries([Query(query, query, "train")])
            self.judgments.add_judgments(trained, (), sides)
        if others or failures or also:
            self.apart.add_judgments(others, failures, (), also)
        as_stored = self.answers([key for key, _, _ in rows])  # rounded: a search that is repeated sees the same
        self.fresh.extend(replace(judgment, answer=as_stored[key]) for key, _, judgment in rows)

    def setting(self, name: str) -> Any | None:
        """A setting of the workspace."""
        return self.judgments.setting(name)

    def remember(self, name: str, value: Any) -> None:
        """Remember one."""
        self.judgments.remember(name, value)
