"""What a look at series before training finds."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from unrolled.tasks.forecast.inspection import inspect_data
from unrolled.tasks.forecast.options import DataOptions, ForecastOptions

from .conftest import wave, write_table


def test_gaps_constants_doubles_and_random_walks_are_told(tmp_path: Path) -> None:
    rows = 200
    days = [str(np.datetime64("2024-01-01") + n) for n in range(rows)]
    walk = np.cumsum(np.random.default_rng(0).standard_normal(rows)).tolist()
    kept = [n for n in range(rows) if n not in (50, 51)]
    series = {"walk": walk, "again": walk, "flat": [3.0] * rows}
    columns = {
        "unique_id": [name for name in series for _ in kept],
        "ds": [days[n] for _ in series for n in kept],
        "y": [values[n] for values in series.values() for n in kept],
    }
    file = write_table(tmp_path / "a.csv", columns)
    options = ForecastOptions(data=DataOptions(data=(str(file),), horizon=1))
    found = inspect_data(options)
    assert found.facts["series"] == 3
    assert found.facts["a row every"] == "1 day"
    text = " | ".join(found.warnings)
    assert f"6 rows missing, the first at {file}:52: training refuses them" in text
    assert "1 series is constant: flat" in text
    assert "1 series is the same as another: again (as walk)" in text
    assert "the last value is as good as a linear map" in text


def test_a_wave_is_nothing_to_warn_of(tmp_path: Path) -> None:
    file = write_table(tmp_path / "a.csv", {"t": range(300), "y": wave(300).tolist()})
    options = ForecastOptions(data=DataOptions(data=(str(file),), horizon=4, season=24))
    found = inspect_data(options)
    assert not found.warnings
    assert found.facts["rows to test on"] == 45
