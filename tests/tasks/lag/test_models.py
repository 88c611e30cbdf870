"""Options reach the layer, and half-lives are those of known decays."""

import math
from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from unrolled import cells
from unrolled.errors import UserError
from unrolled.tasks.lag.decay import decay
from unrolled.tasks.lag.model import LagModel
from unrolled.tasks.lag.options import TASKS, LagOptions
from unrolled.tasks.lag.problems import problem
from unrolled.tasks.lag.variants import Variant

H, LAG = 12, 50


def model(cell: str, **common: Any) -> LagModel:
    options = LagOptions(cells=(cell,), **common)
    (one,) = options.variants()
    return LagModel(one, problem("copy", options), H, LAG)


def bias(found: LagModel, gate: str) -> Tensor:
    return found.layer.gate(f"W.{gate}.bias") + found.layer.gate(f"U.{gate}.bias")


def is_orthogonal(u: Tensor) -> bool:
    return torch.allclose(u @ u.T, torch.eye(H), atol=1e-5)


@pytest.mark.parametrize(
    ("cell", "common"), [("lstm+forget-bias=2.5", {}), ("lstm", {"forget_bias": 2.5})]
)
def test_forget_bias(cell: str, common: dict[str, Any]) -> None:
    found = model(cell, **common)
    assert torch.equal(bias(found, "f"), torch.full((H,), 2.5))
    assert not torch.equal(bias(found, "i"), torch.full((H,), 2.5))


@pytest.mark.parametrize(("cell", "common"), [("lstm+chrono", {}), ("lstm", {"chrono": True})])
def test_chrono_is_made_for_the_lag(cell: str, common: dict[str, Any]) -> None:
    torch.manual_seed(0)
    forget = bias(model(cell, **common), "f")
    assert forget.min() >= 0
    assert math.log(LAG - 1) / 2 < forget.max() <= math.log(LAG - 1)


def test_chrono_for_another_time() -> None:
    torch.manual_seed(0)
    assert bias(model("lstm+chrono=5"), "f").max() <= math.log(4)


@pytest.mark.parametrize(
    ("cell", "common"), [("rnn+orthogonal", {}), ("rnn", {"orthogonal": True})]
)
def test_orthogonal(cell: str, common: dict[str, Any]) -> None:
    assert is_orthogonal(model(cell, **common).layer.gate("U.h"))
    assert not is_orthogonal(model("rnn").layer.gate("U.h"))


def test_identity_and_relu() -> None:
    layer = model("rnn+identity+relu").layer
    assert torch.equal(layer.gate("U.h"), torch.eye(H))
    assert layer(torch.randn(5, 3, 9))[0].min() == 0


@pytest.mark.parametrize(
    ("cell", "common"), [("gru+layer-norm", {}), ("gru", {"layer_norm": True})]
)
def test_layer_norm(cell: str, common: dict[str, Any]) -> None:
    assert "gain_W_r" in str(model(cell, **common).layer.program)


def test_a_cells_own_option_comes_before_that_of_all() -> None:
    options = LagOptions(cells=("lstm", "lstm+chrono", "rnn"), forget_bias=1)
    plain, chrono, rnn = options.variants()
    assert plain.keywords(LAG) == {"forget_bias": 1}
    assert chrono.keywords(LAG) == {"chrono": LAG}
    assert rnn.keywords(LAG) == {}


@pytest.mark.parametrize("cell", [kind.__name__.lower() for kind in cells.CELLS])
def test_every_cell_can_be_trained(cell: str) -> None:
    for task in TASKS:
        options = LagOptions(cells=(cell,))
        (one,) = options.variants()
        asked = problem(task, options)
        found = LagModel(one, asked, H, LAG)
        x, target = asked.draw(8, 3, Generator().manual_seed(0))
        losses = asked.losses(found(x), target)
        assert losses.shape == target.shape
        torch.autograd.backward(losses.mean())


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(("factor", "expected"), [(0.5, 1), (0.5**0.25, 4), (1.0, None)])
def test_a_known_decay(task: str, factor: float, expected: int | None) -> None:
    """h_t = factor · h_{t−1} + …: the influence falls by that factor at every step."""
    asked = problem(task, LagOptions())
    found = LagModel(Variant("", cells.RNN, {"activation": "identity"}), asked, H, LAG)
    with torch.no_grad():
        found.layer.gate("U.h").copy_(factor * torch.eye(H))
    before = {name: value.clone() for name, value in found.state_dict().items()}
    measured = decay(found, asked, LAG, Generator().manual_seed(0))
    assert measured.half == expected
    assert measured.left == pytest.approx(factor**measured.lags, rel=1e-4)  # factor in float32
    assert measured.lags >= LAG - 2
    assert all(torch.equal(before[k], v) for k, v in found.state_dict().items())


