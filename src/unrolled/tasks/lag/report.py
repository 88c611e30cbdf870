"""``report.html``: the picture, the numbers, how it was made and what it says."""

from __future__ import annotations

from html import escape
from pathlib import Path

from unrolled.files import read_bytes, write_file
from unrolled.training.duration import format_duration
from unrolled.training.report.report import page

from .options import LagOptions
from .picture import TITLE
from .problems import problem
from .results import Results
from .training import SOLVED, TEST_ROWS, Outcome
from .words import GOOD, about, findings, lag_of, share

_STYLE = """
main { max-width: 1180px; }
figure { background: #fff; }
figure svg text { fill: revert; font-size: revert; }
.wide { overflow-x: auto; }
.wide th[scope="col"] { text-align: right; }
.wide td { white-space: nowrap; padding: 4px 0 4px 18px; }
td small { color: var(--soft); display: block; font-weight: 400; }
td.good { font-weight: 600; }
li { margin: 0 0 4px; }
p, ul { max-width: 75ch; }
"""


def write_report(results: Results, folder: Path) -> None:
    """Write ``report.html`` beside the picture ``lag.svg``, which it contains."""
    svg = read_bytes(folder / "lag.svg").decode()
    svg = svg[svg.index("<svg") :]
    body = [
        f"<header><h1>{escape(TITLE)}</h1><p>{escape(about(results.options))}</p></header>",
        f"<section><figure>{svg}</figure></section>",
        _says(results),
        *(_table(results, task) for task in results.options.tasks),
        _made(results),
    ]
    write_file(folder / "report.html", page("lag", "".join(body), style=_STYLE).encode())


def _says(results: Results) -> str:
    parts = []
    for task in results.options.tasks:
        sentences = "".join(f"<li>{escape(words)}</li>" for words in findings(results, task))
        parts.append(f"<h3>{escape(problem(task, results.options).title)}</h3><ul>{sentences}</ul>")
    return f"<section><h2>What it says</h2>{''.join(parts)}</section>"


def _table(results: Results, task: str) -> str:
    options = results.options
    asked = problem(task, options)
    head = "".join(f'<th scope="col">lag {lag}</th>' for lag in options.lags)
    rows = "".join(
        f'<tr><th scope="row">{escape(cell)}</th>'
        + "".join(_entry(results.get(task, cell, int(lag))) for lag in options.lags)
        + "</tr>"
        for cell in options.cells
    )
    return (
        f"<section><h2>{escape(asked.title)}</h2><p>{escape(asked.words)} "
        f"Right are {escape(asked.right)}; by chance {asked.chance:.1%}.</p>"
        f'<div class="wide"><table><tr><td></td>{head}</tr>{rows}</table></div></section>'
    )


def _entry(outcome: Outcome | None) -> str:
    if outcome is None:
        return "<td>–</td>"
    good = ' class="good"' if outcome.success >= GOOD else ""
    return (
        f"<td{good}>{outcome.success:.1%}<small>left {share(outcome.left_before)} → "
        f"{share(outcome.left_after)}</small><small>half at lag {lag_of(outcome.half_before)} → "
        f"{lag_of(outcome.half_after)}</small><small>loss {outcome.loss:.2g}, "
        f"{outcome.updates:,} updates, {format_duration(outcome.seconds)}{_ended(outcome)}</small>"
        "</td>"
    )


def _ended(outcome: Outcome) -> str:
    return {"solved": "", "updates": "", "stopped": ", stopped", "diverged": ", diverged"}[
        outcome.ended
    ]


def _made(results: Results) -> str:
    options = results.options
    spent = sum(outcome.seconds for outcome in results.outcomes)
    return (
        "<section><h2>How it was made</h2>"
        f"<p>One recurrent layer of {options.hidden} units and a linear read-out, trained anew for "
        f"every problem and lag. No sequence is seen twice. A model stops {_solved(options)}after "
        f"{options.updates:,} updates, whatever the lag; its success and its mean loss are "
        f"measured on {TEST_ROWS:,} sequences more.</p>"
        "<p>The influence of step k on the loss of an answer at step t is the norm of the exact "
        "gradient of that loss by the layer's states after step k. Its mean over answers, against "
        "t − k, is computed before the first update and after the last. In the picture and the "
        "tables stands the share of the influence at lag 0 that is left at the largest lag, at the "
        "first steps; the tables have the first lag at which a half or less of it is left, too. "
        "Nothing is fitted. A dashed line marks a hundredth: what is below has vanished.</p>"
        f"<p>{format_duration(spent)} of processor time went into training; the last run took "
        f"{format_duration(results.seconds)} on the clock.</p></section>"
    )


def _solved(options: LagOptions) -> str:
    if options.stop_loss is None:
        return f"when {SOLVED:.0%} of its answers are right, or "
    return f"at a mean loss of {options.stop_loss:g}, or " if options.stop_loss else ""
