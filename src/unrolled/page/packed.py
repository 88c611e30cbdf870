"""Arrays on their way to the browser."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import torch
from torch import Tensor


def packed(values: Tensor) -> dict[str, Any]:
    """A tensor as its shape and its numbers: float32, little-endian, row by row, in base64."""
    numbers = values.detach().to("cpu", torch.float32).contiguous().numpy().astype("<f4")
    return {"shape": list(values.shape), "float32": b64encode(numbers.tobytes()).decode("ascii")}
