# ruff: noqa: N805 - a step has no self
"""The printed equations are those of the step: read back, they give the step's numbers."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from unrolled.cells import BUILTIN, GRU, LSTM, RNN, Cell, OriginalGRU, sigmoid, tanh
from unrolled.compiler import formulas
from unrolled.compiler.program import (
    Assignment,
    Call,
    Constant,
    Expression,
    Product,
    Program,
    State,
    Symbol,
    Vector,
    VectorKind,
    evaluate,
)
from unrolled.compiler.trace import trace
from unrolled.compiler.transforms import project
from unrolled.compiler.typeset import latex, mathml
from unrolled.compiler.typeset.latex import spell
from unrolled.compiler.typeset.layout import Name
from unrolled.compiler.typeset.names import GREEK, Names, parse

from .invented import INVENTED, cell_from, steps
from .latex_reader import lines, read

H = 3

EXACT = {
    RNN(): [r"h_t &= \tanh(W_h x_t + b_h + U_h h_{t-1} + c_h)"],
    RNN(nonlinearity="relu"): [r"h_t &= \mathrm{ReLU}(W_h x_t + b_h + U_h h_{t-1} + c_h)"],
    LSTM(): [
        r"i_t &= \sigma(W_i x_t + b_i + U_i h_{t-1} + d_i)",
        r"f_t &= \sigma(W_f x_t + b_f + U_f h_{t-1} + d_f)",
        r"g_t &= \tanh(W_g x_t + b_g + U_g h_{t-1} + d_g)",
        r"o_t &= \sigma(W_o x_t + b_o + U_o h_{t-1} + d_o)",
        r"c_t &= f_t \circ c_{t-1} + i_t \circ g_t",
        r"h_t &= o_t \circ \tanh(c_t)",
    ],
    GRU(): [
        r"r_t &= \sigma(W_r x_t + b_r + U_r h_{t-1} + c_r)",
        r"z_t &= \sigma(W_z x_t + b_z + U_z h_{t-1} + c_z)",
        r"n_t &= \tanh(W_n x_t + b_n + r_t \circ (U_n h_{t-1} + c_n))",
        r"h_t &= (1 - z_t) \circ n_t + z_t \circ h_{t-1}",
    ],
    OriginalGRU(): [
        r"r_t &= \sigma(W_r x_t + b_r + U_r h_{t-1} + c_r)",
        r"z_t &= \sigma(W_z x_t + b_z + U_z h_{t-1} + c_z)",
        r"n_t &= \tanh(W_n x_t + b_n + U_n (r_t \circ h_{t-1}) + c_n)",
        r"h_t &= (1 - z_t) \circ n_t + z_t \circ h_{t-1}",
    ],
}


def environment(*equations: str) -> str:
    body = " \\\\\n".join(equations)
    return f"\\begin{{aligned}}\n{body}\n\\end{{aligned}}"


@pytest.mark.parametrize("cell", EXACT, ids=lambda cell: cell.name)
def test_equations_are_the_papers(cell: Cell) -> None:
    assert formulas.latex(cell) == environment(*EXACT[cell])


class Named(Cell):
    """Every kind of name, and names that are taken."""

    def step(
        W: Any, U: Any, V: Any, s: Any, x: Any, h: Any, memory: Any, *, decay: Any = (0.1, 0.2, 0.3)
    ) -> Any:
        lambda_ = sigmoid(V.Lambda + U.in_gate(h))
        f1 = sigmoid(W.t(x) + V.f1 * memory + V.slope * x)
        h_tilde = tanh(s.beta * (lambda_ - f1) + s.gain * decay)
        b = f1 * f1
        h = tanh(h_tilde)
        return 0.5 * h + 2 * b, memory + h


def test_names_are_printed_as_letters() -> None:
    assert formulas.latex(Named) == environment(
        r"\lambda_t &= \sigma(\Lambda + U_{\mathrm{in}_{\mathrm{gate}}} h_{t-1}"
        r" + d_{\mathrm{in}_{\mathrm{gate}}})",
        r"f_{1,t} &= \sigma(W_{\mathrm{t}} x_t + c_{\mathrm{t}}"
        r" + v_{f_1} \circ \mathrm{memory}_{t-1} + \mathrm{slope} \circ x_t)",
        r"\tilde{h}_t &= \tanh(\beta \cdot (\lambda_t - f_{1,t})"
        r" + \mathrm{gain} \cdot \mathrm{decay})",
        r"\tilde{h}'_t &= \tanh(\tilde{h}_t)",
        r"b_t &= f_{1,t}^2",
        r"h_t &= 0.5 \tilde{h}'_t + 2 b_t",
        r"\mathrm{memory}_t &= \mathrm{memory}_{t-1} + \tilde{h}'_t",
    )


# What is printed of single expressions, on the state a, the weight p and the scalar q.

A, P, Q = Symbol("a_previous"), Symbol("V_p"), Symbol("s_q")


def number(value: float) -> Constant:
    return Constant(float(value))


def call(operation: str, *arguments: Expression) -> Call:
    return Call(operation, arguments)


def program_of(expression: Expression) -> Program:
    a = Symbol("a")
    vectors = (Vector(P, VectorKind.UNIT), Vector(Q, VectorKind.SCALAR))
    return Program("drawn", (), (Assignment(a, expression),), (State("a", A, a),), vectors)


def right_side(expression: Expression) -> str:
    ((_, right),) = lines(latex(program_of(expression)))
    return right.replace("a_{t-1}", "a")


ADDED = call("add", A, P)


@pytest.mark.parametrize(
    ("expression", "printed"),
    [
        (call("subtract", A, call("subtract", P, A)), r"a - (p - a)"),
        (call("subtract", A, call("negate", P)), r"a + p"),
        (call("add", A, call("multiply", number(-2), P)), r"a - 2 p"),
        (call("negate", ADDED), r"-(a + p)"),
        (call("multiply", P, call("negate", A)), r"-p \circ a"),
        (call("multiply", call("multiply", A, number(2)), ADDED), r"2 a \circ (a + p)"),
        (call("multiply", call("multiply", A, A), P), r"a^2 \circ p"),
        (call("multiply", number(2), number(3)), r"2 \cdot 3"),
        (call("multiply", number(1), call("negate", A)), r"-a"),
        (call("multiply", number(1), number(1)), r"1"),
        (call("multiply", number(2), call("softplus", A)), r"2 \, \mathrm{softplus}(a)"),
        (call("multiply", Q, ADDED), r"q \cdot (a + p)"),
        (call("multiply", call("subtract", number(1), Q), A), r"(1 - q) a"),
        (call("divide", ADDED, call("multiply", A, P)), r"\frac{a + p}{a \circ p}"),
        (call("divide", call("negate", A), P), r"-\frac{a}{p}"),
        (call("divide", A, call("negate", P)), r"-\frac{a}{p}"),
        (call("power", ADDED, number(2)), r"(a + p)^2"),
        (call("power", call("power", A, P), number(-1)), r"(a^p)^{-1}"),
        (call("power", call("divide", A, P), number(2)), r"\left( \frac{a}{p} \right)^2"),
        (call("power", A, number(0.5)), r"\sqrt{a}"),
        (call("tanh", call("divide", A, P)), r"\tanh\left( \frac{a}{p} \right)"),
        (call("abs", ADDED), r"\lvert a + p \rvert"),
        (call("maximum", A, number(0)), r"\max(a, 0)"),
        (call("clamp", A, number(-1), number(1)), r"\min(\max(a, -1), 1)"),
        (call("normalize", A), r"\mathrm{LayerNorm}(a)"),
        (call("leaky_relu", A, number(0.01)), r"\mathrm{LeakyReLU}(a)"),
        (call("leaky_relu", A, number(0.2)), r"\mathrm{LeakyReLU}(a, 0.2)"),
        (call("multiply", call("expm1", A), P), r"(\exp(a) - 1) \circ p"),
        (number(1 / 3), r"\frac{1}{3}"),
        (number(2**0.5), r"1.41421"),
        (call("multiply", number(1e-7), A), r"10^{-7} a"),
        (call("multiply", number(2.5e-7), A), r"2.5 \cdot 10^{-7} a"),
        (
            call("add", call("where", call("greater", A, number(0)), A, P), number(1)),
            r"\left( \begin{cases} a & \text{if } a > 0 \\ p & \text{otherwise} \end{cases} \right)"
            r" + 1",
        ),
        (
            call("where", call("less", A, P), A, call("where", call("less_equal", A, Q), P, Q)),
            r"\begin{cases} a & \text{if } a < p \\ p & \text{if } a \le q \\ q & \text{otherwise}"
            r" \end{cases}",
        ),
    ],
    ids=str,
)
def test_notation(expression: Expression, printed: str) -> None:
    assert right_side(expression) == printed


OPERATIONS: dict[str, Any] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": np.divide,  # of numbers, too: 1 / 0 is infinite
    "negate": lambda a: -a,
    "tanh": np.tanh,
    "abs": np.abs,
    "sqrt": np.sqrt,
    "maximum": np.maximum,
    "power": lambda a, b: np.float_power(a, b),
    "greater": lambda a, b: np.greater(a, b) * 1.0,
    "where": lambda c, a, b: np.where(c != 0, a, b),
}


def expressions() -> st.SearchStrategy[Expression]:
    numbers = st.sampled_from([2, -2, 0.5, 1 / 3, -3e-7]).map(number)
    leaves = st.sampled_from([A, P, Q]) | numbers

    def grow(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
        arithmetic = ["add", "subtract", "multiply", "divide", "maximum"]
        two = st.builds(call, st.sampled_from(arithmetic), inner, inner)
        one = st.builds(call, st.sampled_from(["negate", "tanh", "abs"]), inner)
        power = st.builds(call, st.just("power"), inner, st.sampled_from([2, 3, -1]).map(number))
        root = st.builds(lambda e: call("sqrt", call("abs", e)), inner)
        where = st.builds(
            lambda a, b, c, d: call("where", call("greater", a, b), c, d), *[inner] * 4
        )
        return two | one | power | root | where

    return st.recursive(leaves, grow, max_leaves=8)


@example(Call("multiply", (A, Call("where", (Call("greater", (Q, Constant(2.0))), Q, Q)))))
@given(expressions())
def test_any_expression_reads_as_it_computes(expression: Expression) -> None:
    """A bracket too few, a sign, an order: the numbers would be others."""
    a, p, q = np.array([0.7, -1.3, 2.1]), np.array([-0.4, 0.9, 1.7]), 0.6
    with np.errstate(all="ignore"):
        expected = evaluate(expression, {A: a, P: p, Q: q}.__getitem__, OPERATIONS)
        text = latex(program_of(expression))
        found = read(text, {"a_{t-1}": a, "p": p, "q": q})["a_t"]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


# Whole cells.


class Weights:
    """W, U, V or s with weights drawn as they are named."""

    def __init__(self, kind: str, random: np.random.Generator) -> None:
        self.kind, self.random = kind, random
        self.drawn: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        if name not in self.drawn:
            shapes: dict[str, list[tuple[int, ...]]] = {
                "W": [(H, H), (H,)],
                "U": [(H, H), (H,)],
                "V": [(H,)],
                "s": [()],
            }
            self.drawn[name] = [self.random.standard_normal(size) for size in shapes[self.kind]]
        if self.kind in "WU":
            matrix, bias = self.drawn[name]
            return lambda vector: matrix @ vector + bias
        return self.drawn[name][0]


def check(cell: Cell) -> None:
    """The page gives every state the step's value, and every named value has its equation."""
    random = np.random.default_rng(5)
    program = trace(cell)
    weights: dict[str, Any] = {kind: Weights(kind, random) for kind in "WUVs"}
    weights["K"] = {
        name: np.resize(value, H)
        for name, value in cell.choices.items()
        if isinstance(value, tuple)
    }
    x = random.standard_normal(H)
    states = [random.standard_normal(H) for _ in cell.states]
    with np.errstate(all="ignore"):
        expected = cell(weights, x, *states)

    names = Names(program)
    known: dict[str, Any] = {"x_t": x}

    def know(name: Name, value: Any) -> None:
        text = spell(name)
        assert text not in known, f"two things are called {text}"
        known[text] = value

    for kind, bias in (("W", names.input_bias), ("U", names.recurrent_bias)):
        for gate, values in weights[kind].drawn.items():
            for letter, value in zip((kind, bias), values, strict=True):
                know(Name(letter, subscripts=(parse(gate),)), value)
    for vector in program.vectors:
        kind, name = vector.symbol.name.split("_", 1)
        know(
            names[vector.symbol],
            weights["K"][name] if kind == "K" else weights[kind].drawn[name][0],
        )
    for state, value in zip(program.states, states, strict=True):
        assert names[state.previous] == replace(parse(state.name), time=-1)
        know(names[state.previous], value)

    text = formulas.latex(cell)
    with np.errstate(all="ignore"):
        found = read(text, known)
    assert len(found) == len(program.named) + len(cell.states)
    for name, value in zip(cell.states, expected, strict=True):
        new = found[spell(replace(parse(name), time=0))]
        np.testing.assert_allclose(new, value, rtol=1e-5, err_msg=f"{name} of\n{text}")


