"""What a layer returns beside its output: right at every step, and differentiable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

import unrolled
from unrolled import GRU, LSTM, RNN, Recurrent, cells

T, N, X, H = 6, 4, 3, 5
LENGTHS = [6, 0, 2, 5]

LAYERS: dict[str, Callable[..., Any]] = {
    "lstm": lambda **options: LSTM(X, H, **options),
    "gru": lambda **options: GRU(X, H, **options),
    "projected": lambda **options: LSTM(X, H, proj_size=2, **options),
    "slstm": lambda **options: Recurrent(cells.SLSTM, X, H, **options),
    "normalised": lambda **options: Recurrent(cells.GRU, X, H, layer_norm=True, **options),
}
each_layer = pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)


@each_layer
@pytest.mark.parametrize("batch_first", [False, True], ids=["time_first", "batch_first"])
def test_states_are_those_of_shorter_sequences(make: Callable[..., Any], batch_first: bool) -> None:
    """The state after step t is the last state of the first t + 1 steps."""
    layer = make(num_layers=2, batch_first=batch_first)
    x = torch.randn(N, T, X) if batch_first else torch.randn(T, N, X)
    output, _, found = layer(x, return_states=True)
    assert found.gates == {}
    for t in range(T):
        _, states = layer(x[:, : t + 1] if batch_first else x[: t + 1])
        states = states if isinstance(states, tuple) else (states,)
        for sequences, state in zip(found.states.values(), states, strict=True):
            for of_layer, expected in zip(sequences, state, strict=True):
                at = of_layer[:, t] if batch_first else of_layer[t]
                torch.testing.assert_close(at, expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(next(iter(found.states.values()))[-1], output)
    assert torch.equal(layer(x)[0], output), "the output is the plain call's, to the bit"


def test_gates_of_an_lstm_make_its_states() -> None:
    layer = LSTM(X, H)
    _, _, (states, gates) = layer(torch.randn(T, N, X), return_states=True, return_gates=True)
    i, f, g, o = (gates[name][0] for name in "ifgo")
    c, before = states["c"][0], torch.cat([torch.zeros(1, N, H), states["c"][0][:-1]])
    torch.testing.assert_close(c, f * before + i * g)
    torch.testing.assert_close(states["h"][0], o * c.tanh())


@each_layer
@pytest.mark.parametrize("directions", [1, 2])
def test_against_the_reference(make: Callable[..., Any], directions: int) -> None:
    """Values and gradients, with ragged rows, resets, and only some of what is returned used."""
    layer = make(bidirectional=directions == 2)
    x, reset = torch.randn(T, N, X, requires_grad=True), torch.rand(T, N) < 0.3
    weight = torch.randn(T, N, 1)

    def run() -> tuple[list[Tensor], list[Tensor]]:
        output, _, (states, gates) = layer(
            x, lengths=LENGTHS, reset=reset, return_states=True, return_gates=True
        )
        found = [s for of_layers in (*states.values(), *gates.values()) for s in of_layers]
        loss = (found[1].sin() * weight).sum() + (found[-1] ** 2).sum() + output[-1].sum()
        gradients = torch.autograd.grad(loss, [x, *layer.parameters()], allow_unused=True)
        zeros = [torch.zeros_like(leaf) for leaf in (x, *layer.parameters())]
        return found, [z if g is None else g for g, z in zip(gradients, zeros, strict=True)]

    values, gradients = run()
    with unrolled.using("reference"):
        expected_values, expected_gradients = run()
    for a, b in zip([*values, *gradients], [*expected_values, *expected_gradients], strict=True):
        assert (a - b).norm() <= 1e-4 * b.norm() + 1e-6
    for sequence in values:
        for row, length in enumerate(LENGTHS):
            assert not sequence[length:, row].any(), "a step that is not there leaves zeros"


def test_second_derivatives() -> None:
    layer = GRU(X, 2).double()
    x = torch.randn(3, 1, X, dtype=torch.float64, requires_grad=True)

    def gate(x: Tensor) -> Tensor:
        found: Tensor = layer(x, return_gates=True)[2].gates["z"][0]
        return found

    assert torch.autograd.gradgradcheck(gate, (x,))
    x32, layer32 = x.detach().float().requires_grad_(), layer.float()
    (first,) = torch.autograd.grad(gate_sum(layer32, x32), x32, create_graph=True)
    (second,) = torch.autograd.grad((first**2).sum(), x32)
    with unrolled.using("reference"):
        (first,) = torch.autograd.grad(gate_sum(layer32, x32), x32, create_graph=True)
        (expected,) = torch.autograd.grad((first**2).sum(), x32)
    torch.testing.assert_close(second, expected, rtol=1e-3, atol=1e-5)


def gate_sum(layer: GRU, x: Tensor) -> Tensor:
    found: Tensor = layer(x, return_gates=True)[2].gates["z"][0].sum()
    return found


def test_packed_and_unbatched() -> None:
    layer = LSTM(X, H)
    x = torch.randn(T, 3, X)
    packed = pack_padded_sequence(x, torch.tensor([2, 6, 4]), enforce_sorted=False)
    _, _, found = layer(packed, return_states=True)
    assert isinstance(found.states["c"][0], PackedSequence)
    padded, _ = pad_packed_sequence(found.states["c"][0])
    expected = layer(x, lengths=[2, 6, 4], return_states=True)[2].states["c"][0]
    torch.testing.assert_close(padded, expected)
    _, _, alone = layer(x[:, 1], return_states=True, return_gates=True)
    assert alone.gates["f"][0].shape == (T, H)
    torch.testing.assert_close(alone.states["c"][0], expected[:, 1])


def test_a_cell_of_one_state_and_no_gate() -> None:
    """Few steps without a gradient would go to torch's own layer, which returns no such thing."""
    layer = RNN(X, H, num_layers=2)
    with torch.no_grad():
        output, _, found = layer(torch.randn(2, N, X), return_states=True, return_gates=True)
    assert found.gates == {}
    assert [s.shape for s in found.states["h"]] == [(2, N, H)] * 2
    assert torch.equal(found.states["h"][1], output)


def test_checkpoints_give_way() -> None:
    """What is returned is on the tape, so there is one: the numbers are the same."""
    layer, x = LSTM(X, H), torch.randn(T, N, X)
    plain = layer(x, return_states=True)[2].states["c"][0]
    assert torch.equal(layer(x, return_states=True, checkpoint=2)[2].states["c"][0], plain)
