"""Layers as torch's tools see them: its compiler, tracers, torch.fx and TorchScript.

**torch.compile** refuses whatever inherits from torch.nn's layers. Dynamo stops at every instance
of torch.nn.RNN, LSTM and GRU, for their sake: traced, they would become loops.
``torch._dynamo.config.allow_rnn`` lets them all pass, torch.nn's own too, and so would change how
other people's models are compiled. Hence it is set while Dynamo looks at one of *our* modules and
at no other time: Dynamo first looks an object's class up in a table, and there ours get an entry of
their own. Should a version of torch have no such table, our layers are a break in the graph, as
torch.nn's are. Loading Dynamo takes seconds, so the entries are made when somebody else has loaded
it.

**torch.jit.trace and the ONNX exporters** write down which of torch's operators run. The kernels
are none of these, so torch's layer runs where it computes the same; anything else is refused
(`unrolled.engine.torch`).
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch.jit._trace import TracerWarning
from torch.nn import Module

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


def described(layer: Module) -> str:
    """The layer with its sizes and options, as it is printed alone."""
    return f"{type(layer).__name__}({layer.extra_repr()})"


def traced(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function while `torch.jit.trace` records, without its warnings about our checks.

    Checks compare sizes, which the trace need not record. torch silences them for its own layers.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TracerWarning)
        return function(*arguments)


def leaf(layer: Module, input: Any, hx: Any, **options: Any) -> Any:  # noqa: A002
    """A layer as one node of `torch.fx`, as torch.nn's layers are.

    Raises:
        RuntimeError: if the layer is itself what is traced.
    """
    name = input.tracer.path_of_module(layer)
    if not name:
        raise RuntimeError(
            f"{described(layer)}: torch.fx traces the model around a layer; a layer alone is one "
            "node and has nothing to trace"
        )
    arguments = (input,) if hx is None else (input, hx)
    given = {
        key: value for key, value in options.items() if value is not None and value is not False
    }
    return input.tracer.create_proxy("call_module", name, arguments, given)


def not_scriptable(layer: Module) -> RuntimeError:
    """The error for `torch.jit.script`, which reads Python and cannot read a layer's."""
    return RuntimeError(
        f"{described(layer)}: torch.jit.script cannot read this layer; call "
        "unrolled.deaccelerate(model) first, which puts torch's own layers in the place of ours"
    )
