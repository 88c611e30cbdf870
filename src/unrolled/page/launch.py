"""Start the page on this machine, and open it in the browser."""

from __future__ import annotations

import errno
import ipaddress
import socket
import sys
import webbrowser
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from unrolled.errors import RUNTIME, UserError, reason
from unrolled.importing import importing
from unrolled.ranges import Range
from unrolled.training.options import check_value
from unrolled.training.run_folder.folder import RunFolder

if TYPE_CHECKING:
    from starlette.types import ASGIApp

PORT = 8700
PORTS = Range(0, 65535)


def launch(
    runs: Sequence[Path | str] = (),
    *,
    host: str = "127.0.0.1",
    port: int = PORT,
    open_browser: bool = True,
) -> None:
    """Serve the page until Ctrl-C.

    Args:
        runs: folders of the runs to inspect.
        host: the address to bind to; others than loopback can be reached from other machines.
        port: 0 for any free one.
        open_browser: whether the browser is opened.

    Raises:
        UserError: if a run does not exist or cannot be opened, the address cannot be had, or what
            the page needs is not installed.
    """
    folders = [RunFolder.existing(run) for run in runs]
    for module in ("fastapi", "uvicorn", "plotly"):
        if find_spec(module) is None:
            raise UserError(f"the page needs {module}: pip install 'unrolled[lens]'", code=RUNTIME)
    with _bound(host, port) as listening:
        address = _address(host, listening.getsockname()[1])
        sys.stdout.write(f"unrolled lens: {address}  (Ctrl-C ends it)\n")
        if not _is_loopback(host):
            sys.stdout.write(f"Bound to {host}: whoever can reach this machine can use the page.\n")
        sys.stdout.flush()
        if open_browser:
            webbrowser.open(address)  # it waits in the queue of the socket
        with suppress(KeyboardInterrupt):
            _serve(listening, folders, host)


def _serve(listening: socket.socket, folders: Sequence[RunFolder], host: str) -> None:
    """Answer what is asked for at once with the pages, their questions when torch is loaded."""
    with importing():
        import uvicorn

        from .later import Later
        from .server import create_app

    def make() -> ASGIApp:
        from .api import create_api

        return create_api(folders)

    api = Later(make)
    app = create_app([folder.path for folder in folders], host=host, api=api)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", server_header=False))

    def stop() -> None:
        server.should_exit = True

    api.start(stop)
    server.run(sockets=[listening])
    api.check()


def _bound(host: str, port: int) -> socket.socket:
    """A socket that listens there."""
    check_value("port", port, Annotated[int, PORTS])
    try:
        family, *_, where = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, ValueError) as error:  # not known, not a name, a zero byte
        raise UserError(f"--host {host}: not an address of this machine") from error
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform != "win32":  # there it would let two servers have one port
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(where)
        listening.listen(64)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            line = f"--port {port}: already in use; choose another, or --port 0 for any free one"
            raise UserError(line, code=RUNTIME) from error
        if error.errno == errno.EADDRNOTAVAIL:
            raise UserError(f"--host {host}: not an address of this machine") from error
        raise UserError(f"--host {host} --port {port}: {reason(error)}", code=RUNTIME) from error
    return listening


def _address(host: str, port: int) -> str:
    """What to type into a browser on this machine."""
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"http://[{name}]:{port}/" if ":" in name else f"http://{name}:{port}/"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
