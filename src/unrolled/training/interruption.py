"""Ctrl-C and SIGTERM: finish the step, save, leave."""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType, TracebackType
from typing import Any


class Interruption:
    """Notes the first SIGINT or SIGTERM within a with-block; a second one ends the process at once.

    Outside the main thread Python cannot install handlers, and the block does nothing.

    Attributes:
        signal: Number of the signal received, or None.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
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
