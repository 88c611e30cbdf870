"""What a layer returns beside its output: its states and gates at every step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..engine.request import Request


class Sequences(NamedTuple):
    """States and gates of every step, of every layer.

    Each value is a list of one sequence for each layer, laid out as the layer's output: the
    directions side by side, zero after a row's end, packed where the input is. They are float32
    where the kernels run in bfloat16, and views of what the layer keeps for backward: a gradient
    flows through them, and who writes to them destroys it.

    Attributes:
        states: by the cell's names; the first is each layer's own output. Empty unless asked for.
        gates: by the names of the values in the cell's equations. Empty unless asked for.
    """

    states: dict[str, list[Any]]
    gates: dict[str, list[Any]]


def sequences_of(request: Request, layers: Sequence[Sequence[Any]], batched: bool) -> Sequences:
    """What each layer has given, its output and then what it exposes, by name."""
    program, wanted = request.program, request.wanted
    output = program.states[0].name
    names = [output, *wanted.names(program)]
    found = {
        name: [layer[k] if batched else layer[k].squeeze(1) for layer in layers]
        for k, name in enumerate(names)
    }
    inner = {output, *(state.name for state in program.states[1:])} if wanted.states else set()
    return Sequences(
        {name: found[name] for name in found if name in inner},
        {name: found[name] for name in names[1:] if name not in inner},
    )
