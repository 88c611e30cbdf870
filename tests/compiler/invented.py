# ruff: noqa: N805 - a step has no self
"""Cells that no paper has, each for one thing that a compiler may get wrong."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from unrolled.cells import (
    Cell,
    abs,  # noqa: A004
    clamp,
    cos,
    elu,
    exp,
    gelu,
    leaky_relu,
    log,
    maximum,
    minimum,
    relu,
    sigmoid,
    sign,
    silu,
    sin,
    softplus,
    sqrt,
    tanh,
    where,
)
from unrolled.cells.functions import FUNCTIONS


class Division(Cell):
    """A quotient of computed values, and powers."""

    def step(W: Any, U: Any, x: Any, h: Any) -> Any:
        a = W.a(x) + U.a(h)
        return (a - 0.3 * h) / (1 + a * a) - a * a * a / (2 + h * h)


class Constants(Cell):
    """Numbers on either side of every operation."""

    def step(W: Any, U: Any, x: Any, h: Any, *, scale: Any = 0.7) -> Any:
        a = scale * tanh(W.a(x) + U.a(h)) + 0.125
        return -(1 - a) * 2 + h / 3 - 1e-3


class SeveralStates(Cell):
    """Three states, one of them used in a product and nowhere else."""

    def step(W: Any, U: Any, x: Any, h: Any, c: Any, m: Any) -> Any:
        f = sigmoid(W.f(x) + U.f(h) + U.m(m))
        c = f * c + (1 - f) * tanh(W.g(x) + U.g(h))
        return tanh(c), c, f * h


class ProductOfMemory(Cell):
    """The output depends on the other state through a product only."""

    def step(W: Any, U: Any, x: Any, h: Any, c: Any) -> Any:
        return tanh(W.a(x) + U.a(c)), 0.5 * (c + h)


class ProductsInARow(Cell):
    """A product of a computed value of a product of a computed value; rows out of order."""

    def step(W: Any, U: Any, x: Any, h: Any) -> Any:
        r = sigmoid(W.r(x) + U.r(h))
        s = tanh(W.s(x) + U.s(r * h))
        n = tanh(U.n(s) + U.z(h) + W.n(x) + U.q(r * h))
        return (1 - r) * n + r * h


class Apart(Cell):
    """Gates and products that share no sum: each side has an adjoint and a bias of its own."""

    def step(W: Any, U: Any, x: Any, h: Any) -> Any:
        k = W.k(x) * U.k(h)
        lone = sigmoid(W.a(x))
        back = tanh(U.b(h))
        return tanh(k + lone * back) + W.c(x)


class Unused(Cell):
    """A gate and a product that nothing reads: their gradients are zero."""

    def step(W: Any, U: Any, x: Any, h: Any) -> Any:
        W.idle(x)
        U.idle(h)
        return tanh(W.a(x) + U.a(h))


class NewStateInProduct(Cell):
    """A product of a state's new value."""

    def step(W: Any, U: Any, x: Any, h: Any, c: Any) -> Any:
        c = tanh(W.c(x) + U.c(h)) + 0.5 * c
        return sigmoid(W.o(x) + U.o(c)) * c, c


class LateRead(Cell):
    """The old value of a state is read after its new value is known."""

    def step(W: Any, U: Any, x: Any, h: Any, c: Any) -> Any:
        f = sigmoid(W.f(x) + U.f(h))
        new = f * c
        n = tanh(W.n(x) + U.n(f * h) + c)
        return n, new


class OldOutputLate(Cell):
    """The output's old value is read by a stage after the one that overwrites it."""

    def step(W: Any, U: Any, x: Any, h: Any, c: Any) -> Any:
        new = tanh(W.a(x) + U.a(h) + c)
        return new, tanh(U.b(new) * h) + 0.5 * h


class Delay(Cell):
    """States that are other states' old values, two of them the same."""

    def step(W: Any, U: Any, x: Any, h: Any, last: Any, again: Any, before: Any) -> Any:
        return tanh(W.a(x) + U.a(h) + 0.5 * before - 0.25 * again), h, h, last


class Exchange(Cell):
    """Two states that change places."""

    def step(W: Any, U: Any, x: Any, h: Any, c: Any) -> Any:
        return c, tanh(W.a(x) + U.a(h))


class Constant(Cell):
    """A state that no step changes to anything but a number."""

    def step(W: Any, U: Any, x: Any, h: Any, c: Any) -> Any:
        return tanh(W.a(x) + U.a(h) + c), 0.5


class Elementwise(Cell):
    """No recurrent product at all."""

    def step(W: Any, U: Any, x: Any, h: Any, c: Any) -> Any:
        f = sigmoid(W.f(x))
        c = f * c + (1 - f) * W.g(x)
        return relu(c) + 0.1 * h, c


class TwiceTheSame(Cell):
    """Equal expressions, and a sum that two gates and two products share."""

    def step(W: Any, U: Any, x: Any, h: Any) -> Any:
        return tanh(W.a(x) + W.b(x) + U.a(h) + U.b(h)) + tanh(h) * tanh(h) + W.c(x) - W.c(x)


