"""The one place that chooses which engine runs a call, and can say why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd import forward_ad

from ..compiler.program import Program
from . import cpu
from .dispatch import plain
from .fused import FUNCTIONS, torch_runs

ENGINES = ("auto", "kernels", *cpu.INSTRUCTION_SETS, "torch", "reference")
"""What `using` accepts: an engine, or an instruction set of the kernels."""

_NAMES = {
    "amx": "AMX",
    "avx512_bf16": "AVX512-BF16",
    "avx512": "AVX-512",
    "avx2": "AVX2",
    "baseline": "the baseline instruction set",
}

_forced: ContextVar[str] = ContextVar("unrolled_engine", default="auto")
# torch.compile can neither read nor guard a ContextVar: what it sees is the latest that was asked
# for in any thread, and it compiles anew where that changes.
_latest = "auto"


@dataclass(frozen=True)
class Choice:
    """What will run a call.

    Attributes:
        engine: ``"kernels"``, ``"torch"`` or ``"reference"``.
        isa: instruction set of the kernels, empty for the other engines.
        reason: why not the kernels at their fastest; empty if they are.
        bfloat16: whether the kernels multiply bfloat16.
    """

    engine: str
    isa: str = ""
    reason: str = ""
    bfloat16: bool = False

    def __str__(self) -> str:
        if self.engine == "kernels":
            threads = cpu.threads()
            text = f"CPU kernels with {_NAMES[self.isa]} on {threads} thread{'s' * (threads > 1)}"
            if self.bfloat16:
                text += ", products in bfloat16"
        elif self.engine == "torch":
            text = "torch's own fused layer"
        else:
            text = "the reference, a loop over the steps in torch operations"
        return f"{text}, because {self.reason}" if self.reason else text


@contextmanager
def using(engine: str) -> Iterator[None]:
    """Force an engine in a with-block, in this thread (and asynchronous task).

    Args:
        engine: ``"reference"``, ``"torch"``, ``"kernels"``, one of the kernels' instruction sets
            (``"amx"``, ``"avx512_bf16"``, ``"avx512"``, ``"avx2"``, ``"baseline"``), or ``"auto"``
            for the usual choice.

    Raises:
        ValueError: if there is no such engine, or this processor has no such instruction set.
    """
    if engine not in ENGINES:
        raise ValueError(f"using: expected one of {', '.join(ENGINES)}, got {engine!r}")
    global _latest
    token, before = _forced.set(engine), _latest
    _latest = engine
    try:
        yield
    finally:
        _forced.reset(token)
        _latest = before


_FEW = 8
"""Steps below which packing the weights costs more than it saves."""


def choose(
    program: Program,
    tensors: Sequence[Tensor],
    steps: int | None = None,
    reset: bool = False,
    heads: int = 1,
) -> Choice:
    """Which engine runs a program on these tensors: the input, states and weights of a call.

    Args:
        program: the cell's program.
        tensors: the input, states and weights.
        steps: length of the sequences, where torch's layers could take them as they are.
        reset: whether states are reset inside the sequences, which torch's layers cannot do.
        heads: blocks on the diagonal of U, of which torch's layers know one.

    The kernels where they apply, which are compiled now if the cell is not built in and this is its
    first use; else, for the cells that torch has, its own fused layers; else the reference. An
    engine forced by `using` that cannot run the call gives way in this order.
    """
    beyond = "heads" if heads > 1 else "resets" * reset
    compiling = torch.compiler.is_compiling()
    forced = _latest if compiling else _forced.get()
    if forced == "reference":
        return Choice("reference", reason='using("reference") asks for it')
    transform = _transform(tensors)
    if transform:
        return Choice("reference", reason=transform)
    bfloat16 = _in_bfloat16(tensors)
    obstacle = _obstacle(program, tensors, bfloat16)
    if forced == "torch":
        obstacle = 'using("torch") asks for it'
    if (
        obstacle is None
        and forced == "auto"
        and not compiling
        and steps is not None
        and 0 < steps < _FEW
        and plain(tensors[0])
    ):
        # A gradient may be differentiated again, which torch's layers cannot always do, and in a
        # forked child they wait for threads that are gone.
        trained = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
        fused = program.name in FUNCTIONS and not program.projected and not beyond
        if fused and not trained and not cpu.forked() and torch_runs(program.name, tensors):
            obstacle = f"so short a sequence ({steps}) is over before packed weights pay"
    fastest = cpu.fastest(bfloat16)
    isa = forced if forced in cpu.INSTRUCTION_SETS else fastest
    if obstacle is None:
        obstacle = cpu.ensure(program, isa)
    if obstacle is None:
        reason = "" if isa == fastest else f'using("{isa}") asks for it'
        # What is compiled or exported here may run on another processor: it finds out there.
        return Choice("kernels", "" if compiling and not reason else isa, reason, bfloat16)
    if program.name in FUNCTIONS and not beyond:
        # What is being compiled asks later, where it runs.
        if not compiling and not torch_runs(program.name, tensors):
            return Choice("reference", reason=f"{obstacle} and torch's layer cannot run here")
        return Choice("torch", reason=obstacle)
    if program.name in FUNCTIONS:
        return Choice("reference", reason=f"{obstacle} and torch's layer knows no {beyond}")
    return Choice("reference", reason=f"{obstacle} and torch has no {program.name}")


def _transform(tensors: Sequence[Tensor]) -> str | None:
    """Why only the reference will do: someone transforms the computation itself."""
    if torch._C._are_functorch_transforms_active():
        return "a torch.func transform is active"
    if forward_ad._current_level >= 0 and any(
        forward_ad.unpack_dual(tensor).tangent is not None  # type: ignore[no-untyped-call]
        for tensor in tensors
    ):
        return "forward-mode derivatives are asked for"
    return None


def _in_bfloat16(tensors: Sequence[Tensor]) -> bool:
    """Whether products are of bfloat16: autocast asks for it, or everything is bfloat16."""
    if torch.is_autocast_enabled("cpu"):
        return torch.get_autocast_dtype("cpu") == torch.bfloat16
    return all(tensor.dtype == torch.bfloat16 for tensor in tensors)


def _obstacle(program: Program, tensors: Sequence[Tensor], bfloat16: bool) -> str | None:
    """Why the CPU kernels do not apply."""
    device = tensors[0].device.type
    if device != "cpu":
        return f"the input is on {device} and the kernels run on the CPU"
    if torch.is_autocast_enabled("cpu") and not bfloat16:
        name = _short(torch.get_autocast_dtype("cpu"))
        return f"autocast is to {name} and the kernels compute in float32 or bfloat16"
    for tensor in tensors:
        if tensor.dtype != torch.float32 and not (bfloat16 and tensor.dtype == torch.bfloat16):
            name = _short(tensor.dtype)
            if tensor.dtype == torch.bfloat16:
                return "some numbers are bfloat16 and some are not"
            return f"the numbers are {name} and the kernels compute in float32 or bfloat16"
    return None


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
