"""Parts of a forecaster's report: tables, errors by step, pictures of forecasts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from unrolled.tasks import report_parts as parts
from unrolled.training.report.charts import Line, line_chart, number
from unrolled.training.task import Estimate, Section

Array = npt.NDArray[np.float64]

SERIES = 25
"""Series up to which a table shows all."""
STYLES = "abdef"
WIDTH, HEIGHT = 720, 250
LEFT, RIGHT, TOP, BOTTOM = 58, 16, 12, 40
WORDS = {
    "mae": "MAE",
    "rmse": "RMSE",
    "mase": "MASE",
    "smape": "sMAPE, %",
    "crps": "CRPS",
    "scaled_mse": "MSE, scaled",
    "scaled_mae": "MAE, scaled",
}
"""Measures in words."""


class Shown(NamedTuple):
    """A forecast as a picture shows it.

    Attributes:
        title: Series and time.
        past: Values before it, ``[P]``.
        truth: Values that came, ``[H]``.
        point: The forecast, ``[H]``.
        bands: Percent, lower and upper ends ``[H]`` of each band, the narrowest first.
    """

    title: str
    past: Array
    truth: Array
    point: Array
    bands: Sequence[tuple[int, Array, Array]]


def methods(found: Mapping[str, Mapping[str, Estimate]], first: str) -> Section:
    """All methods' measures beside each other."""
    names = [first, *(name for name in WORDS if name != first)]
    names = [name for name in names if name not in ("scaled_mae",)]
    rows = [
        [method, *(_between(estimates[name], short=name != first) for name in names)]
        for method, estimates in found.items()
    ]
    return Section(
        "How good it is",
        parts.table(["", *(WORDS[name] for name in names)], rows),
        "In parentheses: 95 % bootstrap interval over blocks of time, or over series where there "
        "are many. MASE: error in units of the seasonal naive forecast's in the training part. "
        "CRPS of a method without bands is its MAE.",
    )


def coverage(bands: Mapping[str, Mapping[str, float]], shares: Mapping[str, Estimate]) -> Section:
    """Shares of the values that the bands cover."""
    rows, followed = [], "coverage if margins follow the errors"
    for level, one in bands.items():
        share = shares[f"coverage_{level}"]
        row = [f"{level} %", parts.share(share), f"{one['mean width']:.4g}"]
        rows.append([*row, f"{one[followed]:.3f}" if followed in one else "–"])
    head = ["band", "covers", "mean width", "covers if margins follow the errors"]
    return Section(
        "Bands",
        parts.table(head, rows),
        "The margins were fitted to the validation part (conformal prediction). In the last column "
        "they move with every value, as unrolled stream --adaptive does it.",
    )


def steps(errors: Mapping[str, Array]) -> Section:
    """Mean absolute error by step of the horizon."""
    lines = [
        Line(
            method,
            [(float(step), float(error)) for step, error in enumerate(found, start=1)],
            STYLES[at],
            dots=len(found) <= 24,
        )
        for at, (method, found) in enumerate(errors.items())
    ]
    chart = line_chart(lines, unit="mean absolute error", x_unit="step ahead", zero=True)
    return Section("Error by step", chart)


def by_series(found: Mapping[str, Mapping[str, float]]) -> Section:
    """Errors of each series."""
    shown = list(found.items())[:SERIES]
    rows = [
        [
            name,
            f"{one['windows']:,}",
            *(f"{one[key]:.4g}" for key in ("mae", "rmse", "nse")),
        ]
        for name, one in shown
    ]
    body = parts.table(["series", "windows", "MAE", "RMSE", "NSE"], rows)
    rest = f" The first {SERIES} of {len(found):,}." if len(found) > SERIES else ""
    return Section("By series", body, f"NSE: share of the variance that is explained.{rest}")


