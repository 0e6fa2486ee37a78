"""Small random crops of the training pictures, so that the student learns products and not pixels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

ZOOM = 0.15  # a picture is enlarged or shrunk by up to this share …
SHIFT = 0.08  # … and moved by up to this share of its side


def augmented(inputs: dict[str, Tensor], rng: torch.Generator) -> dict[str, Tensor]:
    """The same inputs with each picture of `pixel_values` (n, 3, h, w) zoomed and shifted a little.

    Inputs that are cut into patches already come back as they are.
    """
    pixels = inputs["pixel_values"]
    if pixels.ndim != 4:
        return inputs
    count = len(pixels)
    zoom = 1 + ZOOM * (2 * torch.rand(count, generator=rng) - 1)
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = zoom
    theta[:, :, 2] = 2 * SHIFT * (2 * torch.rand(count, 2, generator=rng) - 1)
    grid = affine_grid(theta.to(pixels), list(pixels.shape), align_corners=False)
    moved = grid_sample(pixels, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return {**inputs, "pixel_values": moved}
