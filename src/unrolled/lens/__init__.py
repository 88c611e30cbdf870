"""See which past steps still reach the loss, in exact numbers."""

from .contributions import Contributions, contributions
from .fit import Fit, half_life_of_influence
from .influence import Influence, influence
from .jacobians import Jacobians, jacobians
from .lyapunov import Lyapunov, lyapunov
from .saturation import GateSaturation, saturation
from .tracing import Activation, Trace, trace

__all__ = [
    "Activation",
    "Contributions",
    "Fit",
    "GateSaturation",
    "Influence",
    "Jacobians",
    "Lyapunov",
    "Trace",
    "contributions",
    "half_life_of_influence",
    "influence",
    "jacobians",
    "lyapunov",
    "saturation",
    "trace",
]
