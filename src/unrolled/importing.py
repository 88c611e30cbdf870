"""Imports of large libraries, done quicker."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def importing() -> Iterator[None]:
    """Within the block modules are imported, and the garbage collector rests.

    Importing torch makes some hundred thousand objects that stay; the collector would look through
    all of them again and again, for a fifth of the time that the import takes.
    """
    resting = not gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if not resting:
            gc.enable()
