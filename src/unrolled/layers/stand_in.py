"""torch's own layer in the place of ours, for tools that can record no other.

`torch.jit.trace` and the ONNX exporters write down which of torch's operators run. The kernels are
none of these, and a loop over the steps would be right for one number of steps only. So torch's
layer runs where it computes the same; anything else is refused.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.jit._trace import TracerWarning

from ..engine.choice import Choice
from ..engine.fused import FUNCTIONS, torch_runs
from .options import Options
from .program import program_for
from .sequences import Wanted

if TYPE_CHECKING:
    from .layer import Layer

TRACE, ONNX = (
    "torch.jit.trace (and the TorchScript ONNX exporter)",
    "torch.onnx.export(dynamo=True)",
)

_EQUATIONS = ("layer_norm", "activation", "recurrent_activation", "cell_clip", "zoneout")
_NOISE = ("recurrent_dropout", "candidate_dropout")


def recording_tool() -> str:
    """The tool that records this call and knows torch's own layers only; empty if there is none."""
    if torch.compiler.is_compiling():
        return ONNX if _exporting_to_onnx() else ""
    return TRACE if torch._C._is_tracing() else ""


def _exporting_to_onnx() -> bool:
    return torch.onnx.is_in_onnx_export()  # loads nothing: who compiles or exports has loaded it


# What `torch.compiler.assume_constant_result` sets; Dynamo itself takes the answer for False.
_exporting_to_onnx._dynamo_marked_constant = True  # type: ignore[attr-defined]


def stand_in(
    tool: str,
    layer: Layer,
    tensors: Sequence[Tensor],
    reset: Tensor | None,
    lengths: Tensor | None,
    wanted: Wanted,
) -> Choice:
    """The choice of torch's layer for a call that a tool records.

    Raises:
        RuntimeError: if torch's layer would compute something else, or cannot run here.
    """
    beyond = beyond_torch(layer, layer.training)
    beyond += ["reset="] * (reset is not None)
    if layer.training and layer.options.weight_drop:
        beyond.append(f"weight_drop={layer.options.weight_drop}")
    if tool == ONNX:  # what its translation of torch's layer gets wrong
        beyond += ["lengths="] * (lengths is not None)
        beyond += [f"proj_size={layer.proj_size}"] * (layer.proj_size > 0)
    beyond += [f"return_{name}=True" for name, asked in wanted._asdict().items() if asked]
    beyond += ["an observer of every step"] * (layer.watch is not None)
    if beyond:
        raise RuntimeError(
            f"{described(layer)}: {tool} can only record torch's own layer, without "
            f"{', '.join(beyond)}; torch.export and torch.compile take this layer as it is"
        )
    if tool == TRACE and not torch_runs(layer.program.name, tensors):
        raise RuntimeError(
            f"{described(layer)}: {tool} can only record torch's own layer, which does not run "
            f"with {tensors[0].dtype} on this processor"
        )
    return Choice("torch", reason=f"{tool} records torch's own layer only")


def described(layer: Layer) -> str:
    """The layer with its sizes and options, as it is printed alone."""
    return f"{type(layer).__name__}({layer.extra_repr()})"


def beyond_torch(layer: Layer, training: bool) -> list[str]:
    """What the layer's equations have and torch's layers have not; empty if they are the same."""
    if layer.program_in(training).name in FUNCTIONS and layer.heads == 1:
        return []
    options, default, found = layer.options, Options(), []
    cell = program_for(layer.cell, default).name
    if cell not in FUNCTIONS:
        found.append(f"cell {layer.cell!r}")
    elif layer.proj_size and f"{cell},projected" not in FUNCTIONS:
        found.append(f"proj_size={layer.proj_size}")
    for name in _EQUATIONS + _NOISE * training:
        if getattr(options, name) != getattr(default, name):
            found.append(f"{name}={getattr(options, name)}")
    if layer.heads > 1:
        found.append(f"heads={layer.heads}")
    return found


def traced(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function while `torch.jit.trace` records, without its warnings about our checks.

    Checks compare sizes, which the trace need not record. torch silences them for its own layers.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TracerWarning)
        return function(*arguments)


def leaf(layer: Layer, input: Any, hx: Any, **options: Any) -> Any:  # noqa: A002
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


def not_scriptable(layer: Layer) -> RuntimeError:
    """The error for `torch.jit.script`, which reads Python and cannot read a layer's."""
    return RuntimeError(
        f"{described(layer)}: torch.jit.script cannot read this layer; call "
        "unrolled.deaccelerate(model) first, which puts torch's own layers in the place of ours"
    )
