"""Writes a tower's ONNX graph: by tracing, in a seventh of the time, or by torch's own default exporter.

Tracing records one run of the model, so a graph may be right for that run's shapes alone: the caller compares it with
the model at others. It is the older of torch's two exporters, and newer versions of torch may lack it.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from vdistill.encoders.dual_encoder import DualEncoder

OPSET = 20  # the last that it knows
_DATA = ".data"  # the default exporter's suffix for the file of a graph's weights
_INSIDE = 1024  # bytes: smaller tensors stay within the graph


@dataclass(frozen=True)
class Wanted:
    """A graph to be written.

    tower: the encoder's method.  inputs: one run of it.  free: the axes, by their numbers, whose lengths may differ.
    """

    encoder: DualEncoder
    tower: str
    inputs: Mapping[str, Tensor]
    free: tuple[int, ...]

    @property
    def module(self) -> nn.Module:
        """The tower with positional inputs."""
        return _Tower(self.encoder, self.tower, tuple(self.inputs)).eval()

    @property
    def arguments(self) -> tuple[Tensor, ...]:
        """Its inputs on a CPU."""
        return tuple(value.cpu() for value in self.inputs.values())


class _Tower(nn.Module):
    """One tower as a module with positional inputs, in full precision."""

    def __init__(self, encoder: DualEncoder, tower: str, names: tuple[str, ...]) -> None:
        super().__init__()
        self.model = encoder.model
        self._features = getattr(encoder, tower)
        self._names = names

    def forward(self, *inputs: Tensor) -> Tensor:
        return self._features(**dict(zip(self._names, inputs, strict=True)))  # type: ignore[no-any-return]


def trace(wanted: Wanted, path: Path) -> None:
    """Write the graph by tracing, its weights in a file of their own. What torch raises is of many kinds."""
    import onnx

    axes = {name: {axis: f"axis_{axis}" for axis in wanted.free} for name in wanted.inputs}
    with tempfile.TemporaryDirectory(dir=path.parent) as folder, _quiet():
        torch.onnx.export(
            wanted.module,
            wanted.arguments,
            f"{folder}/graph",
            input_names=list(wanted.inputs),
            output_names=["features"],
            dynamic_axes={**axes, "features": {0: "axis_0"}},
            opset_version=OPSET,
            dynamo=False,
        )
        graph = onnx.load(f"{folder}/graph")
    path.unlink(missing_ok=True)
    path.with_name(path.name + _DATA).unlink(missing_ok=True)
    onnx.save(graph, str(path), save_as_external_data=True, location=path.name + _DATA, size_threshold=_INSIDE)


def export(wanted: Wanted, path: Path) -> None:
    """Write the graph by the default exporter. What torch raises is of many kinds."""
    axes = dict.fromkeys(wanted.free, torch.export.Dim.DYNAMIC)
    with _quiet():
        torch.onnx.export(
            wanted.module,
            wanted.arguments,
            str(path),
            input_names=list(wanted.inputs),
            output_names=["features"],
            dynamic_shapes={"inputs": tuple(axes for _ in wanted.inputs)},
            dynamo=True,
            external_data=True,  # weights in a file of their own are mapped, not copied: a query starts sooner
            verbose=False,
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without gradients, and with the exporters' progress and warnings off both streams."""
    level = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
            torch.inference_mode(False),
            torch.no_grad(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
