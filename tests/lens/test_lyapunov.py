"""Exponents are those that theory gives, and add up exactly."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import unrolled
from tests.lens.brute_force import Own, Ragged
from unrolled.lens import jacobians, lyapunov


def linear(matrix: torch.Tensor) -> unrolled.RNN:
    layer = unrolled.RNN(2, len(matrix), nonlinearity="identity", bias=False, dtype=torch.float64)
    with torch.no_grad():
        layer.get_parameter("weight_hh_l0").copy_(matrix)
    return layer


def test_a_linear_network_has_its_eigenvalues() -> None:
    """Of a matrix far from normal, with a complex pair."""
    torch.manual_seed(2)
    basis = torch.randn(5, 5, dtype=torch.float64)
    blocks = torch.diag(torch.tensor([0.0, 0.0, 1.2, 0.5, -0.1], dtype=torch.float64))
    blocks[:2, :2] = torch.tensor([[0.3, -0.8], [0.8, 0.3]])
    matrix = basis @ blocks @ basis.inverse()
    found = lyapunov(linear(matrix), torch.zeros(400, 1, 2, dtype=torch.float64), transient=100)
    turning = math.log(math.hypot(0.3, 0.8))
    expected = [math.log(1.2), turning, turning, math.log(0.5), math.log(0.1)]
    assert found["l0"].spectrum.tolist() == pytest.approx(expected, abs=0.01)
    assert found["l0"].largest == pytest.approx(math.log(1.2), abs=1e-6)


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 5), st.integers(1, 3), st.integers(1, 12))
def test_their_sum_is_the_growth_of_volume(units: int, rows: int, steps: int) -> None:
    """Exactly, in finite time: the mean of log |det J|, the sum of log singular values."""
    model, x = unrolled.GRU(2, units), torch.randn(steps, rows, 2)
    found, values = lyapunov(model, x)["l0"], jacobians(model, x)["l0"].log10[0]
    assert found.exponents.shape == (rows, units)
    assert found.growth.shape == (steps, rows, units)
    volume = values.sum(-1).mean(0) * math.log(10)
    torch.testing.assert_close(found.exponents.sum(-1), volume, rtol=1e-8, atol=1e-9)
    assert (found.exponents.diff(dim=-1) <= 0).all()


@pytest.mark.parametrize(
    "model",
    [
        unrolled.LSTM(2, 3, num_layers=2, bidirectional=True),
        Own(nn.LSTM(2, 3)),
        Ragged(unrolled.LSTM(2, 3, bidirectional=True), lengths=[9, 4, 1]),
    ],
    ids=["stacked and bidirectional", "torch's in a user's model", "ragged"],
)
def test_of_any_model(model: nn.Module) -> None:
    """Volume again, for every strand; and fewer exponents are the first of all."""
    x = torch.randn(9, 3, 2)
    found, values = lyapunov(model, x), jacobians(model, x)
    for name, own in found.strands.items():
        volume = values[name].log10[0].sum(-1) * math.log(10)
        torch.testing.assert_close(own.growth.sum(-1), volume, equal_nan=True)
        torch.testing.assert_close(own.exponents.sum(-1), volume.nanmean(0))
        assert own.states == {"h": 3, "c": 3}
        assert own.reverse == name.endswith("reverse")
    assert {tuple(own.exponents.shape) for own in lyapunov(model, x, count=2).strands.values()} == {
        (3, 2)
    }


def test_the_first_exponents_are_those_of_all() -> None:
    layer, x = unrolled.RNN(2, 6), torch.randn(300, 1, 2)
    every = lyapunov(layer, x, transient=50)["l0"].exponents
    torch.testing.assert_close(
        lyapunov(layer, x, count=2, transient=50)["l0"].exponents, every[:, :2], rtol=0, atol=0.02
    )


def test_a_row_that_begins_anew_has_its_transient_again() -> None:
    reset = torch.zeros(6, 2, dtype=torch.bool)
    reset[3, 0] = True
    model = Ragged(unrolled.GRU(2, 3), reset=reset)
    known = ~lyapunov(model, torch.randn(6, 2, 2), transient=1)["rnn.l0"].growth[..., 0].isnan()
    assert known[:, 0].tolist() == [False, True, True, False, True, True]
    assert known[:, 1].tolist() == [False, True, True, True, True, True]


def test_after_a_reset_all_is_as_at_the_beginning() -> None:
    reset = torch.zeros(6, 1, dtype=torch.bool)
    reset[2, 0] = True
    layer, x = unrolled.GRU(2, 3), torch.randn(6, 1, 2)
    whole = lyapunov(Ragged(layer, reset=reset), x)["rnn.l0"].growth[2:].sum(0)
    fresh = lyapunov(layer, x[2:])["l0"].growth.sum(0)
    torch.testing.assert_close(whole.sort(-1).values, fresh.sort(-1).values)


def test_a_direction_that_is_lost_is_minus_infinity() -> None:
    found = lyapunov(linear(torch.diag(torch.tensor([0.5, 0.0]))), torch.zeros(9, 1, 2).double())
    assert found["l0"].exponents[0, 1] < -4  # rounding, or nothing at all
    nothing = lyapunov(linear(torch.zeros(2, 2)), torch.zeros(9, 1, 2).double())["l0"]
    assert nothing.largest == -math.inf


def test_steps_that_overflow_do_not_count() -> None:
    layer = linear(torch.eye(2, dtype=torch.float64) * 1e200)
    found = lyapunov(layer, torch.ones(9, 1, 2, dtype=torch.float64))["l0"]
    assert found.largest == pytest.approx(math.log(1e200))
    assert found.growth[-1].isnan().all()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"count": 5}, ValueError, "count must be at most the 4 units of a state, got 5"),
        ({"count": 0}, ValueError, "count must be 1 or more, got 0"),
        ({"count": 1.5}, TypeError, "count must be a whole number, got float"),
        ({"transient": 5}, ValueError, "transient must be less than the 5 steps, got 5"),
        ({"transient": -1}, ValueError, "transient must be 0 or more, got -1"),
        ({"transient": None}, TypeError, "transient must be a whole number, got NoneType"),
        ({"memory": "1kB"}, ValueError, "5 steps need .* and memory is 1 kB; give fewer rows"),
    ],
)
def test_bad_input_is_refused(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=f"^lyapunov: {message}"):
        lyapunov(unrolled.GRU(3, 4), torch.randn(5, 1, 3), **arguments)
