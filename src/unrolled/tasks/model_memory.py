"""Memory of a model: its weights are counted before they are made."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from unrolled.cells import Cell
from unrolled.errors import UserError
from unrolled.options import OPTIONS, variant_of, vary

from .recurrent import RecurrentOptions, cell_of, layer_options


def check_memory(
    options: RecurrentOptions,
    input_size: int,
    others: int = 0,
    cell: type[Cell] | None = None,
) -> None:
    """Refuse a model whose weights this machine cannot hold, before anything is made for it.

    A system that promises more memory than it has would kill the process when they are written.

    Args:
        options: Cell, sizes and options.
        input_size: Features of the layers' input.
        others: Weights of the rest of the model.
        cell: The class of the user's own cell.

    Raises:
        UserError: The weights take more than all memory.
    """
    needed = 4 * (weight_count(options, input_size, cell) + others)
    if needed > (there := memory()):
        raise UserError(
            f"--hidden-size {options.hidden_size} --num-layers {options.num_layers}: the model "
            f"does not fit into memory: its weights take {needed / 1e9:,.1f} GB, this machine has "
            f"{there / 1e9:,.1f} GB"
        )


@contextmanager
def within_memory(options: RecurrentOptions) -> Iterator[None]:
    """A block in which a model is made.

    Raises:
        UserError: Its weights cannot be allocated.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, RuntimeError) and not re.search("alloc|overflow", str(error)):
            raise
        raise UserError(
            f"--hidden-size {options.hidden_size} --num-layers {options.num_layers}: "
            "the model does not fit into memory"
        ) from error


def weight_count(options: RecurrentOptions, input_size: int, cell: type[Cell] | None = None) -> int:
    """Number of weights of the recurrent layers, without making them."""
    from unrolled.compiler.program import Space, VectorKind
    from unrolled.compiler.trace import trace

    equations = cell_of(options, cell)
    program, given = trace(equations), layer_options(options)
    hidden, output = options.hidden_size, options.proj_size or options.hidden_size
    directions = 1 + options.bidirectional
    count = 0
    if program.reads_input:
        count, input_size = hidden * (input_size + 1), hidden
    projected = bool(options.proj_size)
    program = vary(program, variant_of(equations, given, training=False, projected=projected))
    gates, products = len(program.gates), len(program.rows("U"))
    kinds = [vector.kind for vector in program.vectors]
    each = hidden * (
        products * (output // options.heads)
        + gates
        + products
        + (output if program.projected else 0)
        + kinds.count(VectorKind.UNIT)
    ) + kinds.count(VectorKind.SCALAR)
    sizes = {Space.HIDDEN: hidden, Space.PROJECTED: output}
    for name, value in given.items():
        option = OPTIONS[name]
        if value != option.default:
            each += sum(map(math.prod, option.parameters(value, program, sizes).values()))
    inputs = input_size + (options.num_layers - 1) * directions * output
    return count + directions * (options.num_layers * each + gates * hidden * inputs)


def memory() -> float:
    """Bytes of memory of this machine; infinite where the system does not tell."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, OSError, ValueError):
        return math.inf
