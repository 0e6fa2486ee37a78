"""What a vision-language model's small files tell before its weights are read, or are even there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vdistill.encoders.checkpoint import hub_name
from vdistill.encoders.hub import WEIGHTS, Files, look_up
from vdistill.encoders.pretrained import quiet_transformers
from vdistill.errors import VdistillError
from vdistill.label.teachers.vlm_errors import loading
from vdistill.label.teachers.vlm_processor import Processor, load_processor

UNREACHED = "the hub cannot be reached, and nothing of it is on this machine"


@dataclass(frozen=True, slots=True)
class Opened:
    """A model without its weights. config, processor: None in a plan for a model of which nothing can be had."""

    files: Files
    config: Any | None = None
    processor: Processor | None = None


def open_files(source: str, *, plan: bool, say: Callable[[str], None]) -> Opened:
    """Look a model up, read its configuration and its processor, and try the processor on two blank images.

    plan: nothing will be asked, so weights need not be there, and a model that cannot be had is told of by `say`.
    Raises VdistillError for all that would keep it from answering, and what to do.
    """
    with loading(source), quiet_transformers():
        files = look_up(*hub_name(source))
        if not files.present:
            return _unseen(source, files, plan, say)
        config = _config(source, files)
        _check_weights(source, plan, say)
        try:
            processor = load_processor(files.name, files.where)
        except OSError:
            if plan and files.local and not Path(source).is_dir():
                return _unseen(source, files, plan, say, config)
            raise
        processor.try_out()
    return Opened(files, config, processor)


def _unseen(source: str, files: Files, plan: bool, say: Callable[[str], None], config: Any = None) -> Opened:
    """What is known of a model that cannot be had now: enough for a plan."""
    if not plan:
        raise OSError(UNREACHED)
    say(f"{source}: {UNREACHED}, so this plan's tokens and seconds are estimates by what is usual")
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
    say(f"{source} holds no weights: enough for a plan, and for nothing else")
