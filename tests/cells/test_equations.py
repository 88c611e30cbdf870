"""Each cell's step computes its published equations, whatever kind of number it is given."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch

from unrolled.cells import BUILTIN, CELLS, Cell
from unrolled.compiler.trace import trace

from .transcriptions import EQUATIONS, Equations

N, X, H, STEPS = 2, 3, 4, 3

each_cell = pytest.mark.parametrize(
    ("cell", "equations"), [pytest.param(*pair, id=pair[0].name) for pair in EQUATIONS]
)


class Weights:
    """Random weights that come to be when they are named, the same at every naming."""

    def __init__(self, letter: str, kind: type, columns: int) -> None:
        self._letter, self._kind, self._columns = letter, kind, columns

    def draw(self, name: str, *shape: int) -> Any:
        numbers = np.random.default_rng([*f"{self._letter}.{name}".encode()]).standard_normal
        if self._kind is float:
            return float(numbers())
        return torch.tensor(numbers(shape)) if self._kind is torch.Tensor else numbers(shape)

    def __getattr__(self, name: str) -> Any:
        if self._letter == "V":
            return self.draw(name, H)
        if self._letter == "s":
            return self.draw(name, 1)
        matrix, bias = self.draw(name, H, self._columns), self.draw(f"{name}.bias", H)
        if self._kind is float:
            return lambda vector: matrix * vector + bias
        return lambda vector: vector @ matrix.T + bias


def drawn(cell: Cell, kind: type) -> tuple[Mapping[str, Weights], list[Any], list[Any]]:
    """Weights, the inputs of some steps and states, of numbers of one kind."""
    features = H if trace(cell).reads_input else X
    widths = {"W": features, "U": H, "V": 1, "s": 1}
    weights = {letter: Weights(letter, kind, width) for letter, width in widths.items()}
    values = Weights("", kind, 1)
    inputs = [values.draw(f"x{t}", N, features) for t in range(STEPS)]
    # a normaliser, where a cell has one, is a sum of positive terms
    states = [
        abs(value) if name == "n" else value
        for name in cell.states
        for value in [values.draw(name, N, H)]
    ]
    return weights, inputs, states


def follow(step: Callable[..., Any], inputs: list[Any], states: list[Any]) -> list[Any]:
    """All states of all steps."""
    found = []
    for x in inputs:
        states = list(step(x, *states))
        found += states
    return found


@each_cell
@pytest.mark.parametrize(
    "kind", [np.ndarray, float, torch.Tensor], ids=["arrays", "numbers", "tensors"]
)
def test_steps_are_the_equations(cell: Cell, equations: Equations, kind: type) -> None:
    weights, inputs, states = drawn(cell, kind)
    found = follow(lambda *values: cell(weights, *values), inputs, states)
    plain = float if kind is float else np.ndarray
    weights, inputs, states = drawn(cell, plain)
    expected = follow(lambda *values: equations(*weights.values(), *values), inputs, states)
    assert len(found) == STEPS * len(cell.states)
    for value, wanted in zip(found, expected, strict=True):
        assert kind is not torch.Tensor or isinstance(value, torch.Tensor)
        np.testing.assert_allclose(np.asarray(value), wanted, rtol=1e-12, atol=1e-14)


def test_every_cell_has_its_equations_here() -> None:
    assert {type(cell) for cell, _ in EQUATIONS} == set(CELLS) == {type(cell) for cell in BUILTIN}


@pytest.mark.parametrize("kind", CELLS, ids=lambda kind: kind.__name__)
def test_what_a_cell_declares_is_in_its_equations(kind: type[Cell]) -> None:
    """Gates of memory are gates of W, candidates are computed, initial values are of weights."""
    program = trace(kind())
    gates = {symbol.name.removeprefix("W_") for symbol in program.gates}
    assert kind.gates_of_memory.keys() <= gates
    assert set(kind.gates_of_memory.values()) <= {1, -1}
    named = {symbol.name.removeprefix("v_") for symbol in program.named}
    assert not kind.candidate or kind.candidate in named
    vectors = {vector.symbol.name.replace("_", ".", 1) for vector in program.vectors}
    assert kind.initial.keys() <= vectors | {f"W.{gate}.bias" for gate in gates}


@pytest.mark.parametrize("kind", CELLS, ids=lambda kind: kind.__name__)
def test_a_cell_names_its_paper(kind: type[Cell]) -> None:
    assert re.search(r"\b(19|20)\d\d\b", kind.__doc__ or "")
