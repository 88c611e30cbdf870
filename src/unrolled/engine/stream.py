"""What runs a stream, and a loop in torch operations that runs all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import linear

from ..compiler.program import Program, Symbol
from . import _cpu, reference
from .noise import Noise
from .request import Request
from .weights import Weights, split


class Steps(Protocol):
    """A stack of layers that keeps its states between calls.

    x is ``[N, I]``, or ``[I]`` if N is 1, and a block has a first dimension for the steps. Outputs
    are of the input's kind, array or tensor, and are written to ``out`` where it is given.
    """

    def step(self, x: Any, out: Any = None) -> Any:
        """One step; what it returns may be overwritten by the next."""

    def run(self, block: Any, out: Any) -> Any:
        """Several steps."""

    def step_rows(self, rows: Any, x: Any, out: Any = None) -> Any:
        """One step of some rows, whose inputs are ``[len(rows), I]``; the others stay as they are.

        ``rows`` is a sequence of integers, or an array or tensor of int64, all distinct.
        """

    def read(self, rows: Sequence[int] | None = None) -> list[Tensor]:
        """The states, ``[layers, N, ·]`` each, copied; ``[layers, len(rows), ·]`` of some rows."""

    def write(self, states: Sequence[Tensor], rows: Sequence[int] | None = None) -> None:
        """Set the states of all rows or of some."""

    def clone(self) -> Steps:
        """Another one in the same state."""


def row_numbers(rows: Any, count: int) -> list[int]:
    """Numbers of some rows of a stream, checked.

    Args:
        rows: a sequence of integers, or an array or tensor of int64: distinct, ``0 ≤ row < count``.
        count: rows of the stream.

    Raises:
        TypeError: if it is of another kind.
        ValueError: if a number is out of range or comes twice, or the dtype is another one.
    """
    return _cpu.row_numbers(rows, count)


class ReferenceStream:
    """A stream in torch operations: any device and dtype."""

    def __init__(
        self,
        program: Program,
        weights: Sequence[Weights],
        rows: int,
        rates: Sequence[float] = (),
    ) -> None:
        self._program, self._rows = program, rows
        self._weights = [own.map(lambda tensor: tensor.detach().clone()) for own in weights]
        first = self._weights[0]
        self._input_size, self._output_size = int(first.input.shape[1]), first.output_size
        sizes = reference.sizes_of(first)
        self._states = [
            [first.input.new_zeros(rows, sizes[state.new.space]) for state in program.states]
            for _ in self._weights
        ]
        self._masks = Noise(None, tuple(rates)).masks(program, 0, 0, rows, sizes, first.input)

    @classmethod
    def of(cls, request: Request) -> ReferenceStream:
        """The stream of a request without steps."""
        program = request.program
        weights = [split(program, request.weights_of(k), 1)[0] for k in range(request.layers)]
        return cls(program, weights, request.x.shape[1], request.rates)

    def step(self, x: Any, out: Any = None) -> Any:
        """One step."""
        tensor = self._tensor(x, "x", 0)
        self._states = self._advance(tensor.reshape(self._rows, -1), self._states, self._masks)
        return self._give(self._states[-1][0], tensor, x, out)

    def run(self, block: Any, out: Any) -> Any:
        """Several steps."""
        tensor = self._tensor(block, "block", 1)
        outputs = []
        for x in tensor.reshape(-1, self._rows, self._input_size):
            self._states = self._advance(x, self._states, self._masks)
            outputs.append(self._states[-1][0])
        found = torch.stack(outputs) if outputs else tensor.new_empty(0, self._output_size)
        return self._give(found, tensor, block, out)

    def step_rows(self, rows: Any, x: Any, out: Any = None) -> Any:
        """One step of some rows."""
        numbers = row_numbers(rows, self._rows)
        tensor = self._tensor(x, "x", 0, [[len(numbers), self._input_size]])
        masks = {symbol: mask[: len(numbers)] for symbol, mask in self._masks.items()}
        before = [[state[numbers] for state in states] for states in self._states]
        after = self._advance(tensor, before, masks)
        found = self._give(after[-1][0], tensor, x, out)
        self._put(after, numbers)
        return found

    def read(self, rows: Sequence[int] | None = None) -> list[Tensor]:
        """The states of all rows or of some, copied."""
        states = [torch.stack(of_all) for of_all in zip(*self._states, strict=True)]
        return states if rows is None else [state[:, list(rows)] for state in states]

    def write(self, states: Sequence[Tensor], rows: Sequence[int] | None = None) -> None:
        """Set the states of all rows or of some."""
        given = [[state[k].detach().clone() for state in states] for k in range(len(self._weights))]
        if rows is None:
            self._states = given
        else:
            self._put(given, rows)

    def _put(self, states: Sequence[Sequence[Tensor]], rows: Sequence[int]) -> None:
        """Replace the states of some rows; clones keep theirs."""
        number = torch.tensor(rows, dtype=torch.int64, device=self._weights[0].input.device)
        self._states = [
            [
                old.index_copy(0, number, new.to(old.dtype))
                for old, new in zip(before, after, strict=True)
            ]
            for before, after in zip(self._states, states, strict=True)
        ]

    def clone(self) -> ReferenceStream:
        """Another stream in the same state; no step changes a state in place."""
        other = ReferenceStream.__new__(ReferenceStream)
        other.__dict__.update(self.__dict__)
        other._states = [list(states) for states in self._states]
        return other

    @torch.no_grad()
    def _advance(
        self, x: Tensor, states: Sequence[Sequence[Tensor]], masks: Mapping[Symbol, Tensor]
    ) -> list[list[Tensor]]:
        """The states of all layers after one step of so many rows as x has."""
        found = []
        for own, before in zip(self._weights, states, strict=True):
            gates = linear(x, own.input, own.input_bias)
            after, _ = reference.step(self._program, x, gates, before, own, masks)
            found.append(after)
            x = after[0]
        return found

    def _tensor(
        self, given: Any, name: str, leading: int, shapes: list[list[int]] | None = None
    ) -> Tensor:
        """The input as a tensor, checked; by default of all rows."""
        if not isinstance(given, (np.ndarray, Tensor)):
            kind = type(given).__name__
            raise TypeError(f"Stream: {name} must be a NumPy array or a tensor, got {kind}")
        x = torch.from_numpy(given.copy()) if isinstance(given, np.ndarray) else given.detach()
        like = self._weights[0].input
        if x.dtype != like.dtype:
            raise ValueError(f"Stream: {name} is {x.dtype}, expected {like.dtype}")
        if x.device != like.device:
            raise ValueError(f"Stream: {name} is on {x.device}, expected it on {like.device}")
        rows, steps = self._rows, "T, " * leading
        if shapes is None:
            shapes = [[rows, self._input_size]] + [[self._input_size]] * (rows == 1)
        if x.ndim <= leading or list(x.shape[leading:]) not in shapes:
            wanted = " or ".join(f"[{steps}{str(shape)[1:]}" for shape in reversed(shapes))
            raise ValueError(f"Stream: {name} has shape {list(x.shape)}, expected {wanted}")
        return x

    def _give(self, found: Tensor, x: Tensor, given: Any, out: Any) -> Any:
        """The output in the input's shape and kind, or written to ``out``."""
        found = found.reshape(*x.shape[:-1], self._output_size)
        if out is None:
            return found.cpu().numpy() if isinstance(given, np.ndarray) else found
        if list(out.shape) != list(found.shape):
            raise ValueError(
                f"Stream: out has shape {list(out.shape)}, expected {list(found.shape)}"
            )
        target = torch.from_numpy(out) if isinstance(out, np.ndarray) else out
        with torch.no_grad():
            target.copy_(found)
        return out
