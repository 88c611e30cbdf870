"""Series from files and frames, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from unrolled.errors import UserError
from unrolled.tasks.forecast.options import DataOptions
from unrolled.tasks.forecast.reading import read_files, read_frame

from .conftest import hours, write_table, write_waves

DAYS = ["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04"]


def test_long_files_hold_many_series_with_ragged_ends(tmp_path: Path) -> None:
    found = read_files([write_waves(tmp_path / "w.csv", 60)], DataOptions())
    series = found.series("refuse")
    assert [(one.name, len(one.values)) for one in series] == [("a", 60), ("b", 20)]
    assert str(found.frequency) == "1 hour"
    assert series[1].start > series[0].start


def test_wide_files_are_a_series_each_or_channels_together(tmp_path: Path) -> None:
    columns: dict[str, list[Any]] = {"date": DAYS, "p": [1, 2, 3, 4], "q": [None, 6, 7, 8]}
    file = write_table(tmp_path / "wide.csv", columns)
    apart = read_files([file], DataOptions(targets="p,q")).series("refuse")
    assert [(one.name, one.values[:, 0].tolist()) for one in apart] == [
        ("p", [1, 2, 3, 4]),
        ("q", [6, 7, 8]),
    ]
    together = read_files([file], DataOptions(targets="p,q", multivariate=True)).series("zero")
    assert together[0].values.tolist() == [[1, 0], [2, 6], [3, 7], [4, 8]]


def test_columns_known_in_the_future_may_go_on_after_the_last_value(tmp_path: Path) -> None:
    columns: dict[str, list[Any]] = {
        "ds": DAYS,
        "y": [1, 2, None, None],
        "price": [5, 6, 7, 8],
        "size": [3] * 4,
    }
    file = write_table(tmp_path / "a.csv", columns)
    one = read_files([file], DataOptions(known="price", static="size")).series("refuse")[0]
    assert one.values.tolist() == [[1], [2]]
    assert one.known.tolist() == [[5], [6], [7], [8]]
    assert (one.future, one.static.tolist()) == (2, [3])


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"ds": DAYS, "y": [1, None, 3, 4]}, r":3: column y: expected a number, got nothing"),
        ({"ds": DAYS, "y": [1, "x", 3, 4]}, r":3: column y: expected a finite number, got x"),
        ({"ds": [*DAYS[:2], "2024-01-06", "2024-01-07"], "y": [1, 2, 3, 4]},
         r":4: 3 rows are missing before this one, with a row every 1 day; --fill previous"),
        ({"ds": [*DAYS[:3], "2024-01-03 12:00"], "y": [1, 2, 3, 4]}, r":5: irregular time"),
        ({"ds": [*DAYS[:3], DAYS[2]], "y": [1, 2, 3, 4]}, r":5: the same time as .*:4"),
        ({"ds": [*DAYS[:3], "soon"], "y": [1, 2, 3, 4]}, r":5: column ds: expected a time"),
        ({"ds": [*DAYS[:3], 17], "y": [1, 2, 3, 4]}, r":5: column ds: expected dates or numbers"),
        ({"ds": [], "y": []}, r"expected rows below the names of the columns"),
        ({"ds": DAYS, "u": [1, 2, 3, 4], "v": [1, 2, 3, 4]}, r"found u, v; --target names it"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_refused_with_file_and_row(
    tmp_path: Path, columns: dict[str, list[object]], words: str
) -> None:
    file = write_table(tmp_path / "bad.csv", columns)
    with pytest.raises(UserError, match=words) as caught:
        read_files([file], DataOptions()).series("refuse")
    assert str(caught.value).startswith(str(file))


def test_gaps_are_filled_as_told(tmp_path: Path) -> None:
    columns: dict[str, list[Any]] = {
        "ds": ["2024-01-01", "2024-01-02", "2024-01-05"],
        "y": [1, 2, 8],
    }
    found = read_files([write_table(tmp_path / "a.csv", columns)], DataOptions())
    filled = {how: found.series(how)[0] for how in ("previous", "linear", "zero")}
    assert filled["previous"].values[:, 0].tolist() == [1, 2, 2, 2, 8]
    assert filled["linear"].values[:, 0].tolist() == [1, 2, 4, 6, 8]
    assert filled["zero"].values[:, 0].tolist() == [1, 2, 0, 0, 8]
    assert filled["zero"].filled == 2


def test_rows_count_where_the_gaps_do_not_matter(tmp_path: Path) -> None:
    columns: dict[str, list[Any]] = {
        "ds": ["2024-01-01", "2024-01-02", "2024-01-05"],
        "y": [1, 2, 8],
    }
    file = write_table(tmp_path / "a.csv", columns)
    found = read_files([file], DataOptions(frequency="rows"))
    one = found.series("refuse")[0]
    assert one.values[:, 0].tolist() == [1, 2, 8]
    assert found.frequency.text(one.last, after=2) == "2024-01-05+2"


def test_parquet_and_frames_give_what_csv_gives(tmp_path: Path) -> None:
    from pyarrow import parquet

    times = np.array([time.replace(" ", "T") for time in hours(30)], "M8[us]")
    values = np.arange(30.0)
    table = pa.table({"ds": times, "y": values})
    parquet.write_table(table, tmp_path / "a.parquet")
    file = write_table(tmp_path / "a.csv", {"ds": hours(30), "y": values.tolist()})
    expected = read_files([file], DataOptions()).series("refuse")[0]
    for found in (
        read_files([tmp_path / "a.parquet"], DataOptions()),
        read_frame(table, DataOptions()),
    ):
        one = found.series("refuse")[0]
        assert (one.start, one.values.tolist()) == (expected.start, expected.values.tolist())
    with pytest.raises(UserError, match="expected a data frame, got int"):
        read_frame(3, DataOptions())


def test_words_in_static_columns_are_a_column_each(tmp_path: Path) -> None:
    columns: dict[str, list[Any]] = {
        "unique_id": ["a"] * 3 + ["b"] * 3,
        "ds": DAYS[:3] * 2,
        "y": list(range(6)),
        "region": ["north"] * 3 + ["south"] * 3,
        "size": [1.5] * 6,
    }
    file = write_table(tmp_path / "a.csv", columns)
    found = read_files([file], DataOptions(static="region,size"))
    assert found.columns.words == (("north", "south"), ())
    assert [one.static.tolist() for one in found.series("refuse")] == [[1, 0, 1.5], [0, 1, 1.5]]
    columns["region"][3:] = ["west"] * 3
    other = write_table(tmp_path / "b.csv", columns)
    new = read_files([other], DataOptions(), columns=found.columns, frequency=found.frequency)
    with pytest.raises(UserError, match=r"b\.csv:5: column region: expected one of north, south"):
        new.series("refuse")
    columns["region"][3] = "east"
    with pytest.raises(UserError, match=r"c\.csv:6: a static column changes within the series b"):
        read_files([write_table(tmp_path / "c.csv", columns)], DataOptions(static="region"))
