"""The options there are: one line for each. Everything that knows an option has it from here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, TypedDict, get_type_hints

from ..cells import Function
from .activation import Activation, RecurrentActivation
from .candidate_dropout import CandidateDropout
from .cell_clip import CellClip
from .chrono import Chrono
from .forget_bias import ForgetBias
from .layer_norm import LayerNorm
from .learn_initial import LearnInitial
from .option import Option
from .recurrent_dropout import RecurrentDropout
from .recurrent_init import RecurrentInit
from .weight_drop import WeightDrop
from .zoneout import Zoneout


class Keywords(TypedDict, total=False):
    """Keyword-only arguments of every layer beyond torch.nn's: name, type, declaration."""

    forget_bias: Annotated[float | None, ForgetBias]
    recurrent_init: Annotated[Literal["orthogonal", "identity"] | None, RecurrentInit]
    chrono: Annotated[float | None, Chrono]
    learn_initial: Annotated[bool, LearnInitial]
    layer_norm: Annotated[bool, LayerNorm]
    activation: Annotated[str | Function | None, Activation]
    recurrent_activation: Annotated[str | Function | None, RecurrentActivation]
    cell_clip: Annotated[float | None, CellClip]
    recurrent_dropout: Annotated[float, RecurrentDropout]
    candidate_dropout: Annotated[float, CandidateDropout]
    zoneout: Annotated[float | Sequence[float], Zoneout]
    weight_drop: Annotated[float, WeightDrop]


def _declared() -> dict[str, Option]:
    hints = get_type_hints(Keywords, include_extras=True)
    return {name: hint.__metadata__[0](name, hint.__origin__) for name, hint in hints.items()}


OPTIONS: Mapping[str, Option] = _declared()
"""Every option by name, in the order of `Keywords`."""
