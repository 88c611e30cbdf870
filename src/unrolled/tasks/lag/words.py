"""What the results say, in plain words."""

from __future__ import annotations

import math

from .options import LagOptions
from .problems import PROBLEMS
from .results import Results
from .training import Outcome

_HALVED = "halved "
GOOD = 0.9
"""The share of right answers from which a lag is said to be bridged."""


def about(options: LagOptions) -> str:
    """How the models were trained, in a line."""
    clip = f"clipped at norm {options.clip:g}" if options.clip else "not clipped"
    parts = [
        f"{options.hidden} units",
        f"Adam {_rates(options)}",
        f"at most {options.updates} updates of {options.batch} sequences",
        f"gradient {clip}",
    ]
    if options.orthogonal:
        parts.append("orthogonal U")
    if options.chrono:
        parts.append("chrono")
    if options.forget_bias is not None:
        parts.append(f"forget bias {options.forget_bias:g}")
    if options.layer_norm:
        parts.append("layer norm")
    return ", ".join([*parts, f"seed {options.seed}"])


def _rates(options: LagOptions) -> str:
    rates = {options.learning_rate(cell) for cell in options.cells}
    return " or ".join(f"{rate:g}" for rate in sorted(rates))


def findings(results: Results, task: str) -> list[str]:
    """A sentence for each cell on a problem."""
    return [
        _finding(cell, outcomes, PROBLEMS[task].chance)
        for cell in results.options.cells
        if (outcomes := results.line(task, cell))
    ]


def _finding(cell: str, outcomes: list[Outcome], chance: float) -> str:
    good = [o.lag for o in outcomes if o.success >= GOOD]
    bad = [o.lag for o in outcomes if o.success < chance + 0.1 * (1 - chance)]
    between = [o for o in outcomes if o.lag not in good and o.lag not in bad]
    parts = []
    if good:
        parts.append(f"bridges {_steps(good)}")
    if between:
        shares = " and ".join(f"{o.success:.0%} at {o.lag}" for o in between)
        parts.append(f"is part of the way ({shares})")
    if bad:
        parts.append(f"does no better than chance at {_steps(bad)}")
    last = outcomes[-1]
    before, after = _decay(last.before), _decay(last.after)
    if before.startswith(_HALVED):
        after = after.removeprefix(_HALVED)
    memory = f"at lag {last.lag} its influence {before} before training and {after} after it"
    return f"{cell} {', '.join(parts)}; {memory}."


def _steps(lags: list[int]) -> str:
    words = [str(lag) for lag in lags]
    *most, last = words
    return f"{', '.join(most)} and {last} steps" if most else f"{last} steps"


def _decay(half_life: float) -> str:
    if math.isnan(half_life):
        return "was nil"
    if math.isinf(half_life):
        return "did not decay"
    return f"{_HALVED}every {steps(half_life)}"


def steps(half_life: float) -> str:
    """A half-life with its unit."""
    return f"{number(half_life)} step{'s' * (number(half_life) != '1')}"


def number(half_life: float) -> str:
    """A half-life as a table shows it."""
    if math.isnan(half_life):
        return "–"
    if math.isinf(half_life):
        return "∞"
    return f"{half_life:.2g}" if half_life < 10 else f"{half_life:,.0f}"
