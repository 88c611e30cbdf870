"""Products of bfloat16: every instruction set, shape and option against float64."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from unrolled.cells import LSTM, RNN
from unrolled.compiler.program import Program
from unrolled.engine import cpu
from unrolled.engine.cpu import FLOAT32_SETS, INSTRUCTION_SETS
from unrolled.engine.weights import Weights, program_of, split

from .cases import (
    FEW,
    PROGRAMS,
    Case,
    Shape,
    by_kernels,
    by_reference,
    case,
    covering,
    error,
    largest,
    numbers,
    recurrence,
    shapes,
)

BFLOAT16 = torch.bfloat16

SHAPES = [
    Shape(1, 1, 1),
    Shape(2, 7, 3, "ragged"),
    # rows, units and depths beside and between the sizes of tiles
    Shape(9, 17, 33, "ragged", directions=2),
    Shape(6, 5, 65, directions=2, batch_first=True, threads=2),
    Shape(5, 49, 97, "ragged", bias=False, threads=3),
    Shape(4, 16, 333, threads=4),
    # states put back inside the sequences, rows few and many; states kept every few steps
    Shape(7, 4, 33, directions=2, reset="some"),
    Shape(9, 17, 33, "ragged", directions=2, threads=2, reset="some"),
    Shape(5, 7, 97, "ragged", bias=False, threads=3, reset="all"),
    Shape(9, 17, 33, "ragged", directions=2, batch_first=True, checkpoint=4),
    Shape(9, 7, 49, "ragged", directions=2, threads=3, reset="some", checkpoint=2),
    # nothing to do
    Shape(0, 2, 3, directions=2),
    Shape(0, 2, 3, directions=2, reset="all", checkpoint=2),
    Shape(3, 0, 17),
]
# of the simple cells one; a derivative that jumps does so elsewhere where numbers are rounded
KINKS = ("relu", "maximum", "minimum", "where", "clamp", "abs(")
CELLS = [
    p
    for p in PROGRAMS
    if not p.name.startswith("rnn,") and not any(kink in str(p) for kink in KINKS)
]
each_program = pytest.mark.parametrize("program", CELLS, ids=lambda p: p.name)
each_isa = pytest.mark.parametrize("isa", INSTRUCTION_SETS)


def rounded(drawn: Case) -> Case:
    """The case with numbers that bfloat16 can hold, so that all engines are given the same ones."""

    def near(tensor: Tensor) -> Tensor:
        return tensor.to(BFLOAT16).double()

    return Case(
        drawn.program,
        drawn.shape,
        near(drawn.x),
        list(map(near, drawn.initial)),
        list(map(near, drawn.weights)),
        drawn.lengths,
        list(map(near, drawn.gradients)),
        drawn.reset,
    )


@lru_cache(maxsize=64)
def exact(program: Program, shape: Shape) -> tuple[list[Tensor], list[Tensor]]:
    """The reference's numbers in float64."""
    torch.set_num_threads(1)
    return numbers(rounded(case(program, shape)), by_reference, torch.float64)


def sequences(outputs: Sequence[Tensor]) -> list[Tensor]:
    """The output and its last values as one: a value next to zero is as exact as its neighbours.

    It is a difference of larger numbers that are rounded, so its own size says nothing.
    """
    output, last, *others = outputs
    return [torch.cat([output.flatten(), last.flatten()]), *others]


def check(program: Program, isa: str, shape: Shape, dtype: torch.dtype = BFLOAT16) -> None:
    """Within what rounding operands and results may cost: 2^-8 each, which errors mostly share."""
    drawn = rounded(case(program, shape))
    outputs, gradients = numbers(drawn, by_kernels(isa), dtype)
    exact_outputs, exact_gradients = exact(program, shape)
    assert all(found.dtype == dtype for found in [*outputs, *gradients]), shape
    assert largest(sequences(outputs), sequences(exact_outputs)) < 8e-3, shape
    assert largest(gradients, exact_gradients) < 2e-2, shape


@pytest.mark.usefixtures("poisoned")
@each_isa
@each_program
def test_modules_of_bfloat16(program: Program, isa: str) -> None:
    """Outputs, final states, all gradients; memory that nobody wrote would show as NaN."""
    for shape in covering(program, SHAPES, FEW[1:2]):
        check(program, isa, shape)


@settings(max_examples=40)
@given(
    program=st.sampled_from(CELLS),
    isa=st.sampled_from(INSTRUCTION_SETS),
    shape=shapes(rows=50, checkpoints=3),
)
def test_any_shape(program: Program, isa: str, shape: Shape) -> None:
    check(program, isa, shape)


