"""The recurrent layers of every task's model: options, and the layers made from them.

Reading options loads no torch and executes nobody's code; making layers does the one, and
`cell_class` the other where it is allowed to.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, make_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from unrolled.cells import CELLS, GRU, Cell, OriginalGRU
from unrolled.errors import UserError
from unrolled.options import OPTIONS, RECURRENT, Option
from unrolled.ranges import SHARE, SIZE, NamesCode, Range, flag, shown
from unrolled.tasks import own_cell
from unrolled.training.options import CheckedOptions

if TYPE_CHECKING:
    from torch import Tensor, nn

    from unrolled.compiler.program import Program

CELLS_BY_NAME: Mapping[str, type[Cell]] = {kind.__name__.lower(): kind for kind in CELLS}
"""The library's cells as options name them."""


@dataclass(frozen=True)
class _Sizes(CheckedOptions):
    """What is no option of a layer.

    Attributes:
        cell: Recurrent cell, as lstm, gru, rnn, slstm or mingru; or FILE.py:CLASS for your own.
        hidden_size: Units of each recurrent layer.
        num_layers: Recurrent layers, one upon another.
        bidirectional: Also read every sequence from its end.
        dropout: Share of values dropped between and after the recurrent layers.
        proj_size: Size to which the recurrent output is projected; 0 for no projection.
        heads: Groups of units that see each other only through the input.
        nonlinearity: Nonlinearity of the rnn cell.
        reset_after: Whether the gru cell's reset gate acts after the recurrent product
            (as in torch.nn) or before it (the original form).
    """

    cell: Annotated[str, NamesCode()] = "gru"
    hidden_size: Annotated[int, SIZE] = 256
    num_layers: Annotated[int, Range(1, 1000)] = 1
    bidirectional: bool = False
    dropout: Annotated[float, SHARE] = 0.3
    proj_size: Annotated[int, Range(0, 65536)] = 0
    heads: Annotated[int, SIZE] = 1
    nonlinearity: Literal["tanh", "relu", "sigmoid", "identity"] = "tanh"
    reset_after: bool = True


def _line(option: Option) -> str:
    """A line of ``Attributes:``, from which a flag has its help."""
    default = f" [default: {option.off_shown}]" if option.off_shown else ""
    return f"    {option.name}: {option.doc}{default}\n"


_LINES = "".join(map(_line, OPTIONS.values()))

_Flags: Any = make_dataclass(
    "_Flags",
    [(name, option.flag, option.flag_default) for name, option in OPTIONS.items()],
    frozen=True,
    namespace={"__doc__": f"Options of a layer.\n\nAttributes:\n{_LINES}"},
)


@dataclass(frozen=True)
class RecurrentOptions(_Flags, _Sizes):  # type: ignore[misc]
    """Recurrent layers. A task's model options inherit from this, and may set other defaults.

    Beside the sizes there is every option of a layer, see `unrolled.options`.
    """

    def __post_init__(self) -> None:
        """Check the values, and that the cell can take them.

        The user's own cell is not looked at here, since that would execute it: see `cell_class`.

        Raises:
            UserError: A value is outside its range, or two do not go together.
        """
        super().__post_init__()
        if own_cell.is_own(self.cell):
            own_cell.parse(self.cell)
            _check_sizes(self)
            return
        object.__setattr__(self, "cell", _known(self.cell))
        _check_sizes(self)
        _check_cell(self, _cell_of(self, CELLS_BY_NAME[self.cell]))


Options = TypeVar("Options", bound=RecurrentOptions)


def cell_class(
    options: RecurrentOptions,
    folder: Path | None = None,
    trusted: type[Cell] | str | None = None,
) -> type[Cell]:
    """The class of the options' cell; the user's own is loaded, if it may be executed.

    Args:
        options: Names the cell.
        folder: The run, of which only ``cell.py`` is executed, and only if this user trained with
            the same source before. None where the user has just given the options: then the file
            that they name is executed.
        trusted: The cell, or ``FILE.py:CLASS``, that the user has given for the run's own cell. It
            is executed.

    Raises:
        UserError: There is no such file or class, its execution failed, it is not the run's cell,
            the run is somebody else's, or the cell cannot take one of the options.
    """
    if not own_cell.is_own(options.cell):
        return CELLS_BY_NAME[options.cell]
    own = own_cell.parse(options.cell)
    if isinstance(trusted, type):
        kind = trusted
        if kind.__name__ != own.name:
            raise UserError(f"the run's cell is called {own.name}, got {kind.__name__}")
    elif folder is not None:
        kind = own_cell.load_kept(own, folder, trusted)
    elif own.digest:
        raise UserError(f"--cell: {own.file}:{own.name} is kept with a run, and none was given")
    else:
        kind, _ = own_cell.load_file(own)
    _check_cell(options, _cell_of(options, kind))
    return kind


