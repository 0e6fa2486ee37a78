"""What can go wrong with a model in this process, in one line each, with what helps."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError

from vdistill.encoders.checkpoint import hub_name
from vdistill.errors import VdistillError
from vdistill.label.teachers.aliases import close_models

# In transformers' words: "X requires the Torchvision library", "Package `num2words` is required".
_PACKAGE = re.compile(r"requires the ([\w-]+) library|ackage `([\w-]+)` is required|No module named '([\w-]+)'")

# What processors and models raise where a question does not suit them; torch's errors are RuntimeErrors.
BROKEN = (ValueError, TypeError, LookupError, AttributeError, AssertionError, RuntimeError)


@contextlib.contextmanager
def loading(source: str) -> Iterator[None]:
    """Say what helps where a part of the model cannot be loaded."""
    try:
        yield
    except VdistillError:
        raise
    except SafetensorError as error:
        raise VdistillError(
            f"cannot load the teacher {source}: {first_line(error)}",
            hint="a file of its weights is damaged or incomplete: download it again",
        ) from error
    except OSError as error:
        raise VdistillError(f"cannot get the teacher {source}: {first_line(error)}", hint=offline(source)) from error
    except (ImportError, ValueError) as error:
        if package := missing_package(error):
            raise VdistillError(
                f"the teacher {source} needs the package {package}, which is not installed",
                hint=f"pip install {package}",
            ) from error
        raise _unknown(source, error) from error
    except (LookupError, TypeError, AttributeError, RuntimeError) as error:
        raise _unknown(source, error) from error


def offline(source: str) -> str:
    """What to do where a model cannot be downloaded or is not whole, or is not the one that was meant."""
    if Path(source).is_dir():
        return "copy the whole folder: configuration, tokenizer, preprocessor, chat template and *.safetensors"
    name, revision = hub_name(source)
    close = "".join(f"did you mean {other}? " for other in close_models(name)[:1])
    at = f" --revision {revision}" if revision else ""
    return (
        f"{close}Without network: on a machine that has it run `hf download {name}{at} --local-dir DIR`, "
        "copy DIR here, and give --teacher DIR; or ask a server with --endpoint URL"
    )


def missing_package(error: Exception) -> str | None:
    """The package whose absence transformers complains of."""
    found = _PACKAGE.search(str(error))
    if found:
        return next(name for name in found.groups() if name).lower()
    return "torchvision" if "torchvision" in str(error).lower() else None


def out_of_memory(error: Exception) -> bool:
    """Whether memory is what was missing; not every device has an error of its own for that."""
    words = str(error).lower()
    return (
        isinstance(error, torch.OutOfMemoryError | MemoryError) or "out of memory" in words or "can't allocate" in words
    )


def first_line(error: Exception) -> str:
    """The first line of what an error says, else its kind."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _unknown(source: str, error: Exception) -> VdistillError:
    return VdistillError(
        f"cannot load the teacher {source}: {first_line(error)}",
        hint="a newer transformers may know it; code that comes with a model is never run",
    )
