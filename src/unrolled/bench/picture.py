"""A report as a picture: how many times as fast as the best peer, a dot for each case."""

from __future__ import annotations

import math
from html import escape

from unrolled.bench.report import Report, Result

_PANEL, _ROW, _LEFT, _TOP, _GAP = 300, 22, 76, 58, 34

_STYLE = """
svg { background: #fff; color: #222; font: 12px system-ui, sans-serif }
text { fill: currentColor } .title { font-weight: 600 } .soft { opacity: .65 }
.grid { stroke: currentColor; opacity: .12 } .one { stroke: currentColor; opacity: .6 }
.band { fill: currentColor; opacity: .035 }
.cell0 { fill: #2563eb } .cell1 { fill: #d97706 } .cell2 { fill: #059669 } .cell3 { fill: #9333ea }
@media (prefers-color-scheme: dark) { svg { background: #16181d; color: #ddd } }
"""

_TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)


def picture(report: Report) -> str:
    """The picture as SVG.

    One panel for each number of threads, dtype and mode; one row for each shape; the scale is
    logarithmic and the same in all. A dot right of the upright line is a case where we are faster
    than the fastest peer.
    """
    results = [result for result in report.results if math.isfinite(result.ratio_to_best)]
    if not results:
        return '<svg xmlns="http://www.w3.org/2000/svg" width="200" height="30"/>\n'
    shapes = list(dict.fromkeys(result.case.shape for result in results))
    cells = list(dict.fromkeys(result.case.cell for result in results))
    rows = list(dict.fromkeys((result.case.dtype, result.case.threads) for result in results))
    modes = list(dict.fromkeys(result.case.mode for result in results))
    low = min(0.8, *(result.ratio_to_best for result in results)) / 1.08
    high = max(1.25, *(result.ratio_to_best for result in results)) * 1.08

    def px(ratio: float) -> float:
        return _PANEL * math.log(ratio / low) / math.log(high / low)

    deep = _ROW * len(shapes)
    width = _LEFT + len(modes) * (_PANEL + _GAP)
    height = _TOP + len(rows) * (deep + 62)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-label="Speed beside the fastest peer">',
        f"<style>{_STYLE}</style>",
        '<text class="title" x="12" y="22">Times as fast as the fastest peer</text>',
    ]
    for k, cell in enumerate(cells):
        x = width - 70 * (len(cells) - k)
        parts.append(
            f'<circle class="cell{k % 4}" cx="{x}" cy="18" r="4.5"/>'
            f'<text x="{x + 9}" y="22">{escape(cell)}</text>'
        )
    for row, (dtype, threads) in enumerate(rows):
        for column, mode in enumerate(modes):
            x, y = _LEFT + column * (_PANEL + _GAP), _TOP + row * (deep + 62)
            title = f"{mode}, {dtype}, {threads} thread{'s' * (threads != 1)}"
            parts.append(f'<g transform="translate({x} {y})">')
            parts.append(f'<text class="soft" x="0" y="-8">{escape(title)}</text>')
            for k, shape in enumerate(shapes):
                if k % 2 == 0:
                    parts.append(
                        f'<rect class="band" width="{_PANEL}" height="{_ROW}" y="{k * _ROW}"/>'
                    )
                if column == 0:
                    parts.append(
                        f'<text x="-10" y="{(k + 0.5) * _ROW + 4}" text-anchor="end">'
                        f"{escape(shape)}</text>"
                    )
            for tick in _TICKS:
                if low <= tick <= high:
                    parts.append(
                        f'<line class="{"one" if tick == 1 else "grid"}" x1="{px(tick):.1f}" '
                        f'x2="{px(tick):.1f}" y1="0" y2="{deep}"/><text class="soft" '
                        f'x="{px(tick):.1f}" y="{deep + 15}" text-anchor="middle">{tick:g}</text>'
                    )
            for result in results:
                case = result.case
                if (case.dtype, case.threads, case.mode) == (dtype, threads, mode):
                    k = cells.index(case.cell)
                    offset = (k + 1) / (len(cells) + 1)
                    parts.append(
                        _dot(
                            result,
                            px(result.ratio_to_best),
                            (shapes.index(case.shape) + offset) * _ROW,
                            k,
                        )
                    )
            parts.append("</g>")
    return "\n".join([*parts, "</svg>", ""])


def _dot(result: Result, x: float, y: float, cell: int) -> str:
    title = f"{result.case}: {result.ratio_to_best:.2f} × {result.best}"
    return (
        f'<circle class="cell{cell % 4}" cx="{x:.1f}" cy="{y:.1f}" r="4">'
        f"<title>{escape(title)}</title></circle>"
    )
