"""Write docs/cells/README.md and index.html: every built-in cell, its equations, size and speed.

Usage: python tools/cells_page.py

Everything is read from the cells themselves, but for the speeds: those are in
docs/cells/speed.json, which benchmarks/cells.py writes.
"""

from __future__ import annotations

import html
import inspect
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unrolled.cells import BUILTIN, Cell
from unrolled.compiler.formulas import latex, mathml
from unrolled.compiler.program import VectorKind
from unrolled.compiler.trace import trace

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "cells"
SIZE = 256  # of I and H where a formula is followed by its number

NOTATION = """\
x_t is the input, h_t the output and first state, t the step. W_g and U_g are the matrices of gate
g, for the input and for the states; b_g and c_g are their biases (another letter where the cell has
a b or c of its own). ∘ multiplies unit by unit; fractions, powers and functions go unit by unit,
too. A letter without t is a weight: a number for each unit where ∘ stands beside it, one number for
all where nothing does."""

COUNTS = f"""\
I is the number of features of the input, H the number of units; the numbers are for I = H = {SIZE}.
Multiply-adds are those of the matrix products."""


class Page:
    """What the page says of each class of the registry, with the class's default choices."""

    def __init__(self, speeds: dict[str, Any], registry: Sequence[Cell] = BUILTIN) -> None:
        self.speeds = speeds
        self.cells = [cls() for cls in dict.fromkeys(type(cell) for cell in registry)]
        self.registry = registry

    def title(self, cell: Cell) -> str:
        """Its name in Python."""
        return type(cell).__name__

    def text(self, cell: Cell) -> list[str]:
        """The paragraphs of its docstring; the first names the paper."""
        return [" ".join(p.split()) for p in (inspect.getdoc(type(cell)) or "").split("\n\n")]

    def facts(self, cell: Cell) -> list[tuple[str, str]]:
        """Rows of its table."""
        found = [("states", ", ".join(cell.states))]
        found += [(name, self.choice(cell, name)) for name in cell.choices]
        found.append(("parameters per unit", " = ".join(parameters(cell))))
        found.append(("multiply-adds per step and unit", " = ".join(multiply_adds(cell))))
        speed = self.speeds.get("cells", {}).get(self.title(cell))
        if speed is not None:
            found.append(("training", self.speed(cell, speed)))
        return found

    def choice(self, cell: Cell, name: str) -> str:
        """The value of a choice, and the others that kernels are built in for."""
        built_in = [other.choices[name] for other in self.registry if type(other) is type(cell)]
        values = dict.fromkeys(str(value) for value in (cell.choices[name], *built_in))
        return (
            f"{', '.join(values)} (the first by default)" if len(values) > 1 else next(iter(values))
        )

    def speed(self, cell: Cell, speed: dict[str, Any]) -> str:
        """The cell beside the LSTM, the loop and torch.nn."""
        own, peer = speed["unrolled_ms"], speed["torch_nn"]
        counts = [multiply_adds(c)[1] for c in (cell, next(filter(_called(peer), self.cells)))]
        beside = f", {self.relative(cell)} times LSTM's speed" if self.title(cell) != "LSTM" else ""
        return (
            f"{own:.1f} ms a step{beside}; "
            f"{speed['eager_ms'] / own:.1f} times as fast as the same equations in a loop of "
            f"torch's operations; {speed['torch_nn_ms'] / own:.1f} times as fast as "
            f"torch.nn.{peer} ({counts[0]} multiply-adds beside its {counts[1]})"
        )

    def relative(self, cell: Cell) -> str:
        """Speed as a multiple of LSTM's; a dash if it was not measured."""
        speed = self.speeds.get("cells", {}).get(self.title(cell))
        return f"{speed['lstm_ms'] / speed['unrolled_ms']:.2f}" if speed else "–"

    def measured(self) -> str:
        """What the speeds are of."""
        if not self.speeds:
            return "Speeds have not been measured."
        shape, machine = self.speeds["shape"], self.speeds["machine"]
        return (
            f"Speed is that of a training step (forward and backward of one layer) at "
            f"N = {shape['N']}, T = {shape['T']}, I = H = {shape['H']}, on "
            f"{self.speeds['threads']} threads of {machine['processor']}: medians of "
            f"{self.speeds['rounds']} interleaved rounds (`python benchmarks/cells.py`)."
        )

    def overview(self) -> list[list[str]]:
        """A table of all of them, its head first."""
        head = ["cell", "what it is", "parameters per unit", "multiply-adds", "speed (LSTM = 1)"]
        rows = [
            [
                self.title(c),
                self.text(c)[0],
                parameters(c)[1],
                multiply_adds(c)[1],
                self.relative(c),
            ]
            for c in self.cells
        ]
        return [head, *rows]


def _called(name: str) -> Any:
    return lambda cell: type(cell).__name__ == name


