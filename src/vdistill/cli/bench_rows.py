"""What `vdistill bench` shows beside backbone and student: other models, run files, and a teacher that re-orders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from vdistill.bench.baselines import TEXT_SEARCH, Against, TextModel, labels
from vdistill.bench.graded import MODELS, RERANKED, Embedded, Listed, Ranker
from vdistill.bench.rerank import STORE, Asking, Rerank
from vdistill.bench.run_file import RunFile
from vdistill.cli import console
from vdistill.cli.command import configured
from vdistill.cli.session import Session
from vdistill.cli.teacher_names import flags, one_of
from vdistill.database import Database
from vdistill.inputs.hashes import Hashes
from vdistill.label import ask_mode
from vdistill.label.purse import Purse
from vdistill.records import Item, ShownImage
from vdistill.workspace import Workspace

if TYPE_CHECKING:
    from vdistill.cli.label import LabelCommand


@dataclass(frozen=True)
class Rows:
    """The further rows of the table, by what the user called them. Models are opened last: they are large."""

    against: Sequence[str]
    runs: Sequence[str]
    _files: Sequence[RunFile] = field(repr=False)

    @classmethod
    def read(cls, against: Sequence[str], runs: Sequence[Path]) -> Rows:
        """Raises VdistillError for a run file that cannot be read."""
        return cls(against, [str(path) for path in runs], [RunFile(path) for path in runs])

    def opened(self, over: Listed, workspace: Workspace) -> tuple[dict[str, Embedded], dict[str, Ranker]]:
        """Dual encoders for the images of `over`, and what ranks otherwise.

        Raises VdistillError for a model that cannot be loaded.
        """
        names = labels([*self.against, *self.runs], (*MODELS, TEXT_SEARCH))
        models: dict[str, Embedded] = {}
        rankers: dict[str, Ranker] = {}
        for name, source in zip(names, self.against, strict=False):
            opened = _opened(source, over, workspace)
            if isinstance(opened, TextModel):
                rankers[name] = opened
            else:
                models[name] = opened
        return models, rankers | dict(zip(names[len(self.against) :], self._files, strict=True))


def _opened(source: str, over: Listed, workspace: Workspace) -> TextModel | Against:
    from vdistill.encoders.sentence_encoder import SentenceEncoder, is_text_encoder

    if is_text_encoder(source):
        return TextModel(SentenceEncoder.load(source))
    return Against.load(source, over, workspace.cache)


@dataclass(frozen=True)
class Reranking:
    """What `--rerank` asks for: how many images of each query, whom, and what that may cost.

    teacher, endpoint: None for those of `vdistill label`, whose other settings hold too.
    """

    depth: int
    teacher: str | None
    endpoint: Sequence[str] | None
    budget: int | None
    max_cost: float | None

    @contextmanager
    def row(
        self, session: Session, workspace: Workspace, models: Mapping[str, Embedded]
    ) -> Iterator[dict[str, Ranker]]:
        """The student (else the backbone) re-ordered by the teacher, which is closed at the end."""
        model = "student" if "student" in models else "backbone"
        over, name = models[model], f"{model}{RERANKED}{self.depth}"
        command = self._label(session, over.catalog_root)
        with command.task(session) as task, console.progress(session.quiet) as update:
            rows = zip(over.ids, over.files(over.ids), over.metadata(over.ids), strict=True)
            items = [Item(key, file, metadata) for key, file, metadata in rows]
            teacher = task.opened(items, self.max_cost)
            with Database.existing(workspace) as database:
                known_ask = ask_mode.best_known(database, teacher)
            task.set_size(command.images_per_call if command.images_per_call.isdigit() else "8")
            asking = Asking(
                teacher=teacher,
                purse=Purse(self.budget, self.max_cost),
                store=workspace.root / STORE,
                shown=_shown(workspace, over, items),
                images=task.settings.images_per_call,
                ask=command.ask or known_ask,
                concurrency=command.concurrency,
                say=session.say,
                advance=lambda tally: update(tally.calls + tally.reused, None, "re-ordering"),
            )
            yield {name: Rerank(name, over, self.depth, asking)}

    def _label(self, session: Session, catalog: str) -> LabelCommand:
        given = flags([self.teacher] if self.teacher else [], self.endpoint)
        command: LabelCommand = configured(session, "label", catalog, *given)
        one_of(command.teacher, "--rerank")
        return command


def _shown(workspace: Workspace, over: Embedded, items: Sequence[Item]) -> dict[str, ShownImage]:
    """The images that are still what was indexed."""
    with Hashes.open(workspace.cache) as cache:
        now = cache.of(items)
    known = over.hashes([item.id for item in items])
    same = [item for item in items if now.get(item.id) == known[item.id]]
    return {item.id: ShownImage(item.id, item.file, known[item.id]) for item in same}
