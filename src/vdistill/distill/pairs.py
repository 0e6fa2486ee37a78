"""Dot products of the pairs that calls consist of: each query with the few images it was shown, not with all."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_WORTH = 8  # times as many pairs in all as those that are asked for: then they are computed one by one
_MOST = 1 << 24  # numbers of gathered vectors, 64 MiB


def pair_scores(queries: Tensor, row: Tensor, images: Tensor, place: Tensor) -> Tensor:
    """The dot products (m, k) of query `row[i]` and image `place[i, j]`.

    queries: (q, dim), without gradient.  row: (m,).  images: (n, dim).  place: (m, k).
    """
    few = len(queries) * len(images) >= _WORTH * place.numel() and place.numel() * images.shape[1] <= _MOST
    if few and images.device.type == "cpu":
        return _Pairs.apply(queries[row], images, place)  # type: ignore[no-any-return, no-untyped-call]
    return (queries @ images.T)[row[:, None], place]


class _Pairs(torch.autograd.Function):
    """The scores of asked (m, dim) and images (n, dim) at `place` (m, k); the gradient is for the images alone."""

    @staticmethod
    def forward(ctx: Any, asked: Tensor, images: Tensor, place: Tensor) -> Tensor:
        ctx.save_for_backward(asked, place)
        ctx.count = len(images)
        shown = images.index_select(0, place.flatten()).view(*place.shape, -1)
        return torch.bmm(shown, asked[:, :, None])[:, :, 0]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor, None]:
        asked, place = ctx.saved_tensors
        call = torch.arange(len(place)).repeat_interleave(place.shape[1])
        where = torch.stack([place.flatten(), call])
        share = torch.sparse_coo_tensor(where, gradients[0].flatten(), (ctx.count, len(place)), check_invariants=False)
        return None, share @ asked, None
