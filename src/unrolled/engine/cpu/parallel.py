"""The number of threads that a call may use, also in a container and in a forked child."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

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
    """Threads that a call uses at most: torch's own setting, and no more than its quota allows."""
    allowed = torch.get_num_threads()
    quota = _quota()
    return allowed if quota is None else min(allowed, quota)


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


@cache
def _quota() -> int | None:
    """Whole processors that the control group of this process may use at a time; None: all.

    A group with a quota of one processor on a machine with two may run two threads for half of the
    time, and then neither: more threads than the quota gain nothing, and each call may be the one
    that is stopped.
    """
    return quota(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))


def quota(groups: Path, root: Path) -> int | None:
    """The least quota of a process's group and those above it, in whole processors, 1 at least.

    Args:
        groups: A file as ``/proc/self/cgroup``: lines ``ID:CONTROLLERS:PATH``.
        root: Where the groups' folders are.

    Returns:
        None where no group has a quota, or none can be read.
    """
    try:
        lines = groups.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    found = []
    for line in lines:
        controllers, _, path = line.partition(":")[2].partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = root / controllers if controllers else root
        # In a container the path may be the host's; then the group's own folder is the root.
        folder = top / path.strip("/")
        for each in (folder, *folder.parents):
            found += _quota_of(each)
            if each == root:
                break
    return max(1, int(min(found))) if found else None


def _quota_of(folder: Path) -> list[float]:
    """The quota that one group's folder states, in processors: one number, or none."""
    try:
        if (folder / "cpu.max").exists():  # version 2
            limit, period = (folder / "cpu.max").read_text(encoding="utf-8").split()
        else:
            limit = (folder / "cpu.cfs_quota_us").read_text(encoding="utf-8").strip()
            period = (folder / "cpu.cfs_period_us").read_text(encoding="utf-8").strip()
        processors = int(limit) / int(period)
    except (OSError, ValueError, ZeroDivisionError):  # "max", or nothing of the kind
        return []
    return [processors] if processors > 0 else []
