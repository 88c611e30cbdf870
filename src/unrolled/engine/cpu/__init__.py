"""The CPU engine: the loop over time by our own kernels, gradients of weights by torch's products.

Forward is one pass over time, the input products of a block of steps at a time. Backward is one
pass that leaves the adjoints of all products, from which the gradients of all weights follow by
large matrix products. Everything is time-major inside.
"""

from __future__ import annotations

from .. import _cpu
from .backward_pass import backward
from .forward_pass import forward
from .layout import Layout, layouts
from .parallel import forked, threads

INSTRUCTION_SETS: tuple[str, ...] = tuple(_cpu.instruction_sets())
"""What this processor runs, the fastest first."""

__all__ = ["INSTRUCTION_SETS", "Layout", "backward", "forked", "forward", "layouts", "threads"]
