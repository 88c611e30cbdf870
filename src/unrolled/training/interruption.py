"""Ctrl-C, SIGTERM and SIGHUP: finish the step, save, leave."""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType, TracebackType
from typing import Any


def ending_signals() -> tuple[int, ...]:
    """The signals that ask a process to end; SIGHUP, of a terminal that closes, unless ignored.

    ``nohup`` starts a process with SIGHUP ignored, and ignored it stays.
    """
    hangup = getattr(signal, "SIGHUP", None)
    if hangup is None or signal.getsignal(hangup) is signal.SIG_IGN:
        return (signal.SIGINT, signal.SIGTERM)
    return (signal.SIGINT, signal.SIGTERM, hangup)


class Interruption:
    """Notes the first of these signals within a with-block; a second one ends the process at once.

    Outside the main thread Python cannot install handlers, and the block does nothing.

    Attributes:
        signal: Number of the signal received, or None.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            for number in ending_signals():
                self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.signal is None:
            self.signal = number
            return
        if sys.stderr.isatty():
            os.write(2, b"\x1b[?25h\n")  # the progress bar hides the cursor
        os._exit(128 + number)
