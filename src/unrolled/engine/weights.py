"""The parameters of one direction of one layer, and the programs that they belong to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from typing import NamedTuple

from torch import Tensor

from ..cells import BUILTIN, LSTM, Cell
from ..compiler.program import Program
from ..compiler.trace import trace
from ..options import Variant, vary
from .names import parse


class Weights(NamedTuple):
    """Parameters as torch.nn lays them out; G gates, R recurrent products, H units, S outputs.

    Attributes:
        input: W, ``[G * H, input_size]``; ``[0, input_size]`` without gates.
        recurrent: U, ``[R * H, S / heads]``: of every block of H rows the first H / heads belong to
            the first S / heads of the operand's numbers, and so on; ``[0, S]`` without products.
        input_bias: b, ``[G * H]``, or None.
        recurrent_bias: c, ``[R * H]``, or None.
        projection: P, ``[S, H]``, or None where S = H.
        vectors: what all steps and rows share, ``[K * H]``, or None if the program has none.
        hidden_size: H.
    """

    input: Tensor
    recurrent: Tensor
    input_bias: Tensor | None
    recurrent_bias: Tensor | None
    projection: Tensor | None
    vectors: Tensor | None
    hidden_size: int

    def map(self, function: Callable[[Tensor], Tensor]) -> Weights:
        """The same with every tensor replaced by the function's value of it."""
        return Weights(
            function(self.input),
            function(self.recurrent),
            None if self.input_bias is None else function(self.input_bias),
            None if self.recurrent_bias is None else function(self.recurrent_bias),
            None if self.projection is None else function(self.projection),
            None if self.vectors is None else function(self.vectors),
            self.hidden_size,
        )

    @property
    def output_size(self) -> int:
        """S."""
        return self.hidden_size if self.projection is None else int(self.projection.shape[0])

    @property
    def heads(self) -> int:
        """Blocks on the diagonal of each recurrent matrix."""
        return self.output_size // int(self.recurrent.shape[1])


class _Programs:
    """Every program that there is, as an attribute of its own.

    torch.compile does not see what is added to a dictionary while it traces; an attribute it reads
    when it comes to it.
    """


_places: dict[str, str] = {}
_numbers = count()
_NAMES: dict[tuple[Cell, bool, Variant | None], str] = {}


def program_of(cell: Cell, projected: bool = False, variant: Variant | None = None) -> Program:
    """The program of a cell, with its output projected or otherwise varied.

    Afterwards it is known by name. Where another program has the name already (another class called
    so), it gets a number.
    """
    return program_named(_name_of(cell, projected, variant))


def _name_of(cell: Cell, projected: bool, variant: Variant | None) -> str:
    key = cell, projected, variant
    name = _NAMES.get(key)
    if name is None:
        own = vars(variant or Variant())
        program = vary(trace(cell), Variant(**own | {"projected": projected or own["projected"]}))
        name, number = program.name, 1
        while program.name in _places and program_named(program.name) != program:
            number += 1
            program = replace(program, name=f"{name}#{number}")
        if program.name not in _places:
            place = f"number_{next(_numbers)}"
            setattr(_Programs, place, program)
            _places[program.name] = place
        name = _NAMES[key] = program.name
    return name


def _place_of(name: str) -> str:
    if name not in _places:
        cell, variant = parse(name)
        if program_of(cell, variant=variant).name != name:
            raise LookupError(f"{name}: no program has this name")
    return _places[name]


# What `torch.compiler.assume_constant_result` sets, which would load the compiler here.
_name_of._dynamo_marked_constant = True  # type: ignore[attr-defined]
_place_of._dynamo_marked_constant = True  # type: ignore[attr-defined]


def program_named(name: str) -> Program:
    """A program that `program_of` has returned before, or a built-in cell's with any options.

    Raises:
        LookupError: if there is none.
    """
    found: Program = getattr(_Programs, _place_of(name))
    return found


# The built-in cells' names are theirs, whoever comes first: kernels are found by name.
for _cell in BUILTIN:
    program_of(_cell)
program_of(LSTM(), projected=True)


def split(program: Program, tensors: Sequence[Tensor], directions: int) -> list[Weights]:
    """Sort a layer's flat list of parameters by direction.

    Each has W, U, then both biases or none, then P and the vectors where the program has them.
    """
    each = len(tensors) // directions
    hidden = hidden_size(program, tensors, directions)
    found = []
    for start in range(0, len(tensors), each):
        own = list(tensors[start : start + each])
        vectors = own.pop() if program.vectors else None
        projection = own.pop() if program.projected else None
        input_bias, recurrent_bias = (own[2], own[3]) if len(own) > 2 else (None, None)
        found.append(
            Weights(own[0], own[1], input_bias, recurrent_bias, projection, vectors, hidden)
        )
    return found


def hidden_size(program: Program, tensors: Sequence[Tensor], directions: int) -> int:
    """H, from any of the weights that there are in a layer's flat list."""
    if program.gates:
        return int(tensors[0].shape[0]) // len(program.gates)
    own = tensors[: len(tensors) // directions]
    vectors = bool(program.vectors)
    if program.projected:
        return int(own[-1 - vectors].shape[1])
    if vectors:
        return int(own[-1].shape[0]) // len(program.vectors)
    return int(own[1].shape[0]) // len(program.rows("U"))


def join(weights: Sequence[Weights]) -> list[Tensor]:
    """The inverse of `split`."""
    return [tensor for own in weights for tensor in own if isinstance(tensor, Tensor)]
