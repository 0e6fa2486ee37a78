"""The student as a checkpoint of its own, for programs that know nothing of adapters.

It is opened by those programs and compared with the student before it is put in place.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize

from vdistill.encoders.dual_encoder import DualEncoder, pooled
from vdistill.encoders.pretrained import image_processor_config, load_errors, quiet_transformers
from vdistill.encoders.student import open_student, read_info
from vdistill.encoders.tokenizer import PROBES
from vdistill.encoders.weights import load_whole
from vdistill.errors import VdistillError, first_line
from vdistill.workspace import Workspace, replacing_folder, write_file, writing

MARK = "vdistill.json"  # what the checkpoint was made from, and the sign that it may be replaced

_TEXTS = list(PROBES[:3])
# The least cosine; for images less, since with torchvision installed transformers resizes with another library.
_LEAST = {"text": 0.999, "image": 0.99}


def write(workspace: Workspace, folder: Path) -> None:
    """Merge the adapter into the backbone and write model, tokenizer and image processor into `folder`.

    Raises VdistillError where there is no student, where `folder` holds anything that was not written here (it is
    replaced as a whole, and a backbone looks just like a merged student), and where other programs cannot open the
    result, or get other vectors from it.
    """
    ours = folder.is_dir() and (not any(folder.iterdir()) or (folder / MARK).is_file())
    if folder.exists() and not ours:
        raise VdistillError(f"{folder} holds something else than a merged student", hint="give a new folder")
    encoder = open_student(workspace, device="cpu", precision="fp32")
    info = read_info(workspace)
    made_from = {"backbone": encoder.source, "adapter_sha256": info.adapter_sha256 if info else ""}
    if info and info.item_head_sha256:  # which other programs could not apply
        made_from["left_out"] = f"the texts in items' vectors: {info.facts['fields']['fields']}"
    with load_errors(encoder.source):
        processor = image_processor_config(encoder.source)
    for old in ("feature_extractor_type", "auto_map"):  # the former name of its type; code that is not copied
        processor.pop(old, None)
    processor["image_processor_type"] = encoder.preprocessing.kind
    contents = {"preprocessor_config.json": processor, MARK: made_from, **_for_sentence_transformers(encoder)}
    encoder.tokenizer.model_max_length = encoder.max_text_length
    encoder.model.config.__dict__.pop("auto_map", None)
    with replacing_folder(folder) as aside, quiet_transformers():
        with writing(folder):
            encoder.model.save_pretrained(aside)
            encoder.tokenizer.save_pretrained(aside)
            for name, content in contents.items():
                write_file(aside / name, json.dumps(content, indent=2) + "\n")
        _require_readable(aside, encoder)


def _for_sentence_transformers(encoder: DualEncoder) -> dict[str, Any]:
    """The files by which sentence-transformers opens the model as it was trained; none for kinds that it cannot.

    Version 6 opens other dual encoders by itself, but pads their texts to the longest, and masks that.
    """
    padded = encoder.text_padding == "max_length"
    if not padded and encoder.model.config.model_type != "clip":
        return {}
    kind = "base.modules.transformer.Transformer" if padded else "models.CLIPModel"
    modules = [{"idx": 0, "name": "0", "path": "", "type": f"sentence_transformers.{kind}"}]
    if not padded:
        return {"modules.json": modules}
    text = {
        "padding": "max_length",
        "max_length": encoder.max_text_length,
        "truncation": True,
        "return_attention_mask": False,
    }
    methods = {
        kind: {"method": f"get_{kind}_features", "method_output_name": "pooler_output"} for kind in ("text", "image")
    }
    settings = {
        "transformer_task": "feature-extraction",
        "modality_config": methods,
        "module_output_name": "sentence_embedding",
        "processing_kwargs": {"text": text},
    }
    return {"modules.json": modules, "sentence_bert_config.json": settings}


def _require_readable(folder: Path, encoder: DualEncoder) -> None:
    """Raise VdistillError where `folder` cannot be opened, or gives other vectors than `encoder`.

    Tried with transformers, and with sentence-transformers where that is installed and the folder has its files.
    """
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8))
    prepare = encoder.preprocessing
    wanted = {"text": encoder.encode_texts(_TEXTS), "image": encoder.encode_images(prepare.stack([prepare(image)]))}
    with _opening("transformers") as program:
        _compare(program, _by_transformers(folder, encoder, image), wanted)
    if (folder / "modules.json").is_file() and importlib.util.find_spec("sentence_transformers"):
        with _opening("sentence-transformers") as program:
            _compare(program, _by_sentence_transformers(folder, image), wanted)


def _by_transformers(folder: Path, encoder: DualEncoder, image: Image.Image) -> dict[str, np.ndarray]:
    from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

    model = load_whole(AutoModel, str(folder), dtype=torch.float32).eval()
    tokens = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)(
        _TEXTS, padding=encoder.text_padding, truncation=True, return_tensors="pt"
    )
    pixels = AutoImageProcessor.from_pretrained(folder, trust_remote_code=False)(images=image, return_tensors="pt")
    texts = {name: tokens[name] for name in encoder.text_input_names}
    return {"text": _unit(model.get_text_features, texts), "image": _unit(model.get_image_features, dict(pixels))}


def _by_sentence_transformers(folder: Path, image: Image.Image) -> dict[str, np.ndarray]:
    from sentence_transformers import SentenceTransformer

    model: Any = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    options = {"normalize_embeddings": True, "show_progress_bar": False}
    return {"text": model.encode(_TEXTS, **options), "image": model.encode([image], **options)}


def _unit(features: Callable[..., Any], inputs: dict[str, Tensor]) -> np.ndarray:
    with torch.inference_mode():
        return normalize(pooled(features(**inputs)).float(), dim=-1).numpy()


def _compare(program: str, found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> None:
    for what, least in _LEAST.items():
        worst = float((found[what] * wanted[what]).sum(axis=1).min())
        if not worst >= least:
            message = f"{program} reads the merged checkpoint differently: {what} vectors have a cosine of {worst:.4f}"
            raise VdistillError(message, hint=_HINT)


_HINT = "nothing was written; the student itself is not affected. Please report this backbone"


@contextlib.contextmanager
def _opening(program: str) -> Iterator[str]:
    """Name the program that could not open the folder; keep its warnings off the terminal."""
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield program
    except VdistillError:
        raise
    except Exception as error:  # transformers and sentence-transformers each raise their own kinds
        raise VdistillError(f"{program} cannot open the merged checkpoint: {first_line(error)}", hint=_HINT) from error
