"""A layer without its parameters: its equations, sizes and options, and what follows from them."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..cells import Cell
from ..compiler.program import Program, Space, VectorKind
from ..engine.request import NOTHING, Wanted
from ..engine.torch.functions import FUNCTIONS
from ..engine.weights import program_named, program_of
from ..options import OPTIONS, variant_of
from .checks import Expected
from .options import Options

Shapes = tuple[tuple[str, tuple[tuple[str, tuple[int, ...]], ...]], ...]
"""For each layer and direction the end of its parameters' names, and for each parameter the
beginning of its name and its shape. All are tuples: torch.compile takes no dictionary for a
constant."""


class Description(NamedTuple):
    """A layer as it was made. Nothing in it depends on a call or on a parameter's value.

    Attributes:
        label: the layer in errors.
        cell: the equations.
        options: see `Options`.
        input_size: features of the input.
        hidden_size: units of a layer, H.
        output_size: features of the output of one direction, S.
        num_layers: layers on top of each other.
        bidirectional: whether each has a second direction.
        bias: whether there are b and c.
        projected: whether the output is projected.
        heads: blocks on the diagonal of every U.
        batch_first: the order of the input's dimensions.
    """

    label: str
    cell: Cell
    options: Options
    input_size: int
    hidden_size: int
    output_size: int
    num_layers: int
    bidirectional: bool
    bias: bool
    projected: bool
    heads: int
    batch_first: bool

    def program(self, training: bool = False, wanted: Wanted = NOTHING) -> Program:
        """The steps of every layer; dropout is part of them in training only."""
        program = self._program(training)
        names = wanted.names(program)
        return self._program(training, names) if names else program

    def _program(self, training: bool, returns: tuple[str, ...] = ()) -> Program:
        return program_named(
            _name_for(self.cell, self.options, self.projected, self.bias, training, returns)
        )

    @property
    def suffixes(self) -> list[str]:
        """The end of a parameter's name, for every layer and direction."""
        ends = ["", "_reverse"] if self.bidirectional else [""]
        return [f"_l{k}{end}" for k in range(self.num_layers) for end in ends]

    def state_sizes(self, program: Program) -> list[int]:
        """The size of every state."""
        sizes = self.sizes
        return [sizes[state.new.space] for state in program.states]

    @property
    def sizes(self) -> dict[Space, int]:
        """The size of every vector of the step."""
        return {Space.HIDDEN: self.hidden_size, Space.PROJECTED: self.output_size}

    def shapes(self, program: Program) -> Shapes:
        """The shape of every parameter."""
        return _shapes_of(
            program.name,
            self.input_size,
            self.hidden_size,
            self.output_size,
            self.heads,
            self.num_layers,
            self.bidirectional,
            self.bias,
            self.options,
        )

    def expected(self, program: Program, directions: int) -> Expected:
        """What the arguments of a call must look like."""
        sizes = self.state_sizes(program)
        return Expected(
            self.label,
            self.input_size,
            tuple((f"{s.name}_0", n) for s, n in zip(program.states, sizes, strict=True)),
            self.num_layers * directions,
            self.batch_first,
        )

    def rates(self, program: Program) -> tuple[float, ...]:
        """For each of the program's masks its probability."""
        return _rates_of(self.cell, self.options, program.name) if program.masks else ()

    def beyond_torch(self, training: bool) -> list[str]:
        """What the equations have and torch's layers have not; empty if they are the same."""
        if self.program(training).name in FUNCTIONS and self.heads == 1:
            return []
        found = []
        cell = program_named(_name_for(self.cell, Options(), False, True, False, ())).name
        if cell not in FUNCTIONS:
            found.append(f"cell {self.cell!r}")
        elif self.projected and f"{cell},projected" not in FUNCTIONS:
            found.append(f"proj_size={self.output_size}")
        for option, value in self.options.given():
            if option.place is not None and option.setting(value, self.cell, training):
                found.append(f"{option.name}={value}")
        if self.heads > 1:
            found.append(f"heads={self.heads}")
        return found

    def reweighing(self, training: bool) -> tuple[str, ...]:
        """The options that act on the weights of every call."""
        return _reweighing(self.options) if training else ()


class Prepared(NamedTuple):
    """What all calls of a layer in one mode have in common.

    Attributes:
        description: the layer.
        program: the steps of every layer.
        expected: what the arguments must look like.
        shapes: of the parameters.
        names: how the names of one direction's weights begin, in the engine's order.
        rates: for each of the program's masks its probability.
        reweighing: options that act on the weights of every call.
    """

    description: Description
    program: Program
    expected: Expected
    shapes: Shapes
    names: list[str]
    rates: tuple[float, ...]
    reweighing: tuple[str, ...]


