"""Every state and named gate of every step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..compiler.program import INPUT, Call, Program, Symbol, reads
from . import figures
from .figures import Picture
from .recording import Strand, call, recording
from .strands import ByStrand

SQUASHING = ("sigmoid", "tanh")
"""Functions that saturate."""


class Activation(NamedTuple):
    """A value of the cell's equations that is the result of a sigmoid or tanh.

    Attributes:
        function: which of them.
        values: ``[T, N, ·]``.
    """

    function: str
    values: Tensor


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
        activations: every sigmoid and tanh, by the name of its value, or by its formula where it
            has none: ``"f"``, ``"tanh(c)"``.
        running: ``[T, N]``, false after a row's end; None if all rows have all steps.
    """

    name: str
    cell: str
    states: dict[str, Tensor]
    gates: dict[str, Tensor]
    inputs: Tensor
    activations: dict[str, Activation]
    running: Tensor | None


@dataclass(frozen=True)
class Trace(ByStrand[StrandTrace]):
    """States and gates of a run, by `trace`.

    Attributes:
        strands: each direction of each layer by its name, in the order in which they ran.
        output: what the model returned.
    """

    strands: dict[str, StrandTrace]
    output: Any

    def picture(self, strand: str | None = None, row: int = 0) -> Picture:
        """Heat maps of every state and every gate, unit by unit.

        Args:
            strand: its name; the first if not given.
            row: which sequence of the batch.

        Raises:
            ValueError: if there is no such strand or row.
        """
        return figures.trace(self, strand, row)


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
        return Trace({name: strand_trace(s) for name, s in recorder.strands.items()}, output)


def strand_trace(strand: Strand) -> StrandTrace:
    """What one direction of one layer went through, from its record with values."""
    running = _running(strand)

    def stack(values: list[Tensor]) -> Tensor:
        stacked = torch.stack(values)
        return stacked if running is None else stacked.where(running.unsqueeze(-1), 0)

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
        {
            name: Activation(function, torch.stack([step.values[symbol] for step in strand.steps]))
            for symbol, (name, function) in _squashed(strand).items()
        },
        running,
    )


def _running(strand: Strand) -> Tensor | None:
    """Where a row has a step, ``[T, N]``; None if all have all."""
    if all(step.setting.lengths is None for step in strand.steps):
        return None
    return torch.stack([step.running for step in strand.steps])


def _squashed(strand: Strand) -> dict[Symbol, tuple[str, str]]:
    """What the program computes by a sigmoid or tanh of the input or a state: name and function."""
    program = strand.program
    names = {state.new: state.name for state in program.states} | strand.value_names
    varying = _varying(program)
    return {
        i.symbol: (names.get(i.symbol, str(i.expression)), i.expression.operation)
        for i in program.assignments
        if isinstance(i.expression, Call)
        and i.expression.operation in SQUASHING
        and i.symbol in varying
    }


def _varying(program: Program) -> set[Symbol]:
    """What is not the same at all steps, as a function of weights alone is."""
    found = {INPUT, *program.gates, *(state.previous for state in program.states)}
    for instruction in program.instructions:
        if any(symbol in found for symbol in reads(instruction)):
            found.add(instruction.symbol)
    return found
