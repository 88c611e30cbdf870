"""How much memory an analysis may take: "2GB" in words that people use, and back."""

from __future__ import annotations

import re

_UNITS = {
    **{f"{letter}b": 1000**power for power, letter in enumerate(["", "k", "m", "g", "t"])},
    **{f"{letter}ib": 1024**power for power, letter in enumerate("kmgt", start=1)},
}


def parse_memory(value: int | float | str, verb: str) -> int:
    """Bytes of a bound such as ``"2GB"``, ``"500 MiB"`` or a number of bytes.

    Args:
        value: the bound. kB, MB, GB and TB are powers of 1000, KiB, MiB, GiB and TiB of 1024.
        verb: who asks, for errors.

    Raises:
        TypeError: if value is no number and no text.
        ValueError: if value is no size, or not positive.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError(
            f'{verb}: memory must be a size such as "2GB" or a number of bytes, '
            f"got {type(value).__name__}"
        )
    matched = re.fullmatch(r"(\d+\.?\d*|\.\d+)\s*([kmgt]?i?b)?", str(value).strip().lower())
    unit = _UNITS.get(matched[2] or "b") if matched else None
    if matched is None or unit is None or not float(matched[1]) * unit >= 1:
        raise ValueError(f'{verb}: memory must be a size such as "2GB" or "500MB", got {value!r}')
    return int(float(matched[1]) * unit)


def format_memory(count: float) -> str:
    """A number of bytes in words: ``"1.6 GB"``, three digits at most."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB" if count < 999.5 else f"{count:.0f} TB"
