"""All options of a cell, in the order in which they are applied."""

from __future__ import annotations

from dataclasses import dataclass

from ...cells import Function
from ..program import Program
from .activation import activation
from .candidate_dropout import candidate_dropout
from .cell_clip import cell_clip
from .expose import expose
from .layer_norm import layer_norm
from .project import project
from .recurrent_dropout import recurrent_dropout
from .zoneout import zoneout


@dataclass(frozen=True)
class Variant:
    """What is done to a cell's program; nothing by default.

    Rates of noise are no part of it: they are numbers that a run is given.

    Attributes:
        activation: in the place of tanh.
        recurrent_activation: in the place of σ.
        cell_clip: bound of what the cell remembers.
        projected: whether the output is projected.
        layer_norm: whether every product is normalised.
        bias: with layer_norm, whether there are biases.
        candidate_dropout: name of the candidate that is dropped, or "".
        recurrent_dropout: whether the recurrent connections are.
        zoneout: names of the states that are zoned out.
        returns: names of values that are returned beside the output.
    """

    activation: Function | None = None
    recurrent_activation: Function | None = None
    cell_clip: float | None = None
    projected: bool = False
    layer_norm: bool = False
    bias: bool = True
    candidate_dropout: str | None = None
    recurrent_dropout: bool = False
    zoneout: tuple[str, ...] = ()
    returns: tuple[str, ...] = ()


def vary(program: Program, variant: Variant) -> Program:
    """The program of a cell with a variant's options.

    The bound acts on the units, so before their projection; dropout acts on what U takes, so after
    it; what is zoned out is what a step leaves, so after all else.

    Raises:
        ValueError: if the cell has not what an option needs.
    """
    if variant.activation is not None or variant.recurrent_activation is not None:
        program = activation(program, variant.activation, variant.recurrent_activation)
    if variant.cell_clip is not None:
        program = cell_clip(program, variant.cell_clip)
    if variant.projected:
        program = project(program)
    if variant.layer_norm:
        program = layer_norm(program, variant.bias)
    if variant.candidate_dropout is not None:
        program = candidate_dropout(program, variant.candidate_dropout)
    if variant.recurrent_dropout:
        program = recurrent_dropout(program)
    if variant.zoneout:
        program = zoneout(program, variant.zoneout)
    if variant.returns:
        program = expose(program, variant.returns)
    return program
