"""What a look through the lens costs: seconds, and memory beside the bound that was given.

    python benchmarks/lens.py              every analysis at T = 256, H = 256, one sequence
    python benchmarks/lens.py memory       peak memory of influence over longer sequences

Beside influence stands what everybody would write: a loop over torch's own single-step function and
one ``torch.autograd.grad`` for each loss. Rounds are interleaved; shown are medians.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

import unrolled
from unrolled import lens

T, H, ROUNDS = 256, 256, 3
CELLS = ("RNN", "GRU", "LSTM")


def loss(output: Tensor) -> Tensor:
    """One number for each step."""
    return output.square().sum((1, 2))


def plain(cell: str, layer: nn.RNNBase, x: Tensor) -> Tensor:
    """The matrix of influence as one would write it: a gradient for each loss."""
    h = c = x.new_zeros(x.shape[1], H)
    weights, states = list(layer.parameters()), []
    for own in x:
        if cell == "LSTM":
            h, c = torch.lstm_cell(own, (h, c), *weights)
        else:
            h = (torch.gru_cell if cell == "GRU" else torch.rnn_tanh_cell)(own, h, *weights)
        states.append(h)
    found = torch.zeros(len(x), len(x))
    for t, own in enumerate(loss(torch.stack(states))):
        gradients = torch.autograd.grad(own, states[: t + 1], retain_graph=True)
        found[t, : t + 1] = torch.stack([gradient.norm() for gradient in gradients])
    return found


def analyses(cell: str) -> dict[str, Callable[[], object]]:
    """Everything that the lens offers, and the plain loop."""
    torch.manual_seed(0)
    layer = getattr(unrolled, cell)(H, H)
    x = torch.randn(T, 1, H)
    theirs = plain(cell, layer, x)
    ours = lens.influence(layer, x, loss).matrix
    assert torch.allclose(ours.float(), theirs, rtol=1e-3, atol=1e-5), "not the same matrix"
    return {
        "plain loop": lambda: plain(cell, layer, x),
        "influence": lambda: lens.influence(layer, x, loss),
        "contributions": lambda: lens.contributions(layer, x, loss),
        "jacobians": lambda: lens.jacobians(layer, x),
        "lyapunov": lambda: lens.lyapunov(layer, x),
        "half_life": lambda: lens.half_life(layer, x, loss),
        "trace": lambda: lens.trace(layer, x),
    }


def seconds(call: Callable[[], object]) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def speed() -> None:
    """The table of seconds."""
    print(f"T = {T}, H = {H}, one sequence, {torch.get_num_threads()} threads, seconds (median)")
    print(f"{'':15}" + "".join(f"{cell:>8}" for cell in CELLS))
    calls = {cell: analyses(cell) for cell in CELLS}
    found: dict[tuple[str, str], list[float]] = {}
    for _ in range(ROUNDS):
        for cell, own in calls.items():
            for name, call in own.items():
                found.setdefault((name, cell), []).append(seconds(call))
    for name in calls["RNN"]:
        row = [statistics.median(found[name, cell]) for cell in CELLS]
        print(f"{name:15}" + "".join(f"{value:8.2f}" for value in row))


def child(steps: int, bound: str) -> None:
    """The most that one call of influence adds to what is resident, in a process of its own."""
    layer, x = unrolled.LSTM(H, H), torch.randn(steps, 1, H)
    lens.influence(layer, x[:8], loss)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    lens.influence(layer, x, loss, steps=max(1, steps // 256), memory=bound)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{(peak - before) / 1024:.0f} {time.perf_counter() - start:.1f}")


def memory() -> None:
    """The table of peaks."""
    print(f"influence of an LSTM, H = {H}, one sequence, 256 losses: bound, peak in MiB, seconds")
    for steps in (256, 1024, 4096):
        for bound in ("500MB", "2GB", "4GB"):
            words = [sys.executable, __file__, "child", str(steps), bound]
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            said = done.stdout.strip() or done.stderr.strip().splitlines()[-1]
            print(f"T = {steps:5}  {bound:>6}  {said}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        child(int(sys.argv[2]), sys.argv[3])
    elif sys.argv[1:] == ["memory"]:
        memory()
    else:
        speed()