@each_isa
@pytest.mark.parametrize("rows", [1, 4, 5, 17, 33, 70])
@pytest.mark.parametrize(("depth", "units"), [(1, 1), (32, 33), (65, 50), (300, 130)])
def test_the_product_adds_up_in_float32(isa: str, rows: int, depth: int, units: int) -> None:
    """Of operands that are bfloat16 already nothing is lost but what float32 loses."""
    generator = torch.Generator().manual_seed(rows * depth)
    x = torch.randn(1, rows, depth, generator=generator).to(BFLOAT16)
    matrix = torch.randn(units, depth, generator=generator).to(BFLOAT16)
    weights = Weights(matrix, torch.zeros(units, units), None, None, None, None, units)
    program = program_of(RNN(nonlinearity="identity"))
    initial = [torch.zeros(1, rows, units)]
    output = cpu.forward(recurrence(program, isa, x, initial, [weights], save=False))[0]
    assert error(output[0], x[0].double() @ matrix.double().t()) < 1e-6


@each_isa
@pytest.mark.parametrize("columns", [1, 8, 31, 130])
@pytest.mark.parametrize(("steps", "rows", "threads"), [(1, 1, 1), (3, 11, 2), (40, 33, 3)])
def test_gradients_add_up_in_float32(
    isa: str, columns: int, steps: int, rows: int, threads: int
) -> None:
    """Many steps' outer products, of numbers that bfloat16 holds: the sums are float32's."""
    generator = torch.Generator().manual_seed(columns * steps)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).to(BFLOAT16).float()

    x, gradient, units = draw(steps, rows, columns), draw(steps, rows, 40), 40
    torch.set_num_threads(threads)
    matrix = torch.zeros(units, columns, requires_grad=True)
    weights = Weights(matrix, torch.zeros(units, units), None, None, None, None, units)
    drawn = Case(
        program_of(RNN(nonlinearity="identity")), Shape(steps, rows, units, threads=threads),
        x, [], [], None, [],
    )  # fmt: skip
    inputs = x.to(BFLOAT16).requires_grad_()
    output, _, _ = by_kernels(isa)(drawn, inputs, [torch.zeros(1, rows, units)], [weights])
    (found,) = torch.autograd.grad(output, [matrix], gradient)
    expected = torch.einsum("tnu,tnc->uc", gradient.double(), x.double())
    assert found.dtype == torch.float32
    assert error(found, expected) < 2e-6


@each_isa
def test_the_same_bits_every_time(isa: str) -> None:
    ragged = Shape(9, 17, 65, "ragged", directions=2, threads=3)
    for shape in (ragged, Shape(4, 16, 333, threads=4)):
        drawn = rounded(case(program_of(LSTM()), shape))
        first, second = (numbers(drawn, by_kernels(isa), BFLOAT16) for _ in range(2))
        for a, b in zip([*first[0], *first[1]], [*second[0], *second[1]], strict=True):
            assert torch.equal(a, b)


@each_isa
@each_program
def test_inference_is_training_bit_for_bit(program: Program, isa: str) -> None:
    shape = Shape(7, 17, 19, "ragged", directions=2)
    drawn = rounded(case(program, shape))
    trained, _ = numbers(drawn, by_kernels(isa), BFLOAT16)
    weights = split(program, [w.to(BFLOAT16) for w in drawn.weights], 2)
    initial = [state.to(BFLOAT16) for state in drawn.initial]
    with torch.no_grad():
        output, last, _ = by_kernels(isa)(drawn, drawn.x.to(BFLOAT16), initial, weights)
    for a, b in zip([output, *last], trained, strict=True):
        assert torch.equal(a, b)


@each_isa
@pytest.mark.parametrize("rows", [3, 20])
def test_a_nan_stays_in_its_row(isa: str, rows: int) -> None:
    """From its step on, through rounding, padding of tiles and all."""
    drawn = rounded(case(program_of(LSTM()), Shape(6, rows, 21)))
    drawn.x[2, 1, 0] = torch.nan
    outputs, _ = numbers(drawn, by_kernels(isa), BFLOAT16)
    wanted = torch.zeros(6, rows, 1, dtype=torch.bool)
    wanted[2:, 1] = True
    assert torch.equal(outputs[0].isnan(), wanted.expand_as(outputs[0]))


def test_float32_is_not_touched_by_what_multiplies_bfloat16() -> None:
    """The sets made for bfloat16 give the float32 of the set they extend, bit for bit."""
    drawn = case(program_of(LSTM()), Shape(5, 7, 33, "ragged", directions=2))
    expected = numbers(drawn, by_kernels(FLOAT32_SETS[0]), torch.float32)
    for isa in INSTRUCTION_SETS:
        if isa in FLOAT32_SETS:
            continue
        found = numbers(drawn, by_kernels(isa), torch.float32)
        for a, b in zip([*found[0], *found[1]], [*expected[0], *expected[1]], strict=True):
            assert torch.equal(a, b)
