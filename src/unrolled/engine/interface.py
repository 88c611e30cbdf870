"""The interface of an engine: what runs a request through time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from .request import Request
from .stream import Steps


class Result(NamedTuple):
    """A request's results.

    Attributes:
        output: the last layer's, directions side by side, zero where a row has no step; a
            `torch.nn.utils.rnn.PackedSequence` where the input is one.
        last: for each state its last value ``[L * D, N, ·]``.
        sequences: for each layer its output and then what the program exposes, laid out as the
            output; may be empty where the request wants nothing.
    """

    output: Any
    last: list[Tensor]
    sequences: Sequence[Sequence[Any]] = ()


class Engine(Protocol):
    """One way to run requests. `unrolled.engine.register` adds one.

    Attributes:
        name: as `unrolled.using` takes it.
        variants: other names that `unrolled.using` takes for it: instruction sets, for example. The
            one asked for is ``request.asked``.
        is_one_node: whether a layer is one node to torch.compile. If not, Dynamo leaves the call
            alone: a break in the graph.
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def variants(self) -> tuple[str, ...]: ...  # noqa: D102

    @property
    def is_one_node(self) -> bool: ...  # noqa: D102

    def obstacle(self, request: Request) -> str | None:
        """The reason why a request cannot, or had better not, run here; None if it can.

        Raises:
            RuntimeError: if no other engine can run it either.
        """

    def run(self, request: Request) -> Result:
        """Run a request to which there is no obstacle."""

    def stream(self, request: Request) -> Steps:
        """Single steps from zero states, for a request of no steps.

        There is no obstacle to it. The number of rows is that of ``request.x``,
        ``[0, N, input_size]``. The weights are copied; the noise is that of evaluation.
        """

    def describe(self, request: Request) -> str:
        """The engine in words, as it would run a request; for `unrolled.explain`."""
