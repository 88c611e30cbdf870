"""The one place that chooses which engine runs a request, and can say why."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd import forward_ad

from .cpu.engine import CpuEngine
from .dispatch import plain
from .interface import Engine
from .reference.engine import ReferenceEngine
from .request import Request
from .torch.engine import TorchEngine

_engines: tuple[Engine, ...] = (CpuEngine(), TorchEngine(), ReferenceEngine())
"""In the order in which they are asked. The last one runs everything."""

_asked: ContextVar[str] = ContextVar("unrolled_engine", default="auto")
# torch.compile can neither read nor guard a ContextVar: what it sees is the latest that was asked
# for in any thread, and it compiles anew where that changes.
_latest = "auto"


class Choice(NamedTuple):
    """The engine that will run a request.

    Attributes:
        engine: the first without an obstacle.
        reasons: those of the engines before it, each once.
    """

    engine: Engine
    reasons: tuple[str, ...]

    def explain(self, request: Request) -> str:
        """The engine in words, and why not another."""
        text = self.engine.describe(request)
        return f"{text}, because {' and '.join(self.reasons)}" if self.reasons else text


def choose(request: Request) -> Choice:
    """Ask all engines in their order; those before one that `using` asks for are passed over.

    An engine that `using` asks for and that cannot run the request gives way in the same order.

    Raises:
        RuntimeError: if no engine can run the request.
    """
    name = request.asked
    # A tool that knows torch's operators only gets these, whatever engine is asked for.
    passing = name != "auto" and request.recording is None
    reasons: list[str] = []
    for engine in _engines:
        if passing and (name == engine.name or name in engine.variants):
            passing = False
        reason = f'using("{name}") asks for it' if passing else engine.obstacle(request)
        if reason is None:
            return Choice(engine, tuple(reasons))
        if reason not in reasons:
            reasons.append(reason)
    raise RuntimeError(f"{request.program.name}: no engine can run this: {' and '.join(reasons)}")


_USUAL = _engines


def is_usual(x: Tensor) -> bool:
    """Whether nobody has registered an engine or asked for one, nor asks torch for anything else.

    No tracing, transform, mode, autocast or forward-mode derivative is to see a call with this
    input.
    """
    return (
        plain(x)
        and _engines is _USUAL
        and _asked.get() == "auto"
        and not torch.is_autocast_enabled("cpu")
        and forward_ad._current_level < 0
    )


def names() -> tuple[str, ...]:
    """What `using` accepts: an engine, or an instruction set of the kernels."""
    own = [name for engine in _engines for name in (engine.name, *engine.variants)]
    return ("auto", *own)


def asked() -> str:
    """The engine or instruction set that `using` asks for here, or ``"auto"``."""
    return _latest if torch.compiler.is_compiling() else _asked.get()


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
    if engine not in names():
        raise ValueError(f"using: expected one of {', '.join(names())}, got {engine!r}")
    global _latest
    token, before = _asked.set(engine), _latest
    _latest = engine
    try:
        yield
    finally:
        _asked.reset(token)
        _latest = before


@contextmanager
def register(engine: Engine) -> Iterator[None]:
    """Have an engine of one's own asked before all others, within a with-block.

    It holds for all threads.

    Args:
        engine: see `unrolled.engine.interface.Engine`.

    Raises:
        ValueError: if another engine has one of its names.
    """
    global _engines
    if taken := [name for name in (engine.name, *engine.variants) if name in names()]:
        raise ValueError(f"register: there is an engine {taken[0]!r} already")
    _engines = (engine, *_engines)
    try:
        yield
    finally:
        left = tuple(other for other in _engines if other is not engine)
        _engines = _USUAL if left == _USUAL else left