class Reserved(Cell):
    """Locals that are called as the compiler calls its own vectors."""

    def step(W: Any, U: Any, x: Any, h: Any, p_t: Any) -> Any:
        U_a = sigmoid(W.a(x) + U.a(h))
        gradient = tanh(W.b(x) + U.b(p_t * U_a))
        carry_h = gradient * U_a
        d_h = tanh(carry_h) * carry_h
        D_h = sigmoid(d_h + p_t) * d_h
        return D_h + damped(D_h), carry_h * p_t


def damped(value: Any) -> Any:
    """A helper is part of the step."""
    return 0.5 * tanh(value)


class Waves(Cell):
    """Functions whose derivatives need their arguments: these get symbols of their own."""

    def step(W: Any, U: Any, x: Any, h: Any) -> Any:
        a = sin(W.a(x) + U.a(h)) + cos(2 * h - W.b(x))
        return 0.3 * a - log(2 + abs(a - h)) * silu(W.c(x) + U.c(h)) + gelu(0.5 * h - W.b(x))


class Smooth(Cell):
    """Functions whose derivatives are found from their values."""

    def step(W: Any, U: Any, x: Any, h: Any, c: Any) -> Any:
        a = softplus(W.a(x) + U.a(h))
        c = elu(W.b(x) + c, alpha=0.5) - leaky_relu(U.b(c), 0.2)
        return exp(-a) * c + sqrt(1 + a), tanh(c)


class Decisions(Cell):
    """Comparisons of computed values, one in the other; a condition that two choices share."""

    def step(W: Any, U: Any, x: Any, h: Any, c: Any) -> Any:
        fires = W.a(x) + U.a(h) > 0.25 * c
        c = where(fires, 0.5 * c, c - where(c <= W.b(x), 1, h * c))
        return where(fires, 1, -0.125) * sigmoid(c) + where(0.5 >= h, h, c * h), tanh(c)  # noqa: SIM300


class Extremes(Cell):
    """The functions of several arguments, numbers and values in every place."""

    def step(W: Any, U: Any, x: Any, h: Any) -> Any:
        a, b = W.a(x) + U.a(h), U.b(h) - W.b(x)
        c = minimum(a, b) - maximum(a * h, 0.5) + minimum(0.25, b)
        return clamp(c, -1, b) + clamp(a, -0.5, 0.5) * sign(b) + 0.5 * clamp(0.25, a, h * h)


class Powers(Cell):
    """Powers that are products, roots, of a number, of a value."""

    def step(W: Any, U: Any, x: Any, h: Any) -> Any:
        a = tanh(W.a(x) + U.a(h))
        positive = 1.5 + a
        root = positive**0.5 + positive**-1.5 + 2**h
        return tanh(a**2 - 0.5 * a**3 / (1 + h**2) ** 2 + positive ** (a + h) - root)


INVENTED: tuple[Cell, ...] = (
    Division(),
    Constants(),
    Constants(scale=-1.5),
    SeveralStates(),
    ProductOfMemory(),
    ProductsInARow(),
    Apart(),
    Unused(),
    NewStateInProduct(),
    LateRead(),
    OldOutputLate(),
    Delay(),
    Exchange(),
    Constant(),
    Elementwise(),
    TwiceTheSame(),
    Reserved(),
    Waves(),
    Smooth(),
    Decisions(),
    Extremes(),
    Powers(),
)


def cell_from(source: str) -> Cell:
    """A cell with this step."""
    namespace: dict[str, Any] = {function.name: function for function in FUNCTIONS}
    exec(source, namespace)
    cell: Cell = type("Drawn", (Cell,), {"step": namespace["step"]})()
    return cell


@st.composite
def steps(draw: st.DrawFn) -> str:
    """The source of a random step; its numbers stay moderate."""
    states = ["h", "c", "m"][: draw(st.integers(1, 3))]
    values = list(states)
    lines = [f"def step(W, U, x, {', '.join(states)}):", f"    v = tanh(W.v(x) + {states[-1]})"]
    values.append("v")
    for n in range(draw(st.integers(1, 5))):
        a, b = (draw(st.sampled_from(values)) for _ in range(2))
        form = draw(
            st.sampled_from(
                [
                    f"sigmoid(W.g{n}(x) + U.g{n}({a}))",
                    f"tanh(W.g{n}(x) * {b} + U.g{n}({a} * {b}))",
                    f"U.g{n}({a})",
                    f"W.g{n}(x) - {a}",
                    f"tanh({a} * {b})",
                    f"{a} / (2 + {b} * {b})",
                    f"0.5 * {a} - {b}",
                    f"(1 - {a}) * {b}",
                    f"where({a} < 0.5 * {b}, {b}, W.g{n}(x) * {a})",
                    f"gelu(W.g{n}(x) + {a}) - softplus({b})",
                    f"maximum({a}, W.g{n}(x)) + silu({b})",
                    f"sin({a} + {b}) - elu({b})",
                    f"{a} ** 2 * exp(-({b} ** 2))",
                ]
            )
        )
        lines.append(f"    v{n} = {form}")
        values.append(f"v{n}")
    returned = [draw(st.sampled_from(values)) for _ in states]
    shapes = [draw(st.sampled_from(["{}", "tanh({})", "0.5 * {}"])) for _ in states]
    outputs = [shape.format(value) for shape, value in zip(shapes, returned, strict=True)]
    return "\n".join([*lines, f"    return {', '.join(outputs)}"])
