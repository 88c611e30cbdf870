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
from unrolled.training.run_folder.log import read_log

SAMPLES = 6
"""Samples shown, evenly spread over the training."""
LONGEST_SAMPLE = 1 << 16
"""Bytes of a sample that are shown."""

_STYLE = (Path(__file__).parent / "report.css").read_text(encoding="utf-8")


def write_report(
    folder: RunFolder,
    options: Mapping[str, Any],
    *,
    unit: str,
    exact: float | None = None,
    parameters: int | None = None,
) -> None:
    """Write ``report.html`` from a run's log, looks and samples.

    Args:
        folder: The run.
        options: Its options, sections of names and values.
        unit: What a prediction is: ``character``.
        exact: The final validation loss in nats, if it has been computed.
        parameters: Number of the model's parameters.

    Raises:
        OSError: The file cannot be written.
        UserError: A file that it is written from is no regular file, or the run is not this
            process's own any more.
    """
    rows, looks = read_log(folder.log), read_looks(folder.lens)
    validations = [(r["step"], r["val_nats"]) for r in rows if "val_nats" in r]
    best = min(validations, key=lambda point: point[1], default=None)
    name = folder.path.resolve().name
    body = [
        f"<header><h1>{escape(name)}</h1>{_headline(options)}</header>",
        _figures(rows, best, unit, exact, parameters),
        warnings(rows, looks, options),
        _charts(rows, looks, validations, best, unit, options),
        _samples(folder.samples),
        _settings(options),
    ]
    # A name or a sample may hold what is not a character by itself; the page stays valid UTF-8.
    folder.write(folder.report, page(name, "".join(body)).encode("utf-8", "replace"))


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
    unit: str,
    exact: float | None,
    parameters: int | None,
) -> str:
    """The numbers to read first."""
    shown: list[tuple[str, str, str]] = []
    nats = exact if exact is not None else best[1] if best else None
    if nats is not None:
        kind = "validation" if exact is not None else "validation so far"
        shown.append((f"{nats:.4f}", f"nats per {unit}", kind))
        shown.append((f"{nats / math.log(2):.4f}", f"bits per {unit}", kind))
    if rows:
        last = rows[-1]
        shown.append(
            (format_duration(last.get("seconds", 0.0)), "training", f"{last['step']:,.0f} updates")
        )
        speeds = sorted(r["per_second"] for r in rows if "per_second" in r)
        if speeds:
            median = speeds[len(speeds) // 2]
            shown.append((f"{median:,.0f}", f"{unit}s per second", "median, trained"))
    if parameters is not None:
        shown.append((f"{parameters:,}", "parameters", ""))
    cards = "".join(
        f"<div><strong>{escape(value)}</strong><span>{escape(name)}</span>"
        f"<small>{escape(note)}</small></div>"
        for value, name, note in shown
    )
    return f'<section class="figures">{cards}</section>'


def _charts(
    rows: list[dict[str, float]],
    looks: list[Look],
    validations: list[tuple[float, float]],
    best: tuple[float, float] | None,
    unit: str,
    options: Mapping[str, Any],
) -> str:
    def column(name: str) -> list[tuple[float, float]]:
        return [(r["step"], r[name]) for r in rows if name in r]

    charts = [
        (
            "Loss",
            "The upright line marks the weights that are kept." if best else "",
            line_chart(
                [
                    Line("training", column("train_nats"), "a"),
                    Line("validation", validations, "b", dots=len(validations) <= 60),
                ],
                unit=f"nats per {unit}",
                right=(1 / math.log(2), f"bits per {unit}"),
                best=best[0] if best else None,
            ),
        ),
        *gradient_charts(rows, options),
        *lens_charts(looks, rows[-1].get("seconds", 0.0) if rows else 0.0, options),
        (
            "Learning rate",
            "",
            line_chart([Line("learning rate", column("lr"), "a")], unit="rate", zero=True),
        ),
        (
            "Throughput",
            "",
            line_chart(
                [Line("trained", column("per_second"), "a")], unit=f"{unit}s per second", zero=True
            ),
        ),
    ]
    return "".join(
        f"<section><h2>{escape(title)}</h2><figure>{chart}"
        + (f"<figcaption>{escape(caption)}</figcaption>" if caption else "")
        + "</figure></section>"
        for title, caption, chart in charts
    )


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
