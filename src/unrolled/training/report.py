"""placeholder"""

from __future__ import annotations
from typing import Any
from unrolled.training.run_folder import RunFolder


def write_report(folder: RunFolder, options: dict[str, Any], *, unit: str) -> None:
    """Placeholder."""
