"""A look is the lens' influence and saturation, and leaves no trace."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import unrolled
from unrolled.lens.influence import influence
from unrolled.lens.saturation import saturation
from unrolled.lens.tracing import trace
from unrolled.training.probe.look import look

LAYERS: dict[str, Callable[[], nn.Module]] = {
    "rnn": lambda: unrolled.RNN(3, 5, num_layers=2),
    "gru": lambda: unrolled.GRU(3, 5),
    "both ways": lambda: unrolled.LSTM(3, 5, bidirectional=True),
    "torch.nn": lambda: nn.LSTM(3, 5, num_layers=2, dropout=0.4),
}


def squares(output: tuple[Tensor, object]) -> Tensor:
    return output[0].square().sum(-1)


@pytest.mark.parametrize("name", LAYERS)
def test_a_look_is_influence_and_saturation(name: str) -> None:
    torch.manual_seed(1)
    model = LAYERS[name]().double()
    x = torch.randn(9, 3, 3, dtype=torch.float64)
    found = look(model, lambda: squares(model(x)))
    shares = saturation(trace(model, x))
    whole = influence(model, x, lambda y: squares(y if isinstance(y, tuple) else (y, ())))
    assert list(found) == list(whole.strands)
    for strand, layer in found.items():
        one = whole[strand]
        matrix = next(iter(one.states.values()))  # [t, k, N]
        expected = (matrix[0] if one.reverse else matrix[-1].flip(0)).mean(-1)
        torch.testing.assert_close(
            torch.tensor(layer.influence, dtype=torch.float64), expected, rtol=1e-10, atol=0
        )
        assert layer.saturation == {k: (g.low, g.high) for k, g in shares[strand].items()}


def test_the_carried_state_counts() -> None:
    torch.manual_seed(2)
    model = unrolled.GRU(2, 4)
    x, state = torch.randn(6, 2, 2), 5 * torch.randn(1, 2, 4)
    with_state = look(model, lambda: squares(model(x, state)))["l0"].influence
    assert with_state != look(model, lambda: squares(model(x)))["l0"].influence
    given = influence(model, (x, state), lambda y: y.square().sum(-1), steps=[-1]).by_lag()
    assert with_state == pytest.approx(given.tolist(), rel=1e-5)


def halving() -> unrolled.RNN:
    """h_t = h_{t−1} / 2 + x_t: influence halves with every step."""
    model = unrolled.RNN(4, 4, nonlinearity="identity", bias=False).double()
    with torch.no_grad():
        model.get_parameter("weight_ih_l0").copy_(torch.eye(4))
        model.get_parameter("weight_hh_l0").copy_(torch.eye(4) / 2)
    return model


def test_half_life_and_reach_of_what_halves_with_every_step() -> None:
    model = halving()
    x = torch.randn(20, 2, 4, dtype=torch.float64)
    layer = look(model, lambda: squares(model(x)))["l0"]
    assert (layer.decay.half, layer.decay.tenth, layer.decay.hundredth) == (1, 4, 7)
    assert layer.decay.left == pytest.approx(0.5**19)
    assert layer.decay.half_life == pytest.approx(1)
    assert layer.reach == 7  # 1 - 2**-7 is the first above 0.99
    assert layer.saturation == {}


def test_without_decay_there_is_no_half_life() -> None:
    model = halving()
    with torch.no_grad():
        model.get_parameter("weight_hh_l0").copy_(torch.eye(4))
    x = torch.randn(8, 2, 4, dtype=torch.float64)
    layer = look(model, lambda: squares(model(x)))["l0"]
    assert layer.decay.half is None
    assert layer.decay.left == pytest.approx(1)
    assert layer.reach == 8


def test_a_loss_that_reaches_no_state_has_no_decay() -> None:
    model = halving()
    x = torch.randn(8, 2, 4, dtype=torch.float64, requires_grad=True)

    def losses() -> Tensor:
        model(x)
        return x.sum(-1)

    layer = look(model, losses)["l0"]
    assert layer.influence == (0.0,) * 8
    assert (layer.decay.lags, layer.decay.half, layer.reach) == (0, None, 1)


def test_a_look_leaves_no_trace() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5), nn.GRU(3, 4, 2, dropout=0.5)).train()
    x = torch.randn(7, 2, 3)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()

    def losses() -> Tensor:
        torch.rand(3)  # whatever the model draws
        return squares(model(x))

    look(model, losses)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(p.grad is None for p in model.parameters())
    assert all(module.training for module in model.modules())
    assert type(model[2]) is nn.GRU
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_what_cannot_be_looked_at() -> None:
    with pytest.raises(ValueError, match="recurrent layer"):
        look(nn.Linear(3, 3), lambda: torch.zeros(3, 1))
    model = unrolled.RNN(3, 3)
    with pytest.raises(ValueError, match="took no step"):
        look(model, lambda: torch.zeros(3, 1))
