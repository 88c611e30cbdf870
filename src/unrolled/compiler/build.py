"""Build: write the C++ of the built-in cells; run when the package is built.

Usage: python -m unrolled.compiler.build OUTPUT
"""

from __future__ import annotations

import sys
from pathlib import Path

from ..cells import BUILTIN, GRU, LSTM
from .cpp import source
from .planning import plan
from .trace import trace
from .transforms import expose, project


def builtin_source() -> str:
    """C++ of every built-in cell, and of what layers of torch.nn's cells have besides."""
    programs = [trace(cell) for cell in BUILTIN]
    lstm, gru = trace(LSTM()), trace(GRU())
    programs.append(project(lstm))
    states, gates = ("c",), ("i", "f", "g", "o")
    programs += [expose(lstm, names) for names in (states, gates, (*gates, *states))]
    programs.append(expose(gru, ("r", "z", "n")))
    return source(plan(program) for program in programs)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(builtin_source(), encoding="utf-8")
