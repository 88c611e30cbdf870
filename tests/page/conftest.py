"""The page on a free port, and a browser that looks at it, where the machine has one."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn
from starlette.testclient import TestClient

from unrolled.page.server import create_app
from unrolled.tasks import train

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Error, Page, Request

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

PATIENCE = 60_000
"""Milliseconds that anything may take on a machine with other work."""

Serve = Callable[..., str]


@pytest.fixture
def client() -> Iterator[TestClient]:
    with TestClient(create_app(), base_url="http://127.0.0.1:8700") as client:
        yield client


@contextmanager
def served(runs: Sequence[Path]) -> Iterator[str]:
    config = uvicorn.Config(create_app(runs), port=0, log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.01)
    assert server.started
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(20)


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two small runs on one text with quotes and brackets: an LSTM of two layers, and an RNN."""
    folder = tmp_path_factory.mktemp("runs")
    lines = (f'he said "{"abc"[i % 3] * (1 + i % 7)}" ({i % 10}) to her\n' for i in range(400))
    (folder / "book.txt").write_text("".join(lines), encoding="utf-8")
    settings: dict[str, Any] = {
        "batch_size": 8,
        "seq_len": 32,
        "max_steps": 20,
        "embedding_size": 6,
    }
    settings |= {"lr": 0.01, "val_fraction": 0.014}  # some 120 characters, which are quickly seen
    for cell, layers, units in (("lstm", 2, 12), ("rnn", 1, 7)):
        out = folder / cell
        train(
            "text",
            folder / "book.txt",
            out=out,
            quiet=True,
            cell=cell,
            num_layers=layers,
            hidden_size=units,
            **settings,
        )
    return folder / "lstm", folder / "rnn"


@pytest.fixture(scope="session")
def serve() -> Iterator[Serve]:
    """Start the page with runs; gives its address."""
    with ExitStack() as stack:
        known: dict[tuple[Path, ...], str] = {}

        def start(*runs: Path) -> str:
            if runs not in known:
                known[runs] = stack.enter_context(served(runs))
            return known[runs]

        yield start


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip(f"no browser on this machine: none of {', '.join(BROWSERS)}")
    playwright.expect.set_options(timeout=PATIENCE)
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def window(browser: Browser) -> Page:
    """One for all tests: a new one takes longer than most of what is looked at in it."""
    page = browser.new_page()
    page.set_default_timeout(PATIENCE)
    return page


@pytest.fixture
def tab(window: Page) -> Iterator[Page]:
    """The window as a new one would be; a test opens an address in it."""
    window.set_viewport_size({"width": 1400, "height": 900})
    window.emulate_media(color_scheme="light", reduced_motion="no-preference")
    yield window
    window.evaluate("localStorage.clear()")  # where a theme is kept
    window.goto("about:blank")


OpenPage = Callable[..., "Page"]


@pytest.fixture
def open_page(tab: Page) -> Iterator[OpenPage]:
    """Open an address; at the end nothing may have gone wrong, or been asked of another host."""
    problems: list[str] = []
    own = ""

    def failed(error: Error) -> None:
        problems.append(f"error: {error}")

    def wrote(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            problems.append(f"{message.type}: {message.text}")

    def asked(request: Request) -> None:
        if not request.url.startswith((own, "data:", "blob:")):
            problems.append(f"asked elsewhere: {request.url}")

    def visit(address: str, width: int = 1400, height: int = 900, **media: Any) -> Page:
        nonlocal own
        own = "/".join(address.split("/", 3)[:3])
        tab.set_viewport_size({"width": width, "height": height})
        tab.emulate_media(**media)
        tab.goto(address)
        return tab

    tab.on("pageerror", failed)
    tab.on("console", wrote)
    tab.on("request", asked)
    yield visit
    tab.remove_listener("pageerror", failed)
    tab.remove_listener("console", wrote)
    tab.remove_listener("request", asked)
    assert not problems