def parameters(cell: Cell) -> tuple[str, str]:
    """Per unit: the formula, and its value at I = H = 256."""
    program = trace(cell)
    gates, products = len(program.gates), len(program.matrix("U"))
    kinds = [vector.kind for vector in program.vectors]
    units, scalars = kinds.count(VectorKind.UNIT), kinds.count(VectorKind.SCALAR)
    if gates == products:
        terms = [_times(gates, "I + H + 2")]
    else:
        terms = [_times(gates, "I + 1"), _times(products, "H + 1")]
    terms += [str(units) if units else "", f"{scalars}/H" if scalars else ""]
    number = (gates + products) * (SIZE + 1) + units + scalars / SIZE
    return _plus(terms), f"{number:,.6g}" if scalars else f"{number:,.0f}"


def multiply_adds(cell: Cell) -> tuple[str, str]:
    """Of the matrix products, per step and unit: the formula, and its value at I = H = 256."""
    program = trace(cell)
    gates, products = len(program.gates), len(program.matrix("U"))
    if gates == products:
        terms = [_times(gates, "I + H")]
    else:
        terms = [_times(gates, "I"), _times(products, "H")]
    return _plus(terms), f"{(gates + products) * SIZE:,}"


def _times(count: int, sum_: str) -> str:
    inside = f"({sum_})" if " " in sum_ else sum_
    return "" if count == 0 else sum_ if count == 1 else f"{count} {inside}"


def _plus(terms: list[str]) -> str:
    return " + ".join(filter(None, terms)) or "0"


def markdown(page: Page) -> str:
    """The page as GitHub renders it."""
    head, *rows = page.overview()
    lines = [
        "<!-- Written by tools/cells_page.py (make docs); not to be edited. -->",
        "",
        "# The built-in cells",
        "",
        NOTATION,
        "",
        COUNTS,
        "",
        page.measured(),
        "",
        f"| {' | '.join(head)} |",
        "|---|---|--:|--:|--:|",
    ]
    for name, *rest in rows:
        lines.append(f"| [{name}](#{name.lower()}) | {' | '.join(map(_in_table, rest))} |")
    for cell in page.cells:
        lines += ["", f"## {page.title(cell)}"]
        for paragraph in page.text(cell):
            lines += ["", paragraph]
        lines += ["", "```math", latex(cell), "```", "", "| | |", "|---|---|"]
        lines += [f"| {name} | {_in_table(value)} |" for name, value in page.facts(cell)]
    return "\n".join(lines) + "\n"


def _in_table(text: str) -> str:
    return text.replace("|", r"\|")


STYLE = """
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; line-height: 1.5;
  font-family: system-ui, sans-serif; color: #1a1a1a; background: #fff }
math { font-family: "STIX Two Math", "STIX Math", "Cambria Math", "Latin Modern Math", math;
  font-size: 1.15rem }
.equations { overflow: auto hidden; padding: 0.5rem 0 }
mtd { padding-top: 0.25em; padding-bottom: 0.25em }
table { border-collapse: collapse; font-size: 0.9rem }
td, th { border-top: 1px solid #ccc; padding: 0.3rem 0.8rem 0.3rem 0; text-align: left;
  vertical-align: top }
th { font-weight: 600 }
h2 { margin-top: 3rem }
"""


def web(page: Page) -> str:
    """The page as a file of its own, for a browser: equations in MathML, no script."""
    head, *rows = page.overview()
    lines = [
        "<!doctype html>",
        "<!-- Written by tools/cells_page.py (make docs); not to be edited. -->",
        '<html lang="en"><head><meta charset="utf-8"><title>The built-in cells of unrolled</title>',
        '<meta name="viewport" content="width=device-width">',
        f"<style>{STYLE}</style></head><body>",
        "<h1>The built-in cells</h1>",
        *(f"<p>{_inline(text)}</p>" for text in (NOTATION, f"{COUNTS} {page.measured()}")),
        "<table><thead>",
        "<tr>" + "".join(f'<th scope="col">{_inline(text)}</th>' for text in head) + "</tr>",
        "</thead><tbody>",
    ]
    for name, *rest in rows:
        cells = "".join(f"<td>{_inline(text)}</td>" for text in rest)
        link = f'<a href="#{name.lower()}">{name}</a>'
        lines.append(f'<tr><th scope="row">{link}</th>{cells}</tr>')
    lines.append("</tbody></table>")
    for cell in page.cells:
        name = page.title(cell)
        lines.append(f'<h2 id="{name.lower()}">{name}</h2>')
        lines += [f"<p>{_inline(paragraph)}</p>" for paragraph in page.text(cell)]
        lines += ['<div class="equations">', mathml(cell), "</div>", "<table>"]
        for label, value in page.facts(cell):
            lines.append(f'<tr><th scope="row">{label}</th><td>{_inline(value)}</td></tr>')
        lines.append("</table>")
    return "\n".join([*lines, "</body></html>", ""])


def _inline(text: str) -> str:
    return re.sub(r"`+([^`]+)`+", r"<code>\1</code>", html.escape(text, quote=False))


def pages() -> dict[Path, str]:
    """The files, and what is to stand in them."""
    speeds = FOLDER / "speed.json"
    found = json.loads(speeds.read_text(encoding="utf-8")) if speeds.exists() else {}
    page = Page(found)
    return {FOLDER / "README.md": markdown(page), FOLDER / "index.html": web(page)}


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
        print(path)
