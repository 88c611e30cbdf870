"""How long each layer remembers, what its gates and its growth say about it, and a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from . import figures
from .chain import Chain
from .decay import Decay, decay_of_influence
from .figures import Picture
from .influence import Influence, StrandInfluence, influence
from .losses import Loss, Steps
from .lyapunov import spectrum
from .recording import Strand, call, recording
from .saturation import GateSaturation, saturation_of
from .strands import ByStrand
from .tracing import StrandTrace, strand_trace
from .verdict import Evidence, Verdict, judge


@dataclass(frozen=True)
class StrandHalfLife:
    """The memory of one direction of one layer.

    Attributes:
        name: the module's name and the parameters' suffix, such as ``"encoder.l0"``.
        cell: the cell's name.
        by_lag: the points: influence on the whole state so many steps before the loss, as a share
            of that at lag 0 (or the first lag at which there is any), ``[lags]``; the mean over
            losses (and rows). In a reverse direction, so many steps after it.
        decay: the lags at which a half, a tenth and a hundredth of it are left, what is left at the
            last one, and an exponential.
        gates: how saturated every sigmoid and tanh is, by its name.
        growth: the largest Lyapunov exponent, nats per step, mean over rows; a quarter of the
            steps is left to it as a transient.
        verdict: what it all says, and what to try.
    """

    name: str
    cell: str
    by_lag: Tensor
    decay: Decay
    gates: dict[str, GateSaturation]
    growth: float
    verdict: Verdict

    @property
    def half_life(self) -> float:
        """Steps over which the influence halves; ∞ where it does not decay.

        NaN where it is no exponential, and so has none: R² is less than 0.95, or the exponential
        misses the lag at which a half is left (`Decay.fits`). `decay` has what is measured.
        """
        return self.decay.half_life

    @property
    def r_squared(self) -> float:
        """How well the nearest exponential describes it: 1 if it is one."""
        return self.decay.fit.r_squared

    @property
    def line(self) -> Tensor | None:
        """The exponential's share at each lag, ``[lags]``; None where it does not fit."""
        if not self.decay.fits:
            return None
        lags = torch.arange(len(self.by_lag), dtype=torch.float64, device="cpu")
        return (self.decay.fit.intercept + self.decay.fit.slope * lags).exp()


@dataclass(frozen=True)
class HalfLife(ByStrand[StrandHalfLife]):
    """The memory of all layers, by `half_life`; ``str`` of it is a report.

    Attributes:
        strands: each direction of each layer by its name, in the order in which they ran.
        influence: what it was read from.
    """

    strands: dict[str, StrandHalfLife]
    influence: Influence

    def __str__(self) -> str:
        return "\n".join(f"{own.name} ({own.cell}): {own.verdict}" for own in self.strands.values())

    def picture(self, strand: str | None = None) -> Picture:
        """What is left at every lag with its fit, and what is saturated.

        Args:
            strand: its name; all of them if not given.

        Raises:
            ValueError: if there is no such strand.
        """
        return figures.half_life(self, strand)


def half_life(
    model: nn.Module,
    x: Any,
    loss: Loss,
    *,
    steps: Steps = None,
    window: int | None = None,
    memory: int | str = "2GB",
) -> HalfLife:
    r"""How long each layer remembers, measured, with a verdict in words.

    .. math::
        \text{left}_{t-k} = \text{mean over } t \text{ of }
        \frac{\| \partial \ell_t / \partial s_k \|}{\| \partial \ell_t / \partial s_t \|}

    for the whole state s of a layer (an LSTM's h and c together): the first lags at which a half, a
    tenth and a hundredth are left, and what is left at the last one. The verdict is "exploding"
    where there is 100 times as much at some lag, or states are no numbers; else "saturated" where
    at least half of what the equations squash is beyond its bounds (a gate that keeps the memory
    not counted); else "vanishing" where a hundredth or less is left at some lag, or "returning" if
    a tenth or more arrives at a lag after it; else "stable". Each stands on something that is
    reached at a lag, so the same curve over more lags cannot take it back: "stable" says that
    nothing of this was reached *yet*. Give a sequence as long as what the model is to remember.

    Where the curve is an exponential, log left ≈ a + b · lag with R² of 0.95 or more
    (`Decay.fits`), it has a half-life, log 2 / -b; others have none.

    Args:
        model: any module with recurrent layers of unrolled's or torch.nn's in it, or one itself.
        x: the model's input; a tuple for several arguments.
        loss: as for `influence`: of what the model returns, one number for each step.
        steps: as for `influence`.
        window: as for `influence`.
        memory: as for `influence`.

    Raises:
        TypeError: if an argument is of a wrong kind.
        ValueError: if `influence` refuses.

    Example:
        >>> model = unrolled.LSTM(4, 8, forget_bias=5)
        >>> found = half_life(model, torch.randn(50, 1, 4), lambda y: y.square().sum((1, 2)))
        >>> found["l0"].verdict.kind
        'stable'
    """
    found = influence(model, x, loss, steps=steps, window=window, memory=memory)
    with recording(model, "half_life", values=True, graph=False) as recorder:
        call(model, x)
        strands = recorder.strands
        return HalfLife(
            {name: _strand(own, found, strands[name]) for name, own in found.strands.items()},
            found,
        )


