"""Opens a vision-language model by its small files, before its weights are read, and says what is wrong with it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from vdistill.encoders.checkpoint import hub_name
from vdistill.encoders.hub import WEIGHTS, Files, look_up
from vdistill.encoders.pretrained import quiet_transformers
from vdistill.errors import VdistillError, first_line
from vdistill.label.teachers.model_names import close_model
from vdistill.label.teachers.vlm_processor import Processor, load_processor

# What processors and models raise where a question does not suit them; torch's errors are RuntimeErrors.
BROKEN = (ValueError, TypeError, LookupError, AttributeError, AssertionError, RuntimeError)

_UNREACHED = "the hub cannot be reached, and nothing of it is on this machine"
# In transformers' words: "X requires the Torchvision library", "Package `num2words` is required".
_PACKAGE = re.compile(r"requires the ([\w-]+) library|ackage `([\w-]+)` is required|No module named '([\w-]+)'")


@dataclass(frozen=True, slots=True)
class Opened:
    """A model without its weights. config, processor: None in a plan for a model of which nothing can be had."""

    files: Files
    config: Any | None = None
    processor: Processor | None = None


def open_files(source: str, *, plan: bool, say: Callable[[str], None]) -> Opened:
    """Look a model up, and read its configuration and its processor.

    plan: nothing will be asked, so weights need not be there, and `say` tells about a model that cannot be had.
    Raises VdistillError, with a remedy, for all that would keep it from answering.
    """
    with loading(source), quiet_transformers():
        files = look_up(*hub_name(source))
        if not files.present:
            return _unseen(source, files, plan, say)
        config = _config(source, files)
        _check_weights(source, plan, say)
        try:
            processor = load_processor(files, config)
        except OSError:
            if plan and files.local and not Path(source).is_dir():
                return _unseen(source, files, plan, say, config)
            raise
    return Opened(files, config, processor)


def _unseen(source: str, files: Files, plan: bool, say: Callable[[str], None], config: Any = None) -> Opened:
    """What is known of a model that cannot be had now: enough for a plan."""
    if not plan:
        raise OSError(_UNREACHED)
    say(f"{source}: {_UNREACHED}, so tokens and seconds of this plan are rough estimates")
    return Opened(files, config)


def _config(source: str, files: Files) -> Any:
    """The configuration. Raises VdistillError for a model of another kind."""
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

    config = AutoConfig.from_pretrained(files.name, trust_remote_code=False, **files.where)
    if type(config) not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
        raise VdistillError(
            f"{source} is a {config.model_type} model, which does not answer questions about images",
            hint="give an image-text-to-text model, for example qwen2-vl",
        )
    return config


def _check_weights(source: str, plan: bool, say: Callable[[str], None]) -> None:
    folder = Path(source)
    if not folder.is_dir() or any(path.suffix in WEIGHTS for path in folder.iterdir()):
        return
    if not plan:
        raise VdistillError(f"{source} holds no weights", hint="copy the whole folder, *.safetensors included")
    say(f"{source} holds no weights: enough for a plan, but it cannot answer")


@contextlib.contextmanager
def loading(source: str) -> Iterator[None]:
    """Turn what goes wrong while a part of the model is loaded into a VdistillError with a remedy."""
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
        raise VdistillError(f"cannot get the teacher {source}: {first_line(error)}", hint=_remedy(source)) from error
    except (ImportError, *BROKEN) as error:
        package = _missing_package(error)
        if package is not None:
            raise VdistillError(
                f"the teacher {source} needs the package {package}, which is not installed",
                hint=f"pip install {package}",
            ) from error
        raise VdistillError(
            f"cannot load the teacher {source}: {first_line(error)}",
            hint="a newer transformers may know it; code that comes with a model is never run",
        ) from error


def _remedy(source: str) -> str:
    """What to do where a model cannot be downloaded, is incomplete, or is not the one that was meant."""
    if Path(source).is_dir():
        return "copy the whole folder: configuration, tokenizer, preprocessor, chat template and *.safetensors"
    name, revision = hub_name(source)
    close = close_model(name)
    meant = f"did you mean {close}? " if close else ""
    at = f" --revision {revision}" if revision else ""
    return (
        f"{meant}Without network: on a machine that has it run `hf download {name}{at} --local-dir DIR`, "
        "copy DIR here, and give --teacher DIR; or ask a server with --endpoint URL"
    )


def _missing_package(error: Exception) -> str | None:
    """The package that transformers says is missing."""
    if not isinstance(error, ImportError | ValueError):
        return None
    found = _PACKAGE.search(str(error))
    if found:
        return next(name for name in found.groups() if name).lower()
    return "torchvision" if "torchvision" in str(error).lower() else None
