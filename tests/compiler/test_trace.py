# ruff: noqa: N805 - a step has no self
"""Tracing writes a step down as it reads, and refuses what is not an equation, with the place."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

from unrolled.cells import BUILTIN, GRU, LSTM, RNN, Cell, OriginalGRU, sigmoid, tanh
from unrolled.compiler.program import Assignment, Product, Program, VectorKind, symbols
from unrolled.compiler.trace import TraceError, trace

from .invented import INVENTED, Delay, Reserved

PRINTED = {
    RNN(): """\
rnn(h_previous):
    W_h = W.h @ x + bias W.h
    U_h = U.h @ h_previous + bias U.h
    h = tanh(W_h + U_h)
    return h""",
    GRU(): """\
gru(h_previous):
    W_r = W.r @ x + bias W.r
    W_z = W.z @ x + bias W.z
    W_n = W.n @ x + bias W.n
    U_r = U.r @ h_previous + bias U.r
    U_z = U.z @ h_previous + bias U.z
    U_n = U.n @ h_previous + bias U.n
    z = sigmoid(W_z + U_z)
    r = sigmoid(W_r + U_r)
    n = tanh(W_n + r * U_n)
    h = (1 - z) * n + z * h_previous
    return h""",
    OriginalGRU(): """\
originalgru(h_previous):
    W_r = W.r @ x + bias W.r
    W_z = W.z @ x + bias W.z
    W_n = W.n @ x + bias W.n
    U_r = U.r @ h_previous + bias U.r
    U_z = U.z @ h_previous + bias U.z
    r = sigmoid(W_r + U_r)
    v = r * h_previous
    U_n = U.n @ v + bias U.n
    z = sigmoid(W_z + U_z)
    n = tanh(W_n + U_n)
    h = (1 - z) * n + z * h_previous
    return h""",
    LSTM(): """\
