"""Who may ask the page, how much, and what its answers may do: one layer around the whole app."""

from __future__ import annotations

import ipaddress
import json
import socket
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_LIMIT = 1 << 20
"""Bytes of a request's body."""

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",  # Plotly's own
        "img-src 'self' data: blob:",  # Plotly draws heat maps as images
        "font-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""Nothing from elsewhere, no script inline."""

_HEADERS = {
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


class Guard:
    """Refuses foreign hosts and origins and long bodies, and sets the headers of every answer.

    A page of somebody else's can make a browser ask any address, and by DNS rebinding even read the
    answer; its name then stands in the Host header.

    Args:
        app: what is guarded.
        host: the address that the server is bound to.
    """

    def __init__(self, app: ASGIApp, host: str = "127.0.0.1") -> None:
        self._app = app
        self._names = {*LOOPBACK, host.lower()}
        self._everywhere = _is_wildcard(host)
        if self._everywhere:
            self._names.add(socket.gethostname().lower())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":  # there are no web sockets here
            await self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        origin = headers.get("origin")
        if not self._knows(host):
            await _refuse(send, 421, f"Host: this page is not served as {host[:100]!r}")
        elif origin is not None and _host_of(origin) != host:
            await _refuse(send, 403, f"Origin: {origin[:100]!r} may not ask this page")
        elif (length := _length(headers)) is None:
            got = headers["content-length"][:100]
            await _refuse(send, 400, f"Content-Length: expected a number of bytes, got {got!r}")
        elif (body := await _read(length, receive)) is None:
            limit = f"{BODY_LIMIT:,} bytes"
            await _refuse(send, 413, f"the request is too long: expected at most {limit}")
        else:
            await self._app(scope, _replay(body, receive), _with_headers(send))

    def _knows(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname
        except ValueError:
            return False
        # A number is no name: it cannot be rebound.
        return name is not None and (name in self._names or (self._everywhere and _is_ip(name)))


def _host_of(origin: str) -> str | None:
    """The host and port of an origin; None if it is malformed."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def _length(headers: Headers) -> int | None:
    """The length that the header gives, 0 without one; None if it is no number."""
    text = headers.get("content-length", "0")
    # A number of thousands of digits is not even read.
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None


async def _read(length: int, receive: Receive) -> bytes | None:
    """The body, or None if it is too long."""
    if length > BODY_LIMIT:
        return None
    body = bytearray()
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message["type"] == "http.request" and message.get("more_body", False)
        if len(body) > BODY_LIMIT:
            return None
    return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    """What gives the body that was read, and from then on what comes."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(_HEADERS)
        await send(message)

    return sending


async def _refuse(send: Send, status: int, line: str) -> None:
    body = json.dumps({"error": line}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    send = _with_headers(send)
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _is_ip(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_wildcard(host: str) -> bool:
    return _is_ip(host) and ipaddress.ip_address(host).is_unspecified
