"""A stack of layers fed step by step, by the kernels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...compiler.program import Program, Space
from .. import _cpu
from ..weights import Weights
from .layout import exact, matrices


class KernelStream:
    """See `unrolled.engine.stream.Steps`; weights are packed here, once.

    Args:
        program: what every layer runs.
        isa: instruction set.
        weights: for each layer, one direction; float32 on the CPU.
        rows: batch size.
        rates: of the program's masks.
    """

    def __init__(
        self,
        program: Program,
        isa: str,
        weights: Sequence[Weights],
        rows: int,
        rates: Sequence[float] = (),
    ) -> None:
        first = weights[0]
        sizes = {Space.HIDDEN: first.hidden_size, Space.PROJECTED: first.output_size}
        self._state_shapes = [
            (len(weights), rows, sizes[state.new.space]) for state in program.states
        ]
        self._output_shape = (rows, first.output_size)
        layers = [
            (
                own.input,
                own.input_bias,
                own.recurrent_bias,
                matrices(own),
                own.vectors,
                [mask.mean(rate) for mask, rate in zip(program.masks, rates, strict=True)],
            )
            for own in (own.map(exact) for own in weights)
        ]
        self._native = _cpu.Stream(
            isa=isa,
            name=program.name,
            rows=rows,
            input_size=int(first.input.shape[1]),
            hidden=first.hidden_size,
            projected=first.output_size,
            layers=layers,
            outputs=self._outputs(),
            heads=first.heads,
        )
        self.step = self._native.step

    def _outputs(self) -> list[Any]:
        """What the steps return: an array, its row, a tensor, its row; one memory."""
        tensor = torch.zeros(self._output_shape, dtype=torch.float32, device="cpu")
        array = tensor.numpy()
        return [array, array[0], tensor, tensor[0]]

    def run(self, block: Any, out: Any) -> Any:
        """Several steps."""
        if out is None:
            out = self._like(block)
        self._native.run(block, out)
        return out

    def step_rows(self, rows: Any, x: Any, out: Any = None) -> Any:
        """One step of some rows."""
        if out is None:
            out = self._like(x)
        self._native.step_rows(rows, x, out)
        return out

    def _like(self, x: Any) -> Any:
        """An array for the outputs of an input, of its kind."""
        out = np.empty((*getattr(x, "shape", ())[:-1], self._output_shape[1]), np.float32)
        return torch.from_numpy(out) if isinstance(x, Tensor) else out

    def read(self, rows: Sequence[int] | None = None) -> list[Tensor]:
        """The states of all rows or of some, copied."""
        found = []
        for k, (layers, count, size) in enumerate(self._state_shapes):
            shape = (layers, count if rows is None else len(rows), size)
            found.append(torch.empty(shape, dtype=torch.float32, device="cpu"))
            self._native.read_state(k, found[k], rows)
        return found

    def write(self, given: Sequence[Tensor], rows: Sequence[int] | None = None) -> None:
        """Set the states of all rows or of some."""
        for k, state in enumerate(given):
            self._native.write_state(k, exact(state), rows)

    def clone(self) -> KernelStream:
        """Another stream in the same state, with the same packed weights."""
        other = KernelStream.__new__(KernelStream)
        other._state_shapes, other._output_shape = self._state_shapes, self._output_shape
        other._native = self._native.clone(other._outputs())
        other.step = other._native.step
        return other
