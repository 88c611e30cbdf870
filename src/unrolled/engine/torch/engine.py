"""Requests run by torch's own layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from ..dispatch import ONNX, TRACE, WATCHED, resets_nothing, transform
from ..interface import Result
from ..packing import mask_padding, permute, rows_of, run_packed
from ..request import Request
from ..stream import ReferenceStream, Steps
from .functions import FUNCTIONS, torch_runs


class TorchEngine:
    """See `unrolled.engine.interface.Engine`."""

    name = "torch"
    variants = ()
    is_one_node = False

    def obstacle(self, request: Request) -> str | None:
        """A layer that torch does not have, or cannot run here.

        Raises:
            RuntimeError: if a tool records the call that can record torch's layers only, and
                torch's layer would compute something else, or cannot run here.
        """
        if request.recording is not None:
            _check_recording(request)
            return None
        if request.watch is not None:
            return WATCHED
        if reason := transform(request.tensors):
            return reason
        name = request.program.name
        if name not in FUNCTIONS:
            return f"torch has no {name}"
        if request.heads > 1:
            return "torch's layer knows no heads"
        if request.reset is not None and not resets_nothing(request.reset):
            return "torch's layer knows no resets"
        # What is being compiled asks later, where it runs.
        if not torch.compiler.is_compiling() and not torch_runs(name, request.tensors):
            return "torch's layer cannot run here"
        if any(request.wanted):
            return "torch's layer returns the last layer's output only"
        if request.x.numel() == 0:
            return "there is no step to run"
        if request.lengths is not None and request.lengths.is_meta:
            return "lengths without values cannot be packed"
        return None

    def run(self, request: Request) -> Result:
        """All layers at once."""
        if request.packed is not None:
            return Result(*_run_packed(request, request.packed, request.initial))
        x, batch_first = request.x, request.batch_first
        if request.lengths is not None:
            return Result(
                *run_packed(
                    lambda packed, initial: _run_packed(request, packed, initial),
                    mask_padding(x, request.lengths, batch_first),
                    request.initial,
                    request.lengths,
                    batch_first,
                )
            )
        initial = request.initial
        if initial is None:
            initial = request.zeros(x.shape[not batch_first])
        found = FUNCTIONS[request.program.name].run(
            x, _as_given(initial), *arguments_of(request), batch_first
        )
        return Result(found[0], list(found[1:]))

    def stream(self, request: Request) -> Steps:
        """In single operations: torch's layers take whole sequences."""
        return ReferenceStream.of(request)

    def describe(self, request: Request) -> str:
        """In words."""
        return "torch's own fused layer"


def _run_packed(
    request: Request, packed: PackedSequence, initial: Sequence[Tensor] | None
) -> tuple[PackedSequence, list[Tensor]]:
    """A packed sequence; states in the caller's order."""
    if initial is None:
        initial = request.zeros(rows_of(packed))
    else:
        initial = permute(initial, packed.sorted_indices)
    output, *last = FUNCTIONS[request.program.name].run(
        packed.data, packed.batch_sizes, _as_given(initial), *arguments_of(request)
    )
    like = PackedSequence(
        output, packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices
    )
    return like, permute(last, packed.unsorted_indices)


def _as_given(states: Sequence[Tensor]) -> Any:
    """States as torch's functions take them: one tensor, or several."""
    return states[0] if len(states) == 1 else states


def arguments_of(request: Request) -> tuple[Any, ...]:
    """Weights, whether there are biases, layers, dropout, training, both directions."""
    layers, directions = request.layers, request.directions
    matrices = 2 + request.program.projected
    bias = len(request.weights) > matrices * layers * directions
    # cuDNN can differentiate only what it ran in training mode; that differs by dropout, and
    # without training the dropout is zero.
    training = request.training or (request.x.is_cuda and torch.is_grad_enabled())
    return request.weights, bias, layers, request.dropout, training, directions == 2


def _check_recording(request: Request) -> None:
    """See that torch's layer computes the same, for a tool that records this call."""
    recording = request.recording
    assert recording is not None
    beyond = [*recording.beyond]
    beyond += ["reset="] * (request.reset is not None)
    if recording.tool == ONNX:  # what its translation of torch's layer gets wrong
        beyond += ["lengths="] * (request.lengths is not None)
        beyond += [f"proj_size={request.output_size}"] * request.program.projected
    beyond += [f"return_{name}=True" for name, asked in request.wanted._asdict().items() if asked]
    beyond += ["an observer of every step"] * (request.watch is not None)
    if beyond:
        raise RuntimeError(
            f"{recording.layer}: {recording.tool} can only record torch's own layer, without "
            f"{', '.join(beyond)}; torch.export and torch.compile take this layer as it is"
        )
    if recording.tool == TRACE and not torch_runs(request.program.name, request.tensors):
        raise RuntimeError(
            f"{recording.layer}: {recording.tool} can only record torch's own layer, which does "
            f"not run with {request.x.dtype} on this processor"
        )
