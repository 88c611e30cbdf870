"""What a run of the benchmark can be told."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from unrolled.bench.cases import CELLS, DTYPES, MODES, SHAPES, Case

PEERS = ("torch", "onnxruntime", "openvino", "jax")


class OptionsError(ValueError):
    """A value that is none of those there are; the message is one line for the user."""


@dataclass(frozen=True)
class Options:
    """What to measure, and how long. Names may be given one by one or joined by commas.

    Attributes:
        cells: Cells.
        shapes: Shapes.
        modes: Inference, training or both.
        threads: Numbers of threads; "all" is one for each processor this process may use.
        dtypes: Number formats.
        peers: Libraries to measure beside ours, where they are installed.
        rounds: Least number of rounds for each case.
        seconds: Go on with a case until so much time is spent on its rounds.
    """

    cells: tuple[str, ...] = tuple(CELLS)
    shapes: tuple[str, ...] = tuple(SHAPES)
    modes: tuple[str, ...] = MODES
    threads: tuple[str, ...] = ("1", "all")
    dtypes: tuple[str, ...] = DTYPES
    peers: tuple[str, ...] = PEERS
    rounds: int = 7
    seconds: float = 1.0

    def __post_init__(self) -> None:
        """Check the values, and split names joined by commas.

        Raises:
            OptionsError: A value is none of those there are.
        """
        known = (("cells", CELLS), ("shapes", SHAPES), ("modes", MODES), ("dtypes", DTYPES))
        for name, names in (*known, ("peers", PEERS)):
            _choose(self, name, names)
        object.__setattr__(self, "threads", _split(self.threads))
        self.thread_counts()
        if self.rounds < 1:
            raise OptionsError(f"--rounds: expected 1 or more, got {self.rounds}")
        if not (math.isfinite(self.seconds) and self.seconds >= 0):
            raise OptionsError(f"--seconds: expected 0 or more, got {self.seconds:g}")

    def thread_counts(self) -> list[int]:
        """Numbers of threads, each once.

        Raises:
            OptionsError: One is no number, or there are fewer processors.
        """
        processors = len(available_processors())
        counts = []
        for word in self.threads:
            count = processors if word == "all" else int(word) if word.isdecimal() else 0
            if not 1 <= count <= processors:
                raise OptionsError(
                    f"--threads: expected all or a number from 1 to {processors}, got {word!r}"
                )
            counts.append(count)
        if not counts:
            raise OptionsError("--threads: expected at least one number, got none")
        return list(dict.fromkeys(counts))

    def cases(self, threads: int) -> list[Case]:
        """The cases for one number of threads, in the order in which they are measured."""
        return [
            Case(cell, shape, mode, dtype, threads)
            for dtype in self.dtypes
            for shape in self.shapes
            for cell in self.cells
            for mode in self.modes
        ]


def available_processors() -> list[int]:
    """Processors that this process may use, by number."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _split(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for word in words for part in str(word).split(",")))


def _choose(options: Options, name: str, known: Collection[str]) -> None:
    chosen = _split(getattr(options, name))
    for word in chosen:
        if word not in known:
            raise OptionsError(f"--{name}: expected some of {', '.join(known)}, got {word!r}")
    # To measure without peers is a way to look at the share alone; without cases is a mistake.
    if not chosen and name != "peers":
        raise OptionsError(f"--{name}: expected some of {', '.join(known)}, got none")
    object.__setattr__(options, name, chosen)