def keep_cell(options: Options, folder: Path) -> Options:
    """Put the user's own cell, if the options name one, into a new run.

    Its file is executed, copied to the run's ``cell.py``, and trusted from now on.

    Args:
        options: As the user gave them.
        folder: The new run, still a draft.

    Returns:
        The options to write to the run: they name that copy, and its SHA-256.

    Raises:
        UserError: As `cell_class`, or the trust cannot be kept.
    """
    if not own_cell.is_own(options.cell):
        return options
    own = own_cell.parse(options.cell)
    if not own.digest:  # a mistake in the options is found before anything is trusted
        cell_class(options)
    return replace(options, cell=str(own_cell.keep(own, folder)))


def build_recurrent(
    options: RecurrentOptions, input_size: int, cell: type[Cell] | None = None
) -> nn.Module:
    """The recurrent layers.

    lstm, gru and rnn are `unrolled.LSTM`, `GRU` and `RNN`; another cell is a `Recurrent`, with a
    linear map of the input before it where x itself stands in its equations.

    Args:
        options: Cell, sizes and options.
        input_size: Features of the input.
        cell: The class of the user's own cell, from `cell_class`.

    Returns:
        A module of ``(x, hx=None, lengths=None, reset=None, …) -> (output, states)`` with a method
        ``stream``; output has `output_size` features.

    Raises:
        UserError: The user's own cell names something that it does not have.
        ValueError: The user's own cell was not given.
    """
    from unrolled import layers

    own = own_cell.is_own(options.cell)
    kind = _given(options, cell)
    sizes = (input_size, options.hidden_size, options.num_layers)
    keywords = _keywords(options)
    if not own and options.heads == 1:
        if options.cell == "lstm":
            return layers.LSTM(*sizes, **keywords)
        if options.cell == "gru":
            return layers.GRU(*sizes, reset_after=options.reset_after, **keywords)
        if options.cell == "rnn":
            return layers.RNN(*sizes, nonlinearity=options.nonlinearity, **keywords)
    equations = _cell_of(options, kind)
    try:
        if not _program(equations).reads_input:
            return layers.Recurrent(equations, *sizes, heads=options.heads, **keywords)
        from .mapped_input import MappedInput

        sizes = (options.hidden_size, options.hidden_size, options.num_layers)
        layer = layers.Recurrent(equations, *sizes, heads=options.heads, **keywords)
    except (TypeError, ValueError) as error:
        if own:  # such as a gate of memory that is not there
            raise UserError(f"--cell {options.cell}: {error}") from error
        raise
    return MappedInput(input_size, layer)


def program_of(options: RecurrentOptions, cell: type[Cell] | None = None) -> Program:
    """The program of the options' cell; ``cell`` is the class of the user's own, from `cell_class`.

    Raises:
        ValueError: The user's own cell was not given.
    """
    return _program(cell_of(options, cell))


def cell_of(options: RecurrentOptions, cell: type[Cell] | None = None) -> Cell:
    """The options' cell; ``cell`` is the class of the user's own, from `cell_class`.

    Raises:
        ValueError: The user's own cell was not given.
    """
    return _cell_of(options, _given(options, cell))


def layer_options(options: RecurrentOptions) -> dict[str, Any]:
    """Options of a layer, with a layer's values."""
    return {name: one.of_flag(getattr(options, name)) for name, one in OPTIONS.items()}


def output_size(options: RecurrentOptions) -> int:
    """Features of the recurrent layers' output."""
    return (options.proj_size or options.hidden_size) * (1 + options.bidirectional)


