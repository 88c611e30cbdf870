"""Tools that watch or change what torch computes: modes, tracers, and vmap over a backward pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

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


def batched(gradients: Sequence[Tensor | None]) -> bool:
    """Whether gradients stand for many at once: ``is_grads_batched``, ``vectorize=True``.

    For these torch.autograd has a vmap of its own, older than torch.func's. Its tensors look like
    any other and have no memory.
    """
    legacy = torch._C._functorch.is_legacy_batchedtensor
    return any(gradient is not None and legacy(gradient) for gradient in gradients)


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
