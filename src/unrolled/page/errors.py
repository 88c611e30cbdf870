"""Errors as answers: one line of JSON each."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from unrolled.errors import UserError

_Handler: TypeAlias = Callable[[Request, Any], Coroutine[Any, Any, Response]]


def _error(line: str, status: int) -> JSONResponse:
    return JSONResponse({"error": line}, status_code=status)


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return _error(f"{request.url.path:.100}: {error.detail.lower()}", error.status_code)


async def _wrong_request(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part != "body") or "request"
    if first["type"] == "extra_forbidden":
        return _error(f"{where}: nothing of this name is asked for", 422)
    expected = first["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    got = repr(first.get("input"))
    got = got if len(got) <= 60 else f"{got[:57]}..."
    return _error(f"{where}: expected {expected}, got {got}", 422)


async def _user_error(request: Request, error: Exception) -> JSONResponse:
    return _error(str(error), 400)


async def _our_error(request: Request, error: Exception) -> JSONResponse:
    return _error("something went wrong on our side; the terminal has the details", 500)


HANDLERS: dict[int | type[Exception], _Handler] = {
    HTTPException: _http_error,
    RequestValidationError: _wrong_request,
    UserError: _user_error,
    Exception: _our_error,
}
"""For an application of its own, and for one that is mounted in it."""
