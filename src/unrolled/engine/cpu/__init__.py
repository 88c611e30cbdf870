"""The CPU engine: the loop over time, and the gradients of everything, by our own kernels.

Forward is one pass over time, the input products of a block of steps at a time. Backward is one
pass against time that leaves the adjoints of all products for a block of steps, from which the
gradients of the weights and of x follow by large matrix products. Everything is time-major inside.
"""

from __future__ import annotations

from .. import _cpu
from .backward_pass import backward
from .checkpointing import automatic, segment_count
from .forward_pass import forward
from .instruction_sets import FLOAT32_SETS, INSTRUCTION_SETS, fastest
from .layout import TAPES, exposed, tape_width
from .on_demand import KernelWarning, ensure
from .parallel import forked, settle_after_fork, threads


def release_memory() -> int:
    """Give the memory that the kernels keep between calls back to the system.

    Every thread that has run a kernel keeps its working memory, up to 64 MiB, so that the next call
    touches no fresh pages; what a call needs beyond that is given back at its end. A layer keeps
    the packed weights of its short calls and a copy of its parameters, and packs them again in the
    next one. What a call in another thread is using stays.

    Returns:
        The number of bytes.
    """
    return _cpu.release_memory()


__all__ = [
    "FLOAT32_SETS",
    "INSTRUCTION_SETS",
    "TAPES",
    "KernelWarning",
    "automatic",
    "backward",
    "ensure",
    "exposed",
    "fastest",
    "forked",
    "forward",
    "release_memory",
    "segment_count",
    "settle_after_fork",
    "tape_width",
    "threads",
]
