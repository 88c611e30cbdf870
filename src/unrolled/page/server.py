"""The page as an application: its files, its two views, and errors in one line."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import plotly
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, RedirectResponse, Response
from plotly.offline import get_plotlyjs
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.staticfiles import StaticFiles

from ..training.errors import UserError
from ..training.run_folder import RunFolder
from . import inspect_api, learn_api
from .guard import Guard

STATIC = Path(__file__).parent / "static"


def create_app(runs: Sequence[Path | str] = (), *, host: str = "127.0.0.1") -> FastAPI:
    """The page.

    It keeps nothing between requests but the models of its runs, sets no cookies, and asks no other
    host for anything.

    Args:
        runs: folders of the runs that Inspect can open; with any, it is the first page.
        host: the address that the server is bound to; in a Host header only this and the loopback
            names are answered.

    Raises:
        UserError: if a run does not exist.
    """
    folders = [RunFolder.existing(run) for run in runs]
    app = FastAPI(
        title="unrolled",
        openapi_url=None,  # its pages come from elsewhere
        middleware=[Middleware(Guard, host=host)],
        exception_handlers={
            HTTPException: _http_error,
            RequestValidationError: _wrong_request,
            UserError: _user_error,
            Exception: _our_error,
        },
    )
    app.include_router(learn_api.router(), prefix="/api/learn")
    app.include_router(inspect_api.router(folders), prefix="/api/inspect")

    @app.get("/")
    def first() -> RedirectResponse:
        return RedirectResponse("/inspect" if folders else "/learn")

    @app.get("/learn")
    def learn() -> FileResponse:
        return FileResponse(STATIC / "learn.html", headers=_FRESH)

    @app.get("/inspect")
    def inspect() -> FileResponse:
        return FileResponse(STATIC / "inspect.html", headers=_FRESH)

    @app.get("/plotly.js")
    def plotly_js(request: Request) -> Response:
        tag = f'"{plotly.__version__}"'
        headers = {"etag": tag, "cache-control": "max-age=86400"}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(_plotly(), media_type="text/javascript", headers=headers)

    app.mount("/static", _Files(directory=STATIC), name="static")
    return app


_FRESH = {"cache-control": "no-cache"}  # kept, but asked for again: after an update it is the new


class _Files(StaticFiles):
    """Files of the package."""

    def file_response(self, *args: object, **kwargs: object) -> Response:
        response = super().file_response(*args, **kwargs)  # type: ignore[arg-type]
        response.headers.update(_FRESH)
        return response


@cache
def _plotly() -> bytes:
    return str(get_plotlyjs()).encode()


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
