"""The second stage of a server: many searches at once, each answered within its time, all within one allowance."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import pairwise

from vdistill.errors import VdistillError
from vdistill.label.second_stage.allowance import Allowance
from vdistill.label.second_stage.judging import Judging, Search, explained, told
from vdistill.query.second_stage import Reranked, in_order
from vdistill.records import Hit, Item

_LOG = logging.getLogger("vdistill.serve")
_WAITING = 4  # searches that wait, for each that is asked about


class LiveStage:
    """A `SecondStage` that may be shared between threads. What arrives late is stored all the same."""

    def __init__(
        self, judging: Judging, allowance: Allowance, depth: int, within: float | None, say: Callable[[str], None]
    ) -> None:
        """within: seconds that a search waits; None for as long as it takes.  say: tells whoever runs the server."""
        self.depth = depth
        self._judging, self._allowance, self._within, self._say = judging, allowance, within, say
        self._said = ""
        most = max(judging.teacher.concurrency // judging.at_once(depth), 1)
        self._room = threading.Semaphore(most * (1 + _WAITING))
        self._executor = ThreadPoolExecutor(most, thread_name_prefix="second stage")

    @property
    def spent(self) -> tuple[int, float]:
        """Calls and US dollars of searches that are done."""
        return self._allowance.calls, self._allowance.usd

    def rerank(self, text: str, hits: Sequence[Hit], k: int) -> Reranked:
        """The first `k` hits in the new order; in the student's, with a notice, where that takes too long."""
        head = hits[: self.depth]
        if len(head) < 2:
            return in_order(hits, [], k)
        if not self._room.acquire(blocking=False):
            return in_order(hits, [], k, notice="too many searches wait for the teacher: the order is the student's")
        search = search_of(text, head)
        future = self._executor.submit(self._judge, search)
        future.add_done_callback(lambda _: self._room.release())
        wait([future], self._within)
        search.stop.set()
        return reranked(search, hits, k, self._within, self._judging.teacher.name)

    def close(self) -> None:
        """Wait for answers that are under way, and store them. The teacher belongs to whoever opened it."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _judge(self, search: Search) -> None:
        if search.stop.is_set():  # nobody waits any more
            return
        purse = self._allowance.reserve(*self._judging.price(search))
        try:
            self._judging.judge(search, purse)
        except VdistillError as error:
            search.notice = error.message
            if (line := explained(error)) != self._said:
                self._said = line
                self._say(line)
        except Exception:
            _LOG.exception("an error of the second stage that should not be: please report it")
            search.notice = "something went wrong while the teacher was asked"
        finally:
            self._allowance.give_back(purse)
            search.done = True


def search_of(text: str, head: Sequence[Hit]) -> Search:
    """The search that these first hits are of."""
    items = [Item(hit.id, hit.file, hit.metadata) for hit in head]
    scores = [hit.score for hit in head]
    if any(later > earlier for earlier, later in pairwise(scores)):  # their order is not that of the scores alone
        scores = [-float(place) for place in range(len(head))]
    return Search(text, items, scores)


def reranked(search: Search, hits: Sequence[Hit], k: int, within: float | None, name: str) -> Reranked:
    """The hits as far as the search has come; with a notice where it was not done in time."""
    order, _ = search.order()
    found = told(search)
    if not search.done and within is not None:
        some = "what had come by then is used" if found["judged"] else "the order is the student's"
        found["notice"] = f"{name} did not answer within {within:g} s: {some}"
    return in_order(hits, order, k, **found)
