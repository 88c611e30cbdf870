"""The process that measures: it has one number of threads, and as many processors as that.

A process of its own, because thread pools are made once and some libraries take whatever processors
they see: only the processors of the process are a bound that all of them keep.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable
from typing import IO, Any

import numpy as np
import torch

from unrolled.bench.cases import Case
from unrolled.bench.disturbance import Disturbance
from unrolled.bench.problem import Engine, Problem, UnsupportedError, pose
from unrolled.bench.rounds import measure
from unrolled.engine import cpu

_CLOSE = {"float32": 1e-4, "bfloat16": 5e-2}
"""Largest difference of two libraries' outputs by dtype, relative in the norm."""

_CLOSE_GRADIENTS = 1e-3
"""The like for gradients in float32. In bfloat16 they are not compared: torch.nn sums the steps'
gradients in that format, where later ones are lost in the sum."""

_PRODUCT = 2048


def main() -> None:
    """Measure the cases told on stdin; results go to stdout, one JSON object a line."""
    told = json.load(sys.stdin)
    # Whatever a library prints must not come between the results.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as results:
        os.dup2(2, 1)
        torch.set_num_threads(told["threads"])
        _write(results, machine={"instruction_set": cpu.INSTRUCTION_SETS[0]})
        last = None
        for names in told["cases"]:
            case = Case(**names)
            if last is None or (last.dtype, last.shape) != (case.dtype, case.shape):
                _write(results, dtype=case.dtype, rate=product_rate(case.dtype))
            last = case
            _write(results, begin=names)
            _write(results, result=run_case(case, told["peers"], told["rounds"], told["seconds"]))


def run_case(case: Case, peers: list[str], rounds: int, seconds: float) -> dict[str, Any]:
    """Measure one case.

    Returns:
        ``case``; ``times``: seconds per call of each round, by library; ``absent``: why a library
        has none; ``disturbance``: share of the processors' time that others took meanwhile.
    """
    problem = pose(case)
    ours = _prepare("ours", problem)
    output = ours.output()
    gradients = ours.gradients() if ours.gradients is not None else None
    engines, absent = {"ours": ours}, {}
    for peer in peers:
        try:
            engine = _prepare(peer, problem)
            compare(engine, output, gradients, case.dtype)
            engines[peer] = engine
        except UnsupportedError as error:
            absent[peer] = str(error)
        except Exception as error:  # a peer's failure is a result, whatever it is
            absent[peer] = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    calls = {name: engine.call for name, engine in engines.items()}
    disturbance = Disturbance()
    times = measure(calls, rounds=rounds, seconds=seconds)
    return {
        "case": case.asdict(),
        "times": times,
        "absent": absent,
        "disturbance": disturbance.share(),
    }


def compare(
    engine: Engine,
    output: np.ndarray[Any, Any],
    gradients: list[np.ndarray[Any, Any]] | None,
    dtype: str,
) -> None:
    """Check that a library computes what we do.

    Raises:
        UnsupportedError: It does not.
    """
    _agree("output", [engine.output()], [output], _CLOSE[dtype])
    if gradients is not None and engine.gradients is not None and dtype == "float32":
        _agree("gradient", engine.gradients(), gradients, _CLOSE_GRADIENTS)


def product_rate(dtype: str) -> float:
    """Operations per second of torch's product of two large square matrices, undisturbed."""
    drawn = torch.randn(2, _PRODUCT, _PRODUCT, dtype=torch.float32, device="cpu")
    a, b = drawn.to(getattr(torch, dtype))
    call: Callable[[], object] = lambda: a @ b  # noqa: E731
    call()
    return 2 * _PRODUCT**3 / min(measure({"": call}, rounds=7, seconds=0.5)[""])


def _prepare(name: str, problem: Problem) -> Engine:
    engine: Engine = importlib.import_module(f"unrolled.bench.peers.{name}").prepare(problem)
    return engine


def _agree(
    what: str,
    found: list[np.ndarray[Any, Any]],
    expected: list[np.ndarray[Any, Any]],
    tolerance: float,
) -> None:
    shapes = [array.shape for array in found], [array.shape for array in expected]
    if shapes[0] != shapes[1]:
        raise UnsupportedError(f"its {what} has another shape: {shapes[0]}, ours {shapes[1]}")
    size = np.sqrt(sum(float(np.square(b, dtype=np.float64).sum()) for b in expected))
    apart = np.sqrt(
        sum(
            float(np.square(a - b, dtype=np.float64).sum())
            for a, b in zip(found, expected, strict=True)
        )
    )
    if not apart <= tolerance * size:
        raise UnsupportedError(f"its {what} differs from ours by {apart / size:.1e}")


def _write(results: IO[str], **message: Any) -> None:
    results.write(json.dumps(message) + "\n")
    results.flush()
