"""`query --rerank`: the teacher is asked by a process of its own, beside this one.

So this process stays without torch, the other starts while the index is opened, and a search ends in time whatever the
teacher does: answers that are paid for and arrive late are stored by the other process, which then ends.
"""

from __future__ import annotations

import json
import queue
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vdistill.cli.command import configured
from vdistill.cli.parts import require
from vdistill.cli.session import Session
from vdistill.cli.teacher_names import flags, one_of
from vdistill.errors import VdistillError
from vdistill.programs import environment, program
from vdistill.query.second_stage import Reranked, asked_text, in_order, seconds_of
from vdistill.query.terms import Term
from vdistill.records import Hit

if TYPE_CHECKING:
    from vdistill.cli.label import LabelCommand
    from vdistill.workspace import Workspace

_PROGRAM = "from vdistill.cli.second_stage_process import main; main()"
_GRACE = 5.0  # seconds that a process which has nothing left to do has to end


@dataclass(frozen=True)
class Asked:
    """What the options of `query` and `serve` say.

    teacher, endpoints: None and none for those of `vdistill label`, whose other settings hold too.
    within: as it was typed.  calls: about one search; None for what suits.  max_cost: US dollars, of one search.
    """

    depth: int
    teacher: str | None = None
    endpoints: Sequence[str] = ()
    within: str | None = None
    calls: int | None = None
    max_cost: float | None = None

    def label(self, session: Session, catalog: str) -> LabelCommand:
        """The command whose teacher is asked, as flags, environment and `vdistill.toml` have it."""
        given = flags([self.teacher] if self.teacher else [], self.endpoints)
        command: LabelCommand = configured(session, "label", catalog, *given)
        one_of(command.teacher, "--rerank")
        size = command.images_per_call if command.images_per_call.isdigit() else "8"
        return replace(command, images_per_call=size, engine=None, batch=False, batch_file=None, dry_run=False,
                       audit=None)  # fmt: skip


@contextmanager
def beside(
    session: Session, asked: Asked, terms: Sequence[Term] | None, model: str | None
) -> Iterator[AskedBeside | None]:  # fmt: skip
    """The second stage of a `query`; None for what no teacher can be asked about, where `--rerank` is but a default.

    terms: None for a batch.  Raises VdistillError where it was typed for such a search.
    """
    if terms is not None and asked_text(terms) is None:
        if session.typed("rerank"):
            raise VdistillError(
                "--rerank: a teacher is asked about one text", hint="search by words alone, without + and -"
            )
        yield None
        return
    with AskedBeside(session, session.require(), asked, model) as second:
        yield second


class AskedBeside:
    """A `SecondStage` in a process of its own. Close it, or use it in a `with`."""

    def __init__(self, session: Session, workspace: Workspace, asked: Asked, model: str | None) -> None:
        """Start the process, which opens the teacher meanwhile."""
        require("scipy")  # before anything is waited for
        self.depth = asked.depth
        self._within, self._say = None if asked.within is None else seconds_of(asked.within), session.say
        command = asked.label(session, str(workspace.root))
        given = {
            "workspace": str(workspace.root), "model": model, "quiet": session.quiet,
            "label": {name: _plain(value) for name, value in asdict(command).items()},
            "calls": asked.calls, "max_cost": asked.max_cost,
        }  # fmt: skip
        self._process = subprocess.Popen(
            program(_PROGRAM), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            encoding="utf-8", env=environment(), start_new_session=True,
        )  # fmt: skip
        self._lines: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, name="second stage", daemon=True).start()
        self._searches, self._idle, self._spent = 0, True, (0, 0.0)
        self._send(given)

    @property
    def spent(self) -> tuple[int, float]:
        """Calls and US dollars, as far as they were told."""
        return self._spent

    def rerank(self, text: str, hits: Sequence[Hit], k: int) -> Reranked:
        """The first `k` hits in the new order, as far as it is known in time.

        Raises VdistillError where the teacher cannot be opened.
        """
        head = hits[: self.depth]
        if len(head) < 2:
            return in_order(hits, [], k)
        self._searches, self._idle = self._searches + 1, False
        until = None if self._within is None else time.monotonic() + self._within
        items = [{"id": hit.id, "file": str(hit.file), "metadata": dict(hit.metadata), "score": hit.score,
                  "rank": hit.rank} for hit in head]  # fmt: skip
        self._send({"search": self._searches, "text": text, "items": items})
        known: dict[str, Any] = {"order": [], "judged": 0, "calls": 0, "cost_usd": 0.0, "notice": ""}
        while not self._idle:
            line = self._next(until)
            if line is None:
                self._send({"stop": self._searches})
                some = "what had come by then is used" if known["judged"] else "the order is the student's"
                known["notice"] = f"the teacher did not answer within {self._within:g} s: {some}"
                break
            if line.get("search") == self._searches:
                self._idle = line.pop("done")
                known = line
        known.pop("search", None)
        self._spent = self._spent[0] + known["calls"], self._spent[1] + known["cost_usd"]
        return in_order(hits, known.pop("order"), k, **known)

    def __enter__(self) -> AskedBeside:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the process end, which stores what is under way; it is waited for only where it has nothing to do."""
        if self._process.stdin is not None:
            with suppress(OSError):  # it is gone
                self._process.stdin.close()
        if self._idle:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_GRACE)
                return
        self._process.returncode = 0  # it ends by itself: from here on nobody waits, and none of our streams is its own

    def _next(self, until: float | None) -> dict[str, Any] | None:
        """What the process says next about a search; None where it is too late.

        Raises VdistillError where it ends, or says that it can do nothing.
        """
        while True:
            try:
                left = None if until is None else max(until - time.monotonic(), 0.0)
                line = self._lines.get(timeout=left)
            except queue.Empty:
                return None
            if line is None:
                self._idle = True
                raise VdistillError(
                    "the process that asks the teacher has ended", hint="try again, or without --rerank"
                )
            if "error" in line:
                self._idle = True
                raise VdistillError(line["error"], hint=line["hint"])
            if "say" in line:
                self._say(line["say"])
                continue
            return line

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._lines.put(json.loads(line))
        self._lines.put(None)

    def _send(self, document: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        with suppress(OSError):  # it has ended; what it said before is still to be read
            self._process.stdin.write(json.dumps(document) + "\n")
            self._process.stdin.flush()


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value
