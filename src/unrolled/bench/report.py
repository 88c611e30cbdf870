"""Results of a benchmark: times, and the ratios and shares computed from them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from unrolled.bench.cases import SHAPES, Case


@dataclass(frozen=True)
class Result:
    """One case.

    Attributes:
        case: What was measured.
        times: Seconds per call, one for each round, by library; ours is ``"ours"``.
        absent: Why a library has no times.
        rate: Operations per second of torch's own matrix product with the case's dtype and threads.
        disturbance: Share of the processors' time that others took meanwhile; None if unknown.
        failure: Why the case has no times at all.
    """

    case: Case
    times: Mapping[str, list[float]] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)
    rate: float = math.nan
    disturbance: float | None = None
    failure: str = ""

    def median(self, library: str) -> float:
        """Median seconds per call; NaN if there are none."""
        return statistics.median(self.times.get(library) or [math.nan])

    def ratio(self, library: str) -> float:
        """Median time of a library over the median of ours; NaN if unknown."""
        return self.median(library) / self.median("ours")

    @property
    def best(self) -> str | None:
        """The fastest library beside ours; None if there is none."""
        return min((name for name in self.times if name != "ours"), key=self.median, default=None)

    @property
    def ratio_to_best(self) -> float:
        """The ratio to the fastest library beside ours; NaN if there is none."""
        return math.nan if self.best is None else self.ratio(self.best)

    @property
    def spread(self) -> float:
        """Half the distance between the quartiles of the rounds' ratios to the best, as a share.

        What two runs of the same thing may differ by; NaN with fewer than two rounds.
        """
        if self.best is None or len(self.times["ours"]) < 2:
            return math.nan
        pairs = zip(self.times[self.best], self.times["ours"], strict=True)
        low, middle, high = statistics.quantiles([a / b for a, b in pairs], n=4)
        return (high - low) / 2 / middle

    @property
    def share(self) -> float:
        """Share of the machine's own matrix-product rate that we reach."""
        return self.case.operations / self.median("ours") / self.rate

    def as_json(self) -> dict[str, Any]:
        """Everything, with numbers that are not known as null."""
        known = {
            "ratio_to_best": self.ratio_to_best,
            "ratio_to_torch": self.ratio("torch"),
            "spread": self.spread,
            "share_of_product_rate": self.share,
            "product_rate": self.rate,
        }
        shape = SHAPES[self.case.shape]
        return {
            **self.case.asdict(),
            "sizes": {"T": shape.T, "N": shape.N, "I": shape.I, "H": shape.H},
            "operations": self.case.operations,
            "best": self.best,
            **{name: _or_none(value) for name, value in known.items()},
            "median_seconds": {name: self.median(name) for name in self.times},
            "seconds": dict(self.times),
            "absent": dict(self.absent),
            "disturbance": self.disturbance,
            "failure": self.failure or None,
        }


@dataclass
class Report:
    """A run of the benchmark.

    Attributes:
        machine: Processor, instruction sets, system, versions.
        peers: Version of each library asked for; None: not installed.
        results: The cases in the order of measuring.
        elapsed: Seconds of the whole run.
    """

    machine: dict[str, str]
    peers: dict[str, str | None]
    results: list[Result] = field(default_factory=list)
    elapsed: float = 0.0

    def below(self, bar: float) -> list[Result]:
        """Cases whose ratio to the best library is below a bar, or that have none."""
        return [result for result in self.results if not result.ratio_to_best >= bar]

    def as_json(self) -> dict[str, Any]:
        """Everything."""
        return {
            "machine": self.machine,
            "peers": self.peers,
            "results": [result.as_json() for result in self.results],
            "elapsed_seconds": self.elapsed,
        }


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
