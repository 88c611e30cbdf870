"""The operator: one node to autograd and torch.compile, twice differentiable by the reference."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from unrolled.cells import LSTM
from unrolled.compiler.program import Program
from unrolled.engine import operator
from unrolled.engine.cpu import INSTRUCTION_SETS
from unrolled.engine.weights import program_of, split

from .cases import THOROUGH, Shape, by_kernels, by_reference, case, largest, recurrence

ISA = INSTRUCTION_SETS[0]
SHAPES = [
    Shape(4, 3, 5, "ragged", directions=2),
    Shape(4, 3, 5, batch_first=True, bias=False, reset="some"),
    Shape(5, 3, 5, "ragged", directions=2, checkpoint=2),
    Shape(0, 3, 5, directions=2),
    Shape(4, 0, 5),
]
each_program = pytest.mark.parametrize("program", THOROUGH, ids=lambda p: p.name)
each_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
each_dtype = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)


def arguments(
    program: Program,
    shape: Shape,
    grad: bool,
    save: bool = True,
    dtype: torch.dtype = torch.float32,
) -> tuple[Any, ...]:
    drawn = case(program, shape)

    def of(tensor: Tensor) -> Tensor:
        return tensor.to(dtype).requires_grad_(grad)

    return (
        of(drawn.x),
        [of(t) for t in drawn.initial],
        [of(t) for t in drawn.weights],
        drawn.lengths,
        drawn.reset,
        program.name,
        ISA,
        shape.directions,
        shape.batch_first,
        save,
        shape.checkpoint,
        None,
        [],
    )


@each_dtype
@each_shape
@pytest.mark.parametrize(
    "program", [program_of(LSTM()), program_of(LSTM(), True)], ids=lambda p: p.name
)
def test_opcheck(program: Program, shape: Shape, dtype: torch.dtype) -> None:
    """Schema, autograd registration, fake implementation and tracing, with dynamic shapes."""
    torch.library.opcheck(
        torch.ops.unrolled.recurrence.default, arguments(program, shape, grad=True, dtype=dtype)
    )


def same_metadata(found: Any, fake: Any, shape: Shape) -> None:
    assert len(found) == len(fake), shape
    for a, b in zip(found, fake, strict=True):
        assert (a.shape, a.dtype, a.device) == (b.shape, b.dtype, b.device), shape
        if a.numel():
            assert a.stride() == b.stride(), shape


@each_dtype
@each_program
@pytest.mark.parametrize("save", [True, False], ids=["training", "inference"])
def test_fake_results_look_like_real_ones(program: Program, save: bool, dtype: torch.dtype) -> None:
    for shape in SHAPES:
        given = arguments(program, shape, grad=False, save=save, dtype=dtype)
        real = torch.ops.unrolled.recurrence(*given)
        with FakeTensorMode(allow_non_fake_inputs=True):
            fake = torch.ops.unrolled.recurrence(*given)
        same_metadata(real, fake, shape)
        if not save:
            continue
        x, initial, weights, *masks = given[:5]
        states = 1 + len(initial)
        nothing = [None] * len(initial)
        output, tapes = real[0], real[states:]
        if dtype != torch.float32:
            output = tapes.pop()
        back = (torch.ones_like(real[0]), nothing, [], x, initial, weights, *masks, output, tapes)
        options: Any = (program.name, ISA, shape.batch_first, True, shape.checkpoint, None, [])
        with FakeTensorMode(allow_non_fake_inputs=True):
            fake = torch.ops.unrolled.recurrence_backward(*back, *options)
        same_metadata(torch.ops.unrolled.recurrence_backward(*back, *options), fake, shape)


def gradients_of(loss: Any, leaves: list[Tensor]) -> list[Tensor]:
    """Those that can be differentiated once more; zero where a cell does not read its state."""
    found = torch.autograd.grad(loss, leaves, create_graph=True, allow_unused=True)
    zeros = map(torch.zeros_like, leaves)
    return [z if g is None else g for g, z in zip(found, zeros, strict=True)]


@each_program
@pytest.mark.parametrize(
    "shape",
    [Shape(4, 3, 5, "ragged", directions=2, reset="some"), Shape(3, 2, 4, batch_first=True)],
    ids=str,
)
def test_double_backward_is_the_references(program: Program, shape: Shape) -> None:
    """The gradient of a gradient's norm: what a gradient penalty asks for."""
    found = []
    for run, dtype in [(by_kernels(ISA), torch.float32), (by_reference, torch.float64)]:
        drawn = case(program, shape)
        leaves = [
            t.to(dtype).clone().requires_grad_() for t in [drawn.x, *drawn.initial, *drawn.weights]
        ]
        states = 1 + len(drawn.initial)
        weights = split(program, leaves[states:], shape.directions)
        output, last, _ = run(drawn, leaves[0], leaves[1:states], weights)
        loss = output.square().sum() + sum(state.sum() for state in last)
        first = gradients_of(loss, leaves)
        found.append([*first, *gradients_of(sum(g.square().sum() for g in first), leaves)])
    assert largest([g.detach() for g in found[0]], [g.detach() for g in found[1]]) < 1e-4


