# ruff: noqa: N805 - a step has no self
"""Projection rewrites a program, and refuses where it would have no meaning."""

from __future__ import annotations

from typing import Any

import pytest

from unrolled.cells import GRU, LSTM, Cell, OriginalGRU, tanh
from unrolled.compiler.program import Space
from unrolled.compiler.trace import trace
from unrolled.compiler.transforms import project

from .invented import NewStateInProduct


def test_the_projected_lstm() -> None:
    program = project(trace(LSTM()))
    text = str(program)
    assert program.name == "lstm,projected"
    assert program.projected
    assert text.endswith("    P_h = P.h @ h\n    return P_h, c")
    assert [state.new.space for state in program.states] == [Space.PROJECTED, Space.HIDDEN]
    operands = {product.operand for product in program.matrix("U")}
    assert [operand.space for operand in operands] == [Space.PROJECTED]


@pytest.mark.parametrize("cell", [GRU(), OriginalGRU()], ids=lambda cell: cell.name)
def test_a_state_of_another_size_cannot_be_added(cell: Cell) -> None:
    with pytest.raises(ValueError, match=rf"{cell.name}: cannot be projected, because .* combines"):
        project(trace(cell))


def test_one_matrix_has_one_width() -> None:
    with pytest.raises(ValueError, match="needs a matrix of another width"):
        project(trace(NewStateInProduct()))


def test_any_cell_whose_output_only_meets_products_can_be_projected() -> None:
    class Simple(Cell):
        def step(W: Any, U: Any, x: Any, h: Any) -> Any:
            return tanh(W.a(x) + U.a(h))

    assert str(project(trace(Simple()))).endswith("return P_h")
