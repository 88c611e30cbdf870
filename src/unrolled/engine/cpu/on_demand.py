"""Kernels of cells that are not built in: compiled when they are first used."""

from __future__ import annotations

import os
import threading
import warnings
from dataclasses import replace
from typing import TypeVar

import torch

from ...compiler.program import Program
from .. import _cpu
from ..request import Recurrence, RecurrenceBackward
from ..weights import program_named
from .instruction_sets import fastest
from .layout import TAPES, Tape
from .library import load_kernel
from .library_cache import UnavailableError

_Call = TypeVar("_Call", Recurrence, RecurrenceBackward)


class KernelWarning(UserWarning):
    """A cell runs on the reference, many times slower, because its kernels cannot be had."""


_BUILT_IN = frozenset(TAPES)
_settled: dict[tuple[str, str], str | None] = {}
"""For each program and instruction set why it has no kernels; None where it has them."""
_warned: set[str] = set()
_lock = threading.Lock()


def _renew_lock() -> None:
    """After a fork nobody is there to release what another thread held."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def ensure(program: Program, isa: str) -> str | None:
    """Have the kernels of a program for an instruction set, compiling them if need be.

    Returns:
        None if they are there; else why not, which is also said once in a `KernelWarning`. A
        failure is remembered: the process does not try again.
    """
    return None if program.name in _BUILT_IN else _ensure(program.name, isa)


def with_isa(call: _Call) -> _Call:
    """A call that names no instruction set, exported on another machine, with this one's fastest.

    Raises:
        RuntimeError: if there are no kernels for it.
    """
    isa = fastest(call.x.dtype == torch.bfloat16)
    if obstacle := ensure(program_named(call.program), isa):
        raise RuntimeError(f"{call.program}: {obstacle}")
    return call._replace(isa=isa)


def _ensure(name: str, isa: str) -> str | None:
    try:
        return _settled[name, isa]
    except KeyError:
        return _settle(program_named(name), isa)


# What `torch.compiler.assume_constant_result` sets, which would load the compiler here: kernels are
# compiled while a layer is traced, and not by way of tracing.
_ensure._dynamo_marked_constant = True  # type: ignore[attr-defined]


def _settle(program: Program, isa: str) -> str | None:
    with _lock:
        key = program.name, isa
        if key in _settled:
            return _settled[key]
        try:
            _add(program, isa)
        except UnavailableError as obstacle:
            _settled[key] = reason = str(obstacle)
            if reason not in _warned:
                _warned.add(reason)
                warnings.warn(
                    f"{reason}: {program.name} runs on the reference, 10-100 times slower than "
                    f"kernels. {obstacle.advice}.",
                    KernelWarning,
                    stacklevel=4,
                )
            return reason
        _settled[key] = None
        return None


def _add(program: Program, isa: str) -> None:
    target, flags = _cpu.target(isa)
    # Here and not above: they bring sympy, which whoever has built-in cells only need not load.
    from ...compiler.cpp import library_source
    from ...compiler.planning import plan

    try:
        # Under a neutral name: the same equations are the same library, whatever they are called.
        laid = plan(replace(program, name="cell"))
        source = library_source(laid)
    except (NotImplementedError, ValueError) as error:
        raise UnavailableError(
            f"{program.name} cannot be written as a kernel ({error})",
            'with unrolled.using("reference") it runs there without this warning',
        ) from error
    load_kernel(target, program.name, source, flags)
    TAPES[program.name] = Tape.of(laid.as_json())
