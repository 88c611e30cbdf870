"""Dropout of values, whose masks cost little on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_LEVELS = 2**16


class Dropout(nn.Module):
    """Zeroes each value with probability p and scales the others by 1 / (1 - p), while training.

    As `torch.nn.Dropout`, which on a CPU draws one number of its sequential generator for each
    value, a large part of a small model's step. Here every draw of 64 bits decides four values, so
    p is rounded to a multiple of 2⁻¹⁶.

    Args:
        p: Share of the values dropped, 0 ≤ p < 1.

    Shape:
        Any; the output has the input's.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """The input, part of it dropped."""
        if not self.training or self.p == 0:
            return x
        if x.device.type != "cpu":
            return functional.dropout(x, self.p)
        dropped = round(self.p * _LEVELS)
        draws = torch.empty(-(-x.numel() // 4), dtype=torch.int64, device="cpu").random_(
            -(2**63), None
        )
        levels = draws.view(torch.int16)[: x.numel()].view(x.shape)
        kept = (levels >= dropped - _LEVELS // 2).to(x.dtype)
        return x * kept.mul_(_LEVELS / (_LEVELS - dropped))

    def extra_repr(self) -> str:
        """For the module's printed form."""
        return f"p={self.p}"
