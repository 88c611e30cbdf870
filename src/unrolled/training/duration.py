"""Durations as people write them: ``90s``, ``2m``, ``1h30m``."""

from __future__ import annotations

import re

from unrolled.errors import UserError
from unrolled.ranges import Range, shown

_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
_RANGE = Range(0, 36500 * 86400, open_below=True)
_PATTERN = re.compile(
    r"(?:(\d+(?:\.\d+)?)d)?(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?"
)


def parse_duration(value: str | float, name: str = "duration") -> float:
    """Seconds of a duration.

    Args:
        value: A number of seconds, or text such as ``90``, ``90s``, ``2m``, ``1h30m``, ``1.5h``.
        name: What to call the value in an error.

    Returns:
        Seconds, greater than zero.

    Raises:
        UserError: The text is not a duration, or not a positive and finite one.
    """
    if isinstance(value, str):
        match = _PATTERN.fullmatch(value.strip().lower())
        if match is None or not any(match.groups()):
            raise UserError(
                f"{name}: expected a duration such as 90s, 2m or 1h30m, got {shown(value)}"
            )
        seconds = sum(
            float(number) * unit
            for number, unit in zip(match.groups(), _UNITS.values(), strict=True)
            if number
        )
    else:
        seconds = value
    if seconds not in _RANGE:
        raise UserError(f"{name}: expected a duration above 0, at most 36500d, got {shown(value)}")
    return seconds


def format_duration(seconds: float) -> str:
    """Seconds in words: ``3.2 s``, ``2 min 05 s``, ``1 h 30 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"
