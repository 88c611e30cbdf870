"""The page as an application: its files, and its two views' questions.

The files need nothing that is slow to load, so that the page can be seen while the rest is loading.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, RedirectResponse, Response
from starlette.middleware import Middleware
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from unrolled.training.run_folder.folder import RunFolder

from .errors import HANDLERS
from .guard import Guard

STATIC = Path(__file__).parent / "static"


def create_app(
    runs: Sequence[Path | str] = (), *, host: str = "127.0.0.1", api: ASGIApp | None = None
) -> FastAPI:
    """The page.

    It keeps nothing between requests but the models of its runs, sets no cookies, and asks no other
    host for anything.

    Args:
        runs: folders of the runs that Inspect can open; with any, it is the first page.
        host: the address that the server is bound to; in a Host header only this and the loopback
            names are answered.
        api: what answers the views' questions. Default: `create_api` of the runs, made at once.

    Raises:
        UserError: if a run does not exist or, without ``api``, cannot be opened.
    """
    folders = [RunFolder.existing(run) for run in runs]
    app = FastAPI(
        title="unrolled",
        openapi_url=None,  # its pages come from elsewhere
        middleware=[Middleware(Guard, host=host)],
        exception_handlers=HANDLERS,
    )
    if api is None:
        from .api import create_api

        api = create_api(folders)
    app.mount("/api", api)

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
        import plotly

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
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs()).encode()
