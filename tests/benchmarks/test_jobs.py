"""Cells are compared at equal size, and what was measured is neither lost nor shown wrongly."""

import importlib
import json
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def jobs() -> Any:
    return importlib.import_module("jobs")


@pytest.mark.parametrize("wanted", [690, 5_000, 5_001, 123_456])
def test_the_nearest_size_is_found(jobs: Any, wanted: int) -> None:
    def size(units: int) -> int:
        return 3 * units**2 + 12 * units + 1

    best = jobs.matched(size, wanted)
    assert abs(size(best) - wanted) == min(abs(size(n) - wanted) for n in range(1, 400))


def test_sizes_that_differ_too_much_are_refused(jobs: Any) -> None:
    assert jobs.matched(lambda units: 100 * units, 960) == 10
    with pytest.raises(ValueError, match="9 units have 900 parameters, wanted are 950"):
        jobs.matched(lambda units: 100 * units, 950)


def test_every_cell_has_the_size_of_the_gru(jobs: Any, tmp_path: Path) -> None:
    trainer = jobs.Adding(tmp_path, tmp_path)
    wanted = trainer.parameters("gru", jobs.JOBS["adding"].gru)
    for cell in jobs.CELLS:
        units = jobs.matched(lambda n, cell=cell: trainer.parameters(cell, n), wanted)
        assert trainer.parameters(cell, units) == pytest.approx(wanted, rel=jobs.NEAR)


def test_the_table_has_the_best_of_each_column_in_bold(jobs: Any) -> None:
    values = {
        ("vowels", "rnn"): [90.0, 91.0],
        ("vowels", "gru"): [98.0, 98.04],
        ("vowels", "lstm"): [98.01],  # shown alike
        ("adding", "rnn"): [0.2],
        ("adding", "gru"): [1.2e-5],
    }
    runs = [
        jobs.Run(job, cell, seed, 8, 100, value, 1.0)
        for (job, cell), found in values.items()
        for seed, value in enumerate(found)
    ]
    assert jobs.table(runs).splitlines() == [
        "| cell | vowels, accuracy % | adding 200, squared error |",
        "|---|---|---|",
        "| rnn | 90.5 | 0.2 |",
        "| gru | **98.0** | **1.2e-05** |",
        "| lstm | **98.0** | – |",
    ]


def test_finished_runs_come_back(jobs: Any, tmp_path: Path) -> None:
    path = tmp_path / "new" / "jobs.json"
    assert jobs.load(path) == []
    runs = [jobs.Run("adding", "gru", seed, 8, 100, 0.5, 1.5) for seed in range(2)]
    jobs.save(runs, path)
    assert len(json.loads(path.read_text())) == 2
    assert jobs.load(path) == runs


def test_only_missing_runs_are_trained(
    jobs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = []

    class Trainer:
        def __init__(self, data: Path, place: Path) -> None:
            pass

        def parameters(self, cell: str, units: int) -> int:
            return (2 if cell == "lstm" else 1) * units

        def train(self, cell: str, units: int, seed: int) -> float:
            trained.append((cell, units, seed))
            return 0.25

    monkeypatch.setitem(jobs.JOBS, "adding", jobs.JOBS["adding"]._replace(prepare=Trainer, gru=40))
    given = ["jobs.py", str(tmp_path), "--jobs", "adding", "--out", str(tmp_path / "jobs.json")]
    monkeypatch.setattr("sys.argv", [*given, "--cells", "gru"])
    jobs.main()
    assert trained == [("gru", 40, 0), ("gru", 40, 1), ("gru", 40, 2)]
    trained.clear()
    monkeypatch.setattr("sys.argv", [*given, "--cells", "gru", "lstm"])
    jobs.main()
    assert trained == [("lstm", 20, 0), ("lstm", 20, 1), ("lstm", 20, 2)]
    assert "| lstm | **0.25** |" in capsys.readouterr().out
