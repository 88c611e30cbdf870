"""A report as tables in the terminal."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import groupby

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from unrolled.bench.report import Report, Result

DISTURBED = 0.05
"""Share of the processors' time that others may take before it is remarked upon."""

_NAMES = {"onnxruntime": "ORT", "openvino": "OpenVINO", "jax": "JAX"}


def tables(report: Report) -> RenderableType:
    """A table for each number of threads, dtype and mode, and what is to be said about them."""
    parts: list[RenderableType] = []
    results = sorted(report.results, key=_group)  # stable: within a group as measured
    for key, members in groupby(results, key=_group):
        parts.append(_table(key, list(members), report))
    parts.append(Text(footnotes(report)))
    return Group(*parts)


def footnotes(report: Report) -> str:
    """Notes under the table: meaning of the columns, reasons of empty cells, machine, duration."""
    machine = report.machine
    lines = [
        "Milliseconds, medians. best: the fastest peer's time by ours (above 1 we are faster), ±: "
        "half the distance of the rounds' quartiles; torch: the like for torch.nn; share: of the "
        "rate of torch's own 2048³ matrix product.",
    ]
    disturbed = [result for result in report.results if (result.disturbance or 0) > DISTURBED]
    if disturbed:
        worst = max(result.disturbance or 0 for result in disturbed)
        lines.append(
            f"! {len(disturbed)} cases were disturbed: other processes took more than "
            f"{_percent(DISTURBED)} of the processors' time, up to {_percent(worst)}"
        )
    reasons: dict[str, list[str]] = {}
    for result in report.results:
        for peer, reason in result.absent.items():
            if reason != "inference only":
                reasons.setdefault(f"{peer}: {reason}", []).append(str(result.case))
        if result.failure:
            lines.append(f"{result.case}: {result.failure}")
    for reason, cases in reasons.items():
        where = cases[0] + (f" and {len(cases) - 1} more" if len(cases) > 1 else "")
        lines.append(reason if "not installed" in reason else f"{reason} ({where})")
    peers = ", ".join(f"{peer} {version}" for peer, version in report.peers.items() if version)
    lines.append(
        f"{machine['processor']}, {machine['processors']} processors, "
        f"{machine['instruction_sets']}; kernels: {machine.get('kernels', 'none')}; {peers}"
    )
    lines.append(f"{len(report.results)} cases in {report.elapsed / 60:.1f} minutes")
    return "\n".join(lines)


def line(result: Result) -> str:
    """A result in one line."""
    if result.failure:
        return f"{result.case}: {result.failure}"
    text = f"{result.case}: {_milliseconds(result.median('ours'))} ms"
    if result.best is None:
        return f"{text}, no peer"
    if (result.disturbance or 0) > DISTURBED:
        text += f" (others took {_percent(result.disturbance or 0)} of the processors)"
    return (
        f"{text}, {_ratio(result.ratio_to_best)} × as fast as {result.best} "
        f"(± {_percent(result.spread)})"
    )


def _group(result: Result) -> tuple[int, bool, bool]:
    case = result.case
    return case.threads, case.dtype != "float32", case.mode != "inference"


def _table(key: tuple[int, bool, bool], results: list[Result], report: Report) -> Table:
    case = results[0].case
    threads = f"{case.threads} thread{'s' * (case.threads != 1)}"
    known = [result.rate for result in results if math.isfinite(result.rate)]
    rate = f"{max(known) / 1e9:.0f} GFLOP/s" if known else "?"
    table = Table(title=f"{case.mode}, {case.dtype}, {threads} ({rate})", title_justify="left")
    table.add_column("shape")
    table.add_column("cell")
    peers = [peer for peer in report.peers if any(peer in result.times for result in results)]
    for name in ("ours", *(_NAMES.get(peer, peer) for peer in peers), "best", "±"):
        table.add_column(name, justify="right", no_wrap=True)
    with_torch = len(peers) > 1 and "torch" in peers
    for name in (*["÷torch"] * with_torch, "share"):
        table.add_column(name, justify="right", no_wrap=True)
    shape = ""
    for result in results:
        if result.case.shape != shape and shape:
            table.add_section()
        first = result.case.shape if result.case.shape != shape else ""
        shape = result.case.shape
        table.add_row(*_row(result, first, peers, with_torch))
    return table


def _row(
    result: Result, shape: str, peers: Iterable[str], with_torch: bool
) -> list[RenderableType]:
    ratio = result.ratio_to_best
    style = "" if math.isnan(ratio) else "green" if ratio >= 1 else "red"
    row: list[RenderableType] = [shape, result.case.cell, _milliseconds(result.median("ours"))]
    spread = "! " * ((result.disturbance or 0) > DISTURBED) + _percent(result.spread)
    for peer in peers:
        text = _milliseconds(result.median(peer))
        row.append(Text(text, style="bold" if peer == result.best else ""))
    row += [Text(_ratio(ratio), style=style), spread]
    if with_torch:
        row.append(_ratio(result.ratio("torch")))
    return [*row, _percent(result.share)]


def _milliseconds(seconds: float) -> str:
    ms = 1e3 * seconds
    if math.isnan(ms):
        return "–"
    return f"{ms:.0f}" if ms >= 100 else f"{ms:.1f}" if ms >= 10 else f"{ms:.3g}"


def _ratio(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f}"


def _percent(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.0%}" if value >= 0.0095 else f"{value:.1%}"