def pictures(shown: Sequence[Shown]) -> Section:
    """Forecasts with their bands, and what came."""
    bodies = [
        f"<article><h3>{escape(one.title)}</h3>{forecast_chart(one)}</article>" for one in shown
    ]
    levels = ", ".join(f"{level} %" for level, _, _ in shown[0].bands) if shown else ""
    return Section(
        "Forecasts",
        "".join(bodies),
        f"A good, a median and the worst one by their error. Shaded: the bands of {levels}.",
    )


def forecast_chart(shown: Shown) -> str:
    """One forecast as an ``<svg>`` element; x counts steps from the last known value."""
    past, horizon = len(shown.past), len(shown.truth)
    everything = [shown.past, shown.truth, shown.point, *(e for _, *es in shown.bands for e in es)]
    values = np.concatenate(everything)
    values = values[np.isfinite(values)]
    y_ticks = _ticks(float(values.min()), float(values.max()), 4)
    y0, y1 = min(float(values.min()), y_ticks[0]), max(float(values.max()), y_ticks[-1])
    x0, x1 = -past + 1, horizon

    def px(x: float) -> float:
        return LEFT + (x - x0) / max(1, x1 - x0) * (WIDTH - LEFT - RIGHT)

    def py(y: float) -> float:
        return HEIGHT - BOTTOM - (y - y0) / (y1 - y0) * (HEIGHT - TOP - BOTTOM)

    def path(values: Array, first: int) -> str:
        return " ".join(f"{px(first + i):.1f},{py(float(y)):.1f}" for i, y in enumerate(values))

    marks = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="forecast">']
    for y in y_ticks:
        marks.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{py(y):.1f}" '
            f'y2="{py(y):.1f}"/><text class="tick" x="{LEFT - 8}" y="{py(y) + 4:.1f}" '
            f'text-anchor="end">{number(y)}</text>'
        )
    marks += [
        f'<text class="tick" x="{px(x):.1f}" y="{HEIGHT - BOTTOM + 18}" '
        f'text-anchor="middle">{f"{x:+.0f}" if x else "0"}</text>'
        for x in _ticks(x0, x1, 6)
        if x == round(x)
    ]
    middle = (LEFT + WIDTH - RIGHT) / 2
    marks.append(
        f'<text class="axis" x="{middle}" y="{HEIGHT - 2}" text-anchor="middle">'
        "steps from the last known value</text>"
    )
    last = shown.past[-1:]
    for _, low, high in reversed(shown.bands):
        upper = path(np.concatenate([last, high]), 0).split()
        lower = path(np.concatenate([last, low]), 0).split()
        outline = " ".join([*upper, *reversed(lower)])
        marks.append(f'<polygon points="{outline}" style="fill: var(--b); fill-opacity: .16"/>')
    marks += [
        f'<line class="best" x1="{px(0):.1f}" x2="{px(0):.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>',
        f'<polyline class="a" points="{path(np.concatenate([shown.past, shown.truth]), x0)}"/>',
        f'<polyline class="b" points="{path(np.concatenate([last, shown.point]), 0)}"/>',
    ]
    if horizon <= 2:  # a line of one step is hard to see
        marks += [
            f'<circle class="{style}" cx="{px(step):.1f}" cy="{py(float(y)):.1f}" r="3"/>'
            for style, line in (("a", shown.truth), ("b", shown.point))
            for step, y in enumerate(line, start=1)
        ]
    legend = (
        '<div class="legend"><span><i class="a"></i>values</span>'
        '<span><i class="b"></i>forecast</span></div>'
    )
    return legend + "".join(marks) + "</svg>"


def _ticks(low: float, high: float, wanted: int) -> list[float]:
    """Round values from ``low`` to ``high``, about so many; at least two."""
    if high - low < 1e-9 * max(1.0, abs(high)):
        low, high = low - 0.5, high + 0.5
    rough = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    found = [i * step for i in range(first, last + 1)]
    return found if len(found) > 1 else [low, high]


def _between(value: Estimate, *, short: bool) -> str:
    if short or value.low is None or value.high is None:
        return f"{value.value:.4g}"
    return f"{value.value:.4g} ({value.low:.4g}\u2060–\u2060{value.high:.4g})"
