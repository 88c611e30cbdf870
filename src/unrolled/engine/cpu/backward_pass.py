"""Backward: one pass against time; gradients of everything."""

from __future__ import annotations

from torch import Tensor

from .. import _cpu
from ..request import RecurrenceBackward
from . import checkpointing, layout
from .on_demand import with_isa
from .parallel import settle_after_fork, threads


def backward(call: RecurrenceBackward) -> list[Tensor]:
    """The gradients of `forward`; an empty ``call.isa`` is the fastest that there is.

    What belongs to a tensor that is not float32 is rounded at the end.

    Returns:
        The gradients of the initial states, of the weights and, with ``call.need_x``, of x.
    """
    settle_after_fork()
    if not call.isa:
        call = with_isa(call)
    if call.checkpoint:
        return checkpointing.backward(call)
    directions = call.initial[0].shape[0]
    return _cpu.backward(*call, directions, threads(), layout.SLICES, layout.BLOCK)
