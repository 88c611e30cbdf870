"""DropConnect on the recurrent matrices."""

from __future__ import annotations

import torch
from torch import Tensor


def drop_weights(flat: list[Tensor], directions: int, rate: float) -> list[Tensor]:
    """U ← m ∘ U, with one mask for a whole call (Merity, Keskar & Socher, 2018).

    Args:
        flat: the weights of a layer's directions, one after the other, W and U first.
        directions: how many there are.
        rate: probability p with which a weight is 0 in this call; the others are multiplied by
            1 / (1 - p).
    """
    count = len(flat) // directions
    recurrent = range(1, len(flat), count)
    return [t * _mask(t, rate) if k in recurrent else t for k, t in enumerate(flat)]


def _mask(weight: Tensor, rate: float) -> Tensor:
    """Four numbers of 16 bits from every random one: drawing them one by one is what takes time."""
    size = ((weight.numel() + 3) // 4,)
    numbers = torch.randint(
        -(2**63), 2**63 - 1, size, dtype=torch.int64, device=weight.device
    ).view(torch.int16)
    kept = numbers[: weight.numel()].view(weight.shape) >= round(rate * 2**16) - 2**15
    return kept.to(weight.dtype) * (1 / (1 - rate) if rate < 1 else 0.0)
