"""The parameters of one direction of one layer, and the programs that they belong to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from torch import Tensor

from ..cells import BUILTIN, LSTM, Cell
from ..compiler.program import Program
from ..compiler.trace import trace
from ..compiler.transforms import project


class Weights(NamedTuple):
    """Parameters as torch.nn lays them out; G gates, R recurrent products, H units, S outputs.

    Attributes:
        input: W, ``[G * H, input_size]``.
        recurrent: U, ``[R * H, S]``.
        input_bias: b, ``[G * H]``, or None.
        recurrent_bias: c, ``[R * H]``, or None.
        projection: P, ``[S, H]``, or None where S = H.
    """

    input: Tensor
    recurrent: Tensor
    input_bias: Tensor | None
    recurrent_bias: Tensor | None
    projection: Tensor | None

    @property
    def hidden_size(self) -> int:
        """H."""
        if self.projection is not None:
            return int(self.projection.shape[1])
        return int(self.recurrent.shape[1])

    @property
    def output_size(self) -> int:
        """S."""
        return int(self.recurrent.shape[1])


_PROGRAMS: dict[str, Program] = {}


_NAMES: dict[tuple[Cell, bool], str] = {}


def program_of(cell: Cell, projected: bool = False) -> Program:
    """The program of a cell, with its output projected or not; afterwards it is known by name.

    Where another program has the name already (another class called so), it gets a number.
    """
    return _PROGRAMS[_name_of(cell, projected)]


def _name_of(cell: Cell, projected: bool) -> str:
    name = _NAMES.get((cell, projected))
    if name is None:
        program = trace(cell)
        if projected:
            program = project(program)
        name, number = program.name, 1
        while _PROGRAMS.setdefault(program.name, program) != program:
            number += 1
            program = replace(program, name=f"{name}#{number}")
        name = _NAMES[cell, projected] = program.name
    return name


_name_of._dynamo_marked_constant = True


def program_named(name: str) -> Program:
    """A program that `program_of` has returned before."""
    return _PROGRAMS[name]


# The built-in cells' names are theirs, whoever comes first: kernels are found by name.
for _cell in BUILTIN:
    program_of(_cell)
program_of(LSTM(), projected=True)


def split(program: Program, tensors: Sequence[Tensor], directions: int) -> list[Weights]:
    """Sort a layer's flat list of parameters (in torch.nn's order) by direction."""
    count = len(tensors) // directions
    found = []
    for start in range(0, len(tensors), count):
        own = list(tensors[start : start + count])
        projection = own.pop() if program.projected else None
        input_bias, recurrent_bias = (own[2], own[3]) if len(own) > 2 else (None, None)
        found.append(Weights(own[0], own[1], input_bias, recurrent_bias, projection))
    return found


def join(weights: Sequence[Weights]) -> list[Tensor]:
    """The inverse of `split`."""
    return [tensor for direction in weights for tensor in direction if tensor is not None]
