"""What `vdistill bench` shows beside backbone and student: other models and run files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vdistill.bench.baselines import TEXT_SEARCH, Against, TextModel, labels
from vdistill.bench.graded import MODELS, Embedded, Ranker
from vdistill.bench.run_file import RunFile
from vdistill.query.search import Searcher
from vdistill.workspace import Workspace


@dataclass(frozen=True)
class Rows:
    """The further rows of the table, by what the user called them. Models are opened last: they are large."""

    against: Sequence[str]
    runs: Sequence[str]
    _files: Sequence[RunFile]

    @classmethod
    def read(cls, against: Sequence[str], runs: Sequence[Path]) -> Rows:
        """Raises VdistillError for a run file that cannot be read."""
        return cls(against, [str(path) for path in runs], [RunFile(path) for path in runs])

    def opened(self, searcher: Searcher, workspace: Workspace) -> tuple[dict[str, Embedded], dict[str, Ranker]]:
        """Dual encoders, and what ranks otherwise. Raises VdistillError for a model that cannot be loaded."""
        from vdistill.encoders.sentence_encoder import SentenceEncoder, is_text_encoder

        names = labels([*self.against, *self.runs], (*MODELS, TEXT_SEARCH))
        models = {
            name: Against.load(source, searcher, workspace.cache)
            for name, source in zip(names, self.against, strict=False)
        }
        rankers = dict(zip(names[len(self.against) :], self._files, strict=True))
        return dict(models), dict(rankers)
