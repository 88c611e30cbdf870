"""A plan, carried out step by step in float64, gives the reference's numbers and gradients.

This protects what only shows over several steps: places of the tape that are used again, carried
adjoints, what waits from one stage to the next, and what backward computes anew.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings

from unrolled.cells import BUILTIN, LSTM, Cell
from unrolled.compiler import stages
from unrolled.compiler.plan import Plan
from unrolled.compiler.planning import plan
from unrolled.compiler.program import Program, Space
from unrolled.compiler.trace import trace
from unrolled.compiler.transforms import project
from unrolled.engine import reference
from unrolled.engine.weights import split

from .invented import INVENTED, cell_from, steps
from .simulator import Array, Parameters, Row

X, H, S = 3, 4, 2
PROGRAMS = [*map(trace, (*BUILTIN, *INVENTED)), project(trace(LSTM()))]
each_program = pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.name)


def numbers(program: Program, T: int, bias: bool) -> tuple[Parameters, Array, list[Array]]:
    random = np.random.default_rng(len(program.name) + T)
    size = S if program.projected else H

    def draw(*shape: int) -> Array:
        return 0.5 * random.standard_normal(shape)

    gates, blocks = len(program.gates), len(program.rows("U"))
    features = H if program.reads_input else X
    parameters = Parameters(
        W=draw(gates * H, features),
        b=draw(gates * H) if bias else None,
        U=draw(blocks * H, size),
        c=draw(blocks * H) if bias else None,
        P=draw(S, H) if program.projected else None,
        vectors=draw(len(program.vectors), H) if program.vectors else None,
    )
    initial = [draw(S if s.new.space is Space.PROJECTED else H) for s in program.states]
    return parameters, draw(T, features), initial


def close(found: Any, expected: torch.Tensor | None, shape: tuple[int, ...]) -> None:
    wanted = np.zeros(shape) if expected is None else expected.detach().numpy()
    scale = max(1.0, float(np.abs(wanted).max(initial=0.0)))
    np.testing.assert_allclose(found / scale, wanted / scale, rtol=0, atol=1e-11)


def check(laid: Plan, T: int, descending: bool, bias: bool) -> bool:
    """Compare a plan's numbers and gradients with the reference's; False if they are too wild."""
    parameters, x, initial = numbers(laid.program, T, bias)
    p = parameters
    leaves = [
        None if a is None else torch.tensor(a, requires_grad=True)
        for a in [p.W, p.U, p.b, p.c, p.P, None if p.vectors is None else p.vectors.ravel()]
    ]
    weights = split(laid.program, [leaf for leaf in leaves if leaf is not None], 1)[0]
    given_x = torch.tensor(x, requires_grad=True)
    given_initial = [torch.tensor(a, requires_grad=True) for a in initial]
    output, last, _ = reference.run(
        laid.program,
        given_x.unsqueeze(1),
        [a.unsqueeze(0) for a in given_initial],
        weights,
        reverse=descending,
    )
    if not float(output.detach().abs().sum()) < 1e6:
        return False
    row = Row(laid, parameters, x, initial, descending)
    for inference in (True, False):
        row.forward(inference)
        close(row.output, output[:, 0], row.output.shape)
        for found, state in zip(row.last, last, strict=True):
            close(found, state[0], found.shape)

    random = np.random.default_rng(T)
    gradient = random.standard_normal(row.output.shape)
    gradient_last = [random.standard_normal(a.shape) for a in initial]
    loss = (output[:, 0] * torch.tensor(gradient)).sum()
    for state, g in zip(last, gradient_last, strict=True):
        loss = loss + (state[0] * torch.tensor(g)).sum()
    wanted = {"x": given_x, "W": weights.input, "U": weights.recurrent, "P": weights.projection}
    wanted |= {"b": weights.input_bias, "c": weights.recurrent_bias}
    wanted |= {"vectors": weights.vectors}
    present = {name: tensor for name, tensor in wanted.items() if tensor is not None}
    expected = torch.autograd.grad(loss, [*present.values(), *given_initial], allow_unused=True)
    derived = row.backward(gradient, gradient_last)
    for name, grad in zip(present, expected, strict=False):
        found = derived[name].ravel() if name == "vectors" else derived[name]
        close(found, grad, found.shape)
    for value, grad in zip(derived["initial"], expected[len(present) :], strict=True):
        close(value, grad, value.shape)
    return True


@each_program
@pytest.mark.parametrize("descending", [False, True], ids=["forward", "reverse"])
def test_plan_gives_the_references_numbers(program: Program, descending: bool) -> None:
    for T in (0, 1, 4):
        assert check(plan(program), T, descending, bias=True)


@each_program
def test_plan_without_biases(program: Program) -> None:
    assert check(plan(program), 3, descending=False, bias=False)


@settings(max_examples=60)
@given(source=steps())
def test_plan_of_a_random_cell(source: str) -> None:
    assume(check(plan(trace(cell_from(source))), 3, descending=False, bias=True))


def kept(cell: Cell) -> tuple[int, tuple[int, ...]]:
    laid = plan(trace(cell))
    return len(laid.tape), laid.kept


def test_the_tape_is_no_larger_than_backward_needs() -> None:
    """The output is at hand anyway; what follows from states is computed again."""
    by_name = {cell.name: cell for cell in BUILTIN}
    assert kept(by_name["rnn"]) == (0, (-1,))
    slots, (_, memory) = kept(by_name["lstm"])
    assert slots == 5  # four gates and the memory
    assert 0 <= memory < slots
    assert kept(by_name["gru"]) == (4, (-1,))  # three gates and the product that r multiplies
    assert kept(by_name["originalgru"]) == (4, (-1,))  # three gates and r * h


@pytest.mark.parametrize("name", ["rnn", "lstm", "originalgru"])
def test_shared_sums_have_one_adjoint(name: str) -> None:
    """W_g x and U_g h that are only added need one slot of the delta and one bias."""
    laid = plan(next(p for p in PROGRAMS if p.name == name))
    assert len(laid.delta) == len(laid.program.gates)
    assert len(laid.folded) == len(laid.program.gates)
    assert laid.biases == ()
    assert len(laid.gate_runs) == 1


def test_gru_keeps_the_products_side_apart() -> None:
    laid = plan(next(p for p in PROGRAMS if p.name == "gru"))
    assert len(laid.delta) == 4
    assert laid.biases == (2,)


@each_program
def test_a_place_is_written_once_a_stage(program: Program) -> None:
    """Two outputs of one stage in one place would race."""
    laid = plan(program)
    for passed in (laid.forward, laid.inference, laid.backward):
        for stage in passed.stages:
            places = [location for location, _ in stage.outputs]
            assert len(set(places)) == len(places)


@each_program
def test_runs_are_in_order(program: Program) -> None:
    for operands in plan(program).matrix_runs.values():
        for _, runs in operands:
            for before, after in pairwise(runs):
                assert before.slot + before.count <= after.slot


def test_a_step_of_too_many_vectors_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine keeps a stage's vectors on its stack, in an array of fixed size."""
    monkeypatch.setattr(stages, "MOST_VECTORS", 3)
    with pytest.raises(ValueError, match="a kernel holds at most 3"):
        plan(replace(trace(LSTM()), name="too large"))
