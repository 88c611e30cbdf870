"""Forward: one pass over time, the input products of a block of steps at a time."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .. import _cpu
from ..weights import Weights
from .layout import (
    NOTHING,
    Geometry,
    Layout,
    fresh,
    layouts,
    matrices_of,
    plain,
    strided,
    time_major,
)
from .parallel import alone_after_fork, threads


@alone_after_fork
def forward(
    program: str,
    isa: str,
    x: Tensor,
    initial: Sequence[Tensor],
    weights: Sequence[Weights],
    lengths: Tensor | None,
    batch_first: bool,
    save: bool,
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """One layer, all directions.

    Args:
        program: the program's name.
        isa: instruction set.
        x: ``[T, N, input_size]``, or ``[N, T, input_size]`` with ``batch_first``; float32.
        initial: for each state ``[directions, N, ·]``.
        weights: for each direction.
        lengths: ``[N]``, integers of 0...T, on the CPU, or None.
        batch_first: the order of x's dimensions, and of the output's.
        save: whether to return what `backward` needs.

    Returns:
        The output; the last value of each state ``[directions, N, ·]``; for each direction the tape
        (none unless ``save``).
    """
    layout = layouts()[program]
    sequence = time_major(x, batch_first)
    size = Geometry(layout, weights[0], sequence)
    if sequence.stride(-1) != 1:
        sequence = sequence.contiguous()
    shape = (size.rows, size.steps) if batch_first else (size.steps, size.rows)
    output = fresh(x, *shape, len(weights) * size.output)
    lengths = plain(lengths)
    initial = [state.contiguous() for state in initial]
    last = [torch.empty_like(state) for state in initial]
    tapes = []
    for d, own in enumerate(weights):
        tape = fresh(x, size.steps, size.rows, size.tape_width if save else 0)
        biases = _biases(layout, own)
        matrices = matrices_of(layout, own)
        input_weights = own.input.contiguous()
        part = output[..., d * size.output : (d + 1) * size.output]
        _cpu.call(
            isa=isa,
            name=program,
            mode="forward" if save else "inference",
            descending=d == 1,
            steps=size.steps,
            rows=size.rows,
            hidden=size.hidden,
            projected=size.output,
            lengths=0 if lengths is None else lengths.data_ptr(),
            threads=threads(),
            tape=strided(tape),
            output=strided(time_major(part, batch_first)),
            initial=[state[d].data_ptr() for state in initial],
            last=[state[d].data_ptr() for state in last],
            matrices=[matrix.data_ptr() for matrix in matrices],
            biases=0 if biases is None else biases.data_ptr(),
            input=strided(sequence),
            input_size=int(sequence.shape[2]),
            input_weights=input_weights.data_ptr(),
            from_step=0,
            until_step=0,
            gradient=NOTHING,
            gradient_last=[],
            delta=NOTHING,
        )
        if save:
            tapes.append(tape)
    return output, last, tapes


def _biases(layout: Layout, own: Weights) -> Tensor | None:
    """Biases as the kernel takes them: one for each gate, then those that are apart.

    Where the step sees only the sum of two products, the recurrent bias joins the gate's.
    """
    if own.input_bias is None or own.recurrent_bias is None:
        return None
    gates = own.input_bias.view(layout.gates, -1)
    recurrent = own.recurrent_bias.view(-1, gates.shape[1])
    biases = torch.cat([gates, recurrent[list(layout.biases)]])
    for row, gate in layout.folded:
        biases[gate] += recurrent[row]
    return biases
