"""The exported text encoder: ONNX Runtime and tokenizers, without torch, which takes seconds to import."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vdistill.bundle.manifest import REMEDY, remedy
from vdistill.bundle.pack import PackedPath, Place
from vdistill.bundle.vectors import unit
from vdistill.errors import VdistillError
from vdistill.workspace import read_json

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SCHEMA_VERSION = 1
SETTINGS, MODEL, TOKENIZER = "text_encoder.json", "model.onnx", "tokenizer.json"
BATCH = 32


@dataclass(frozen=True, slots=True)
class TextSettings:
    """`text_encoder.json`: how texts become the model's inputs.

    `padding` is "longest" (of the batch) or "max_length" (always `max_length` tokens, as SigLIP was trained).
    """

    max_length: int
    padding: str
    pad_id: int
    pad_token: str
    inputs: tuple[str, ...]
    dim: int
    padding_side: str = "right"
    truncation_side: str = "right"
    schema_version: int = SCHEMA_VERSION


class TextEncoder:
    """Texts to unit vectors. May be shared between threads."""

    def __init__(self, settings: TextSettings, tokenizer: Tokenizer, session: Any) -> None:
        self.settings = settings
        self._tokenizer = tokenizer
        self._session = session

    @classmethod
    def open(cls, folder: Place, begun: Callable[[Place], Any] | None = None, threads: int = 0) -> TextEncoder:
        """Open an exported encoder. Raises VdistillError where it is damaged.

        begun: returns the session for a folder where it has been opened already, else None; asked last.
        threads: of each call; 0 for one on each core.
        """
        from tokenizers import Tokenizer

        settings = _settings(folder)
        try:
            tokenizer = Tokenizer.from_buffer((folder / TOKENIZER).read_bytes())
        except Exception as error:  # tokenizers raises nothing more precise
            raise VdistillError(f"the text encoder's tokenizer is damaged: {error}", hint=REMEDY) from error
        tokenizer.enable_truncation(settings.max_length, direction=settings.truncation_side)
        length = settings.max_length if settings.padding == "max_length" else None
        tokenizer.enable_padding(
            direction=settings.padding_side, pad_id=settings.pad_id, pad_token=settings.pad_token, length=length
        )
        session = begun(folder) if begun else None
        return cls(settings, tokenizer, session or open_session(folder / MODEL, threads))

    def tokenize(self, texts: Sequence[str]) -> dict[str, np.ndarray]:
        """The model's inputs for one batch: int64 arrays (n, length)."""
        encodings = self._tokenizer.encode_batch(list(texts))
        columns = {
            "input_ids": [encoding.ids for encoding in encodings],
            "attention_mask": [encoding.attention_mask for encoding in encodings],
            "token_type_ids": [encoding.type_ids for encoding in encodings],
        }
        return {name: np.array(columns[name], np.int64) for name in self.settings.inputs}

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors (n, dim), float32, one per text."""
        parts = [
            self._session.run(None, self.tokenize(texts[start : start + BATCH]))[0]
            for start in range(0, len(texts), BATCH)
        ]
        return unit(np.concatenate(parts)) if parts else np.zeros((0, self.settings.dim), np.float32)

    def length(self, text: str) -> int:
        """How many tokens the model gets for this text alone, padding included."""
        return len(self._tokenizer.encode(text).ids)

    def token_counts(self, texts: Sequence[str]) -> list[int]:
        """How many tokens the model reads of each text."""
        return [sum(encoding.attention_mask) for encoding in self._tokenizer.encode_batch(list(texts))]

    def truncated(self, texts: Sequence[str]) -> int:
        """How many tokens of these texts are cut, because the model reads `max_length` at most."""
        overflowing = [part for encoding in self._tokenizer.encode_batch(list(texts)) for part in encoding.overflowing]
        return sum(part.special_tokens_mask.count(0) for part in overflowing)


def open_session(model: Place, threads: int = 0) -> Any:
    """An ONNX Runtime session on the CPU. Raises VdistillError where the file is damaged.

    threads: of each call; 0 for one on each core.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    if threads:  # somebody shares the cores: threads that have nothing to do must not spin
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # The export is optimized already: further passes cost time at each start and gain nothing per query.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    try:
        graph = str(model) if isinstance(model, Path) else _in_pack(model, options)
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime has no public base class for its errors
        raise VdistillError(f"{model} is damaged: {error}", hint=remedy(model)) from error
    if isinstance(model, PackedPath):
        model.pack.check_same()  # it was opened by its name
    return session


def _in_pack(model: PackedPath, options: Any) -> bytes:
    """The graph, and in the options where its weights are."""
    from vdistill.bundle.packed_graph import graph_in_pack

    folder = str(model.pack.path.resolve().parent)
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", folder)
    return graph_in_pack(model)


def _settings(folder: Place) -> TextSettings:
    fields = read_json(folder / SETTINGS, "the text encoder", REMEDY)
    try:
        return TextSettings(**{**fields, "inputs": tuple(fields["inputs"])})
    except (KeyError, TypeError) as error:
        raise VdistillError(f"the text encoder is damaged: {folder / SETTINGS}: {error}", hint=REMEDY) from error
