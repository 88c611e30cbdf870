"""The drop-in for torch.nn.GRU."""

from __future__ import annotations

from typing import Any

import torch

from .. import cells
from .drop_in import DropIn

_CELL, _ORIGINAL = cells.GRU(), cells.OriginalGRU()


class GRU(DropIn, torch.nn.GRU):
    """GRU."""

    reset_after: bool = True

    def __init__(
        self,
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
        reset_after: bool = True,
    ) -> None:
        super().__init__(
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            device=device,
            dtype=dtype,
        )
        self.reset_after = reset_after

    @property
    def cell(self) -> cells.Cell:
        """The equations."""
        return _CELL if self.reset_after else _ORIGINAL

    def extra_repr(self) -> str:
        """As torch.nn's, and what torch.nn does not have."""
        return super().extra_repr() + ("" if self.reset_after else ", reset_after=False")
