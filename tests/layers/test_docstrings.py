"""The examples in the docstrings are true."""

from __future__ import annotations

import doctest
import importlib

import pytest
import torch

from unrolled.layers import LSTM


@pytest.mark.parametrize("module", ["rnn", "lstm", "gru", "recurrent", "layer", "structure"])
def test_examples_run_as_printed(module: str) -> None:
    found = doctest.testmod(
        importlib.import_module(f"unrolled.layers.{module}"),
        extraglobs={"torch": torch, "LSTM": LSTM},
    )
    assert found.attempted
    assert not found.failed
