"""Options in the kernels: all at once, on every instruction set, against the float64 reference.

Noise is the same in both to the bit, so that its numbers and gradients can be compared.
"""

from __future__ import annotations

import pytest
import torch

from unrolled.cells import GRU, LSTM
from unrolled.compiler.program import Program
from unrolled.engine import cpu
from unrolled.engine.cpu import FLOAT32_SETS
from unrolled.engine.weights import program_of
from unrolled.options import Variant

from .cases import Shape, by_kernels, case, exact, largest, numbers

EVERYTHING = Variant(
    cell_clip=0.4,
    layer_norm=True,
    candidate_dropout="g",
    recurrent_dropout=True,
    zoneout=("h", "c"),
    returns=("i", "f", "c"),
)
PROGRAMS = {
    "lstm": program_of(LSTM(), variant=EVERYTHING),
    "gru": program_of(
        GRU(),
        variant=Variant(projected=True, recurrent_dropout=True, zoneout=("h",), returns=("z",)),
    ),
}
SHAPES = [
    Shape(1, 1, 1, bias=False),
    Shape(7, 3, 17, bias=False),
    Shape(20, 5, 48, "ragged", directions=2, bias=False, threads=2, reset="some", heads=4),
    Shape(9, 6, 65, "ragged", batch_first=True, bias=False, threads=3),
    Shape(5, 1, 300, bias=False, threads=4),
    Shape(0, 2, 3, bias=False),
]


@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize("isa", FLOAT32_SETS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_outputs_exposed_values_and_gradients(program: Program, isa: str, shape: Shape) -> None:
    found, gradients = numbers(case(program, shape), by_kernels(isa), torch.float32)
    expected, expected_gradients = exact(program, shape)
    assert largest(found, expected) < 1e-5
    assert largest(gradients, expected_gradients) < 1e-4


@pytest.mark.parametrize("isa", FLOAT32_SETS)
def test_noise_does_not_depend_on_threads_or_checkpoints(isa: str) -> None:
    program = program_of(LSTM(), variant=Variant(recurrent_dropout=True, zoneout=("h", "c")))
    assert cpu.ensure(program, isa) is None
    shape = Shape(11, 6, 33, directions=2)
    whole, _ = numbers(case(program, shape), by_kernels(isa), torch.float32)
    for other in (
        Shape(11, 6, 33, directions=2, threads=4),
        Shape(11, 6, 33, directions=2, checkpoint=3),
    ):
        found, _ = numbers(case(program, other), by_kernels(isa), torch.float32)
        assert largest(found, whole) < 1e-6
