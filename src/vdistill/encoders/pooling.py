"""Poolings of token vectors (n, length, d) with their mask (n, length) to one vector (n, d) a text."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def cls(tokens: Tensor, mask: Tensor) -> Tensor:
    """The first token that is not padding."""
    return _at(tokens, mask.int().argmax(1))


def last(tokens: Tensor, mask: Tensor) -> Tensor:
    """The last token that is not padding."""
    return _at(tokens, mask.shape[1] - 1 - mask.int().flip(1).argmax(1))


def mean(tokens: Tensor, mask: Tensor) -> Tensor:
    """The mean."""
    return _sum(tokens, mask) / _length(mask)


def mean_sqrt_length(tokens: Tensor, mask: Tensor) -> Tensor:
    """The sum over the square root of the length."""
    return _sum(tokens, mask) / _length(mask).sqrt()


def weighted_mean(tokens: Tensor, mask: Tensor) -> Tensor:
    """The mean, in which the n-th token has the weight n."""
    weights = mask.cumsum(1) * mask
    return _sum(tokens, weights) / weights.sum(1, keepdim=True).clamp(min=1)


def maximum(tokens: Tensor, mask: Tensor) -> Tensor:
    """The maximum of each dimension."""
    return tokens.masked_fill(mask[:, :, None] == 0, float("-inf")).amax(1)


# By the names of sentence-transformers, and as older versions of it set them in a config.
POOLINGS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cls": cls,
    "max": maximum,
    "mean": mean,
    "mean_sqrt_len_tokens": mean_sqrt_length,
    "weightedmean": weighted_mean,
    "lasttoken": last,
}
FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}


def _at(tokens: Tensor, places: Tensor) -> Tensor:
    return tokens[torch.arange(len(tokens), device=tokens.device), places]


def _sum(tokens: Tensor, weights: Tensor) -> Tensor:
    return (tokens * weights[:, :, None]).sum(1)


def _length(mask: Tensor) -> Tensor:
    return mask.sum(1, keepdim=True).clamp(min=1)
