"""The questions and answers of both views, as an application of its own.

It needs torch and the lens, which take seconds to load; the pages themselves do not.
"""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import FastAPI

from unrolled.training.run_folder.folder import RunFolder

from . import inspect_api, learn_api
from .errors import HANDLERS


def create_api(folders: Sequence[RunFolder]) -> FastAPI:
    """The application.

    Args:
        folders: the runs that Inspect can open.

    Raises:
        UserError: if one is no text run, is corrupt, or has no weights.
    """
    api = FastAPI(openapi_url=None, exception_handlers=HANDLERS)
    api.include_router(learn_api.router(), prefix="/learn")
    api.include_router(inspect_api.router(folders), prefix="/inspect")
    return api
