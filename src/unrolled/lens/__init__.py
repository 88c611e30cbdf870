"""See which past steps still reach the loss, in exact numbers."""

from .contributions import Contributions, contributions
from .decay import Decay, decay_of_influence
from .fit import Fit
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
    "Decay",
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
    "decay_of_influence",
    "half_life",
    "influence",
    "jacobians",
    "lyapunov",
    "saturation",
    "trace",
]
