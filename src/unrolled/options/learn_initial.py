"""Learned initial states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..compiler.program import Program, Space
from .option import Beginning, Switch

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module


class LearnInitial(Switch):
    """Learn the initial state.

    Parameters stand where hx is None, the same for every row, and begin at zero. A reset goes back
    to them.
    """

    equation = "the state before the first step is a parameter, at first 0"

    def parameters(
        self, value: Any, program: Program, sizes: Mapping[Space, int]
    ) -> dict[str, tuple[int, ...]]:
        """One for each state."""
        return {f"initial_{s.name}": (sizes[s.new.space],) for s in program.states}

    def begin(self, value: Any, weights: Beginning) -> None:
        """Zeros."""
        for state in weights.program.states:
            weights.parameter(f"initial_{state.name}").zero_()


def learned_initial(
    layer: Module, program: Program, suffixes: Sequence[str], rows: Any
) -> list[Tensor]:
    """The learned initial states, ``[layers * directions, rows, ·]`` each.

    Args:
        layer: has the parameters.
        program: has the states.
        suffixes: ends of the parameters' names, for every layer and direction.
        rows: the batch size.
    """
    import torch

    return [
        torch.stack([getattr(layer, f"initial_{state.name}{end}") for end in suffixes])
        .unsqueeze(1)
        .expand(-1, rows, -1)
        for state in program.states
    ]
