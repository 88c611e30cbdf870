"""Sweeps: what is cut where, and that every value is there when it is read."""

from __future__ import annotations

import pytest

from unrolled.cells import BUILTIN, GRU, LSTM, RNN, Cell
from unrolled.compiler.planning import plan
from unrolled.compiler.sweeps import _is_long, _names, sweeps
from unrolled.compiler.trace import trace

from .invented import INVENTED


def computed(cell: Cell) -> list[list[str]]:
    """Values that each sweep of a cell's inference computes by long functions."""
    (stage,) = plan(trace(cell)).inference.stages
    return [[s.name for s, v in part.equations if _is_long(v)] for part in sweeps(stage)]


def test_a_function_of_a_functions_value_has_a_sweep_of_its_own() -> None:
    """And what only that sweep reads is computed there: o and z, though they could be earlier."""
    assert [set(names) for names in computed(LSTM())] == [{"f", "i", "g"}, {"o", "v"}]
    assert [set(names) for names in computed(GRU())] == [{"r"}, {"z", "n"}]


def test_little_is_handed_on() -> None:
    """An LSTM keeps its c, not the three values of which it is made."""
    (stage,) = plan(trace(LSTM())).inference.stages
    assert [part.kept for part in sweeps(stage)] == [["c"], []]


def test_one_sweep_is_enough_for_one_function() -> None:
    assert len(computed(RNN())) == 1


@pytest.mark.parametrize("cell", [*BUILTIN, *INVENTED], ids=lambda cell: cell.name)
def test_every_value_is_there_when_it_is_read(cell: Cell) -> None:
    """Of all passes: each equation once, no long function waits for another of its sweep."""
    made = plan(trace(cell))
    for stage in (s for each in (made.forward, made.inference, made.backward) for s in each.stages):
        parts = sweeps(stage)
        kept: set[str] = set()
        for part in parts:
            assert set(part.inputs) <= set(stage.inputs)
            assert set(part.found) <= kept
            there = {*part.inputs, *part.found}
            waits = dict.fromkeys(there, 0)
            for symbol, value in part.equations:
                assert _names(value) <= there
                there.add(symbol.name)
                before = max((waits[name] for name in _names(value)), default=0)
                waits[symbol.name] = before + _is_long(value)
            assert max(waits.values(), default=0) <= 1
            assert {*part.kept, *part.outputs} <= there
            kept.update(part.kept)
        every = [symbol.name for part in parts for symbol, _ in part.equations]
        assert sorted(every) == sorted(symbol.name for symbol, _ in stage.equations)
        # an output may take the place of an input: all are written when no input is read any more
        assert [part.outputs for part in parts[:-1]] == [[]] * (len(parts) - 1)
        assert parts[-1].outputs == [name for _, name in stage.outputs]
