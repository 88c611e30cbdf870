"""Options of the benchmark."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Annotated

from unrolled.bench.cases import CELLS, DTYPES, MODES, SHAPES, Case
from unrolled.ranges import Range, complaint, shown

PEERS = ("torch", "onnxruntime", "openvino", "jax")


class OptionsError(ValueError):
    """A value that is none of those there are; the message is one line for the user."""


@dataclass(frozen=True)
class Options:
    """Cases, libraries and duration of a run. Names may be given one by one or joined by commas.

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
    rounds: Annotated[int, Range(1, 10**6)] = 7
    seconds: Annotated[float, Range(0, 10**6)] = 1.0

    def __post_init__(self) -> None:
        """Check the values, and split names joined by commas.

        Raises:
            OptionsError: A value is none of those there are.
        """
        if wrong := complaint(self):
            raise OptionsError(wrong)
        known = (("cells", CELLS), ("shapes", SHAPES), ("modes", MODES), ("dtypes", DTYPES))
        for name, names in (*known, ("peers", PEERS)):
            _choose(self, name, names)
        object.__setattr__(self, "threads", _split(self.threads))
        self.thread_counts()

    def thread_counts(self) -> list[int]:
        """Numbers of threads, each once.

        Raises:
            OptionsError: One is no number, or there are fewer processors.
        """
        processors = len(available_processors())
        counts = []
        for word in self.threads:
            count = (
                processors
                if word == "all"
                else int(word)
                if word.isdecimal() and len(word) < 9
                else 0
            )
            if not 1 <= count <= processors:
                raise OptionsError(
                    f"--threads: expected all or a number from 1 to {processors}, got {shown(word)}"
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
            raise OptionsError(f"--{name}: expected some of {', '.join(known)}, got {shown(word)}")
    # To measure without peers is a way to look at the share alone; without cases is a mistake.
    if not chosen and name != "peers":
        raise OptionsError(f"--{name}: expected some of {', '.join(known)}, got none")
    object.__setattr__(options, name, chosen)
