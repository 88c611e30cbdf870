"""A layer without its parameters: its equations, sizes and options, and what follows from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ..cells import Cell, Function
from ..cells.functions import NONLINEARITIES
from ..compiler.program import Program, Space, VectorKind
from ..compiler.transforms import Variant
from ..engine.request import NOTHING, Wanted
from ..engine.torch.functions import FUNCTIONS
from ..engine.weights import program_named, program_of
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
        sizes = {Space.HIDDEN: self.hidden_size, Space.PROJECTED: self.output_size}
        return [sizes[state.new.space] for state in program.states]

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
            self.options.learn_initial,
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
        if not program.masks:
            return ()
        options = self.options
        rates = {
            "M_recurrent": options.recurrent_dropout,
            "M_candidate": options.candidate_dropout,
            **{f"M_zoneout_{s}": rate for s, rate in _zoneout(self.cell, options).items()},
        }
        # Zoneout of a projected output is that of what it is projected from.
        first = self.cell.states[0]
        rates.setdefault(f"M_zoneout_{first}_full", rates[f"M_zoneout_{first}"])
        return tuple(rates[mask.symbol.name] for mask in program.masks)

    def beyond_torch(self, training: bool) -> list[str]:
        """What the equations have and torch's layers have not; empty if they are the same."""
        if self.program(training).name in FUNCTIONS and self.heads == 1:
            return []
        options, default, found = self.options, Options(), []
        cell = program_named(_name_for(self.cell, default, False, True, False, ())).name
        if cell not in FUNCTIONS:
            found.append(f"cell {self.cell!r}")
        elif self.projected and f"{cell},projected" not in FUNCTIONS:
            found.append(f"proj_size={self.output_size}")
        for name in _EQUATIONS + _NOISE * training:
            if getattr(options, name) != getattr(default, name):
                found.append(f"{name}={getattr(options, name)}")
        if self.heads > 1:
            found.append(f"heads={self.heads}")
        return found

    def initial(self) -> Mapping[str, Any]:
        """Initial values of weights by name, see `Cell.initial`."""
        if not self.options.layer_norm:
            return self.cell.initial
        vectors = self.program().vectors
        gains = [v.symbol.name for v in vectors if v.symbol.name.startswith("gain_")]
        values: dict[str, Any] = {name.replace("_", ".", 1): 1.0 for name in gains}
        gates = dict.fromkeys(name.removeprefix("gain_")[2:] for name in gains)
        return values | {f"W.{gate}.bias": 0.0 for gate in gates} | dict(self.cell.initial)


_EQUATIONS = ("layer_norm", "activation", "recurrent_activation", "cell_clip", "zoneout")
_NOISE = ("recurrent_dropout", "candidate_dropout")
"""Options that change the equations: in every call, and in training."""


class Prepared(NamedTuple):
    """What all calls of a layer in one mode have in common.

    Attributes:
        description: the layer.
        program: the steps of every layer.
        expected: what the arguments must look like.
        shapes: of the parameters.
        names: how the names of one direction's weights begin, in the engine's order.
        rates: for each of the program's masks its probability.
    """

    description: Description
    program: Program
    expected: Expected
    shapes: Shapes
    names: list[str]
    rates: tuple[float, ...]


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
    learns_initial: bool,
) -> Shapes:
    key = (program, features, hidden, output, heads, layers, bidirectional, bias, learns_initial)
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
        if learns_initial:
            shapes |= {f"initial_{s.name}": (sizes[s.new.space],) for s in own.states}
        for end in ["", "_reverse"] if bidirectional else [""]:
            each.append((f"_l{layer}{end}", tuple(shapes.items())))
    found = _SHAPES[key] = tuple(each)
    return found


# What `torch.compiler.assume_constant_result` sets, which would load the compiler here.
_shapes_of._dynamo_marked_constant = True  # type: ignore[attr-defined]


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
        variant = Variant(
            activation=_function(options.activation),
            recurrent_activation=_function(options.recurrent_activation),
            cell_clip=options.cell_clip,
            projected=projected,
            layer_norm=options.layer_norm,
            bias=bias or not options.layer_norm,
            candidate_dropout=cell.candidate if training and options.candidate_dropout else None,
            recurrent_dropout=bool(training and options.recurrent_dropout),
            zoneout=tuple(state for state, rate in _zoneout(cell, options).items() if rate),
            returns=returns,
        )
        name = _NAMES[key] = program_of(cell, variant=variant).name
    return name


# What `torch.compiler.assume_constant_result` sets, which would load the compiler here.
_name_for._dynamo_marked_constant = True  # type: ignore[attr-defined]


def check_variant(description: Description) -> None:
    """See that the options of the program are of the right kind and that the cell allows them.

    Raises:
        TypeError: if one is of a wrong kind.
        ValueError: if one has a wrong value, or the cell has nothing that it could act on.
    """
    label, cell, options = description.label, description.cell, description.options
    layer_norm: Any = options.layer_norm
    if not isinstance(layer_norm, bool):
        raise TypeError(f"{label}: layer_norm must be a bool, got {type(layer_norm).__name__}")
    for name in ("activation", "recurrent_activation"):
        value = getattr(options, name)
        if value is not None and not isinstance(value, (str, Function)):
            kind = type(value).__name__
            raise TypeError(f"{label}: {name} must be a function's name, got {kind}")
        if value is not None and str(value) not in NONLINEARITIES:
            names = ", ".join(NONLINEARITIES)
            raise ValueError(f"{label}: {name} must be one of {names}, got {str(value)!r}")
    if options.cell_clip is not None:
        _check_number(label, "cell_clip", options.cell_clip)
        if not options.cell_clip > 0:
            raise ValueError(f"{label}: cell_clip must be more than 0, got {options.cell_clip}")
    for name in ("recurrent_dropout", "candidate_dropout", "weight_drop"):
        _check_rate(label, name, getattr(options, name))
    rates = options.zoneout if isinstance(options.zoneout, tuple) else (options.zoneout,)
    for rate in rates:
        _check_rate(label, "zoneout", rate)
    if isinstance(options.zoneout, tuple) and len(rates) != len(cell.states):
        states = ", ".join(cell.states)
        raise ValueError(
            f"{label}: zoneout must be a number, or one for each state ({states}), got {len(rates)}"
        )
    if options.candidate_dropout and not cell.candidate:
        raise ValueError(
            f"{label}: candidate_dropout needs a candidate, and this cell names none "
            "(candidate is empty)"
        )
    for name in ("recurrent_dropout", "weight_drop"):
        if getattr(options, name) and not description.program().matrix("U"):
            raise ValueError(f"{label}: {name} needs a recurrent matrix U; there is none")


def _check_rate(label: str, name: str, rate: Any) -> None:
    _check_number(label, name, rate)
    if not 0 <= rate <= 1:
        raise ValueError(f"{label}: {name} must be from 0 to 1, got {rate}")


def _check_number(label: str, name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{label}: {name} must be a number, got {type(value).__name__}")


def _function(given: str | Function | None) -> Function | None:
    return NONLINEARITIES[given] if isinstance(given, str) else given


def _zoneout(cell: Cell, options: Options) -> dict[str, float]:
    """The rate of every state of the cell."""
    rates = options.zoneout
    each = rates if isinstance(rates, tuple) else (rates,) * len(cell.states)
    return dict(zip(cell.states, each, strict=True))