def as_tuple(states: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The states that a layer returns as a tuple, also if there is only one.

    They can be carried, cut and stored alike, whatever the cell.
    """
    return states if isinstance(states, tuple) else (states,)


def as_hx(states: tuple[Tensor, ...] | None) -> Any:
    """A tuple of states as a layer takes them: bare if there is only one."""
    return states[0] if states is not None and len(states) == 1 else states


def _known(name: str) -> str:
    """A cell's name as the library has it: ``Coupled-LSTM`` is ``coupledlstm``.

    Raises:
        UserError: There is no such cell.
    """
    plain = name.lower().replace("-", "").replace("_", "")
    if plain in CELLS_BY_NAME:
        return plain
    near = difflib.get_close_matches(plain, CELLS_BY_NAME, 1, cutoff=0.5)
    guess = f"; did you mean {near[0]}?" if near else ";"
    raise UserError(
        f"--cell: unknown cell {shown(name)}{guess} known: {', '.join(sorted(CELLS_BY_NAME))}, "
        "or FILE.py:CLASS for your own"
    )


def _cell_of(options: RecurrentOptions, kind: type[Cell]) -> Cell:
    """The cell with the choices among the options."""
    if own_cell.is_own(options.cell):
        return kind()
    if options.cell == "rnn":
        return kind(nonlinearity=options.nonlinearity)
    return OriginalGRU() if kind is GRU and not options.reset_after else kind()


def _given(options: RecurrentOptions, cell: type[Cell] | None) -> type[Cell]:
    """The cell's class; one of the user's own is not loaded here, but with `cell_class`.

    Raises:
        ValueError: It is the user's own and was not given.
    """
    if not own_cell.is_own(options.cell):
        return CELLS_BY_NAME[options.cell]
    if cell is None:
        raise ValueError(f"expected the class of {options.cell}, see cell_class; got none")
    return cell


def _program(cell: Cell) -> Program:
    from unrolled.compiler.trace import trace

    return trace(cell)


def _keywords(options: RecurrentOptions) -> dict[str, Any]:
    """A layer's keyword arguments."""
    return {
        "dropout": options.dropout if options.num_layers > 1 else 0.0,
        "bidirectional": options.bidirectional,
        "proj_size": options.proj_size,
        **layer_options(options),
    }


def _check_sizes(options: RecurrentOptions) -> None:
    """Refuse options that do not go together whatever the cell.

    Raises:
        UserError: They do not.
    """
    if not options.reset_after and options.cell != "gru":
        raise UserError("--no-reset-after: only for --cell gru")
    if options.nonlinearity != "tanh" and options.cell != "rnn":
        raise UserError("--nonlinearity: only for --cell rnn")
    given = {name for name, one in OPTIONS.items() if getattr(options, name) != one.flag_default}
    for name in given:
        if (rival := OPTIONS[name].rival) is not None and rival[0] in given:
            both = f"{flag(rival[0])} and {flag(name)} set the same {rival[1]}"
            raise UserError(f"{both}; give one of them")
    if options.proj_size >= options.hidden_size:
        raise UserError(
            f"--proj-size: expected less than --hidden-size {options.hidden_size}, "
            f"got {options.proj_size}"
        )
    for name in ("hidden_size", "proj_size"):
        if getattr(options, name) % options.heads:
            raise UserError(
                f"--heads: expected a divisor of {flag(name)} {getattr(options, name)}, "
                f"got {options.heads}"
            )


def _check_cell(options: RecurrentOptions, cell: Cell) -> None:
    """Refuse an option that the cell cannot take.

    Raises:
        UserError: There is one.
    """
    off = {name: one.flag_default for name, one in OPTIONS.items()} | _OFF
    asked = [name for name, value in off.items() if getattr(options, name) != value]
    if not asked:
        return
    program = _program(cell)
    needs = {name: one.need for name, one in OPTIONS.items()} | {"heads": RECURRENT}
    lacks = {n: need.lack for n, need in needs.items() if need and not need.there(cell, program)}
    stacked = program.reads_input and options.num_layers > 1
    if stacked and output_size(options) != options.hidden_size:
        why = "uses its input unit by unit, so each of several layers must give --hidden-size "
        lacks |= dict.fromkeys(("proj_size", "bidirectional"), why + "features")
    if cell.antisymmetric:
        lacks["proj_size"] = "has a recurrent matrix that is antisymmetric and so square"
    for name in asked:
        if name in lacks:
            raise UserError(f"{flag(name)}: --cell {options.cell} cannot take it: it {lacks[name]}")


_OFF: dict[str, Any] = {"heads": 1, "proj_size": 0, "bidirectional": False}
"""What is no option of a layer and not every cell can take, and the values that ask for nothing."""
