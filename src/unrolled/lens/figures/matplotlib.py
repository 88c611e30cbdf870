"""Pictures drawn by matplotlib, without its global state: nothing pops up, nothing stays behind."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure, SubFigure
from matplotlib.gridspec import GridSpec

from .picture import SCRIPT, Array, Axis, Heat, Line, Panel, Picture
from .theme import Theme

_DASHES = {"solid": "-", "dash": "--", "dot": ":", "dashdot": "-.", "points": "none"}


def draw(picture: Picture, theme: Theme) -> Figure:
    """The picture as a figure of matplotlib's."""
    style: Any = {  # of matplotlib's thousand settings
        "font.family": "DejaVu Sans",  # comes with matplotlib and has ‖, ∂ and ℓ
        "font.size": 9,
        "text.color": theme.ink,
        "axes.labelcolor": theme.ink,
        "axes.edgecolor": theme.soft,
        "axes.linewidth": 0.7,
        "axes.facecolor": theme.page,
        "xtick.color": theme.soft,
        "ytick.color": theme.soft,
        "xtick.labelcolor": theme.ink,
        "ytick.labelcolor": theme.ink,
        "xtick.labelsize": 8.5,
        "ytick.labelsize": 8.5,
        "grid.color": theme.rule,
        "grid.linewidth": 0.8,
        "hatch.color": theme.soft,
        "hatch.linewidth": 0.5,
        "legend.facecolor": theme.page,
        "legend.edgecolor": theme.rule,
        "legend.framealpha": 0.85,
        "legend.fontsize": 8.5,
    }
    with rc_context(style):
        size = (5.4 * max(picture.columns, 1.2), picture.height / 100 * picture.rows + 0.6)
        figure = Figure(figsize=size, layout="constrained", facecolor=theme.page)
        figure.get_layout_engine().set(w_pad=0.08, h_pad=0.08, wspace=0.03, hspace=0.03)  # type: ignore[union-attr, call-arg]
        figure.suptitle(_text(picture.title), x=0.01, ha="left", fontsize=12.5, fontweight="bold")
        inner = figure.add_subfigure(GridSpec(1, 1, figure=figure)[0])
        inner.set_facecolor(theme.page)
        if picture.subtitle:
            inner.suptitle(
                _text(picture.subtitle), x=0.01, ha="left", fontsize=9.5, color=theme.soft
            )
        for index, panel in enumerate(picture.panels):
            axes = inner.add_subplot(picture.rows, picture.columns, index + 1)
            _panel(inner, axes, panel, theme)
    return figure


def _panel(figure: SubFigure, axes: Axes, panel: Panel, theme: Theme) -> None:
    axes.set_title(_text(panel.title), fontsize=10, loc="left", color=theme.ink)
    _axis(axes, "x", panel.x)
    _axis(axes, "y", panel.y)
    if panel.heat is not None:
        _heat(figure, axes, panel.heat, theme)
    else:
        axes.grid(True)
        axes.set_axisbelow(True)
        for line in panel.lines:
            _line(axes, line, panel, theme)
    for mark in panel.marks:
        across = axes.axvline if mark.axis == "x" else axes.axhline
        across(mark.at, color=theme.soft, linewidth=0.9, linestyle=(0, (4, 3)))
        if mark.axis == "x":
            place, where = (mark.at, 0.03), axes.get_xaxis_transform()
        else:
            place, where = (0.02, mark.at), axes.get_yaxis_transform()
        axes.annotate(
            _text(mark.label),
            place,
            xycoords=where,
            xytext=(-3, 0) if mark.axis == "x" else (0, 3 if panel.above(mark) else -3),
            textcoords="offset points",
            ha="right" if mark.axis == "x" else "left",
            va="bottom" if mark.axis == "x" or panel.above(mark) else "top",
            rotation=90 if mark.axis == "x" else 0,
            fontsize=8.5,
            color=theme.soft,
        )
    if len(panel.lines) > 1:
        corner: Any = " ".join(panel.corner())
        axes.legend(loc=corner)


def _line(axes: Axes, line: Line, panel: Panel, theme: Theme) -> None:
    points = line.style == "points" or len(line.x) == 1
    axes.plot(
        line.x,
        panel.heights(line),
        label=_text(line.name) or None,
        color=theme.lines[line.colour % len(theme.lines)],
        linestyle=_DASHES[line.style],
        linewidth=1.7,
        marker="o" if points else "",
        markersize=3.6,
    )


def _heat(figure: SubFigure, axes: Axes, heat: Heat, theme: Theme) -> None:
    colours = heat.colours
    mesh = axes.pcolormesh(
        _edges(heat.x),
        _edges(heat.y),
        colours.coordinates(heat.values),
        cmap=LinearSegmentedColormap.from_list("heat", colours.stops(theme), N=1024),
        vmin=colours.bottom,
        vmax=colours.high,
        rasterized=True,
        zorder=0.5,
    )
    bar = figure.colorbar(mesh, ax=axes, ticks=[at for at, _ in colours.ticks], aspect=28, pad=0.02)
    bar.ax.set_yticklabels([_text(label) for _, label in colours.ticks])
    bar.set_label(_text(colours.title))
    bar.ax.minorticks_off()
    bar.outline.set_visible(False)
    if np.isnan(heat.values).any():
        # The hatched background shows through where there is no value.
        axes.patch.set(facecolor=theme.missing, hatch="////")


def _axis(axes: Axes, which: str, axis: Axis) -> None:
    own = axes.xaxis if which == "x" else axes.yaxis
    if axis.log:
        (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    (axes.set_xlim if which == "x" else axes.set_ylim)(axis.low, axis.high)
    own.set_ticks([at for at, _ in axis.ticks], [_text(label) for _, label in axis.ticks])
    own.set_ticks([], minor=True)
    own.set_label_text(_text(axis.title))


def _edges(centres: Array) -> Array:
    """Bounds of the cells around their centres."""
    if len(centres) == 1:
        return np.array([centres[0] - 0.5, centres[0] + 0.5])
    middle = (centres[1:] + centres[:-1]) / 2
    first, last = 2 * centres[0] - middle[0], 2 * centres[-1] - middle[-1]
    return np.concatenate([[first], middle, [last]])


def _text(text: str) -> str:
    """A text with its indices and exponents in mathtext."""
    return SCRIPT.sub(r"$\1{\2}$", text.replace("\\", r"\\").replace("$", r"\$"))
