# ruff: noqa: N805 - a step has no self
"""Tracing writes a step down as it reads, and refuses what is not an equation, with the place."""

from __future__ import annotations

import inspect
import math
from typing import Any

import numpy as np
import pytest
import torch

import unrolled.cells
from unrolled.cells import (
    BUILTIN,
    GRU,
    LSTM,
    RNN,
    Cell,
    OriginalGRU,
    clamp,
    sigmoid,
    tanh,
    where,
)
from unrolled.compiler.program import INPUT, Assignment, Product, Program, VectorKind, symbols
from unrolled.compiler.trace import trace
from unrolled.compiler.traced import TraceError

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
    known = {INPUT, *program.gates, *(state.previous for state in program.states)}
    known |= {vector.symbol for vector in program.vectors}
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


def refused(line: str) -> type[Cell]:
    """A cell with this line in its step, and in a file of its own."""
    source = f"def step(W, U, x, h):\n    a = W.a(x) + U.a(h)\n    {line}  # here\n    return a\n"
    names: dict[str, Any] = {"np": np, "math": math, "torch": torch, **vars(unrolled.cells)}
    exec(compile(source, "mine.py", "exec"), names)
    return type("Refused", (Cell,), {"step": names["step"]})


BRANCH = r"cannot branch on a value .*; write where\(condition, a, b\), minimum or maximum$"
NO_NUMBER = r"a comparison is no number .* for 1 or 0 write where\(condition, 1, 0\)$"
APART = "cannot take a vector apart: its equations hold for every unit$"
IN_PLACE = r"changes nothing in place, .*: write a = a \+ b, not a \+= b$"
ADVICE = r"; a step is made of \+ - \* / \*\*, comparisons in where\(\), and functions of unrolled"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a = a if a > 0 else h", BRANCH),
        ("a = (a > 0 and h > 0) and a", BRANCH),
        ("a = not a", BRANCH),
        ("a = max(a, h)", BRANCH),
        ("a = 0 < a < 1", BRANCH),
        ("a = (a > 0) * h", NO_NUMBER),
        ("a = 1 - (a > 0)", NO_NUMBER),
        ("a = a + (h < 0)", NO_NUMBER),
        ("a = tanh(a > 0)", NO_NUMBER),
        ("a = (a > 0) | (h > 0)", NO_NUMBER),
        ("a = np.float32(2) * (a > 0)", NO_NUMBER),
        ("a = where(a, h, 0)", "where takes a comparison, such as x > 0, as its condition"),
        ("a = where(a == h, h, 0)", "compares with < <= > >=, not with == or !=$"),
        ("a = math.exp(a)", "no Python number: .* such as unrolled.cells.exp$"),
        ("a = float(a) + int(a)", r"no Python number: write no float\(\)"),
        ("a = np.exp(a)", r"np\.exp takes no value of a step; use unrolled\.cells\.exp$"),
        ("a = np.abs(a)", r"np\.absolute takes no value of a step; use unrolled\.cells\.abs$"),
        ("a = np.cbrt(a)", r"np\.cbrt takes no value of a step; use functions of unrolled\.cells$"),
        ("a = np.where(a > 0, a, h)", "is no array; use the functions of unrolled.cells$"),
        ("a = np.clip(a, 0, 1)", "functions of unrolled.cells"),
        ("a = torch.exp(a)", r"exp\(\): argument 'input' .* must be Tensor, not Traced" + ADVICE),
        ("a = a.exp()", "'Traced' object has no attribute 'exp'" + ADVICE),
        ("a = a % 2", r"unsupported operand type\(s\) for %: 'Traced' and 'int'" + ADVICE),
        ("a = a[0]", APART),
        ("a[0] = 1", APART),
        ("a = len(a)", APART),
        ("a += h", IN_PLACE),
        ("a **= 2", IN_PLACE),
        ("a = (-2) ** a", "the base of a power must be positive, got -2$"),
        (
            "a = elu(a, -1)",
            r"elu: alpha must be a number, 0 or more, got -1; .* write where\(x > 0",
        ),
        ("a = leaky_relu(a, h)", "leaky_relu: negative_slope must be a number, 0 or more, got h_p"),
        ("a = clamp(a, 0)", r"clamp\(x, low, high\): missing a required argument: 'high'"),
    ],
)
def test_what_is_no_equation_is_refused_with_the_words_to_write(line: str, message: str) -> None:
    with pytest.raises(TraceError, match=rf"^mine\.py:3: .*{message}"):
        trace(refused(line)())


@pytest.mark.parametrize("name", ["a#b", '"', "a b", "a.b", "", "1", "a-b", "*/", "\n", "\ud800"])
@pytest.mark.parametrize("weights", ["W", "U", "V", "s"])
def test_names_that_cannot_stand_in_a_program(weights: str, name: str) -> None:
    """They would reach C++; no step writes them, but getattr does."""

    class Named(Cell):
        def step(W: Any, U: Any, V: Any, s: Any, x: Any, h: Any) -> Any:
            found = getattr({"W": W, "U": U, "V": V, "s": s}[weights], name)
            a = found if weights in "Vs" else found(x if weights == "W" else h)
            return tanh(a + W.a(x) + U.a(h) + V.p * s.q)

    with pytest.raises(TraceError, match=r"must be made of letters, digits and _, got ") as caught:
        trace(Named())
    assert "\n" not in str(caught.value)


class Compared(Cell):
    """What prints: operators where there are some, in brackets where they are needed."""

    def step(W: Any, U: Any, x: Any, h: Any) -> Any:
        a = W.a(x) + U.a(h)
        b = where(a <= 2 * h, (a + 1) ** 2 + -(a**-2), (a * h) ** 2**h)
        return clamp(abs(b), 0, 1) + (h**3) ** 2 + 0.5**h + h**0.5


COMPARED = """\
    a = W_a + U_a
    v = 2 * h_previous
    v2 = a * h_previous
    v3 = 2 ** h_previous
    v4 = v2 ** v3
    b = where(a <= v, (a + 1) ** 2 + -a ** -2, v4)
    v5 = abs(b)
    v6 = clamp(v5, 0, 1)
    v7 = 0.5 ** h_previous
    v8 = sqrt(h_previous)
    h = v6 + (h_previous ** 3) ** 2 + v7 + v8
    return h"""


def test_operators_print_as_operators() -> None:
    assert str(trace(Compared())).endswith(COMPARED)


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
