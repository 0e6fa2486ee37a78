"""A worker that answers questions: it has a vision-language model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vdistill.errors import VdistillError
from vdistill.label.teachers.local_vlm import LocalVLM
from vdistill.label.teachers.options import TeacherOptions
from vdistill.records import Question, ShownImage
from vdistill.sources import shown


@dataclass(frozen=True, slots=True)
class Call:
    """Something to ask.  method: of `LocalVLM`.  sure: whether images that are not there are no reason to refuse."""

    number: int
    method: str
    arguments: tuple[Any, ...]
    sure: bool = False

    def images(self) -> list[ShownImage]:
        """All that it shows."""
        found: list[ShownImage] = []
        for given in self.arguments:
            for one in given if isinstance(given, Sequence) else ():
                found += one.images if isinstance(one, Question) else [one] if isinstance(one, ShownImage) else []
        return found


@dataclass(frozen=True, slots=True)
class Said:
    """What came of a call.  unseen: paths of its images that are not there; nothing was asked then."""

    value: Any = None
    notices: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()


class TeacherWorker:
    """Asks a model of its own. `prepare` before the first call."""

    def __init__(self, cpus: int, gpu: bool) -> None:
        """cpus, gpu: what this worker may use."""
        self._cpus, self._gpu = max(cpus, 1), gpu
        self._notices: list[str] = []
        self._teacher: LocalVLM | None = None

    def hello(self) -> bool:
        """Answer as soon as there is room."""
        return True

    def prepare(self, source: str, options: TeacherOptions, wanted: tuple[str, str]) -> list[str]:
        """Load the model; returns notices. Raises VdistillError where it is not there, or is another one.

        wanted: name and prompt of the teacher, as they are where the answers are stored.
        """
        import torch

        torch.set_num_threads(self._cpus)
        device = "auto" if self._gpu else "cpu"
        self._teacher = LocalVLM(source, options, say=self._notices.append, device=device)
        if (self._teacher.name, self._teacher.prompt) != wanted:
            raise VdistillError(
                f"it has another {source}: {self._teacher.name} instead of {wanted[0]}",
                hint="copy the same files to all nodes",
            )
        self._teacher.load()
        return self._said()

    def do(self, call: Call) -> Said:
        """Make a call."""
        unseen = () if call.sure else tuple(shown(str(one.file)) for one in call.images() if not _there(one))
        if unseen:
            return Said(unseen=unseen)
        value = getattr(self._teacher, call.method)(*call.arguments)
        return Said(value, tuple(self._said()))

    def _said(self) -> list[str]:
        said, self._notices[:] = list(self._notices), []
        return said


def _there(image: ShownImage) -> bool:
    """Whether this machine sees an image; one that is elsewhere is fetched when it is read."""
    return "://" in str(image.file) or image.path.exists()
