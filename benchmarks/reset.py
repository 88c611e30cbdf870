"""What ``reset=`` costs: the same call with and without it, rounds interleaved, in one run.

    python benchmarks/reset.py [rounds]

Prints for each layer and shape the time of a training step and of inference without resets, and
the ratio with them (medians); beside it the ratio between two halves of the rounds without, which
is what chance alone makes.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from unrolled import GRU, LSTM, RNN

SHAPES = [(100, 1, 64, 128), (128, 16, 64, 256), (100, 32, 128, 256), (784, 64, 1, 128)]
SHARE = 0.05  # of the steps begin an episode


def milliseconds(run: Callable[[], object]) -> float:
    """One call."""
    start = time.perf_counter()
    run()
    return 1e3 * (time.perf_counter() - start)


def compare(plain: Callable[[], object], reset: Callable[[], object], rounds: int) -> str:
    """Medians of rounds that alternate."""
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 3):
        for run, spent in zip((plain, reset), times, strict=True):
            found = milliseconds(run)
            if number >= 3:
                spent.append(found)
    plain_time, reset_time = map(statistics.median, times)
    chance = statistics.median(times[0][::2]) / statistics.median(times[0][1::2])
    return f"{plain_time:8.2f} ms x {reset_time / plain_time:.3f} (chance {chance:.3f})"


def train(layer: torch.nn.Module, x: Tensor, mask: Tensor | None) -> None:
    """Forward and backward."""
    layer.zero_grad()
    layer(x, reset=mask)[0].sum().backward()


def infer(layer: torch.nn.Module, x: Tensor, mask: Tensor | None) -> None:
    """Forward alone."""
    with torch.no_grad():
        layer(x, reset=mask)


def main() -> None:
    """Measure, for each layer and shape."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    print(f"{SHARE:.0%} of the steps reset, {torch.get_num_threads()} threads")
    for kind in (RNN, GRU, LSTM):
        for T, N, X, H in SHAPES:
            layer, x = kind(X, H), torch.randn(T, N, X)
            mask = torch.rand(T, N) < SHARE

            for name, run in (("training", train), ("inference", infer)):
                text = compare(partial(run, layer, x, None), partial(run, layer, x, mask), rounds)
                shape = f"{kind.__name__:4} T={T} N={N} X={X} H={H}"
                print(f"{shape:30} {name:9} {text}", flush=True)


if __name__ == "__main__":
    main()
