"""The recurrent layers of a forecaster's network, with the maps before them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from unrolled.cells import Cell
from unrolled.tasks.dropout import Dropout
from unrolled.tasks.recurrent import as_hx, as_tuple, build_recurrent

from .heads import Head
from .options import ModelOptions
from .plan import Plan
from .windows import Batch

State = tuple[Tensor, ...]


class Encoder(nn.Module):
    """Recurrent layers over vectors of the past. A base of both networks.

    A vector goes through a linear map with relu, if the options have one. Beside what changes from
    step to step it holds the columns that do not, and the vector that is learnt for its series.

    Args:
        options: Sizes and cell.
        plan: Stretches of time and scale.
        head: Numbers for each step, O.
        changing: Numbers of a vector that change from step to step.
        static: S, columns that do not change.
        cell: The class of the user's own cell.
    """

    def __init__(
        self,
        options: ModelOptions,
        plan: Plan,
        head: Head,
        *,
        changing: int,
        static: int,
        cell: type[Cell] | None = None,
    ) -> None:
        super().__init__()
        self.head, self.scale = head, plan.scale
        self.horizon, self.channels = plan.horizon, plan.channels
        # One vector more than there are series: for those that training did not see.
        own = (
            nn.Embedding(len(plan.parts) + 1, options.series_size) if options.series_size else None
        )
        self.series = own
        width = changing + static + options.series_size
        size = options.input_size or width
        self.map = nn.Linear(width, size) if options.input_size else None
        self.recurrent = build_recurrent(options, size, cell)
        self.dropout = Dropout(options.dropout)

    def unchanging(self, batch: Batch) -> Tensor:
        """The columns of each window that do not change, and its series' vector, ``[N, ·]``."""
        if self.series is None:
            return batch.static
        return torch.cat([batch.static, self.series(batch.series + 1)], dim=-1)

    def read(
        self, changing: Tensor, unchanging: Tensor, state: State | None = None
    ) -> tuple[Tensor, State]:
        """Outputs of the recurrent layers ``[T, N, R]``, and the state after the last."""
        x = torch.cat([changing, unchanging.expand(len(changing), -1, -1)], dim=-1)
        if self.map is not None:
            x = functional.relu(self.map(x))
        y, after = self.recurrent(x, as_hx(state))
        return y, as_tuple(after)
