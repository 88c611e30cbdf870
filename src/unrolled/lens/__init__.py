"""See which past steps still reach the loss, in exact numbers."""

from .contributions import Contributions, contributions
from .influence import Influence, influence
from .tracing import Trace, trace

__all__ = ["Contributions", "Influence", "Trace", "contributions", "influence", "trace"]
