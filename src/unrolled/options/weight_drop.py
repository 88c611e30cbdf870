"""Dropout of single recurrent weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .option import RECURRENT, Rate

if TYPE_CHECKING:
    from torch import Tensor


class WeightDrop(Rate):
    """Share of recurrent weights dropped, the same ones at every step.

    U ← m ∘ U, with one mask m for a whole call (Merity, Keskar & Socher, 2018).
    """

    need = RECURRENT
    every_call = True
    equation = "U ← m ∘ U, one m for a call"
    source = "Merity, Keskar & Socher 2018"

    def reweigh(self, value: Any, weights: list[Tensor], directions: int) -> list[Tensor]:
        """U with a share of its weights 0, and the others multiplied by 1 / (1 - p)."""
        count = len(weights) // directions
        recurrent = range(1, len(weights), count)
        return [t * _mask(t, value) if k in recurrent else t for k, t in enumerate(weights)]


def _mask(weight: Tensor, rate: float) -> Tensor:
    """Four numbers of 16 bits from every random one: drawing them one by one is what takes time."""
    import torch

    size = ((weight.numel() + 3) // 4,)
    numbers = torch.randint(
        -(2**63), 2**63 - 1, size, dtype=torch.int64, device=weight.device
    ).view(torch.int16)
    kept = numbers[: weight.numel()].view(weight.shape) >= round(rate * 2**16) - 2**15
    return kept.to(weight.dtype) * (1 / (1 - rate) if rate < 1 else 0.0)
