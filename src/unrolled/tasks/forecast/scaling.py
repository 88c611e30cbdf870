"""Level and spread of a window, by which the network sees its values."""

from __future__ import annotations

import torch
from torch import Tensor


def levels(values: Tensor, scale: str) -> tuple[Tensor, Tensor]:
    """Level and spread of each window and channel, ``[1, N, C]``.

    Args:
        values: The past, ``[L, N, C]``.
        scale: Kind of scale: ``window`` takes the last value as the level, ``revin`` mean and
            deviation; others leave the values as they are.
    """
    zero, one = torch.zeros_like(values[:1]), torch.ones_like(values[:1])
    if scale == "window":
        return values[-1:], one
    if scale == "revin":
        deviation = values.std(0, keepdim=True, correction=0)
        return values.mean(0, keepdim=True), deviation + 1e-3
    return zero, one
