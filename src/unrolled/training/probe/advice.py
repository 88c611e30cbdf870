"""What the numbers of a training run say is wrong, in plain words, once each."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from statistics import median

from unrolled.lens.decay import Decay
from unrolled.training.probe.look import Look

ROWS = 5
"""Rows of the log over which a gradient's norm is judged."""
GROWN = 10.0
"""How many times its lowest level a norm may become."""
NEARLY_ALL = 0.95
"""Share of the updates clipped that counts as nearly all."""
LOOKS = 3
"""Looks in a row that must agree before memory is called short."""
SHORT = 4.0
"""How many times the memory's reach the truncation window may be."""


class Advisor:
    """Takes in the rows of a run's log and its looks through time, and says what is wrong.

    What it says depends on nothing else, so a run that goes on is told the rest of it, and the
    report all of it.

    Args:
        clip: Largest norm of the gradient; 0 for none.
        window: Steps of the truncation window; None where the gradient is never cut.

    Attributes:
        said: All warnings so far.
    """

    def __init__(self, clip: float, window: int | None) -> None:
        self.clip, self.window = clip, window
        self.said: dict[str, str] = {}
        self._rows: deque[tuple[float, float, float]] = deque(maxlen=ROWS)
        self._lowest: tuple[float, float] | None = None
        self._short: list[int] = []  # the reach of each look, while memory is short

    def row(self, row: Mapping[str, float]) -> list[str]:
        """One more row of the log; returned are warnings that are new."""
        if "grad_norm" not in row:
            return []
        self._rows.append((row["step"], row["grad_norm"], row.get("clipped", 0.0)))
        if len(self._rows) < ROWS:
            return []
        return [*self._growing(), *self._clipped()]

    def look(self, look: Look) -> list[str]:
        """One more look; returned are warnings that are new."""
        window = self.window
        if window is None:
            return []
        reach = max((layer.reach for layer in look.layers.values()), default=window)
        # A loss that reaches no state at all has no memory to be short.
        measured = all(layer.decay.lags for layer in look.layers.values())
        self._short = [*self._short, reach] if measured and reach * SHORT <= window else []
        if len(self._short) < LOOKS:
            return []
        *before, now = self._short[-LOOKS:]
        if now > 1.1 * max(before):
            return []  # it is still getting longer
        farthest = max(look.layers.values(), key=lambda layer: layer.reach)
        return self._say(
            "memory",
            f"step {look.step}: memory is shorter than the truncation window uses: 99 % of the "
            f"loss's influence falls on the last {reach} of {window} steps"
            f"{_lags(farthest.decay)}, the rest costs time and so far teaches next to nothing; try "
            "a shorter --seq-len, or, if the task needs a longer memory, a gated cell (--cell gru "
            "or lstm) or orthogonal, forget-bias or chrono initialisation",
        )

    def _growing(self) -> list[str]:
        step = self._rows[-1][0]
        level = median(norm for _, norm, _ in self._rows)
        if self._lowest is None or level < self._lowest[1]:
            self._lowest = step, level
        since, lowest = self._lowest
        if not level >= GROWN * lowest > 0:
            return []
        cure = "a lower --lr" if self.clip else "a lower --lr, or --clip 1 (now there is none)"
        return self._say(
            "growing",
            f"step {step:.0f}: the gradient's norm has grown {level / lowest:.0f}-fold since step "
            f"{since:.0f}, from {lowest:.2g} to {level:.2g}; try {cure}",
        )

    def _clipped(self) -> list[str]:
        share = sum(clipped for _, _, clipped in self._rows) / len(self._rows)
        if share < NEARLY_ALL:
            return []
        level = median(norm for _, norm, _ in self._rows)
        return self._say(
            "clipped",
            f"step {self._rows[-1][0]:.0f}: {share:.0%} of the updates since step "
            f"{self._rows[0][0]:.0f} were clipped, their norm is {level:.2g} and --clip is "
            f"{self.clip:g}: it rather sets the step's size than catches outliers; try a higher "
            f"--clip (around {2 * level:.3g}), or a lower --lr",
        )

    def _say(self, kind: str, words: str) -> list[str]:
        if kind in self.said:
            return []
        self.said[kind] = words
        return [words]


def _lags(decay: Decay) -> str:
    """The lags at which little is left, in brackets; nothing where none is reached."""
    reached = {"a half": decay.half, "a hundredth": decay.hundredth}
    told = " and ".join(
        f"{share} at lag {lag}" for share, lag in reached.items() if lag is not None
    )
    return f" (there is left {told})" if told else ""
