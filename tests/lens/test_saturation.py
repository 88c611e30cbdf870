"""Saturation is counted for what the equations squash, over the steps that exist."""

from __future__ import annotations

import math

import pytest
import torch

import unrolled
from unrolled.cells import FastGRNN
from unrolled.lens import saturation, trace


def test_every_sigmoid_and_tanh_is_found() -> None:
    x = torch.randn(5, 2, 3)
    assert list(saturation(trace(unrolled.LSTM(3, 4), x))["l0"]) == ["o", "f", "i", "g", "tanh(c)"]
    assert list(saturation(trace(unrolled.GRU(3, 4), x))["l0"]) == ["z", "r", "n"]
    assert list(saturation(trace(unrolled.RNN(3, 4), x))["l0"]) == ["h"]
    assert list(saturation(trace(unrolled.RNN(3, 4, nonlinearity="relu"), x))["l0"]) == []
    clipped = unrolled.LSTM(3, 4, cell_clip=1.0, recurrent_activation="relu", proj_size=2)
    assert list(saturation(trace(clipped, x))["l0"]) == ["g", "tanh(clipped_c)"]


def test_a_sigmoid_of_weights_alone_is_no_gate() -> None:
    found = saturation(trace(unrolled.Recurrent(FastGRNN, 3, 4), torch.randn(5, 2, 3)))
    assert list(found["l0"]) == ["z", "n"]


def test_shares_are_those_of_the_values() -> None:
    """Against counts by hand, with gates driven far to both sides."""
    layer = unrolled.LSTM(3, 7, num_layers=2, bidirectional=True)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(12)
    run = trace(layer, torch.randn(11, 2, 3))
    found = saturation(run)
    assert found.keys() == {"l0", "l0_reverse", "l1", "l1_reverse"}
    for name, gates in found.items():
        strand = run[name]
        values = {**strand.gates, "tanh(c)": strand.states["c"].tanh()}
        for gate, got in gates.items():
            sigmoid = gate in "ifo"
            assert got.function == ("sigmoid" if sigmoid else "tanh")
            low = values[gate] < (0.05 if sigmoid else -0.97)
            high = values[gate] > (0.95 if sigmoid else 0.97)
            assert got.low == pytest.approx(low.float().mean().item())
            assert got.high == pytest.approx(high.float().mean().item())
            assert got.share == pytest.approx((low | high).float().mean().item())
            stuck = (low | high).flatten(0, 1).float().mean(0) >= 0.95
            assert got.always == pytest.approx(stuck.float().mean().item())
        assert 0 < gates["f"].share < 1


def test_units_that_are_stuck() -> None:
    layer = unrolled.LSTM(3, 4)
    with torch.no_grad():
        layer.get_parameter("bias_ih_l0")[4:8] = torch.tensor([20.0, -20.0, 0.0, 0.0])
    forget = saturation(trace(layer, torch.randn(9, 2, 3)))["l0"]["f"]
    assert (forget.low, forget.high, forget.always) == (0.25, 0.25, 0.5)


def test_steps_after_the_end_do_not_count() -> None:
    """Their values may be anything: here they would be gates of 1/2."""
    layer = unrolled.GRU(3, 4)
    with torch.no_grad():
        layer.get_parameter("weight_ih_l0").zero_()
        layer.get_parameter("weight_ih_l0")[:, 0] = 40
    x = torch.ones(6, 3, 3)

    class Ragged(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = layer

        def forward(self, x: torch.Tensor, lengths: list[int]) -> torch.Tensor:
            output: torch.Tensor = self.rnn(x, lengths=lengths)[0]
            return output

    found = saturation(trace(Ragged(), (x, [6, 1, 0])))["rnn.l0"]
    assert found["z"].high == found["z"].always == 1
    nothing = saturation(trace(Ragged(), (x, [0, 0, 0])))["rnn.l0"]
    assert math.isnan(nothing["z"].share)
    assert math.isnan(nothing["z"].always)
