"""The options there are: one line for each. Everything that knows an option has it from here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter, signature
from typing import Annotated, Any, Literal, TypedDict, TypeVar, get_type_hints

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

_Init = TypeVar("_Init", bound=Callable[..., None])


def with_options(init: _Init) -> _Init:
    """A layer's constructor that names every option in its signature, before its ``**options``."""
    kinds = {name: (option.hint, option.default) for name, option in OPTIONS.items()}
    return _with(init, kinds)


def with_flags(init: _Init) -> _Init:
    """The same for an estimator, whose options are those of the command line."""
    kinds = {name: (option.flag, option.flag_default) for name, option in OPTIONS.items()}
    return _with(init, kinds)


def _with(init: _Init, kinds: Mapping[str, tuple[Any, Any]]) -> _Init:
    """The constructor with these keywords shown in its signature, before its ``**`` parameter.

    One that is called ``options`` takes nothing else, and is not shown.
    """
    own = signature(init)
    *kept, others = own.parameters.values()
    options = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=hint)
        for name, (hint, default) in kinds.items()
    ]
    rest = [] if others.name == "options" else [others]
    shown: Any = init
    shown.__signature__ = own.replace(parameters=[*kept, *options, *rest])
    return init
