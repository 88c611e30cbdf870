"""Axes and colour scales that fit their numbers, with round ticks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .picture import Array, Axis, Colours, Ticks

# A scale shows so many decades at most, counted from the largest value.
COLOURED, DRAWN = 12, 30


def steps(title: str, values: Array, *, down: bool = False) -> Axis:
    """An axis of whole numbers, half a step wider than they are; ``down`` begins at the top."""
    low, high = float(values[0]) - 0.5, float(values[-1]) + 0.5
    ticks = tuple(t for t in _round_ticks(low, high, 6) if t[0] == int(t[0]))
    return Axis(title, high, low, ticks) if down else Axis(title, low, high, ticks)


def linear(title: str, *values: Array, include: Sequence[float] = ()) -> Axis:
    """An axis around all finite values, and around those that it must include."""
    found = np.concatenate([*(np.ravel(v) for v in values), np.asarray(include, dtype=float)])
    found = found[np.isfinite(found)]
    low, high = (float(found.min()), float(found.max())) if found.size else (0.0, 1.0)
    room = 0.05 * (high - low) or 0.5
    return Axis(title, low - room, high + room, _round_ticks(low - room, high + room, 6))


def logarithmic(title: str, *values: Array, include: Sequence[float] = ()) -> Axis:
    """A logarithmic axis around all positive values, of `DRAWN` decades at most."""
    found = np.concatenate([*(np.ravel(v) for v in values), np.asarray(include, dtype=float)])
    low, high, ticks, _ = _decades(found, DRAWN)
    return Axis(title, 10**low, 10**high, tuple((10**at, label) for at, label in ticks), log=True)


def decades(title: str, values: Array) -> Colours:
    """Colours for numbers that are not negative: a scale of `COLOURED` decades at most.

    Exact zeros get a block of their own; what is too small for the scale gets its first colour, and
    the tick says so.
    """
    low, high, ticks, too_small = _decades(values, COLOURED)
    zero = bool((values == 0).any())
    if too_small:
        ticks = ((low, f"≤\u00a0{ticks[0][1]}"), *ticks[1:])
    if np.isinf(values).any():
        ticks = (*ticks[:-1], (high, f"≥\u00a0{ticks[-1][1]}"))
    colours = Colours(title, "decades", low, high, ticks, zero)
    if zero:
        ticks = (((colours.bottom + low) / 2, "0"), *ticks)
    return Colours(title, "decades", low, high, ticks, zero)


def share(title: str) -> Colours:
    """Colours for shares of one, such as gates."""
    return Colours(title, "share", 0.0, 1.0, tuple((i / 4, f"{i / 4:g}") for i in range(5)))


def signed(title: str, values: Array) -> Colours:
    """Colours for numbers of both signs; the middle is 0."""
    finite = values[np.isfinite(values)]
    size = float(np.abs(finite).max()) if finite.size and finite.any() else 1.0
    size = 1.0 if 0.5 < size <= 1 else size
    return Colours(title, "signed", -size, size, _round_ticks(-size, size, 5))


def power(exponent: int) -> str:
    """10 to an exponent, as a tick writes it: ``10^{−3}``, ``1``, ``10``."""
    return {0: "1", 1: "10"}.get(exponent, f"10^{{{number(exponent)}}}")


def number(value: float, digits: int = 4) -> str:
    """Some digits at most, with a minus sign that is one: 0.05, −3, 2·10^{−5}."""
    if not math.isfinite(value):
        return {math.inf: "∞", -math.inf: "−∞"}.get(value, "no number")
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    if value == 0 or -4 <= int(exponent) < 5:
        text = f"{float(f'{mantissa}e{exponent}'):.10g}"
    else:
        text = f"{float(mantissa):g}·10^{{{number(int(exponent))}}}"
    return text.replace("-", "−")


def _decades(values: Array, most: int) -> tuple[float, float, Ticks, bool]:
    """Logarithms of round bounds around the positive values, ticks, and whether some are below."""
    positive = values[(values > 0) & np.isfinite(values)]
    if not positive.size:
        return -1.0, 0.0, ((-1.0, power(-1)), (0.0, power(0))), False
    smallest, largest = math.log10(positive.min()), math.log10(positive.max())
    if largest - smallest < 1.5:  # within a decade or so: 1, 2, 5 are the ticks
        first, last = math.floor(smallest) - 1, math.ceil(largest) + 1
        fine = [(e + math.log10(m), m * 10.0**e) for e in range(first, last) for m in (1, 2, 5)]
        low = max(at for at, _ in fine if at <= smallest + 1e-9)
        high = min(at for at, _ in fine if at >= largest - 1e-9 and at > low)
        return low, high, tuple((at, number(v)) for at, v in fine if low <= at <= high), False
    high = math.ceil(largest - 1e-9)
    low = max(math.floor(smallest + 1e-9), high - most)
    every = -(-(high - low) // 7)
    exponents = sorted({low, *range(high, low + every - 1, -every)})
    return low, high, tuple((float(e), power(e)) for e in exponents), smallest < low


def _round_ticks(low: float, high: float, wanted: int) -> Ticks:
    """Multiples of 1, 2 or 5 times a power of ten, about as many as wanted."""
    rough = (high - low) / wanted
    base = 10.0 ** math.floor(math.log10(rough))
    step = next(base * m for m in (1, 2, 5, 10) if base * m >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return tuple((i * step, number(round(i * step, 12))) for i in range(first, last + 1))
