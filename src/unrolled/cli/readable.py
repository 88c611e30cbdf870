"""Results as plain lines for people: scores, facts, tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

ROWS = 40
"""Rows of a table that are shown at most; JSON has all."""

Score = Mapping[str, float | None]
"""An estimate as JSON has it: ``value``, ``low``, ``high``."""


def scores(metrics: Mapping[str, Score], baseline: Mapping[str, Score]) -> list[str]:
    """Metrics, one a line, each with its 95 % interval and the baseline's where there are any."""
    rows = []
    for name, score in metrics.items():
        beside = f"baseline {_score(baseline[name])}" if name in baseline else ""
        rows.append((name, _score(score), beside))
    rows += [
        (name, "", f"baseline {_score(baseline[name])}") for name in baseline if name not in metrics
    ]
    return _aligned(rows, left=3)


def _score(score: Score) -> str:
    low, high = score["low"], score["high"]
    interval = "" if low is None or high is None else f" ({shown(low)} to {shown(high)})"
    return f"{shown(score['value'])}{interval}"


def details(values: Mapping[str, Any]) -> Iterator[str]:
    """Facts, one a line; a mapping of mappings is a table, another mapping a list below its name.

    Args:
        values: Numbers, text, lists and mappings by name.
    """
    for name, value in values.items():
        label = name.replace("_", " ")
        if isinstance(value, Mapping):
            yield f"{label}:"
            rows = _rows(value)
            yield from (f"  {row}" for row in rows[: ROWS + 1])
            if len(rows) > ROWS + 1:
                yield f"  … and {len(rows) - ROWS - 1:,} more; --json shows all"
        else:
            yield f"{label}: {shown(value)}"


def _rows(values: Mapping[str, Any]) -> list[str]:
    """Lines of a mapping: a table where its values are mappings with the same keys."""
    kinds = [tuple(one) if isinstance(one, Mapping) else None for one in values.values()]
    if kinds and kinds[0] is not None and len(set(kinds)) == 1:
        head = ["", *map(str, kinds[0])]
        rows = [[str(name), *map(shown, one.values())] for name, one in values.items()]
        return _aligned([head, *rows])
    return _aligned([(str(name), shown(value)) for name, value in values.items()])


def shown(value: object) -> str:
    """A value in a few characters: four decimals, thousands separated."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4f}" if 1e-3 <= abs(value) < 1e6 or value == 0 else f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {shown(one)}" for name, one in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(shown, value))
    return str(value)


def _aligned(rows: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """Lines with aligned columns, the first ``left`` of them to the left."""
    from rich.cells import cell_len  # Korean letters are two columns wide

    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = []
        for i, (cell, width) in enumerate(zip(row, widths, strict=True)):
            space = " " * (width - cell_len(cell))
            cells.append(cell + space if i < left else space + cell)
        lines.append("  ".join(cells).rstrip())
    return lines
