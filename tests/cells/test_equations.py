"""Each cell's step computes its published equations, whatever kind of number it is given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from unrolled.cells import GRU, LSTM, RNN, Cell, OriginalGRU

Array = NDArray[np.float64]
N, X, H = 2, 3, 4

GATES = {
    "rnn": ("h",),
    "lstm": ("i", "f", "g", "o"),
    "gru": ("r", "z", "n"),
    "originalgru": ("r", "z", "n"),
}


def sigma(a: Array) -> Array:
    return 1 / (1 + np.exp(-a))


class Affine:
    """``W.gate(x)``: the gate's matrix times the vector, plus the gate's bias."""

    def __init__(self, maps: dict[str, tuple[Any, Any]]) -> None:
        self._maps = maps

    def __getattr__(self, gate: str) -> Callable[[Any], Any]:
        matrix, bias = self._maps[gate]
        if np.ndim(matrix) == 0:
            return lambda vector: matrix * vector + bias
        return lambda vector: vector @ matrix.T + bias


# The equations once more, gate by gate, in the notation of the papers.


def rnn(activation: Callable[[Array], Array]) -> Callable[..., tuple[Array, ...]]:
    def equations(W: Affine, U: Affine, x: Array, h: Array) -> tuple[Array, ...]:
        return (activation(W.h(x) + U.h(h)),)

    return equations


def lstm(W: Affine, U: Affine, x: Array, h: Array, C: Array) -> tuple[Array, ...]:
    input_gate = sigma(W.i(x) + U.i(h))
    forget_gate = sigma(W.f(x) + U.f(h))
    candidate = np.tanh(W.g(x) + U.g(h))
    output_gate = sigma(W.o(x) + U.o(h))
    memory = forget_gate * C + input_gate * candidate
    return output_gate * np.tanh(memory), memory


def gru(W: Affine, U: Affine, x: Array, h: Array) -> tuple[Array, ...]:
    reset = sigma(W.r(x) + U.r(h))
    update = sigma(W.z(x) + U.z(h))
    candidate = np.tanh(W.n(x) + reset * U.n(h))
    return ((1 - update) * candidate + update * h,)


def original_gru(W: Affine, U: Affine, x: Array, h: Array) -> tuple[Array, ...]:
    reset = sigma(W.r(x) + U.r(h))
    update = sigma(W.z(x) + U.z(h))
    candidate = np.tanh(W.n(x) + U.n(reset * h))
    return ((1 - update) * candidate + update * h,)


CELLS: list[tuple[Cell, Callable[..., tuple[Array, ...]]]] = [
    (RNN(), rnn(np.tanh)),
    (RNN(nonlinearity="relu"), rnn(lambda a: np.maximum(a, 0))),
    (RNN(nonlinearity="sigmoid"), rnn(sigma)),
    (RNN(nonlinearity="identity"), rnn(lambda a: a)),
    (LSTM(), lstm),
    (GRU(), gru),
    (OriginalGRU(), original_gru),
]
each_cell = pytest.mark.parametrize(
    ("cell", "equations"), [pytest.param(*pair, id=pair[0].name) for pair in CELLS]
)


def numbers(cell: Cell, scalar: bool) -> tuple[dict[str, Affine], Any, list[Any]]:
    """Random weights, input and states."""
    random = np.random.default_rng(7)
    gates = GATES[type(cell).__name__.lower()]

    def draw(*shape: int) -> Any:
        return float(random.standard_normal()) if scalar else random.standard_normal(shape)

    weights = {
        "W": Affine({gate: (draw(H, X), draw(H)) for gate in gates}),
        "U": Affine({gate: (draw(H, H), draw(H)) for gate in gates}),
    }
    return weights, draw(N, X), [draw(N, H) for _ in cell.states]


def as_tensors(weights: dict[str, Affine]) -> dict[str, Affine]:
    return {
        name: Affine({g: (torch.tensor(m), torch.tensor(b)) for g, (m, b) in w._maps.items()})
        for name, w in weights.items()
    }


@each_cell
@pytest.mark.parametrize("scalar", [False, True], ids=["arrays", "numbers"])
def test_step_is_the_equation(
    cell: Cell, equations: Callable[..., tuple[Array, ...]], scalar: bool
) -> None:
    weights, x, states = numbers(cell, scalar)
    found = cell(weights, x, *states)
    expected = equations(weights["W"], weights["U"], x, *states)
    assert len(found) == len(cell.states)
    for value, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(value, wanted, rtol=1e-14)


@each_cell
def test_step_takes_tensors(cell: Cell, equations: Callable[..., tuple[Array, ...]]) -> None:
    weights, x, states = numbers(cell, scalar=False)
    found = cell(as_tensors(weights), torch.tensor(x), *map(torch.tensor, states))
    for value, wanted in zip(found, equations(weights["W"], weights["U"], x, *states), strict=True):
        assert isinstance(value, torch.Tensor)
        np.testing.assert_allclose(value.numpy(), wanted, rtol=1e-13)
