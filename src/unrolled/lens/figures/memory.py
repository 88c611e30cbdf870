"""The figures of memory and saturation: how long a layer remembers, and what is shut."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from . import scales
from .parts import array, chosen, counting
from .picture import STYLES, Axis, Line, Panel, Picture

if TYPE_CHECKING:
    from ..decay import Decay
    from ..half_life import HalfLife
    from ..saturation import GateSaturation


def half_life(result: HalfLife, strand: str | None) -> Picture:
    """The influence left at every lag, an exponential where one fits, and what is saturated."""
    shown = result.strands if strand is None else {strand: chosen(result.strands, strand)}
    lines = []
    for place, (name, own) in enumerate(shown.items()):
        curve = array(own.by_lag)
        lags = counting(len(curve))
        lines.append(Line(f"{name}: {_reached(own.decay)}", lags, curve, place, style="points"))
        if own.line is not None:
            half_life = f"halves every {scales.number(own.half_life, 2)} steps"
            doubling = f"doubles every {scales.number(own.decay.doubling_time, 2)} steps"
            told = doubling if own.decay.fit.slope > 0 else half_life
            told = told if own.decay.fit.slope else "is the same at every lag"
            style = STYLES[place % len(STYLES)]
            fit = f"{told}, R² {own.r_squared:.3f}"
            lines.append(Line(fit, lags, array(own.line), place, style))
    kinds = "; ".join(f"{name}: {own.verdict.kind}" for name, own in shown.items())
    measured = len(shown) == 1 and own.decay.lags
    left = f" over {own.decay.lags} lags; at the last one {own.decay.last}." if measured else "."
    longest = max(lines, key=lambda line: len(line.x)).x
    return Picture(
        "How long it remembers",
        f"{kinds}{left}",
        (
            Panel(
                "Influence on the state, by the lag",
                scales.steps("lag t − k (steps)", longest),
                scales.logarithmic(
                    "share of that at lag 0, mean over t", *(line.y for line in lines)
                ),
                lines=tuple(lines),
            ),
            _shares({name: own.gates for name, own in shown.items()}),
        ),
        columns=2,
        height=430,
    )


def _reached(decay: Decay) -> str:
    """The lags at which little is left, as the legend has them."""
    if not decay.lags:
        return "nothing to compare"
    lags = {"½": decay.half, "1/10": decay.tenth, "1/100": decay.hundredth}
    reached = [f"{share} at lag {lag}" for share, lag in lags.items() if lag is not None]
    return ", ".join(reached) or f"more than ½ over {decay.lags} lags"


def saturation(result: Mapping[str, Mapping[str, GateSaturation]], strand: str | None) -> Picture:
    """How much of every gate is shut or wide open."""
    shown = result if strand is None else {strand: chosen(result, strand)}
    names = sum(len(gates) for gates in shown.values())
    return Picture(
        "What is saturated, and passes no gradient",
        "Of all units and steps; a unit is stuck where it is beyond the bounds at 95 % of them.",
        (_shares(shown),),
        height=200 + 26 * names,
    )


def _shares(found: Mapping[str, Mapping[str, GateSaturation]]) -> Panel:
    """A row of points for each gate, the first on top; beside each other where they are equal."""
    gates = {
        f"{name} {gate}" if len(found) > 1 else gate: own
        for name, each in found.items()
        for gate, own in each.items()
    }
    rows = counting(len(gates))
    shares = {
        "below 0.05 (σ) or −0.97 (tanh)": [own.low for own in gates.values()],
        "above 0.95 or 0.97": [own.high for own in gates.values()],
        "units that are stuck": [own.always for own in gates.values()],
    }
    return Panel(
        "Saturated gates and nonlinearities",
        Axis("share", -0.03, 1.03, tuple((i / 4, f"{i / 4:g}") for i in range(5))),
        Axis("", max(len(gates), 1) - 0.5, -0.5, tuple(zip(map(float, rows), gates, strict=True))),
        lines=tuple(
            Line(
                name,
                np.array(values, dtype=np.float64),
                rows + 0.2 * (place - 1),
                place,
                style="points",
            )
            for place, (name, values) in enumerate(shares.items())
        ),
    )
