"""Gates and nonlinearities that are so far open or shut that no gradient passes them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from . import figures
from .figures import Drawable, Picture
from .tracing import Activation, StrandTrace, Trace

BOUNDS = {"sigmoid": (0.05, 0.95), "tanh": (-0.97, 0.97)}
"""Beyond them σ' is below 0.0475, a fifth of its largest value, 1/4; tanh' below 0.0591, about a
seventeenth of its largest value, 1."""
NEARLY_ALWAYS = 0.95
"""A unit that is beyond the bounds at this share of its steps is stuck there."""


@dataclass(frozen=True)
class GateSaturation:
    """How often the units of one gate are saturated.

    Attributes:
        function: ``"sigmoid"`` or ``"tanh"``.
        low: share of all units' steps below 0.05 (σ) or -0.97 (tanh).
        high: share above 0.95 (σ) or 0.97 (tanh).
        always: share of units that are beyond either bound at 95 % of their steps or more.
    """

    function: str
    low: float
    high: float
    always: float

    @property
    def share(self) -> float:
        """Share of all units' steps that are beyond either bound."""
        return self.low + self.high


class Saturation(dict[str, dict[str, GateSaturation]], Drawable):
    """What is saturated, by strand and the value's name, by `saturation`."""

    def picture(self, strand: str | None = None) -> Picture:
        """Shares of every gate and nonlinearity.

        Args:
            strand: its name; all of them if not given.

        Raises:
            ValueError: if there is no such strand.
        """
        return figures.saturation(self, strand)


def saturation(trace: Trace) -> Saturation:
    """How saturated every sigmoid and tanh of a run is, from its trace.

    Counted over all units, steps and rows, steps after a row's end left out. Values are those of
    the cell's equations that are the result of a sigmoid or tanh; one without a name of its own is
    called by its formula, such as ``"tanh(c)"``. Shares are NaN where there is no step at all.

    Args:
        trace: what `trace` returned.

    Returns:
        By strand, then by the value's name.
    """
    return Saturation({name: saturation_of(own) for name, own in trace.strands.items()})


def saturation_of(strand: StrandTrace) -> dict[str, GateSaturation]:
    """The same of one direction of one layer."""
    return {
        name: _gate(activation, strand.running) for name, activation in strand.activations.items()
    }


def _gate(activation: Activation, running: Tensor | None) -> GateSaturation:
    values = activation.values
    steps = values[running] if running is not None else values.flatten(0, 1)  # [steps, units]
    lower, upper = BOUNDS[activation.function]
    low, high = steps < lower, steps > upper
    # Sums of whole numbers, divided once: a share of exactly 0.95 is not one rounded below it.
    beyond = (low | high).sum(0).to(torch.float64) / len(steps)
    return GateSaturation(
        activation.function,
        float(low.to(torch.float64).mean()),
        float(high.to(torch.float64).mean()),
        float((beyond >= NEARLY_ALWAYS).to(torch.float64).mean()) if len(steps) else float("nan"),
    )