CELLS = (*BUILTIN, *INVENTED, Named())
each_cell = pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)


@each_cell
def test_equations_read_as_the_step_computes(cell: Cell) -> None:
    check(cell)


@given(steps())
def test_equations_of_any_step_read_as_it_computes(source: str) -> None:
    check(cell_from(source))


def test_a_program_without_biases_prints_none() -> None:
    program = trace(RNN())
    bare = tuple(
        replace(i, bias=False) if isinstance(i, Product) else i for i in program.instructions
    )
    text = latex(replace(program, bias=False, instructions=bare))
    assert r"h_t &= \tanh(W_h x_t + U_h h_{t-1})" in text


def test_a_projected_program_has_a_product_without_bias() -> None:
    program = trace(LSTM())
    projected = replace(project(program), named=program.named)
    assert lines(latex(projected))[-1] == ("h_t", r"P (o_t \circ \tanh(c_t))")


# MathML says the same.

LETTERS = {letter: rf"\{name}" for name, letter in GREEK.items()}
SPELLED = {
    **LETTERS, "ε": r"\varepsilon", "φ": r"\varphi", "−": "-", "∘": r"\circ", "·": r"\cdot",
    "≤": r"\le", "≥": r"\ge", "ℓ": r"\ell", "∞": r"\infty", "′": "'", "\u2061": "", "\u2062": "",
}  # fmt: skip


