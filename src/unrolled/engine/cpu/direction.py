"""One direction of a layer: one call of the kernels, everything time-major, states ``[N, ·]``."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from .. import _cpu
from ..weights import Weights
from .layout import arguments, matrices, pointer, strided
from .parallel import threads

_BLOCK = 0
"""Steps whose adjoints are held at a time; 0 leaves it to the kernels."""


def run_forward(
    program: str,
    isa: str,
    x: Tensor,
    initial: Sequence[Tensor],
    weights: Weights,
    lengths: Tensor | None,
    reset: Tensor | None,
    anew: Sequence[Tensor],
    descending: bool,
    output: Tensor,
    last: Sequence[Tensor],
    tape: Tensor | None,
) -> None:
    """One pass over time.

    The program, its instruction set, x, lengths and the mask of resets are as `forward` takes them;
    ``initial`` are the states before the first step, ``anew`` those after a reset. Output, last
    states and tape are written; without a tape nothing is kept for backward.
    """
    _cpu.call(
        mode="inference" if tape is None else "forward",
        initial=[state.data_ptr() for state in initial],
        last=[state.data_ptr() for state in last],
        output=strided(output),
        tape=(0, 0, 0) if tape is None else strided(tape),
        **arguments(program, isa, threads(), descending, x, lengths, weights, reset, anew),
    )


def run_backward(
    program: str,
    isa: str,
    x: Tensor,
    initial: Sequence[Tensor],
    weights: Weights,
    lengths: Tensor | None,
    reset: Tensor | None,
    anew: Sequence[Tensor],
    descending: bool,
    output: Tensor,
    tape: Tensor,
    gradient: Tensor | None,
    gradient_last: Sequence[Tensor | None],
    gradient_x: Tensor | None,
    gradient_weights: Weights,
    gradient_initial: Sequence[Tensor],
    gradient_anew: Sequence[Tensor],
) -> None:
    """One pass against time.

    What `run_forward` was given and wrote comes first, then the gradients of output and last states
    (None where zero). Those of x, which may be None, and of the initial states are written; those
    of the weights, and with resets of the states ``anew``, are added to.
    """
    _cpu.call(
        mode="backward",
        initial=[state.data_ptr() for state in initial],
        last=[state.data_ptr() for state in gradient_initial],
        output=strided(output),
        tape=strided(tape),
        block=_BLOCK,
        gradient=(0, 0, 0) if gradient is None else strided(gradient),
        gradient_last=[pointer(state) for state in gradient_last],
        gradient_input=(0, 0, 0) if gradient_x is None else strided(gradient_x),
        gradient_input_weights=gradient_weights.input.data_ptr(),
        gradient_input_bias=pointer(gradient_weights.input_bias),
        gradient_recurrent_bias=pointer(gradient_weights.recurrent_bias),
        gradient_matrices=matrices(gradient_weights),
        gradient_anew=[state.data_ptr() for state in gradient_anew],
        **arguments(program, isa, threads(), descending, x, lengths, weights, reset, anew),
    )
