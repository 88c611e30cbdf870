"""The figures of half-lives and saturation show their numbers, and say what they mean."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

import unrolled
from unrolled.lens import half_life, saturation, trace

from .reading import by_matplotlib, by_plotly


def squares(y: Tensor) -> Tensor:
    return y.square().sum((1, 2))


def test_memory_shows_points_fit_and_verdict() -> None:
    torch.manual_seed(0)
    found = half_life(unrolled.LSTM(3, 5, num_layers=2), torch.randn(30, 2, 3), squares)
    picture = found.picture("l1")
    lags, shares = picture.panels
    points, fit = lags.lines
    own = found["l1"]
    np.testing.assert_array_equal(points.y, own.by_lag)
    np.testing.assert_array_equal(fit.y, own.line)
    assert (points.style, fit.style) == ("points", "solid")
    half, tenth, hundredth = own.decay.half, own.decay.tenth, own.decay.hundredth
    assert points.name == f"l1: ½ at lag {half}, 1/10 at lag {tenth}, 1/100 at lag {hundredth}"
    assert fit.name == f"halves every {own.half_life:.2g} steps, R² {own.r_squared:.3f}"
    last = "l1: vanishing over 29 lags; at the last one nothing to speak of is left."
    assert picture.subtitle == last
    assert [label for _, label in shares.y.ticks] == list(own.gates)
    assert list(shares.lines[1].x) == [gate.high for gate in own.gates.values()]
    everything = found.picture()
    assert everything.subtitle == "l0: vanishing; l1: vanishing."
    labels = [label for _, label in everything.panels[1].y.ticks]
    assert labels == [f"{strand} {gate}" for strand in ("l0", "l1") for gate in own.gates]
    for drawn in (by_matplotlib(everything), by_plotly(everything)):
        assert len(drawn.panels) == 2
    with pytest.raises(ValueError, match=r"^strand must be one of l0, l1; got 'l2'$"):
        found.plot("l2")


def test_saturation_shows_the_share_of_every_gate() -> None:
    layer = unrolled.GRU(3, 5)
    with torch.no_grad():
        layer.get_parameter("bias_ih_l0")[5:10] = 50.0  # z, always open
    found = saturation(trace(layer, torch.randn(6, 2, 3)))
    (panel,) = found.picture().panels
    gates = [label for _, label in panel.y.ticks]
    low, high, stuck = (line.x[gates.index("z")] for line in panel.lines)
    assert (low, high, stuck) == (0, 1, 1)
    assert panel.lines[0].name.startswith("below 0.05")
    assert panel.y.low > panel.y.high  # the first gate on top
    for drawn in (by_matplotlib(found.picture("l0")), by_plotly(found.picture("l0"))):
        assert drawn.ranges[0][0] == (-0.03, 1.03)
    with pytest.raises(ValueError, match=r"^strand must be one of l0; got 'l1'$"):
        found.figure("l1")


def test_a_memory_that_does_not_end_is_drawn() -> None:
    layer = unrolled.RNN(1, 1, nonlinearity="identity", bias=False)
    with torch.no_grad():
        for weight in layer.parameters():
            weight.fill_(1.0)
    picture = half_life(layer, torch.ones(5, 1, 1), lambda y: y.sum((1, 2))).picture()
    assert [line.name for line in picture.panels[0].lines] == [
        "l0: more than ½ over 4 lags",
        "is the same at every lag, R² 1.000",
    ]
    assert not picture.panels[1].lines[0].x.size  # nothing is squashed
    for drawn in (by_matplotlib(picture), by_plotly(picture)):
        assert len(drawn.panels) == 2


def test_a_line_is_drawn_only_where_it_fits() -> None:
    torch.manual_seed(0)
    layer = unrolled.LSTM(3, 5, chrono=100)
    found = half_life(layer, torch.randn(60, 1, 3), lambda y: y.square().sum((1, 2)))
    assert found["l0"].line is None
    (points,) = found.picture().panels[0].lines
    assert points.name.startswith("l0: ½ at lag")
    for drawn in (by_matplotlib(found.picture()), by_plotly(found.picture())):
        assert len(drawn.panels) == 2
