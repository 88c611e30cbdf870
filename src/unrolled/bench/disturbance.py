"""Share of the processors' time that other processes use while a case is measured."""

from __future__ import annotations

import os
import time
from pathlib import Path

from unrolled.bench.options import available_processors


class Disturbance:
    """A measurement that begins when it is made.

    On Linux, where the kernel books each processor's time; elsewhere nothing is known.
    """

    def __init__(self) -> None:
        self._start, self._busy, self._own = time.monotonic(), _busy(), time.process_time()

    def share(self) -> float | None:
        """Share of the processors' time that other processes, or other virtual machines, took.

        Returns:
            From 0 to 1, to a few percent; None if unknown.
        """
        busy = _busy()
        if busy is None or self._busy is None:
            return None
        others = busy - self._busy - (time.process_time() - self._own)
        total = (time.monotonic() - self._start) * len(available_processors())
        return min(1.0, max(0.0, others / total))


def _busy() -> float | None:
    """Seconds that our processors have been busy since the machine started."""
    try:
        lines = Path("/proc/stat").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    ours = {f"cpu{number}" for number in available_processors()}
    ticks = 0
    for line in lines:
        name, *spent = line.split()
        if name in ours:
            # user, nice, system, idle, waiting, interrupts (two), stolen by the hypervisor, …
            ticks += sum(int(word) for word in (*spent[:3], *spent[5:8]))
    return ticks / os.sysconf("SC_CLK_TCK")
