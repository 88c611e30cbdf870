"""Times: read, put on a grid, continued and written."""

from __future__ import annotations

from datetime import date, datetime

import numpy as np
import pytest

from unrolled.errors import UserError
from unrolled.tasks.forecast.times import DAY, Frequency, read_time


def ticks(*texts: str) -> np.ndarray:
    return np.array([read_time(text, "f:1", "ds")[0] for text in texts], np.int64)


def test_times_in_every_form_are_the_same_moment() -> None:
    same = [
        "2024-02-29",
        "2024-02-29 00:00:00",
        "2024-02-29T00:00",
        "2024-02-29T01:00:00+01:00",
        date(2024, 2, 29),
        datetime(2024, 2, 29),
        np.datetime64("2024-02-29"),
    ]
    assert {read_time(one, "f:1", "ds") for one in same} == {(ticks("2024-02-29")[0], True)}
    assert read_time("1949-01", "f:1", "ds") == (ticks("1949-01-01")[0], True)
    assert read_time("2.5", "f:1", "t") == (2_500_000, False)


@pytest.mark.parametrize("cell", ["31.12.2024", "", None, True, "1e400"])
def test_what_is_no_time_is_refused_with_its_place(cell: object) -> None:
    with pytest.raises(UserError, match=r"a\.csv:7: column ds: expected a time"):
        read_time(cell, "a.csv:7", "ds")


@pytest.mark.parametrize(
    ("times", "found", "after"),
    [
        (["2024-01-01 00:00", "2024-01-01 00:15", "2024-01-01 00:30"], "15 minutes",
         "2024-01-01 00:45:00"),
        (["2024-02-27", "2024-02-28", "2024-02-29"], "1 day", "2024-03-01"),
        (["2024-03-07", "2024-03-08", "2024-03-11"], "business days", "2024-03-12"),
        (["2023-11-30", "2023-12-31", "2024-01-31"], "1 month", "2024-02-29"),
        (["2023-10-01", "2024-01-01", "2024-04-01"], "3 months", "2024-07-01"),
        (["2020-01-01", "2021-01-01", "2022-01-01"], "1 year", "2023-01-01"),
        (["3", "5", "7"], "2", 9),
    ],
)  # fmt: skip
def test_the_grid_is_found_and_continued(times: list[str], found: str, after: str | int) -> None:
    own = ticks(*times)
    grid = Frequency.found_in([own], dated=not times[0].isdecimal())
    assert str(grid) == found
    assert grid.positions(own, int(own[0])).tolist() == [0, 1, 2]
    assert grid.text(int(grid.ticks(int(own[0]), 3))) == after


def test_a_time_beside_the_grid_has_no_position() -> None:
    grid = Frequency("fixed", DAY, True)
    own = ticks("2024-01-01", "2024-01-02 01:00")
    assert (grid.positions(own, int(own[0])) < 0).tolist() == [False, True]


def test_stretches_of_time_are_steps() -> None:
    hour, month = Frequency.parse("1h", dated=True), Frequency.parse("month", dated=True)
    assert [hour.steps_of(one, "--history") for one in (24, "14d", "90m", "2w")] == [
        24,
        336,
        2,
        336,
    ]
    assert [month.steps_of(one, "--history") for one in ("2y", "6mo")] == [24, 6]
    for wrong in ("14 foos", "0", "1.5", "10s"):
        with pytest.raises(UserError, match="--history"):
            hour.steps_of(wrong, "--history")


def test_the_calendar_has_what_changes_from_step_to_step() -> None:
    day = Frequency("fixed", DAY, True)
    assert [name.partition(" of ")[2] for name in day.calendar_names()[::2]] == [
        "day of week",
        "day of year",
    ]
    own = ticks("2024-01-01", "2024-01-08", "2024-07-01")
    found = day.calendar(own)
    assert np.allclose(found[0, :2], found[1, :2])  # both are Mondays
    assert found[2, 3] < -0.99  # July is half a year away
    assert Frequency("months", 12, True).calendar_names() == ()
