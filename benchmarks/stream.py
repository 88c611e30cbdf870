"""A stream's step beside its peers' steps, in one run.

    python benchmarks/stream.py [--rtneural SOURCE]

First one step called from Python, on `Stream`, ONNX Runtime (if `onnxruntime` and `onnx` are
installed) and torch.nn, one thread each. Then the time per step inside `run`, beside RTNeural's
layers with sizes fixed when compiled, if SOURCE (its repository with submodules) is given: its
Eigen backend is built for this processor, with ``CXX``. Rounds alternate; medians, the spread
(quartiles) and ratios of medians are printed. Pin it to one processor (``taskset -c 3``).
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import unrolled

ROUNDS, CALLS, T = 25, 400, 4096


def per_call(function: Callable[[], Any], calls: int) -> float:
    """Nanoseconds."""
    start = time.perf_counter_ns()
    for _ in range(calls):
        function()
    return (time.perf_counter_ns() - start) / calls


def alternate(cases: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Each case's nanoseconds in every round but the first two."""
    times: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(rounds + 2):
        for name, measure in cases.items():
            spent = measure()
            if number >= 2:
                times[name].append(spent)
    return times


def line(name: str, times: list[float], ours: list[float]) -> str:
    """Median, quartiles and how many times ours."""
    low, middle, high = statistics.quantiles(times, n=4)
    ratio = middle / statistics.median(ours)
    return f"  {name:14} {middle:9.0f} ns ({low:.0f}-{high:.0f})   {ratio:5.2f} x ours"


