"""torch.nn's layers; rows of different length as a packed sequence, padded back."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from unrolled.bench.problem import Engine, Problem, UnsupportedError, torch_engine


def prepare(problem: Problem) -> Engine:
    """Make torch.nn's layer ready.

    Raises:
        UnsupportedError: torch.nn does not have the cell.
    """
    if problem.kind.twin is None:
        raise UnsupportedError("does not have this cell")
    shape = problem.shape
    layer = getattr(torch.nn, problem.kind.twin)(
        shape.I, shape.H, shape.layers, bidirectional=shape.bidirectional
    )
    layer.load_state_dict(deepcopy(problem.layer.state_dict()))
    layer.to(problem.dtype)
    x = problem.x.to(problem.dtype)
    lengths = problem.lengths

    def forward() -> Tensor:
        output: Tensor = layer(x)[0]
        return output

    def forward_packed() -> Tensor:
        assert lengths is not None
        packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
        return pad_packed_sequence(layer(packed)[0])[0]

    run = forward if lengths is None else forward_packed
    return torch_engine(layer, run, training=problem.training)
