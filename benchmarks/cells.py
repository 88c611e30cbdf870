"""Training speed of every built-in cell; writes what ``make docs`` prints.

    python benchmarks/cells.py [cell ...]

One training step (forward and backward of one layer) at N = 32, T = 100, I = H = 256: our layer;
the same equations as a loop over the steps in torch's operations; and that one of torch.nn's RNN,
GRU and LSTM whose matrix products take the nearest number of multiply-adds. Rounds take each once,
in turn; medians go to docs/cells/speed.json. With names, those cells are measured (beside the LSTM)
and the others' figures stay.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

import unrolled
from unrolled.bench.machine import describe_machine
from unrolled.bench.rounds import measure
from unrolled.cells import BUILTIN, GRU, LSTM, RNN, Cell
from unrolled.compiler.program import VectorKind
from unrolled.compiler.trace import trace

N, T, H = 32, 100, 256
ROUNDS = 9
OUTPUT = Path(__file__).parents[1] / "docs" / "cells" / "speed.json"
THEIRS: Mapping[str, tuple[Callable[[int, int], nn.Module], Cell]] = {
    "RNN": (nn.RNN, RNN()),
    "GRU": (nn.GRU, GRU()),
    "LSTM": (nn.LSTM, LSTM()),
}


class Named:
    """What stands for W, U, V or s in an eager step: weights by name."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def __getattr__(self, name: str) -> Any:
        return self._values[name]


def multiply_adds(cell: Cell) -> int:
    """Of the matrix products of one step and unit."""
    program = trace(cell)
    return H * (len(program.gates) + len(program.products))


def leaf(*shape: int) -> Tensor:
    """A weight, drawn as the layers draw it."""
    return torch.empty(shape).uniform_(-1 / math.sqrt(H), 1 / math.sqrt(H)).requires_grad_()


def ours(cell: Cell, x: Tensor) -> Callable[[], Tensor]:
    """Our layer's output, or an error if it is not the kernels that compute it."""
    layer = unrolled.Recurrent(cell, H, H)
    explanation = str(unrolled.explain(layer, x))
    if "CPU kernels" not in explanation:
        raise SystemExit(f"{cell.name}: {explanation}")
    return lambda: layer(x)[0]


def eager(cell: Cell, x: Tensor) -> Callable[[], Tensor]:
    """The output of the same equations, step by step in torch's operations."""
    program = trace(cell)

    def affine(names: list[str]) -> Named:
        maps = {name: (leaf(H, H), leaf(H)) for name in names}
        return Named({n: lambda v, m=m, b=b: linear(v, m, b) for n, (m, b) in maps.items()})

    vectors: dict[str, dict[str, Tensor]] = {"V": {}, "s": {}, "K": {}}
    for vector in program.vectors:
        kind, name = vector.symbol.name.split("_", 1)
        vectors[kind][name] = leaf() if vector.kind is VectorKind.SCALAR else leaf(H)
    weights = {
        "W": affine([gate.name.removeprefix("W_") for gate in program.gates]),
        "U": affine([product.gate for product in program.matrix("U")]),
        "V": Named(vectors["V"]),
        "s": Named(vectors["s"]),
        "K": vectors["K"],
    }

    def run() -> Tensor:
        states: tuple[Any, ...] = tuple(torch.zeros(N, H) for _ in cell.states)
        outputs = []
        for t in range(T):
            states = cell(weights, x[t], *states)
            outputs.append(states[0])
        return torch.stack(outputs)

    return run


def theirs(layer: Callable[[int, int], nn.Module], x: Tensor) -> Callable[[], Tensor]:
    """The output of a layer of torch.nn's."""
    module = layer(H, H)
    return lambda: module(x)[0]


def trained(run: Callable[[], Tensor]) -> Callable[[], None]:
    """A training step."""

    def step() -> None:
        run().sum().backward()  # type: ignore[no-untyped-call]

    step()
    return step


def compare(cells: Mapping[str, Cell]) -> dict[str, dict[str, Any]]:
    """Measure cells, the LSTM and torch.nn's layers together."""
    x = torch.randn(T, N, H, requires_grad=True)
    calls = {f"{name} eager": trained(eager(cell, x)) for name, cell in cells.items()}
    calls |= {f"{name} unrolled": trained(ours(cell, x)) for name, cell in cells.items()}
    calls |= {f"{name} torch.nn": trained(theirs(peer, x)) for name, (peer, _) in THEIRS.items()}
    calls["LSTM unrolled"] = trained(ours(LSTM(), x))
    times = measure(calls, rounds=ROUNDS, seconds=0)
    ms = {name: round(1e3 * statistics.median(spent), 2) for name, spent in times.items()}
    counts = {name: multiply_adds(cell) for name, (_, cell) in THEIRS.items()}
    found = {}
    for name, cell in cells.items():
        count = multiply_adds(cell)
        nearest = min(counts, key=lambda peer: abs(counts[peer] - count))
        found[name] = {
            "unrolled_ms": ms[f"{name} unrolled"],
            "lstm_ms": ms["LSTM unrolled"],
            "eager_ms": ms[f"{name} eager"],
            "torch_nn": nearest,
            "torch_nn_ms": ms[f"{nearest} torch.nn"],
        }
        print(f"{name:24}", *(f"{key} {value}" for key, value in found[name].items()))
    return found


def main() -> None:
    """Measure and write."""
    cells = {type(cell).__name__: cell for cell in reversed(BUILTIN)}  # the first of a class counts
    for name in sys.argv[1:]:
        if name not in cells:
            sys.exit(f"cells.py: no built-in cell {name!r}; there are {', '.join(sorted(cells))}")
    before = json.loads(OUTPUT.read_text(encoding="utf-8"))["cells"] if sys.argv[1:] else {}
    found = compare({name: cells[name] for name in sys.argv[1:] or sorted(cells)})
    result = {
        "machine": describe_machine(),
        "threads": torch.get_num_threads(),
        "rounds": ROUNDS,
        "shape": {"N": N, "T": T, "H": H},
        "cells": dict(sorted({**before, **found}.items())),
    }
    OUTPUT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
