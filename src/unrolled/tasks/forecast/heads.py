"""Heads of the network: the numbers that it gives for a step as loss, quantiles and point."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from unrolled.training.task import Metric

Kind = Literal["quantiles", "normal", "student", "squared", "absolute"]

OBJECTIVES = {
    "quantiles": Metric("pinball", "pinball loss, scaled", "lower"),
    "normal": Metric("nats", "nats per step, scaled", "lower"),
    "student": Metric("nats", "nats per step, scaled", "lower"),
    "squared": Metric("mse", "squared error, scaled", "lower"),
    "absolute": Metric("mae", "absolute error, scaled", "lower"),
}
"""Measure of each loss."""

_LEAST = 1e-4
"""Smallest deviation of a distribution."""


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
        self.size = {"quantiles": len(self.levels), "normal": 2, "student": 3}.get(kind, 1)

    def placed(self, numbers: Tensor, base: Tensor, spread: Tensor) -> Tensor:
        """The network's numbers in scaled units, ``[…, O]``."""
        if self.kind not in ("normal", "student"):
            return base.unsqueeze(-1) + spread.unsqueeze(-1) * numbers
        mean = base + spread * numbers[..., 0]
        deviation = spread * (functional.softplus(numbers[..., 1]) + _LEAST)
        rest = 2 + functional.softplus(numbers[..., 2:])  # degrees of freedom: a variance is there
        return torch.cat([mean.unsqueeze(-1), deviation.unsqueeze(-1), rest], dim=-1)

    def loss(self, placed: Tensor, targets: Tensor) -> Tensor:
        """Loss of each step, ``[…]``."""
        if self.kind == "normal":
            mean, deviation = placed.unbind(-1)
            error = (targets - mean) / deviation
            return 0.5 * error.square() + deviation.log() + 0.5 * math.log(2 * math.pi)
        if self.kind == "student":
            mean, deviation, freedom = placed.unbind(-1)
            square = ((targets - mean) / deviation).square() / freedom
            constant = (freedom / 2).lgamma() - ((freedom + 1) / 2).lgamma()
            constant = constant + 0.5 * (freedom * math.pi).log()
            return constant + deviation.log() + (freedom + 1) / 2 * square.log1p()
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
        if self.kind not in ("normal", "student"):
            return placed.expand(*placed.shape[:-1], len(self.levels))
        levels = torch.tensor(self.levels, dtype=torch.float64, device=placed.device)
        if self.kind == "student":
            z = student_quantiles(levels, placed[..., 2:].double()).to(placed.dtype)
        else:
            z = normal_quantiles(levels).to(placed.dtype)
        return placed[..., :1] + placed[..., 1:2] * z

    def drawn(self, placed: Tensor, chances: Tensor) -> Tensor:
        """Values of a distribution by the inverse of its cumulative function, ``[…]``.

        Args:
            placed: Numbers in scaled units.
            chances: Uniform random numbers between 0 and 1, float64 ``[…]``.
        """
        if self.kind == "student":
            z = student_quantiles(chances, placed[..., 2].double())
        else:
            z = normal_quantiles(chances)
        return placed[..., 0] + placed[..., 1] * z.to(placed.dtype)

    def point(self, placed: Tensor) -> Tensor:
        """The forecast, ``[…]``: the median of quantiles, else the mean or the learnt value."""
        if self.kind == "quantiles":
            return self.quantiles(placed)[..., self.levels.index(0.5)]
        return placed[..., 0]


def normal_quantiles(levels: Tensor) -> Tensor:
    """Quantiles of the standard normal distribution."""
    return math.sqrt(2) * torch.erfinv(2 * levels - 1)


def student_quantiles(levels: Tensor, freedom: Tensor) -> Tensor:
    """Quantiles of Student's t distribution (Hill, 1970, CACM Algorithm 396), in double precision.

    Args:
        levels: From 0 to 1, broadcast against ``freedom``.
        freedom: Degrees of freedom, 2 or more.
    """
    tails = 2 * torch.minimum(levels, 1 - levels)
    n = freedom + 0 * tails  # each of both, side by side
    a = 1 / (n - 0.5)
    b = 48 / a.square()
    c = ((20700 * a / b - 98) * a - 16) * a + 96.36
    d = ((94.5 / (b + c) - 3) / b + 1) * (a * math.pi / 2).sqrt() * n
    y = (d * tails).pow(2 / n)
    # Near the middle an expansion about the normal distribution, in the tails another.
    x = normal_quantiles(tails / 2)
    near = torch.where(n < 5, c + 0.3 * (n - 4.5) * (x + 0.6), c)
    near = (((0.05 * d * x - 5) * x - 7) * x - 2) * x + b + near
    square = x.square()
    middle = ((((0.4 * square + 6.3) * square + 36) * square + 94.5) / near - square - 3) / b + 1
    middle = torch.expm1(a * (middle * x).square())
    far = (1 / (((n + 6) / (n * y) - 0.089 * d - 0.822) * (n + 2) * 3) + 0.5 / (n + 4)) * y - 1
    far = far * (n + 1) / (n + 2) + 1 / y
    size = (n * torch.where(y > 0.05 + a, middle, far)).sqrt()
    return torch.where(levels < 0.5, -size, size) * (levels != 0.5)
