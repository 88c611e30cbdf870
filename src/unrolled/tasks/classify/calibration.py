"""What the validation items teach about a finished model's probabilities; kept with the run."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unrolled.errors import UserError
from unrolled.files import read_json
from unrolled.tasks import statistics
from unrolled.training.run_folder.folder import RunFolder

from .scoring import Scoring

Array = npt.NDArray[np.float64]

NAME = "calibration.json"
WEIGHTS = (0.5, 0.4, 0.6, 0.3, 0.7, 0.2, 0.8, 0.1, 0.9)
"""Weights of the network that are tried; of equally good ones the first is taken."""
_KEPT = 1000
"""Points of the risk–coverage curve that are kept."""


@dataclass(frozen=True)
class Calibration:
    """Temperatures and the curve of risk and coverage.

    Attributes:
        items: Validation items that it was fitted on.
        temperature: By which the network's logits are divided.
        baseline: The same of the cheap method.
        weight: Share of the network in the mean of both methods' log-probabilities.
        combined: Temperature of this mean.
        curve: Threshold, coverage and risk of the method in use, thresholds from high to low.
    """

    items: int = 0
    temperature: float = 1.0
    baseline: float = 1.0
    weight: float = 0.5
    combined: float = 1.0
    curve: tuple[tuple[float, float, float], ...] = ()

    def network(self, logits: Array) -> Array:
        """Calibrated logits of the network."""
        return logits / self.temperature

    def cheap(self, logits: Array) -> Array:
        """Calibrated logits of the cheap method."""
        return logits / self.baseline

    def both(self, network: Array, cheap: Array, *, several: bool) -> Array:
        """Calibrated logits of both methods together, of the logits of each."""
        parts = self.network(network), self.cheap(cheap)
        return mixed(*parts, weight=self.weight, several=several) / self.combined

    def threshold(self, risk: float) -> float:
        """Lowest confidence above which at most this share of the answers was wrong.

        Raises:
            UserError: There is no such threshold.
        """
        kept = [threshold for threshold, _, found in self.curve if found <= risk]
        if kept:
            return kept[-1]
        if not self.curve:
            raise UserError("--risk: the run has no validation data; --threshold needs none")
        least = min(found for _, _, found in self.curve)
        raise UserError(
            f"--risk {risk:g}: no threshold kept it in validation; the lowest risk was {least:.3g}"
        )

    def save(self, folder: RunFolder) -> None:
        """Write it to a run.

        Raises:
            OSError: It cannot be written, or the disk is full.
        """
        text = json.dumps(asdict(self), indent=1)
        folder.write(folder.path / NAME, (text + "\n").encode())

    @classmethod
    def load(cls, folder: RunFolder) -> Calibration:
        """Read it from a run; nothing fitted if the run has none.

        Raises:
            UserError: The file is corrupt.
        """
        path: Path = folder.path / NAME
        if not path.exists():
            return cls()
        record: Any = read_json(path)
        try:
            curve = tuple((float(t), float(c), float(r)) for t, c, r in record["curve"])
            numbers = {
                name: float(record[name]) for name in ("temperature", "baseline", "combined")
            }
            if not all(math.isfinite(n) and n > 0 for n in numbers.values()):
                raise ValueError("expected temperatures above 0")
            if not all(0 <= number <= 1 for point in curve for number in point):
                raise ValueError("expected thresholds, coverages and risks from 0 to 1")
            if not 0 <= (weight := float(record["weight"])) <= 1:
                raise ValueError("expected a weight from 0 to 1")
            return cls(int(record["items"]), **numbers, weight=weight, curve=curve)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise UserError(f"{path}: corrupt: {error}") from error


def mixed(one: Array, other: Array, *, weight: float, several: bool) -> Array:
    """Weighted mean of two methods' log-probabilities; with several labels of their logits."""
    if several:
        return weight * one + (1 - weight) * other
    parts = [np.log(np.maximum(statistics.probabilities(part), 1e-12)) for part in (one, other)]
    return weight * parts[0] + (1 - weight) * parts[1]


def fit_calibration(
    scoring: Scoring,
    targets: npt.NDArray[Any],
    network: Array,
    cheap: Array | None,
    *,
    combine: bool,
) -> Calibration:
    """Fit temperatures and the curve of the method in use to validation items.

    Args:
        scoring: The metrics.
        targets: Labels of the items.
        network: The network's logits ``[n, K]``.
        cheap: The cheap method's.
        combine: Whether both are used together.
    """
    temperature = statistics.fit_temperature(network, targets)
    fitted = Calibration(len(targets), temperature)
    if cheap is not None:
        fitted = _with_cheap(fitted, scoring, targets, network, cheap)
    if combine and cheap is not None:
        used = fitted.both(network, cheap, several=scoring.several)
    else:
        used = fitted.network(network)
    points = statistics.risk_coverage(scoring.confidence(used), scoring.right(used, targets))
    curve = [tuple(map(float, point)) for point in zip(*points, strict=True)]
    if len(curve) > _KEPT:
        curve = [curve[round(i * (len(curve) - 1) / (_KEPT - 1))] for i in range(_KEPT)]
    return replace(fitted, curve=tuple((t, c, r) for t, c, r in curve))


def _with_cheap(
    fitted: Calibration,
    scoring: Scoring,
    targets: npt.NDArray[Any],
    network: Array,
    cheap: Array,
) -> Calibration:
    """The cheap method's temperature; and of both together the weight that fits best."""
    several = scoring.several
    fitted = replace(fitted, baseline=statistics.fit_temperature(cheap, targets))
    parts = fitted.network(network), fitted.cheap(cheap)
    best: tuple[float, Calibration] | None = None
    for weight in WEIGHTS:
        both = mixed(*parts, weight=weight, several=several)
        temperature = statistics.fit_temperature(both, targets)
        loss = float(statistics.nats(both / temperature, targets).mean())
        if best is None or loss < best[0]:
            best = loss, replace(fitted, weight=weight, combined=temperature)
    assert best is not None
    return best[1]
