"""Tools that watch or change what torch computes: modes, tracers, and vmap over a backward pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.autograd import forward_ad

TRACE, ONNX = (
    "torch.jit.trace (and the TorchScript ONNX exporter)",
    "torch.onnx.export(dynamo=True)",
)
"""Tools that write down which of torch's operators run, and know no others.

A loop over the steps would be right for one number of steps only.
"""

WATCHED = "someone looks at every step"
"""The reason of all engines but the reference."""

_PRE_DISPATCH = torch._C.DispatchKey.PreDispatch


def plain(x: Tensor) -> bool:
    """Whether nothing but torch itself is to see the call: no tracing, no transform, no mode."""
    return (
        type(x) is Tensor
        and not torch.compiler.is_compiling()
        and not torch._C._is_tracing()
        and not torch._C._are_functorch_transforms_active()
        and torch._C._len_torch_dispatch_stack() == 0
        and not torch._C._dispatch_tls_is_dispatch_key_included(_PRE_DISPATCH)
    )


def recording_tool() -> str:
    """The tool that records this call and knows torch's own layers only; empty if there is none."""
    if torch.compiler.is_compiling():
        return ONNX if _exporting_to_onnx() else ""
    return TRACE if torch._C._is_tracing() else ""


def _exporting_to_onnx() -> bool:
    return torch.onnx.is_in_onnx_export()  # loads nothing: who compiles or exports has loaded it


# What `torch.compiler.assume_constant_result` sets; Dynamo itself takes the answer for False.
_exporting_to_onnx._dynamo_marked_constant = True  # type: ignore[attr-defined]


def transform(tensors: Sequence[Tensor]) -> str | None:
    """The reason why only the reference will do: someone transforms the computation itself."""
    if torch._C._are_functorch_transforms_active():
        return "a torch.func transform is active"
    if forward_ad._current_level >= 0 and any(
        forward_ad.unpack_dual(tensor).tangent is not None  # type: ignore[no-untyped-call]
        for tensor in tensors
    ):
        return "forward-mode derivatives are asked for"
    return None


def readable(tensor: Tensor) -> bool:
    """Whether a tensor's values are there to be read."""
    return not (
        tensor.is_meta
        or torch._C._get_tracing_state() is not None
        or torch.compiler.is_compiling()
        or torch._C._are_functorch_transforms_active()
    )


def resets_nothing(reset: Tensor) -> bool:
    """Whether a mask is known to be false everywhere; its values may not be there to be read."""
    return readable(reset) and not bool(reset.any())


def batched(gradients: Sequence[Tensor | None]) -> bool:
    """Whether gradients stand for many at once: ``is_grads_batched``, ``vectorize=True``.

    For these torch.autograd has a vmap of its own, older than torch.func's. Its tensors look like
    any other and have no memory.
    """
    legacy = torch._C._functorch.is_legacy_batchedtensor
    return True in [gradient is not None and legacy(gradient) for gradient in gradients]


def one_by_one(
    function: Callable[[list[Tensor | None]], Sequence[Tensor | None]],
    gradients: Sequence[Tensor | None],
) -> list[Tensor | None]:
    """A function of batched gradients: run for each, and the results are batched again."""
    level = torch._C._vmapmode_increment_nesting() - 1
    torch._C._vmapmode_decrement_nesting()
    while not any(_has(gradient, level) for gradient in gradients):
        level -= 1
    apart = [None if g is None else torch._remove_batch_dim(g, level, 1, 0) for g in gradients]
    count = max(len(gradient) for gradient in apart if gradient is not None)
    results = [
        function([None if g is None else g[k if len(g) == count else 0] for g in apart])
        for k in range(count)
    ]
    return [
        None if each[0] is None else torch._add_batch_dim(torch.stack(each), 0, level)
        for each in zip(*results, strict=True)
    ]


def _has(gradient: Tensor | None, level: int) -> bool:
    """Whether a tensor is a batch of this level; any other is repeated, here zero times."""
    return gradient is not None and len(torch._remove_batch_dim(gradient, level, 0, 0)) > 0
