"""Layers on top of each other, run by an engine that knows how to run one."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import dropout

from .interface import Result
from .packing import Packing, mask_padding
from .reference import LayerResult
from .request import Request

RunLayer = Callable[[Request, int], LayerResult]
"""Runs a request of one layer, whose initial states are given; the number is the layer's."""


def run_stack(run_layer: RunLayer, request: Request) -> Result:
    """All layers of a request, one after the other.

    A packed sequence is run as a padded one. Between layers everything is time-major; only the
    result is laid out as it was asked for.
    """
    packing = None
    if request.packed is not None:
        packing = Packing(request.packed)
        request = request._replace(
            x=packing.pad(request.x),
            initial=None if request.initial is None else packing.sort(request.initial),
            lengths=packing.lengths,
            packed=None,
        )
    elif request.lengths is not None:
        x = mask_padding(request.x, request.lengths, request.batch_first)
        request = request._replace(x=x)
    x, batch_first = request.x, request.batch_first
    layers, directions = request.layers, request.directions
    initial = request.initial
    one = request
    if layers > 1:
        one = request._replace(layers=1, batch_first=False)
    zeros = one.zeros(x.shape[not batch_first]) if initial is None else None
    lasts: list[list[Tensor]] = []
    sequences: list[list[Tensor]] = []
    if batch_first and layers > 1:
        x = x.transpose(0, 1)
    for k in range(layers):
        final = k + 1 == layers
        if layers > 1:
            states = zeros
            if initial is not None:
                states = [state[k * directions : (k + 1) * directions] for state in initial]
            if batch_first and final:
                x = x.transpose(0, 1)
            one = one._replace(
                x=x,
                initial=states,
                weights=request.weights_of(k),
                batch_first=batch_first and final,
            )
        elif zeros is not None:
            one = one._replace(initial=zeros)
        x, last, exposed = run_layer(one, k)
        lasts.append(last)
        found = [x, *exposed]
        if batch_first and not final:
            found = [sequence.transpose(0, 1) for sequence in found]
        sequences.append(found)
        if request.dropout and not final:
            x = _drop(x, request.dropout, packing)
    last = lasts[0]
    if layers > 1:
        last = [torch.cat(states) for states in zip(*lasts, strict=True)]
    if packing is None:
        return Result(x, last, sequences)
    shaped = [list(map(packing.like, each)) for each in sequences] if any(request.wanted) else []
    return Result(packing.like(x), packing.unsort(last), shaped)


def _drop(x: Tensor, rate: float, packing: Packing | None) -> Tensor:
    """Dropout of ``[T, N, ·]``; the mask covers no padding, as that of torch's layers."""
    if packing is None:
        return dropout(x, rate, training=True)
    return packing.pad(dropout(packing.pack(x), rate, training=True))
