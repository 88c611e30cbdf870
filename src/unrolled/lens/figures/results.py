"""What the figure of each result shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np
from torch import Tensor

from . import scales
from .picture import Array, Heat, Line, Panel, Picture
from .thinning import thinned

if TYPE_CHECKING:
    from ..contributions import Contributions
    from ..influence import Influence
    from ..tracing import Trace

Kind = TypeVar("Kind")

_TRACED = 260  # pixels of a row of panels of a trace


def trace(result: Trace, strand: str | None = None, row: int = 0) -> Picture:
    """Every state and every gate of one sequence, unit by unit."""
    name, found = chosen(result.strands, strand)
    rows = found.inputs.shape[1]
    if not 0 <= row < rows:
        raise ValueError(f"row must lie between 0 and the last sequence, {rows - 1}; got {row}")
    panels = []
    for kind, values in (("state", found.states), ("gate", found.gates)):
        for called, value in values.items():
            z = array(value[:, row]).T
            share = kind == "gate" and bool(((z >= 0) & (z <= 1)).all())
            colours = scales.share("shut 0 … 1 open") if share else scales.signed("value", z)
            steps, units = (np.arange(size, dtype=float) for size in reversed(z.shape))
            title = f"{kind} {called}" if share or kind == "state" else f"value {called}"
            heat = Heat(z, steps, units, colours)
            panels.append(heat_panel(title, heat, "step t", "unit", pool="mean"))
    return Picture(
        "States and gates at every step",
        f"{name} ({found.cell}), sequence {row} of {rows}, {found.inputs.shape[0]} steps.",
        tuple(panels),
        columns=2 if len(panels) > 1 else 1,
        height=_TRACED,
    )


def influence(result: Influence, strand: str | None = None, row: int | None = None) -> Picture:
    """‖∂ℓ_t/∂h_k‖ for all t and k, and its mean against the lag."""
    last = next(reversed(result.strands)) if strand is None else strand
    name, found = chosen(result.strands, last)
    measured = {**found.states, "x": found.inputs}
    matrices = {called: of_row(array(value), row) for called, value in measured.items()}
    first, matrix = next(iter(matrices.items()))
    t, k = np.asarray(result.steps, dtype=float), np.arange(matrix.shape[1], dtype=float)
    norm = f"‖∂ℓ_{{t}}/∂{first}_{{k}}‖"
    heat = Heat(matrix, k, t, scales.decades(f"{norm} (loss per unit of {first})", matrix))
    curves = {called: by_lag(values, t) for called, values in matrices.items()}
    lines = tuple(
        Line(f"‖∂ℓ_{{t}}/∂{called}_{{k}}‖", *curve, index, _STYLES[index % len(_STYLES)])
        for index, (called, curve) in enumerate(curves.items())
    )
    lags = scales.steps("lag t − k (steps)", lines[0].x)
    size = scales.logarithmic("mean over t (loss per unit)", *(line.y for line in lines))
    return Picture(
        "How much of each past state reaches the loss",
        f"{name}{_over(measured[first], row)}. {_reach(first, *curves[first])}",
        (
            heat_panel(
                f"{norm} at every pair of steps", heat, "step k of the state", "step t of the loss"
            ),
            Panel("Against the lag", lags, size, lines=lines),
        ),
        columns=2,
        height=430,
    )


def contributions(
    result: Contributions, strand: str | None = None, row: int | None = None
) -> Picture:
    """Norms of the (t, k) terms of a gradient, and of its explicit and implicit parts."""
    last = next(reversed(result.strands)) if strand is None else strand
    name, found = chosen(result.strands, last)
    matrix = of_row(array(found.norms), row)
    t, k = np.asarray(result.steps, dtype=float), np.arange(matrix.shape[1], dtype=float)
    of = getattr(result, "of", "U")
    heat = Heat(matrix, k, t, scales.decades(f"norm of the term (loss per unit of {of})", matrix))
    parts = (
        Line("explicit: through step t itself", t, array(found.explicit), 0),
        Line("implicit: through earlier states", t, array(found.implicit), 1, "dash"),
    )
    size = scales.logarithmic(f"norm (loss per unit of {of})", *(part.y for part in parts))
    return Picture(
        f"Where the gradient of {of} comes from",
        f"{name}{_over(found.norms, row)}. {_shares(*(part.y for part in parts))}",
        (
            heat_panel(
                f"Terms ∂ℓ_{{t}}/∂h_{{t}} · ∂h_{{t}}/∂h_{{k}} · ∂⁺h_{{k}}/∂{of}",
                heat,
                "step k at which the weight acts",
                "step t of the loss",
            ),
            Panel(
                f"Parts of ∂ℓ_{{t}}/∂{of}", scales.steps("step t of the loss", t), size, lines=parts
            ),
        ),
        columns=2,
        height=430,
    )


_STYLES: tuple[Literal["solid", "dash", "dashdot", "dot"], ...] = (
    "solid",
    "dash",
    "dashdot",
    "dot",
)


def heat_panel(
    title: str, heat: Heat, x: str, y: str, *, pool: Literal["max", "mean"] = "max"
) -> Panel:
    """A panel of a heat map over steps, rows from the top down; thinned where it is too fine."""
    across, down = scales.steps(x, heat.x), scales.steps(y, heat.y, down=True)
    heat, (rows, columns) = thinned(heat, pool)
    if rows * columns > 1:
        title += f" ({'largest' if pool == 'max' else 'mean'} of each {rows} × {columns})"
    return Panel(title, across, down, heat)


def chosen(found: Mapping[str, Kind], name: str | None) -> tuple[str, Kind]:
    """One of several things by its name; without a name the first.

    Raises:
        ValueError: if none is called so.
    """
    if name is None:
        return next(iter(found.items()))
    if name not in found:
        raise ValueError(f"strand must be one of {', '.join(found)}; got {name!r}")
    return name, found[name]


def array(values: Tensor) -> Array:
    """A tensor's numbers."""
    return values.detach().cpu().double().numpy()


