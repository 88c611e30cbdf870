"""Singular values are those of autograd's Jacobians, for every model and lag."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import unrolled
from tests.lens.brute_force import Own, Ragged, whole_jacobian
from unrolled.lens import jacobians

MODELS: dict[str, nn.Module] = {
    "stacked and bidirectional": unrolled.GRU(3, 5, num_layers=2, bidirectional=True),
    "torch's in a user's model": Own(nn.LSTM(3, 4, num_layers=2)),
    "ragged": Ragged(unrolled.LSTM(3, 3, bidirectional=True), lengths=[7, 4]),
}


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_singular_values_are_those_of_autograd(model: nn.Module) -> None:
    model.double()
    x = torch.randn(7, 2, 3, dtype=torch.float64)
    found = jacobians(model, x, lags=[1, 3], steps=[0, 3, 5])
    for name, own in found.strands.items():
        for lag in (1, 3):
            values = own.singular_values(lag)
            for row, t in enumerate(own.steps):
                k = t + lag if own.reverse else t - lag
                if not 0 <= k < 7:
                    continue
                expected = torch.linalg.svdvals(whole_jacobian(model, x, name, t, k))
                for n in range(2):
                    if "rnn" in name and n == 1 and max(t, k) >= 4:
                        assert values[row, n].isnan().all() or k == 4
                        continue
                    torch.testing.assert_close(values[row, n], expected[n], rtol=1e-8, atol=1e-13)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 9), st.integers(1, 3), st.integers(1, 5), st.data())
def test_blocks_change_nothing(steps: int, rows: int, units: int, data: st.DataObject) -> None:
    """As little memory as will do gives the same as plenty."""
    lags = sorted(data.draw(st.sets(st.integers(1, steps), min_size=1)))
    stride = data.draw(st.integers(1, steps))
    model = unrolled.GRU(2, units)
    x = torch.randn(steps, rows, 2)
    found = jacobians(model, x, lags=lags, steps=stride)["l0"]
    assert found.log10.shape == (len(lags), -(-steps // stride), rows, units)
    least = 1
    while True:
        try:
            tight = jacobians(model, x, lags=lags, steps=stride, memory=least)["l0"]
            break
        except ValueError:
            least = least * 5 // 4 + 1
    torch.testing.assert_close(tight.largest, found.largest, equal_nan=True)
    # A product knows its singular values to rounding of the largest.
    torch.testing.assert_close(
        _shares(tight.log10), _shares(found.log10), rtol=0, atol=1e-13, equal_nan=True
    )


def _shares(log10: Tensor) -> Tensor:
    """Of the largest; zero where they are not known."""
    largest = log10[..., :1]
    unknown = log10.isnan() & ~largest.isnan()
    return torch.where(unknown, 0, 10 ** (log10 - largest))


def test_a_linear_network_is_a_power_of_its_matrix() -> None:
    """Long products of any size: 2 ** 2000 and 0.01 ** 2000 are no numbers of float64."""
    for size in (2, 0.01):
        layer = unrolled.RNN(1, 3, nonlinearity="identity", bias=False)
        with torch.no_grad():
            layer.get_parameter("weight_hh_l0").copy_(size * nn.init.orthogonal_(torch.empty(3, 3)))
        found = jacobians(layer, torch.zeros(2000, 1, 1), lags=[1, 2000], steps=[-1])["l0"]
        expected = torch.full((3,), math.log10(size), dtype=torch.float64)
        torch.testing.assert_close(found.log10[0, 0, 0], expected, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(found.log10[1, 0, 0], 2000 * expected, rtol=1e-5, atol=1e-2)
        assert found.largest[1, 0, 0] == found.log10[1, 0, 0, 0]


def test_nothing_passes_a_reset() -> None:
    reset = torch.zeros(6, 2, dtype=torch.bool)
    reset[3, 0] = True
    model = Ragged(unrolled.GRU(3, 4, bidirectional=True), reset=reset)
    found = jacobians(model, torch.randn(6, 2, 3), lags=[1, 2])
    cut = found["rnn.l0"].singular_values(2)[..., 0] == 0
    assert cut[:, 0].tolist() == [False, False, False, True, True, False]
    assert not cut[:, 1].any()
    assert (found["rnn.l0_reverse"].singular_values(2)[..., 0] == 0)[:, 0].tolist() == [
        *[False, True, True, False, False, False]
    ]


def test_before_the_beginning_nothing_is_known() -> None:
    found = jacobians(unrolled.GRU(3, 4), torch.randn(5, 1, 3), lags=[1, 4])["l0"]
    assert found.largest.isnan()[:, :, 0].tolist() == [[False] * 5, [True] * 3 + [False] * 2]


def test_the_model_is_left_as_it_was() -> None:
    model = nn.Sequential(nn.GRU(3, 4)).train()
    jacobians(model[0], torch.randn(5, 1, 3))
    assert type(model[0]) is nn.GRU
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"lags": 0}, ValueError, "lags must be from 1 to the 5 steps, got 0"),
        ({"lags": [1, 6]}, ValueError, "lags must be from 1 to the 5 steps, got 6"),
        ({"lags": []}, ValueError, "lags must name at least one lag, got none"),
        ({"lags": [1.5]}, TypeError, "lags must be whole numbers, got float"),
        ({"lags": True}, TypeError, "lags must be whole numbers, got bool"),
        ({"steps": 0}, ValueError, "steps must be a stride of 1 or more, got 0"),
        ({"steps": [5]}, ValueError, "steps must be from 0 to 4, got 5"),
        ({"memory": "1kB"}, ValueError, "1 row of 4 units need 160 B for the result and .* 1 kB"),
    ],
)
def test_bad_input_is_refused(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=f"^jacobians: {message}"):
        jacobians(unrolled.GRU(3, 4), torch.randn(5, 1, 3), **arguments)


def test_an_unknown_lag_is_refused() -> None:
    found = jacobians(unrolled.GRU(3, 4), torch.randn(5, 1, 3), lags=[2, 3])["l0"]
    with pytest.raises(ValueError, match=r"^lag must be one of 2, 3, got 1$"):
        found.singular_values(1)


def test_numbers_that_overflow_are_not_known() -> None:
    layer = unrolled.RNN(1, 2, nonlinearity="relu", recurrent_init="identity")
    with torch.no_grad():
        layer.get_parameter("weight_hh_l0").mul_(1e9)
        layer.get_parameter("weight_ih_l0").fill_(1)
    values: Tensor = jacobians(layer, torch.ones(9, 1, 1))["l0"].largest[0, :, 0]
    assert values[1] == pytest.approx(9)
    assert values[-1].isnan()
