"""Constructed cases get the half-life that they have, and the right verdict."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import unrolled
from tests.lens.brute_force import Own, Ragged
from tests.lens.test_verdict import RNN
from unrolled.cells import Cell, tanh
from unrolled.lens import Decay, decay_of_influence, half_life, influence
from unrolled.lens.half_life import StrandHalfLife, left_by_lag
from unrolled.lens.verdict import judge


def energy(y: Tensor) -> Tensor:
    return y.square().sum((1, 2))


def scaled(layer: nn.Module, name: str, by: float) -> nn.Module:
    with torch.no_grad():
        for own, parameter in layer.named_parameters():
            if own.startswith(name):
                parameter.mul_(by)
    return layer


def examine(layer: nn.Module, steps: int = 60) -> StrandHalfLife:
    torch.manual_seed(3)
    return half_life(layer, torch.randn(steps, 2, 4), energy)["l0"]


@pytest.mark.parametrize(("scale", "kind"), [(0.5, "vanishing"), (1, "stable"), (1.5, "exploding")])
def test_a_linear_network_changes_by_its_scale(scale: float, kind: str) -> None:
    """Whatever the losses' own size, which grows with the state."""
    layer = unrolled.RNN(4, 16, nonlinearity="identity", recurrent_init="orthogonal")
    found = examine(scaled(layer, "weight_hh", scale))
    assert found.verdict.kind == kind
    assert found.decay.fit.slope == pytest.approx(math.log(scale), abs=1e-4)
    assert found.growth == pytest.approx(math.log(scale), abs=1e-4)
    assert found.r_squared == pytest.approx(1, abs=1e-6)
    lags = torch.arange(60, dtype=torch.float64)
    assert found.line is not None
    torch.testing.assert_close(found.line, scale**lags, rtol=0.02, atol=0)
    torch.testing.assert_close(found.by_lag, scale**lags, rtol=0.02, atol=0)
    assert found.half_life == (pytest.approx(1, abs=1e-3) if scale < 1 else math.inf)
    assert found.decay.half == (1 if scale < 1 else None)
    assert found.decay.left == pytest.approx(scale**59, rel=0.02)


@pytest.mark.parametrize(("scale", "kind"), [(0.5, "vanishing"), (1, "stable"), (1.5, "exploding")])
def test_rectified_units_that_are_all_on(scale: float, kind: str) -> None:
    layer = unrolled.RNN(4, 16, nonlinearity="relu", recurrent_init="identity", bias=False)
    with torch.no_grad():
        layer.get_parameter("weight_ih_l0").abs_()
    scaled(layer, "weight_hh", scale)
    found = half_life(layer, torch.rand(60, 2, 4), energy)["l0"]
    assert found.verdict.kind == kind
    assert found.growth == pytest.approx(math.log(scale), abs=1e-4)
    if kind == "exploding":
        assert any("bounded, such as tanh" in tip for tip in found.verdict.advice)


@pytest.mark.parametrize(("bias", "kind"), [(-2, "vanishing"), (5, "stable")])
def test_a_forget_bias_decides(bias: float, kind: str) -> None:
    found = examine(unrolled.LSTM(4, 16, forget_bias=bias))
    assert found.verdict.kind == kind
    assert any("a bias of f near" in tip for tip in found.verdict.advice) == (bias < 0)
    assert found.gates["f"].high > 0.9 if bias > 0 else found.gates["f"].high == 0


MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[str, str]]] = {
    "RNN": (lambda: unrolled.RNN(4, 6), ("vanishing", "vanishing")),
    "LSTM": (lambda: unrolled.LSTM(4, 6), ("vanishing", "vanishing")),
    "a fast fall, then slowly": (lambda: unrolled.LSTM(4, 6, chrono=1000), ("stable", "stable")),
    "halves every 40 steps": (
        lambda: scaled(
            unrolled.RNN(4, 6, nonlinearity="identity", recurrent_init="orthogonal"),
            "weight_hh",
            0.5 ** (1 / 40),
        ),
        ("stable", "vanishing"),
    ),
    "keeps": (
        lambda: unrolled.RNN(4, 6, nonlinearity="identity", recurrent_init="orthogonal"),
        ("stable", "stable"),
    ),
    "explodes": (
        lambda: scaled(
            unrolled.RNN(4, 6, nonlinearity="identity", recurrent_init="orthogonal"),
            "weight_hh",
            1.02,
        ),
        ("stable", "exploding"),
    ),
}


def looked_at(model: nn.Module, x: Tensor, **options: Any) -> tuple[Tensor, Decay]:
    """What `half_life` judges by, without all that takes time besides."""
    found = influence(model, x, energy, steps=[-1], **options)
    by_lag = left_by_lag(found["l0"], found.steps)
    return by_lag, decay_of_influence(by_lag)


@pytest.mark.parametrize("name", MODELS)
def test_over_35_and_300_steps_a_model_is_judged_alike(name: str) -> None:
    """Of the loss of one sequence: lags that were reached stay, and the verdict moves forward."""
    torch.manual_seed(5)
    make, kinds = MODELS[name]
    model, x = make(), torch.randn(300, 1, 4)
    (some, short), (all_, long) = (looked_at(model, x, window=lags) for lags in (34, 299))
    assert [judge(replace(RNN, decay=decay)).kind for decay in (short, long)] == [*kinds]
    assert (short.lags, long.lags) == (34, 299)
    torch.testing.assert_close(all_[:35], some)
    for lag in ("half", "tenth", "hundredth", "grown"):
        first, later = getattr(short, lag), getattr(long, lag)
        assert later == first if first is not None else later is None or later > 34


