"""The figure of a trace shows every unit's value at every step."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import unrolled
from unrolled.lens import trace

from .reading import by_matplotlib, by_plotly


def test_every_state_and_gate_is_there() -> None:
    found = trace(unrolled.LSTM(3, 5), torch.randn(7, 2, 3))
    picture = found.picture(row=1)
    assert [panel.title for panel in picture.panels] == [
        "state h",
        "state c",
        "gate i",
        "gate f",
        "value g",
        "gate o",
    ]
    strand = found.strands["l0"]
    values = [*strand.states.values(), *strand.gates.values()]
    for panel, value in zip(picture.panels, values, strict=True):
        assert panel.heat is not None
        np.testing.assert_array_equal(panel.heat.values, value[:, 1].detach().double().T)
        assert panel.heat.colours.kind == ("share" if "gate" in panel.title else "signed")
        assert (panel.x.title, panel.y.title) == ("step t", "unit")
    assert picture.subtitle == "l0 (LSTM), row 1 (of 2), 7 steps."
    for drawn in (by_matplotlib(picture), by_plotly(picture)):
        assert len(drawn.heats) == 6
        assert drawn.limits[2] == (0.0, 1.0)


def test_what_does_not_exist_is_refused() -> None:
    found = trace(unrolled.RNN(3, 5, num_layers=2), torch.randn(7, 2, 3))
    with pytest.raises(ValueError, match=r"^strand must be one of l0, l1; got 'l2'$"):
        found.plot("l2")
    with pytest.raises(ValueError, match=r"^row must lie between 0 and 1, the last; got 2$"):
        found.figure(row=2)
