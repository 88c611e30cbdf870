"""The drop-in for torch.nn.RNN."""

from __future__ import annotations

from typing import Any

import torch

from .. import cells
from .drop_in import DropIn

_CELLS = {name: cells.RNN(nonlinearity=name) for name in ("tanh", "relu", "sigmoid", "identity")}
_IN_TORCH = ("tanh", "relu")


class RNN(DropIn, torch.nn.RNN):
    """RNN."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        if nonlinearity not in _CELLS:
            raise ValueError(
                f"RNN: nonlinearity must be one of {', '.join(_CELLS)}, got {nonlinearity!r}"
            )
        super().__init__(
            input_size,
            hidden_size,
            num_layers,
            nonlinearity if nonlinearity in _IN_TORCH else "tanh",
            bias,
            batch_first,
            dropout,
            bidirectional,
            device=device,
            dtype=dtype,
        )
        self.nonlinearity = nonlinearity

    @property
    def cell(self) -> cells.Cell:
        """The equations."""
        return _CELLS[self.nonlinearity]

    def extra_repr(self) -> str:
        """As torch.nn's, and what torch.nn does not have."""
        text = super().extra_repr()
        return (
            text if self.nonlinearity in _IN_TORCH else f"{text}, nonlinearity={self.nonlinearity}"
        )
