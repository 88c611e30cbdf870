"""Parts of a report as HTML: tables, matrices, coloured text. Everything given is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from unrolled.training.task import Estimate


def paragraph(text: str) -> str:
    """A paragraph of plain text."""
    return f"<p>{escape(text)}</p>"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, words: Sequence[int] = ()) -> str:
    """A table; the first cell of a row names it, the others are set to the right.

    Args:
        head: Names of the columns; none for no line of names.
        rows: Cells as plain text.
        words: Columns that hold words, and are set to the left.
    """
    left = ' style="text-align: left"'
    names = "".join(
        f"<th{left if i == 0 or i in words else _RIGHT}>{escape(name)}</th>"
        for i, name in enumerate(head)
    )
    lines = [f"<tr>{names}</tr>"] if head else []
    for name, *cells in rows:
        marked = "".join(
            f"<td{left if i in words else ''}>{escape(cell)}</td>"
            for i, cell in enumerate(cells, start=1)
        )
        lines.append(f"<tr><th>{escape(name)}</th>{marked}</tr>")
    return f'<div style="overflow-x: auto"><table>{"".join(lines)}</table></div>'


def matrix(
    names: Sequence[str], counts: Sequence[Sequence[int]], *, rows: str, columns: str
) -> str:
    """A square matrix of counts, each cell coloured by its share of the row.

    Args:
        names: Of rows and columns alike.
        counts: The numbers.
        rows: What a row stands for.
        columns: What a column stands for.
    """
    head = "".join(f"<th{_RIGHT}>{escape(name)}</th>" for name in names)
    lines = [f"<tr><th>{escape(rows)} ↓ {escape(columns)} →</th>{head}</tr>"]
    for name, line in zip(names, counts, strict=True):
        total = max(1, sum(line))
        cells = "".join(f"<td{_shade(n / total)}>{n:,}</td>" for n in line)
        lines.append(f"<tr><th>{escape(name)}</th>{cells}</tr>")
    return f'<div style="overflow-x: auto"><table>{"".join(lines)}</table></div>'


def coloured(pieces: Sequence[str], strengths: Sequence[float]) -> str:
    """A text whose pieces are coloured by a strength from 0 to 1."""
    marked = "".join(
        f"<span{_shade(strength)}>{escape(piece)}</span>"
        for piece, strength in zip(pieces, strengths, strict=True)
    )
    return f"<pre>{marked}</pre>"


def share(value: Estimate) -> str:
    """A share with its interval: ``0.912 (0.89–0.93)``."""
    text = f"{value.value:.3f}"
    if value.low is None or value.high is None:
        return text
    return f"{text} ({value.low:.3f}\u2060–\u2060{value.high:.3f})"


_RIGHT = ' style="text-align: right"'


def _shade(strength: float) -> str:
    percent = round(70 * min(1.0, max(0.0, strength)))
    if percent == 0:
        return ""
    return f' style="background: color-mix(in srgb, var(--a) {percent}%, transparent)"'
