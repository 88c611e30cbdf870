"""The base class: arguments found by name, choices, identity, and errors that say what to write."""

# ruff: noqa: N805 - a step has no self
from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from unrolled.cells import (
    BUILTIN,
    GRU,
    LSTM,
    RNN,
    Cell,
    OriginalGRU,
    relu,
    tanh,
)


class Scaled(Cell):
    def step(W: Any, U: Any, x: Any, h: Any, *, scale: Any = 0.1) -> Any:
        return scale * (W.a(x) + U.a(h))


@pytest.mark.parametrize(
    ("cell", "states"),
    [(RNN(), ("h",)), (LSTM(), ("h", "c")), (GRU(), ("h",)), (OriginalGRU(), ("h",))],
    ids=lambda value: value.name if isinstance(value, Cell) else "",
)
def test_states_are_the_arguments_after_x(cell: Cell, states: tuple[str, ...]) -> None:
    assert cell.states == states


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        (RNN(), "rnn"),
        (RNN(nonlinearity="tanh"), "rnn"),
        (RNN(nonlinearity="relu"), "rnn,nonlinearity=relu"),
        (LSTM(), "lstm"),
        (OriginalGRU(), "originalgru"),
        (Scaled(scale=0.25), "scaled,scale=0.25"),
        (Scaled(scale=float("0.1")), "scaled"),
    ],
    ids=str,
)
def test_name_tells_what_is_not_the_default(cell: Cell, name: str) -> None:
    assert cell.name == name


def test_a_choice_may_be_a_name_or_the_function() -> None:
    assert RNN(nonlinearity="relu") == RNN(nonlinearity=relu)
    assert repr(RNN(nonlinearity=relu)) == "RNN(nonlinearity=relu)"


def test_equal_cells_are_one_key() -> None:
    assert RNN() == RNN(nonlinearity="tanh")
    assert hash(RNN()) == hash(RNN(nonlinearity=tanh))
    assert RNN() != RNN(nonlinearity="relu")
    assert GRU() != OriginalGRU()
    assert len({GRU(), GRU(), LSTM()}) == 2
    assert GRU() != "gru"


@pytest.mark.parametrize("cell", BUILTIN, ids=lambda cell: cell.name)
def test_cells_travel(cell: Cell) -> None:
    assert pickle.loads(pickle.dumps(cell)) == cell
    assert copy.deepcopy(cell) == cell
    assert copy.deepcopy(cell).choices == cell.choices


def test_builtin_names_are_distinct() -> None:
    assert len({cell.name for cell in BUILTIN}) == len(BUILTIN)


def test_a_subclass_inherits_the_equations() -> None:
    class Mine(GRU):
        """Nothing of its own."""

    assert Mine().states == ("h",)
    assert Mine() != GRU()


def test_unknown_choice() -> None:
    with pytest.raises(TypeError, match=r"RNN: unknown choice 'bias'.*nonlinearity"):
        RNN(bias=False)
    with pytest.raises(TypeError, match=r"LSTM: unknown choice 'clip'.*none"):
        LSTM(clip=1)


def test_unknown_nonlinearity() -> None:
    with pytest.raises(ValueError, match=r"nonlinearity must be one of tanh, relu, .* got 'sine'"):
        RNN(nonlinearity="sine")


def no_x(W: Any, U: Any, h: Any) -> Any:
    return h


def no_state(W: Any, U: Any, x: Any) -> Any:
    return x


def with_self(self: Any, W: Any, U: Any, x: Any, h: Any) -> Any:
    return h


def starred(W: Any, U: Any, x: Any, *states: Any) -> Any:
    return states


def choice_without_default(W: Any, U: Any, x: Any, h: Any, *, k: Any) -> Any:
    return h


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (no_x, r"Bad\.step: expected step\(W, U, x, h, \.\.\.\), found no argument 'x'"),
        (no_state, r"Bad\.step: expected at least one state after x"),
        (with_self, r"'self' is none of them \(a step has no self; states come after x\)"),
        (starred, r"argument 'states' is neither a weight, x or a state"),
        (
            choice_without_default,
            r"argument 'k' is neither .* a keyword-only choice",
        ),
    ],
)
def test_a_step_that_is_no_step(step: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        type("Bad", (Cell,), {"step": step})


def test_a_cell_without_equations() -> None:
    with pytest.raises(TypeError, match=r"Cell: a cell must define step\(W, U, x, h, \.\.\.\)"):
        Cell()
