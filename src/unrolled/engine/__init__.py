"""One cell run through time: requests, the engines that run them, and the choice between these."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .choice import register

__all__ = ["register"]


def __getattr__(name: str) -> Any:
    if name == "register":  # not before it is used: it loads torch and the kernels
        from .choice import register

        return register
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
