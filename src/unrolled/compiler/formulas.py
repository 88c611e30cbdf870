"""A cell's equations, printed: `unrolled.latex` and `unrolled.mathml`."""

from __future__ import annotations

from typing import Any

from ..cells import Cell
from . import typeset
from .program import Program
from .trace import trace


def latex(cell: Cell | type[Cell], **choices: Any) -> str:
    r"""The equations of a step in LaTeX, one for each value that it names and each new state.

    In them ∘ is the product unit by unit, b_g and c_g are the biases of ``W.g`` and ``U.g``, and a
    letter that the step itself uses gives way: the LSTM's memory is c, and so its second biases are
    d_g.

    Args:
        cell: A cell, or a class of cells.
        choices: Of a class: the cell that is printed has these.

    Returns:
        An ``aligned`` environment, aligned at "=", to be put between ``$$`` or in ``equation``.

    Raises:
        TypeError: If it is no cell, a cell is given choices (it has its own already), one is
            unknown, or the step is not one of equations.
        ValueError: If a choice has a value that does not exist.

    Example:
        >>> print(latex(RNN, nonlinearity="relu"))
        \begin{aligned}
        h_t &= \mathrm{ReLU}(W_h x_t + b_h + U_h h_{t-1} + c_h)
        \end{aligned}
    """
    return typeset.latex(_program("latex", cell, choices))


def mathml(cell: Cell | type[Cell], **choices: Any) -> str:
    """The equations of a step in presentation MathML, as `latex` has them.

    Args:
        cell: A cell, or a class of cells.
        choices: Of a class: the cell that is printed has these.

    Returns:
        A ``<math display="block">`` element that stands in a web page as it is: no script is
        needed, and screen readers read it.

    Raises:
        TypeError: If it is no cell, a cell is given choices (it has its own already), one is
            unknown, or the step is not one of equations.
        ValueError: If a choice has a value that does not exist.
    """
    return typeset.mathml(_program("mathml", cell, choices))


def _program(function: str, cell: Any, choices: dict[str, Any]) -> Program:
    if isinstance(cell, type) and issubclass(cell, Cell):
        return trace(cell(**choices))
    if not isinstance(cell, Cell):
        raise TypeError(f"{function}: expected a cell or a class of cells, got {cell!r}")
    if choices:
        name = type(cell).__name__
        raise TypeError(
            f"{function}: this {name} has its choices already; give them with the class, "
            f"{function}({name}, {next(iter(choices))}=...)"
        )
    return trace(cell)
