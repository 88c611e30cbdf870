"""What a layer can be made with beyond torch.nn's arguments. An option is a field here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from ..cells import Function


@dataclass(frozen=True)
class Options:
    """Keyword-only arguments of every layer; none is on by default.

    Attributes:
        forget_bias: the bias of the cell's first gate of memory, for a cell that remembers more the
            larger it is.
        recurrent_init: how U begins: ``"orthogonal"``, ``"identity"``, or None for random numbers.
        chrono: the longest time T_max, in steps, over which the cell is to remember at first.
        learn_initial: whether the initial state is learned.
        layer_norm: whether every product with W and U is normalised over the units.
        activation: what takes the place of tanh.
        recurrent_activation: what takes the place of σ.
        cell_clip: bound of what the cell remembers.
        recurrent_dropout: probability with which a recurrent connection's source is dropped.
        candidate_dropout: probability with which a unit of the candidate is dropped.
        zoneout: probability with which a unit keeps its old value, for all states or for each.
        weight_drop: probability with which a weight of U is dropped.
    """

    forget_bias: float | None = None
    recurrent_init: str | None = None
    chrono: float | None = None
    learn_initial: bool = False
    layer_norm: bool = False
    activation: str | Function | None = None
    recurrent_activation: str | Function | None = None
    cell_clip: float | None = None
    recurrent_dropout: float = 0.0
    candidate_dropout: float = 0.0
    zoneout: float | tuple[float, ...] = 0.0
    weight_drop: float = 0.0

    def __str__(self) -> str:
        """Those that are not the default, as in a layer's representation."""
        given = [(field.name, getattr(self, field.name), field.default) for field in fields(self)]
        return "".join(f", {name}={value}" for name, value, default in given if value != default)


NAMES = tuple(field.name for field in fields(Options))


def split_options(keywords: Mapping[str, Any]) -> tuple[Options, dict[str, Any]]:
    """The options among a constructor's keyword arguments, and the rest."""
    options = {name: _plain(value) for name, value in keywords.items() if name in NAMES}
    rest = {name: value for name, value in keywords.items() if name not in NAMES}
    return Options(**options), rest


def _plain(value: Any) -> Any:
    """A list as a tuple, so that options can be compared and looked up."""
    return tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
