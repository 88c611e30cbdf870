"""What a run shows while it trains: a progress bar in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Protocol

from unrolled.training.duration import format_duration


class Display(Protocol):
    """Where the loop says how far it is."""

    def progress(self, share: float, text: str) -> None:
        """Share of the training done, and what to say about it."""

    def note(self, text: str) -> None:
        """A line that stays."""

    def close(self) -> None:
        """No more will come."""


class Silent:
    """Shows nothing."""

    def progress(self, share: float, text: str) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class Lines:
    """Plain lines on stderr, progress at most every ``interval`` seconds."""

    def __init__(self, interval: float = 10.0) -> None:
        self._interval = interval
        self._last = time.monotonic()

    def progress(self, share: float, text: str) -> None:
        """A line, if the last is old enough."""
        now = time.monotonic()
        if now - self._last >= self._interval:
            self._last = now
            self.note(f"{share:4.0%}  {text}")

    def note(self, text: str) -> None:
        """A line."""
        sys.stderr.write(text + "\n")
        sys.stderr.flush()

    def close(self) -> None:
        """Nothing to do."""


class Bar:
    """A progress bar on stderr, lines that stay above it."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

        self._start = time.monotonic()
        self._share: float | None = None
        self._progress = Progress(
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TextColumn("{task.description}", markup=False),
            TextColumn("{task.fields[left]}", markup=False, style="dim"),
            console=Console(stderr=True, highlight=False),
            transient=True,
        )
        self._task = self._progress.add_task("", total=1.0, left="")
        self._progress.start()

    def progress(self, share: float, text: str) -> None:
        """Move the bar."""
        now = time.monotonic()
        if self._share is None:  # a resumed run does not begin at zero
            self._start, self._share = now, share
        gained = share - self._share
        left = (now - self._start) * (1 - share) / gained if gained > 0 else None
        words = "" if left is None else f"{format_duration(left)} left"
        self._progress.update(self._task, completed=share, description=text, left=words)

    def note(self, text: str) -> None:
        """A line above the bar."""
        self._progress.console.print(text, markup=False, soft_wrap=True)

    def close(self) -> None:
        """Take the bar away."""
        self._progress.stop()


class Spare:
    """A display that training can do without: once it fails, it shows nothing more.

    A terminal that is closed, a reader of a pipe that has gone and a full disk all fail.

    Args:
        display: The display.
    """

    def __init__(self, display: Display) -> None:
        self._display = display

    def progress(self, share: float, text: str) -> None:
        """Hand it on."""
        self._try(lambda: self._display.progress(share, text))

    def note(self, text: str) -> None:
        """Hand it on."""
        self._try(lambda: self._display.note(text))

    def close(self) -> None:
        """Hand it on."""
        self._try(self._display.close)

    def _try(self, show: Callable[[], None]) -> None:
        try:
            show()
        except (OSError, ValueError):  # ValueError: a stream that is closed
            self._display = Silent()


def choose_display(*, quiet: bool = False) -> Display:
    """A bar if stderr is a terminal, lines if not, nothing if ``quiet`` or without stderr."""
    if quiet or sys.stderr is None:
        return Silent()
    try:
        return Spare(Bar() if sys.stderr.isatty() else Lines())
    except (OSError, ValueError):
        return Silent()
