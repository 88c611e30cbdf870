# ruff: noqa: N805 - a step has no self
"""The reference: the step in a loop, as often differentiable as one likes."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from unrolled.cells import BUILTIN, GRU, LSTM, RNN, Cell, tanh
from unrolled.compiler.program import Program
from unrolled.engine import reference
from unrolled.engine.weights import program_named, program_of, split

from ..compiler.invented import INVENTED, Constant
from .cases import PROGRAMS, THOROUGH, Case, Shape, case

CELLS = [*BUILTIN, *INVENTED]
each_cell = pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)


class Affine:
    """``W.gate(x)`` with the rows of the stacked weights that are the gate's."""

    def __init__(self, gates: list[str], matrix: Tensor, bias: Tensor) -> None:
        blocks = zip(matrix.chunk(len(gates)), bias.chunk(len(gates)), strict=True)
        self._maps = dict(zip(gates, blocks, strict=True))

    def __getattr__(self, gate: str) -> Callable[[Tensor], Tensor]:
        matrix, bias = self._maps[gate]
        return lambda vector: vector @ matrix.T + bias


def by_hand(
    cell: Cell, program: Program, drawn: Case, reverse: bool
) -> tuple[Tensor, list[Tensor]]:
    """The cell's own step, row by row and step by step, over each row's own length."""
    D = drawn.shape.directions
    weights = split(program, drawn.weights, D)[int(reverse)]
    assert weights.input_bias is not None
    assert weights.recurrent_bias is not None
    gates = [gate.name.removeprefix("W_") for gate in program.gates]
    products = [product.gate for product in program.matrix("U")]
    maps: dict[str, Any] = {
        "W": Affine(gates, weights.input, weights.input_bias),
        "U": Affine(products, weights.recurrent, weights.recurrent_bias) if products else None,
    }
    if weights.vectors is not None:
        shared = weights.vectors.chunk(len(program.vectors))
        vectors = {v.symbol.name: value for v, value in zip(program.vectors, shared, strict=True)}
        for letter in "VsK":
            own = {k[2:]: v for k, v in vectors.items() if k.startswith(f"{letter}_")}
            maps[letter] = own if letter == "K" else SimpleNamespace(**own)
    outputs = torch.zeros(drawn.shape.T, drawn.shape.N, drawn.shape.H, dtype=torch.float64)
    last = [state[int(reverse)].clone() for state in drawn.initial]
    for n in range(drawn.shape.N):
        states = [state[n] for state in last]
        length = drawn.shape.T if drawn.lengths is None else int(drawn.lengths[n])
        for t in reversed(range(length)) if reverse else range(length):
            states = [torch.as_tensor(s) for s in cell(maps, drawn.x[t, n], *states)]
            outputs[t, n] = states[0]
        for state, value in zip(last, states, strict=True):
            state[n] = value
    return outputs, last


