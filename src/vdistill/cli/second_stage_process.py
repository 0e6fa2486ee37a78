"""The process beside `query --rerank`: JSON lines in, JSON lines out (see `second_stage.py`, the other end).

In: how to open the teacher; then searches, and that one is to stop. The end of the input means that nobody waits any
more: answers under way are stored where they are paid for, and that is all.
Out: the order of a search each time that more is known; what the user should know; an error.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from vdistill.cli.label import LabelCommand
from vdistill.cli.opened_teacher import open_judging
from vdistill.cli.session import Session
from vdistill.errors import VdistillError
from vdistill.label.purse import Purse
from vdistill.label.second_stage.judging import Judging, Search, told
from vdistill.label.second_stage.live import search_of
from vdistill.label.teacher import Local
from vdistill.records import Hit
from vdistill.workspace import at

_LONGEST = 150.0  # seconds that an answer under way is waited for when nobody waits for it any more
_PATHS = ("batch_file", "prompt", "export", "import_file")  # fields of `LabelCommand`


class Process:
    """Reads in the main thread, asks in another."""

    def __init__(self, out: TextIO) -> None:
        self._out, self._lock = out, threading.Lock()
        self._searches: queue.SimpleQueue[Mapping[str, Any] | None] = queue.SimpleQueue()
        self._stopped = 0  # the last search that is to stop
        self._ended = False
        self._current: tuple[int, Search] | None = None
        self._teacher: object = None  # once it is open

    def run(self, lines: TextIO) -> None:
        """Until there are no more lines, and what is paid for is stored."""
        given = json.loads(lines.readline() or "null")
        if given is None:
            return
        asking = threading.Thread(target=self._ask, args=(given,))
        asking.start()
        for line in lines:
            document = json.loads(line)
            if "stop" in document:
                self._stop(document["stop"])
            else:
                self._searches.put(document)
        self._ended = True
        self._searches.put(None)
        self._stop(sys.maxsize)
        if self._teacher is None or isinstance(self._teacher, Local):
            os._exit(0)  # what this machine computes costs nothing: it is not worth a process that nobody waits for
        asking.join(_LONGEST)
        os._exit(0)

    def tell(self, **document: Any) -> None:
        """A line for the other end, where there still is one."""
        with self._lock, suppress(OSError, ValueError):
            self._out.write(json.dumps(document) + "\n")
            self._out.flush()

    def _stop(self, number: int) -> None:
        self._stopped = number
        current = self._current
        if current is not None and current[0] <= number:
            current[1].stop.set()

    def _ask(self, given: Mapping[str, Any]) -> None:
        session = Session(None, Path(given["workspace"]), given["quiet"])  # type: ignore[arg-type]
        fields: dict[str, Any] = {
            name: Path(value) if name in _PATHS and value else value for name, value in given["label"].items()
        }
        workspace = at(Path(given["workspace"]))
        assert workspace is not None
        session.cache_images()
        try:
            with open_judging(
                session, workspace, LabelCommand(**fields), given["model"], given["calls"], given["max_cost"]
            ) as judging:
                self._teacher = judging.teacher
                while not self._ended and (document := self._searches.get()) is not None:
                    self._judge(judging, document, given["max_cost"])
        except VdistillError as error:
            self.tell(error=error.message, hint=error.hint)
        except Exception as error:
            self.tell(error=f"the teacher could not be asked: {type(error).__name__}: {error}", hint="please report it")

    def _judge(self, judging: Judging, document: Mapping[str, Any], max_cost: float | None) -> None:
        number = document["search"]
        hits = [Hit(one["rank"], one["id"], one["file"], one["score"], one["metadata"]) for one in document["items"]]
        search = search_of(document["text"], hits)

        def tell(*, done: bool = False) -> None:
            order, _ = search.order()
            self.tell(search=number, order=order, done=done, **told(search))

        search.changed = tell
        self._current = number, search
        if number <= self._stopped:
            search.stop.set()
            return
        try:
            judging.judge(search, Purse(None, max_cost))
        except VdistillError as error:
            search.notice = f"{error.message}: the order is the student's as far as nothing else is known"
        tell(done=True)


class _ToOtherEnd:
    """A stream whose lines are told to the user by the other end."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def write(self, text: str) -> int:
        """Tell the lines of a text."""
        for line in text.splitlines():
            if line.strip():
                self._process.tell(say=line)
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""

    def isatty(self) -> bool:
        """A file, as far as progress is concerned."""
        return False


def main() -> None:
    """Serve one `query`."""
    own = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)  # what libraries print is no line of ours
    process = Process(own)
    sys.stderr = _ToOtherEnd(process)
    process.run(sys.stdin)
