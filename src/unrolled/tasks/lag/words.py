"""The results in plain words."""

from __future__ import annotations

import math

from .options import LagOptions
from .problems import problem
from .results import Results
from .training import Outcome

GOOD = 0.9
"""The share of right answers from which a lag is said to be bridged."""


def about(options: LagOptions) -> str:
    """How the models were trained, in a line."""
    clip = f"clipped at norm {options.clip:g}" if options.clip else "not clipped"
    course = "" if options.schedule == "constant" else f" ({options.schedule})"
    parts = [
        f"{options.hidden} units",
        f"Adam {_rates(options)}{course}",
        f"at most {options.updates} updates of {options.batch} sequences",
        f"gradient {clip}",
    ]
    if options.ramp:
        parts.append(f"the lag ramped up over {options.ramp:.0%} of them")
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
        _finding(cell, outcomes, problem(task, results.options).chance)
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
    before, after = share(last.left_before), share(last.left_after)
    memory = (
        f"at lag {last.lag}, {before} of its influence arrives before training and {after} after it"
    )
    return f"{cell} {', '.join(parts)}; {memory}."


def _steps(lags: list[int]) -> str:
    words = [str(lag) for lag in lags]
    *most, last = words
    return f"{', '.join(most)} and {last} steps" if most else f"{last} steps"


def share(left: float) -> str:
    """What is left of an influence, as a share; "nothing" where there is none."""
    if math.isnan(left) or left == 0:
        return "nothing"
    if math.isinf(left):
        return "∞ times"
    if not 1e-8 <= left < 1e4:
        return f"10^{math.floor(math.log10(left))}{' times' if left > 1 else ''}"
    if left >= 100:
        return f"{left:,.0f} times"
    percent = 100 * left
    return f"{percent:.2g} %" if percent < 10 else f"{percent:,.0f} %"


def lag_of(half: float) -> str:
    """The lag at which a half is left, as a table shows it."""
    if math.isnan(half):
        return "–"
    return "none" if math.isinf(half) else f"{half:,.0f}"
