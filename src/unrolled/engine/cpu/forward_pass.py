"""Forward: one pass over time, the input products of a block of steps at a time."""

from __future__ import annotations

from torch import Tensor

from .. import _cpu
from ..request import Recurrence
from . import checkpointing, layout
from .on_demand import with_isa
from .parallel import settle_after_fork, threads


def forward(call: Recurrence) -> list[Tensor]:
    """One layer, all directions; an empty ``call.isa`` is the fastest that there is.

    Returns:
        The output and the last value of each state ``[D, N, ·]``, in the dtype of their first. With
        ``call.save``, in float32, for each direction the tape, or with checkpoints for each
        direction and state its values; and last of all, where it was rounded, the exact output.
    """
    settle_after_fork()
    if not call.isa:
        call = with_isa(call)
    if call.checkpoint:
        return checkpointing.forward(call)
    return _cpu.forward(*call, threads(), layout.SLICES)
