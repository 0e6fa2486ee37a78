"""The teacher of a second stage, opened as `vdistill label` would open it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import overload

from vdistill.bundle import manifest
from vdistill.cli.label import LabelCommand
from vdistill.cli.session import Session
from vdistill.database import Database
from vdistill.label import habits
from vdistill.label.second_stage.judging import Judging
from vdistill.records import Item
from vdistill.workspace import Workspace


@contextmanager
def open_judging(
    session: Session, workspace: Workspace, command: LabelCommand, model: str | None, calls: int | None,
    max_cost: float | None,
) -> Iterator[Judging]:  # fmt: skip
    """Its teacher is closed at the end. Raises VdistillError for one that cannot be had.

    model: whose index has the items.  calls: about one search.  max_cost: a cap in dollars, which needs a price.
    """
    with command.task(session) as task:
        teacher = task.opened(_Indexed(workspace, model), max_cost)
        with Database.existing(workspace) as database:
            habits.calibrate(teacher, database)
        images, holdout = int(command.images_per_call), task.settings.holdout
        yield Judging(teacher, workspace, images=images, calls=calls, ask=command.ask, holdout=holdout)


class _Indexed(Sequence[Item]):
    """The items of an index, read when a teacher wants them: most have no use for them."""

    def __init__(self, workspace: Workspace, model: str | None) -> None:
        self._workspace, self._model = workspace, model
        self._items: list[Item] | None = None

    def __len__(self) -> int:
        return len(self._read())

    @overload
    def __getitem__(self, place: int) -> Item: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Item]: ...
    def __getitem__(self, place: int | slice) -> Item | Sequence[Item]:
        return self._read()[place]

    def _read(self) -> list[Item]:
        if self._items is None:
            from vdistill.query.search import Searcher

            entries = manifest.read(self._workspace.index)
            model = self._model or ("student" if "student" in entries else next(iter(entries), "student"))
            with Searcher.at(self._workspace.index, model) as found:
                ids = found.ids
                rows = zip(ids, found.files(ids), found.metadata(ids), strict=True)
                self._items = [Item(key, file, metadata) for key, file, metadata in rows]
        return self._items
