"""What makes torch.compile take our layers: it refuses whatever inherits from torch.nn's.

Dynamo stops at every instance of torch.nn.RNN, LSTM and GRU, for their sake: traced, they would
become loops. ``torch._dynamo.config.allow_rnn`` lets them all pass, torch.nn's own too, and so
would change how other people's models are compiled. Hence it is set while Dynamo looks at one of
*our* modules and at no other time: Dynamo first looks an object's class up in a table, and there
ours get an entry of their own. Should a version of torch have no such table, our layers are a break
in the graph, as torch.nn's are.

Loading Dynamo takes seconds, so the entries are made when somebody else has loaded it.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import torch

from .._loading import when_loaded

_BUILDER = "torch._dynamo.variables.builder"
_classes: list[type] = []


def compilable(cls: type) -> None:
    """Let torch.compile trace a class's modules although they inherit from torch.nn's."""
    _classes.append(cls)
    if _BUILDER in sys.modules:
        _enter(sys.modules[_BUILDER])


def _enter(builder: ModuleType) -> None:
    try:
        table = builder.VariableBuilder._type_dispatch()
        while _classes:
            table[_classes.pop()] = _wrap
    except AttributeError:  # another version of torch: graph breaks
        return


def _wrap(builder: Any, module: torch.nn.Module) -> Any:
    with sys.modules["torch._dynamo"].config.patch(allow_rnn=True):
        return builder.wrap_module(module)


when_loaded(_BUILDER, _enter)
