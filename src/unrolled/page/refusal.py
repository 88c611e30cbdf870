"""What the lens refuses, as the user's error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from unrolled.errors import UserError


@contextmanager
def refusing() -> Iterator[None]:
    """In the block, what does not fit, or diverges, is a `UserError` with the same line."""
    try:
        yield
    except (ValueError, ArithmeticError) as error:
        raise UserError(str(error)) from error
