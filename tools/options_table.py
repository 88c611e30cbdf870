"""Write the table of options into docs/options.md, from their declarations.

Usage: python tools/options_table.py
"""

from __future__ import annotations

from pathlib import Path

from unrolled.options import OPTIONS, Option

PAGE = Path(__file__).resolve().parents[1] / "docs" / "options.md"
HEAD = "| option | | in training | in evaluation | source |\n|---|---|---|---|---|\n"


def table() -> str:
    """A row for each option, in the order in which a layer prints them."""
    return HEAD + "".join(map(_row, OPTIONS.values()))


def _row(option: Option) -> str:
    cells = (
        f"`{option.name}={option.symbol}`",
        option.doc,
        option.equation,
        option.evaluation,
        option.source,
    )
    return "|" + "|".join(f" {cell} " if cell else " " for cell in cells) + "|\n"


def written(page: str) -> str:
    """The page with the table in the place of the one that it has."""
    start = page.index("| option | | in training")
    return page[:start] + table() + page[page.index("\n\n", start) + 1 :]


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
