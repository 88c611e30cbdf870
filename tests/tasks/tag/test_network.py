"""A run's model made from its files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from unrolled.errors import UserError
from unrolled.tasks.tag import network
from unrolled.tasks.tag.options import TagOptions
from unrolled.training.options import read_options
from unrolled.training.run_folder.folder import RunFolder


def test_a_model_that_cannot_be_allocated_is_told_in_one_line(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_large(*args: Any, **keywords: Any) -> torch.Tensor:
        return torch.empty(1 << 58, dtype=torch.float32, device="cpu")

    folder = RunFolder.existing(run)
    options = read_options(TagOptions, folder.options)
    network.make_decoder(options, folder)
    monkeypatch.setattr(network, "Tagger", too_large)
    message = r"--hidden-size 16 --num-layers 1: the model does not fit into memory$"
    with pytest.raises(UserError, match=message):
        network.make_decoder(options, folder)
