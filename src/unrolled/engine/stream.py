"""What runs a stream, and a loop in torch operations that runs all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import linear

from ..compiler.program import Program
from . import reference
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

    def read(self) -> list[Tensor]:
        """The states, ``[layers, N, ·]`` each, copied."""

    def write(self, states: Sequence[Tensor]) -> None:
        """Set the states."""

    def clone(self) -> Steps:
        """Another one in the same state."""


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
        return self._give(self._advance(tensor.reshape(self._rows, -1)), tensor, x, out)

    def run(self, block: Any, out: Any) -> Any:
        """Several steps."""
        tensor = self._tensor(block, "block", 1)
        outputs = [self._advance(x) for x in tensor.reshape(-1, self._rows, self._input_size)]
        found = torch.stack(outputs) if outputs else tensor.new_empty(0, self._output_size)
        return self._give(found, tensor, block, out)

    def read(self) -> list[Tensor]:
        """The states, copied."""
        return [torch.stack(states) for states in zip(*self._states, strict=True)]

    def write(self, states: Sequence[Tensor]) -> None:
        """Set the states."""
        self._states = [
            [state[k].detach().clone() for state in states] for k in range(len(self._weights))
        ]

    def clone(self) -> ReferenceStream:
        """Another stream in the same state; no step changes a state in place."""
        other = ReferenceStream.__new__(ReferenceStream)
        other.__dict__.update(self.__dict__)
        other._states = [list(states) for states in self._states]
        return other

    @torch.no_grad()
    def _advance(self, x: Tensor) -> Tensor:
        for k, own in enumerate(self._weights):
            gates = linear(x, own.input, own.input_bias)
            self._states[k], _ = reference.step(
                self._program, x, gates, self._states[k], own, self._masks
            )
            x = self._states[k][0]
        return x

    def _tensor(self, given: Any, name: str, leading: int) -> Tensor:
        """The input as a tensor, checked."""
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
