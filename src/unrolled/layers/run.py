"""Run a checked call by the engine that was chosen for it."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn.functional import dropout
from torch.nn.utils.rnn import PackedSequence

from .call import Call
from .fused import run_fused, run_fused_packed
from .packing import Packing, mask_padding, run_packed
from .sequences import Sequences
from .stack import run_stack


def run(call: Call) -> tuple[Any, list[Tensor], Sequences | None]:
    """The output, a tensor or a packed sequence as the input is, the last states, and the rest."""
    if call.packed is not None:
        return _run_packed(call, call.packed)
    if call.lengths is not None:
        call = call._replace(x=mask_padding(call.x, call.lengths, call.batch_first))
    layers: list[list[Tensor]] = []
    if call.choice.engine != "torch":
        output, last, layers = run_stack(
            call.choice,
            call.program,
            call.x,
            call.initial,
            call.weights,
            call.lengths,
            call.batch_first,
            (lambda x: _drop(call, x)) if call.dropout else None,
            call.reset,
            call.checkpoint,
            call.noise,
            call.watch,
        )
    elif call.lengths is None:
        output, last = run_fused(call, call.initial)
    else:
        output, last = run_packed(
            lambda packed, initial: run_fused_packed(call, packed, initial),
            call.x,
            call.initial,
            call.lengths,
            call.batch_first,
        )

    def shape(sequence: Tensor) -> Tensor:
        return sequence if call.batched else sequence.squeeze(1)

    sequences = call.wanted.sort(call.program, layers, shape) if any(call.wanted) else None
    if not call.batched:
        last = [state.squeeze(1) for state in last]
    return shape(output), last, sequences


def _run_packed(
    call: Call, packed: PackedSequence
) -> tuple[PackedSequence, list[Tensor], Sequences | None]:
    if call.choice.engine == "torch":
        return *run_fused_packed(call, packed, call.initial), None
    packing = Packing(packed)

    def drop(x: Tensor) -> Tensor:  # the mask that torch draws covers no padding
        return packing.pad(_drop(call, packing.pack(x)))

    output, last, layers = run_stack(
        call.choice,
        call.program,
        packing.pad(call.x),
        None if call.initial is None else packing.sort(call.initial),
        call.weights,
        packing.lengths,
        dropout=drop if call.dropout else None,
        checkpoint=call.checkpoint,
        noise=call.noise,
        watch=call.watch,
    )
    sequences = call.wanted.sort(call.program, layers, packing.like) if any(call.wanted) else None
    return packing.like(output), packing.unsort(last), sequences


def _drop(call: Call, x: Tensor) -> Tensor:
    return dropout(x, call.dropout, training=True)