def test_double_backward_of_no_steps() -> None:
    given = arguments(program_of(LSTM()), Shape(0, 2, 3), grad=True)
    found = torch.ops.unrolled.recurrence(*given)
    gradients = torch.autograd.grad(
        found[1].square().sum() + found[0].sum(),
        [*given[1], given[0]],
        create_graph=True,
        allow_unused=True,
    )
    assert gradients[0] is not None
    torch.testing.assert_close(gradients[0], 2 * given[1][0])


def test_backward_twice_through_one_tape() -> None:
    """Backward leaves the tape as it was."""
    for program in THOROUGH:
        given = arguments(program, Shape(5, 4, 9, "ragged"), grad=True)
        found = torch.ops.unrolled.recurrence(*given)
        leaves = [given[0], *given[1], *given[2]]
        loss = found[0].square().sum()
        first = torch.autograd.grad(loss, leaves, retain_graph=True)
        second = torch.autograd.grad(loss, leaves)
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_only_what_is_asked_for() -> None:
    """x often is data: its gradient is neither asked for nor given."""
    given = arguments(program_of(LSTM()), Shape(5, 4, 9), grad=True)
    given[0].requires_grad_(False)
    found = torch.ops.unrolled.recurrence(*given)
    found[0].sum().backward()
    assert given[0].grad is None
    assert all(weight.grad is not None for weight in given[2])


def test_nothing_is_saved_without_need() -> None:
    drawn = case(program_of(LSTM()), Shape(5, 4, 9))
    x, *states = [t.float() for t in [drawn.x, *drawn.initial]]
    weights = split(drawn.program, [w.float().requires_grad_() for w in drawn.weights], 1)
    with torch.no_grad():
        output, *_ = operator.run_layer(recurrence(drawn.program, ISA, x, states, weights))
    assert not output.requires_grad
    output, *_ = operator.run_layer(recurrence(drawn.program, ISA, x, states, weights))
    assert output.requires_grad


def test_a_result_changed_in_place_is_noticed() -> None:
    """Backward reads the output: autograd must refuse rather than compute with another one."""
    given = arguments(program_of(LSTM()), Shape(5, 4, 9), grad=True)
    found = torch.ops.unrolled.recurrence(*given)
    loss = found[0].sum()
    found[0].detach().add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_the_schema_stays() -> None:
    """It is made of a request's fields, and models that were exported before hold it."""
    assert str(torch.ops.unrolled.recurrence.default._schema) == (
        "unrolled::recurrence(Tensor x, Tensor[] initial, Tensor[] weights, Tensor? lengths, "
        "Tensor? reset, str program, str isa, int directions, bool batch_first, bool save, "
        "int checkpoint, Tensor? seed, float[] rates) -> Tensor[]"
    )
