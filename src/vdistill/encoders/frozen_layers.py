"""The image tower cut in two: what no training changes is computed once, what is trained runs on its output.

The cut lies behind a block. Below it a forward pass is stopped, above it a pass starts from states that were kept. Both
use the model's own code, so any tower that is a list of blocks can be cut.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from vdistill.encoders.dual_encoder import DualEncoder


class FrozenLayers:
    """The image tower of `encoder` below its last `layers` blocks. The encoder may be wrapped by peft afterwards.

    shape: of the states of a picture, (tokens, width).  key: names the cut, for files.
    """

    def __init__(self, encoder: DualEncoder, layers: int) -> None:
        names = encoder.vision_blocks()
        below = names[: len(names) - layers]
        self._encoder = encoder
        self._blocks = [encoder.model.get_submodule(name) for name in below]
        self._embeddings = _embeddings(encoder)
        self.key = f"{encoder.fingerprint}-{len(below)}-{encoder.precision}"
        self.dtype = torch.bfloat16 if encoder.precision == "bf16" else torch.float32
        self._tuples = False
        probe = self.states(encoder.blank())
        self.shape = (int(probe.shape[1]), int(probe.shape[2]))

    @property
    def bytes_per_image(self) -> int:
        """What the states of a picture take."""
        return self.shape[0] * self.shape[1] * self.dtype.itemsize

    def states(self, inputs: dict[str, Tensor]) -> Tensor:
        """(n, tokens, width) what leaves the last block below the cut, for preprocessed pictures."""
        caught: list[Tensor] = []

        def stop(_module: nn.Module, _args: object, output: Any) -> None:
            self._tuples = isinstance(output, tuple)
            caught.append(output[0] if self._tuples else output)
            raise _Enough

        handle = self._blocks[-1].register_forward_hook(stop)
        try:
            with torch.inference_mode(), contextlib.suppress(_Enough):
                self._encoder.image_features(**inputs)
        finally:
            handle.remove()
        return caught[0].to(self.dtype)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self._encoder.device

    def features(self, states: Tensor) -> Tensor:
        """(n, dim) unit vectors of pictures from their states (n, tokens, width): what `image_features` gives."""
        first, *others = reversed(self._blocks)
        with contextlib.ExitStack() as stack:
            stack.enter_context(_instead(first, lambda *_, **__: self._wrapped(states.float())))
            for block in others:
                stack.enter_context(_instead(block, lambda hidden, *_, **__: self._wrapped(hidden)))
            pixels = self._encoder.blank(len(states))
            if self._embeddings is not None:  # what they would give is thrown away: nothing need be computed
                nothing = torch.zeros(1, 1, 1, device=states.device).expand(len(states), *self.shape)
                stack.enter_context(_instead(self._embeddings, lambda *_, **__: nothing))
            return self._encoder.image_features(**pixels)

    def _wrapped(self, hidden: Tensor) -> Any:
        return (hidden,) if self._tuples else hidden


def frozen_layers_of(encoder: DualEncoder, layers: int | None) -> FrozenLayers | None:
    """The part that training the last `layers` blocks leaves alone; None where there is none, or it cannot be kept.

    Pictures cut into patches (NaFlex) differ in what the blocks above need beside the states.
    """
    if layers is None or layers >= len(encoder.vision_blocks()) or set(encoder.blank()) != {"pixel_values"}:
        return None
    return FrozenLayers(encoder, layers)


class _Enough(Exception):
    """The states are there: the rest of the pass is not needed."""


@contextlib.contextmanager
def _instead(module: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    module.forward = forward
    try:
        yield
    finally:
        del module.forward


def _embeddings(encoder: DualEncoder) -> nn.Module | None:
    for name, module in encoder.model.named_modules():
        if name.startswith(f"{encoder.vision_name}.") and name.endswith(".embeddings"):
            return module  # type: ignore[no-any-return]
    return None
