"""The figures of a training for TensorBoard, Weights & Biases and others: what accelerate has a tracker for."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from vdistill.errors import VdistillError

Log = Callable[[dict[str, float]], None]


@contextlib.contextmanager
def tracked(name: str | None, folder: Path, settings: dict[str, Any]) -> Iterator[Log]:
    """Yields what takes the figures of each epoch; it does nothing without a name.

    Raises VdistillError for an unknown tracker, and for one whose package is missing.
    """
    if name is None:
        yield lambda _: None
        return
    tracker = _opened(name, folder)
    tracker.store_init_configuration({key: "none" if value is None else value for key, value in settings.items()})
    try:
        yield lambda figures: tracker.log(figures, step=int(figures["epoch"]))
    finally:
        tracker.finish()


def _opened(name: str, folder: Path) -> Any:
    from accelerate import PartialState
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS

    kinds = {str(kind): made for kind, made in LOGGER_TYPE_TO_CLASS.items()}
    if name not in kinds:
        raise VdistillError(f"unknown tracker {name!r}", hint=f"one of: {', '.join(sorted(kinds))}")
    PartialState()
    try:
        if kinds[name].requires_logging_directory:
            folder.mkdir(parents=True, exist_ok=True)
            tracker = kinds[name]("vdistill", logging_dir=folder)
        else:
            tracker = kinds[name]("vdistill")
        tracker.start()
    except (ImportError, NameError) as error:
        raise VdistillError(f"{name} is not installed", hint=f"pip install {name}, or train without --track") from error
    return tracker
