"""What the machine asks of a training: an attention that is fast on it, and a word when its memory is too small."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from vdistill.distill.settings import DistillSettings
from vdistill.encoders.dual_encoder import DualEncoder
from vdistill.errors import VdistillError

SHORT = 128  # tokens


def attention(encoder: DualEncoder) -> Callable[[], contextlib.AbstractContextManager[None]]:
    """Which attention to train with.

    On a CPU the gradient of fused attention is slow for short sequences: 19 ms against 3 for 115 × 17 tokens.

    Plain attention is faster up to about `SHORT` tokens.
    """
    vision = getattr(encoder.model.config, "vision_config", None)
    side, patch = getattr(vision, "image_size", None), getattr(vision, "patch_size", None)
    if encoder.device.type != "cpu" or not (isinstance(side, int) and isinstance(patch, int)):
        return contextlib.nullcontext
    if (side // patch) ** 2 > SHORT:
        return contextlib.nullcontext
    return lambda: sdpa_kernel(SDPBackend.MATH)


@contextlib.contextmanager
def memory_errors(settings: DistillSettings) -> Iterator[None]:
    """Turn what is raised when memory runs out into one clear line that names the knob."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:  # torch's own kind is a RuntimeError, and so is that of its CPU side
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "allocate memory" not in str(error):
            raise
        raise VdistillError(
            f"out of memory with {settings.batch_images} images a step",
            hint=f"--step-memory 1 encodes a step in smaller parts, to the same student; --batch-images "
            f"{max(settings.batch_images // 2, 2)} or --train-layers take less, too",
        ) from error
