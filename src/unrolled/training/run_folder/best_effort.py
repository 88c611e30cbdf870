"""Writing that training can do without: logs, samples, reports."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from unrolled.errors import UserError, reason


class BestEffort:
    """Writes files for which no training is worth stopping, and says once of each what is wrong.

    Args:
        say: Takes the line.
        ready: Called before each write; raises a UserError if nothing may be written.

    Attributes:
        failed: The files whose last write failed, and why.
    """

    def __init__(self, say: Callable[[str], None], ready: Callable[[], None]) -> None:
        self.failed: dict[Path, str] = {}
        self._say, self._ready = say, ready
        self._said: set[Path] = set()

    def __call__(self, path: Path, write: Callable[[], object]) -> None:
        """Write a file.

        Args:
            path: The file, for the message.
            write: Writes it, in this thread, and waits for no other.

        Raises:
            UserError: As ``ready``.
        """
        self._ready()
        try:
            write()
        except UserError:
            raise
        except Exception as error:
            # Whatever it is: the training is worth more than its log.
            words = reason(error) if isinstance(error, OSError) else repr(error)
            self.failed[path] = words
            if path not in self._said:
                self._said.add(path)
                self._say(f"warning: {path}: {words}; training goes on without it")
        else:
            self.failed.pop(path, None)
