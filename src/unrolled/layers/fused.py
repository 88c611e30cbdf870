"""torch's own fused layers, as functions of the weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from ..engine.fused import FUNCTIONS
from .call import Call
from .packing import permute, rows_of
from .stack import zero_states


def run_fused(call: Call, initial: list[Tensor] | None) -> tuple[Tensor, list[Tensor]]:
    """A call without lengths: its output, ``[T, N, ·]`` or in its order, and last states."""
    found = FUNCTIONS[call.program.name](
        call.x,
        _states(call, initial, call.x.shape[not call.batch_first]),
        *arguments_of(call),
        call.batch_first,
    )
    return found[0], list(found[1:])


def run_fused_packed(
    call: Call, packed: PackedSequence, initial: list[Tensor] | None
) -> tuple[PackedSequence, list[Tensor]]:
    """The same for packed sequences; states in the caller's order."""
    if initial is not None:
        initial = permute(initial, packed.sorted_indices)
    output, *last = FUNCTIONS[call.program.name](
        packed.data,
        packed.batch_sizes,
        _states(call, initial, rows_of(packed)),
        *arguments_of(call),
    )
    like = PackedSequence(
        output, packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices
    )
    return like, permute(last, packed.unsorted_indices)


def _states(call: Call, initial: list[Tensor] | None, rows: int) -> Any:
    """As torch's functions take them: one tensor, or several."""
    if initial is None:
        stacked = len(call.weights) * len(call.weights[0])
        initial = zero_states(call.program, call.x, call.weights[0][0], stacked, rows)
    return initial[0] if len(initial) == 1 else initial


def arguments_of(call: Call) -> tuple[Any, ...]:
    """Weights, whether there are biases, layers, dropout, training, both directions."""
    flat = [tensor for own in call.flat for tensor in own]
    layers, directions = len(call.weights), len(call.weights[0])
    bias = call.weights[0][0].input_bias is not None
    # cuDNN can differentiate only what it ran in training mode; that differs by dropout, and
    # without training the dropout is zero.
    training = call.training or (call.x.is_cuda and torch.is_grad_enabled())
    return flat, bias, layers, call.dropout, training, directions == 2
