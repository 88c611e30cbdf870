"""A trained forecaster predicts, evaluates and streams."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from unrolled.errors import UserError
from unrolled.tasks.forecast.options import EvaluateOptions, StreamOptions
from unrolled.tasks.forecast.predictor import ForecastPredictor

from .conftest import hours, trained, wave, write_table


def test_a_row_for_each_series_and_step(predictor: ForecastPredictor, waves: Path) -> None:
    rows = list(predictor.predict_files([waves]))
    assert [row["unique_id"] for row in rows] == ["a"] * 6 + ["b"] * 6
    assert rows[0]["ds"] == "2024-01-13 12:00:00"
    assert list(rows[0])[2:] == [
        "unrolled",
        "unrolled-lo-50",
        "unrolled-hi-50",
        "unrolled-lo-80",
        "unrolled-hi-80",
    ]
    for row in rows:
        band = [row[f"unrolled-{end}"] for end in ("lo-80", "lo-50", "hi-50", "hi-80")]
        assert band == sorted(band)


def test_predictions_after_pickling_and_of_the_own_data_are_the_same(
    predictor: ForecastPredictor, waves: Path
) -> None:
    expected = list(predictor.predict_files([waves]))
    assert list(pickle.loads(pickle.dumps(predictor)).predict_files([waves])) == expected
    assert list(predictor.predict()) == expected


def test_a_series_that_training_did_not_see_is_forecast(predictor: ForecastPredictor) -> None:
    times = np.array([time.replace(" ", "T") for time in hours(60)], "M8[us]")
    frame = pa.table({"unique_id": ["new"] * 60, "ds": times, "y": 500 + 50 * wave(60)})
    found = [row["unrolled"] for row in predictor.predict(frame)]
    assert 400 < min(found) < max(found) < 600


def test_evaluation_from_moments_after_training_or_the_last_ones(
    predictor: ForecastPredictor, waves: Path
) -> None:
    found = predictor.evaluate([waves])
    test = 2 * 300 * 0.15 - 40 * 0.15
    assert found.details["windows"] == pytest.approx(test - 2 * 5, abs=2)
    last = predictor.evaluate([waves], EvaluateOptions(windows=3))
    assert last.details["windows"] == 6
    assert set(last.details["methods"]) == {
        "network",
        "last value",
        "seasonal naive",
        "linear map",
    }
    assert found.metrics["mae"].low is not None
    assert found.metrics["mae"].value < 0.5 * found.details["methods"]["last value"]["mae"]


def split(waves: Path, place: Path, cuts: tuple[int, ...]) -> list[Path]:
    """The file of waves in pieces by rows of its time."""
    head, *lines = waves.read_text().splitlines()
    marks = [hours(300)[cut] for cut in cuts]
    files = []
    for number, (first, end) in enumerate(zip(["", *marks], [*marks, "9"], strict=True)):
        own = [line for line in lines if first <= line.split(",")[1] < end]
        files.append(place / f"piece{number}.csv")
        files[-1].write_text("\n".join([head, *own]) + "\n")
    return files


@pytest.mark.parametrize("adaptive", [False, True])
def test_a_stream_in_pieces_gives_the_numbers_of_a_look_at_everything(
    predictor: ForecastPredictor, waves: Path, tmp_path: Path, adaptive: bool
) -> None:
    def options(name: str) -> StreamOptions:
        return StreamOptions(state=str(tmp_path / name), adaptive=adaptive)

    rows: list[dict[str, Any]] = []
    for piece in split(waves, tmp_path, (100, 262, 280, 299)):
        rows = list(predictor.stream_files([piece], options("pieces")))
    whole = list(predictor.stream_files([waves], options("whole")))
    assert rows == whole
    plain = list(predictor.predict_files([waves]))
    assert (rows == plain) is not adaptive
    assert [row["unrolled"] for row in rows] == [row["unrolled"] for row in plain]


def test_a_stream_needs_constant_memory(
    predictor: ForecastPredictor, waves: Path, tmp_path: Path
) -> None:
    sizes = []
    for piece in split(waves, tmp_path, (100, 200)):
        state = tmp_path / "state"
        list(predictor.stream_files([piece], StreamOptions(state=str(state))))
        sizes.append(state.stat().st_size)
    assert sizes[0] == pytest.approx(sizes[-1], abs=64)


def test_a_stream_refuses_what_it_has_taken_and_the_state_of_another_run(
    predictor: ForecastPredictor, waves: Path, tmp_path: Path
) -> None:
    options = StreamOptions(state=str(tmp_path / "state"))
    list(predictor.stream_files([waves], options))
    before = (tmp_path / "state").read_bytes()
    with pytest.raises(UserError, match=r"waves\.csv:2: expected rows that are newer"):
        list(predictor.stream_files([waves], options))
    assert (tmp_path / "state").read_bytes() == before
    other = ForecastPredictor(*trained(tmp_path, waves, 1))
    with pytest.raises(UserError, match="expected a state of this run"):
        list(other.stream_files([waves], options))


def test_known_columns_of_the_future_are_asked_for(tmp_path: Path) -> None:
    times, price = hours(206), wave(206, seed=5)
    values = [*(wave(200) + price[:200]).tolist(), *[None] * 6]
    columns = {"ds": times, "y": values, "price": price.tolist()}
    file = write_table(tmp_path / "a.csv", columns)
    predictor = ForecastPredictor(*trained(tmp_path, file, data={"known": "price"}))
    assert len(list(predictor.predict_files([file]))) == 6
    short = write_table(tmp_path / "b.csv", {name: cells[:203] for name, cells in columns.items()})
    with pytest.raises(UserError, match=r"needs 6 rows after its last value with price.*got 3"):
        list(predictor.predict_files([short]))
