"""Peak memory of a training step: ours, torch.nn's, and ours with ``checkpoint=``.

    python benchmarks/memory.py            the layers beside torch.nn's, at several shapes
    python benchmarks/memory.py long       checkpoint="auto" beside full saving, T = 100 000

Every number comes from a fresh process: the most resident memory that a step (forward and backward
to weights and input) added to what was there before it, the least of a few processes. What anyone
must hold, the output and the gradients of input and weights, is part of the first table and is
taken off in the second.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import torch
from torch import Tensor

import unrolled

SHAPES = [(100, 32, 128, 256), (100, 64, 512, 512), (784, 64, 1, 128), (4096, 1, 32, 64)]
LONG = (100_000, 8, 64, 256)
MIB = 2**20


def resident(kind: str) -> int:
    """Bytes: VmRSS, what is resident now, or VmHWM, the most since the last reset."""
    found = re.search(rf"{kind}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return 1024 * int(found[1])


def step(layer: torch.nn.Module, x: Tensor, gradient: Tensor, **options: object) -> None:
    """One training step without an optimizer."""
    output, _ = layer(x, **options)
    output.backward(gradient)


def child(words: list[str]) -> None:
    """One measurement: prints bytes that the step added at its peak, and seconds."""
    package, cell, checkpoint = words[:3]
    T, N, X, H = map(int, words[3:])
    layer = getattr(torch.nn if package == "torch" else unrolled, cell)(X, H)
    options = {} if checkpoint == "none" else {"checkpoint": checkpoint}
    # what is loaded or started at the first call is not the step's
    few = torch.randn(16, N, X, requires_grad=True)
    step(layer, few, torch.randn(16, N, H))
    layer.zero_grad()
    x, gradient = torch.randn(T, N, X, requires_grad=True), torch.randn(T, N, H)
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    start = time.perf_counter()
    step(layer, x, gradient, **options)
    seconds = time.perf_counter() - start
    print(resident("VmHWM") - before, seconds)


def measure(
    package: str, cell: str, checkpoint: str, shape: tuple[int, ...], processes: int = 3
) -> tuple[float, float]:
    """Mebibytes and seconds, the least of some processes."""
    found = []
    for _ in range(processes):
        command = [sys.executable, __file__, "child", package, cell, checkpoint, *map(str, shape)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found.append([float(word) for word in done.stdout.split()])
    return min(bytes_ for bytes_, _ in found) / MIB, min(seconds for _, seconds in found)


def beside_torch() -> None:
    """Ours and torch.nn's."""
    for cell in ("RNN", "GRU", "LSTM"):
        for shape in SHAPES:
            ours, _ = measure("unrolled", cell, "none", shape)
            theirs, _ = measure("torch", cell, "none", shape)
            text = " ".join(f"{name}={size}" for name, size in zip("TNXH", shape, strict=True))
            print(
                f"{cell:4} {text:26} ours {ours:7.1f} MiB   torch.nn {theirs:7.1f} MiB   "
                f"ratio {ours / theirs:.2f}",
                flush=True,
            )


def long() -> None:
    """With and without checkpoints."""
    T, N, X, H = LONG
    must = 4 * T * N * (X + H) / MIB  # output, and the input's gradient
    for cell in ("GRU", "LSTM"):
        whole, plain_time = measure("unrolled", cell, "none", LONG, 1)
        kept, again_time = measure("unrolled", cell, "auto", LONG, 1)
        print(
            f"{cell:4} T={T} N={N} X={X} H={H}: beyond {must:.0f} MiB of output and gradient "
            f"{whole - must:.0f} MiB in {plain_time:.2f} s, with checkpoints {kept - must:.0f} MiB "
            f"in {again_time:.2f} s: memory x {(kept - must) / (whole - must):.3f}, "
            f"time x {again_time / plain_time:.2f}",
            flush=True,
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        child(sys.argv[2:])
    elif sys.argv[1:2] == ["long"]:
        long()
    else:
        beside_torch()
