"""Ratios, shares, tables and pictures, from times that are made up."""

from __future__ import annotations

import json
import math
from io import StringIO
from xml.etree import ElementTree

import pytest
from rich.console import Console

from unrolled.bench import Report, Result
from unrolled.bench.cases import Case
from unrolled.bench.picture import picture
from unrolled.bench.table import line, tables

CASE = Case("gru", "step", "inference", "float32", 1)
MACHINE = {"processor": "abacus", "processors": "1", "instruction_sets": "beads"}


def result(ours: list[float], case: Case = CASE, **peers: list[float]) -> Result:
    return Result(case, {"ours": ours, **peers}, rate=1e9)


def report(*results: Result) -> Report:
    return Report(dict(MACHINE), {"torch": "2", "jax": "1", "openvino": None}, list(results), 90.0)


def test_ratios_are_of_medians_and_to_the_fastest_peer() -> None:
    found = result([1.0, 2.0, 90.0], torch=[8.0, 1.0, 9.0], jax=[3.0, 4.0, 2.0])
    assert found.best == "jax"
    assert found.ratio_to_best == 1.5
    assert found.ratio("torch") == 4.0
    assert math.isnan(found.ratio("openvino"))


def test_share_is_operations_by_time_by_rate() -> None:
    assert CASE.operations == 2 * 3 * 128 * (64 + 128)
    assert result([CASE.operations / 5e8]).share == pytest.approx(0.5)


def test_spread_is_of_the_rounds_ratios() -> None:
    """A disturbance that slows a whole round is no spread."""
    assert result([1.0, 2.0, 3.0, 4.0], torch=[2.0, 4.0, 6.0, 8.0]).spread == 0.0
    assert result([1.0] * 4, torch=[1.0, 2.0, 3.0, 4.0]).spread == pytest.approx(0.5)
    assert math.isnan(result([1.0], torch=[1.0]).spread)


def test_without_a_peer_there_is_no_ratio() -> None:
    alone = result([1.0])
    assert alone.best is None
    assert math.isnan(alone.ratio_to_best)
    assert math.isnan(alone.spread)


def test_below_the_bar() -> None:
    """A case that has nothing to be compared with does not pass either."""
    fast, slow = result([1.0], torch=[1.0]), result([1.0], torch=[0.9])
    alone, failed = result([1.0]), Result(CASE, failure="exit status -9")
    assert report(fast, slow, alone, failed).below(0.95) == [slow, alone, failed]
    assert report(fast).below(1.0) == []


def test_json_has_everything_and_no_nan() -> None:
    results = [result([1.0, 1.0], torch=[2.0, 3.0]), result([1.0]), Result(CASE, failure="gone")]
    text = json.dumps(report(*results).as_json(), allow_nan=False)
    first, alone, failed = json.loads(text)["results"]
    assert first["cell"] == "gru"
    assert first["sizes"] == {"T": 1, "N": 1, "I": 64, "H": 128}
    assert first["seconds"] == {"ours": [1.0, 1.0], "torch": [2.0, 3.0]}
    assert (first["best"], first["ratio_to_best"]) == ("torch", 2.5)
    assert alone["ratio_to_best"] is None
    assert failed["failure"] == "gone"
    assert json.loads(text)["machine"]["processor"] == "abacus"
    assert json.loads(text)["elapsed_seconds"] == 90.0


def printed(found: Report) -> str:
    written = StringIO()
    Console(width=100, file=written).print(tables(found))
    return written.getvalue()


def test_the_table_shows_numbers_and_reasons() -> None:
    medium = Case("lstm", "medium", "training", "float32", 1)
    found = report(
        result([0.001], torch=[0.0025], jax=[0.01]),
        Result(medium, {"ours": [1.0]}, {"jax": "its output differs from ours by 1.0e-01"}, 1e9),
        Result(CASE, failure="exit status -9"),
    )
    text = printed(found)
    assert "inference, float32, 1 thread (1 GFLOP/s)" in text
    assert "training, float32, 1 thread" in text
    row = next(line for line in text.splitlines() if "2.50" in line)
    assert [word.strip() for word in row.split("│")[1:-1]] == [
        *("step", "gru", "1", "2.5", "10.0", "2.50", "–", "2.50", "15%"),
    ]
    assert "jax: its output differs from ours by 1.0e-01" in " ".join(text.split())
    assert "gru step inference float32 1 thread: exit status -9" in text
    assert "abacus" in text
    assert "1.5 minutes" in text


def test_a_line_for_each_result() -> None:
    assert line(result([0.001, 0.001], torch=[0.002, 0.002])) == (
        "gru step inference float32 1 thread: 1 ms, 2.00 × as fast as torch (± 0.0%)"
    )
    assert line(result([0.001])).endswith("1 ms, no peer")
    assert line(Result(CASE, failure="gone")).endswith(": gone")


def test_a_disturbed_case_is_marked() -> None:
    times = {"ours": [0.001, 0.001], "torch": [0.002, 0.002]}
    loud, calm = (Result(CASE, times, rate=1e9, disturbance=share) for share in (0.3, 0.01))
    assert "others took 30% of the processors" in line(loud)
    assert "! 0.0%" in printed(report(loud))
    assert "1 cases were disturbed" in printed(report(loud))
    assert "!" not in printed(report(calm))


def test_the_picture_has_a_dot_for_each_ratio() -> None:
    large = Case("lstm", "large", "training", "bfloat16", 4)
    found = report(result([1.0], torch=[2.0]), result([1.0], large, torch=[0.5]), result([1.0]))
    root = ElementTree.fromstring(picture(found))
    titles = [title.text for title in root.iter("{http://www.w3.org/2000/svg}title")]
    assert titles == [
        "gru step inference float32 1 thread: 2.00 × torch",
        "lstm large training bfloat16 4 threads: 0.50 × torch",
    ]
    ElementTree.fromstring(picture(report()))