@each_cell
@pytest.mark.parametrize("lengths", ["", "ragged"], ids=["uniform", "ragged"])
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
def test_the_reference_is_the_step_in_a_loop(cell: Cell, lengths: str, reverse: bool) -> None:
    program = program_of(cell)
    drawn = case(program, Shape(5, 4, 3, lengths, directions=2))
    output, last, _ = reference.layer(
        program, drawn.x, drawn.initial, split(program, drawn.weights, 2), drawn.lengths
    )
    wanted, states = by_hand(cell, program, drawn, reverse)
    torch.testing.assert_close(output.chunk(2, dim=-1)[int(reverse)], wanted, rtol=1e-12, atol=0)
    for found, state in zip(last, states, strict=True):
        torch.testing.assert_close(found[int(reverse)], state, rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("program", "layer"),
    [
        (program_of(RNN()), torch.nn.RNN),
        (program_of(LSTM()), torch.nn.LSTM),
        (program_of(GRU()), torch.nn.GRU),
        (program_of(LSTM(), projected=True), torch.nn.LSTM),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_parameters_are_stacked_as_in_torch(program: Program, layer: type[Any]) -> None:
    """The gates' order is torch.nn's: its parameters, put in as they are, give its numbers."""
    drawn = case(program, Shape(6, 3, 4, directions=2))
    options = {"proj_size": 2} if program.projected else {}
    theirs = layer(drawn.x.shape[-1], 4, bidirectional=True, dtype=torch.float64, **options)
    weights = split(program, [p.detach() for p in theirs.parameters()], 2)
    output, last, _ = reference.layer(program, drawn.x, drawn.initial, weights)
    state = tuple(drawn.initial) if len(drawn.initial) > 1 else drawn.initial[0]
    wanted, states = theirs(drawn.x, state)
    torch.testing.assert_close(output, wanted)
    for found, expected in zip(
        last, states if isinstance(states, tuple) else [states], strict=True
    ):
        torch.testing.assert_close(found, expected)


def differentiable(
    program: Program, lengths: str, directions: int, reset: str = ""
) -> tuple[Any, list[Tensor]]:
    drawn = case(program, Shape(3, 2, 2, lengths, directions=directions, reset=reset), seed=3)
    states = 1 + len(drawn.initial)

    def function(*leaves: Tensor) -> tuple[Tensor, ...]:
        weights = split(program, leaves[states:], directions)
        output, last, _ = reference.layer(
            program, leaves[0], leaves[1:states], weights, drawn.lengths, reset=drawn.reset
        )
        return output, *last

    leaves = [tensor.requires_grad_() for tensor in [drawn.x, *drawn.initial, *drawn.weights]]
    return function, leaves


@pytest.mark.parametrize(
    ("lengths", "directions", "reset"),
    [("", 1, ""), ("ragged", 2, ""), ("ragged", 2, "some")],
    ids=["uniform", "ragged-both", "reset"],
)
@pytest.mark.parametrize("program", THOROUGH, ids=lambda p: p.name)
def test_gradcheck(program: Program, lengths: str, directions: int, reset: str) -> None:
    function, leaves = differentiable(program, lengths, directions, reset)
    assert torch.autograd.gradcheck(function, leaves)


@pytest.mark.parametrize("reset", ["", "some"], ids=["plain", "reset"])
@pytest.mark.parametrize("program", THOROUGH, ids=lambda p: p.name)
def test_gradgradcheck(program: Program, reset: str) -> None:
    function, leaves = differentiable(program, "ragged", 2, reset)
    assert torch.autograd.gradgradcheck(function, leaves, fast_mode=True)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.name)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32], ids=str)
def test_any_dtype(program: Program, dtype: torch.dtype) -> None:
    drawn = case(program, Shape(4, 3, 5, "ragged"))
    weights = split(program, [w.to(dtype) for w in drawn.weights], 1)
    output, last, _ = reference.layer(
        program, drawn.x.to(dtype), [s.to(dtype) for s in drawn.initial], weights, drawn.lengths
    )
    assert output.dtype is dtype
    assert all(state.dtype is dtype for state in last)


def test_padding_is_zero_and_states_stop_at_each_rows_end() -> None:
    program = program_of(GRU())
    drawn = case(program, Shape(6, 5, 3, "ragged", directions=2))
    assert drawn.lengths is not None
    output, last, _ = reference.layer(
        program, drawn.x, drawn.initial, split(program, drawn.weights, 2), drawn.lengths
    )
    for n, length in enumerate(drawn.lengths.tolist()):
        assert not output[length:, n].any()
        if length == 0:
            assert torch.equal(last[0][:, n], drawn.initial[0][:, n])
        else:
            assert torch.equal(last[0][0, n], output[length - 1, n, :3])
            assert torch.equal(last[0][1, n], output[0, n, 3:])


def test_a_constant_state_has_the_shape_of_its_old_value() -> None:
    program = program_of(Constant())
    drawn = case(program, Shape(2, 3, 4))
    _, last, _ = reference.layer(program, drawn.x, drawn.initial, split(program, drawn.weights, 1))
    assert torch.equal(last[1], torch.full_like(drawn.initial[1], 0.5))


def test_programs_of_one_name_keep_apart() -> None:
    """A class may be called like another, even like a built-in one, and is itself."""

    def other(factor: float) -> Cell:
        class GRU(Cell):
            def step(W: Any, U: Any, x: Any, h: Any) -> Any:
                return factor * tanh(W.a(x) + U.a(h))

        return GRU()

    builtin, first, second = program_of(GRU()), program_of(other(2)), program_of(other(3))
    assert builtin.name == "gru"
    assert len({builtin.name, first.name, second.name}) == 3
    for program in (builtin, first, second):
        assert program_named(program.name) is program
    again = program_of(other(2))
    assert again.name == first.name
