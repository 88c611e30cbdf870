"""The figures of Jacobians and spectra show their numbers, and say what they mean."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import unrolled
from unrolled.lens import jacobians, lyapunov

from .reading import by_matplotlib, by_plotly


def a_chain(factor: float) -> unrolled.RNN:
    """Of h_t = u h_{t−1} + x_t, every Jacobian is u."""
    layer = unrolled.RNN(1, 1, nonlinearity="relu", bias=False)
    with torch.no_grad():
        for weight, value in zip(layer.parameters(), (1.0, factor), strict=True):
            weight.fill_(value)
    return layer


def test_singular_values_at_every_step_and_by_rank() -> None:
    found = jacobians(unrolled.LSTM(3, 4), torch.randn(9, 2, 3))
    picture = found.picture(row=1)
    steps, ranks = picture.panels
    values = found["l0"].singular_values()[:, 1]
    assert [line.name for line in steps.lines] == ["largest", "median", "smallest"]
    for line, place in zip(steps.lines, (0, 3, 7), strict=True):
        np.testing.assert_allclose(line.y, values[:, place])
    np.testing.assert_allclose(ranks.lines[0].y, values.log().mean(0).exp())
    assert steps.title == "Singular values of ∂s_{t}/∂s_{t−1}"
    assert steps.y.log
    assert [mark.at for mark in steps.marks] == [1.0]
    for drawn in (by_matplotlib(picture), by_plotly(picture)):
        assert [name for name, _ in drawn.lines][:3] == ["largest", "median", "smallest"]
        low, high = drawn.ranges[0][1]
        assert low <= min(steps.lines[2].y)
        assert high > 1.0


def test_over_several_lags_the_largest_decays() -> None:
    found = jacobians(a_chain(0.5), torch.ones(9, 1, 1), lags=[1, 4])
    picture = found.picture(lag=4)
    steps, lags = picture.panels
    assert list(lags.lines[1].x) == [1, 4]
    for line in lags.lines:  # the mean and the extremes are the same
        np.testing.assert_allclose(line.y, [0.5, 0.5**4])
    assert steps.title == "Singular values of ∂s_{t}/∂s_{t−4}"
    np.testing.assert_array_equal(np.isnan(steps.lines[0].y), [True] * 3 + [False] * 6)
    assert picture.subtitle.startswith(
        "l0: the largest singular value of ∂s_{t}/∂s_{t−4} is 0.0625"
    )
    assert lags.y.title == "‖∂s_{t}/∂s_{t−L}‖_{2}"
    for drawn in (by_matplotlib(picture), by_plotly(picture)):
        assert len(drawn.lines) == 6


@pytest.mark.parametrize(
    ("factor", "words"),
    [
        (0.5, "a gradient halves every 1 steps."),
        (2.0, "a gradient doubles every 1 steps."),
        (1.0, "a gradient neither grows nor shrinks."),
    ],
)
def test_the_largest_exponent_in_words(factor: float, words: str) -> None:
    picture = lyapunov(a_chain(factor), torch.ones(6, 1, 1)).picture()
    spectrum, settling = picture.panels
    np.testing.assert_allclose(spectrum.lines[0].y, [math.log(factor)], atol=1e-12)
    np.testing.assert_allclose(settling.lines[0].y, [math.log(factor)] * 6, atol=1e-12)
    assert picture.subtitle.endswith(words)
    assert spectrum.y.low < 0 < spectrum.y.high
    assert "nats per step" in spectrum.y.title


def test_the_growth_so_far_ends_at_the_exponent() -> None:
    for layer in (unrolled.GRU(3, 5), unrolled.GRU(3, 5, bidirectional=True)):
        found = lyapunov(layer, torch.randn(9, 2, 3))
        last = list(found.strands)[-1]
        spectrum, settling = found.picture(last, row=1).panels
        assert settling.lines[0].y[-1] == pytest.approx(spectrum.lines[0].y[0])
        first = found[last].growth[-1 if "reverse" in last else 0, 1, 0]
        assert settling.lines[0].y[0] == pytest.approx(float(first))


def test_lost_directions_are_counted_not_drawn() -> None:
    """A relu that is shut passes nothing."""
    layer = unrolled.RNN(1, 3, nonlinearity="relu")
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.fill_(-1.0)
    picture = lyapunov(layer, torch.ones(4, 1, 1)).picture()
    assert "no direction is kept. 3 of 3 directions are lost in a single step." in picture.subtitle
    assert np.isnan(picture.panels[0].lines[0].y).all()
    for drawn in (by_matplotlib(picture), by_plotly(picture)):
        assert len(drawn.panels) == 2


def test_what_does_not_exist_is_refused() -> None:
    found = jacobians(unrolled.RNN(3, 5), torch.randn(7, 2, 3), lags=[1, 3])
    with pytest.raises(ValueError, match=r"^lag must be one of 1, 3; got 2$"):
        found.plot(lag=2)
    with pytest.raises(ValueError, match=r"^strand must be one of l0; got 'l1'$"):
        found.plot("l1")
    with pytest.raises(ValueError, match=r"^row must lie between 0 and 1, the last; got 2$"):
        lyapunov(unrolled.RNN(3, 5), torch.randn(7, 2, 3)).figure(row=2)
