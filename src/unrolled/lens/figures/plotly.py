"""Pictures drawn by Plotly, to hover and zoom."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from .picture import SCRIPT, Axis, Colours, Heat, Line, Mark, Panel, Picture
from .theme import Theme

_TOP, _BOTTOM, _BETWEEN = 100, 60, 90  # pixels above, below and between the rows


def draw(picture: Picture, theme: Theme) -> go.Figure:
    """The picture as a figure of Plotly's; as wide as its place, if not told otherwise."""
    height = picture.height * picture.rows + _TOP + _BOTTOM - _BETWEEN
    between = _BETWEEN / max(height - _TOP - _BOTTOM, 1)
    figure = make_subplots(
        picture.rows,
        picture.columns,
        vertical_spacing=min(between, 0.9 / max(picture.rows - 1, 1)),
        horizontal_spacing=0.2 / max(picture.columns - 1, 1),
    )
    figure.update_layout(_layout(picture, height, theme))
    for index, panel in enumerate(picture.panels):
        _panel(figure, panel, index, picture.columns, theme)
    return figure


def _layout(picture: Picture, height: int, theme: Theme) -> dict[str, Any]:
    axis = {
        "gridcolor": theme.rule,
        "linecolor": theme.soft,
        "tickcolor": theme.soft,
        "ticks": "outside",
        "showline": True,
        "mirror": True,
        "zeroline": False,
    }
    template = go.layout.Template(
        layout={
            "font": {"family": "system-ui, sans-serif", "size": 13, "color": theme.ink},
            "paper_bgcolor": theme.page,
            "plot_bgcolor": theme.page,
            "xaxis": axis,
            "yaxis": axis,
            "colorway": theme.lines,
            "hoverlabel": {"bgcolor": theme.page, "font": {"color": theme.ink}},
        }
    )
    last_column = picture.panels[picture.columns - 1 :: picture.columns]
    bars = any(panel.heat is not None for panel in last_column)
    subtitle = {"text": _text(picture.subtitle), "font": {"size": 13, "color": theme.soft}}
    return {
        "template": template,
        "height": height,
        "title": {
            "text": f"<b>{_text(picture.title)}</b>",
            "subtitle": subtitle,
            "font": {"size": 17},
            "xref": "container",
            "x": 0.01,
            "yref": "container",
            "y": 1 - 14 / height,
            "yanchor": "top",
        },
        "margin": {"t": _TOP, "b": _BOTTOM, "l": 70, "r": 90 if bars else 30},
        "meta": {"description": picture.description},
    }


def _panel(figure: go.Figure, panel: Panel, index: int, columns: int, theme: Theme) -> None:
    row, column = index // columns + 1, index % columns + 1
    subplot = (
        next(figure.select_xaxes(row=row, col=column)),
        next(figure.select_yaxes(row=row, col=column)),
    )
    suffix = "" if index == 0 else str(index + 1)
    for own, axis in zip(subplot, (panel.x, panel.y), strict=True):
        own.update(_axis(axis, grid=panel.heat is None))
    figure.add_annotation(
        text=_text(panel.title),
        xref=f"x{suffix} domain",
        yref=f"y{suffix} domain",
        x=0,
        y=1,
        xanchor="left",
        yanchor="bottom",
        yshift=4,
        showarrow=False,
        font={"size": 14},
    )
    if panel.heat is not None:
        _heat(figure, panel, panel.heat, row, column, theme)
    for line in panel.lines:
        figure.add_trace(_line(line, panel, f"legend{suffix}", theme), row, column)
    for mark in panel.marks:
        _mark(figure, mark, panel, row, column, theme)
    if len(panel.lines) > 1:
        figure.update_layout({f"legend{suffix}": _legend(panel, *subplot, theme)})


