"""Line charts as SVG, coloured by the page's style sheet so that they follow light and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 720, 260
LEFT, RIGHT, TOP, BOTTOM = 58, 58, 14, 34
POINTS = 800


@dataclass(frozen=True)
class Line:
    """One line of a chart.

    Attributes:
        name: Its name in the legend.
        points: (x, y) in order of x; a point that cannot be drawn is a gap.
        style: Class in the style sheet: ``a`` to ``f``, ``n`` for a bound, ``m0`` to ``m4`` for
            moments in their order.
        dots: Whether to mark the points.
        faint: Whether it stands behind the others.
    """

    name: str
    points: Sequence[tuple[float, float]]
    style: str = "a"
    dots: bool = False
    faint: bool = False


def line_chart(
    lines: Sequence[Line],
    *,
    unit: str,
    x_unit: str = "updates",
    log: bool = False,
    zero: bool = False,
    right: tuple[float, str] | None = None,
    best: float | None = None,
) -> str:
    """A chart as an ``<svg>`` element.

    Args:
        lines: What to draw.
        unit: Unit of y, written at the axis.
        x_unit: Unit of x.
        log: Whether y is logarithmic; values that are not positive are left out.
        zero: Whether y begins at zero.
        right: Factor and unit of a second scale at the right edge.
        best: An x to mark with an upright line.

    Returns:
        SVG, or a paragraph that says there is nothing to draw yet.
    """
    edge = WIDTH - (RIGHT if right is not None else 16)
    kept = [(line, _segments(line.points, log)) for line in lines]
    kept = [(line, segments) for line, segments in kept if segments]
    if not kept:
        return '<p class="empty">Nothing to draw yet.</p>'
    xs = [x for _, segments in kept for points in segments for x, _ in points]
    ys = [y for _, segments in kept for points in segments for _, y in points]
    x0, x1 = min(xs), max(xs)
    if x0 == x1:
        x0, x1 = x0 - 1, x1 + 1
    y0, y1 = (0.0 if zero else min(ys)), max(ys)
    if log:
        ticks = _log_ticks(y0, y1)
        y0, y1 = min(y0, ticks[0]), max(y1, ticks[-1])
    else:
        least = max(1.0, 1e-6 * abs(y1))  # what large numbers can still be told apart by
        if y1 - y0 < 1e-6 * least:
            y0, y1 = y0 - (0.0 if zero else least / 2), y1 + least / 2
        ticks = _ticks(y0, y1, 5)
        step = ticks[1] - ticks[0] if len(ticks) > 1 else y1 - y0
        y0, y1 = math.floor(y0 / step) * step, math.ceil(y1 / step) * step
        ticks = _ticks(y0, y1, 5)

    def px(x: float) -> float:
        return LEFT + (x - x0) / (x1 - x0) * (edge - LEFT)

    def py(y: float) -> float:
        share = (
            (math.log(y) - math.log(y0)) / (math.log(y1) - math.log(y0))
            if log
            else (y - y0) / (y1 - y0)
        )
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(unit)}">']
    for y in ticks:
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{edge}" '
            f'y1="{py(y):.1f}" y2="{py(y):.1f}"/>'
            f'<text class="tick" x="{LEFT - 8}" y="{py(y) + 4:.1f}" text-anchor="end">'
            f"{number(y)}</text>"
        )
    for x in _ticks(x0, x1, 6):
        parts.append(
            f'<text class="tick" x="{px(x):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">'
            f"{number(x)}</text>"
        )
    if right is not None:
        factor, name = right
        for y in _ticks(y0 * factor, y1 * factor, 5):
            parts.append(
                f'<text class="tick" x="{edge + 8}" y="{py(y / factor) + 4:.1f}">{number(y)}</text>'
            )
        parts.append(_upright(name, WIDTH - 10))
    parts.append(_upright(unit, 12))
    parts.append(
        f'<text class="axis" x="{edge}" y="{HEIGHT - 3}" text-anchor="end">{escape(x_unit)}</text>'
    )
    if best is not None and x0 <= best <= x1:
        parts.append(
            f'<line class="best" x1="{px(best):.1f}" x2="{px(best):.1f}" '
            f'y1="{TOP}" y2="{HEIGHT - BOTTOM}"><title>best: {number(best)}</title></line>'
        )
    for line, points in ((line, points) for line, segments in kept for points in segments):
        path = " ".join(f"{px(x):.1f},{py(y):.1f}" for x, y in _thin(points))
        faint = " faint" if line.faint else ""
        parts.append(f'<polyline class="{line.style}{faint}" points="{path}"/>')
        if line.dots or len(points) == 1:
            parts.extend(
                f'<circle class="{line.style}" cx="{px(x):.1f}" cy="{py(y):.1f}" r="2.6">'
                f"<title>{number(x)}: {y:.4g}</title></circle>"
                for x, y in _thin(points)
            )
    parts.append("</svg>")
    names = "".join(
        f'<span><i class="{line.style}{" faint" if line.faint else ""}"></i>'
        f"{escape(line.name)}</span>"
        for line, _ in kept
    )
    return f'<div class="legend">{names}</div>' + "".join(parts)


def number(value: float) -> str:
    """A number for a tick: 1500 → 1.5k, 0.00002 → 2e-5."""
    size = abs(value)
    if size >= 1e6:
        return f"{value / 1e6:.4g}M"
    if size >= 1e4:
        return f"{value / 1e3:.4g}k"
    if 0 < size < 1e-3:
        mantissa, exponent = f"{value:e}".split("e")
        return f"{float(mantissa):.3g}e{int(exponent)}"
    return f"{value:.4g}"


def _upright(text: str, x: float) -> str:
    middle = (TOP + HEIGHT - BOTTOM) / 2
    return (
        f'<text class="axis" text-anchor="middle" '
        f'transform="translate({x} {middle}) rotate(-90)">{escape(text)}</text>'
    )


def _segments(points: Sequence[tuple[float, float]], log: bool) -> list[list[tuple[float, float]]]:
    """The points between gaps: those that are finite, and positive on a logarithmic scale."""
    segments: list[list[tuple[float, float]]] = [[]]
    for x, y in points:
        if math.isfinite(x) and math.isfinite(y) and (y > 0 or not log):
            segments[-1].append((x, y))
        elif segments[-1]:
            segments.append([])
    return [segment for segment in segments if segment]


def _thin(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most ``POINTS`` points: means of neighbours, the ends kept."""
    if len(points) <= POINTS:
        return points
    size = len(points) / (POINTS - 2)
    groups = [
        points[int(i * size) : max(int((i + 1) * size), int(i * size) + 1)]
        for i in range(POINTS - 2)
    ]
    means = [
        (sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group))
        for group in groups
    ]
    return [points[0], *means, points[-1]]


def _ticks(low: float, high: float, wanted: int) -> list[float]:
    """Round values from ``low`` to ``high``, about ``wanted`` of them."""
    rough = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [i * step for i in range(first, last + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    """1, 2, 5 times powers of ten around ``low`` to ``high``, thinned to a readable number."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    fine = [m * 10.0**e for e in range(first, last + 1) for m in (1, 2, 5)]
    inside = [v for v in fine if low / 2.5 < v < high * 2.5]
    if len(inside) > 7:
        inside = [10.0**e for e in range(first, last + 1, -(-(last + 1 - first) // 9))]
    return inside if len(inside) > 1 else [low / 2, low, low * 2]
