"""A run from files to forecasts, as the command line and Python make it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

import unrolled
from unrolled.cli.entry import run as cli
from unrolled.training.run_folder.checkpoint import read_tensors

from .conftest import write_waves

SETTINGS: dict[str, Any] = {
    "horizon": "6h",
    "history": "1d",
    "hidden_size": 8,
    "input_size": 8,
    "threads": 1,
    "device": "cpu",
    "quiet": True,
}


def test_a_run_from_files_to_forecasts(tmp_path: Path, capsys: Any) -> None:
    file, out = write_waves(tmp_path / "waves.csv"), tmp_path / "run"
    unrolled.train("forecast", file, out=out, max_epochs=2, lens_every=4, **SETTINGS)
    summary = json.loads((out / "summary.json").read_text())
    assert summary["metrics"]["test_mae"]["value"] < 1
    assert "Measured on the test part, which nothing was chosen by." in summary["notes"]
    assert summary["part"] == "test"
    report = (out / "report.html").read_text()
    for title in ("How good it is", "Bands", "Error by step", "Forecasts", "By series"):
        assert f"<h2>{title}</h2>" in report
    assert report.count('aria-label="forecast"') == 3
    assert "test, 95 %" in report
    assert "validation, 95 %" not in report
    table = tmp_path / "forecasts.csv"
    assert cli(["predict", str(out), str(file), "--format", "csv", "--out", str(table)]) == 0
    lines = table.read_text().splitlines()
    assert lines[0] == "unique_id,ds,unrolled,unrolled-lo-80,unrolled-hi-80"
    assert len(lines) == 1 + 2 * 6
    assert cli(["evaluate", str(out), "--data", str(file), "--windows", "2"]) == 0
    state = tmp_path / "state.safetensors"
    assert cli(["stream", str(out), str(file), "--state", str(state), "--name", "gru"]) == 0
    assert state.exists()
    printed = capsys.readouterr().out
    assert "windows: 4\n" in printed
    assert json.loads(printed.splitlines()[-1])["gru"] == float(lines[-1].split(",")[2])


def test_a_run_that_was_stopped_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    file = write_waves(tmp_path / "waves.csv", 200)
    options = {**SETTINGS, "schedule": "constant", "dropout": 0.2, "lens_every": 0}
    unrolled.train("forecast", file, out=tmp_path / "whole", max_steps=9, **options)
    unrolled.train("forecast", file, out=tmp_path / "parts", max_steps=4, **options)
    unrolled.resume(tmp_path / "parts", max_steps=9, quiet=True)
    whole, parts = (
        read_tensors(tmp_path / name / "checkpoint.safetensors")[0] for name in ("whole", "parts")
    )
    own = [name for name in whole if name.startswith("model.")]
    assert own
    assert all(torch.equal(whole[name], parts[name]) for name in own)


def test_the_help_page_loads_neither_torch_nor_numpy() -> None:
    code = (
        "import sys, unrolled.tasks.forecast.task\n"
        "print([name for name in ('torch', 'numpy', 'narwhals') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
