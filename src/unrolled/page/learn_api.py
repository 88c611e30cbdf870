"""What the Learn view asks for."""

from __future__ import annotations

from fastapi import APIRouter


def router() -> APIRouter:
    """The view's questions and answers; every question has all that it needs in it."""
    return APIRouter()
