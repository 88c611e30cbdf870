"""From series to scaled values."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from .cut import Cut
from .items import Values
from .options import DataOptions


class SeriesEncoder:
    """Scaled values of series.

    Args:
        mean: Of each channel, ``[C]``.
        deviation: Of each channel, ``[C]``, above 0.
        cut: Longest sequence.

    Attributes:
        channels: C.
    """

    def __init__(
        self, mean: npt.NDArray[np.float64], deviation: npt.NDArray[np.float64], cut: Cut
    ) -> None:
        self.mean, self.deviation, self.cut = mean, deviation, cut
        self.channels = len(mean)

    @classmethod
    def fit(cls, series: Iterable[Values], channels: int, options: DataOptions) -> SeriesEncoder:
        """Scales of some series, read once."""
        mean, deviation = np.zeros(channels), np.ones(channels)
        if options.scale != "none":
            mean, deviation = _moments(series, channels, together=options.scale == "together")
        return cls(mean, deviation, Cut(options.max_length, options.keep))

    def encode(self, series: Values) -> npt.NDArray[np.float32]:
        """Scaled values of a series ``[T, C]``, at most the longest sequence.

        Raises:
            ValueError: It has another number of channels.
        """
        if series.ndim != 2 or series.shape[1] != self.channels:
            raise ValueError(f"expected [T, {self.channels}], got {list(series.shape)}")
        scaled = (self.cut(series) - self.mean) / self.deviation
        return scaled.astype(np.float32)

    def record(self) -> dict[str, Any]:
        """Everything as JSON has it."""
        return {
            "mean": self.mean.tolist(),
            "deviation": self.deviation.tolist(),
            "max_length": self.cut.max_length,
            "keep": self.cut.keep,
        }

    @classmethod
    def from_record(cls, record: Any) -> SeriesEncoder:
        """Read back from JSON.

        Raises:
            LookupError: A value is missing.
            TypeError: A value is of another type.
            ValueError: A value cannot be.
        """
        mean = np.array(record["mean"], np.float64)
        deviation = np.array(record["deviation"], np.float64)
        fine = mean.ndim == 1 and mean.shape == deviation.shape and len(mean)
        if not fine or not (np.isfinite(mean).all() and np.isfinite(deviation).all()):
            raise ValueError("expected a finite mean and deviation for each channel")
        if not (deviation > 0).all():
            raise ValueError("expected deviations above 0")
        return cls(mean, deviation, Cut.from_record(record))


def _moments(
    series: Iterable[Values], channels: int, *, together: bool
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Mean and deviation of each channel over all steps; 1 for a channel that never changes."""
    count, mean, squares = 0, np.zeros(channels), np.zeros(channels)
    for values in series:
        # Means and squares about them are merged item by item: no sum grows so large that
        # differences drown in it.
        steps = len(values)
        own = values.mean(0, dtype=np.float64)
        change = own - mean
        total = count + steps
        mean += change * steps / total
        squares += np.square(values - own).sum(0) + np.square(change) * count * steps / total
        count = total
    if together and count:
        overall = mean.mean()
        squares[:] = (squares + count * np.square(mean - overall)).mean()
        mean[:] = overall
    deviation = np.sqrt(squares / max(count, 1))
    # What is left of a constant by rounding is no deviation.
    deviation[deviation <= 1e-7 * np.abs(mean)] = 1.0
    deviation[~(deviation > 0)] = 1.0
    return mean, deviation
