"""A trace holds what the layer itself gives out, and nothing of the model is changed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import unrolled
from unrolled.lens import trace


@pytest.mark.parametrize("bidirectional", [False, True])
def test_states_and_gates_are_those_that_the_kernels_expose(bidirectional: bool) -> None:
    layer = unrolled.LSTM(4, 5, num_layers=2, bidirectional=bidirectional)
    x, lengths = torch.randn(7, 3, 4), torch.tensor([7, 1, 4])

    class Ragged(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = layer

        def forward(self, x: Tensor) -> Tensor:
            output: Tensor = self.rnn(x, lengths=lengths)[0]
            return output

    output, _, sequences = layer(x, lengths=lengths, return_states=True, return_gates=True)
    found = trace(Ragged(), x)
    torch.testing.assert_close(found.output, output)
    directions = 1 + bidirectional
    assert len(found.strands) == 2 * directions
    for place, strand in enumerate(found.strands.values()):
        level, direction = divmod(place, directions)
        units = slice(5 * direction, 5 * direction + 5)
        known = {**sequences.states, **sequences.gates}
        assert set(strand.states) == {"h", "c"}
        assert set(strand.gates) == {"i", "f", "g", "o"}
        for name, values in {**strand.states, **strand.gates}.items():
            torch.testing.assert_close(values, known[name][level][..., units])
    running = torch.arange(7).unsqueeze(-1) < lengths
    torch.testing.assert_close(
        found["rnn.l0"].inputs * running.unsqueeze(-1), x * running.unsqueeze(-1)
    )


def test_every_cell_can_be_traced() -> None:
    x = torch.randn(4, 2, 3)
    for cell in unrolled.cells.BUILTIN:
        layer = unrolled.Recurrent(cell, 3, 3)
        found = trace(layer, x)["l0"]
        output = layer(x)[0]
        torch.testing.assert_close(next(iter(found.states.values())), output, rtol=1e-4, atol=1e-5)


def test_a_model_that_uses_no_layer_is_refused() -> None:
    class Idle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.GRU(2, 3)

        def forward(self, x: Tensor) -> Tensor:
            return x

    with pytest.raises(ValueError, match=r"^trace: the model took no step of any of its"):
        trace(Idle(), torch.randn(3, 1, 2))


def test_an_error_inside_leaves_the_model_as_it_was() -> None:
    model = nn.Sequential(nn.LSTM(2, 3), nn.Dropout())
    with pytest.raises(TypeError):
        trace(model, torch.randn(3, 1, 2))  # a Sequential gives a tuple to Dropout
    assert type(model[0]) is nn.LSTM
    assert model.training
    assert model[1].training
    assert "watch" not in vars(model[0])
