"""The page is there before what is slow to load, and says in one line what keeps it from coming."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from unrolled.errors import UserError
from unrolled.page.later import Later
from unrolled.page.launch import launch
from unrolled.page.server import create_app


def test_the_files_of_the_page_need_nothing_that_is_slow_to_load() -> None:
    """The terminal's line and the page come within a second or two; torch alone may take four."""
    script = (
        "import sys\n"
        "import unrolled.page.launch\n"
        "loaded = {'torch', 'numpy', 'fastapi', 'uvicorn', 'plotly'} & sys.modules.keys()\n"
        "assert not loaded, loaded\n"
        "import uvicorn\n"
        "from starlette.testclient import TestClient\n"
        "from unrolled.page.server import create_app\n"
        "from unrolled.page.later import Later\n"
        "client = TestClient(create_app(api=Later(lambda: None)), base_url='http://127.0.0.1')\n"
        "for path in ('/learn', '/inspect', '/static/common.js'):\n"
        "    assert client.get(path).status_code == 200\n"
        "loaded = {'torch', 'sympy', 'plotly', 'unrolled.lens'} & sys.modules.keys()\n"
        "assert not loaded, loaded\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_questions_wait_for_what_answers_them() -> None:
    gate, asked = threading.Event(), threading.Event()

    def make() -> FastAPI:
        assert gate.wait(60)
        api = FastAPI()
        api.get("/learn/choices")(lambda: {"it": "is there"})
        return api

    api = Later(make)
    answers = []

    def ask() -> None:
        asked.set()
        answers.append(client.get("/api/learn/choices").json())

    with TestClient(create_app(api=api), base_url="http://127.0.0.1") as client:
        api.start(lambda: None)
        question = threading.Thread(target=ask)
        question.start()
        assert asked.wait(60)
        assert client.get("/learn").status_code == 200
        api.check()
        assert not answers
        gate.set()
        question.join(60)
    assert answers == [{"it": "is there"}]


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are Unicode there")
def test_a_run_whose_name_is_not_utf8(runs: tuple[Path, Path], tmp_path: Path) -> None:
    run = shutil.copytree(runs[1], tmp_path / os.fsdecode(b"r\xffn"))
    client = TestClient(create_app([run]), base_url="http://127.0.0.1")
    assert [one["name"] for one in client.get("/api/inspect/runs").json()["runs"]] == ["r?n"]


@pytest.mark.parametrize("name", ["weights.safetensors", "vocabulary.json"])
def test_a_run_that_cannot_be_opened_ends_it_with_one_line(
    runs: tuple[Path, Path], tmp_path: Path, name: str
) -> None:
    run = Path(shutil.copytree(runs[1], tmp_path / "run"))
    (run / name).write_bytes(b"")
    # in a thread, since the browser of other tests has an event loop in this one
    with ThreadPoolExecutor() as pool, pytest.raises(UserError, match=name):
        pool.submit(launch, [run], port=0, open_browser=False).result()


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"port": 99999}, "--port: expected a whole number from 0 to 65535, got 99999"),
        ({"port": -1}, "--port: expected a whole number from 0 to 65535, got -1"),
        ({"port": 80.5}, "--port: expected a whole number from 0 to 65535, got 80.5"),
        ({"host": "a\0b"}, "--host a.b: not an address of this machine"),
        ({"host": "x" * 300}, "--host x*: not an address of this machine"),
        ({"host": "\udcff"}, "--host .*: not an address of this machine"),
    ],
)
def test_addresses_that_there_are_not(given: dict[str, object], line: str) -> None:
    with pytest.raises(UserError, match=line):
        launch(open_browser=False, **given)  # type: ignore[arg-type]
