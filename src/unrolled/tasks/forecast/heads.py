"""Heads of the network: the numbers that it gives for a step as loss, quantiles and point."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from unrolled.training.task import Metric

Kind = Literal["quantiles", "normal", "squared", "absolute"]

OBJECTIVES = {
    "quantiles": Metric("pinball", "pinball loss, scaled", "lower"),
    "normal": Metric("nats", "nats per step, scaled", "lower"),
    "squared": Metric("mse", "squared error, scaled", "lower"),
    "absolute": Metric("mae", "absolute error, scaled", "lower"),
}
"""What each loss measures."""

_LEAST = 1e-4
"""Smallest deviation of the normal distribution."""


class Head:
    """The meaning of the network's numbers.

    Args:
        kind: The loss.
        quantiles: Quantiles that are learnt or computed, sorted.

    Attributes:
        size: Numbers for each step, O.

    Shape:
        numbers: ``[…, O]``, relative to ``base`` and ``spread`` of ``[…]``.
        targets: ``[…]``.
    """

    def __init__(self, kind: Kind, quantiles: Sequence[float]) -> None:
        self.kind = kind
        self.levels = tuple(quantiles)
        self.size = {"quantiles": len(self.levels), "normal": 2}.get(kind, 1)

    def placed(self, numbers: Tensor, base: Tensor, spread: Tensor) -> Tensor:
        """The network's numbers in scaled units, ``[…, O]``."""
        if self.kind != "normal":
            return base.unsqueeze(-1) + spread.unsqueeze(-1) * numbers
        mean = base + spread * numbers[..., 0]
        deviation = spread * (functional.softplus(numbers[..., 1]) + _LEAST)
        return torch.stack([mean, deviation], dim=-1)

    def loss(self, placed: Tensor, targets: Tensor) -> Tensor:
        """Loss of each step, ``[…]``."""
        if self.kind == "normal":
            mean, deviation = placed.unbind(-1)
            error = (targets - mean) / deviation
            return 0.5 * error.square() + deviation.log() + 0.5 * math.log(2 * math.pi)
        error = targets.unsqueeze(-1) - placed
        if self.kind == "squared":
            return error.squeeze(-1).square()
        if self.kind == "absolute":
            return error.squeeze(-1).abs()
        levels = torch.tensor(self.levels, dtype=placed.dtype, device=placed.device)
        return torch.maximum(levels * error, (levels - 1) * error).mean(-1)

    def quantiles(self, placed: Tensor) -> Tensor:
        """Quantiles in order, ``[…, Q]``; where only a point is learnt it stands for all."""
        if self.kind == "quantiles":
            return placed.sort(-1).values
        if self.kind != "normal":
            return placed.expand(*placed.shape[:-1], len(self.levels))
        levels = torch.tensor(self.levels, dtype=torch.float64, device=placed.device)
        z = (math.sqrt(2) * torch.erfinv(2 * levels - 1)).to(placed.dtype)
        return placed[..., :1] + placed[..., 1:] * z

    def point(self, placed: Tensor) -> Tensor:
        """The forecast, ``[…]``: the median of quantiles, else the mean or the learnt value."""
        if self.kind == "quantiles":
            return self.quantiles(placed)[..., self.levels.index(0.5)]
        return placed[..., 0]
