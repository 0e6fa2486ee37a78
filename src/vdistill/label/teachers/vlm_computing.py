"""What goes wrong inside a model, as an error of one line; where memory is what is missing, half may be tried."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from vdistill.errors import TeacherError, first_line
from vdistill.label.teachers.vlm_loading import BROKEN


def computed(model_call: Callable[[], Any], name: str, device: torch.device, *, may_halve: bool = False) -> Any:
    """What the model gives; None where memory does not suffice and half of it may be tried.

    Raises TeacherError with one line for whatever goes wrong inside the model.
    """
    try:
        with torch.inference_mode():
            return model_call()
    except (MemoryError, *BROKEN) as error:
        if not _out_of_memory(error):
            raise TeacherError(
                f"{name} fails: {first_line(error)}", hint="--debug shows where; try another model"
            ) from error
        if may_halve:
            return None
        raise TeacherError(
            f"{name} does not fit into the memory of {device}",
            hint="show fewer images (--images-per-call), take a smaller teacher, or ask a server with --endpoint",
        ) from error


def _out_of_memory(error: Exception) -> bool:
    """Whether memory is what was missing; not every device has an error of its own for that."""
    words = str(error).lower()
    return (
        isinstance(error, torch.OutOfMemoryError | MemoryError) or "out of memory" in words or "can't allocate" in words
    )