def _heat(figure: go.Figure, panel: Panel, heat: Heat, row: int, column: int, theme: Theme) -> None:
    across = next(figure.select_xaxes(row=row, col=column)).domain
    low, high = next(figure.select_yaxes(row=row, col=column)).domain
    bar = {"x": across[1], "y": (low + high) / 2, "len": high - low}
    figure.add_trace(
        go.Heatmap(
            x=heat.x,
            y=heat.y,
            z=heat.colours.coordinates(heat.values).astype(np.float32),
            customdata=heat.values,
            hovertemplate=_hover(panel, heat.colours.title, "%{customdata:.3g}"),
            hoverongaps=False,
            **_colours(heat.colours, bar, theme),
        ),
        row,
        column,
    )
    if np.isnan(heat.values).any():
        # What is behind shows through where there is no value.
        figure.add_shape(
            type="rect",
            xref="x domain",
            yref="y domain",
            x0=0,
            x1=1,
            y0=0,
            y1=1,
            fillcolor=theme.missing,
            line_width=0,
            layer="below",
            row=row,
            col=column,
        )


def _legend(panel: Panel, x: Any, y: Any, theme: Theme) -> dict[str, Any]:
    vertical, horizontal = panel.corner()
    return {
        "x": x.domain[horizontal == "right"],
        "y": y.domain[vertical == "upper"],
        "xanchor": horizontal,
        "yanchor": "top" if vertical == "upper" else "bottom",
        "bgcolor": theme.page,
        "bordercolor": theme.rule,
        "borderwidth": 1,
    }


def _line(line: Line, panel: Panel, legend: str, theme: Theme) -> go.Scatter:
    colour = theme.lines[line.colour % len(theme.lines)]
    points = line.style == "points" or len(line.x) == 1
    return go.Scatter(
        x=line.x,
        y=panel.heights(line),
        name=_text(line.name),
        mode="markers" if points else "lines",
        line={"color": colour, "width": 2, "dash": "solid" if points else line.style},
        marker={"color": colour, "size": 6},
        hovertemplate=_hover(panel, panel.y.title, "%{y:.3g}"),
        legend=legend,
        showlegend=len(panel.lines) > 1 and bool(line.name),
    )


def _mark(figure: go.Figure, mark: Mark, panel: Panel, row: int, column: int, theme: Theme) -> None:
    vertical = mark.axis == "x"
    label: dict[str, Any] = {
        "text": _text(mark.label),
        "font": {"color": theme.soft, "size": 12},
        "textposition": "start",
    }
    if vertical:
        label |= {"textangle": -90, "xanchor": "right"}
    else:
        label["yanchor"] = "bottom" if panel.above(mark) else "top"
    (figure.add_vline if vertical else figure.add_hline)(
        mark.at,
        row=row,
        col=column,
        line={"color": theme.soft, "width": 1, "dash": "dash"},
        layer="above",
        label=label,
    )


def _colours(colours: Colours, bar: dict[str, float], theme: Theme) -> dict[str, Any]:
    return {
        "colorscale": [[at, colour] for at, colour in colours.stops(theme)],
        "zmin": colours.bottom,
        "zmax": colours.high,
        "colorbar": {
            **bar,
            "lenmode": "fraction",
            "xpad": 8,
            "ypad": 0,
            "thickness": 14,
            "outlinewidth": 0,
            "tickvals": [at for at, _ in colours.ticks],
            "ticktext": [_text(label) for _, label in colours.ticks],
            # Plotly measures 10 to the −3 too short: an empty line between it and the title.
            "title": {"text": f"<br>{_text(colours.title)}", "side": "right", "font": {"size": 13}},
        },
    }


def _axis(axis: Axis, *, grid: bool) -> dict[str, Any]:
    ends = (axis.low, axis.high)
    return {
        "title": {"text": _text(axis.title), "font": {"size": 13}, "standoff": 8},
        "type": "log" if axis.log else "linear",
        "range": [float(np.log10(end)) for end in ends] if axis.log else list(ends),
        "tickvals": [at for at, _ in axis.ticks],
        "ticktext": [_text(label) for _, label in axis.ticks],
        "showgrid": grid,
    }


def _hover(panel: Panel, what: str, value: str) -> str:
    places = f"{_text(panel.x.title)}: %{{x}}<br>"
    if panel.heat is not None:
        places += f"{_text(panel.y.title)}: %{{y}}<br>"
    return f"{places}{_text(what)}: <b>{value}</b>"


def _text(text: str) -> str:
    """A text with its indices and exponents as Plotly's HTML."""
    return SCRIPT.sub(
        lambda found: f"<{_TAGS[found[1]]}>{found[2]}</{_TAGS[found[1]]}>",
        escape(text, quote=False),
    )


_TAGS = {"_": "sub", "^": "sup"}