def plain(text: str) -> str:
    """LaTeX without what MathML has no need of: upright fonts, braces, spaces, growing brackets."""
    text = re.sub(
        r"\\(begin|end)\{\w+\}|\\text|\\mathrm|\\left(?![a-z])|\\right(?![a-z])", "", text
    )
    text = re.sub(r"\\(tanh|exp|log|sin|cos|max|min)\b", r"\1", text)
    text = re.sub(r"\\lvert|\\rvert|\\left\\lvert|\\right\\rvert", "|", text)
    return re.sub(r"[\s{}&]|\\\\|\\,", "", text)


def written(element: ElementTree.Element) -> str:
    """The LaTeX of an element of MathML, in the plain form."""
    tag = element.tag.removeprefix("{http://www.w3.org/1998/Math/MathML}")
    parts = [written(child) for child in element]
    match tag:
        case "math" | "mtable" | "mtr" | "mtd" | "mrow":
            assert not (element.text or "").strip()
            return "".join(parts)
        case "mi" | "mn" | "mo" | "mtext":
            text = element.text or ""
            assert text == text.strip(" \n")
            return plain(SPELLED.get(text, text)) if text != "{" else ""
        case "msub":
            return f"{parts[0]}_{parts[1]}"
        case "msubsup":
            return f"{parts[0]}_{parts[1]}^{parts[2]}"
        case "msup":
            return parts[0] + ("" if parts[1] == "'" else "^") + parts[1]
        case "mfrac":
            return rf"\frac{parts[0]}{parts[1]}"
        case "msqrt":
            return rf"\sqrt{''.join(parts)}"
        case "mover":
            return {"~": r"\tilde", "^": r"\hat", "¯": r"\bar"}[parts[1]] + parts[0]
    raise AssertionError(tag)


