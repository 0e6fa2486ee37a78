"""The image tower cut in two: the frozen layers are computed once, the trained ones run on their output.

The cut lies behind a block. The lower part is a forward pass stopped there, the upper part a pass that starts from the
states that were kept. Both use the model's own code, so any tower that is a list of blocks can be cut.
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

    shape: of the states of an image, (tokens, width).  key: names model, cut and precision, for folders.
    """

    def __init__(self, encoder: DualEncoder, layers: int) -> None:
        names = encoder.vision_blocks()
        below = names[: len(names) - layers]
        self._encoder = encoder
        self._blocks = [encoder.model.get_submodule(name) for name in below]
        self._embeddings = next(
            (
                module
                for name, module in encoder.model.named_modules()
                if name.startswith(f"{encoder.vision_name}.") and name.endswith(".embeddings")
            ),
            None,
        )
        self.key = f"{encoder.fingerprint}-{len(below)}-{encoder.precision}"
        self.dtype = torch.bfloat16 if encoder.precision == "bf16" else torch.float32
        self._tuples = False  # whether a block returns a tuple
        probe = self.states(encoder.blank())
        self.shape = (int(probe.shape[1]), int(probe.shape[2]))

    @property
    def bytes_per_image(self) -> int:
        """The size of the states of one image."""
        return self.shape[0] * self.shape[1] * self.dtype.itemsize

    def states(self, inputs: dict[str, Tensor]) -> Tensor:
        """(n, tokens, width) the output of the last block below the cut, for preprocessed images."""
        caught: list[Tensor] = []

        def stop(_module: nn.Module, _args: object, output: Any) -> None:
            self._tuples = isinstance(output, tuple)
            caught.append(output[0] if self._tuples else output)
            raise _Stop

        handle = self._blocks[-1].register_forward_hook(stop)
        try:
            with torch.inference_mode(), contextlib.suppress(_Stop):
                self._encoder.image_features(**inputs)
        finally:
            handle.remove()
        return caught[0].to(self.dtype)

    def features(self, states: Tensor) -> Tensor:
        """(n, dim) unit vectors of images from their states (n, tokens, width), as `image_features` gives them."""
        first, *others = reversed(self._blocks)
        with contextlib.ExitStack() as stack:
            stack.enter_context(_instead(first, lambda *_, **__: self._wrapped(states.float())))
            for block in others:
                stack.enter_context(_instead(block, lambda hidden, *_, **__: self._wrapped(hidden)))
            pixels = self._encoder.blank(len(states))
            if self._embeddings is not None:  # their output is not used: do not compute it
                nothing = torch.zeros(1, 1, 1, device=states.device).expand(len(states), *self.shape)
                stack.enter_context(_instead(self._embeddings, lambda *_, **__: nothing))
            return self._encoder.image_features(**pixels)

    def _wrapped(self, hidden: Tensor) -> Any:
        return (hidden,) if self._tuples else hidden


def frozen_layers_of(encoder: DualEncoder, layers: int | None) -> FrozenLayers | None:
    """What training the last `layers` blocks leaves unchanged; None where that is nothing, or the tower cannot be cut.

    Images cut into patches (NaFlex) cannot: the blocks above need more than the states.
    """
    if layers is None or layers >= len(encoder.vision_blocks()) or set(encoder.blank()) != {"pixel_values"}:
        return None
    return FrozenLayers(encoder, layers)


class _Stop(Exception):
    """The rest of the forward pass is not needed."""


@contextlib.contextmanager
def _instead(module: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    module.forward = forward
    try:
        yield
    finally:
        del module.forward
