"""A merged checkpoint is opened as others will open it, before it counts."""

from __future__ import annotations

import contextlib
import importlib.util
import io
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
from vdistill.encoders.tokenizer import PROBES
from vdistill.encoders.weights import load_whole
from vdistill.errors import VdistillError

_TEXTS = PROBES[:3]
_LEAST = 0.999  # cosine
_LEAST_OF_IMAGES = 0.99  # with torchvision installed, transformers resizes by another library


def require_opened(folder: Path, encoder: DualEncoder) -> None:
    """Raise VdistillError where `folder` cannot be opened, or gives other vectors than `encoder`.

    By AutoModel, AutoTokenizer and AutoImageProcessor of transformers; and by sentence-transformers, where that is
    installed and the folder has its files.
    """
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8))
    prepare = encoder.preprocessing
    wanted = encoder.encode_texts(_TEXTS), encoder.encode_images(prepare.stack([prepare(image)]))
    with _opening("transformers"):
        _compare("transformers", _by_transformers(folder, encoder, image), wanted)
    if (folder / "modules.json").is_file() and importlib.util.find_spec("sentence_transformers"):
        with _opening("sentence-transformers"):
            _compare("sentence-transformers", _by_sentence_transformers(folder, image), wanted)


def _by_transformers(folder: Path, encoder: DualEncoder, image: Image.Image) -> tuple[np.ndarray, np.ndarray]:
    from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

    model = load_whole(AutoModel, str(folder), dtype=torch.float32).eval()
    tokens = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)(
        list(_TEXTS), padding=encoder.text_padding, truncation=True, return_tensors="pt"
    )
    pixels = AutoImageProcessor.from_pretrained(folder, trust_remote_code=False)(images=image, return_tensors="pt")
    texts = {name: tokens[name] for name in encoder.text_input_names}
    return _unit(model.get_text_features, texts), _unit(model.get_image_features, dict(pixels))


def _by_sentence_transformers(folder: Path, image: Image.Image) -> tuple[np.ndarray, np.ndarray]:
    from sentence_transformers import SentenceTransformer

    model: Any = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    options = {"normalize_embeddings": True, "show_progress_bar": False}
    return model.encode(list(_TEXTS), **options), model.encode([image], **options)


def _unit(features: Callable[..., Any], inputs: dict[str, Tensor]) -> np.ndarray:
    with torch.inference_mode():
        return normalize(pooled(features(**inputs)).float(), dim=-1).numpy()


def _compare(program: str, found: tuple[np.ndarray, np.ndarray], wanted: tuple[np.ndarray, np.ndarray]) -> None:
    for what, ours, theirs, least in zip(("text", "image"), found, wanted, (_LEAST, _LEAST_OF_IMAGES), strict=True):
        worst = float((ours * theirs).sum(axis=1).min())
        if not worst >= least:
            message = f"{program} reads the merged checkpoint differently: {what} vectors have a cosine of {worst:.4f}"
            raise VdistillError(message, hint=_HINT)


_HINT = "nothing was written; the student itself is not affected. Please report this backbone"


@contextlib.contextmanager
def _opening(program: str) -> Iterator[None]:
    """Name the program that could not open the folder; keep its remarks off the terminal."""
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    except VdistillError:
        raise
    except Exception as error:  # transformers and sentence-transformers each raise their own kinds
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise VdistillError(f"{program} cannot open the merged checkpoint: {line}", hint=_HINT) from error
