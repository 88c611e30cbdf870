"""Cases that are measured with several seeds: the arguments that these benchmarks share."""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar


class Named(Protocol):
    """A case."""

    @property
    def name(self) -> str:
        """Its name, for ``--only``."""


Case = TypeVar("Case", bound=Named)


def measure_all(
    cases: Sequence[Case],
    measure: Callable[[Case, argparse.Namespace], None],
    *,
    description: str | None,
    seeds: int = 3,
    validation: bool = False,
) -> None:
    """Measure the cases that the command line asks for.

    Args:
        cases: All there are.
        measure: Measures one, given the arguments.
        description: The benchmark's docstring.
        seeds: How many by default.
        validation: Whether the test part can be left alone.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, default=seeds)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--only", choices=[case.name for case in cases])
    parser.add_argument("--threads", type=int, default=1)
    if validation:
        parser.add_argument("--validation", action="store_true", help="do not read the test part")
    given = parser.parse_args()
    for case in cases:
        if given.only in (None, case.name):
            measure(case, given)


def found_in(data: Path, name: str) -> Path:
    """A file or folder of this name, at any depth; without one the script ends with a line."""
    found = next(data.rglob(name), None)
    if found is None:
        sys.exit(f"{data}: nothing named {name}")
    return found


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.4f} ± {deviation:.4f}"
