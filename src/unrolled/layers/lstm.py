"""The drop-in for torch.nn.LSTM."""

from __future__ import annotations

import torch

from .. import cells
from .drop_in import DropIn

_CELL = cells.LSTM()


class LSTM(DropIn, torch.nn.LSTM):
    """LSTM."""

    @property
    def cell(self) -> cells.Cell:
        """The equations."""
        return _CELL