def prepare(description: Description, training: bool, wanted: Wanted) -> Prepared:
    """What calls of a layer have in common, in training mode or not."""
    program = description.program(training, wanted)
    return Prepared(
        description,
        program,
        description.expected(program, 2 if description.bidirectional else 1),
        description.shapes(program),
        matrix_names(program, description.bias and program.bias),
        description.rates(program),
        description.reweighing(training),
    )


def matrix_names(program: Program, bias: bool) -> list[str]:
    """How the names of one direction's weights begin, in the engine's order; without vectors."""
    names = ["weight_ih", "weight_hh"]
    return names + ["bias_ih", "bias_hh"] * bias + ["weight_hr"] * program.projected


def count(program: Program, kind: VectorKind) -> int:
    """How many vectors of a kind the program has."""
    return sum(vector.kind is kind for vector in program.vectors)


_SHAPES: dict[tuple[Any, ...], Shapes] = {}


def _shapes_of(
    program: str,
    features: int,
    hidden: int,
    output: int,
    heads: int,
    layers: int,
    bidirectional: bool,
    bias: bool,
    options: Options,
) -> Shapes:
    key = (program, features, hidden, output, heads, layers, bidirectional, bias, options)
    found = _SHAPES.get(key)
    if found is not None:
        return found
    own = program_named(program)
    gates, products = len(own.gates) * hidden, len(own.rows("U")) * hidden
    sizes = {Space.HIDDEN: hidden, Space.PROJECTED: output}
    each: list[tuple[str, tuple[tuple[str, tuple[int, ...]], ...]]] = []
    for layer in range(layers):
        below = features if layer == 0 else output * (1 + bidirectional)
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (gates, below),
            "weight_hh": (products, output // heads),
        }
        if bias:
            shapes |= {"bias_ih": (gates,), "bias_hh": (products,)}
        if own.projected:
            shapes["weight_hr"] = (output, hidden)
        if units := count(own, VectorKind.UNIT):
            shapes["vector"] = (units * hidden,)
        if scalars := count(own, VectorKind.SCALAR):
            shapes["scalar"] = (scalars,)
        for option, value in options.given():
            shapes |= option.parameters(value, own, sizes)
        for end in ["", "_reverse"] if bidirectional else [""]:
            each.append((f"_l{layer}{end}", tuple(shapes.items())))
    found = _SHAPES[key] = tuple(each)
    return found


_NAMES: dict[tuple[Any, ...], str] = {}


def _name_for(
    cell: Cell,
    options: Options,
    projected: bool,
    bias: bool,
    training: bool,
    returns: tuple[str, ...],
) -> str:
    key = cell, options, projected, bias, training, returns
    name = _NAMES.get(key)
    if name is None:
        values = {name: getattr(options, name) for name in OPTIONS}
        variant = variant_of(
            cell, values, training, projected=projected, bias=bias, returns=returns
        )
        name = _NAMES[key] = program_of(cell, variant=variant).name
    return name


def _rates_of(cell: Cell, options: Options, program: str) -> tuple[float, ...]:
    rates: dict[str, float] = {}
    for option, value in options.given():
        rates |= option.rates(value, cell)
    return tuple(rates[mask.symbol.name] for mask in program_named(program).masks)


def _reweighing(options: Options) -> tuple[str, ...]:
    return tuple(option.name for option, _ in options.given() if option.every_call)


# What `torch.compiler.assume_constant_result` sets, which would load the compiler here.
_constant: Any
for _constant in (_shapes_of, _name_for, _rates_of, _reweighing):
    _constant._dynamo_marked_constant = True


def check_options(description: Description) -> None:
    """See that the options are of the right kind and that the cell has what they act on.

    Raises:
        TypeError: if one is of a wrong kind.
        ValueError: if one has a wrong value, or the cell has nothing that it could act on.
    """
    label, cell, options = description.label, description.cell, description.options
    for name, option in OPTIONS.items():
        value = getattr(options, name)
        if value is not option.default:
            option.check(value, description)
    given = {option.name: option for option, _ in options.given()}
    for name, option in given.items():
        need = option.need
        if need is not None and need.refusal and not need.there(cell, program_of(cell)):
            raise ValueError(f"{label}: {name} {need.refusal}")
        if option.rival is not None and option.rival[0] in given:
            other, both = option.rival
            raise ValueError(f"{label}: {other} and {name} set the same {both}; give one of them")
