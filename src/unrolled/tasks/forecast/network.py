"""A run's network: built from its plan, and run over many windows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from unrolled.tasks.recurrent import cell_class
from unrolled.training.run_folder.folder import RunFolder

from .heads import Head
from .linear import LinearMap
from .model import Network, build_model
from .options import ForecastOptions
from .plan import Plan
from .windows import Windows

Array = npt.NDArray[np.float64]
ROWS = 64
"""Windows that are forecast side by side."""


class Forecasts(NamedTuple):
    """Forecasts of windows, in scaled units.

    Attributes:
        point: ``[n, H, C]``.
        quantiles: ``[n, H, C, Q]``, sorted.
    """

    point: Array
    quantiles: Array


def network_of(
    options: ForecastOptions, plan: Plan, linear: LinearMap, folder: RunFolder
) -> Network:
    """A run's network with fresh weights.

    Raises:
        UserError: It does not fit into memory, or its cell is the user's own and is not trusted.
    """
    ahead = len(plan.known.center) + len(plan.calendar)
    return build_model(
        options.model,
        plan,
        Head(options.training.loss, plan.quantiles),
        features=ahead + len(plan.past.center),
        ahead=ahead,
        static=len(plan.static.center),
        linear=linear if options.model.skip else None,
        cell=cell_class(options.model, folder.path),
    )


@torch.no_grad()
def forecasts_of(model: Network, windows: Windows) -> Forecasts:
    """Forecasts of windows; the model is put into evaluation mode.

    Always as many rows are computed at a time: a window's numbers do not depend on how many others
    there are.
    """
    count, was = len(windows), model.training
    shape = (count, model.horizon, model.channels)
    found = Forecasts(np.zeros(shape), np.zeros((*shape, len(model.head.levels))))
    like = next(model.parameters())
    model.eval()
    try:
        for start in range(0, count, ROWS):
            rows = np.arange(start, min(start + ROWS, count))
            batch = windows.batch(np.resize(rows, ROWS)).like(like)
            point, quantiles = (part.double().cpu().numpy() for part in model.forecast(batch))
            found.point[rows] = point[:, : len(rows)].swapaxes(0, 1)
            found.quantiles[rows] = quantiles[:, : len(rows)].swapaxes(0, 1)
    finally:
        model.train(was)
    return found
