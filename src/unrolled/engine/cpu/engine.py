"""Requests run by the CPU kernels."""

from __future__ import annotations

from collections.abc import Collection

import torch

from ...compiler.program import Program
from .. import operator
from ..dispatch import WATCHED, plain, transform
from ..interface import Result
from ..reference import LayerResult
from ..request import Recurrence, Request
from ..stack import run_stack
from ..stream import ReferenceStream, Steps
from ..torch.engine import TorchEngine
from ..torch.functions import FUNCTIONS
from ..weights import split
from . import (
    FLOAT32_SETS,
    INSTRUCTION_SETS,
    automatic,
    ensure,
    fastest,
    forked,
    tape_width,
    threads,
)
from .kept import is_worth_keeping
from .stream import KernelStream

_NAMES = {
    "amx": "AMX",
    "avx512_bf16": "AVX512-BF16",
    "avx512": "AVX-512",
    "avx2": "AVX2",
    "baseline": "the baseline instruction set",
}

_FEW = 8
"""Steps below which packing the weights costs more than it saves."""

_TORCH = TorchEngine()


class CpuEngine:
    """See `unrolled.engine.interface.Engine`."""

    name = "kernels"
    variants = INSTRUCTION_SETS
    is_one_node = True

    def obstacle(self, request: Request) -> str | None:
        """No kernels for these numbers or this cell; or torch's layer is quicker.

        Kernels of a cell that is not built in are compiled now, if this is its first use.
        """
        if request.recording is not None:
            return f"{request.recording.tool} records torch's own layer only"
        if request.watch is not None:
            return WATCHED
        tensors = request.tensors
        if reason := transform(tensors):
            return reason
        device = request.x.device.type
        if device != "cpu":
            return f"the input is on {device} and the kernels run on the CPU"
        bfloat16 = _in_bfloat16(request)
        if torch.is_autocast_enabled("cpu") and not bfloat16:
            dtype = _short(torch.get_autocast_dtype("cpu"))
            return f"autocast is to {dtype} and the kernels compute in float32 or bfloat16"
        for tensor in tensors:
            if tensor.dtype != torch.float32 and not (bfloat16 and tensor.dtype == torch.bfloat16):
                if tensor.dtype == torch.bfloat16:
                    return "some numbers are bfloat16 and some are not"
                dtype = _short(tensor.dtype)
                return f"the numbers are {dtype} and the kernels compute in float32 or bfloat16"
        if request.asked == "auto" and _torch_is_quicker(request):
            steps = request.x.shape[request.batch_first]
            return f"so short a sequence ({steps}) is over before packed weights pay"
        return ensure(request.program, _isa(request, bfloat16))

    def run(self, request: Request) -> Result:
        """Layer after layer, one operator each."""
        return run_stack(_run_layer, request)

    def stream(self, request: Request) -> Steps:
        """By kernels for single steps, in float32 only."""
        if _in_bfloat16(request):
            return ReferenceStream.of(request)
        program = request.program
        weights = [split(program, request.weights_of(k), 1)[0] for k in range(request.layers)]
        isa = _isa(request, bfloat16=False)
        return KernelStream(program, isa, weights, request.x.shape[1], request.rates)

    def describe(self, request: Request) -> str:
        """In words; and why not with the fastest instruction set."""
        bfloat16 = _in_bfloat16(request)
        isa, count = _isa(request, bfloat16), threads()
        text = f"CPU kernels with {_NAMES[isa]} on {count} thread{'s' * (count > 1)}"
        if bfloat16:
            text += ", products in bfloat16"
            if isa in FLOAT32_SETS:
                text += " by float32's instructions: memory is saved, not time"
        return text if isa == fastest(bfloat16) else f'{text}, because using("{isa}") asks for it'


def _run_layer(request: Request, level: int) -> LayerResult:
    """A request of one layer."""
    program, x, initial = request.program, request.x, request.initial
    assert initial is not None
    bfloat16 = _in_bfloat16(request)
    if bfloat16:
        kept = _kept(program)
        x = x.to(torch.bfloat16)
        initial = [s if k in kept else s.to(torch.bfloat16) for k, s in enumerate(initial)]
    isa = _isa(request, bfloat16)
    if torch.compiler.is_compiling() and isa == fastest(bfloat16):
        isa = ""  # what is compiled or exported here may run on another processor
    trains, exposes = _trains(request), bool(program.exposed)
    every = _every(request) if trains and not exposes and request.checkpoint is not None else 0
    noise = request.draw()
    return operator.run_layer(
        Recurrence(
            x,
            list(initial),
            list(request.weights),
            request.lengths,
            request.reset,
            program.name,
            isa,
            request.directions,
            request.batch_first,
            trains or exposes,
            every,
            noise.seed,
            list(noise.rates),
        )
    )


def _every(request: Request) -> int:
    """Steps between the states that are kept for backward; 0 for a tape."""
    checkpoint = request.checkpoint
    if checkpoint is None:
        return 0
    width = tape_width(request.program.name, request.hidden_size, request.output_size)
    if not width:
        return 0
    if checkpoint != "auto":
        return checkpoint
    x = request.x
    rows, steps = x.shape[:2] if request.batch_first else (x.shape[1], x.shape[0])
    return automatic(width, steps, rows)


def _torch_is_quicker(request: Request) -> bool:
    """Whether torch's layer, which packs no weights, can run a short sequence as it is.

    A gradient may be differentiated again, which torch's layers cannot always do, and in a forked
    child they wait for threads that are gone.
    """
    if torch.compiler.is_compiling():  # what is compiled serves any number of steps
        return False
    if not 0 < request.x.shape[request.batch_first] < _FEW:
        return False
    if request.packed is not None or request.lengths is not None or request.reset is not None:
        return False
    if request.program.projected or request.program.name not in FUNCTIONS:
        return False
    if not plain(request.x) or forked() or _trains(request):
        return False
    rows = request.x.shape[not request.batch_first]
    weights = sum(weight.numel() for weight in request.weights)
    if request.directions == 1 and is_worth_keeping(rows, weights):
        return False  # nor do the kernels, of so few rows
    return _TORCH.obstacle(request) is None


def _trains(request: Request) -> bool:
    """Whether there will be a backward."""
    return torch.is_grad_enabled() and True in [t.requires_grad for t in request.tensors]


def _isa(request: Request, bfloat16: bool) -> str:
    """The instruction set: the one asked for, or the fastest of this processor."""
    return request.asked if request.asked in INSTRUCTION_SETS else fastest(bfloat16)


def _in_bfloat16(request: Request) -> bool:
    """Whether products are of bfloat16: autocast asks for it, or everything is bfloat16."""
    if torch.is_autocast_enabled("cpu"):
        return torch.get_autocast_dtype("cpu") == torch.bfloat16
    if request.x.dtype != torch.bfloat16:
        return False
    return all(tensor.dtype == torch.bfloat16 for tensor in request.tensors)


def _kept(program: Program) -> Collection[int]:
    """The states that bfloat16 leaves alone: torch's own choice for its cells, else the inner ones.

    The first state is the output.
    """
    if program.name in FUNCTIONS:
        return FUNCTIONS[program.name].kept
    return range(1, len(program.states))


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
