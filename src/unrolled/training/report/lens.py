"""The lens' part of a run's report: warnings, gradient norm and clipping, memory, saturation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from unrolled.training.probe.advice import Advisor
from unrolled.training.probe.look import LayerLook, Look
from unrolled.training.report.charts import Line, line_chart

MOMENTS = 5
"""Looks whose influence against lag is drawn, evenly spread over the training."""
LEAST = 1e-8
"""Influence relative to lag 0 below which nothing is drawn."""
STYLES = "abdefc"
"""Classes of lines in the style sheet that can be told apart."""

Chart = tuple[str, str, str]
"""Title, caption and chart."""


def warnings(
    rows: Sequence[Mapping[str, float]],
    looks: Sequence[Look],
    options: Mapping[str, Any],
    window: int | None,
) -> str:
    """What was wrong, as a section; empty if nothing was."""
    advisor = Advisor(options.get("training", {}).get("clip", 0.0), window)
    for row in rows:
        advisor.row(row)
    for look in looks:
        advisor.look(look)
    items = "".join(f"<li>{escape(words)}</li>" for words in advisor.said.values())
    return f'<section class="warnings"><h2>Warnings</h2><ul>{items}</ul></section>' if items else ""


def gradient_charts(rows: Sequence[Mapping[str, float]], options: Mapping[str, Any]) -> list[Chart]:
    """The gradient's norm before clipping, and how often it was clipped."""
    clip = options.get("training", {}).get("clip", 0.0)
    clipped = [(r["step"], 100 * r["clipped"]) for r in rows if "clipped" in r]
    share = sum(y for _, y in clipped) / len(clipped) if clipped else 0.0
    largest = [(r["step"], r["grad_norm_max"]) for r in rows if "grad_norm_max" in r]
    mean = [(r["step"], r["grad_norm"]) for r in rows if "grad_norm" in r]
    norm = [Line("largest", largest, "c", faint=True), Line("mean", mean, "a")]
    if clip and clipped:
        norm.append(Line(f"clipped above {clip:g}", _level(clipped, clip), "n"))
    charts = [
        (
            "Gradient norm before clipping",
            f"{share:.1f}% of the updates were clipped.",
            line_chart(norm, unit="norm", log=True),
        )
    ]
    if share:
        line = Line("clipped", clipped, "b")
        charts.append(("Updates clipped", "", line_chart([line], unit="% of updates", zero=True)))
    return charts


def lens_charts(looks: Sequence[Look], seconds: float, window: int | None) -> list[Chart]:
    """Memory, influence against lag and gate saturation; nothing if there was no look.

    Args:
        looks: All looks of the run.
        seconds: Training time.
        window: Steps after which the gradient is cut; None where it never is.
    """
    if not looks:
        return []
    layers: dict[str, list[tuple[int, LayerLook]]] = {}
    for look in looks:
        for name, layer in look.layers.items():
            layers.setdefault(name, []).append((look.step, layer))
    charts = [_memory(layers, looks, seconds, window)]
    for name, seen in layers.items():
        charts.append(_influence(name, seen))
    for name, seen in layers.items():
        charts.extend(_saturation(name, seen))
    return charts


def _memory(
    layers: Mapping[str, list[tuple[int, LayerLook]]],
    looks: Sequence[Look],
    seconds: float,
    window: int | None,
) -> Chart:
    lines = []
    for style, (name, seen) in _styled(layers):
        half = [(step, float(layer.decay.half or math.nan)) for step, layer in seen]
        lines.append(Line(f"{name}: down to a half", half, style, dots=len(half) <= 40))
        reach = [(step, float(layer.reach)) for step, layer in seen]
        lines.append(Line(f"{name}: 99 % within", reach, style, faint=True))
    if window:
        steps = [(look.step, 0.0) for look in looks]
        lines.append(Line("truncation window", _level(steps, window), "n"))
    took = sum(look.seconds for look in looks)
    share = f", {took / seconds:.1%} of the training time" if seconds else ""
    caption = (
        "Lag at which a half or less of a state's influence on the loss is left (a gap where more "
        f"is left at every lag), and steps within which 99 % of it lies. {len(looks)} "
        f"look{'s' * (len(looks) != 1)} took {took:.1f} s{share}."
    )
    return "Memory", caption, line_chart(lines, unit="steps", log=True)


def _influence(name: str, seen: list[tuple[int, LayerLook]]) -> Chart:
    picks = _spread(len(seen))
    lines = []
    for place, pick in enumerate(picks):
        step, layer = seen[pick]
        now = layer.influence[0] if layer.influence else 0.0
        points = [
            (float(lag), norm / now)
            for lag, norm in enumerate(layer.influence)
            if now > 0 and norm >= LEAST * now
        ]
        shade = MOMENTS - len(picks) + place  # the last is always the strongest
        lines.append(Line(f"update {step:,}", points, f"m{shade}", dots=len(points) < 2))
    return (
        f"Influence against lag: {name}",
        "Norm of the loss's gradient with respect to the layer's output so many steps before, "
        f"relative to lag 0; below {LEAST:g} not drawn.",
        line_chart(lines, unit="relative influence", x_unit="lag in steps", log=True),
    )


def _saturation(name: str, seen: list[tuple[int, LayerLook]]) -> list[Chart]:
    gates = list(seen[-1][1].saturation)
    lines = [
        Line(
            gate,
            [
                (step, 100 * sum(layer.saturation[gate]))
                for step, layer in seen
                if gate in layer.saturation
            ],
            style,
        )
        for style, gate in _styled(gates)
    ]
    if not lines:
        return []
    caption = (
        "Share of units and steps at which a gate is below 0.05 or above 0.95, a tanh beyond "
        "±0.97: hardly any gradient passes there."
    )
    chart = line_chart(lines, unit="% of units and steps", zero=True)
    return [(f"Saturation: {name}", caption, chart)]


def _spread(count: int) -> list[int]:
    """The places of some looks, evenly spread, the first and the last among them."""
    if count <= MOMENTS:
        return list(range(count))
    return [round(i * (count - 1) / (MOMENTS - 1)) for i in range(MOMENTS)]


def _styled(things: Any) -> list[tuple[str, Any]]:
    listed = list(things.items() if isinstance(things, Mapping) else things)
    return [(STYLES[k % len(STYLES)], one) for k, one in enumerate(listed)]


def _level(points: Sequence[tuple[float, float]], y: float) -> list[tuple[float, float]]:
    """A level line across the points."""
    return [(points[0][0], y), (points[-1][0], y)]