def _strand(own: StrandInfluence, found: Influence, strand: Strand) -> StrandHalfLife:
    by_lag = left_by_lag(own, found.steps)
    # Numbers near the dtype's smallest one have few digits.
    digits = torch.finfo(strand.steps[0].after[0].dtype)
    norms = own.mean_by_distance(own.whole, found.steps)
    decay = decay_of_influence(by_lag, norms > 1e4 * digits.smallest_normal * digits.eps)
    trace = strand_trace(strand)
    gates = saturation_of(trace)
    growth = _growth(strand)
    verdict = judge(_evidence(strand, trace, gates, decay, growth))
    return StrandHalfLife(own.name, trace.cell, by_lag, decay, gates, growth, verdict)


def left_by_lag(own: StrandInfluence, steps: Sequence[int]) -> Tensor:
    """The share of influence on the whole state that is left at each lag, ``[lags]``.

    Of each loss (and row) by itself, the mean over them: losses of different size count alike.
    """

    def share(past: Tensor) -> Tensor:
        first = (past > 0).int().argmax(0, keepdim=True)
        left = past / past.gather(0, first)
        return torch.where(left.isfinite(), left, torch.nan)

    return own.mean_by_distance(own.whole, steps, share)


def _growth(strand: Strand) -> float:
    chain = Chain(strand, "half_life")
    return spectrum(chain, 1, len(chain) // 4).largest


def _evidence(
    strand: Strand,
    trace: StrandTrace,
    gates: dict[str, GateSaturation],
    decay: Decay,
    growth: float,
) -> Evidence:
    layer, program = strand.layer, strand.program
    memory = {g: sign for g, sign in layer.cell.gates_of_memory.items() if g in trace.gates}
    largest, spread = _singular_values(strand)
    squashed = {s.name: gates[s.name].function for s in program.states if s.name in gates}
    return Evidence(
        decay,
        growth,
        gates,
        {gate: _mean(trace.gates[gate], trace.running) for gate in memory},
        memory,
        largest,
        spread,
        gated=any(g.function == "sigmoid" for name, g in gates.items() if name not in squashed),
        bounded="tanh" in {gate.function for gate in gates.values()} or bool(squashed),
        sigmoid_state="sigmoid" in squashed.values(),
        has_bias=layer.bias,
        normalised=layer.options.layer_norm,
        broken=_broken(strand),
    )


def _mean(values: Tensor, running: Tensor | None) -> float:
    return float((values if running is None else values[running]).double().mean())


def _singular_values(strand: Strand) -> tuple[float | None, float]:
    """The largest singular value of any block of U, and the smallest as a share of it."""
    setting = strand.steps[0].setting
    blocks = len(setting.program.rows("U")) * setting.weights.heads
    if not blocks:
        return None, 1.0
    parts = setting.weights.recurrent.detach().double().chunk(blocks)
    values = torch.cat([torch.linalg.svdvals(part) for part in parts])
    largest = float(values.max())
    return largest, float(values.min()) / largest if largest else 1.0


def _broken(strand: Strand) -> int | None:
    for t, step in enumerate(strand.steps):
        if not all(bool(state[step.running].isfinite().all()) for state in step.after):
            return t
    return None
