"""Typeset: a program's equations as a paper prints them, in LaTeX and in MathML.

`equations` decides what is printed, down to the last bracket, as a tree of `layout`; the two
printers spell it and decide nothing.
"""

from __future__ import annotations

from .equations import Equation, equations
from .latex import latex
from .mathml import mathml

__all__ = ["Equation", "equations", "latex", "mathml"]
