"""The figures of influence and contributions: where gradients arrive, and where they come from."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from . import scales
from .parts import array, check_row, chosen, counting, heat_panel, mean, over_rows
from .picture import STYLES, Array, Heat, Line, Panel, Picture

if TYPE_CHECKING:
    from torch import Tensor

    from ..contributions import Contributions
    from ..influence import Influence


def influence(result: Influence, strand: str | None, row: int | None) -> Picture:
    """‖∂ℓ_t/∂h_k‖ for all t and k, and the mean of every state's and the inputs' by lag."""
    found = chosen(result.strands, strand, result.nearest.name)
    rows = _rows(found.inputs)
    if row is not None:
        check_row(row, rows)
        if found.inputs.ndim == 3:
            states = {name: value[:, :, row] for name, value in found.states.items()}
            found = replace(found, states=states, inputs=found.inputs[:, :, row])
    name, first = next(iter(found.states.items()))
    matrix = _of_row(array(first), None, 2)
    lag = "lag k − t (steps ahead)" if found.reverse else "lag t − k (steps back)"
    if not found.aligned:
        lag = "steps after its first" if found.reverse else "steps before its last"
    norm = _norm(name)
    heat = Heat(
        matrix,
        counting(matrix.shape[1]),
        np.asarray(result.steps, dtype=np.float64),
        scales.decades(f"loss per unit of {name}", matrix),
    )
    one = replace(result, strands={found.name: found})
    curves = {called: array(one.by_lag(found.name, called)) for called in (*found.states, "x")}
    lines = tuple(
        Line(_norm(called), counting(len(curve)), curve, index, STYLES[index % len(STYLES)])
        for index, (called, curve) in enumerate(curves.items())
    )
    return Picture(
        "How much of each state reaches the loss",
        f"{found.name}{over_rows(rows, row)}: {_reach(curves[name])}",
        (
            heat_panel(
                f"{norm} at every pair of steps", heat, "step k of the state", "step t of the loss"
            ),
            Panel(
                "Mean over all t, by the lag",
                scales.steps(lag, lines[0].x),
                scales.logarithmic("loss per unit", *curves.values()),
                lines=lines,
            ),
        ),
        columns=2,
        height=430,
    )


def contributions(result: Contributions, strand: str | None, row: int | None) -> Picture:
    """Norms of the (t, k) terms, and of the explicit and implicit parts, for every loss."""
    found = chosen(result.strands, strand, result.nearest.name)
    rows, of = _rows(found.norms), found.of
    if row is not None:
        check_row(row, rows)
    matrix = _of_row(array(found.norms), row, 2)
    parts = [_of_row(array(part), row, 1) for part in (found.explicit, found.implicit)]
    t = np.asarray(result.steps, dtype=np.float64)
    heat = Heat(
        matrix, counting(matrix.shape[1]), t, scales.decades(f"loss per unit of {of}", matrix)
    )
    names = ("explicit: step t alone", "implicit: through other states")
    lines = tuple(
        Line(name, t, part, index, STYLES[index])
        for index, (name, part) in enumerate(zip(names, parts, strict=True))
    )
    return Picture(
        f"Where the gradient of {of} comes from",
        f"{found.name}{over_rows(rows, row)}: {_implicit(*parts)}",
        (
            heat_panel(
                f"Terms ‖∂ℓ_{{t}}/∂h_{{k}} · ∂⁺h_{{k}}/∂{of}‖",
                heat,
                "step k at which it acts",
                "step t of the loss",
            ),
            Panel(
                f"Parts of ∂ℓ_{{t}}/∂{of}",
                scales.steps("step t of the loss", t),
                scales.logarithmic(f"norm (loss per unit of {of})", *parts),
                lines=lines,
            ),
        ),
        columns=2,
        height=430,
    )


def _implicit(explicit: Array, implicit: Array) -> str:
    """The implicit part's share of both parts' norms, over all steps."""
    one, other = float(np.nansum(explicit)), float(np.nansum(implicit))
    if not one + other > 0:
        return "nothing arrives."
    share = scales.number(100 * other / (one + other), 2)
    return f"of both parts' norms, {share} % are the implicit part's."


def _of_row(values: Array, row: int | None, axis: int) -> Array:
    """One row of the last axis, if there is one, or the mean over all."""
    if values.ndim == axis:
        return values
    return mean(values, axis) if row is None else values[..., row]


def _norm(name: str) -> str:
    return f"‖∂ℓ_{{t}}/∂{name}_{{k}}‖"


def _rows(values: Tensor) -> int:
    return values.shape[2] if values.ndim == 3 else 1


def _reach(curve: Array) -> str:
    """From which lag on a curve stays below a hundredth of its height at lag 0."""
    if not len(curve) or not curve[0] > 0:
        return "nothing arrives."
    last = int(np.flatnonzero(curve >= 0.01 * curve[0])[-1])
    if last < len(curve) - 1:
        return f"{last + 1} steps away from the loss, less than 1 % of its gradient is left."
    share = scales.number(100 * float(curve[-1] / curve[0]), digits=2)
    return f"{last} steps away from the loss, {share} % of its gradient is left."
