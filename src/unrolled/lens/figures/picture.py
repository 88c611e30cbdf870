"""What a figure shows, before anybody draws it: panels of heat maps and lines, with their scales.

A picture is described once and drawn by matplotlib or by Plotly; what it says cannot differ.

Texts may have indices and exponents in TeX's braces, ``h_{t}`` and ``10^{−3}``; all else stands for
itself, so names need no escaping.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .theme import Theme

Array = NDArray[np.float64]
Ticks = tuple[tuple[float, str], ...]

Style = Literal["solid", "dash", "dashdot", "dot", "points"]
STYLES: tuple[Style, ...] = ("solid", "dash", "dashdot", "dot")  # for the eye that sees no colours

Corner = tuple[Literal["upper", "lower"], Literal["right", "left"]]
CORNERS: tuple[Corner, ...] = (
    ("upper", "right"),
    ("upper", "left"),
    ("lower", "right"),
    ("lower", "left"),
)

SCRIPT = re.compile(r"([_^])\{([^{}]*)\}")


def plain(text: str) -> str:
    """A text without its braces, for where there is no room for indices: ``h_t``."""
    return SCRIPT.sub(r"\1\2", text)


@dataclass(frozen=True)
class Axis:
    """One axis of a panel.

    Attributes:
        title: what is counted, with its unit.
        low: the number at the left or at the bottom; above ``high`` where the axis is turned round.
        high: the number at the right or at the top.
        ticks: numbers and what is written beside them.
        log: whether the scale is logarithmic.
    """

    title: str
    low: float
    high: float
    ticks: Ticks
    log: bool = False

    def share(self, values: Array) -> Array:
        """How far along the axis values lie: 0 for low, 1 for high."""
        low, high, places = np.array(self.low), np.array(self.high), values
        if self.log:
            low, high, places = np.log10(low), np.log10(high), np.log10(values)
        found: Array = (places - low) / (high - low)
        return found


@dataclass(frozen=True)
class Colours:
    """The colours of a heat map.

    A value's place on the colour bar is its *coordinate*: its logarithm to base 10, or itself.
    Exact zeros, which have no logarithm, get a block of their own below the others.

    Attributes:
        title: what is coloured, with its unit.
        kind: "decades" of positive numbers and zeros, a "share" from 0 to 1, or "signed".
        low: coordinate of the first colour; what is less gets it, too.
        high: coordinate of the last colour; what is more gets it, too.
        ticks: coordinates and what is written beside them.
        zero: whether there is a block for exact zeros.
    """

    title: str
    kind: Literal["decades", "share", "signed"]
    low: float
    high: float
    ticks: Ticks
    zero: bool = False

    @property
    def bottom(self) -> float:
        """Coordinate at which the colour bar begins, with the block of zeros if there is one."""
        return self.low - 0.1 * (self.high - self.low) if self.zero else self.low

    def coordinates(self, values: Array) -> Array:
        """Each value's place on the colour bar; NaN stays NaN."""
        if self.kind != "decades":
            return np.clip(values, self.low, self.high)
        with np.errstate(divide="ignore"):
            # Just inside, so that the first colour's place is no zero's by rounding.
            low = self.low + 1e-3 * (self.high - self.low)
            found = np.clip(np.log10(values), low, self.high)
        return np.where(values == 0, (self.bottom + self.low) / 2, found)

    def stops(self, theme: Theme) -> list[tuple[float, str]]:
        """Colours at shares of the way from ``bottom`` to ``high``."""
        colours = theme.signed if self.kind == "signed" else theme.sequential
        start = (self.low - self.bottom) / (self.high - self.bottom)
        block = [(0.0, theme.zero), (start, theme.zero)] if self.zero else []
        last = len(colours) - 1
        return block + [(start + (1 - start) * i / last, c) for i, c in enumerate(colours)]


@dataclass(frozen=True, eq=False)
class Heat:
    """A heat map.

    Attributes:
        values: ``[rows, columns]``; NaN where nothing was computed.
        x: what the columns stand for, increasing.
        y: what the rows stand for, increasing.
        colours: their scale.
    """

    values: Array
    x: Array
    y: Array
    colours: Colours


@dataclass(frozen=True, eq=False)
class Line:
    """A line, or points.

    Attributes:
        name: what the legend calls it; empty where it does not.
        x: increasing, unless they are points.
        y: NaN where there is a gap.
        colour: which of the theme's colours.
        style: how it is drawn.
    """

    name: str
    x: Array
    y: Array
    colour: int = 0
    style: Style = "solid"


@dataclass(frozen=True)
class Mark:
    """A thin line across a panel that marks a place on one axis.

    Attributes:
        axis: the axis on which it has a place.
        at: the place.
        label: what is written beside it.
    """

    axis: Literal["x", "y"]
    at: float
    label: str


@dataclass(frozen=True, eq=False)
class Panel:
    """One pair of axes and what is drawn between them: a heat map, or lines.

    Attributes:
        title: what is seen.
        x: the horizontal axis.
        y: the vertical axis.
        heat: the heat map, if it is one.
        lines: the lines, if it is none.
        marks: places on the axes.
    """

    title: str
    x: Axis
    y: Axis
    heat: Heat | None = None
    lines: tuple[Line, ...] = ()
    marks: tuple[Mark, ...] = ()

    def heights(self, line: Line) -> Array:
        """A line's y with gaps where it has no place on the axis."""
        return np.where(line.y > 0, line.y, np.nan) if self.y.log else line.y

    def above(self, mark: Mark) -> bool:
        """Whether a mark on the y axis has its label above it: below where it is near the top."""
        return bool(self.y.share(np.array(mark.at)) < 0.93)

    def corner(self) -> Corner:
        """The corner with the fewest points of the lines, where a legend hides the least."""
        across = [self.x.share(line.x) for line in self.lines]
        up = [self.y.share(self.heights(line)) for line in self.lines]
        for mark in self.marks:
            if mark.axis == "y":  # its label, at the left
                across.append(np.linspace(0, 0.4, 20))
                up.append(np.full(20, self.y.share(np.array(mark.at)) + 0.05))

        def hidden(corner: Corner) -> int:
            x, y = np.concatenate(across), np.concatenate(up)
            x = x if corner[1] == "right" else 1 - x
            y = y if corner[0] == "upper" else 1 - y
            return int(((x > 0.55) & (y > 0.65)).sum())

        return min(CORNERS, key=hidden)


@dataclass(frozen=True, eq=False)
class Picture:
    """A figure.

    Attributes:
        title: what is seen.
        subtitle: what the numbers say, in a sentence.
        panels: row by row.
        columns: panels in a row.
        height: of a row, in pixels.
    """

    title: str
    subtitle: str = ""
    panels: tuple[Panel, ...] = field(default=())
    columns: int = 1
    height: int = 400

    @property
    def rows(self) -> int:
        """How many rows the panels fill."""
        return -(-len(self.panels) // self.columns)

    @property
    def description(self) -> str:
        """The figure in words, for those who do not see it."""
        panels = "; ".join(plain(panel.title) for panel in self.panels)
        return " ".join(
            f"{part.rstrip('.')}." for part in (self.title, self.subtitle, panels) if part
        )
