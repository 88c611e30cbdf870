"""What the Inspect view asks for."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter

from ..training.run_folder import RunFolder


def router(runs: Sequence[RunFolder]) -> APIRouter:
    """The view's questions about the runs that the page was started with."""
    return APIRouter()
