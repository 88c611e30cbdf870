# ruff: noqa: N805, RUF012 - a step has no self
"""Cells that no paper has, each with something that torch's do not have."""

from __future__ import annotations

from typing import Any

from unrolled.cells import Cell, sigmoid, tanh


class Memory(Cell):
    """Two states; per-unit weights, a scalar, and a number for each unit that is not learned."""

    gates_of_memory = {"f": 1, "i": -1}

    def step(W: Any, U: Any, V: Any, s: Any, x: Any, h: Any, c: Any, *, leak: Any = 0.5) -> Any:
        i = sigmoid(W.i(x) + U.i(h) + V.i * c)
        f = sigmoid(W.f(x) + U.f(h) + V.f * c)
        c = leak * f * c + i * tanh(s.in_ * W.g(x) + s.back * U.g(h))
        return tanh(c + V.o), c


class Shared(Cell):
    """No recurrent product, and one gate that forgets."""

    gates_of_memory = {"f": -1}

    def step(W: Any, x: Any, h: Any) -> Any:
        f = sigmoid(W.f(x))
        return (1 - f) * h + f * tanh(W.n(x))


class ThreeStates(Cell):
    """Three states, one of which is in no product."""

    def step(W: Any, U: Any, x: Any, h: Any, c: Any, m: Any) -> Any:
        f = sigmoid(W.f(x) + U.f(h))
        c = f * c + (1 - f) * tanh(W.g(x) + U.g(m))
        return tanh(c), c, 0.5 * (m + h)


class Bare(Cell):
    """Neither W nor U: x itself and one weight for each unit."""

    initial = {"V.a": 0.5}

    def step(V: Any, x: Any, h: Any) -> Any:
        return V.a * h + tanh(x)


class Highway(Cell):
    """x itself beside its products."""

    gates_of_memory = {"t": 1}
    initial = {"W.t.bias": -1.0, "s.r": lambda u: 2 + u}

    def step(W: Any, U: Any, s: Any, x: Any, h: Any) -> Any:
        t = sigmoid(W.t(x) + U.t(h))
        return t * h + (1 - t) * tanh(W.n(x) + U.n(h)) + 0.1 * s.r * x


class Fixed(Cell):
    """No weight at all."""

    def step(x: Any, h: Any, *, rate: Any = (0.5, 0.25, 0.0, -0.5, 1.0)) -> Any:
        return rate * h + x
