"""Loading pretrained models from hub ids and folders, with clear errors for what can go wrong."""

from __future__ import annotations

import contextlib
import difflib
import os
import warnings
from collections.abc import Iterator, Sequence
from logging import ERROR
from pathlib import Path
from typing import Any

import torch

from vdistill.encoders import open_clip
from vdistill.encoders.checkpoint import Checkpoint, hub_name
from vdistill.encoders.hub import DEFAULT_BACKBONE
from vdistill.encoders.open_clip_config import model_config, processor_config
from vdistill.encoders.tokenizer import tokenizer_of
from vdistill.encoders.weights import load_whole
from vdistill.errors import VdistillError, first_line

# Text towers whose position ids start after the padding id.
_POSITION_OFFSET = {"roberta": 2, "xlm-roberta": 2, "camembert": 2, "altclip": 2}


def load_parts(source: str) -> tuple[Any, Any, dict[str, Any], str]:
    """The model (float32), its tokenizer, the settings of its image processor, and the layout of its files.

    Raises VdistillError for a checkpoint that is not a dual encoder, that lacks weights, or whose tokenizer is not its
    own, and whatever the libraries raise.
    """
    from transformers import AutoModel

    with quiet_transformers():
        checkpoint = Checkpoint.of(source)
        config = config_of(checkpoint)
        _require_dual(checkpoint, config)
        tokenizer = tokenizer_of(checkpoint, config)
        processor = processor_of(checkpoint, config)
        if checkpoint.open_clip is not None:
            return open_clip.load(checkpoint), tokenizer, processor, "open_clip"
        model = load_whole(AutoModel, checkpoint.name, **checkpoint.options, dtype=torch.float32)
    return model, tokenizer, processor, "transformers"


def config_of(checkpoint: Checkpoint) -> Any:
    """The config of a checkpoint for transformers. Raises VdistillError for a kind that it does not know."""
    from transformers import AutoConfig

    if checkpoint.open_clip is not None:
        return model_config(checkpoint.source, checkpoint.open_clip)
    checkpoint.require_known()
    return AutoConfig.from_pretrained(checkpoint.name, **checkpoint.options, trust_remote_code=False)


def processor_of(checkpoint: Checkpoint, config: Any) -> dict[str, Any]:
    """The settings of the image processor. Raises VdistillError where the checkpoint has none."""
    from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING_NAMES

    if checkpoint.open_clip is not None:
        return processor_config(checkpoint.source, checkpoint.open_clip)
    found = checkpoint.json("preprocessor_config.json")
    if found is None:
        found = (checkpoint.json("processor_config.json") or {}).get("image_processor")
    if found is None:
        raise VdistillError(
            f"{checkpoint.source} has no preprocessor_config.json, which says how images are prepared for it",
            hint="copy that file into the folder from the model it was made from",
        )
    if not {"image_processor_type", "feature_extractor_type"} & set(found):  # older than the key
        of = config.vision_config if config.model_type == "vision-text-dual-encoder" else config
        kind = IMAGE_PROCESSOR_MAPPING_NAMES.get(str(of.model_type), {})
        found = {**found, "image_processor_type": next((name for name in dict(kind).values() if name), None)}
    return found


def image_processor_config(source: str) -> dict[str, Any]:
    """The settings of the image processor of a hub id or folder. Raises VdistillError where it has none."""
    with quiet_transformers():
        checkpoint = Checkpoint.of(source)
        return processor_of(checkpoint, config_of(checkpoint))


def _require_dual(checkpoint: Checkpoint, config: Any) -> None:
    from transformers import MODEL_MAPPING

    kind = MODEL_MAPPING.get(type(config), None)
    if kind is None or (hasattr(kind, "get_image_features") and hasattr(kind, "get_text_features")):
        return
    missing = "text" if "vision" in config.model_type or hasattr(config, "patch_size") else "image"
    raise VdistillError(
        f"{checkpoint.source} is a {kind.__name__}, not a dual encoder: it has no {missing} tower",
        hint="give a model with an image and a text tower: CLIP, SigLIP, VisionTextDualEncoder, …",
    )


