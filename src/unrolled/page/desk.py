"""A run on the desk: one computation at a time, the last results kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Any, TypeVar

from .subject import Subject

Result = TypeVar("Result")

KEPT = 16
"""Results kept of a run. The largest, states and gates of 600 steps, take some ten megabytes."""


class Desk:
    """A subject with its last results.

    Recording a model watches its layers, so that two computations would see each other's steps.

    Args:
        subject: what is looked at.
    """

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self._lock = Lock()
        self._results: OrderedDict[Any, Any] = OrderedDict()

    def get(self, compute: Callable[..., Result], *arguments: Hashable) -> Result:
        """What ``compute(subject, *arguments)`` returns, computed once."""
        key = (compute, *arguments)
        # Without the lock: what is known must not wait for what is being computed.
        known = self._results.get(key)
        if known is not None:
            return known  # type: ignore[no-any-return]
        with self._lock:
            if key not in self._results:
                found = compute(self.subject, *arguments)
                self._results[key] = found
                while len(self._results) > KEPT:
                    self._results.popitem(last=False)
            return self._results[key]  # type: ignore[no-any-return]
