# ruff: noqa: N805 - a step has no self
"""Influence is what brute-force differentiation finds, for every kind of model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import unrolled
from unrolled.cells import Cell, tanh
from unrolled.lens import influence, losses
from unrolled.lens.losses import BLOCK

from . import brute

TORCH: list[Callable[..., nn.RNNBase]] = [nn.RNN, nn.GRU, nn.LSTM]


def square(output: Tensor) -> Tensor:
    """One loss for each step."""
    return output.square().sum((1, 2))


def square_rows(output: Tensor) -> Tensor:
    """One loss for each step and row."""
    return output.square().sum(2)


class Tagger(nn.Module):
    """A user's model with a layer of torch.nn in it."""

    def __init__(self, make: Callable[..., nn.RNNBase]) -> None:
        super().__init__()
        self.embed = nn.Embedding(7, 3, dtype=torch.float64)
        self.drop = nn.Dropout(0.9)
        self.rnn = make(3, 5, num_layers=2, dtype=torch.float64)
        self.head = nn.Linear(5, 2, dtype=torch.float64)

    def forward(self, letters: Tensor) -> Tensor:
        output: Tensor = self.head(self.rnn(self.drop(self.embed(letters)))[0])
        return output


def same(found: Tensor, wanted: Tensor) -> bool:
    return torch.allclose(found, wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("make", TORCH)
@pytest.mark.parametrize("bidirectional", [False, True])
@settings(max_examples=6, deadline=None)
@given(steps=st.integers(1, 8), rows=st.integers(1, 3), layers=st.integers(1, 2))
def test_every_state_and_input_as_by_brute_force(
    make: Callable[..., nn.RNNBase], bidirectional: bool, steps: int, rows: int, layers: int
) -> None:
    torch.manual_seed(steps)
    layer = make(3, 5, num_layers=layers, bidirectional=bidirectional, dtype=torch.float64)
    x = torch.randn(steps, rows, 3, dtype=torch.float64)
    plain = brute.run(layer, x)
    for loss, per_row in ((square, False), (square_rows, True)):
        found = influence(layer, x, loss)
        losses = loss(plain.output)
        assert list(found.strands) == list(plain.states)
        for name, strand in found.strands.items():
            for place, matrix in enumerate(strand.states.values()):
                targets = [states[place] for states in plain.states[name]]
                assert same(matrix, brute.norms(losses, targets, per_row))
            assert same(strand.inputs, brute.norms(losses, plain.inputs[name], per_row))


@pytest.mark.parametrize("make", TORCH)
def test_a_users_model_in_evaluation_mode_and_left_as_it_was(
    make: Callable[..., nn.RNNBase],
) -> None:
    model = Tagger(make)
    model.drop.train()
    model.head.eval()
    letters = torch.randint(7, (6, 2))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = influence(model, letters, square)
    plain = brute.run(model.rnn, model.embed(letters).detach())
    states = [state[0] for state in plain.states["l1"]]
    assert list(found.strands) == ["rnn.l0", "rnn.l1"]
    assert same(found.matrix, brute.norms(square(model.head(plain.output)), states))
    assert type(model.rnn) is make
    assert model.drop.training
    assert not model.head.training
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


class Leaky(Cell):
    """A user's own cell: a leaky tanh unit."""

    def step(W: Any, U: Any, x: Any, h: Any) -> Any:
        return 0.9 * h + 0.1 * tanh(W.h(x) + U.h(h))


def test_the_matrix_is_zero_above_the_diagonal_of_a_causal_model() -> None:
    found = influence(unrolled.GRU(2, 3), torch.randn(9, 1, 2), square)
    assert found.causal
    assert not found.matrix.triu(1).any()
    assert (found.matrix.diagonal() > 0).all()


def test_a_loss_that_sees_later_steps_is_found_out() -> None:
    layer = unrolled.RNN(2, 3, dtype=torch.float64)
    x = torch.randn(BLOCK + 9, 1, 2, dtype=torch.float64)  # so that there are later blocks

    def backwards(output: Tensor) -> Tensor:
        return square(output).flip(0).cumsum(0).flip(0)

    found = influence(layer, x, backwards)
    assert not found.causal
    assert (found.matrix[0] > 0).all()


def test_blocks_of_losses_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(losses, "BLOCK", 16)  # brute force takes the third power of the steps
    layer = nn.LSTM(2, 3, dtype=torch.float64)
    x = torch.randn(2 * 16 + 3, 1, 2, dtype=torch.float64)
    plain = brute.run(layer, x)
    found = influence(layer, x, square)
    wanted = brute.norms(square(plain.output), [state[0] for state in plain.states["l0"]])
    assert found.causal
    assert same(found.matrix, wanted)


def test_windows_and_chosen_steps_are_parts_of_the_whole() -> None:
    layer, x = unrolled.GRU(2, 3, dtype=torch.float64), torch.randn(20, 2, 2, dtype=torch.float64)
    whole = influence(layer, x, square)
    part = influence(layer, x, square, steps=6, window=4)
    assert part.steps == (1, 7, 13, 19)
    for row, t in enumerate(part.steps):
        assert part.matrix[row, : max(0, t - 4)].isnan().all()
        assert torch.equal(part.matrix[row, max(0, t - 4) :], whole.matrix[t, max(0, t - 4) :])
    assert influence(layer, x, square, steps=[-1, 3]).steps == (3, 19)


def test_lengths_end_a_row() -> None:
    layer = unrolled.LSTM(2, 3, dtype=torch.float64)

    class Ragged(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = layer

        def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
            output: Tensor = self.rnn(x, lengths=lengths)[0]
            return output

    x = torch.randn(6, 2, 2, dtype=torch.float64)
    found = influence(Ragged(), (x, torch.tensor([6, 3])), square_rows)
    alone = influence(layer, x[:3, 1:], square_rows)
    assert same(found.matrix[:3, :3, 1], alone.matrix[..., 0])
    assert not found.matrix[3:, :, 1].any()


def test_a_single_loss_is_that_of_the_last_step() -> None:
    layer, x = unrolled.RNN(2, 3, dtype=torch.float64), torch.randn(5, 2, 2, dtype=torch.float64)
    found = influence(layer, x, lambda output: output[-1].square().sum())
    assert found.steps == (4,)
    assert same(found.matrix, influence(layer, x, square, steps=[-1]).matrix)


def test_by_lag_is_the_mean_over_diagonals() -> None:
    layer, x = unrolled.RNN(2, 3, bidirectional=True), torch.randn(7, 2, 2)
    found = influence(layer, x, square_rows)
    for name, sign in (("l0", -1), ("l0_reverse", 1)):
        matrix = found[name].states["h"]
        means = [matrix.diagonal(sign * lag).mean() for lag in range(7)]
        assert torch.allclose(found.by_lag(name), torch.stack(means))
    assert torch.equal(found.by_lag(), found.by_lag("l0"))


def test_lags_of_an_encoder_are_counted_from_its_end() -> None:
    class Translator(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = unrolled.RNN(2, 3, dtype=torch.float64)
            self.decoder = unrolled.RNN(2, 3, dtype=torch.float64)

        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            output: Tensor = self.decoder(y, self.encoder(x)[1])[0]
            return output

    x, y = torch.randn(2, 7, 1, 2, dtype=torch.float64)
    found = influence(Translator(), (x, y[:4]), square)
    assert found.matrix.shape == (4, 4)
    far = found["encoder.l0"].states["h"]
    assert far.shape == (4, 7)
    assert torch.allclose(found.by_lag("encoder.l0"), far.flip(1).mean(0))


def test_an_own_cell_decays_at_its_leak() -> None:
    layer = unrolled.Recurrent(Leaky(), 2, 3, dtype=torch.float64)
    with torch.no_grad():
        layer.get_parameter("weight_hh_l0").zero_()
    found = influence(
        layer, torch.randn(8, 1, 2, dtype=torch.float64), lambda output: output.sum((1, 2))
    )
    decay = found.by_lag()
    assert torch.allclose(decay, 3**0.5 * 0.9 ** torch.arange(8, dtype=torch.float64))


def test_a_module_that_is_called_step_by_step_goes_on_in_its_strand() -> None:
    class Loop(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = unrolled.GRU(2, 3, dtype=torch.float64)

        def forward(self, x: Tensor) -> Tensor:
            state, outputs = None, []
            for own in x:
                output, state = self.rnn(own.unsqueeze(0), state)
                outputs.append(output[0])
            return torch.stack(outputs)

    model, x = Loop(), torch.randn(6, 1, 2, dtype=torch.float64)
    found = influence(model, x, square)
    assert list(found.strands) == ["rnn.l0"]
    assert same(found.matrix, influence(model.rnn, x, square).matrix)


def test_memory_is_refused_before_it_is_taken() -> None:
    layer, x = unrolled.LSTM(2, 30), torch.randn(40, 2, 2)
    with pytest.raises(ValueError, match=r"^influence: 40 steps of 2 rows need .* is 100 kB; give"):
        influence(layer, x, square, memory="100kB")
    assert influence(layer, x, square, memory="2MB").matrix.shape == (40, 40)


@pytest.mark.parametrize(
    ("loss", "error", "message"),
    [
        (lambda y: 1.0, TypeError, "loss must give a tensor of real numbers, got float"),
        (lambda y: y.argmax(-1), TypeError, "real numbers, got torch.int64"),
        (lambda y: y, ValueError, r"\[T\] or \[T, N\], got shape \[5, 2, 3\]"),
        (lambda y: square(y)[:3], ValueError, r"each of the 5 steps, got \[3\]"),
        (lambda y: square_rows(y)[:, :1], ValueError, r"for N = 2 rows, got \[5, 1\]"),
    ],
)
def test_what_is_no_loss_is_refused(
    loss: Callable[[Tensor], Tensor], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=f"^influence: .*{message}"):
        influence(unrolled.RNN(2, 3), torch.randn(5, 2, 2), loss)


def test_a_loss_without_a_gradient_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^influence: loss does not depend on the model's layers"):
        influence(unrolled.RNN(2, 3), torch.randn(5, 2, 2), lambda output: square(output.detach()))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"steps": 0}, ValueError, "steps must be a stride of 1 or more, got 0"),
        ({"steps": [9]}, ValueError, "steps must be from 0 to 4, got 9"),
        ({"steps": [1.5]}, TypeError, "steps must be whole numbers, got float"),
        ({"steps": []}, ValueError, "steps must name at least one step"),
        ({"window": -1}, ValueError, "window must be 0 or more, got -1"),
        ({"window": "all"}, TypeError, "window must be a number of steps, got str"),
        ({"memory": "much"}, ValueError, "memory must be a size"),
    ],
)
def test_options_that_mean_nothing_are_refused(
    options: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=f"^influence: {message}"):
        influence(unrolled.RNN(2, 3), torch.randn(5, 2, 2), square, **options)  # type: ignore[arg-type]


def test_a_model_without_a_recurrent_layer_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^influence: model must have a recurrent layer"):
        influence(nn.Linear(2, 3), torch.randn(5, 2), square)
    with pytest.raises(ValueError, match="is a single step, not a layer"):
        influence(nn.Sequential(nn.LSTMCell(2, 3)), torch.randn(5, 2), square)
    with pytest.raises(TypeError, match=r"^influence: model must be a torch\.nn\.Module, got RNN"):
        influence(unrolled.RNN, torch.randn(5, 2), square)  # type: ignore[arg-type]
