"""One direction of a layer: one call of the kernels, everything time-major, states ``[N, ·]``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .. import _cpu
from ..noise import Noise
from ..weights import Weights
from . import layout
from .layout import matrices
from .parallel import threads

_BLOCK = 0
"""Steps whose adjoints are held at a time; 0 leaves it to the kernels."""


class Direction(NamedTuple):
    """What forward and backward of one direction have in common.

    Attributes:
        program: the program's name.
        isa: instruction set.
        x: ``[T, N, input_size]``, float32 or bfloat16, the features of a step side by side.
        exact_x: the same in float32.
        initial: the states before the first step.
        anew: the states after a reset.
        weights: of x's dtype, but for biases and vectors in float32.
        lengths: ``[N]``, or None.
        reset: ``[T, N]``, or None.
        descending: whether it goes from the last step to the first.
        noise: of the program's masks.
        first_step: what time x begins at, for the noise.
    """

    program: str
    isa: str
    x: Tensor
    exact_x: Tensor
    initial: Sequence[Tensor]
    anew: Sequence[Tensor]
    weights: Weights
    lengths: Tensor | None
    reset: Tensor | None
    descending: bool
    noise: Noise
    first_step: int = 0

    def forward(self, output: Tensor, last: Sequence[Tensor], tape: Tensor | None) -> None:
        """One pass over time; without a tape nothing is kept for backward.

        ``output`` ``[T, N, S]``, the states after the last step and the tape are written.
        """
        _cpu.call(
            mode="inference" if tape is None else "forward",
            last=list(last),
            output=output,
            tape=tape,
            **self._arguments(),
        )

    def backward(self, output: Tensor, tape: Tensor, gradients: Gradients) -> None:
        """One pass against time, from what `forward` wrote."""
        _cpu.call(
            mode="backward",
            last=list(gradients.initial),
            output=output,
            tape=tape,
            block=_BLOCK,
            gradient=gradients.output,
            gradient_last=list(gradients.last),
            gradient_tape=gradients.tape,
            gradient_input=gradients.x,
            gradient_input_weights=gradients.weights.input,
            gradient_input_bias=gradients.weights.input_bias,
            gradient_recurrent_bias=gradients.weights.recurrent_bias,
            gradient_matrices=matrices(gradients.weights),
            gradient_vectors=gradients.weights.vectors,
            gradient_anew=list(gradients.anew),
            **self._arguments(),
        )

    def _arguments(self) -> dict[str, Any]:
        weights = self.weights
        return {
            "isa": self.isa,
            "name": self.program,
            "bfloat16": self.x.dtype == torch.bfloat16,
            "descending": self.descending,
            "hidden": weights.hidden_size,
            "projected": weights.output_size,
            "heads": weights.heads,
            "threads": threads(),
            "slices": layout.SLICES,
            "lengths": self.lengths,
            "input": self.x,
            "exact_input": self.exact_x,
            "input_weights": weights.input,
            "input_bias": weights.input_bias,
            "recurrent_bias": weights.recurrent_bias,
            "matrices": matrices(weights),
            "vectors": weights.vectors,
            "rates": list(self.noise.rates),
            "drawing": self.noise.seed is not None,
            "seed": 0 if self.noise.seed is None else int(self.noise.seed) % 2**64,
            "first_step": self.first_step,
            "initial": list(self.initial),
            "reset": self.reset,
            "anew": [] if self.reset is None else list(self.anew),
        }


class Gradients(NamedTuple):
    """What backward is given, and where it leaves what it finds.

    Attributes:
        output: of the output, or None where it is zero.
        last: of the states after the last step; each may be None.
        tape: of what the tape holds, or None.
        x: to be written, or None if nobody asks for it.
        weights: to be added to.
        initial: to be written.
        anew: to be added to; empty where nothing starts anew.
    """

    output: Tensor | None
    last: Sequence[Tensor | None]
    tape: Tensor | None
    x: Tensor | None
    weights: Weights
    initial: Sequence[Tensor]
    anew: Sequence[Tensor]
