"""What torch.compile leaves alone; a module of its own, since it loads torch's compiler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


@torch.compiler.disable  # type: ignore[untyped-decorator]
def uncompiled(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function as it is: a break in the graph."""
    return function(*arguments)
