"""All that the routes share: the index, the threads, the counters."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vdistill.errors import VdistillError
from vdistill.query.second_stage import SecondStage
from vdistill.serve.answers import Answers
from vdistill.serve.asked import Asked
from vdistill.serve.explanations import Explanations
from vdistill.serve.limits import Admission, Pool, Pools
from vdistill.serve.metrics import Metrics
from vdistill.serve.refusals import Refused, json_bytes
from vdistill.serve.reload import Indexes
from vdistill.serve.search_log import SearchLog
from vdistill.serve.settings import Settings
from vdistill.serve.thumbnails import Thumbnails
from vdistill.serve.votes import Votes
from vdistill.workspace import Workspace


@dataclass(frozen=True)
class Service:
    """One server."""

    settings: Settings
    indexes: Indexes
    answers: Answers
    thumbnails: Thumbnails
    pools: Pools
    admission: Admission
    metrics: Metrics
    say: Callable[[str], None]
    votes: Votes | None = None
    search_log: SearchLog | None = None
    second: SecondStage | None = None
    explanations: Explanations | None = None

    @classmethod
    def of(cls, workspace: Workspace, settings: Settings, say: Callable[[str], None]) -> Service:
        """A server of a workspace's index. Raises VdistillError where that cannot be opened."""
        return cls.at(workspace.index, workspace.cache, settings, say, workspace)

    @classmethod
    def at(
        cls,
        index: Path,
        cache: Path,
        settings: Settings,
        say: Callable[[str], None],
        workspace: Workspace | None = None,
        second: SecondStage | None = None,
    ) -> Service:
        """A server of an index folder or a pack.  cache: a folder for thumbnails.  workspace: where judgments are.

        second: orders the first hits of searches that ask for it; closed with the server.

        Raises VdistillError as `of` does, for votes and explanations without a workspace, and where nothing explains.
        """
        settings.check()
        if workspace is None:
            _refuse_pack(settings)
        indexes = Indexes(index, settings.model, say)
        indexes.load()
        pools, admission, answers = Pools(), Admission(), Answers(indexes, settings)
        explanations = Explanations(workspace, answers, say) if workspace and settings.why else None
        if explanations is not None:
            explanations.check()
        return cls(
            settings, indexes, answers, Thumbnails(cache / "thumbnails"), pools, admission,
            Metrics(indexes, pools, admission, second), say,
            votes=Votes(workspace, indexes) if workspace and settings.feedback else None,
            search_log=SearchLog.at(settings.log_searches, say) if settings.log_searches else None,
            second=second,
            explanations=explanations,
        )  # fmt: skip

    def pool_of(self, asked: Asked) -> Pool:
        """The threads for a search: one that may take long is not in the way of the others."""
        if asked.by_image:
            return self.pools.images
        long = asked.options.exact or asked.options.hybrid or self._unfiltered(asked)
        return self.pools.slow if long else self.pools.quick

    async def json(self, pool: Pool, answer: Callable[[], Any]) -> bytes:
        """A document, made in a thread."""
        return await pool.run(lambda: json_bytes(answer()))

    @contextlib.asynccontextmanager
    async def running(self) -> Any:
        """While the server runs: newer indexes are looked for."""
        watching = asyncio.create_task(self.indexes.watch())
        try:
            yield
        finally:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching
            if self.explanations is not None:
                self.explanations.stop()
                with contextlib.suppress(Refused):  # too much waits; the process ends anyway
                    await self.pools.why.run(self.explanations.close)
            await asyncio.to_thread(self.pools.close)
            if self.second is not None:
                await asyncio.to_thread(self.second.close)
            if self.votes is not None:
                await asyncio.to_thread(self.votes.close)
            if self.search_log is not None:
                await asyncio.to_thread(self.search_log.close)
            self.indexes.close()

    def searched(self, asked: Asked) -> None:
        """A search was answered: logged where that is wanted, if it was by words alone."""
        if self.search_log is not None and all(part.what == "text" for part in asked.parts):
            self.search_log.add(asked.text)

    def log(self, line: str) -> None:
        """A line of the access log."""
        if self.settings.access_log:
            sys.stderr.write(line + "\n")

    def _unfiltered(self, asked: Asked) -> bool:
        """Whether the items that fulfil the search's filter are still to be found."""
        current = self.indexes.current()
        if asked.options.where is None or current is None:
            return False
        searcher = current.searchers.get(asked.model or current.model)
        return searcher is None or not searcher.filtered(asked.options.where)


def _refuse_pack(settings: Settings) -> None:
    """Raise VdistillError for what needs a workspace."""
    if settings.feedback:
        raise VdistillError("thumbs become judgments of a workspace, and a pack has none",
                            hint="serve the workspace's index with --feedback")  # fmt: skip
    if settings.why:
        raise VdistillError("judgments explain results, and a pack has none: they stay in the workspace",
                            hint="serve the workspace's index with --why")  # fmt: skip
