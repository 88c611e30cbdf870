"""The cheap methods that stand beside every forecast: last value, seasonal naive, linear map."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .linear import LinearMap
from .plan import Plan
from .windows import Windows

Array = npt.NDArray[np.float64]

LAST = "last value"
SEASONAL = "seasonal naive"
LINEAR = "linear map"


def cheap_forecasts(
    windows: Windows, plan: Plan, linear: LinearMap, *, read_target: bool = True
) -> dict[str, Array]:
    """Forecasts ``[n, H, C]`` of the cheap methods by name, in scaled units.

    Args:
        windows: The windows.
        plan: Season, past and horizon.
        linear: The linear map.
        read_target: Whether the past values may be read; without them there is no cheap method.
    """
    if not read_target:
        return {}
    past = windows.past_values(max(plan.history, plan.season))
    last = np.repeat(past[:, -1:], plan.horizon, axis=1)
    found = {LAST: last}
    if plan.season > 1:
        steps = np.arange(plan.horizon) % plan.season - plan.season
        found[SEASONAL] = past[:, steps]
    recent = past[:, -plan.history :]
    found[LINEAR] = linear(recent, windows.future(), windows.numbers())
    return found
