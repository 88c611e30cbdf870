"""The forecaster of data frames."""

from __future__ import annotations

import inspect
import pickle
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import unrolled
from unrolled.errors import UserError
from unrolled.options import OPTIONS

from .conftest import hours, wave

SMALL: dict[str, Any] = {
    "h": 4,
    "history": 24,
    "hidden_size": 8,
    "input_size": 8,
    "max_epochs": 1,
    "threads": 1,
    "device": "cpu",
}


def frame(rows: int = 150, **more: Any) -> pa.Table:
    """Two series in long form."""
    times = np.array([time.replace(" ", "T") for time in hours(rows)], "M8[us]")
    return pa.table(
        {
            "unique_id": ["a"] * rows + ["b"] * rows,
            "ds": np.concatenate([times, times]),
            "y": np.concatenate([wave(rows), 5 + wave(rows, seed=1)]),
            **more,
        }
    )


def test_every_option_of_layers_is_an_argument() -> None:
    """Those of layers have one declaration; what is none is refused by name."""
    assert set(OPTIONS) <= inspect.signature(unrolled.Forecaster).parameters.keys()
    with pytest.raises(TypeError, match="Forecaster: unknown argument 'zoneot'"):
        unrolled.Forecaster(zoneot=0.1)


def test_forecasts_have_the_columns_of_the_ecosystem() -> None:
    forecaster = unrolled.Forecaster(level=[80, 90], **SMALL).fit(frame())
    found = forecaster.predict()
    names = ["unique_id", "ds", "unrolled"]
    names += [f"unrolled-{end}-{level}" for level in (80, 90) for end in ("lo", "hi")]
    assert found.column_names == names
    assert found.num_rows == 2 * 4
    assert str(found["ds"][0]) == "2024-01-07 06:00:00"
    again = pickle.loads(pickle.dumps(forecaster)).predict(frame())
    assert again.to_pylist() == found.to_pylist()
    assert clone(forecaster).get_params()["level"] == [80, 90]


def test_cross_validation_forecasts_the_last_windows_from_before() -> None:
    table = frame()
    found = unrolled.Forecaster(alias="gru", **SMALL).cross_validation(table, n_windows=3)
    assert found.column_names[:5] == ["unique_id", "ds", "cutoff", "y", "gru"]
    assert found.num_rows == 2 * 3 * 4
    first = found.to_pylist()[0]
    rows = {(row["unique_id"], row["ds"]): row["y"] for row in table.to_pylist()}
    assert all(row["y"] == rows[row["unique_id"], row["ds"]] for row in found.to_pylist())
    assert str(first["cutoff"]) == "2024-01-06 17:00:00"
    assert str(first["ds"]) == "2024-01-06 18:00:00"


def test_known_columns_of_the_future_are_a_frame_of_their_own() -> None:
    price = wave(2 * 154, seed=7).reshape(2, 154)
    table = frame(price=price[:, :150].ravel())
    forecaster = unrolled.Forecaster(known=["price"], **SMALL).fit(table)
    times = np.array([time.replace(" ", "T") for time in hours(154)[150:]], "M8[us]")
    future = pa.table(
        {
            "unique_id": ["a"] * 4 + ["b"] * 4,
            "ds": np.concatenate([times, times]),
            "price": price[:, 150:].ravel(),
        }
    )
    found = forecaster.predict(X_df=future)
    other = forecaster.predict(X_df=future.set_column(2, "price", pa.array(np.full(8, 3.0))))
    assert found["unrolled"].to_pylist() != other["unrolled"].to_pylist()
    with pytest.raises(UserError, match="needs 4 rows after its last value with price"):
        forecaster.predict()
    with pytest.raises(UserError, match="expected a row for each step after the last value"):
        forecaster.predict(X_df=future.slice(1, 3))


def test_it_must_be_trained_first() -> None:
    with pytest.raises(NotFittedError):
        unrolled.Forecaster().predict()