def test_decay_sees_the_memory_that_is_not_the_output() -> None:
    """An LSTM whose gates are open keeps c for ever, whatever its output does."""
    torch.manual_seed(0)
    asked = problem("recall", LagOptions())
    found = LagModel(LagOptions(cells=("lstm+forget-bias=30",)).variants()[0], asked, H, LAG)
    with torch.no_grad():
        for gate in "ifgo":
            found.layer.gate(f"U.{gate}").zero_()
        found.layer.gate("W.f").zero_()
    measured = decay(found, asked, LAG, Generator().manual_seed(0))
    assert measured.hundredth is None
    assert measured.left > 0.1


def test_a_model_answers_at_every_step() -> None:
    options = LagOptions(cells=("gru",), word=2, every_step=True)
    (one,) = options.variants()
    asked = problem("copy", options)
    found = LagModel(one, asked, H, LAG)
    x, target = asked.draw(LAG, 3, Generator().manual_seed(0))
    given = found(x)
    assert given.shape == (LAG + 4, 3, 9)
    assert asked.losses(given, target).shape == target.shape == (LAG + 4, 3)
    measured = decay(found, asked, LAG, Generator().manual_seed(0))
    assert measured.lags == LAG + 1  # back from the letters' answers to the first step
    assert 0 < measured.left < 1


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"cells": ("rnn", "foo")}, "--cells: expected some of .*, got 'foo'"),
        ({"cells": ("",)}, "--cells: expected at least one, got none"),
        ({"cells": ("lstm+fast",)}, r"--cells: lstm\+fast: expected options of .*, got 'fast'"),
        ({"cells": ("lstm+relu=2",)}, "expected options of .*, got 'relu=2'"),
        ({"cells": ("lstm+chrono=2",)}, "chrono: expected a number greater than 2, got '2'"),
        ({"cells": ("lstm+forget-bias=x",)}, "forget-bias: expected a number, got 'x'"),
        ({"cells": ("lstm+forget-bias=nan",)}, "forget-bias: expected a number, got 'nan'"),
        ({"cells": ("lstm+chrono+forget-bias",)}, "set the same bias; give one"),
        ({"cells": ("rnn+chrono",)}, "rnn has no gate of memory"),
        ({"cells": ("rnn",), "chrono": True}, "--chrono: none of rnn has a gate of memory"),
        ({"chrono": True, "forget_bias": 1.0}, "set the same bias"),
        ({"tasks": ("sorting",)}, "--tasks: expected some of copy, adding, recall, got 'sorting'"),
        ({"lags": ("10,x",)}, "--lags: expected whole numbers from 2 to 10000, got 'x'"),
        ({"lags": (1,)}, "--lags: .* got '1'"),
        ({"lags": ("-5",)}, "--lags: .* got '-5'"),
        ({"lags": (10**5,)}, "--lags: .* got '100000'"),
        ({"hidden": 0}, "--hidden: expected a whole number from 1 to 4096, got 0"),
        ({"word": 0}, "--word: expected a whole number from 1"),
        ({"every_step": 1}, "--every-step: expected"),
        ({"ramp": 1.5}, "--ramp: expected"),
        ({"schedule": "step"}, "--schedule: expected .*cosine.*, got 'step'"),
        ({"stop_loss": -1.0}, "--stop-loss: expected a number from 0 to .*, got -1"),
        ({"batch": 0}, "--batch: expected a whole number from 1"),
        ({"updates": -1}, "--updates: expected a whole number from 0"),
        ({"seed": -1}, "--seed: expected a whole number from 0"),
        ({"clip": -1.0}, "--clip: expected a number from 0 to .*, got -1"),
        ({"lr": 0.0}, "--lr: expected a number above 0 to .*, got 0"),
        ({"lr": math.inf}, "--lr: expected a number above 0 to .*, got inf"),
        ({"minutes": 0.0}, "--minutes: expected"),
        ({"forget_bias": math.inf}, "--forget-bias: expected a number from .*, got inf"),
    ],
)
def test_bad_options(options: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError, match=line):
        LagOptions(**options)


def test_names_are_joined_by_commas_and_come_once() -> None:
    options = LagOptions(cells=("RNN,gru", "rnn"), lags=("50,10", 50), tasks=("copy,copy",))
    assert options.cells == ("rnn", "gru")
    assert options.lags == (10, 50)
    assert options.tasks == ("copy",)
