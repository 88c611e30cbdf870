"""The figures of Jacobians and Lyapunov exponents: what steps do to small differences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from . import scales
from .parts import array, check_row, chosen, counting, mean, over_rows
from .picture import STYLES, Array, Axis, Line, Mark, Panel, Picture

if TYPE_CHECKING:
    from ..jacobians import Jacobians, StrandJacobians
    from ..lyapunov import Lyapunov


def jacobians(result: Jacobians, strand: str | None, lag: int | None, row: int | None) -> Picture:
    """Singular values at every step; and over the lag, or where there is one lag, by their rank."""
    found = chosen(result.strands, strand)
    lag = found.lags[0] if lag is None else lag
    if lag not in found.lags:
        raise ValueError(f"lag must be one of {', '.join(map(str, found.lags))}; got {lag}")
    logs = array(found.log10)  # [lags, t, N, D]
    if row is not None:
        check_row(row, logs.shape[2])
        logs = logs[:, :, [row]]
    where = over_rows(logs.shape[2], row)
    logs = mean(logs, 2)
    here = logs[found.lags.index(lag)]
    ranks = {"largest": 0, "median": (here.shape[1] - 1) // 2, "smallest": here.shape[1] - 1}
    each = _lines(
        np.asarray(found.steps, dtype=np.float64),
        {called: here[:, rank] for called, rank in ranks.items()},
    )
    over = f"∂s_{{t}}/∂s_{{t{'+' if found.reverse else '−'}{lag}}}"
    size = scales.number(float(10 ** mean(here[:, 0], 0)), 3)
    return Picture(
        "What a step of time does to a gradient" if lag == 1 else "What time does to a gradient",
        f"{found.name}{where}: the largest singular value of {over} is {size}, "
        "the geometric mean over t.",
        (
            Panel(
                f"Singular values of {over}",
                scales.steps("step t", each[0].x),
                _size("singular value", each),
                lines=each,
                marks=(_ONE,),
            ),
            _by_rank(mean(here, 0)) if len(found.lags) == 1 else _by_lag(found, logs[:, :, 0]),
        ),
        columns=2,
    )


def _by_rank(logs: Array) -> Panel:
    rank = counting(len(logs)) + 1
    lines = _lines(rank, {"mean over t": logs})
    return Panel(
        "All of them, in order",
        scales.steps("rank of the singular value", rank),
        _size("singular value, geometric mean over t", lines),
        lines=lines,
        marks=(_ONE,),
    )


def _by_lag(found: StrandJacobians, logs: Array) -> Panel:
    """The largest singular value over all lags: its mean over t, and the extremes."""
    known = ~np.isnan(logs)
    curves = {
        "largest over t": np.where(known, logs, -np.inf).max(1),
        "mean over t": mean(logs, 1),
        "smallest over t": np.where(known, logs, np.inf).min(1),
    }
    lines = _lines(np.asarray(found.lags, dtype=np.float64), curves)
    return Panel(
        "The largest, by the lag",
        scales.steps("lag L (steps)", lines[0].x),
        _size(f"‖∂s_{{t}}/∂s_{{t{'+' if found.reverse else '−'}L}}‖_{{2}}", lines),
        lines=lines,
        marks=(_ONE,),
    )


def lyapunov(result: Lyapunov, strand: str | None, row: int | None) -> Picture:
    """The spectrum, and how its largest exponent settles."""
    found = chosen(result.strands, strand)
    exponents, growth = array(found.exponents), array(found.growth)
    if row is not None:
        check_row(row, len(exponents))
        exponents, growth = exponents[[row]], growth[:, [row]]
    spectrum = mean(exponents, 0)
    rank, taken = counting(len(spectrum)) + 1, counting(len(growth)) + 1
    first = growth[::-1, :, 0] if found.reverse else growth[:, :, 0]
    known = ~np.isnan(first)
    with np.errstate(invalid="ignore"):
        settling = mean(np.where(known, first, 0).cumsum(0) / known.cumsum(0), 1)
    lost = int(np.isneginf(spectrum).sum())
    return Picture(
        "How fast small differences of the state grow",
        f"{found.name}{over_rows(len(exponents), row)}: {_pace(float(spectrum[0]))}"
        + (f" {lost} of {len(rank)} directions are lost in a single step." if lost else ""),
        (
            Panel(
                "Lyapunov spectrum",
                scales.steps("rank i", rank),
                scales.linear("exponent λ_{i} (nats per step)", spectrum, include=(0.0,)),
                lines=(Line("λ_{i}", rank, _finite(spectrum), style="points"),),
                marks=(_ZERO,),
            ),
            Panel(
                "The largest exponent settles",
                scales.steps("steps taken", taken),
                scales.linear("mean growth so far (nats per step)", settling, include=(0.0,)),
                lines=(Line("λ_{1}", taken, _finite(settling)),),
                marks=(_ZERO,),
            ),
        ),
        columns=2,
    )


_ONE = Mark("y", 1.0, "1: neither grows nor shrinks")
_ZERO = Mark("y", 0.0, "0: neither grows nor shrinks")


def _lines(x: Array, logs: dict[str, Array]) -> tuple[Line, ...]:
    """Lines of 10 to the logarithms; a gap where that is no number."""
    with np.errstate(over="ignore"):
        return tuple(
            Line(called, x, _finite(10.0**curve), index, STYLES[index])
            for index, (called, curve) in enumerate(logs.items())
        )


def _size(title: str, lines: Sequence[Line]) -> Axis:
    return scales.logarithmic(
        title, *(line.y for line in lines), include=(2.0,)
    )  # room for the mark at 1


def _finite(values: Array) -> Array:
    return np.where(np.isfinite(values), values, np.nan)


def _pace(exponent: float) -> str:
    """What an exponent says, in steps."""
    if not math.isfinite(exponent):
        return "no direction is kept."
    largest = f"the largest exponent is {scales.number(exponent, 3)} nats per step"
    if abs(exponent) < 1e-6:
        return f"{largest}: a gradient neither grows nor shrinks."
    steps = scales.number(math.log(2) / abs(exponent), 3)
    return f"{largest}: a gradient {'doubles' if exponent > 0 else 'halves'} every {steps} steps."
