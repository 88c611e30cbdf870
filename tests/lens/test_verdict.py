"""Verdicts follow the numbers, and advice fits the cell."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from unrolled.lens.decay import Decay, decay_of_influence
from unrolled.lens.saturation import GateSaturation
from unrolled.lens.verdict import Evidence, judge

OPEN = GateSaturation("sigmoid", 0.0, 0.0, 0.0)


def exponential(slope: float) -> Decay:
    """Influence over 100 lags that changes by so many nats at each."""
    logs = slope * torch.arange(101, dtype=torch.float64)
    logs[0] = 0
    return decay_of_influence(logs.exp())


RNN = Evidence(
    decay=exponential(-0.01),
    growth=-0.01,
    gates={"h": GateSaturation("tanh", 0.0, 0.0, 0.0)},
    openness={},
    memory={},
    largest=1.0,
    spread=1.0,
    gated=False,
    sigmoid_state=False,
    bounded=True,
    has_bias=True,
    normalised=False,
)
LSTM = replace(
    RNN,
    gates={"f": OPEN, "i": OPEN, "o": OPEN, "g": RNN.gates["h"]},
    openness={"f": 0.9, "i": 0.5},
    memory={"f": 1, "i": -1},
    spread=0.1,
    gated=True,
)


def sloped(evidence: Evidence, slope: float) -> Evidence:
    return replace(evidence, decay=exponential(slope), growth=slope)


@pytest.mark.parametrize(
    ("slope", "kind"),
    [
        (-1.0, "vanishing"),
        (-math.inf, "vanishing"),
        (-0.0461, "vanishing"),  # 0.995 % left after 100 steps
        (-0.0460, "stable"),
        (0.0, "stable"),
        (0.0460, "stable"),
        (0.0461, "exploding"),
        (6.0, "exploding"),
        (math.nan, "unknown"),
    ],
)
def test_the_kind_follows_what_is_left(slope: float, kind: str) -> None:
    verdict = judge(sloped(LSTM, slope))
    assert verdict.kind == kind
    assert bool(verdict.advice) == (kind in ("vanishing", "exploding"))
    assert str(verdict).startswith(f"{kind}: ")


def test_reasons_have_the_numbers() -> None:
    said = str(judge(sloped(RNN, -math.log(2) / 4)))
    assert (
        "vanishing: Over the 100 lags looked at, influence is down to a half at lag 4, to a tenth "
        "at lag 14 and to a hundredth at lag 27; at the last one nothing to speak of is left. It "
        "halves every 4 steps (R² 1.00)."
    ) in said
    assert "-0.173 nats per step" in said
    grown = str(judge(sloped(RNN, math.log(2) / 10)))
    assert "influence has grown 100 times at lag 67 and is never down to a half" in grown
    assert "at the last one 1e+03 times as much arrives as at the start" in grown
    assert "It doubles every 10 steps (R² 1.00)" in grown
    slow = str(judge(sloped(RNN, -math.log(2) / 40)))
    assert "down to a half at lag 40 and never to a tenth; at the last one 18 % is left" in slow


def test_influence_that_comes_back_is_returning() -> None:
    shares = torch.tensor([1.0, 0.001, 0.001, 0.6, 0.001])
    verdict = judge(replace(RNN, decay=decay_of_influence(shares)))
    assert verdict.kind == "returning"
    assert "After lag 1 it comes back to 60 %." in str(verdict)
    assert verdict.advice == ()


def saturated(function: str, low: float, high: float) -> GateSaturation:
    return GateSaturation(function, low, high, 0.0)


def test_saturation_is_judged_before_vanishing_and_after_explosion() -> None:
    shut = replace(RNN, gates={"h": saturated("tanh", 0.3, 0.3)})
    for slope, kind in ((-1.0, "saturated"), (0.0, "saturated"), (1.0, "exploding")):
        verdict = judge(sloped(shut, slope))
        assert verdict.kind == kind
        assert "60 % of what the equations squash is saturated, most of all h" in str(verdict)
    assert judge(replace(shut, gates={"h": saturated("tanh", 0.2, 0.2)})).kind == "stable"


def test_a_gate_that_keeps_the_memory_is_not_saturated() -> None:
    """A forget gate that is wide open and an input gate that is shut are how it remembers."""
    kept, dropped = saturated("sigmoid", 0, 1), saturated("sigmoid", 1, 0)
    assert judge(replace(LSTM, gates={"f": kept, "i": dropped})).kind == "stable"
    assert judge(replace(LSTM, gates={"f": dropped, "i": kept})).kind == "saturated"


def test_against_vanishing_a_forget_gate_is_opened() -> None:
    first, second, *_ = judge(sloped(LSTM, -1.0)).advice
    assert first.startswith("a bias of f near +5.0 (forget_bias=5.0): it keeps 0.90")
    assert "0.993 would keep half of it over 100 steps" in first
    assert second.startswith("chrono=100")
    # where opening the gate means forgetting, the bias is negative
    update = replace(LSTM, memory={"z": -1}, openness={"z": 0.5}, gates={"z": OPEN})
    assert "a bias of z near -5.0 (forget_bias=5.0)" in str(judge(sloped(update, -1.0)))
    assert "bias=True" in str(judge(sloped(replace(LSTM, has_bias=False), -1.0)))


def test_a_forget_gate_that_is_open_is_not_blamed() -> None:
    advice = judge(sloped(replace(LSTM, openness={"f": 0.999, "i": 0.5}), -1.0)).advice
    assert not any("bias" in tip or "chrono" in tip for tip in advice)
    assert any("orthogonal" in tip for tip in advice)


def test_advice_has_only_what_the_cell_has() -> None:
    """No forget gate, no U, no second layer normalisation."""
    vanishing = str(judge(sloped(RNN, -1.0)))
    assert "forget_bias" not in vanishing
    assert "a gated cell" in vanishing
    assert "a gated cell" not in str(judge(sloped(LSTM, -1.0)))
    without = replace(RNN, largest=None, normalised=True)
    assert "orthogonal" not in str(judge(sloped(without, -1.0)))
    assert "layer_norm" not in str(judge(sloped(without, 1.0)))
    assert "U times" not in str(judge(sloped(without, 1.0)))
    assert "tanh in the place of σ" in str(judge(sloped(replace(RNN, sigmoid_state=True), -1.0)))


def test_a_matrix_is_scaled_or_made_orthogonal() -> None:
    small = replace(RNN, largest=0.5)
    assert "U times 2: its singular values are all near 0.5" in str(judge(sloped(small, -1.0)))
    mixed = replace(RNN, largest=0.5, spread=0.1)
    assert "they are from 0.05 to 0.5" in str(judge(sloped(mixed, -1.0)))
    large = replace(RNN, largest=2.0)
    assert "U times 0.5: its largest singular value is 2" in str(judge(sloped(large, 1.0)))


def test_against_explosion_clipping_comes_first() -> None:
    first, *rest = judge(sloped(replace(RNN, bounded=False), math.log(100) / 7)).advice
    assert first.startswith("clipping the gradient's norm")
    assert any("bounded, such as tanh" in tip for tip in rest)
    assert any(tip.startswith("truncation: over 7 steps") for tip in rest)


def test_states_that_are_no_numbers_have_exploded() -> None:
    verdict = judge(replace(sloped(RNN, math.nan), broken=17))
    assert verdict.kind == "exploding"
    assert verdict.reasons[0] == "The states are no finite numbers from step 17 on."
