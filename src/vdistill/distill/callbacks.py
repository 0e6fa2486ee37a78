"""Who is told while a training runs: the progress bar, a person, and trackers such as TensorBoard."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vdistill.errors import VdistillError


@dataclass(frozen=True, slots=True)
class Progress:
    """After a step: how far, the mean losses of the epoch so far in nats, and the last validation nDCG@10.

    trial: the learning rate of a short training that is to choose one; None in the training itself.
    """

    step: int
    steps: int
    epoch: int
    loss: float
    retention: float
    images_per_second: float
    validation: float | None
    trial: float | None = None

    def describe(self) -> str:
        """One line for a progress bar."""
        if self.trial is not None:
            return f"trying learning rate {self.trial:g}  loss {self.loss:.3f}  {self.images_per_second:.0f} images/s"
        validated = "" if self.validation is None else f"  validation nDCG@10 {self.validation:.3f}"
        return f"epoch {self.epoch}  loss {self.loss:.3f}{validated}  {self.images_per_second:.0f} images/s"


@dataclass(frozen=True)
class Callbacks:
    """`advance` gets each step, `epoch` the figures of each epoch, `say` what a person should know.

    unseen: gets the vectors (n, dim) of all images before the refit, by weights that did not train on validation.
    """

    advance: Callable[[Progress], None]
    epoch: Callable[[dict[str, float]], None] = lambda _: None
    say: Callable[[str], None] = lambda _: None
    unseen: Callable[[Any], None] = lambda _: None


@contextlib.contextmanager
def tracker(name: str | None, folder: Path, settings: dict[str, Any]) -> Iterator[Callable[[dict[str, float]], None]]:
    """Gives a callback that logs each epoch's figures to one of accelerate's trackers; it does nothing without a name.

    Raises VdistillError for an unknown tracker, and for one whose package is missing.
    """
    if name is None:
        yield lambda _: None
        return
    opened = _opened(name, folder)
    opened.store_init_configuration({key: "none" if value is None else value for key, value in settings.items()})
    try:
        yield lambda figures: opened.log(figures, step=int(figures["epoch"]))
    finally:
        opened.finish()


def _opened(name: str, folder: Path) -> Any:
    from accelerate import PartialState
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS

    kinds = {str(kind): made for kind, made in LOGGER_TYPE_TO_CLASS.items()}
    if name not in kinds:
        raise VdistillError(f"unknown tracker {name!r}", hint=f"one of: {', '.join(sorted(kinds))}")
    PartialState()  # trackers ask it which process they are in
    folder.mkdir(parents=True, exist_ok=True)
    try:
        found = kinds[name]("vdistill", **({"logging_dir": folder} if kinds[name].requires_logging_directory else {}))
        found.start()
    except (ImportError, NameError) as error:
        raise VdistillError(f"{name} is not installed", hint=f"pip install {name}, or train without --track") from error
    return found
