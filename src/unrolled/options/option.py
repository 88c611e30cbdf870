"""An option of every layer: its declaration, from which all that knows of it is made."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, Protocol

from ..cells import Cell
from ..compiler.program import Program, Space
from ..ranges import SHARE

if TYPE_CHECKING:
    from torch import Tensor

    from .variant import Variant


class Place(Enum):
    """Part of the step that a transform rewrites; transforms run in this order."""

    FUNCTIONS = "tanh and σ"
    STATES = "new states as soon as they are computed"
    PROJECTION = "the output: no option of this kind, but `Variant.projected`"
    PRODUCTS = "products with W and U"
    CANDIDATE = "the value that is written to the memory"
    CONNECTIONS = "operands of products with U"
    OUTCOME = "states as the next step has them"


@dataclass(frozen=True)
class Need:
    """Part of a cell without which an option would change nothing.

    Attributes:
        there: whether a cell has it, given its traced program.
        refusal: end of a layer's error, after the option's name; empty where the layer does not
            mind.
        lack: end of the command line's error: what the cell has not.
    """

    there: Callable[[Cell, Program], bool]
    refusal: str
    lack: str


MEMORY = Need(
    lambda cell, program: bool(cell.gates_of_memory),
    "needs a gate of memory, and this cell has none (gates_of_memory is empty)",
    "has no gate of memory",
)
CANDIDATE = Need(
    lambda cell, program: bool(cell.candidate),
    "needs a candidate, and this cell names none (candidate is empty)",
    "names no candidate for its memory",
)
RECURRENT = Need(
    lambda cell, program: bool(program.matrix("U")),
    "needs a recurrent matrix U; there is none",
    "has no recurrent matrix",
)


class Subject(Protocol):
    """A layer as a check sees it."""

    @property
    def label(self) -> str:
        """The layer in errors."""

    @property
    def cell(self) -> Cell:
        """The equations."""

    @property
    def bias(self) -> bool:
        """Whether there are b and c."""


class Beginning(Protocol):
    """Parameters of one direction of one layer, as initial values set them."""

    @property
    def cell(self) -> Cell:
        """The equations."""

    @property
    def program(self) -> Program:
        """The steps of the layer."""

    def blocks(self, name: str) -> Sequence[Tensor]:
        """Views of the rows of one name of the equations, a block for each head."""

    def parameter(self, name: str) -> Tensor:
        """A parameter of the direction, by the beginning of its name."""

    def uniform(self) -> Tensor:
        """Random numbers between 0 and 1, neither of them among the numbers, ``[H]``."""

    def set(self, name: str, value: Any) -> None:
        """Make one name of the equations a value."""

    def set_bias(self, gate: str, value: Any) -> None:
        """Make the sum of a gate's two biases a value, where the layer has biases."""


class Option:
    """One keyword argument of every layer. A subclass declares it; nothing is on by default.

    The first paragraph of the subclass's docstring documents the option in the layers' help, on the
    command line and in the docs. Methods say where the option acts, as far as it does: in the
    program (`setting`, `transform`, `rates`), in the parameters (`parameters`, `begin`), or on U in
    every call (`reweigh`).

    Args:
        name: the keyword.
        hint: its annotation in `Keywords`.

    Attributes:
        default: the value that asks for nothing.
        flag: annotation of the command line's flag, with its range.
        off: the flag's default, where it has another word for nothing.
        off_shown: the same for the help page, where it is None.
        need: part of a cell without which the option would change nothing.
        rival: another option of which only one is taken, and what both of them set.
        place: part of the step that `transform` rewrites.
        every_call: whether `reweigh` acts on the weights of every call in training.
        at_first: whether it sets initial values and does nothing else.
        symbol: letter or value for the docs' table, ``p`` in ``zoneout=p``.
        equation: meaning in training, for the table.
        evaluation: meaning in evaluation, for the table.
        source: paper, for the table.
    """

    default: Any = None
    flag: Any = float
    off: Any = None
    off_shown: str = ""
    need: Need | None = None
    rival: tuple[str, str] | None = None
    place: Place | None = None
    every_call: bool = False
    at_first: bool = False
    symbol: str = ""
    equation: str = ""
    evaluation: str = "the same"
    source: str = ""

    def __init__(self, name: str, hint: Any) -> None:
        self.name, self.hint = name, hint

    def __repr__(self) -> str:
        return self.name

    @property
    def doc(self) -> str:
        """The first paragraph of the docstring, as one line."""
        return " ".join(inspect.cleandoc(type(self).__doc__ or "").split("\n\n")[0].split())

    @property
    def flag_default(self) -> Any:
        """The flag's value that asks for nothing."""
        return self.default if self.off is None else self.off

    def of_flag(self, value: Any) -> Any:
        """A layer's value for one of the flag."""
        return self.default if value == self.flag_default else value

    def check(self, value: Any, layer: Subject) -> None:
        """Refuse a value that no layer, or not this one, can take.

        Raises:
            TypeError: if it is of a wrong kind.
            ValueError: if it is a wrong value.
        """
        raise NotImplementedError

    def setting(self, value: Any, cell: Cell, training: bool) -> Any:
        """The value of `Variant` with which a program has the option; None where it has not."""
        return None

    def transform(self, program: Program, variant: Variant) -> Program:
        """The program with the option, which is set in the variant."""
        raise NotImplementedError

    def read(self, text: str, cell: type[Cell]) -> dict[str, Any]:
        """Settings of `Variant` from the option's word in a program's name, ``name=text``."""
        return {self.name: float(text) if text else True}

    def rates(self, value: Any, cell: Cell) -> dict[str, float]:
        """Probabilities of the transform's masks by name."""
        return {}

    def parameters(
        self, value: Any, program: Program, sizes: Mapping[Space, int]
    ) -> dict[str, tuple[int, ...]]:
        """Shapes of the option's own parameters of one direction, by the beginnings of names.

        Those that a transform adds as vectors of the program are none of them.
        """
        return {}

    def begin(self, value: Any, weights: Beginning) -> None:
        """Set initial values.

        Those of weights that a transform has added are set before the cell sets its own, all others
        after.
        """

    def reweigh(self, value: Any, weights: list[Tensor], directions: int) -> list[Tensor]:
        """The weights of a call in training, where `every_call` says so.

        Args:
            value: the option's.
            weights: those of all layers and directions, one after the other, W and U first in each.
            directions: how many there are in all layers.
        """
        raise NotImplementedError


class Switch(Option):
    """Base of options that are on or off."""

    default = False
    flag = bool
    symbol = "True"

    def check(self, value: Any, layer: Subject) -> None:
        """Refuse what is no bool."""
        if not isinstance(value, bool):
            kind = type(value).__name__
            raise TypeError(f"{layer.label}: {self.name} must be a bool, got {kind}")


class Rate(Option):
    """Base of probabilities with which something is dropped in training."""

    default = 0.0
    flag = Annotated[float, SHARE]
    symbol = "p"
    evaluation = "nothing"

    def check(self, value: Any, layer: Subject) -> None:
        """Refuse what is no number from 0 to 1."""
        check_number(self, value, layer)
        if not 0 <= value <= 1:
            raise ValueError(f"{layer.label}: {self.name} must be from 0 to 1, got {value}")


def check_number(option: Option, value: Any, layer: Subject) -> None:
    """Refuse what is no number.

    Raises:
        TypeError: if it is none.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        kind = type(value).__name__
        raise TypeError(f"{layer.label}: {option.name} must be a number, got {kind}")
