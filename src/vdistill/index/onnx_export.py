"""The towers as ONNX files, so that a query needs neither torch nor transformers; each is compared with its model."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from vdistill.bundle import image_encoder, text_encoder
from vdistill.encoders.dual_encoder import DualEncoder
from vdistill.encoders.tokenizer import PROBES
from vdistill.errors import VdistillError
from vdistill.index import graph_reuse, graph_trace
from vdistill.index.graph_trace import Wanted
from vdistill.index.tokenizer_export import check_same, export_tokenizer

MIN_COSINE = 0.9999


def export_text_encoder(encoder: DualEncoder, folder: Path) -> None:
    """Write `model.onnx`, `tokenizer.json` and `text_encoder.json` into `folder`.

    Raises VdistillError where the export fails, or its vectors differ from the model's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = encoder.tokenizer
    settings = text_encoder.TextSettings(
        max_length=encoder.max_text_length,
        padding=encoder.text_padding,
        pad_id=int(tokenizer.pad_token_id or 0),
        pad_token=str(tokenizer.pad_token or ""),
        inputs=encoder.text_input_names,
        dim=encoder.dim,
        padding_side=tokenizer.padding_side,
        truncation_side=tokenizer.truncation_side,
    )
    (folder / text_encoder.SETTINGS).write_text(json.dumps(asdict(settings)), encoding="utf-8")
    export_tokenizer(tokenizer, folder / text_encoder.TOKENIZER)
    ids = encoder.tokenize(PROBES)["input_ids"].tolist()
    vectors = encoder.encode_texts(PROBES)

    def found() -> np.ndarray:
        exported = text_encoder.TextEncoder.open(folder)
        check_same(exported.tokenize(PROBES)["input_ids"].tolist(), ids, type(tokenizer).__name__)
        alone = np.concatenate([exported.encode([probe]) for probe in PROBES])  # as queries are
        return np.concatenate([alone, exported.encode(PROBES[1:3])])

    free = (0, 1) if settings.padding == "longest" else (0,)
    graph = Wanted(_on_cpu(encoder), "text_features", encoder.tokenize(PROBES[:3]), free)
    _write(graph, folder / text_encoder.MODEL, found, np.concatenate([vectors, vectors[1:3]]))


def export_image_encoder(encoder: DualEncoder, folder: Path, known: Iterable[Path] = ()) -> None:
    """Write `model.onnx` and `preprocessing.json` into `folder`. Raises VdistillError as `export_text_encoder` does.

    known: folders of other exports; the graph of one of the same architecture is reused.
    A tower that takes images of any shape (Siglip2 NaFlex) resizes its position embeddings for each image, which no
    fixed graph does: for it nothing is written.
    """
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    prepare = encoder.preprocessing
    if prepare.patch_size:
        return
    (folder / image_encoder.SETTINGS).write_text(prepare.to_json(), encoding="utf-8")
    noise = np.random.default_rng(0).integers(0, 256, (3, 90, 120, 3), dtype=np.uint8)
    inputs = prepare.stack([prepare(Image.fromarray(pixels)) for pixels in noise])
    exact, graph = replace(encoder, precision="fp32"), folder / image_encoder.MODEL
    one = {name: array[:1] for name, array in inputs.items()}
    wanted = np.concatenate([exact.encode_images(inputs), exact.encode_images(one)])

    def found() -> np.ndarray:
        exported = image_encoder.ImageEncoder.open(folder)
        return np.concatenate([exported.encode_images(inputs), exported.encode_images(one)])

    for other in known:
        with contextlib.suppress(VdistillError, OSError, ValueError, KeyError, TypeError):  # damaged: trace anew
            if graph_reuse.reuse(exact, other, graph) and _worst(found(), wanted) >= MIN_COSINE:
                return
    _write(Wanted(_on_cpu(exact), "image_features", exact.to_tensors(inputs), (0,)), graph, found, wanted)
    graph_reuse.note_weights(exact, graph)


def _write(graph: Wanted, path: Path, found: Callable[[], np.ndarray], wanted: np.ndarray) -> None:
    """Write the graph, traced if what is then `found` with it is what is `wanted`, else exported."""
    with contextlib.suppress(Exception):  # of many kinds, deep within torch; then the other exporter has its turn
        graph_trace.trace(graph, path)
        if _worst(found(), wanted) >= MIN_COSINE:
            return
    tower = graph.tower.split("_")[0]
    try:
        graph_trace.export(graph, path)
    except OSError:
        raise
    except Exception as error:  # the exporter raises its own kinds, deep and many
        raise VdistillError(
            f"cannot export the {tower} tower of {graph.encoder.source}: {type(error).__name__}",
            hint="run again with --debug for the exporter's own message",
        ) from error
    worst = _worst(found(), wanted)
    if not worst >= MIN_COSINE:
        raise VdistillError(
            f"the exported {tower} encoder differs from the model: cosine {worst:.6f}",
            hint="please report this backbone, with the versions of torch and onnxruntime",
        )


def _on_cpu(encoder: DualEncoder) -> DualEncoder:
    """The encoder itself on a CPU, else a copy there: the exported file runs on one."""
    if encoder.device.type == "cpu":
        return encoder
    return replace(encoder, model=copy.deepcopy(encoder.model).cpu(), device=torch.device("cpu"))


def _worst(found: np.ndarray, wanted: np.ndarray) -> float:
    return float((found * wanted).sum(axis=1).min())