def with_adapter(model: Any, adapter: Path) -> Any:
    """The model with the PEFT folder `adapter` merged into its weights. Raises VdistillError where they do not fit."""
    from peft import PeftModel

    try:
        with quiet_transformers(), quiet_peft():
            return PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
    except Exception as error:  # peft, safetensors and json each raise their own kinds
        raise VdistillError(
            f"the student in {adapter} is damaged or belongs to another backbone: {first_line(error)}",
            hint="run `vdistill distill` to train it again; judgments are not affected",
        ) from error


def count_cut(source: str, texts: Sequence[str]) -> tuple[int, int]:
    """How many texts are longer than the text tower of `source` can read, and its limit in tokens.

    Loads no weights. Raises VdistillError where the model has no text tower, or its tokenizer cannot be loaded.
    """
    with load_errors(source), quiet_transformers():
        checkpoint = Checkpoint.of(source)
        config = config_of(checkpoint)
        if getattr(config, "text_config", None) is None:  # as `_require_dual` checks, without importing the models
            raise VdistillError(f"{source} has no text tower", hint="give a dual encoder: CLIP, SigLIP, …")
        tokenizer = tokenizer_of(checkpoint, config)
        limit = text_limit(config, tokenizer)
        lengths = [len(ids) for ids in tokenizer(list(texts), truncation=False).input_ids]
    return sum(length > limit for length in lengths), limit


def text_limit(config: Any, tokenizer: Any) -> int:
    """Tokens that the text tower of this config can read."""
    text = config.text_config
    positions = getattr(text, "max_position_embeddings", None) or tokenizer.model_max_length
    positions -= _POSITION_OFFSET.get(text.model_type, 0)
    return int(min(positions, tokenizer.model_max_length))


@contextlib.contextmanager
def load_errors(source: str) -> Iterator[None]:
    """Turn what libraries raise while `source` is loaded into one clear line."""
    try:
        yield
    except VdistillError:
        raise
    except Exception as error:  # hub, json, safetensors and transformers each raise their own kinds
        if Path(source).is_dir():
            raise VdistillError(
                f"cannot load the backbone in {source}: {first_line(error)}",
                hint="it should hold model, tokenizer and image processor, as save_pretrained or open_clip write them",
            ) from error
        raise VdistillError(
            f"cannot get the backbone {source}: {first_line(error)}", hint=_offline_hint(source)
        ) from error


def _offline_hint(source: str) -> str:
    name, revision = hub_name(source)
    known = (DEFAULT_BACKBONE, "openai/clip-vit-large-patch14", "google/siglip-base-patch16-224",
             "google/siglip2-base-patch16-224", "patrickjohncyh/fashion-clip")  # fmt: skip
    folders = [entry.name for entry in Path.cwd().iterdir() if entry.is_dir()]
    close = difflib.get_close_matches(source, [*known, *folders], n=3, cutoff=0.6)
    at = f" --revision {revision}" if revision else ""
    asked = f"did you mean {' or '.join(close)}? " if close and source not in close else ""
    return (
        f"{asked}Without network: run `hf download {name}{at} --local-dir DIR` on a machine that has it, "
        "copy DIR here, and give --backbone DIR"
    )


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep progress bars and messages of transformers and the hub's client off the terminal."""
    from huggingface_hub.utils import logging as hub_logging
    from transformers.utils import logging

    level, hub_level = logging.get_verbosity(), hub_logging.get_verbosity()
    logging.set_verbosity_error()
    hub_logging.set_verbosity(ERROR)  # it would report each attempt
    bars = os.environ.get("HF_HUB_DISABLE_PROGRESS_BARS")
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        hub_logging.set_verbosity(hub_level)
        if bars is None:
            logging.enable_progress_bar()


@contextlib.contextmanager
def quiet_peft() -> Iterator[None]:
    """Keep peft's warnings off the terminal: about deprecated names, and local models that are on no hub."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