def onnx_step(layer: nn.RNNBase, cell: str) -> Callable[[], Any] | None:
    """ONNX Runtime's step: a graph of one recurrent node, static shapes, state carried."""
    try:
        import onnx
        import onnxruntime
        from onnx import helper, numpy_helper
    except ImportError:
        return None
    order = {"GRU": [1, 0, 2], "LSTM": [0, 3, 1, 2]}[cell]  # theirs from ours
    state = ["h", "c"] if cell == "LSTM" else ["h"]
    X, H = layer.input_size, layer.hidden_size

    def rows(name: str) -> torch.Tensor:
        blocks = layer.get_parameter(f"{name}_l0").detach().chunk(len(order))
        return torch.cat([blocks[k] for k in order])

    weights = {
        "W": rows("weight_ih")[None],
        "R": rows("weight_hh")[None],
        "B": torch.cat([rows("bias_ih"), rows("bias_hh")])[None],
    }
    options: dict[str, Any] = {"linear_before_reset": 1} if cell == "GRU" else {}
    node = helper.make_node(
        cell,
        ["x", "W", "R", "B", "", *state],
        ["y", *(f"{s}_n" for s in state)],
        hidden_size=H,
        **options,
    )

    def array(name: str, *shape: int) -> Any:
        return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)

    graph = helper.make_graph(
        [node],
        cell,
        [array("x", 1, 1, X), *(array(s, 1, 1, H) for s in state)],
        [array("y", 1, 1, 1, H), *(array(f"{s}_n", 1, 1, H) for s in state)],
        [numpy_helper.from_array(w.numpy(), name) for name, w in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    file = io.BytesIO()
    onnx.save(model, file)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        file.getvalue(), settings, providers=["CPUExecutionProvider"]
    )
    feed = {"x": np.random.default_rng(0).standard_normal((1, 1, X), np.float32)}
    feed |= {s: np.zeros((1, 1, H), np.float32) for s in state}

    def step() -> Any:
        found = session.run(None, feed)
        feed.update(zip(state, found[1:], strict=True))
        return found[0]

    expected, _ = layer(torch.from_numpy(feed["x"]))
    assert np.allclose(step().ravel(), expected.detach().numpy().ravel(), atol=1e-5)
    return step


def torch_step(layer: nn.RNNBase) -> Callable[[], Any]:
    """torch.nn's step, state carried."""
    x, state = torch.randn(1, 1, layer.input_size), None

    def step() -> Any:
        nonlocal state
        with torch.inference_mode():
            y, state = layer(x, state)
        return y

    return step


def steps_from_python() -> None:
    """One step, called from Python."""
    print("one step from Python")
    for cell, X, H in (("GRU", 64, 128), ("LSTM", 64, 64), ("GRU", 32, 32), ("LSTM", 32, 32)):
        ours = getattr(unrolled, cell)(X, H)
        theirs = getattr(nn, cell)(X, H)
        theirs.load_state_dict(ours.state_dict())
        x = np.random.default_rng(0).standard_normal(X, np.float32)
        stream, of_tensors, tensor = ours.stream(), ours.stream(), torch.from_numpy(x)
        cases: dict[str, Callable[[], Any]] = {
            "Stream, array": lambda s=stream, x=x: s(x),  # type: ignore[misc]
            "Stream, tensor": lambda s=of_tensors, x=tensor: s(x),  # type: ignore[misc]
            "torch.nn": torch_step(theirs),
        }
        runtime = onnx_step(theirs, cell)
        if runtime is not None:
            cases["ONNX Runtime"] = runtime
        times = alternate(
            {name: lambda f=f: per_call(f, CALLS) for name, f in cases.items()},  # type: ignore[misc]
            ROUNDS,
        )
        print(f"{cell} {X} -> {H}")
        for name, spent in times.items():
            print(line(name, spent, times["Stream, array"]), flush=True)


def build_rtneural(source: Path, folder: Path) -> Path:
    """Its layers' timer."""
    program = folder / "rtneural"
    flags = ["-std=c++17", "-O3", "-march=native", "-DNDEBUG", "-w", "-DRTNEURAL_USE_EIGEN=1"]
    flags += ["-DRTNEURAL_DEFAULT_ALIGNMENT=32", "-DEIGEN_STACK_ALLOCATION_LIMIT=0"]
    flags += [f"-I{source}", f"-I{source / 'modules' / 'Eigen'}"]
    code = Path(__file__).with_name("rtneural.cpp")
    subprocess.run([os.environ.get("CXX", "c++"), *flags, code, "-o", program], check=True)
    return program


def steps_inside_run(source: Path | None) -> None:
    """Per step inside `run`, input and state of one size."""
    print(f"per step inside run, {T} steps")
    with tempfile.TemporaryDirectory() as folder:
        program = build_rtneural(source, Path(folder)) if source else None
        rounds = 7
        found: dict[tuple[str, int], list[float]] = {}
        other: dict[tuple[str, int], list[float]] = {}
        sizes = [(cell, H) for H in (8, 16, 32, 64) for cell in ("lstm", "gru")]
        runs: dict[tuple[str, int], Callable[[], Any]] = {}
        for cell, H in sizes:
            stream = getattr(unrolled, cell.upper())(H, H).stream()
            block = np.random.default_rng(0).standard_normal((T, H), np.float32)
            out = np.empty_like(block)
            runs[cell, H] = lambda s=stream, b=block, o=out: s.run(b, o)  # type: ignore[misc]
        for _ in range(rounds):
            for key, run in runs.items():
                spent = statistics.median(per_call(run, 1) / T for _ in range(21))
                found.setdefault(key, []).append(spent)
            if program:
                done = subprocess.run([program], capture_output=True, text=True, check=True)
                for text in done.stdout.splitlines():
                    cell, size, nanoseconds = text.split()
                    other.setdefault((cell, int(size)), []).append(float(nanoseconds))
    for key in sizes:
        print(f"{key[0].upper()} {key[1]}")
        print(line("Stream.run", found[key], found[key]))
        if key in other:
            print(line("RTNeural", other[key], found[key]))


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rtneural", type=Path, help="RTNeural's source, with its submodules")
    options = parser.parse_args()
    torch.set_num_threads(1)
    steps_from_python()
    steps_inside_run(options.rtneural)


if __name__ == "__main__":
    main()