lstm(h_previous, c_previous):
    W_i = W.i @ x + bias W.i
    W_f = W.f @ x + bias W.f
    W_g = W.g @ x + bias W.g
    W_o = W.o @ x + bias W.o
    U_i = U.i @ h_previous + bias U.i
    U_f = U.f @ h_previous + bias U.f
    U_g = U.g @ h_previous + bias U.g
    U_o = U.o @ h_previous + bias U.o
    o = sigmoid(W_o + U_o)
    f = sigmoid(W_f + U_f)
    i = sigmoid(W_i + U_i)
    g = tanh(W_g + U_g)
    c = f * c_previous + i * g
    v = tanh(c)
    h = o * v
    return h, c""",
}


@pytest.mark.parametrize(("cell", "text"), PRINTED.items(), ids=lambda v: getattr(v, "name", ""))
def test_a_program_prints_as_it_reads(cell: Cell, text: str) -> None:
    assert str(trace(cell)) == text


@pytest.mark.parametrize("cell", [*BUILTIN, *INVENTED], ids=lambda cell: cell.name)
def test_everything_is_written_before_it_is_read(cell: Cell) -> None:
    """Whatever reads a program may run its instructions from top to bottom."""
    program = trace(cell)
    known = {*program.gates, *(state.previous for state in program.states)}
    for instruction in program.instructions:
        assert reads(instruction) <= known
        assert instruction.symbol not in known, "no symbol is written twice"
        known.add(instruction.symbol)
    assert {state.new for state in program.states} <= known
    assert len({state.new for state in program.states}) == len(program.states)


def reads(instruction: Any) -> set[Any]:
    if isinstance(instruction, Product):
        return {instruction.operand}
    assert isinstance(instruction, Assignment)
    return set(symbols(instruction.expression))


def names(program: Program) -> set[str]:
    return {a.symbol.name for a in program.assignments}


def test_local_names_survive() -> None:
    class Named(Cell):
        def step(W: Any, U: Any, x: Any, h: Any) -> Any:
            openness = sigmoid(W.a(x) + U.a(h))
            proposal = tanh(W.b(x) + U.b(openness * h))
            return openness * proposal

    assert names(trace(Named())) == {"openness", "proposal", "v", "h"}


def test_names_that_the_compiler_needs_are_its_own() -> None:
    assert {"v_U_a", "v_gradient", "v_carry_h", "v_d_h"} <= names(trace(Reserved()))


def test_states_that_agree_keep_apart() -> None:
    states = trace(Delay()).states
    assert [state.name for state in states] == ["h", "last", "again", "before"]
    assert len({state.new for state in states}) == 4


def test_the_choice_is_in_the_program() -> None:
    assert "relu(W_h + U_h)" in str(trace(RNN(nonlinearity="relu")))
    assert "h = W_h + U_h" in str(trace(RNN(nonlinearity="identity")))


@pytest.mark.parametrize("number", [2, 0.5, np.float32(0.5), np.array(0.5)], ids=repr)
def test_numbers_may_stand_on_either_side(number: Any) -> None:
    class Scaled(Cell):
        def step(W: Any, U: Any, x: Any, h: Any) -> Any:
            return number * h + h * number - W.a(x) / number

    value = f"{float(number):g}"
    program = str(trace(Scaled()))
    assert f"h = {value} * h_previous + h_previous * {value} - W_a / {value}" in program


class Branching(Cell):
    def step(W: Any, U: Any, x: Any, h: Any) -> Any:
        a = W.a(x) + U.a(h)
        if a:  # here
            return a
        return h


class Looping(Cell):
    def step(W: Any, U: Any, x: Any, h: Any) -> Any:
        return sum(list(W.a(x)))  # here


class InputOfState(Cell):
    def step(W: Any, U: Any, x: Any, h: Any) -> Any:
        return W.a(h)  # here


class TwoOperands(Cell):
    def step(W: Any, U: Any, x: Any, h: Any) -> Any:
        a = U.a(h)
        return a + U.a(2 * h)  # here


class ProductOfNumber(Cell):
    def step(W: Any, U: Any, x: Any, h: Any) -> Any:
        return U.a(2.0)  # here


class WithArray(Cell):
    def step(W: Any, U: Any, x: Any, h: Any) -> Any:
        return h * np.ones(3)  # here


class WithText(Cell):
    def step(W: Any, U: Any, x: Any, h: Any) -> Any:
        return h + "1"  # here


class Ufunc(Cell):
    def step(W: Any, U: Any, x: Any, h: Any) -> Any:
        return np.tanh(h)  # here


class Compared(Cell):
    def step(W: Any, U: Any, x: Any, h: Any) -> Any:
        return h * (h > 0)  # here


class TooFew(Cell):
    def step(W: Any, U: Any, x: Any, h: Any, c: Any) -> Any:  # here
        return tanh(W.a(x) + U.a(h))


class InputMultiplied(Cell):
    def step(W: Any, U: Any, x: Any, h: Any) -> Any:
        return W.a(x) + U.a(x)  # here


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (Branching, "a step cannot branch on a value"),
        (Looping, "a step cannot take a vector apart"),
        (InputOfState, r"W\.a takes the input x; for a state or a value write U\.a"),
        (TwoOperands, r"U\.a is applied to two different vectors in one step"),
        (ProductOfNumber, r"U\.a takes a vector, got float"),
        (WithArray, "a step can combine vectors and numbers, not ndarray"),
        (WithText, "a step can combine vectors and numbers, not str"),
        (Ufunc, "ufunc"),
        (Compared, "'>' not supported"),
        (TooFew, r"TooFew\.step returns 1 values, expected the 2 states h, c"),
        (InputMultiplied, r"U\.a takes a state or a value; for the input x write W\.a"),
    ],
)
def test_errors_name_the_line_and_say_what_is_wrong(cell: type[Cell], message: str) -> None:
    lines, first = inspect.getsourcelines(cell)
    line = first + next(n for n, text in enumerate(lines) if "# here" in text)
    with pytest.raises(TraceError, match=rf"test_trace\.py:{line}: .*{message}"):
        trace(cell())


class Everything(Cell):
    def step(
        W: Any, V: Any, s: Any, x: Any, h: Any, c: Any, *, rate: Any = 2.0, k: Any = (1.0, 2.0)
    ) -> Any:
        u = W.u(x)
        f = sigmoid(W.f(x) + V.f * c)
        c = f * c + s.z * u
        return rate * c * k + x, c


def test_vectors_scalars_constants_and_the_input_itself() -> None:
    program = trace(Everything())
    assert [(v.symbol.name, v.kind) for v in program.vectors] == [
        ("V_f", VectorKind.UNIT),
        ("s_z", VectorKind.SCALAR),
        ("K_k", VectorKind.CONSTANT),
    ]
    assert program.reads_input
    assert not trace(LSTM()).reads_input
    assert [str(i) for i in program.instructions] == [
        "f = sigmoid(W_f + V_f * c_previous)",
        "u = W_u",
        "c = f * c_previous + s_z * u",
        "h = 2 * c * K_k + x",
    ]
    other = trace(Everything(k=(3.0, 1.0), rate=2))
    assert other.instructions == program.instructions, "a number for each unit comes at run time"
    assert trace(Everything(rate=3)).instructions != program.instructions


def test_named_values_in_the_order_of_the_step() -> None:
    assert [symbol.name for symbol in trace(LSTM()).named] == ["i", "f", "g", "o"]
    assert [symbol.name for symbol in trace(GRU()).named] == ["r", "z", "n"]
    assert [symbol.name for symbol in trace(Everything()).named] == ["u", "f"]
