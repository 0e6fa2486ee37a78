"""Which judgments taught the student about an item, by the index that is served and the workspace beside it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np

from vdistill.errors import VdistillError
from vdistill.inputs.lines import well_formed
from vdistill.query.documents import reason_document
from vdistill.query.search import Searcher
from vdistill.query.shared_texts import TOGETHER
from vdistill.serve.answers import Answers, item_documents, item_key, terms_of
from vdistill.serve.asked import Asked
from vdistill.serve.refusals import Refused, unavailable, wrong
from vdistill.serve.reload import Generation
from vdistill.workspace import Workspace

if TYPE_CHECKING:
    from vdistill.query.why import Explainer, Reason


class Explanations:
    """Explains items of the student's index. Nothing is read before the first question.

    Its methods belong to one thread, whose database it keeps open, but for `check` and `stop`.
    preparing: how many training queries are encoded, and of how many; None while nobody waits for that.
    """

    def __init__(self, workspace: Workspace, answers: Answers, say: Callable[[str], None]) -> None:
        self._workspace, self._answers, self._say = workspace, answers, say
        self.preparing: tuple[int, int] | None = None
        self._ending = threading.Event()
        self._opened: tuple[Generation, Explainer] | None = None
        self._stack = ExitStack()
        self._said = ""

    def check(self) -> None:
        """Raise VdistillError where no judgments explain what is served now. Leaves nothing open."""
        with self._answers.indexes.lease() as found, self._explainer_of(found):
            pass

    def stop(self) -> None:
        """Let go of what may take long, so that the server can end."""
        self._ending.set()

    def close(self) -> None:
        """Close the database."""
        self._opened = None
        self._stack.close()

    def explained(self, id_: str, asked: Asked, images: Mapping[int, bytes]) -> dict[str, Any]:
        """The judgments behind an item, as an answer to this search.  images: the bytes of those in it, by place.

        Raises Refused for the backbone, an unknown item, and while the judgments cannot be read.
        """
        return self._answers.leased(lambda found: self._explained(found, id_, asked, images))

    def _explained(self, found: Generation, id_: str, asked: Asked, images: Mapping[int, bytes]) -> dict[str, Any]:
        started = time.perf_counter()
        searcher = found.named(asked.model)
        if searcher.model != "student":
            from vdistill.query.why import UNTAUGHT

            raise wrong(UNTAUGHT, "ask with the student")
        item_key(searcher, id_)
        vector = searcher.vector(terms_of(found, searcher, asked, images))
        reasons = self._reasons(found, vector, id_)
        took = round((time.perf_counter() - started) * 1000, 2)
        return {"query": asked.text, "model": searcher.model, "id": id_,
                "why": [reason_document(reason) for reason in reasons], "items": _as_judged(searcher, reasons),
                "took_ms": took}  # fmt: skip

    def _reasons(self, found: Generation, vector: np.ndarray, id_: str) -> Sequence[Reason]:
        try:
            (reasons,) = self._explainer(found).reasons(vector, [id_])
        except Refused:
            raise
        except VdistillError as error:  # its words tell where files lie
            self.close()
            self._tell(f"results cannot be explained now: {error}")
            raise unavailable("the judgments behind results cannot be read now",
                              "whoever runs the server is told why") from error  # fmt: skip
        finally:
            self.preparing = None
        self._said = ""
        return reasons

    def _explainer(self, found: Generation) -> Explainer:
        """That of this index; a newer one has a student that was taught by more."""
        if self._opened is None or self._opened[0] is not found:
            self.close()
            self._opened = found, self._stack.enter_context(self._explainer_of(found))
        return self._opened[1]

    def _explainer_of(self, found: Generation) -> AbstractContextManager[Explainer]:
        from vdistill.query.why import Explainer

        def advance(done: int, total: int) -> None:
            self.preparing = done, total

        return Explainer.open(self._workspace, found.named("student"), advance, self._encoding(found))

    def _encoding(self, found: Generation) -> Callable[[Sequence[str]], np.ndarray]:
        """Encodes a few texts at a time, those of a length together: searches have their turn in between."""
        searcher, encoder = found.named("student"), found.texts["student"]

        def encode(texts: Sequence[str]) -> np.ndarray:
            order = np.argsort(encoder.token_counts([well_formed(text) for text in texts]), kind="stable")
            vectors = np.zeros((len(texts), searcher.manifest.dim), np.float32)
            for start in range(0, len(texts), TOGETHER):
                if self._ending.is_set():
                    raise unavailable("the server ends")
                some = order[start : start + TOGETHER]
                vectors[some] = searcher.encode([texts[number] for number in some])
            return vectors

        return encode

    def _tell(self, line: str) -> None:
        if line != self._said:
            self._said = line
            self._say(line)


def _as_judged(searcher: Searcher, reasons: Sequence[Reason]) -> list[dict[str, Any]]:
    """What was shown in these judgments, each item once; without what is gone, or was another image then."""
    shown = [image for reason in reasons for image in reason.shown]
    gone = {image.id for image in shown if image.file is None}
    ids = [id_ for id_ in dict.fromkeys(image.id for image in shown) if id_ not in gone]
    return item_documents(searcher, searcher.store.items.keys_of(ids).tolist())
