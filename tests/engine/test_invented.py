"""Cells that are not built in, on kernels compiled when they are first used, against the reference.

The built-in cells have every shape and option (`test_kernels`); here the cells vary.
"""

from __future__ import annotations

import pytest
import torch

from unrolled.compiler.program import Program
from unrolled.engine import cpu
from unrolled.engine.cpu import FLOAT32_SETS, INSTRUCTION_SETS
from unrolled.engine.cpu.stream import KernelStream
from unrolled.engine.stream import ReferenceStream
from unrolled.engine.weights import program_of, split

from ..compiler.invented import INVENTED, ProductsInARow
from .cases import Shape, by_kernels, case, error, largest, numbers
from .test_kernels import OUTPUT_BAR, check
from .test_operator import arguments

SHAPES = [
    Shape(1, 1, 1),
    Shape(7, 7, 17, "ragged", directions=2, reset="some"),
    Shape(9, 5, 33, directions=2, batch_first=True, bias=False, threads=2),
    Shape(9, 13, 65, "ragged", checkpoint=4),
    Shape(5, 7, 297, "ragged", threads=4),
]
PROGRAMS = [*map(program_of, INVENTED)]
each_program = pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.name)


@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize("isa", FLOAT32_SETS)
@each_program
def test_kernels_agree_with_the_reference(program: Program, isa: str) -> None:
    for shape in SHAPES:
        check(program, isa, shape)


@pytest.mark.parametrize("isa", [isa for isa in INSTRUCTION_SETS if isa not in FLOAT32_SETS])
@each_program
def test_bfloat16_sets_compute_the_same_in_float32(program: Program, isa: str) -> None:
    """They differ in products of bfloat16 alone, and share one compiled library."""
    drawn = case(program, Shape(5, 3, 19, "ragged"))
    found, expected = (
        numbers(drawn, by_kernels(which), torch.float32) for which in (isa, FLOAT32_SETS[0])
    )
    for a, b in zip([*found[0], *found[1]], [*expected[0], *expected[1]], strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("isa", FLOAT32_SETS)
@each_program
def test_streams_agree_with_the_reference(program: Program, isa: str) -> None:
    """A stream holds one value of each state: one that is still read must not be overwritten."""
    H, steps = 19, 6
    assert cpu.ensure(program, isa) is None
    for rows in (1, 3):
        drawn = case(program, Shape(steps, rows, H))
        weights = split(program, drawn.weights, 1)
        single = split(program, [w.float() for w in drawn.weights], 1)
        stream = KernelStream(program, isa, single, rows)
        expected = ReferenceStream(program, weights, rows)
        stream.write([state.float() for state in drawn.initial])
        expected.write(drawn.initial)
        for x in drawn.x:
            assert error(stream.step(x.float()), expected.step(x)) < OUTPUT_BAR, f"{rows} rows"
        assert largest(stream.read(), expected.read()) < OUTPUT_BAR, f"{rows} rows"


def test_the_operator_is_whole() -> None:
    """Schema, gradient and fake implementation, which must know the tape's width."""
    program = program_of(ProductsInARow())
    assert cpu.ensure(program, INSTRUCTION_SETS[0]) is None
    torch.library.opcheck(
        torch.ops.unrolled.recurrence.default,
        arguments(program, Shape(4, 3, 5, "ragged", directions=2), grad=True),
    )
