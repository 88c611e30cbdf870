"""The examples run, and show what they say."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest
import torch

from unrolled import Recurrent
from unrolled.cells import GRU

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_the_memory_of_an_lstm_is_as_short_as_that_of_a_plain_network_until_it_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(EXAMPLES / "vanishing.py"))
    printed = capsys.readouterr().out
    gone = {  # lags at which a hundredth is left
        match[1].strip(): float(match[2].replace("none", "inf"))
        for match in re.finditer(r"^((?:RNN|GRU|LSTM).*?)(?: +\S+){5} +(\S+)$", printed, re.M)
    }
    assert len(gone) == 6
    assert all(gone[name] < 15 for name in ("RNN", "GRU", "LSTM"))
    assert gone["LSTM"] < gone["LSTM, forget bias 1"] < gone["LSTM, chrono"] == float("inf")
    assert "vanishing: " in printed
    assert (tmp_path / "runs" / "influence.png").stat().st_size > 10_000


def test_a_model_that_cannot_learn_is_told_why(capsys: pytest.CaptureFixture[str]) -> None:
    """In little: what the mended model learns takes longer."""
    runpy.run_path(str(EXAMPLES / "debug_model.py"))["main"](steps=40, updates=2)
    before, mended = capsys.readouterr().out.split("With biases")
    assert "lstm.l0 (LSTM): vanishing: " in before
    assert "chrono=39" in before
    left = [float(x) for x in re.findall(r"gradient (\S+) is left", before + mended)]
    assert left[0] < 1e-6 < 1e-4 < left[2]


def test_the_code_on_the_page_of_the_lens_runs() -> None:
    """As a reader would type it, from top to bottom."""
    page = (EXAMPLES.parent / "docs" / "lens.md").read_text(encoding="utf-8")
    names = {"wanted": torch.zeros(60, 4, dtype=torch.long)}
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(block, names)


def test_oscillators_remember_several_hundred_steps() -> None:
    """One click, and what is left of it: an oscillator swings on where a GRU has forgotten."""
    bank = runpy.run_path(str(EXAMPLES / "oscillators.py"))["Bank"]
    torch.manual_seed(0)
    click = torch.zeros(300, 1, 1)
    click[0] = 1.0
    with torch.no_grad():
        layers = (Recurrent(bank, 1, 192, heads=6), Recurrent(GRU, 1, 192, heads=12))
        left = []
        for layer in layers:
            loud, quiet = layer(click)[0], layer(torch.zeros_like(click))[0]
            left.append(float((loud - quiet)[-1].norm() / (loud - quiet).norm(dim=-1).max()))
    assert left[0] > 0.1 > 1e-6 > left[1]


def test_tasks_in_half_a_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In little: what they would have learned takes longer."""
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(EXAMPLES / "classify.py"))["main"](max_time="2s")
    printed = capsys.readouterr().out
    assert len(re.findall(r"^(?:code|prose) +[01]\.\d\d  \S", printed, re.M)) == 5
    assert (tmp_path / "runs" / "lines" / "report.html").exists()
    runpy.run_path(str(EXAMPLES / "tag.py"))["main"](max_time="2s")
    assert "Radia flies to Vilnius on Friday\n" in capsys.readouterr().out
    runpy.run_path(str(EXAMPLES / "ball.py"))["main"](max_time="2s")
    printed = capsys.readouterr().out
    assert re.search(r"^from 1 position: \S+ cm off, the best cheap method \S+ cm$", printed, re.M)
    assert len(re.findall(r"^ball 0, picture 40\d: ", printed, re.M)) == 6
