"""The number of threads that a call may use, also in a forked child."""

from __future__ import annotations

import os

import torch

_forked = False
_settled = False


def _after_fork() -> None:
    global _forked, _settled
    _forked, _settled = True, False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def forked() -> bool:
    """Whether this process is the child of a fork."""
    return _forked


def threads() -> int:
    """Threads that a call uses at most: torch's own setting."""
    return 1 if _forked else torch.get_num_threads()


def settle_after_fork() -> None:
    """In a forked child: let torch compute on one thread, from the first call of a layer on.

    An OpenMP runtime's threads do not survive a fork, and torch's parallel loops wait for them for
    ever: those inside a layer and, in its backward and in everything after it, those around it.
    Whoever sets another number of threads afterwards is not overruled.
    """
    global _settled
    if _forked and not _settled:
        _settled = True
        torch.set_num_threads(1)
