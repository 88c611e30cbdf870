"""See which past steps still reach the loss, in exact numbers."""

from .fit import Fit, half_life_of_influence
from .saturation import GateSaturation, saturation
from .tracing import Activation, Trace, trace

__all__ = [
    "Activation",
    "Fit",
    "GateSaturation",
    "Trace",
    "half_life_of_influence",
    "saturation",
    "trace",
]
