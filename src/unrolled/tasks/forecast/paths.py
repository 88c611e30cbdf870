"""The network that goes step by step, and the paths that are drawn from it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from unrolled.cells import Cell
from unrolled.tasks.recurrent import output_size

from .encoder import Encoder
from .heads import Head
from .options import ModelOptions
from .plan import Plan
from .scaling import levels
from .windows import Batch

PATHS = 200
"""Paths drawn for each window."""


class PathNetwork(Encoder):
    """The distribution of the next step, from all values before it.

    The recurrent layers read a value, the columns of its step and the known columns of the step
    after it; a linear map of their output gives the distribution of that step's value (DeepAR:
    Salinas et al., 2020, arXiv:1704.04110). In training the values of the horizon are read as they
    are. A forecast draws paths: each step's value is drawn from its distribution and read in turn,
    and the quantiles of a step are those of the values drawn for it.

    Args:
        options: Sizes and cell.
        plan: Stretches of time and scale.
        head: A distribution, O numbers for each step.
        features: F, columns of the past besides the values; the last ``ahead`` of them are known.
        ahead: K, columns known in the future.
        static: S, columns that do not change.
        cell: The class of the user's own cell.

    Shape:
        batch: See `Batch`.
        numbers: ``[H, N, C, O]``, in scaled units.
    """

    def __init__(
        self,
        options: ModelOptions,
        plan: Plan,
        head: Head,
        *,
        features: int,
        ahead: int,
        static: int,
        cell: type[Cell] | None = None,
    ) -> None:
        super().__init__(
            options, plan, head, changing=plan.channels + features, static=static, cell=cell
        )
        self.past = features - ahead
        self.readout = nn.Linear(output_size(options), plan.channels * head.size)

    def forward(self, batch: Batch) -> Tensor:
        """Numbers of each step of the horizon, from the true values before it, in scaled units."""
        level, spread = levels(batch.values, self.scale)
        whole = torch.cat([batch.values, batch.targets[:-1]])
        x = torch.cat([(whole - level) / spread, self._columns(batch)], dim=-1)
        y, _ = self.read(x, self.unchanging(batch))
        return self._numbers(y[-self.horizon :], level, spread)

    def forecast(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The mean ``[H, N, C]`` and quantiles ``[H, N, C, Q]`` of paths drawn for each window.

        The draws of all windows come from the same random numbers, which are the same each time: a
        window's forecast is the same whatever is forecast beside it.
        """
        drawn = self.draw(batch, PATHS)
        wanted = torch.tensor(self.head.levels, dtype=drawn.dtype, device=drawn.device)
        return drawn.double().mean(0), drawn.quantile(wanted, dim=0).movedim(0, -1)

    def draw(self, batch: Batch, count: int) -> Tensor:
        """Paths of the horizon, ``[count, H, N, C]`` in scaled units."""
        rows, history = batch.values.shape[1], len(batch.values)
        random = torch.Generator().manual_seed(0)
        shape = (self.horizon, 1, count, self.channels)
        chances = torch.rand(shape, generator=random, dtype=torch.float64, device="cpu")
        chances = chances.clamp(1e-9, 1 - 1e-9).to(batch.values.device)
        level, spread = levels(batch.values, self.scale)
        columns, rest = self._columns(batch), self.unchanging(batch)
        x = torch.cat([(batch.values - level) / spread, columns[:history]], dim=-1)
        y, state = self.read(x, rest)
        # From here on `count` rows stand side by side for each window.
        y, state = (
            y[-1:].repeat_interleave(count, 1),
            tuple(part.repeat_interleave(count, 1) for part in state),
        )
        columns, level, spread = (
            part.repeat_interleave(count, 1) for part in (columns, level, spread)
        )
        rest = rest.repeat_interleave(count, 0)
        found: list[Tensor] = []
        for step in range(self.horizon):
            if step > 0:
                at = history + step - 1
                x = torch.cat([(found[-1] - level) / spread, columns[at : at + 1]], dim=-1)
                y, state = self.read(x, rest, state)
            placed = self._numbers(y, level, spread)
            own = chances[step].expand(rows, -1, -1).reshape(1, rows * count, -1)
            found.append(self.head.drawn(placed, own))
        return torch.cat(found).reshape(self.horizon, rows, count, -1).permute(2, 0, 1, 3)

    def _columns(self, batch: Batch) -> Tensor:
        """Columns beside every value that is read: ``[L + H - 1, N, F]``.

        Those known in the past only, which are zero in the horizon, and the known ones of the step
        that comes after it.
        """
        past, known = batch.features[..., : self.past], batch.features[..., self.past :]
        past = functional.pad(past, (0, 0, 0, 0, 0, self.horizon - 1))
        return torch.cat([past, torch.cat([known[1:], batch.future])], dim=-1)

    def _numbers(self, y: Tensor, level: Tensor, spread: Tensor) -> Tensor:
        """Numbers of steps ``[T, N, C, O]`` in scaled units, from the outputs before them."""
        numbers = self.readout(self.dropout(y))
        numbers = numbers.reshape(*y.shape[:2], self.channels, self.head.size)
        shape = numbers.shape[:-1]
        return self.head.placed(numbers, level.expand(shape), spread.expand(shape))
