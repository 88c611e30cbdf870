"""What the results of all analyses have in common: something for every strand."""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

from .figures import Drawable


class Directed(Protocol):
    """What is found in a strand, which has a direction."""

    @property
    def reverse(self) -> bool:
        """Whether time runs backwards in it."""


Found = TypeVar("Found")
FoundDirected = TypeVar("FoundDirected", bound=Directed)


class ByStrand(Drawable, Generic[Found]):
    """A result that has something for each direction of each layer, by its name.

    Attributes:
        strands: what was found, in the order in which the strands ran.
    """

    strands: dict[str, Found]

    def __getitem__(self, name: str) -> Found:
        return self.strands[name]


def nearest(strands: dict[str, FoundDirected]) -> FoundDirected:
    """That of the layer nearest to the loss, forward in time."""
    last = list(strands.values())
    return next((own for own in reversed(last) if not own.reverse), last[-1])
