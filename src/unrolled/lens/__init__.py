"""See which past steps still reach the loss, in exact numbers."""

from .fit import Fit, half_life_of_influence
from .influence import Influence, influence
from .saturation import GateSaturation, saturation
from .tracing import Activation, Trace, trace

__all__ = [
    "Activation",
    "Fit",
    "GateSaturation",
    "Influence",
    "Trace",
    "half_life_of_influence",
    "influence",
    "saturation",
    "trace",
]
