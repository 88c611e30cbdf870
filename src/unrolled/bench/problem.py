"""The layer and the input of a case, which every library is given alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

import unrolled
from unrolled.bench.cases import CELLS, SHAPES, Case, CellKind, Shape
from unrolled.layers.drop_in import DropIn

Array = np.ndarray[Any, np.dtype[np.float32]]


class UnsupportedError(Exception):
    """A library cannot do the case; the message says why."""


@dataclass(frozen=True)
class Problem:
    """A layer with random weights and an input.

    Attributes:
        case: The case.
        layer: Our layer in float32.
        x: ``[T, N, I]``, float32.
        lengths: ``[N]``, or None.
    """

    case: Case
    layer: DropIn
    x: Tensor
    lengths: Tensor | None

    @property
    def shape(self) -> Shape:
        """The case's shape."""
        return SHAPES[self.case.shape]

    @property
    def kind(self) -> CellKind:
        """The case's cell."""
        return CELLS[self.case.cell]

    @property
    def training(self) -> bool:
        """Whether gradients are wanted."""
        return self.case.mode == "training"

    @property
    def dtype(self) -> torch.dtype:
        """The case's number format."""
        dtype: torch.dtype = getattr(torch, self.case.dtype)
        return dtype

    def weights(self) -> list[list[Array]]:
        """(w_ih, w_hh, b_ih, b_hh) of each layer's each direction, as torch.nn lays them out."""
        flat = [tensor.detach().numpy() for own in self.layer.all_weights for tensor in own]
        return [flat[k : k + 4] for k in range(0, len(flat), 4)]


@dataclass(frozen=True)
class Engine:
    """A library made ready for one problem.

    Attributes:
        call: What is timed.
        output: The layer's output ``[T, N, D * H]``, zero past a row's end.
        gradients: The gradients of the output's sum by all weights, in torch.nn's order; None for
            inference.
    """

    call: Callable[[], object]
    output: Callable[[], Array]
    gradients: Callable[[], list[Array]] | None = None


def pose(case: Case) -> Problem:
    """Draw the weights and the input of a case, the same at every call."""
    shape, kind = SHAPES[case.shape], CELLS[case.cell]
    torch.manual_seed(0)
    layer = getattr(unrolled, kind.layer)(
        shape.I, shape.H, shape.layers, bidirectional=shape.bidirectional, **kind.options
    )
    lengths = (
        None
        if shape.lengths is None
        else torch.tensor(shape.lengths, dtype=torch.int64, device="cpu")
    )
    return Problem(
        case,
        layer,
        torch.randn(shape.T, shape.N, shape.I, dtype=torch.float32, device="cpu"),
        lengths,
    )


def torch_engine(
    layer: torch.nn.Module, forward: Callable[[], Tensor], *, training: bool
) -> Engine:
    """An engine of torch modules.

    Args:
        layer: The module, which has the weights.
        forward: Runs it on the input, and gives its output.
        training: Whether gradients are wanted.
    """

    def infer() -> Tensor:
        with torch.no_grad():
            return forward()

    def train() -> None:
        layer.zero_grad(set_to_none=True)
        forward().sum().backward()  # type: ignore[no-untyped-call]

    def gradients() -> list[Array]:
        train()
        found = [weight.grad for weight in layer.parameters()]
        return [numbers(gradient) for gradient in found if gradient is not None]

    if training:
        return Engine(train, lambda: numbers(infer()), gradients)
    return Engine(infer, lambda: numbers(infer()))


def numbers(tensor: Tensor) -> Array:
    """A tensor as an array in float32."""
    return tensor.detach().float().numpy()
