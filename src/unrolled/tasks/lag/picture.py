"""Success and the influence that is left, against the lag, in one picture."""

from __future__ import annotations

import io
import math
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unrolled.errors import RUNTIME, UserError
from unrolled.files import write_file
from unrolled.lens.decay import HUNDREDTH

from .problems import problem
from .results import Results
from .training import Outcome
from .words import about

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito's colours, which the colour-blind can tell apart, and a shape for each besides.
_COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#333333")
_SHAPES = ("o", "s", "^", "D", "v", "P", "X")
TITLE = "How far back can it learn to remember?"
_FLOOR, _CEILING = 1e-12, 10.0
"""Shares of influence beyond these are drawn here."""
_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888",
    "axes.labelcolor": "#333",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "xtick.color": "#555",
    "ytick.color": "#555",
    "grid.color": "#e6e6e6",
    "svg.hashsalt": "unrolled",
}


def check_matplotlib() -> None:
    """See that pictures can be drawn before hours are spent on what they show.

    Raises:
        UserError: matplotlib is not installed.
    """
    if find_spec("matplotlib") is None:
        raise UserError("lens lag needs matplotlib: pip install 'unrolled[lens]'", code=RUNTIME)


def write_pictures(results: Results, folder: Path) -> None:
    """Write ``lag.svg`` and ``lag.png``."""
    import matplotlib

    with matplotlib.rc_context(_STYLE):
        figure = picture(results)
        kinds: dict[str, Any] = {"svg": {"metadata": {"Date": None}}, "png": {"dpi": 120}}
        for kind, keywords in kinds.items():
            data = io.BytesIO()
            figure.savefig(data, format=kind, facecolor="white", **keywords)
            write_file(folder / f"lag.{kind}", data.getvalue())


def picture(results: Results) -> Figure:
    """The picture: a column for each problem; success above, influence below."""
    from matplotlib.figure import Figure

    options = results.options
    columns = len(options.tasks)
    figure = Figure(figsize=(max(5.6, 3.9 * columns), 6.9), layout="constrained")
    axes = figure.subplots(2, columns, sharex=True, sharey="row", squeeze=False)
    for column, task in enumerate(options.tasks):
        _success(axes[0, column], results, task)
        _influence(axes[1, column], results, task)
        for row in (0, 1):
            _lags(axes[row, column], results)
        axes[1, column].set_xlabel("lag [steps]")
    axes[0, 0].set_ylabel("right answers")
    axes[1, 0].set_ylabel("influence left at the largest lag")
    labels = [*options.cells, "after training", "before training"]
    figure.legend(
        _keys(len(options.cells)),
        labels,
        loc="outside upper center",
        ncols=min(7, len(labels)),
        frameon=False,
        title=TITLE,
        title_fontproperties={"size": 14, "weight": "bold"},
    )
    figure.supxlabel(about(options), fontsize=8, color="#777")
    return figure


def _success(axes: Axes, results: Results, task: str) -> None:
    asked = problem(task, results.options)
    axes.set_title(asked.title, loc="left", pad=18)
    axes.text(
        0, 1.02, asked.right, transform=axes.transAxes, fontsize=8.5, color="#777", va="bottom"
    )
    axes.axhspan(0, asked.chance, color="#000", alpha=0.05, lw=0)
    axes.axhline(asked.chance, color="#777", lw=1, ls=(0, (4, 3)))
    axes.annotate(
        "chance",
        (0, asked.chance),
        xycoords=("axes fraction", "data"),
        xytext=(4, -3),
        textcoords="offset points",
        va="top",
        fontsize=8,
        color="#777",
    )
    for k, cell in enumerate(results.options.cells):
        outcomes = results.line(task, cell)
        _plot(axes, results, k, outcomes, [outcome.success for outcome in outcomes], _line(k))
    axes.set_ylim(0, 1.04)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])


def _influence(axes: Axes, results: Results, task: str) -> None:
    axes.axhspan(_FLOOR / 10, HUNDREDTH, color="#000", alpha=0.05, lw=0)
    axes.axhline(HUNDREDTH, color="#777", lw=1, ls=(0, (4, 3)), zorder=1)
    for k, cell in enumerate(results.options.cells):
        outcomes = results.line(task, cell)
        hollow = _line(k) | {"lw": 1, "ls": ":", "mfc": "white", "ms": 4.5, "alpha": 0.9}
        before = [_within(outcome.left_before) for outcome in outcomes]
        after = [_within(outcome.left_after) for outcome in outcomes]
        _plot(axes, results, k, outcomes, before, hollow)
        _plot(axes, results, k, outcomes, after, _line(k))
    axes.set_yscale("log")
    axes.set_ylim(_FLOOR / 3, _CEILING * 1.5)
    ticks = [*(10.0**exponent for exponent in range(-12, 1, 3)), _CEILING]
    labels = [f"$10^{{{exponent}}}$" for exponent in range(-9, 0, 3)]
    axes.set_yticks(ticks, ["$\\leq 10^{-12}$", *labels, "1", "≥ 10"])
    axes.yaxis.minorticks_off()
    axes.annotate(
        "a hundredth",
        (1, HUNDREDTH),
        xycoords=("axes fraction", "data"),
        xytext=(-4, -3),
        textcoords="offset points",
        ha="right",
        va="top",
        fontsize=8,
        color="#777",
    )


def _lags(axes: Axes, results: Results) -> None:
    lags = [int(lag) for lag in results.options.lags]
    axes.set_xscale("log")
    axes.set_xlim(min(lags) / 1.3, max(lags) * 1.3)
    axes.set_xticks(lags, [str(lag) for lag in lags])
    axes.xaxis.minorticks_off()
    axes.grid(visible=True)
    axes.set_axisbelow(True)


def _plot(
    axes: Axes,
    results: Results,
    k: int,
    outcomes: list[Outcome],
    heights: list[float],
    style: dict[str, Any],
) -> None:
    """A line of the k-th cell, a little beside the others, so that those at one height are seen."""
    shift = 1.03 ** (k - (len(results.options.cells) - 1) / 2)
    points = [(o.lag * shift, y) for o, y in zip(outcomes, heights, strict=True) if y == y]
    if points:  # a line without points confuses the layout
        axes.plot(*zip(*points, strict=True), **style)


def _within(left: float) -> float:
    return left if math.isnan(left) else min(max(left, _FLOOR), _CEILING)


def _line(k: int) -> dict[str, Any]:
    colour = _COLOURS[k % len(_COLOURS)]
    return {
        "color": colour,
        "marker": _SHAPES[k % len(_SHAPES)],
        "ms": 6,
        "mec": colour,
        "lw": 1.9,
        "clip_on": False,
        "zorder": 3,
    }


def _keys(cells: int) -> list[Any]:
    from matplotlib.lines import Line2D

    return [
        *(Line2D([], [], **_line(k)) for k in range(cells)),
        Line2D([], [], color="#555", marker="o", ms=6, lw=1.9),
        Line2D([], [], color="#555", marker="o", ms=4.5, lw=1, ls=":", mfc="white"),
    ]
