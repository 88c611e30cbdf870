"""unrolled itself."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor

from unrolled.bench.problem import Engine, Problem, torch_engine


def prepare(problem: Problem) -> Engine:
    """Make our layer ready; a single step of inference is what streams are for."""
    layer = deepcopy(problem.layer).to(problem.dtype)
    x = problem.x.to(problem.dtype)
    if problem.shape.T == 1 and not problem.training and x.dtype == torch.float32:
        x_t, rows = x[0].numpy(), problem.shape.N
        stream = layer.stream(batch_size=rows)
        return Engine(lambda: stream(x_t), lambda: layer.stream(batch_size=rows)(x_t)[None])

    def forward() -> Tensor:
        output: Tensor = layer(x, lengths=problem.lengths)[0]
        return output

    return torch_engine(layer, forward, training=problem.training)