def test_over_3000_steps_as_over_300() -> None:
    make, _ = MODELS["halves every 40 steps"]
    layer, x = make(), torch.randn(3000, 1, 4)
    for steps in (300, 3000):
        _, decay = looked_at(layer, x[:steps])
        assert decay.lags == steps - 1
        assert (decay.half, decay.tenth, decay.hundredth) == (40, 133, 266)
        assert decay.half_life == pytest.approx(40, rel=1e-3)


def test_half_precision_is_judged_as_float32_is() -> None:
    """Its smallest numbers are large, as norms go, and must not be taken for nothing."""
    layer = scaled(
        unrolled.RNN(4, 16, nonlinearity="identity", recurrent_init="orthogonal"), "weight_hh", 0.9
    )
    x = torch.randn(20, 2, 4)
    single = half_life(layer, x, energy)["l0"]
    half = half_life(layer.half(), x.half(), lambda y: energy(y.float()))["l0"]
    torch.testing.assert_close(half.by_lag, single.by_lag, rtol=0.02, atol=0)
    assert (half.decay.half, half.verdict.kind) == (single.decay.half, "stable")
    assert half.half_life == pytest.approx(single.half_life, rel=0.05)


@pytest.mark.parametrize("kind", [unrolled.LSTM, unrolled.GRU, unrolled.RNN])
def test_large_weights_saturate(kind: type[nn.Module]) -> None:
    found = examine(scaled(kind(4, 16), "weight_ih", 100))
    assert found.verdict.kind == "saturated"
    assert "layer_norm=True" in str(found.verdict)


def test_states_that_overflow_have_exploded() -> None:
    layer = unrolled.RNN(4, 8, nonlinearity="relu", recurrent_init="identity")
    with torch.no_grad():
        layer.get_parameter("weight_ih_l0").abs_()
    scaled(layer, "weight_hh", 1e3)
    found = half_life(layer, torch.rand(40, 1, 4), energy)["l0"]
    assert found.verdict.kind == "exploding"
    assert "no finite numbers from step" in str(found.verdict)


def test_the_points_are_influence_on_the_whole_state() -> None:
    """Against each loss's own row of the matrices of h and c."""
    model, x = unrolled.LSTM(4, 5, dtype=torch.float64), torch.randn(9, 2, 4, dtype=torch.float64)

    def rows(y: Tensor) -> Tensor:
        return y.square().sum(2)

    found, matrix = half_life(model, x, rows), influence(model, x, rows)["l0"].states
    whole = (matrix["h"].square() + matrix["c"].square()).sqrt()
    for lag in range(9):
        left = [whole[t, t - lag] / whole[t, t] for t in range(lag, 9)]
        assert float(found["l0"].by_lag[lag]) == pytest.approx(float(torch.stack(left).mean()))
    assert found.influence.steps == tuple(range(9))


def test_losses_that_see_their_own_step_not_at_all() -> None:
    """The first lag at which there is any influence is the measure."""
    layer = unrolled.RNN(4, 5, nonlinearity="identity", recurrent_init="identity")
    scaled(layer, "weight_hh", 0.5)

    def shifted(y: Tensor) -> Tensor:
        return torch.cat([torch.zeros(3), energy(y)[:-3]])

    found = half_life(layer, torch.randn(20, 1, 4), shifted)["l0"]
    expected = [0.0] * 3 + [0.5**lag for lag in range(17)]
    assert found.by_lag.tolist() == pytest.approx(expected, rel=1e-4)
    assert found.half_life == pytest.approx(1, abs=1e-3)


class Leaky(Cell):
    """A cell of a user's, without any declaration."""

    def step(W: Any, U: Any, x: Any, h: Any) -> Any:  # noqa: N805
        return 0.5 * h + 0.1 * tanh(W.a(x) + U.a(h))


@pytest.mark.parametrize(
    ("model", "names"),
    [
        (
            unrolled.GRU(4, 5, num_layers=2, bidirectional=True),
            ["l0", "l0_reverse", "l1", "l1_reverse"],
        ),
        (Own(nn.LSTM(4, 5, num_layers=2)), ["encoder.l0", "encoder.l1"]),
        (Ragged(unrolled.LSTM(4, 5), lengths=[12, 7]), ["rnn.l0"]),
        (unrolled.Recurrent(Leaky, 4, 5), ["l0"]),
    ],
    ids=["stacked and bidirectional", "torch's in a user's model", "ragged", "own cell"],
)
def test_every_layer_has_a_verdict(model: nn.Module, names: list[str]) -> None:
    found = half_life(model, torch.randn(12, 2, 4), energy)
    assert list(found.strands) == names
    for own in found.strands.values():
        assert own.by_lag.isfinite().all()
        assert math.isfinite(own.growth)
        assert own.verdict.kind in ("vanishing", "stable")
        assert own.gates
    assert len(str(found).splitlines()) == len(names)
    assert str(found).startswith(f"{names[0]} (")


def test_one_step_is_too_short_to_judge() -> None:
    found = half_life(unrolled.GRU(4, 5), torch.randn(1, 1, 4), energy)["l0"]
    assert found.verdict.kind == "unknown"
    assert math.isnan(found.half_life)


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^influence: steps must be from 0 to 4, got 9$"):
        half_life(unrolled.GRU(4, 5), torch.randn(5, 1, 4), energy, steps=[9])
    with pytest.raises(TypeError, match=r"^influence: loss must give a tensor"):
        half_life(unrolled.GRU(4, 5), torch.randn(5, 1, 4), lambda y: 3)  # type: ignore[arg-type, return-value]
