"""Quality of forecasters on public data sets, beside cheap methods and published figures.

    python benchmarks/forecast.py DATA [--seeds 3] [--first 0] [--only etth1_24] [--threads 1]

DATA is a folder with ``etth1`` (ETTh1.csv), ``classic_univariate`` (daily-min-temperatures.csv,
airline-passengers.csv), ``sp500_daily`` (sp500_2000_2015.csv) and ``camels_us_4`` (forcings, flows
and attributes of four basins), at any depth. Weights, linear map and bands are chosen on the
validation part, and the test part is read once, after training. Printed are the test measure by
seed, its mean, the best cheap method's, the coverage of the 80 % band, minutes and parameters.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from seeds import found_in, measure_all, spread

from unrolled.tasks import TASKS, options_from
from unrolled.training import session

CFS_TO_MM = 28316846.592 * 86400 / 1e6
"""Cubic feet per second to millimetres a day, for a square metre."""


class Case(NamedTuple):
    """One data set.

    Attributes:
        name: Name of the case.
        folder: Where its files are.
        metric: Name of the measure that counts.
        goal: What it should reach.
        reader: Makes the file to train on.
        settings: Options of training.
    """

    name: str
    folder: str
    metric: str
    goal: float
    reader: Callable[[Path, Path], Path]
    settings: dict[str, Any]


def etth1(source: Path, place: Path) -> Path:
    """The first 14,400 hours: training, validation and test part of the usual split."""
    lines = (source / "ETTh1.csv").read_text().splitlines()[: 14400 + 1]
    (place / "etth1.csv").write_text("\n".join(lines) + "\n")
    return place / "etth1.csv"


def temperatures(source: Path, place: Path) -> Path:
    """The file as it is; its two missing days are filled."""
    return source / "daily-min-temperatures.csv"


def airline(source: Path, place: Path) -> Path:
    """The file as it is."""
    return source / "airline-passengers.csv"


def sp500(source: Path, place: Path) -> Path:
    """The file as it is."""
    return source / "sp500_2000_2015.csv"


STATIC = {
    "camels_topo.txt": ("elev_mean", "slope_mean", "area_gages2"),
    "camels_clim.txt": ("p_mean", "pet_mean", "aridity", "frac_snow"),
    "camels_soil.txt": ("soil_porosity", "soil_conductivity"),
    "camels_vege.txt": ("frac_forest", "lai_max"),
}
"""Columns of a basin that do not change, by file."""

FORCINGS = ("prcp", "srad", "swe", "tmax", "tmin", "vp", "dayl")


def camels(source: Path, place: Path) -> Path:
    """A row for each basin and day: flow in millimetres, weather, attributes of the basin."""
    static: dict[str, list[float]] = {}
    for name, columns in STATIC.items():
        with (source / name).open() as file:
            for row in csv.DictReader(file, delimiter=";"):
                basin = row["gauge_id"].zfill(8)
                static.setdefault(basin, []).extend(float(row[column]) for column in columns)
    names = [column for columns in STATIC.values() for column in columns]
    target = place / "camels.csv"
    with target.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["basin", "date", "flow", *FORCINGS, *names])
        for path in sorted(source.glob("*_daymet_forcing.txt")):
            basin = path.name[:8]
            head, days = _forcings(path)
            area = float(head[2].split()[0])
            flows = _flows(source / f"{basin}_streamflow_qc.txt")
            for day, weather in days.items():
                if day in flows:
                    flow = flows[day] * CFS_TO_MM / area
                    cells = [weather[name] for name in FORCINGS]
                    writer.writerow([basin, day, f"{flow:.6f}", *cells, *static[basin]])
    return target


def _forcings(path: Path) -> tuple[list[str], dict[str, dict[str, str]]]:
    lines = path.read_text().splitlines()
    columns = [word.partition("(")[0].lower() for word in lines[3].split()]
    days = {}
    for line in lines[4:]:
        row = dict(zip(columns, line.split(), strict=True))
        days[f"{row['year']}-{int(row['mnth']):02d}-{int(row['day']):02d}"] = row
    return lines[:3], days


def _flows(path: Path) -> dict[str, float]:
    rows = (line.split() for line in path.read_text().splitlines())
    return {f"{y}-{int(m):02d}-{int(d):02d}": float(flow) for _, y, m, d, flow, *_ in rows}


ETTH1: dict[str, Any] = {
    "targets": "HUFL,HULL,MUFL,MULL,LUFL,LULL,OT",
    "history": 336,
    "segment": 24,
    "val": 2880,
    "test": 2880,
    "loss": "squared",
    "hidden_size": 128,
    "dropout": 0.5,
    "weight_decay": 0.1,
    "lr": 5e-4,
    "batch_size": 128,
    "val_every": 200,
    "max_epochs": 4,
}

CASES = (
    Case("etth1_24", "etth1", "test_scaled_mse", 0.290, etth1, {**ETTH1, "horizon": 24}),
    Case("etth1_96", "etth1", "test_scaled_mse", 0.362, etth1, {**ETTH1, "horizon": 96}),
    Case(
        "temperatures",
        "classic_univariate",
        "test_rmse",
        2.20,
        temperatures,
        {
            "fill": "linear",
            "calendar": True,
            "history": 30,
            "horizon": 1,
            "val": 365,
            "test": 365,
            "loss": "squared",
            "scale": "standard",
            "hidden_size": 32,
            "dropout": 0.3,
            "lr": 1e-3,
        },
    ),
    Case(
        "airline",
        "classic_univariate",
        "test_rmse",
        20.7,
        airline,
        {
            "log": True,
            "history": 24,
            "horizon": 12,
            "val": 18,
            "test": 48,
            "loss": "squared",
            "hidden_size": 16,
            "dropout": 0.3,
        },
    ),
    Case(
        "sp500",
        "sp500_daily",
        "test_rmse",
        16.95,
        sp500,
        {
            "target": "close",
            "frequency": "rows",
            "log": True,
            "history": 20,
            "horizon": 1,
            "val": 504,
            "test": 504,
            "loss": "squared",
            "hidden_size": 32,
        },
    ),
    Case(
        "camels",
        "camels_us_4",
        "nse",
        0.70,
        camels,
        {
            "id": "basin",
            "target": "flow",
            "known": ",".join(FORCINGS),
            "static": ",".join(name for names in STATIC.values() for name in names),
            "calendar": True,
            "read_target": False,
            "scale": "standard",
            "log": True,
            "history": 45,
            "horizon": 1,
            "val": 0.08,
            "test": 365,
            "loss": "squared",
            "hidden_size": 64,
            "input_size": 16,
            "dropout": 0.1,
            "lr": 5e-3,
            "max_epochs": 20,
        },
    ),
)


def main() -> None:
    """Train and measure."""
    measure_all(CASES, measure, description=__doc__)


def measure(case: Case, given: argparse.Namespace) -> None:
    """Train one data set with several seeds."""
    task = TASKS["forecast"]
    source = found_in(given.data, case.folder)
    found, cheap, covered, minutes, parameters = [], None, [], [], 0
    for seed in range(given.first, given.first + given.seeds):
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            file = case.reader(source, place)
            settings = {**case.settings, "data": file, "seed": seed, "threads": given.threads}
            options = options_from(task, {**settings, "lens_every": 0, "device": "cpu"})
            summary = session.train(task, options, place / "run", quiet=True)
            assert summary is not None
            minutes.append(summary.training_seconds / 60)
            parameters = summary.parameters
            covered.append(summary.metrics["test_coverage_80"]["value"] or 0.0)
            if case.metric == "nse":
                found.append(efficiency(place / "run", file))
            else:
                value = summary.metrics[case.metric]["value"]
                assert value is not None
                found.append(value)
                cheap = summary.baseline[case.metric]["value"]
            print(f"  {case.name} seed {seed}: {found[-1]:.4f}, {minutes[-1]:.1f} min", flush=True)
            for note in summary.notes if seed == given.first else ():
                print(f"    {note}")
    print(
        f"{case.name}: {case.metric} {spread(found)} "
        f"(goal {case.goal}, cheap method {cheap if cheap is None else round(cheap, 4)}), "
        f"80 % band covers {statistics.mean(covered):.3f}, "
        f"{statistics.mean(minutes):.1f} minutes, {parameters:,} parameters",
        flush=True,
    )


def efficiency(run: Path, file: Path) -> float:
    """Median of the series' Nash–Sutcliffe efficiency on the test part."""
    predictor: Any = session.load(TASKS["forecast"], run)
    series = predictor.evaluate([file]).details["series"]
    print("   ", {name: round(one["nse"], 3) for name, one in series.items()})
    return float(statistics.median(one["nse"] for one in series.values()))


if __name__ == "__main__":
    main()
