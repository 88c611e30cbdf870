# ruff: noqa: N805 - a step has no self
"""A strand's steps are linked as they ran, and their Jacobians are autograd's."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import unrolled
from tests.lens.brute_force import Ragged
from unrolled.cells import SLSTM, Cell, MinGRU, sigmoid, tanh
from unrolled.lens.chain import Chain
from unrolled.lens.recording import recording


def chain(model: nn.Module, x: Tensor, name: str) -> Chain:
    with recording(model, "test", graph=False) as recorder:
        model(x)
    return Chain(recorder.strands[name], "test")


def test_a_step_is_differentiated_as_the_layer_is() -> None:
    """Independent of any recording: the layer itself, fed one step at a time."""
    layer = unrolled.LSTM(3, 5, dtype=torch.float64)
    x = torch.randn(4, 2, 3, dtype=torch.float64)
    found = chain(layer, x, "l0").jacobians(0, 4, block=3)
    state = torch.zeros(2, 10, dtype=torch.float64)

    def advance(state: Tensor) -> Tensor:
        h, c = state[:, :5], state[:, 5:]
        _, (h, c) = layer(x[t : t + 1], (h.unsqueeze(0), c.unsqueeze(0)))
        return torch.cat([h[0], c[0]], dim=-1)

    for t in range(4):
        whole = torch.autograd.functional.jacobian(  # type: ignore[no-untyped-call]
            advance, state
        )
        expected = torch.stack([whole[n, :, n] for n in range(2)])
        torch.testing.assert_close(found[t], expected, rtol=1e-9, atol=1e-12)
        state = advance(state).detach()


class Odd(Cell):
    """Two states, of which the second is no gate's; a weight for each unit, and x itself."""

    def step(W: Any, U: Any, V: Any, x: Any, h: Any, m: Any) -> Any:
        a = sigmoid(W.a(x) + U.a(h * m))
        m = a * m + (1 - a) * tanh(V.p * h + x)
        return tanh(m - h), m


OPTIONS = [
    unrolled.Recurrent(Odd, 5, 5),
    unrolled.GRU(5, 6, layer_norm=True),
    unrolled.LSTM(5, 6, proj_size=2, zoneout=0.3, cell_clip=0.5),
    unrolled.Recurrent(SLSTM, 5, 6, heads=2),
    unrolled.Recurrent(MinGRU, 5, 6),
]


@pytest.mark.parametrize("layer", OPTIONS, ids=repr)
def test_pushing_is_multiplying(layer: nn.Module) -> None:
    """jvp and vjp agree, for own cells and options; in float64 although the layer is not."""
    own = chain(layer, torch.randn(3, 2, 5), "l0")
    tangents = torch.randn(2, own.size, 4, dtype=torch.float64)
    pushed = own.push(2, tangents)
    assert pushed.dtype == torch.float64
    torch.testing.assert_close(pushed, own.jacobians(2, 3, block=1)[0] @ tangents)


def test_steps_are_linked_but_for_resets() -> None:
    reset = torch.zeros(6, 2, dtype=torch.bool)
    reset[0, 0] = reset[3, 0] = reset[5, 1] = True
    model = Ragged(unrolled.GRU(3, 4, bidirectional=True), reset=reset)
    x = torch.randn(6, 2, 3)
    forward, backward = (chain(model, x, name) for name in ("rnn.l0", "rnn.l0_reverse"))
    assert forward.times == list(range(6))
    assert forward.linked[:, 0].tolist() == [False, True, True, False, True, True]
    assert forward.linked[:, 1].tolist() == [False, True, True, True, True, False]
    # backwards the cut is between the same two steps: the one that is taken second begins anew
    assert backward.times == [5, 4, 3, 2, 1, 0]
    assert backward.linked[:, 0].tolist() == [False, True, True, False, True, True]
    assert backward.linked[:, 1].tolist() == [False, False, True, True, True, True]


def test_rows_run_until_they_end_or_break() -> None:
    x = torch.randn(4, 3, 3)
    own = chain(Ragged(unrolled.GRU(3, 4), lengths=[4, 2, 0]), x, "rnn.l0")
    assert own.running.sum(0).tolist() == [4, 2, 0]
    assert (own.jacobians(0, 4, block=4)[~own.running] == 0).all()
    x[2, 0] = float("nan")
    assert chain(unrolled.GRU(3, 4), x, "l0").running.sum(0).tolist() == [2, 4, 4]


def test_calls_are_linked_where_states_are_handed_on() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = unrolled.GRU(3, 4)

        def forward(self, x: Tensor) -> Tensor:
            _, h = self.rnn(x[:2])
            _, h = self.rnn(x[2:4], h)
            y: Tensor = self.rnn(x[4:])[0]
            return y

    own = chain(Twice(), torch.randn(6, 2, 3), "rnn.l0")
    assert own.linked.all(-1).tolist() == [False, True, True, True, False, True]


def test_calls_of_different_rows_are_refused() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = unrolled.GRU(3, 4)

        def forward(self, x: Tensor) -> Tensor:
            self.rnn(x)
            y: Tensor = self.rnn(x[:, :1])[0]
            return y

    with pytest.raises(ValueError, match=r"^test: every call of rnn.l0 must have .* got 2 and 1$"):
        chain(Twice(), torch.randn(2, 2, 3), "rnn.l0")
