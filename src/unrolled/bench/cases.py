"""Cases of the benchmark: shapes, cells, modes, dtypes and numbers of threads."""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

MODES = ("inference", "training")
DTYPES = ("float32", "bfloat16")


@dataclass(frozen=True)
class Shape:
    """Sizes of a layer and of its input ``[T, N, I]``.

    Attributes:
        T: Steps.
        N: Rows of the batch.
        I: Features of a step.
        H: Units.
        layers: Layers, one upon another.
        bidirectional: Whether there is a reverse direction beside the forward one.
        ragged: Shortest and longest row, lengths drawn uniformly between; None: all rows have T.
    """

    T: int
    N: int
    I: int  # noqa: E741
    H: int
    layers: int = 1
    bidirectional: bool = False
    ragged: tuple[int, int] | None = None

    @property
    def directions(self) -> int:
        """Number of directions."""
        return 2 if self.bidirectional else 1

    @cached_property
    def lengths(self) -> list[int] | None:
        """Length of each row, the same at every call; None if all have T steps."""
        if self.ragged is None:
            return None
        draw = random.Random(0)
        lengths = [draw.randint(*self.ragged) for _ in range(self.N)]
        lengths[0] = self.T  # torch pads back to the longest row
        return lengths

    @property
    def steps(self) -> int:
        """Steps that exist, over all rows."""
        return self.T * self.N if self.lengths is None else sum(self.lengths)


@dataclass(frozen=True)
class CellKind:
    """A cell to measure.

    Attributes:
        layer: Class in ``unrolled``.
        gates: Matrices of each side stacked, which is what operations are counted from.
        twin: Class in ``torch.nn`` that computes the same; None: the peers do not have the cell.
        options: Arguments of our class beyond the usual ones.
    """

    layer: str
    gates: int
    twin: str | None
    options: dict[str, Any] = field(default_factory=dict)


SHAPES = {
    "step": Shape(1, 1, 64, 128),
    "control": Shape(128, 16, 64, 256),
    "short": Shape(100, 1, 64, 128),
    "audio": Shape(4096, 1, 32, 64),
    "pixels": Shape(784, 64, 1, 128),
    "medium": Shape(100, 32, 128, 256),
    "odd": Shape(77, 17, 65, 130),
    "language": Shape(128, 64, 256, 512, layers=2),
    "large": Shape(100, 64, 512, 512),
    "wide": Shape(200, 128, 256, 1024),
    "long": Shape(20000, 4, 32, 128),
    "ragged": Shape(200, 32, 128, 256, bidirectional=True, ragged=(20, 200)),
}

CELLS = {
    "rnn": CellKind("RNN", 1, "RNN"),
    "gru": CellKind("GRU", 3, "GRU"),
    "lstm": CellKind("LSTM", 4, "LSTM"),
}


@dataclass(frozen=True)
class Case:
    """One thing to measure, by names.

    Attributes:
        cell: Key of ``CELLS``.
        shape: Key of ``SHAPES``.
        mode: One of ``MODES``.
        dtype: One of ``DTYPES``.
        threads: Threads, each with a processor of its own.
    """

    cell: str
    shape: str
    mode: str
    dtype: str
    threads: int

    def __str__(self) -> str:
        return (
            f"{self.cell} {self.shape} {self.mode} {self.dtype} "
            f"{self.threads} thread{'s' * (self.threads != 1)}"
        )

    def asdict(self) -> dict[str, Any]:
        """The names, for JSON."""
        return asdict(self)

    @property
    def operations(self) -> int:
        """Multiplications and additions of the matrix products; training counts three times.

        Backward has two products for each of forward's: one for the operand, one for the weights.
        """
        shape, gates = SHAPES[self.shape], CELLS[self.cell].gates
        D, H = shape.directions, shape.H
        inputs = [shape.I, *[D * H] * (shape.layers - 1)]
        forward = sum(2 * shape.steps * D * gates * H * (size + H) for size in inputs)
        return forward * (3 if self.mode == "training" else 1)
