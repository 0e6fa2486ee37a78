"""Reuses the ONNX graph of an image tower for one of the same architecture, as a student differs in its weights alone.

Tracing takes seconds to minutes, writing weights next to nothing. So each export notes where its weights are in its
file; for the next tower of the same architecture the graph is copied and those places are overwritten.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

import numpy as np

from vdistill.encoders.dual_encoder import VISION_HEADS, DualEncoder

NOTES = "weights.json"
_DATA = ".data"  # the exporter's suffix for the file of a graph's weights
_MAX_CONSTANT = 64 * 1024  # bytes: a larger tensor that is not a parameter was computed from some, and would be stale


def note_weights(encoder: DualEncoder, graph: Path) -> None:
    """Note, beside an exported graph, which parameter each tensor of its weights is.

    Nothing is written where a matrix of the tower is not among them, as it is or transposed: it was folded into others.
    """
    import onnx

    parameters = _parameters(encoder)
    places = {
        _digest(array): (name, transposed)
        for name, array in parameters.items()
        for transposed, array in _layouts(array)
    }
    data = graph.with_name(graph.name + _DATA)
    if not data.is_file():
        return
    notes = []
    content = np.memmap(data, np.uint8, "r")
    for tensor in onnx.load(str(graph), load_external_data=False).graph.initializer:
        where = {entry.key: entry.value for entry in tensor.external_data}
        if not where:
            continue
        start, length = int(where.get("offset", 0)), int(where["length"])
        part = content[start : start + length]
        name = tensor.name.removeprefix("model.")
        if name in parameters and parameters[name].tobytes() == part.tobytes():
            notes.append([start, length, name, False])
        elif (found := places.get(hashlib.sha256(part.tobytes()).hexdigest())) is not None:
            notes.append([start, length, *found])
        elif length > _MAX_CONSTANT:
            return
    noted = {name for _, _, name, _ in notes}
    if any(array.ndim > 1 and name not in noted for name, array in parameters.items()):
        return
    rest = _rest(parameters, noted)
    facts = {"architecture": _architecture(encoder), "rest": rest, "weights": notes}
    graph.with_name(NOTES).write_text(json.dumps(facts), encoding="utf-8")


def reuse(encoder: DualEncoder, known: Path, graph: Path) -> bool:
    """Write `graph` from that in the folder `known`, with the encoder's weights; False where it is of another tower."""
    notes = known / NOTES
    if not notes.is_file():
        return False
    facts: dict[str, Any] = json.loads(notes.read_text(encoding="utf-8"))
    if facts["architecture"] != _architecture(encoder):
        return False
    parameters = _parameters(encoder)
    if facts["rest"] != _rest(parameters, {name for _, _, name, _ in facts["weights"]}):
        return False
    data = graph.name + _DATA
    for name in (graph.name, data, NOTES):
        shutil.copyfile(known / name, graph.with_name(name))
    end = (known / data).stat().st_size
    with graph.with_name(data).open("r+b") as file:
        for start, length, name, transposed in facts["weights"]:
            array = parameters[name].T if transposed else parameters[name]
            content = np.ascontiguousarray(array).tobytes()
            if len(content) != length or not 0 <= start <= end - length:
                return False  # damaged
            file.seek(start)
            file.write(content)
    return True


def _parameters(encoder: DualEncoder) -> dict[str, np.ndarray]:
    """The image tower's parameters by name, in full precision, as an export has them."""
    tower = (encoder.vision_name, *VISION_HEADS)
    return {
        name: parameter.detach().float().cpu().numpy()
        for name, parameter in encoder.model.named_parameters()
        if name.split(".")[0] in tower
    }


def _rest(parameters: Mapping[str, np.ndarray], noted: Set[str]) -> str:
    """Hash of the parameters that cannot be replaced, because they are within the graph itself: biases and scales."""
    found = hashlib.sha256()
    for name in sorted(parameters.keys() - noted):
        found.update(name.encode() + np.ascontiguousarray(parameters[name]).tobytes())
    return found.hexdigest()


def _layouts(array: np.ndarray) -> list[tuple[bool, np.ndarray]]:
    """A tensor as it is, and, as the exporter stores the weights of linear layers, transposed."""
    return [(False, array), *([(True, array.T)] if array.ndim == 2 else [])]


def _digest(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def _architecture(encoder: DualEncoder) -> str:
    """Hash of all that the graph depends on but the numbers: classes, settings, shapes, and exporter versions."""
    import onnxscript
    import torch
    import transformers

    config = {name: value for name, value in encoder.model.config.to_dict().items() if name != "_name_or_path"}
    shapes = [(name, list(tensor.shape)) for name, tensor in encoder.model.state_dict().items()]
    facts = [type(encoder.model).__qualname__, config, shapes, encoder.preprocessing.to_json(),
             torch.__version__, transformers.__version__, onnxscript.__version__]  # fmt: skip
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()
