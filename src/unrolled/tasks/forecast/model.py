"""The network: recurrent layers over the past, and a head for the future, both by segments."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from unrolled.cells import Cell
from unrolled.tasks.model_memory import check_memory, within_memory
from unrolled.tasks.recurrent import output_size

from .encoder import Encoder
from .heads import Head
from .linear import LinearMap
from .options import ModelOptions
from .paths import PathNetwork
from .plan import Plan
from .scaling import levels
from .windows import Batch


class ForecastNetwork(Encoder):
    """Numbers for all steps of the horizon at once, from windows of the past.

    The past is read segment by segment by the recurrent layers. Their last output, a vector of the
    place, and the known columns of a future segment give that segment through two linear maps
    (SegRNN: Lin et al., 2023, arXiv:2308.11200). The result is added to a base: the linear map of
    the window, or without it the window's level.

    Args:
        options: Sizes and cell.
        plan: Stretches of time and scale.
        head: Numbers for each step, O.
        features: F, columns of the past besides the values.
        ahead: K, columns known in the future.
        static: S, columns that do not change.
        linear: The linear map that is added; None for none.
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
        linear: LinearMap | None,
        cell: type[Cell] | None = None,
    ) -> None:
        changing = plan.segment * (plan.channels * options.read_target + features)
        super().__init__(options, plan, head, changing=changing, static=static, cell=cell)
        self.segment = plan.segment
        self.read_target, self.bidirectional = options.read_target, options.bidirectional
        self.skip = LinearSkip(linear) if linear is not None else None
        self.segments = -(-plan.horizon // plan.segment)
        self.position = nn.Embedding(self.segments, options.position_size)
        state, rest = output_size(options), static + options.series_size
        self.hidden = nn.Linear(state + options.position_size + plan.segment * ahead + rest, state)
        self.readout = nn.Linear(state, plan.segment * plan.channels * head.size)
        # The network begins as its base: what the linear map can say it does not unlearn first.
        nn.init.zeros_(self.readout.weight)
        nn.init.zeros_(self.readout.bias)

    def forward(self, batch: Batch) -> Tensor:
        """Numbers of each step of the horizon, in scaled units; targets are not read."""
        values = batch.values
        level, spread = levels(values, self.scale if self.read_target else "none")
        rest = self.unchanging(batch)
        state = self._state((values - level) / spread, batch.features, rest)
        numbers = self._decoded(state, batch.future, rest)
        base = level if self.skip is None else self.skip(values, batch.future, batch.series)
        shape = numbers.shape[:-1]
        return self.head.placed(numbers, base.expand(shape), spread.expand(shape))

    def forecast(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Forecast ``[H, N, C]`` and quantiles ``[H, N, C, Q]``, in scaled units."""
        placed = self(batch)
        return self.head.point(placed), self.head.quantiles(placed)

    def _state(self, scaled: Tensor, features: Tensor, rest: Tensor) -> Tensor:
        """The last output of the recurrent layers, ``[N, R]``."""
        x = torch.cat([scaled, features], dim=-1) if self.read_target else features
        steps, rows, _ = x.shape
        count = steps // self.segment
        x = x.reshape(count, self.segment, rows, -1).transpose(1, 2).reshape(count, rows, -1)
        y, _ = self.read(x, rest)
        if not self.bidirectional:
            last: Tensor = self.dropout(y[-1])
            return last
        half = y.shape[-1] // 2
        both: Tensor = self.dropout(torch.cat([y[-1, :, :half], y[0, :, half:]], dim=-1))
        return both

    def _decoded(self, state: Tensor, future: Tensor, rest: Tensor) -> Tensor:
        """Numbers of all future segments, ``[H, N, C, O]``."""
        rows = len(state)
        missing = self.segments * self.segment - self.horizon
        whole = functional.pad(future, (0, 0, 0, 0, 0, missing))
        known = whole.reshape(self.segments, self.segment, rows, -1).transpose(1, 2)
        parts = [
            state.expand(self.segments, -1, -1),
            self.position.weight.unsqueeze(1).expand(-1, rows, -1),
            known.reshape(self.segments, rows, -1),
            rest.expand(self.segments, -1, -1),
        ]
        x = functional.relu(self.hidden(torch.cat(parts, dim=-1)))
        y = self.readout(self.dropout(x))
        y = y.reshape(self.segments, rows, self.segment, self.channels, self.head.size)
        y = y.transpose(1, 2).reshape(-1, rows, self.channels, self.head.size)
        numbers: Tensor = y[: self.horizon]
        return numbers


class LinearSkip(nn.Module):
    """The linear map of the cheap method as a part of the network; it is not trained.

    Args:
        linear: The map.

    Shape:
        values: ``[L, N, C]``, future ``[H, N, K]``, series int64 ``[N]``.
        base: ``[H, N, C]``.
    """

    weights: Tensor
    bias: Tensor
    ahead: Tensor

    def __init__(self, linear: LinearMap) -> None:
        super().__init__()
        for name in ("weights", "bias", "ahead"):
            part = torch.from_numpy(getattr(linear, name)).float()
            if len(part) > 1:  # the last is for series that training did not see
                part = torch.cat([part, part.mean(0, keepdim=True)])
            self.register_buffer(name, part)

    def forward(self, values: Tensor, future: Tensor, series: Tensor) -> Tensor:
        """The linear forecast."""
        if len(self.weights) == 1:
            found = torch.einsum("lnc,lh->hnc", values, self.weights[0])
            known = torch.einsum("hnk,hk->hn", future, self.ahead[0])
            return found + self.bias[0][:, None, None] + known.unsqueeze(-1)
        channels = values.shape[-1]
        own = series[:, None] * channels + torch.arange(
            channels, dtype=torch.int64, device=series.device
        )
        own = torch.where(series[:, None] < 0, len(self.weights) - 1, own)  # [N, C]
        found = torch.einsum("lnc,nclh->hnc", values, self.weights[own])
        known = torch.einsum("hnk,nchk->hnc", future, self.ahead[own])
        return found + self.bias[own].permute(2, 0, 1) + known


Network = ForecastNetwork | PathNetwork
"""A forecaster's network: called with a batch it gives numbers, its ``forecast`` quantiles."""


def build_model(
    options: ModelOptions,
    plan: Plan,
    head: Head,
    *,
    features: int,
    ahead: int,
    static: int,
    linear: LinearMap | None,
    cell: type[Cell] | None = None,
) -> Network:
    """The model of some options, with fresh weights.

    Raises:
        UserError: It does not fit into memory.
    """
    paths = options.decode == "paths"
    segment = 1 if paths else plan.segment
    width = segment * (plan.channels + features) + static + options.series_size
    size, state = options.input_size or width, output_size(options)
    others = width * options.input_size + (len(plan.parts) + 1) * options.series_size
    others += state * segment * plan.channels * head.size
    if not paths:
        others += state * (state + options.position_size + segment * ahead + static)
    if linear is not None:
        others += linear.weights.size
    check_memory(options, size, others, cell)
    widths = {"features": features, "ahead": ahead, "static": static}
    with within_memory(options):
        if paths:
            return PathNetwork(options, plan, head, **widths, cell=cell)
        return ForecastNetwork(options, plan, head, **widths, linear=linear, cell=cell)
