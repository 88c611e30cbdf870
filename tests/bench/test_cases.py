"""The registry of cases, and how their operations are counted."""

from __future__ import annotations

import pytest
import torch

import unrolled
from unrolled.bench.cases import CELLS, SHAPES, Case, Shape


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("shape", SHAPES)
def test_operations_are_those_of_the_matrices(cell: str, shape: str) -> None:
    """Two for each weight of a matrix and each step that exists; biases count nothing."""
    sizes, kind = SHAPES[shape], CELLS[cell]
    with torch.device("meta"):
        layer = getattr(unrolled, kind.layer)(
            sizes.I, sizes.H, sizes.layers, bidirectional=sizes.bidirectional, **kind.options
        )
    weights = sum(p.numel() for name, p in layer.named_parameters() if name.startswith("weight"))
    case = Case(cell, shape, "inference", "float32", 1)
    assert case.operations == 2 * weights * sizes.steps


def test_training_counts_three_times() -> None:
    inference, training = (
        Case("gru", "ragged", mode, "float32", 1) for mode in ("inference", "training")
    )
    assert training.operations == 3 * inference.operations


def test_padding_counts_nothing() -> None:
    shape = SHAPES["ragged"]
    assert shape.lengths is not None
    assert shape.steps == sum(shape.lengths) < shape.T * shape.N


def test_lengths_are_the_same_in_every_process_and_fill_the_batch() -> None:
    shape = SHAPES["ragged"]
    again = Shape(shape.T, shape.N, shape.I, shape.H, ragged=shape.ragged)
    assert shape.lengths == again.lengths
    assert shape.lengths is not None
    assert max(shape.lengths) == shape.T
    assert min(shape.lengths) >= 20


@pytest.mark.parametrize("cell", CELLS)
def test_cells_are_what_they_say(cell: str) -> None:
    kind = CELLS[cell]
    layer = getattr(unrolled, kind.layer)(2, 3, **kind.options)
    assert layer.weight_hh_l0.shape == (3 * kind.gates, 3)
    assert kind.twin is None or isinstance(layer, getattr(torch.nn, kind.twin))
