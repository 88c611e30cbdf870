"""See which past steps still reach the loss, in exact numbers."""

from .tracing import Trace, trace

__all__ = ["Trace", "trace"]