@each_cell
def test_mathml_says_what_latex_says(cell: Cell) -> None:
    root = ElementTree.fromstring(formulas.mathml(cell))
    assert root.get("display") == "block"
    rows = root.findall("./{*}mtable/{*}mtr")
    assert [len(row) for row in rows] == [2] * len(lines(formulas.latex(cell)))
    assert written(root) == plain(formulas.latex(cell))


@given(expressions())
def test_mathml_of_any_expression_says_what_latex_says(expression: Expression) -> None:
    program = program_of(expression)
    root = ElementTree.fromstring(mathml(program))
    assert written(root) == plain(latex(program))
    for element in root.iter():  # a schema that browsers do not check: how many children
        tag = element.tag.split("}")[1]
        assert len(element) == {"mfrac": 2, "msub": 2, "msup": 2, "mover": 2, "msubsup": 3}.get(
            tag, len(element)
        )


# Of cells and classes.


def test_class_and_cell_print_the_same() -> None:
    relu = formulas.latex(RNN, nonlinearity="relu")
    assert relu == formulas.latex(RNN(nonlinearity="relu"))
    assert formulas.latex(RNN) == formulas.latex(RNN()) != relu
    assert formulas.mathml(GRU) == formulas.mathml(GRU())


def test_errors_of_what_is_no_cell() -> None:
    with pytest.raises(TypeError, match=r"unknown choice 'bias'"):
        formulas.latex(RNN, bias=False)
    with pytest.raises(TypeError, match=r"latex: this RNN has its choices already"):
        formulas.latex(RNN(), nonlinearity="relu")
    with pytest.raises(TypeError, match=r"mathml: expected a cell or a class of cells, got 'gru'"):
        formulas.mathml("gru")  # type: ignore[arg-type]