def of_row(values: Array, row: int | None) -> Array:
    """``[t, k]`` of ``[t, k, N]``: one sequence's, or the mean over all.

    Raises:
        ValueError: if there is no such sequence.
    """
    if values.ndim == 2:
        return values
    if row is None:
        return mean(values, axis=2)
    if not 0 <= row < values.shape[2]:
        last = values.shape[2] - 1
        raise ValueError(f"row must lie between 0 and the last sequence, {last}; got {row}")
    return values[:, :, row]


def mean(values: Array, axis: int) -> Array:
    """The mean of what is there; NaN where nothing is."""
    there = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(there, values, 0).sum(axis) / there.sum(axis)


def by_lag(matrix: Array, t: Array) -> tuple[Array, Array]:
    """Lags t - k and the mean over t at each; lags below 0 only where something lies there."""
    lag = np.subtract.outer(t, np.arange(matrix.shape[1])).astype(int)
    there = ~np.isnan(matrix)
    low = lag.min()
    size = lag.max() - low + 1
    count = np.bincount((lag - low)[there], minlength=size)
    total = np.bincount((lag - low)[there], matrix[there], minlength=size)
    lags = np.arange(size) + low
    kept = (count > 0) & ((lags >= 0) | bool(total[lags < 0].any()))
    return lags[kept].astype(float), total[kept] / count[kept]


def _over(values: Tensor, row: int | None) -> str:
    if values.dim() == 2:
        return ""
    return f", mean over {values.shape[2]} sequences" if row is None else f", sequence {row}"


def _reach(name: str, lags: Array, size: Array) -> str:
    """From which lag on a curve stays below a hundredth of its height at lag 0."""
    kept = lags >= 0
    lags, size = lags[kept], size[kept]
    if not size.size or lags[0] != 0 or not size[0] > 0:
        return ""
    above = np.flatnonzero(size >= 0.01 * size[0])[-1]
    if above == len(lags) - 1:
        return (
            f"After {lags[-1]:.0f} steps {scales.number(100 * size[-1] / size[0])} % of it is left."
        )
    return f"Less than 1 % of it is left after {lags[above + 1]:.0f} steps."


def _shares(explicit: Array, implicit: Array) -> str:
    """The implicit part's share of both, over all steps."""
    total = float(np.nansum(explicit) + np.nansum(implicit))
    if not total > 0 or not np.isfinite(total):
        return ""
    share = 100 * float(np.nansum(implicit)) / total
    return f"{share:.0f} % of it comes through earlier states."
