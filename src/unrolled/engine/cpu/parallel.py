"""How many threads a call may use, and what becomes of them in a forked child."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import torch

from ..threads import one_thread

P = ParamSpec("P")
R = TypeVar("R")

_forked = False


def _after_fork() -> None:
    """An OpenMP runtime's threads do not survive a fork; a child computes on its own thread."""
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def forked() -> bool:
    """Whether this process is the child of a fork."""
    return _forked


def threads() -> int:
    """Threads that a call uses at most: torch's own setting."""
    return 1 if _forked else torch.get_num_threads()


def alone_after_fork(function: Callable[P, R]) -> Callable[P, R]:
    """In a forked child torch's own parallel loops wait for threads that are gone: use one."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        if not _forked:
            return function(*args, **kwargs)
        with one_thread():
            return function(*args, **kwargs)

    return run
