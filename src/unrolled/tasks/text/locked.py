"""Locked dropout, also called variational: one mask for all steps (Gal & Ghahramani, 2016)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from unrolled.tasks.dropout import Dropout
from unrolled.tasks.recurrent import as_hx, as_tuple


class LockedDropout(Dropout):
    """Dropout with the same mask at every step of a call; rows have masks of their own.

    Shape:
        ``[T, N, ·]``, time first.
    """

    def forward(self, x: Tensor) -> Tensor:
        """The input, part of it dropped."""
        if not self.training or self.p == 0:
            return x
        return x * super().forward(torch.ones_like(x[:1]))


class LockedLayers(nn.Module):
    """Recurrent layers upon another with locked dropout between them.

    Args:
        layers: One layer each.
        p: Share of the values dropped between two.

    Shape:
        As that of a layer of ``len(layers)`` layers, time first.
    """

    def __init__(self, layers: list[nn.Module], p: float) -> None:
        super().__init__()
        self.layers, self.dropout = nn.ModuleList(layers), LockedDropout(p)

    def forward(self, x: Tensor, hx: Any = None) -> tuple[Tensor, Any]:
        """Output of the last layer, and the last states of all."""
        ends: list[tuple[Tensor, ...]] = []
        for k, layer in enumerate(self.layers):
            if k:
                x = self.dropout(x)
            start = None if hx is None else tuple(part[k : k + 1] for part in as_tuple(hx))
            x, end = layer(x, as_hx(start))
            ends.append(as_tuple(end))
        return x, as_hx(tuple(torch.cat(parts) for parts in zip(*ends, strict=True)))
