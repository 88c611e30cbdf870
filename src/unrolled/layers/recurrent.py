"""The layer of any cell."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch.nn import Parameter

from ..cells import Cell
from ..compiler.program import VectorKind
from ..options import OPTIONS, with_options
from .description import check_options, matrix_names
from .layer import Layer
from .options import split_options


class Recurrent(Layer):
    r"""A stack of layers of any cell, as `torch.nn` has them for three.

    .. math::
        h_t, \dots = \mathrm{step}(x_t, h_{t-1}, \dots)

    where the step is the cell's (see `unrolled.Cell`):

        >>> from unrolled.cells import Cell, sigmoid, tanh
        >>> class Minimal(Cell):
        ...     '''Minimal gated unit (Zhou et al., 2016).'''
        ...
        ...     gates_of_memory = {"f": -1}
        ...
        ...     def step(W, U, x, h):
        ...         f = sigmoid(W.f(x) + U.f(h))
        ...         n = tanh(W.n(x) + U.n(f * h))
        ...         return (1 - f) * h + f * n
        >>> layer = Recurrent(Minimal, 10, 20, num_layers=2)
        >>> output, h_n = layer(torch.randn(5, 3, 10), lengths=[5, 0, 2])
        >>> output.shape, h_n.shape
        (torch.Size([5, 3, 20]), torch.Size([2, 3, 20]))

    ``Recurrent(LSTM, ...)`` of `unrolled.cells.LSTM` has the parameters, the initial values and the
    numbers of `unrolled.LSTM`, without being a subclass of torch.nn's.

    Args:
        cell: a class of cells, or one of its instances.
        input_size: features of the input at one step; where the cell's equations name x itself,
            the same as hidden_size.
        hidden_size: units of a layer, H.
        num_layers: layers on top of each other; each reads the output of the one below.
        bias: whether there are b and c.
        batch_first: whether the batch is the first dimension of input and output (not of states).
        dropout: probability with which an output of any layer but the last is dropped in training.
        bidirectional: whether every layer also runs from the end to the beginning.
        device: of the parameters.
        dtype: of the parameters.
        proj_size: size of the projected output S; 0 for none, and then S is H (keyword only, as
            all that follow).
        heads: blocks on the diagonal of every U, which has zeros elsewhere: unit groups that see
            each other only through the input. Divides H and S.
        **choices: options, see `unrolled.layers.Options`, none of which is on by default; and the
            cell's own choices, where ``cell`` is a class.

    Inputs: input, hx, lengths, reset, checkpoint
        As `unrolled.LSTM` takes them; **hx** is one tensor for a cell of one state, and a tuple of
        all states for any other, ``[num_layers * directions, N, ·]`` each.

    Outputs: output, states
        As `unrolled.LSTM` gives them; the states are shaped as hx.

    Shape:
        T steps, N rows, H = ``hidden_size``; directions = 2 if ``bidirectional``, else 1. The first
        state, which is the output, has S features, the others H. T and N may be zero.

    Parameters (attributes), for layer k, with ``_reverse`` appended for the reverse direction, as
    far as the cell has them, of G gates of W and R gates of U, in the order of the equations:
        * ``weight_ih_l{k}``: W, ``[G * H, input_size]``; ``[G * H, directions * S]`` for k > 0
        * ``weight_hh_l{k}``: U, ``[R * H, S / heads]``
        * ``bias_ih_l{k}``, ``bias_hh_l{k}``: b ``[G * H]`` and c ``[R * H]``, unless ``bias=False``
        * ``weight_hr_l{k}``: P, ``[S, H]``, with ``proj_size`` only
        * ``vector_l{k}``: the per-unit weights V one after the other, H numbers each; then, with
          ``layer_norm``, the gains of the gates of W and those of U
        * ``scalar_l{k}``: the scalar weights s
        * ``initial_{state}_l{k}``: ``[S]`` or ``[H]``, with ``learn_initial`` only

        All are drawn from the uniform distribution on ±1/√H, but for what the cell or an option
        says. `gate` gives the part of one gate.

    Raises:
        TypeError: if an argument is of a wrong kind.
        ValueError: if one has a wrong size, dtype, device or value.
        RuntimeError: as well, where torch.nn raises it: the errors of a call are those of
            `unrolled.errors`.
    """

    @with_options
    def __init__(
        self,
        cell: Cell | type[Cell],
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        proj_size: int = 0,
        heads: int = 1,
        **choices: Any,
    ) -> None:
        super().__init__()
        options, choices = split_options(choices)
        self._cell = _make(cell, choices)
        self.input_size, self.hidden_size = input_size, hidden_size
        self.num_layers, self.bias, self.batch_first = num_layers, bias, batch_first
        self.dropout, self.bidirectional = dropout, bidirectional
        self.proj_size, self.heads = proj_size, heads
        self.options = options
        check_options(self.description)
        self._check()
        self._add_matrices(device, dtype)
        self._draw(self.parameters())
        self._complete(options)

    @property
    def cell(self) -> Cell:
        """The equations."""
        return self._cell

    @property
    def label(self) -> str:
        """With what every error begins."""
        return f"Recurrent({type(self._cell).__name__})"

    def extra_repr(self) -> str:
        """The cell, the sizes, and what is not the default."""
        usual: dict[str, float] = {"proj_size": 0, "heads": 1, "num_layers": 1, "bias": True}
        usual |= {"batch_first": False, "dropout": 0.0, "bidirectional": False}
        given = [
            f"{name}={getattr(self, name)}"
            for name, value in usual.items()
            if getattr(self, name) != value
        ]
        sizes = [repr(self._cell), str(self.input_size), str(self.hidden_size)]
        return ", ".join(sizes + given) + str(self.options)

    def _add_matrices(self, device: Any, dtype: torch.dtype | None) -> None:
        """Parameters as torch.nn registers them.

        Where the program has no gate the engine is given a weight without rows, which is no
        parameter and in no state_dict.
        """
        description = self.description
        program = description.program()
        names = matrix_names(program, self.bias)
        for suffix, shapes in description.shapes(program):
            sizes = dict(shapes)
            for name in names:
                weight = torch.empty(sizes[name], device=device, dtype=dtype)
                if len(weight):
                    self.register_parameter(name + suffix, Parameter(weight))
                else:
                    self.register_buffer(name + suffix, weight, persistent=False)

    def _check(self) -> None:
        """See that the sizes are numbers and fit together."""
        label = self.label
        for name, least in (
            ("input_size", 1),
            ("hidden_size", 1),
            ("num_layers", 1),
            ("proj_size", 0),
            ("heads", 1),
        ):
            size = getattr(self, name)
            if not isinstance(size, int) or isinstance(size, bool):
                raise TypeError(f"{label}: {name} must be an integer, got {type(size).__name__}")
            if size < least:
                raise ValueError(f"{label}: {name} must be at least {least}, got {size}")
        if self.proj_size and self.cell.antisymmetric:
            raise ValueError(
                f"{label}: proj_size must be 0 for a cell whose U is antisymmetric and so square, "
                f"got {self.proj_size}"
            )
        for name in ("bias", "batch_first", "bidirectional"):
            if not isinstance(getattr(self, name), bool):
                kind = type(getattr(self, name)).__name__
                raise TypeError(f"{label}: {name} must be a bool, got {kind}")
        if isinstance(self.dropout, bool) or not isinstance(self.dropout, (int, float)):
            raise TypeError(f"{label}: dropout must be a number, got {type(self.dropout).__name__}")
        if not 0 <= self.dropout <= 1:
            raise ValueError(f"{label}: dropout must be from 0 to 1, got {self.dropout}")
        if self.dropout and self.num_layers == 1:
            warnings.warn(
                f"{label}: dropout acts between layers, and num_layers is 1", stacklevel=3
            )
        hidden, output = self.hidden_size, self.output_size
        if self.proj_size >= hidden:
            raise ValueError(
                f"{label}: proj_size must be less than hidden_size={hidden}, got {self.proj_size}"
            )
        if hidden % self.heads or output % self.heads:
            size = f"proj_size={output}" if hidden % self.heads == 0 else f"hidden_size={hidden}"
            raise ValueError(f"{label}: heads must divide {size}, got {self.heads}")
        program = self.program
        if self.heads > 1 and not program.rows("U"):
            raise ValueError(f"{label}: heads divide a recurrent matrix U, and there is none")
        for vector in program.vectors:
            if vector.kind is VectorKind.CONSTANT:
                name = vector.symbol.name.removeprefix("K_")
                length = len(self._cell.choices[name])
                if length != hidden:
                    raise ValueError(
                        f"{label}: {name} must have one number for each of hidden_size={hidden} "
                        f"units, got {length}"
                    )
        below = output * (1 + self.bidirectional)
        if program.reads_input and self.input_size != hidden:
            raise ValueError(
                f"{label}: x stands in the equations, so input_size must be the same as "
                f"hidden_size={hidden}, got {self.input_size}"
            )
        if program.reads_input and self.num_layers > 1 and below != hidden:
            raise ValueError(
                f"{label}: x stands in the equations, so a layer's input must have "
                f"hidden_size={hidden} features; the layer below gives {below}"
            )


def _make(cell: Any, choices: dict[str, Any]) -> Cell:
    """An instance of a cell, given as such or as a class with its choices."""
    if isinstance(cell, type) and issubclass(cell, Cell):
        if unknown := sorted(choices.keys() - cell._defaults.keys()):
            raise TypeError(
                f"Recurrent({cell.__name__}): unknown argument {unknown[0]!r}; the cell's choices "
                f"are {', '.join(cell._defaults) or 'none'}, a layer's options {', '.join(OPTIONS)}"
            )
        return cell(**choices)
    if not isinstance(cell, Cell):
        raise TypeError(
            f"Recurrent: cell must be a class of cells or a cell, got {type(cell).__name__}"
        )
    if choices:
        raise TypeError(
            f"Recurrent({type(cell).__name__}): unknown argument {min(choices)!r}; choices are "
            "given with a class, this cell is made already"
        )
    return cell
