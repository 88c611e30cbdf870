"""The model of every problem: one recurrent layer and a linear read-out."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from unrolled.compiler.trace import trace
from unrolled.layers import Recurrent

from .problems import Problem
from .variants import Variant


class LagModel(nn.Module):
    """One recurrent layer, read out linearly at every step: o_t = V h_t + b.

    A cell in whose equations x itself stands has a linear map before it, of the inputs to as many
    features as there are units.
    """

    def __init__(self, variant: Variant, problem: Problem, hidden: int, lag: int) -> None:
        super().__init__()
        keywords: dict[str, Any] = variant.keywords(lag)
        mapped = trace(variant.cell()).reads_input
        self.embedding = nn.Linear(problem.inputs, hidden) if mapped else nn.Identity()
        self.layer = Recurrent(
            variant.cell, hidden if mapped else problem.inputs, hidden, **keywords
        )
        self.readout = nn.Linear(hidden, problem.outputs)
        self.asked = problem.asked

    def forward(self, x: Tensor) -> Tensor:
        """Answers ``[asked, N, outputs]`` to x ``[T, N, inputs]``, at the steps that are asked."""
        output = self.layer(self.embedding(x))[0]
        read: Tensor = self.readout(output[self.asked])
        return read
