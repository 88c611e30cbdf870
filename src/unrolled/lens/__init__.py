"""See which past steps still reach the loss, in exact numbers."""

from .influence import Influence, influence
from .tracing import Trace, trace

__all__ = ["Influence", "Trace", "influence", "trace"]
