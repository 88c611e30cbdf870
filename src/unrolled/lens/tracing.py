"""Every state and named gate of every step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .recording import Strand, call, recording


@dataclass(frozen=True)
class StrandTrace:
    """What one direction of one layer went through.

    Attributes:
        name: the module's name and the parameters' suffix, such as ``"encoder.l0"`` or
            ``"l1_reverse"``.
        cell: the cell's name.
        states: by the cell's names, the first is the output; ``[T, N, ·]`` each.
        gates: the other values that the cell's equations name; ``[T, N, ·]`` each.
        inputs: what the layer was given, ``[T, N, ·]``.
    """

    name: str
    cell: str
    states: dict[str, Tensor]
    gates: dict[str, Tensor]
    inputs: Tensor


@dataclass(frozen=True)
class Trace:
    """States and gates of a run, by `trace`.

    Attributes:
        strands: each direction of each layer by its name, in the order in which they ran.
        output: what the model returned.
    """

    strands: dict[str, StrandTrace]
    output: Any

    def __getitem__(self, name: str) -> StrandTrace:
        return self.strands[name]


def trace(model: nn.Module, x: Any) -> Trace:
    """Run a model and keep every state and every named value of every step.

    The model runs in evaluation mode, on the reference, without a graph; it is left as it was.

    Args:
        model: any module with recurrent layers of unrolled's or torch.nn's in it, or one itself.
        x: the model's input; a tuple for several arguments.

    Returns:
        The trace; after a row's own end its values are zero.

    Raises:
        TypeError: if model is no module.
        ValueError: if it has no recurrent layer that can be watched, or none was used.

    Example:
        >>> found = trace(unrolled.LSTM(4, 3), torch.randn(7, 2, 4))
        >>> found["l0"].gates["f"].shape
        torch.Size([7, 2, 3])
    """
    with recording(model, "trace", values=True, graph=False) as recorder:
        output = call(model, x)
        recorder.check_used("trace")
        return Trace({name: _strand(s) for name, s in recorder.strands.items()}, output)


def _strand(strand: Strand) -> StrandTrace:
    running = [_running(strand, i) for i in range(len(strand.steps))]

    def stack(values: list[Tensor]) -> Tensor:
        pairs = zip(values, running, strict=True)
        return torch.stack([v if here is None else v * here for v, here in pairs])

    return StrandTrace(
        strand.name,
        type(strand.layer.cell).__name__,
        {
            name: stack([step.after[k] for step in strand.steps])
            for k, name in enumerate(strand.state_names)
        },
        {
            name: stack([step.values[symbol] for step in strand.steps])
            for symbol, name in strand.value_names.items()
        },
        torch.stack([step.x for step in strand.steps]),
    )


def _running(strand: Strand, index: int) -> Tensor | None:
    """1 where a row has this step, 0 after its end, ``[N, 1]``; None if all have it."""
    step = strand.steps[index]
    lengths = step.setting.lengths
    if lengths is None:
        return None
    return (step.t < lengths).unsqueeze(-1).to(step.after[0].dtype)
