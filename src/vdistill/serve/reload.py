"""The index that is served: a newer one takes its place, and it is closed when the last who asked it has his answer."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import psutil  # type: ignore[import-untyped]

from vdistill.bundle import manifest
from vdistill.bundle.image_encoder import ImageEncoder
from vdistill.bundle.manifest import Entry
from vdistill.bundle.pack import PackedPath, Place, place_of
from vdistill.bundle.store import Store
from vdistill.errors import VdistillError
from vdistill.query.search import Searcher
from vdistill.query.shared_texts import CachedTexts, TextEncoders
from vdistill.serve.refusals import Refused, unavailable
from vdistill.serve.settings import FILTER_LIMITS, RESIDENT_BYTES

SECONDS = 0.5  # between two looks at the manifest
RETRY_SECONDS = 5.0  # until an index that could not be opened is tried again
_Mark: TypeAlias = "tuple[int, int, int] | None"


class Generation:
    """The open indexes of all models, and how many use them."""

    def __init__(self, searchers: dict[str, Searcher], texts: dict[str, CachedTexts], model: str) -> None:
        self.searchers = searchers
        self.texts = texts
        self.model = model
        self.filters: dict[str, dict[str, Any]] = {}  # of each model's items, once they were asked for
        self.users = 0
        self.retired = False
        self._lock = threading.Lock()

    def named(self, model: str | None) -> Searcher:
        """The searcher of a model, or of the one that answers by default. Raises Refused where there is none."""
        found = self.searchers.get(model or self.model)
        if found is None:
            hint = f"run `vdistill index --model {model}`" if model in ("student", "backbone") else "ask /v1/info"
            raise Refused(404, "model_not_found", f"there is no index of the model {str(model)[:100]!r}", hint)
        return found

    def image_encoder(self, searcher: Searcher) -> ImageEncoder:
        """The image encoder, opened by one thread alone. Raises VdistillError for a backbone that has none."""
        with self._lock:
            return searcher.image_encoder

    def has_image_encoder(self, model: str) -> bool:
        """Whether images have been searched for with this model."""
        return model in self.searchers and "image_encoder" in vars(self.searchers[model])

    def close(self) -> None:
        """Release the files."""
        for searcher in self.searchers.values():
            searcher.close()


class Indexes:
    """The newest index in a folder or a pack, to be leased for as long as it takes to answer.

    say: prints a line for whoever runs the server.
    """

    def __init__(self, index: Path, model: str | None, say: Callable[[str], None]) -> None:
        self.loads = 0
        self._index, self._model, self._say = index, model, say
        self._packed = index.is_file()  # it is a pack: a newer one takes its place
        self._encoders = TextEncoders()
        self._current: Generation | None = None
        self._lock = threading.Lock()
        self._mark: _Mark = None
        self._said = ""
        self._failed: float | None = None  # when the newest index could not be opened; it may only be half copied

    @contextmanager
    def lease(self) -> Iterator[Generation]:
        """The newest index, which stays open within the block. Raises Refused where there is none now."""
        with self._lock:
            found = self._current
            if found is None:
                raise unavailable("there is no index now", "run `vdistill index`; it is served as soon as it is there")
            found.users += 1
        try:
            yield found
        finally:
            with self._lock:
                found.users -= 1
                unused = found.retired and not found.users
            if unused:
                found.close()

    def current(self) -> Generation | None:
        """The newest index, not to be searched: it may be closed at any time."""
        return self._current

    def load(self) -> None:
        """Open the newest index. Raises VdistillError where it is missing or damaged; then the old one goes on."""
        self._mark = self._look()
        opened = self._opened()
        self.loads += 1  # before anybody can see it
        self._replace(opened)

    async def watch(self) -> None:
        """Load each newer index, and keep the memory small, until cancelled."""
        process = psutil.Process()
        while True:
            await asyncio.sleep(SECONDS)
            with contextlib.suppress(OSError, psutil.Error):  # for example too many open files: look again later
                if process.memory_info().rss > RESIDENT_BYTES:
                    await asyncio.to_thread(self.let_go)
            again = self._failed is not None and time.monotonic() > self._failed + RETRY_SECONDS
            if again or self._look() != self._mark:
                await asyncio.to_thread(self.refresh)

    def refresh(self) -> None:
        """Load the newest index, where there is one that can be opened; say so where there is none."""
        self._failed = None
        if self._look() is None:
            self._mark = None
            self._replace(None)
            self._tell("the index has vanished: nothing is served until it is back")
            return
        try:
            self.load()
        except (VdistillError, OSError) as error:
            self._failed = time.monotonic()
            self._tell(f"the new index cannot be opened: {error}")
            return
        self._said = ""
        with self.lease() as found:
            self._say(f"serving a newer index of {len(found.named(None)):,} items")

    def let_go(self) -> None:
        """Give back the pages of the vectors, which may be a whole large index after many searches."""
        with contextlib.suppress(Refused), self.lease() as found:
            for searcher in found.searchers.values():
                searcher.store.let_go()

    def close(self) -> None:
        """Release the files, as soon as nobody uses them."""
        self._replace(None)

    def _tell(self, text: str) -> None:
        if text != self._said:
            self._said = text
            self._say(text)

    def _look(self) -> _Mark:
        """What changes when an index is published."""
        try:
            status = (self._index if self._packed else self._index / manifest.NAME).stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size

    def _opened(self) -> Generation:
        place = place_of(self._index)
        entries = manifest.read(place)
        if isinstance(place, PackedPath):
            _check_whole(place, entries)
        model = self._model or ("student" if "student" in entries else next(iter(entries), "backbone"))
        searchers: dict[str, Searcher] = {}
        texts: dict[str, CachedTexts] = {}
        try:
            searchers[model], texts[model] = self._searcher(place, model)
            for name in entries.keys() - {model}:
                try:
                    searchers[name], texts[name] = self._searcher(place, name)
                except VdistillError as error:
                    self._tell(f"the index of the {name} cannot be opened: {error}")
        except BaseException:
            for searcher in searchers.values():
                searcher.close()
            raise
        self._encoders.keep([searcher.store for searcher in searchers.values()])
        return Generation(searchers, texts, model)

    def _searcher(self, place: Place, model: str) -> tuple[Searcher, CachedTexts]:
        """Everything that a search needs is opened now: later its file may be gone, when a newer index is published."""
        store = Store.open(place, model)
        try:
            texts = self._encoders.of(store)
            store.items.filter_apart(patience=FILTER_LIMITS.wall_seconds or 10.0)
            searcher = Searcher(store, model, texts=texts, limits=FILTER_LIMITS)
            if self._current is not None and self._current.has_image_encoder(model):
                _ = searcher.image_encoder
            searcher.search("warm", k=10)
        except BaseException:
            store.close()
            raise
        return searcher, texts

    def _replace(self, newer: Generation | None) -> None:
        with self._lock:
            older, self._current = self._current, newer
            unused = False
            if older is not None:
                older.retired = True
                unused = not older.users
        if older is not None and unused:
            older.close()


def _check_whole(pack: PackedPath, entries: Mapping[str, Entry]) -> None:
    """Read all of a pack: it came from elsewhere, and will be served for long. Raises VdistillError for damage."""
    for entry in entries.values():
        for file in entry.files:
            file.check(pack, full=True)
