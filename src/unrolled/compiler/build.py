"""Build: write the C++ of the built-in cells; run when the package is built.

Usage: python -m unrolled.compiler.build OUTPUT
"""

from __future__ import annotations

import sys
from pathlib import Path

from ..cells import BUILTIN, LSTM
from .cpp import source
from .planning import plan
from .trace import trace
from .transforms import project


def builtin_source() -> str:
    """C++ of every built-in cell and of the projected LSTM."""
    programs = [trace(cell) for cell in BUILTIN]
    programs.append(project(trace(LSTM())))
    return source(plan(program) for program in programs)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(builtin_source(), encoding="utf-8")
