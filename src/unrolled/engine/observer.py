"""What may look at a run of the reference while it happens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor

from ..compiler.program import Product, Program, Symbol
from .weights import Weights


class Setting(NamedTuple):
    """What one direction of one layer runs with.

    Attributes:
        program: the steps' program.
        weights: the direction's parameters.
        initial: for each state ``[N, ·]``.
        lengths: ``[N]``, or None.
        reset: ``[T, N]``, of bools, or None.
        reverse: whether it runs from the last step to the first.
    """

    program: Program
    weights: Weights
    initial: Sequence[Tensor]
    lengths: Tensor | None
    reset: Tensor | None
    reverse: bool


class Observer:
    """Sees everything of a run; what a method returns takes the place of what it was given.

    It has the same values: what changes is the node of the graph, at which a gradient can be had.
    """

    def begin(self, setting: Setting, x: Tensor) -> Sequence[Tensor]:
        """The run begins, with the input ``[T, N, ·]``; returned are its steps ``[N, ·]``."""
        return x.unbind()

    def product(self, t: int, product: Product, operand: Tensor, result: Tensor) -> Tensor:
        """A matrix product inside step t, its bias included: ``[N, ·]`` each."""
        return result

    def step(
        self, t: int, before: Sequence[Tensor], values: Mapping[Symbol, Any], after: list[Tensor]
    ) -> list[Tensor]:
        """Step t is done: the states it began with, all values of it, and the new states.

        After a row's end the new states are computed, but what goes on are the old ones.
        """
        return after
