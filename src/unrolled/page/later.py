"""An application that is still being made while others are served."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread

from starlette.types import ASGIApp, Receive, Scope, Send

from unrolled.importing import importing


class Later:
    """An application made in a thread; what it is asked before waits for it.

    Args:
        make: makes the application.
    """

    def __init__(self, make: Callable[[], ASGIApp]) -> None:
        self._make = make
        self._made: Future[ASGIApp] = Future()

    def start(self, on_failure: Callable[[], None]) -> None:
        """Begin to make it; ``on_failure`` is called in the thread if that raises."""
        Thread(target=self._run, args=(on_failure,), name="unrolled-page-loading").start()

    def check(self) -> None:
        """Raise what was raised while it was made, if that has ended."""
        if self._made.done():
            self._made.result()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request as soon as the application is there."""
        app = await asyncio.wrap_future(self._made)
        await app(scope, receive, send)

    def _run(self, on_failure: Callable[[], None]) -> None:
        try:
            with importing():
                app = self._make()
        except BaseException as error:
            self._made.set_exception(error)
            on_failure()
        else:
            self._made.set_result(app)
