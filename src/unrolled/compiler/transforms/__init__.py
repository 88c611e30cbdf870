"""Transforms: an option is a rewriting of the program, not a case in the engine.

One option, one file. Each gives a program like any other, so they combine; `vary` applies those of
a `Variant` in the order that makes sense.
"""

from .activation import activation
from .candidate_dropout import candidate_dropout
from .cell_clip import cell_clip
from .expose import expose
from .layer_norm import layer_norm
from .project import project
from .recurrent_dropout import recurrent_dropout
from .variant import Variant, vary
from .zoneout import zoneout

__all__ = [
    "Variant",
    "activation",
    "candidate_dropout",
    "cell_clip",
    "expose",
    "layer_norm",
    "project",
    "recurrent_dropout",
    "vary",
    "zoneout",
]
