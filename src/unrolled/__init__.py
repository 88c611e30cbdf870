"""Recurrent networks whose cells are their equations.

Names are loaded when they are first used, so that importing the package is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ._loading import when_loaded

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .cells import Cell
    from .compiler.formulas import latex, mathml
    from .engine.choice import using
    from .engine.cpu import KernelWarning, release_memory
    from .layers import GRU, LSTM, RNN, Recurrent, Stream, accelerate, deaccelerate, explain
    from .tasks import load, resume, train
    from .tasks.classify.estimator import Classifier
    from .tasks.forecast.estimator import Forecaster

_HOMES = {
    "Cell": ".cells",
    "Classifier": ".tasks.classify.estimator",
    "Forecaster": ".tasks.forecast.estimator",
    "GRU": ".layers",
    "KernelWarning": ".engine.cpu",
    "LSTM": ".layers",
    "RNN": ".layers",
    "Recurrent": ".layers",
    "Stream": ".layers",
    "accelerate": ".layers",
    "deaccelerate": ".layers",
    "explain": ".layers",
    "latex": ".compiler.formulas",
    "load": ".tasks",
    "mathml": ".compiler.formulas",
    "release_memory": ".engine.cpu",
    "resume": ".tasks",
    "train": ".tasks",
    "using": ".engine.choice",
}
_ROOMS = (
    "bench",
    "cells",
    "compiler",
    "engine",
    "errors",
    "files",
    "layers",
    "lens",
    "page",
    "tasks",
    "training",
)

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Cell",
    "Classifier",
    "Forecaster",
    "KernelWarning",
    "Recurrent",
    "Stream",
    "__version__",
    "accelerate",
    "deaccelerate",
    "explain",
    "latex",
    "load",
    "mathml",
    "release_memory",
    "resume",
    "train",
    "using",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name], __name__), name)
    if name in _ROOMS:
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, *_ROOMS})


def _define_operator(_: object) -> None:
    importlib.import_module(".engine.operator", __name__)


# torch loads one of these before it reads a program that was exported or compiled ahead of time,
# which may hold our operator.
for _reader in ("torch._export.serde", "torch._inductor"):
    when_loaded(_reader, _define_operator)
