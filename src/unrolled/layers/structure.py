"""A layer before any call: its cell, sizes, options and parameters, and what follows from them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter, init

from ..cells import Cell
from ..compiler.program import Program
from ..options.learn_initial import learned_initial
from .checks import Expected
from .description import Description, check_options
from .options import Options
from .parameters import add_mark, add_parameters, marks, part_of, set_initial_values


class Structure(torch.nn.Module):
    """A stack of recurrent layers of one cell, with parameters named as torch.nn names them.

    A subclass makes the matrices and biases, and then calls `_complete`.
    """

    input_size: int
    hidden_size: int
    num_layers: int
    bias: bool
    batch_first: bool
    dropout: float
    bidirectional: bool
    proj_size: int
    heads: int = 1
    options: Options = Options()
    weight_ih_l0: Tensor

    @property
    def cell(self) -> Cell:
        """The equations."""
        raise NotImplementedError

    @property
    def description(self) -> Description:
        """The layer without its parameters."""
        return Description(
            self.label,
            self.cell,
            self.options,
            self.input_size,
            self.hidden_size,
            self.output_size,
            self.num_layers,
            self.bidirectional,
            self.bias,
            bool(self.proj_size),
            self.heads,
            self.batch_first,
        )

    @property
    def program(self) -> Program:
        """What every layer runs: the cell with this layer's options, in its mode."""
        return self.description.program(self.training)

    @property
    def output_size(self) -> int:
        """Features of the output of one direction, S."""
        return self.proj_size or self.hidden_size

    @property
    def label(self) -> str:
        """With what every error begins."""
        return type(self).__name__

    def gate(self, name: str, layer: int = 0, reverse: bool = False) -> Tensor:
        """The part of the parameters that stands for one name of the equations.

        It is a view: writing to it, under `torch.no_grad`, sets the layer's own weights.

        Args:
            name: ``"W.f"`` or ``"U.f"`` for the rows of a gate's matrix, ``"W.f.bias"`` or
                ``"U.f.bias"`` for its bias, ``"V.p"`` for a per-unit weight, ``"s.q"`` for a
                scalar, ``"P"`` for the projection.
            layer: which layer, from 0.
            reverse: whether that of the reverse direction.

        Returns:
            ``[H, ·]`` for a matrix, ``[H]`` for a bias or a per-unit weight, ``[1]`` for a scalar,
            ``[S, H]`` for the projection.

        Raises:
            ValueError: if there is no such name, layer or direction.

        Example:
            >>> lstm = LSTM(10, 20, num_layers=2)
            >>> with torch.no_grad():
            ...     _ = lstm.gate("W.f.bias", layer=1).fill_(1.0)
            >>> lstm.bias_ih_l1[20:40].unique()
            tensor([1.], grad_fn=<Unique2Backward0>)
        """
        if layer not in range(self.num_layers):
            raise ValueError(
                f"{self.label}: layer must be from 0 to {self.num_layers - 1}, got {layer}"
            )
        if reverse and not self.bidirectional:
            raise ValueError(f"{self.label}: there is no reverse direction, bidirectional is False")
        return part_of(self, self.description, name, f"_l{layer}" + "_reverse" * reverse)

    def reset_parameters(self) -> None:
        """Draw all parameters again: uniform on ±1/√H, and then what cell and options say."""
        self._draw(self.parameters())
        set_initial_values(self, self.description)

    def _draw(self, parameters: Iterable[Parameter]) -> None:
        """As torch.nn draws them, in the order in which they were made."""
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in parameters:
            init.uniform_(parameter, -bound, bound)

    def _complete(self, options: Options) -> None:
        """Make and draw what the options ask for; the matrices are there, and drawn."""
        self.options = options
        description = self.description
        check_options(description)
        self._draw(add_parameters(self, description))
        set_initial_values(self, description)
        add_mark(self, description)

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *rest: Any) -> None:
        """Load as any module, and checkpoints without a mark, too: torch.nn's and older ones."""
        for name, mark in marks(self):
            state_dict.setdefault(prefix + name, mark)
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def expected(self, directions: int) -> Expected:
        """What the arguments of a call must look like."""
        return self.description.expected(self.program, directions)

    def _learned(self, description: Description, rows: Any) -> list[Tensor] | None:
        """The learned initial states; None if there are none."""
        if not self.options.learn_initial:
            return None
        return learned_initial(self, description.program(), description.suffixes, rows)

    @property
    def _kept(self) -> dict[Any, Any]:
        """What follows from the layer's attributes, kept from call to call until one changes."""
        found: dict[Any, Any] = self.__dict__.setdefault("_kept", {})
        return found

    def __setattr__(self, name: str, value: Any) -> None:
        self.__dict__.pop("_kept", None)
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        self.__dict__.pop("_kept", None)
        super().__delattr__(name)

    def _apply(self, *arguments: Any, **keywords: Any) -> Any:
        self.__dict__.pop("_kept", None)  # parameters may get another dtype or device
        return super()._apply(*arguments, **keywords)  # type: ignore[no-untyped-call]

    def __getstate__(self) -> dict[str, Any]:
        """As any module's: what is kept between calls is no part of a copy or a file."""
        state = dict(super().__getstate__())  # type: ignore[no-untyped-call]
        state.pop("_kept", None)
        return state
