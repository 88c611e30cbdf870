"""Requests run by the reference, which runs all of them."""

from __future__ import annotations

from ..dispatch import resets_nothing
from ..interface import Result
from ..request import Request
from ..stack import run_stack
from ..stream import ReferenceStream, Steps
from ..weights import split
from .loop import LayerResult, layer


class ReferenceEngine:
    """See `unrolled.engine.interface.Engine`."""

    name = "reference"
    variants = ()
    is_one_node = False

    def obstacle(self, request: Request) -> str | None:
        """There is none."""
        return None

    def run(self, request: Request) -> Result:
        """Layer after layer."""
        if request.reset is not None and resets_nothing(request.reset):
            request = request._replace(reset=None)
        return run_stack(_run_layer, request)

    def stream(self, request: Request) -> Steps:
        """On any device, in any dtype."""
        return ReferenceStream.of(request)

    def describe(self, request: Request) -> str:
        """In words."""
        return "the reference, a loop over the steps in torch operations"


def _run_layer(request: Request, level: int) -> LayerResult:
    assert request.initial is not None
    directions, watch = request.directions, request.watch
    return layer(
        request.program,
        request.x,
        request.initial,
        split(request.program, request.weights, directions),
        request.lengths,
        request.batch_first,
        request.reset,
        request.draw(),
        [watch(level, d) for d in range(directions)] if watch else (None, None),
    )
