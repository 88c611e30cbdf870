"""Calls of layers on a busy machine, beside torch.nn's.

    python benchmarks/load.py [--neighbours 2] [--threads 2] [--seconds 4]

Each layer is trained (forward, backward) in a process of its own, first alone and then beside
programs that compute without end, one for each processor unless told otherwise: on one thread and
on several. Printed are milliseconds, medians and the slowest of a hundred calls, and how the median
on several threads compares with the better of two: one thread on the same busy machine, and twice
the time of the idle machine.

Then two processes train side by side, and one after the other.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

SHAPES = (
    ("LSTM", 100, 1, 64, 128),
    ("RNN", 128, 16, 64, 256),
    ("GRU", 64, 32, 320, 320),
    ("LSTM", 100, 32, 128, 256),
)

CALLS = """
import json, sys, time
import torch, unrolled
library, cell, steps, rows, inputs, hidden, threads, seconds, most = json.loads(sys.argv[1])
torch.set_num_threads(threads)
torch.manual_seed(0)
layer = getattr(unrolled if library == "unrolled" else torch.nn, cell)(inputs, hidden)
x = torch.randn(steps, rows, inputs)
gradient = torch.ones(steps, rows, hidden)

def train():
    layer.zero_grad()
    layer(x)[0].backward(gradient)

for _ in range(3):
    train()
times, end = [], time.perf_counter() + seconds
while len(times) < 12 or (time.perf_counter() < end and len(times) < most):
    start = time.perf_counter()
    train()
    times.append(time.perf_counter() - start)
print(json.dumps(times))
"""


def calls(
    library: str, shape: tuple[str, int, int, int, int], threads: int, seconds: float, most: int
) -> subprocess.Popen[str]:
    """A process that trains, and prints the seconds of each call."""
    told = json.dumps([library, *shape, threads, seconds, most])
    return subprocess.Popen([sys.executable, "-c", CALLS, told], stdout=subprocess.PIPE, text=True)


def times_of(process: subprocess.Popen[str]) -> list[float]:
    """What it has printed, in milliseconds."""
    printed, _ = process.communicate()
    return [1e3 * each for each in json.loads(printed)]


@contextmanager
def busy(neighbours: int) -> Iterator[None]:
    """So many programs compute without end, in this block."""
    programs = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(neighbours)
    ]
    try:
        yield
    finally:
        for program in programs:
            program.kill()
            program.wait()


def slowest(times: list[float]) -> float:
    """The hundredth part of the calls takes longer."""
    return sorted(times)[-1 - len(times) // 100]


def measure(given: argparse.Namespace) -> None:
    """A line for each shape and library."""
    print(
        f"{'':28} {'idle':>16} {'one thread':>16} {'several':>16} {'to the better':>14}", flush=True
    )
    for shape in SHAPES:
        for library in ("unrolled", "torch.nn"):
            run = (given.seconds, 1000)
            idle = times_of(calls(library, shape, given.threads, *run))
            with busy(given.neighbours):
                one = times_of(calls(library, shape, 1, *run))
                several = times_of(calls(library, shape, given.threads, *run))
            better = min(statistics.median(one), 2 * statistics.median(idle))
            cells = [
                f"{statistics.median(times):.1f} ({slowest(times):.1f})"
                for times in (idle, one, several)
            ]
            print(
                f"{' '.join(map(str, shape)):18} {library:9} "
                + " ".join(f"{cell:>16}" for cell in cells)
                + f" {statistics.median(several) / better:14.2f}",
                flush=True,
            )


def side_by_side(given: argparse.Namespace) -> None:
    """Two trainings at the same time against one after the other."""
    for shape in SHAPES[1:]:
        for library in ("unrolled", "torch.nn"):
            most = 60
            start = time.perf_counter()
            for _ in range(2):
                times_of(calls(library, shape, given.threads, 1e6, most))
            after = time.perf_counter() - start
            start = time.perf_counter()
            both = [calls(library, shape, given.threads, 1e6, most) for _ in range(2)]
            for each in both:
                times_of(each)
            together = time.perf_counter() - start
            print(
                f"{' '.join(map(str, shape)):18} {library:9} one after the other {after:.1f} s, "
                f"side by side {together:.1f} s: {together / after:.2f}",
                flush=True,
            )


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    processors = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    )
    parser.add_argument("--neighbours", type=int, default=processors)
    parser.add_argument("--threads", type=int, default=processors)
    parser.add_argument("--seconds", type=float, default=4.0)
    given = parser.parse_args()
    measure(given)
    side_by_side(given)


if __name__ == "__main__":
    main()
