"""Options of the benchmark, and one clear line for every mistake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from unrolled import cli
from unrolled.bench import Options, OptionsError
from unrolled.bench.options import available_processors


def test_names_may_be_joined_by_commas() -> None:
    options = Options(shapes=("medium,large", "step"), cells=("gru",), threads=("1",))
    assert options.shapes == ("medium", "large", "step")
    cases = options.cases(1)
    assert len(cases) == 3 * 2 * 2
    assert len(set(cases)) == len(cases)


def test_all_threads_are_the_processors_we_may_use() -> None:
    count = len(available_processors())
    assert Options(threads=("all", str(count), "1")).thread_counts() == list(
        dict.fromkeys([count, 1])
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"shapes": ("medium", "huge")}, "--shapes: expected some of step, .*, got 'huge'"),
        ({"cells": ()}, "--cells: expected some of rnn, gru, lstm, got none"),
        ({"modes": ("train",)}, "--modes: expected some of inference, training, got 'train'"),
        ({"dtypes": ("f32",)}, "--dtypes: expected some of float32, bfloat16, got 'f32'"),
        ({"peers": ("tf",)}, "--peers: expected some of torch, .*, got 'tf'"),
        ({"threads": ("0",)}, "--threads: expected all or a number from 1 to .*, got '0'"),
        ({"threads": ("99999",)}, "--threads: expected all or a number from 1 to .*, got '99999'"),
        ({"threads": ()}, "--threads: expected at least one number, got none"),
        ({"rounds": 0}, "--rounds: expected a whole number from 1 to .*, got 0"),
        ({"seconds": float("nan")}, "--seconds: expected a number from 0 to .*, got nan"),
        ({"seconds": -1.0}, "--seconds: expected a number from 0 to .*, got -1"),
    ],
)
def test_mistakes(given: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionsError, match=message):
        Options(**given)


def test_the_command_line_says_it_in_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.run(["bench", "--shapes", "medium,huge"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("unrolled: --shapes: expected some of step")
    assert said.err.count("\n") == 1
    assert not list(tmp_path.iterdir())
