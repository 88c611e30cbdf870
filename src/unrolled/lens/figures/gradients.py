"""The figures of influence and contributions: where gradients arrive, and where they come from."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from . import scales
from .parts import array, check_row, chosen, counting, heat_panel, over_rows
from .picture import STYLES, Array, Heat, Line, Panel, Picture

if TYPE_CHECKING:
    from torch import Tensor

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
    matrix = array(first.nanmean(-1) if first.ndim == 3 else first)
    lag = "k − t (steps ahead)" if found.reverse else "t − k (steps back)"
    norm = _norm(name)
    heat = Heat(
        matrix,
        counting(matrix.shape[1]),
        np.asarray(result.steps, dtype=np.float64),
        scales.decades(f"loss per unit of {name}", matrix),
    )
    one = replace(result, strands={found.name: found})
    curves = {called: array(one.by_lag(found.name, called)) for called in found.states}
    inputs = replace(found, states={"x": found.inputs})
    curves["x"] = array(replace(result, strands={found.name: inputs}).by_lag(found.name))
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
                scales.steps(f"lag {lag}", lines[0].x),
                scales.logarithmic("loss per unit", *curves.values()),
                lines=lines,
            ),
        ),
        columns=2,
        height=430,
    )


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
