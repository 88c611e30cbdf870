"""See which past steps still reach the loss, in exact numbers."""

from .contributions import Contributions, contributions
from .fit import Fit, half_life_of_influence
from .half_life import HalfLife, half_life
from .influence import Influence, influence
from .jacobians import Jacobians, jacobians
from .lyapunov import Lyapunov, lyapunov
from .saturation import GateSaturation, Saturation, saturation
from .tracing import Activation, Trace, trace
from .verdict import Verdict

__all__ = [
    "Activation",
    "Contributions",
    "Fit",
    "GateSaturation",
    "HalfLife",
    "Influence",
    "Jacobians",
    "Lyapunov",
    "Saturation",
    "Trace",
    "Verdict",
    "contributions",
    "half_life",
    "half_life_of_influence",
    "influence",
    "jacobians",
    "lyapunov",
    "saturation",
    "trace",
]
