"""Small random crops of the training images, so that the student learns products and not pixels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

ZOOM = 0.15  # an image is enlarged or shrunk by up to this share …
SHIFT = 0.08  # … and moved by up to this share of its side


@dataclass(frozen=True, slots=True)
class Crops:
    """For each of n images how it is zoomed (n,) and moved (n, 2), as shares of its side."""

    zoom: Tensor
    shift: Tensor

    def part(self, which: slice) -> Crops:
        """The crops of some of the images."""
        return Crops(self.zoom[which], self.shift[which])


def crops(count: int, rng: torch.Generator) -> Crops:
    """Random crops for `count` images."""
    zoom = 1 + ZOOM * (2 * torch.rand(count, generator=rng) - 1)
    return Crops(zoom, 2 * SHIFT * (2 * torch.rand(count, 2, generator=rng) - 1))


def cropped(inputs: dict[str, Tensor], how: Crops) -> dict[str, Tensor]:
    """The same inputs with each image of `pixel_values` (n, 3, h, w) zoomed and moved.

    Inputs that are already cut into patches are returned unchanged.
    """
    pixels = inputs["pixel_values"]
    if pixels.ndim != 4:
        return inputs
    theta = torch.zeros(len(pixels), 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = how.zoom
    theta[:, :, 2] = how.shift
    grid = affine_grid(theta.to(pixels), list(pixels.shape), align_corners=False)
    return {**inputs, "pixel_values": grid_sample(pixels, grid, "bilinear", "border", align_corners=False)}
