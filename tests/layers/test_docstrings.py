"""The examples in the docstrings are true."""

from __future__ import annotations

import doctest
import importlib

import pytest
import torch


@pytest.mark.parametrize("module", ["rnn", "lstm", "gru"])
def test_examples_run_as_printed(module: str) -> None:
    found = doctest.testmod(
        importlib.import_module(f"unrolled.layers.{module}"), extraglobs={"torch": torch}
    )
    assert found.attempted
    assert not found.failed
