"""What numbers say about a layer's memory, in words, and what to try."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from .decay import GROWN, HUNDREDTH, LINEAR, POINTS, TENTH, Decay
from .saturation import BOUNDS, GateSaturation

Kind = Literal["vanishing", "returning", "stable", "exploding", "saturated", "unknown"]

SATURATED = 0.5
"""Where so large a share of what the equations squash is saturated, little gradient passes."""
ORTHOGONAL = 0.9
"""A matrix whose singular values differ by less is as good as orthogonal, but for its scale."""


@dataclass(frozen=True)
class Evidence:
    """What a verdict on one direction of one layer stands on.

    Attributes:
        decay: of influence with the lag.
        growth: the largest Lyapunov exponent, nats per step.
        gates: how saturated what the cell squashes is.
        openness: the mean of each gate of memory.
        memory: the cell's gates of memory; the first is the forget gate. See `Cell`.
        largest: the largest singular value of U, None for a cell without one.
        spread: the smallest singular value of U as a share of the largest; 1 for an orthogonal U.
        gated: whether the cell has gates.
        sigmoid_state: whether a state is a sigmoid itself.
        bounded: whether the cell squashes what goes into its states.
        has_bias: whether gates have biases.
        normalised: whether layer normalisation is on.
        broken: the first step at which the states are no finite numbers, None if they all are.
    """

    decay: Decay
    growth: float
    gates: Mapping[str, GateSaturation]
    openness: Mapping[str, float]
    memory: Mapping[str, float]
    largest: float | None
    spread: float
    gated: bool
    sigmoid_state: bool
    bounded: bool
    has_bias: bool
    normalised: bool
    broken: int | None = None


@dataclass(frozen=True)
class Verdict:
    """A judgement with its grounds.

    Attributes:
        kind: "stable", "vanishing", "returning", "exploding", "saturated", or "unknown" where there
            is nothing to judge by.
        reasons: the numbers that say so, as sentences.
        advice: what to try, the most promising first; empty where nothing need be done.
    """

    kind: Kind
    reasons: tuple[str, ...]
    advice: tuple[str, ...]

    def __str__(self) -> str:
        told = f"{self.kind}: {' '.join(self.reasons)}"
        return f"{told} Try: {'; '.join(self.advice)}." if self.advice else told


def judge(evidence: Evidence) -> Verdict:
    """The verdict on one direction of one layer."""
    kind = _kind(evidence)
    reasons = [*_reasons(evidence, kind)]
    advice = {
        "vanishing": _against_vanishing,
        "exploding": _against_explosion,
        "saturated": _against_saturation,
    }
    found = advice[kind](evidence) if kind in advice else []
    return Verdict(kind, tuple(reasons), tuple(dict.fromkeys(found)))


def blocked(evidence: Evidence) -> float:
    """Share of what is squashed that is saturated, all values of the equations counted alike.

    A gate of memory on the side where it keeps is not blocked: that is how it remembers.
    """
    shares = [_harmful(name, gate, evidence.memory) for name, gate in evidence.gates.items()]
    return sum(shares) / len(shares) if shares else 0.0


def _harmful(name: str, gate: GateSaturation, memory: Mapping[str, float]) -> float:
    sign = memory.get(name, 0)
    return gate.low if sign > 0 else gate.high if sign < 0 else gate.share


def _kind(evidence: Evidence) -> Kind:
    """By the lags at which something is reached: more lags move it forward only.

    From stable to vanishing, to returning, to exploding, in this order; what has vanished over 35
    lags has vanished over 300.
    """
    decay = evidence.decay
    if evidence.broken is not None or decay.grown is not None:
        return "exploding"
    if not decay.lags:
        return "unknown"
    if blocked(evidence) >= SATURATED:
        return "saturated"
    if decay.hundredth is None:
        return "stable"
    return "returning" if decay.returned >= TENTH else "vanishing"


def _reasons(evidence: Evidence, kind: Kind) -> list[str]:
    decay = evidence.decay
    found = []
    if evidence.broken is not None:
        found.append(f"The states are no finite numbers from step {evidence.broken} on.")
    if decay.lags or not found:
        found.append(str(decay))
    if kind == "unknown":
        return found
    found += _shape(decay)
    if math.isfinite(evidence.growth):
        factor = math.exp(min(evidence.growth, 700))
        found.append(
            f"A small change of the state becomes {factor:.3g} times as large in a step "
            f"(largest Lyapunov exponent {evidence.growth:+.3f} nats per step)."
        )
    share = blocked(evidence)
    if kind == "saturated" or share >= SATURATED / 2:
        worst = _worst(evidence)
        found.append(
            f"{100 * share:.0f} % of what the equations squash is saturated, most of all {worst}."
        )
    return found


def _shape(decay: Decay) -> list[str]:
    """What the curve is like: whether it comes back, and the exponential, if it is one."""
    found = []
    if decay.hundredth is not None and decay.returned > HUNDREDTH:
        found.append(f"After lag {decay.hundredth} it comes back to {100 * decay.returned:.2g} %.")
    fits = f"(R² {decay.fit.r_squared:.2f})"
    if math.isfinite(decay.half_life):
        lag = decay.fit.lag_of(math.log(HUNDREDTH) + decay.start)
        later = ""
        if decay.hundredth is None and lag > decay.lags:
            later = f"; if it goes on like this, it is down to a hundredth at lag {lag:,.0f}"
        found.append(f"It halves every {_steps(decay.half_life)} {fits}{later}.")
    elif math.isfinite(decay.doubling_time):
        found.append(f"It doubles every {_steps(decay.doubling_time)} {fits}.")
    elif not decay.fits and decay.fit.r_squared >= LINEAR and decay.fit.points >= POINTS:
        found.append(f"No exponential {fits} fits its beginning, so it has no half-life.")
    elif not decay.fits and decay.fit.points >= POINTS:
        found.append(f"It is no exponential {fits}, and has no half-life.")
    return found


def _worst(evidence: Evidence) -> str:
    harm = {n: _harmful(n, g, evidence.memory) for n, g in evidence.gates.items()}
    name = max(harm, key=harm.__getitem__)
    gate = evidence.gates[name]
    low, high = BOUNDS[gate.function]
    return (
        f"{name} ({100 * gate.low:.0f} % of its values below {low}, "
        f"{100 * gate.high:.0f} % above {high})"
    )


def _against_vanishing(evidence: Evidence) -> list[str]:
    found = _keep(evidence) if evidence.memory else []
    if evidence.sigmoid_state:
        found.append("tanh in the place of σ, whose slope is 1/4 at most")
    scale = _scale(evidence)
    if scale is not None and (not evidence.gated or not found):
        found.append(scale)
    if not evidence.gated:
        found.append("a gated cell (LSTM, GRU), whose memory does not pass a matrix at every step")
    if blocked(evidence) >= SATURATED / 2 and not evidence.normalised:
        found.append("layer_norm=True, so that less is saturated")
    return found


def _keep(evidence: Evidence) -> list[str]:
    """How the forget gate is to be opened, if it is what forgets."""
    gate, sign = next(iter(evidence.memory.items()))
    steps, kept = evidence.decay.lags, evidence.openness[gate]
    kept = kept if sign > 0 else 1 - kept
    enough = 0.5 ** (1 / steps)
    if kept >= enough:
        return []
    if not evidence.has_bias:
        return [f"bias=True, so that {gate} can be held open (forget_bias=)"]
    bias = math.log(enough / (1 - enough))
    found = [
        f"a bias of {gate} near {math.copysign(bias, sign):+.1f} (forget_bias={bias:.1f}): "
        f"it keeps {kept:.2f} of the memory in a step now, and {enough:.3f} would keep half of it "
        f"over {steps} steps"
    ]
    if steps > 2:
        found.append(f"chrono={steps}, biases for all times up to {steps} steps")
    return found


def _scale(evidence: Evidence) -> str | None:
    """What to do about a U that shrinks what it multiplies."""
    if evidence.largest is None:
        return None
    if evidence.spread > ORTHOGONAL:
        if evidence.largest >= ORTHOGONAL:
            return None
        return (
            f"U times {_number(1 / evidence.largest)}: its singular values are all near "
            f"{_number(evidence.largest)}, an orthogonal U's are 1 (recurrent_init='orthogonal')"
        )
    return (
        "recurrent_init='orthogonal', singular values of U all 1: they are from "
        f"{_number(evidence.spread * evidence.largest)} to {_number(evidence.largest)}"
    )


def _against_explosion(evidence: Evidence) -> list[str]:
    found = ["clipping the gradient's norm, which bounds the step whatever the growth"]
    if evidence.largest is not None:
        is_now = f"its largest singular value is {_number(evidence.largest)}"
        if evidence.spread <= ORTHOGONAL:
            found.append(f"recurrent_init='orthogonal', singular values of U all 1: {is_now}")
        elif evidence.largest > 1 / ORTHOGONAL:
            found.append(f"U times {_number(1 / evidence.largest)}: {is_now}")
    if not evidence.bounded:
        found.append("a nonlinearity that is bounded, such as tanh")
    if evidence.largest is not None and not evidence.normalised:
        found.append("layer_norm=True, so that products keep their size")
    if evidence.decay.grown is not None:
        found.append(
            f"truncation: over {_steps(evidence.decay.grown)} the gradient grows {GROWN:g} times"
        )
    return found


def _against_saturation(evidence: Evidence) -> list[str]:
    found = []
    if not evidence.normalised:
        found.append("layer_norm=True, so that what is squashed has unit variance")
    found.append(f"smaller weights of {_worst(evidence).split(' (')[0]}, or inputs of smaller size")
    found.append("a smaller learning rate or weight decay, if training has driven them there")
    return found


def _number(value: float) -> str:
    return f"{value:.2g}" if abs(value) < 100 else f"{value:.0f}"


def _steps(value: float) -> str:
    number = _number(value)
    return f"{number} step{'s' * (number != '1')}"
