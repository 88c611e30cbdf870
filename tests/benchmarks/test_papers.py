"""Rows of the published table have the published sizes, and a stopped row goes on."""

import argparse
import importlib
from pathlib import Path
from typing import Any

import pytest

LIMITS = {"adding_gru": 70_000, "adding_lstm": 70_000, "copy_gru": 16_000}
"""Published: 70 K and 16 K."""


@pytest.fixture
def papers() -> Any:
    return importlib.import_module("papers")


def test_sizes_are_the_published_ones(papers: Any) -> None:
    sizes = {row.name: papers.parameters(row) for row in papers.MEMORIES}
    assert sizes.keys() == LIMITS.keys()
    for name, size in sizes.items():
        assert 0.9 * LIMITS[name] < size <= 1.01 * LIMITS[name]


def test_a_row_is_trained_once_for_each_seed(
    papers: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(papers, "RUNS", tmp_path)
    row = papers.Memory(
        "tiny",
        0.1,
        0.2,
        {"tasks": ("adding",), "lags": (5,), "cells": ("gru",), "hidden": 4, "updates": 3},
    )
    papers.remember(row, argparse.Namespace(first=0, seeds=1))
    first = (tmp_path / "tiny" / "seed-0" / "results.json").read_bytes()
    papers.remember(row, argparse.Namespace(first=0, seeds=2))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == lines[2]  # read, not trained again
    assert "tiny seed 1" in lines[3]
    assert "goal 0.1, published 0.2" in lines[4]
    assert len(first) > 0
