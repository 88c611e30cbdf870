"""The report of a run: one HTML file that needs nothing else and fetches nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from unrolled.files import open_regular
from unrolled.training.duration import format_duration
from unrolled.training.probe.look import Look
from unrolled.training.probe.look_log import read_looks
from unrolled.training.report.charts import Line, line_chart
from unrolled.training.report.lens import gradient_charts, lens_charts, warnings
from unrolled.training.run_folder.folder import RunFolder
from unrolled.training.run_folder.logs import read_log
from unrolled.training.task import Evaluation, Metric, Opened

SAMPLES = 6
"""Samples shown, evenly spread over the training."""
LONGEST_SAMPLE = 1 << 16
"""Bytes of a sample that are shown."""

_STYLE = (Path(__file__).parent / "report.css").read_text(encoding="utf-8")


def write_report(
    folder: RunFolder,
    options: Mapping[str, Any],
    opened: Opened,
    *,
    evaluation: Evaluation | None = None,
    parameters: int | None = None,
) -> None:
    """Write ``report.html`` from a run's log, looks, samples and final evaluation.

    Args:
        folder: The run.
        options: Its options, sections of names and values.
        opened: The run as its task opened it: units and names of what was measured.
        evaluation: The final evaluation, if there has been one.
        parameters: Number of the model's parameters.

    Raises:
        OSError: The file cannot be written.
        UserError: A file that it is written from is no regular file, or the run is not this
            process's own any more.
    """
    rows, looks = read_log(folder.log), read_looks(folder.lens)
    best = _best(rows, opened)
    name = folder.path.resolve().name
    body = [
        f"<header><h1>{escape(name)}</h1>{_headline(options)}</header>",
        _figures(rows, best, opened, evaluation, parameters),
        _notes(evaluation),
        warnings(rows, looks, options, opened.batches.window),
        *(_section(*section) for section in (evaluation.sections if evaluation else ())),
        _charts(rows, looks, best, opened, options),
        _samples(folder.samples),
        _settings(options),
    ]
    # A name or a sample may hold what is not a character by itself; the page stays valid UTF-8.
    folder.write(folder.report, page(name, "".join(body)).encode("utf-8", "replace"))


def _best(rows: list[dict[str, float]], opened: Opened) -> tuple[float, float] | None:
    """Step and value of the best validation by the first metric."""
    if not opened.metrics:
        return None
    metric = opened.metrics[0]
    found = _column(rows, f"val_{metric.name}")
    pick = min if metric.better == "lower" else max
    return pick(found, key=lambda point: point[1], default=None)


def _column(rows: list[dict[str, float]], name: str) -> list[tuple[float, float]]:
    return [(row["step"], row[name]) for row in rows if name in row]


def page(title: str, body: str, *, style: str = "") -> str:
    """A page in the reports' style.

    Args:
        title: What the browser calls it.
        body: HTML of its main part.
        style: Rules of its own, after those of all reports.
    """
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)} · unrolled</title>\n<style>\n{_STYLE}{style}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _headline(options: Mapping[str, Any]) -> str:
    model = options.get("model", {})
    cell = str(model.get("cell", "")).upper()
    words = f"{cell}, {model.get('num_layers')} × {model.get('hidden_size')} units"
    return f"<p>{escape(words)}</p>" if cell else ""


def _figures(
    rows: list[dict[str, float]],
    best: tuple[float, float] | None,
    opened: Opened,
    evaluation: Evaluation | None,
    parameters: int | None,
) -> str:
    """The numbers to read first."""
    shown: list[tuple[str, str, str]] = []
    units = {metric.name: metric.unit for metric in opened.metrics}
    if evaluation is not None:
        for name, estimate in evaluation.metrics.items():
            between = (
                "" if estimate.low is None else f", 95 %: {estimate.low:.3f} to {estimate.high:.3f}"
            )
            shown.append(
                (
                    f"{estimate.value:.4f}",
                    units.get(name) or _words(name),
                    f"{evaluation.part}{between}",
                )
            )
    elif best is not None:
        metric = opened.metrics[0]
        name = metric.unit or _words(metric.name)
        shown.append((f"{best[1]:.4f}", name, "validation so far"))
    if rows:
        last = rows[-1]
        shown.append(
            (format_duration(last.get("seconds", 0.0)), "training", f"{last['step']:,.0f} updates")
        )
        speeds = sorted(r["per_second"] for r in rows if "per_second" in r)
        if speeds:
            median = speeds[len(speeds) // 2]
            shown.append((f"{median:,.0f}", f"{opened.item}s per second", "median, trained"))
    if parameters is not None:
        shown.append((f"{parameters:,}", "parameters", ""))
    cards = "".join(
        f"<div><strong>{escape(value)}</strong><span>{escape(name)}</span>"
        f"<small>{escape(note)}</small></div>"
        for value, name, note in shown
    )
    return f'<section class="figures">{cards}</section>'


def _words(name: str) -> str:
    return name.replace("_", " ")


def _notes(evaluation: Evaluation | None) -> str:
    """What the numbers mean, in sentences."""
    notes = evaluation.notes if evaluation is not None else ()
    return "".join(f"<p>{escape(note)}</p>" for note in notes)


def _section(title: str, body: str, caption: str = "") -> str:
    return (
        f"<section><h2>{escape(title)}</h2><figure>{body}"
        + (f"<figcaption>{escape(caption)}</figcaption>" if caption else "")
        + "</figure></section>"
    )


def _charts(
    rows: list[dict[str, float]],
    looks: list[Look],
    best: tuple[float, float] | None,
    opened: Opened,
    options: Mapping[str, Any],
) -> str:
    seconds = rows[-1].get("seconds", 0.0) if rows else 0.0
    window, speed = opened.batches.window, _column(rows, "per_second")
    charts = [
        *_measured(rows, best, opened),
        *gradient_charts(rows, options),
        *lens_charts(looks, seconds, window),
        (
            "Learning rate",
            "",
            line_chart([Line("learning rate", _column(rows, "lr"), "a")], unit="rate", zero=True),
        ),
        (
            "Throughput",
            "",
            line_chart([Line("trained", speed, "a")], unit=f"{opened.item}s per second", zero=True),
        ),
    ]
    return "".join(_section(title, chart, caption) for title, caption, chart in charts)


def _measured(
    rows: list[dict[str, float]], best: tuple[float, float] | None, opened: Opened
) -> list[tuple[str, str, str]]:
    """The loss, then every metric of the validations that is not the same as the loss."""
    objective = opened.objective
    names = [metric.name for metric in opened.metrics]
    first = names[0] if names else None

    def chart(metric: Metric, lines: list[Line], title: str) -> tuple[str, str, str]:
        marked = best if metric.name == first else None
        caption = "The upright line marks the weights that are kept." if marked else ""
        per = metric.unit.removeprefix("nats per ")
        return (
            title,
            caption,
            line_chart(
                lines,
                unit=metric.unit or _words(metric.name),
                right=(1 / math.log(2), f"bits per {per}") if per != metric.unit else None,
                best=marked[0] if marked else None,
            ),
        )

    def validations(metric: Metric, style: str) -> Line:
        points = _column(rows, f"val_{metric.name}")
        return Line("validation", points, style, dots=len(points) <= 60)

    loss = [Line("training", _column(rows, f"train_{objective.name}"), "a")]
    if objective.name in names and _column(rows, f"val_{objective.name}"):
        loss.append(validations(objective, "b"))
    others = [
        chart(metric, [validations(metric, "b")], _words(metric.name).capitalize())
        for metric in opened.metrics
        if metric.name != objective.name and _column(rows, f"val_{metric.name}")
    ]
    return [chart(objective, loss, "Loss"), *others]


def _samples(folder: Path) -> str:
    """Samples along the way, the first and the last among them."""
    found = sorted(folder.glob("*.txt")) if folder.is_dir() else []
    files = [file for file in found if file.stem.isdecimal() and file.is_file()]
    if not files:
        return ""
    if len(files) > SAMPLES:
        picks = [round(i * (len(files) - 1) / (SAMPLES - 1)) for i in range(SAMPLES)]
        files = [files[i] for i in picks]
    parts = [
        f"<article><h3>after {int(file.stem):,} updates</h3>"
        f"<pre>{escape(_beginning(file).strip())}</pre></article>"
        for file in files
    ]
    return f"<section><h2>Samples along the way</h2>{''.join(parts)}</section>"


def _beginning(file: Path) -> str:
    with open_regular(file) as text:
        return text.read(LONGEST_SAMPLE).decode("utf-8", "replace")


def _settings(options: Mapping[str, Any]) -> str:
    parts = []
    for section, values in options.items():
        if not isinstance(values, Mapping):
            continue
        lines = "".join(
            f"<tr><th>{escape(str(name)).replace('_', ' ')}</th><td>{_value(value)}</td></tr>"
            for name, value in values.items()
            if value is not None and value != ()
        )
        parts.append(f"<table><caption>{escape(str(section))}</caption>{lines}</table>")
    return f'<section><h2>Settings</h2><div class="tables">{"".join(parts)}</div></section>'


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple | list):
        return "<br>".join(escape(str(one)) for one in value)
    return escape(str(value))
