"""Exported programs run where only `import unrolled` has been said."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from unrolled import cells
from unrolled._loading import when_loaded
from unrolled.engine.names import parse
from unrolled.layers import GRU, LSTM, RNN, Recurrent
from unrolled.layers.layer import Layer

LAYERS: dict[str, Callable[[], Layer]] = {
    "LSTM": lambda: LSTM(4, 4),
    "options": lambda: LSTM(4, 4, layer_norm=True, zoneout=0.1, cell_clip=1.2345678, bias=False),
    "choices": lambda: Recurrent(cells.LeakyRNN, 4, 4, alpha=0.3, nonlinearity="relu"),
}

LOAD = """
import sys
import unrolled, torch
assert "unrolled.engine" not in sys.modules
for name in sys.argv[2:]:
    program = torch.export.load(f"{sys.argv[1]}/{name}.pt2").module()
    x, expected = torch.load(f"{sys.argv[1]}/{name}.pt")
    torch.testing.assert_close(program(x)[0], expected)
assert "unrolled.layers" not in sys.modules
"""


def test_a_program_is_loaded(tmp_path: Path) -> None:
    """In a process of its own, where no layer has been made."""
    x = torch.randn(9, 2, 4)
    for name, make in LAYERS.items():
        layer = make().eval()
        with torch.no_grad():
            torch.export.save(torch.export.export(layer, (x,)), tmp_path / f"{name}.pt2")
            torch.save((x, layer(x)[0]), tmp_path / f"{name}.pt")
    command = [sys.executable, "-c", LOAD, str(tmp_path), *LAYERS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize(
    "layer",
    [
        LSTM(4, 4, activation="relu", recurrent_activation="relu", cell_clip=2, proj_size=2),
        LSTM(4, 4, layer_norm=True, bias=False, recurrent_dropout=0.1, candidate_dropout=0.1),
        GRU(4, 4, reset_after=False, zoneout=0.1, layer_norm=True),
        RNN(4, 4, nonlinearity="identity", cell_clip=0.1),
        Recurrent(cells.LeakyRNN, 4, 4, alpha=0.3, nonlinearity="relu"),
    ],
    ids=repr,
)
def test_a_name_is_enough(layer: Layer) -> None:
    cell, variant = parse(layer.program.name)
    assert cell == layer.cell
    options = layer.options
    assert variant.cell_clip == options.cell_clip
    assert bool(variant.layer_norm) == options.layer_norm
    assert variant.bias == (layer.bias or not options.layer_norm)
    assert variant.projected == bool(layer.proj_size)
    assert bool(variant.zoneout) == bool(options.zoneout)
    assert bool(variant.recurrent_dropout) == bool(options.recurrent_dropout)
    assert bool(variant.candidate_dropout) == bool(options.candidate_dropout)
    assert [variant.activation, variant.recurrent_activation] == [
        given and cells.relu for given in (options.activation, options.recurrent_activation)
    ]


@pytest.mark.parametrize("name", ["own,layer_norm", "lstm#2", "cornn,dt=[4]"])
def test_a_name_that_is_not_enough(name: str) -> None:
    with pytest.raises(LookupError, match="make a layer of it, with the options"):
        parse(name)


def test_actions_run_once_when_a_module_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "late_module.py").write_text("value = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    seen: list[object] = []
    finders = len(sys.meta_path)
    when_loaded("late_module", lambda module: seen.append(module.value))
    when_loaded("late_module", lambda module: seen.append(module.__name__))
    assert not seen
    import late_module  # type: ignore[import-not-found]

    assert seen == [1, "late_module"]
    when_loaded("late_module", lambda module: seen.append(module))
    assert seen[2:] == [late_module]
    assert len(sys.meta_path) == finders
