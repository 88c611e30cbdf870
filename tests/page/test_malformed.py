"""No request is answered with an error of ours: what is malformed is refused in one line."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from unrolled.page.server import create_app

MALFORMED = (
    *(
        "http://[",
        "http://[::1",
        "[",
        "]",
        "http://a]b",
        "null",
        "",
        " ",
        "://",
        "//",
        "http://\xff",
    ),
    *("http://127.0.0.1:99999999", "http://user@127.0.0.1:8700", "http://[v1.x]", "a" * 9000),
)
QUESTIONS: dict[str, dict[str, Any]] = {
    "learn/run": {"cell": "rnn", "word": "hello", "hidden": 3, "scale": 1.0, "weights": None},
    "learn/detail": {"word": "hello", "step": 1, "unit": 1, "loss": 1},
    "learn/train": {"word": "hello", "updates": 1, "rate": 0.1, "clip": 1.0},
    "inspect/inspect": {"run": 0, "text": "he said"},
    "inspect/values": {"run": 0, "text": "he", "strand": "recurrent.l0", "value": "h"},
    "inspect/influence": {
        **{"run": 0, "text": "he", "strand": "recurrent.l0", "value": "h"},
        **{"every": 1, "start": 0, "count": 2},
    },
    "inspect/memory": {"run": 0, "text": "he"},
    "inspect/exponents": {"run": 0, "text": "he"},
    "inspect/singular-values": {"run": 0, "text": "he", "step": 0},
}
VALUES: tuple[object, ...] = (
    *(
        None,
        True,
        -1,
        10**30,
        1.5,
        math.nan,
        math.inf,
        1e308,
        "",
        "a",
        "aa",
        "한한",
        "\ud800",
        "\0",
    ),
    *("x" * 100_000, [], [[]], [[1.0]], [None], {}, {"W.h": [[1.0]]}),
)
BODIES = (
    *(b"", b"{", b"[]", b"null", b"1", b"NaN", b"\xff\xfe", b"\0", b"{'a':1}", b"a=1&b=2"),
    *(b'{"a":' * 20_000, b"[" * 100_000, b"[" * 100_000 + b"]" * 100_000, b'{"word":"\xff"}'),
    *(b'{"word":' + b"[" * 50_000 + b"]" * 50_000 + b"}", b'{"hidden":' + b"9" * 5000 + b"}"),
    *(b'{"hidden":1e999}', b'{"word":"\\ud800"}', b'{"word":"ab",}', b'{"word":"ab"}{}', b'{"":1}'),
    *('{"word":"ab"}'.encode("utf-16"), '{"word":"ab"}'.encode("utf-32"), b"\xef\xbb\xbf{}"),
)


@pytest.fixture(scope="module")
def page(runs: tuple[Path, Path]) -> TestClient:
    app = create_app(runs)
    return TestClient(app, base_url="http://127.0.0.1:8700", raise_server_exceptions=False)


def refused_or_answered(answer: Any) -> None:
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        line = answer.json()["error"]
        assert "\n" not in line
        assert len(line) < 600


@pytest.mark.parametrize("header", ["origin", "host", "content-type", "if-none-match"])
def test_headers(page: TestClient, header: str) -> None:
    for value in MALFORMED:
        for method, path in (("GET", "/learn"), ("POST", "/api/learn/run"), ("GET", "/plotly.js")):
            found = page.request(method, path, headers={header.encode(): value.encode("latin-1")})
            refused_or_answered(found)
            if header == "origin":
                assert found.status_code == 403
            if header == "host":
                assert found.status_code == 421


@pytest.mark.parametrize("length", ["-1", "1e3", "²", "+5", "0x10", "", "9" * 5000])
def test_lengths(page: TestClient, length: str) -> None:
    headers = {b"content-length": length.encode("latin-1")}
    answer = page.post("/api/learn/run", headers=headers, content=b"{}")
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("Content-Length: expected a number of bytes, got ")


@pytest.mark.parametrize("question", QUESTIONS)
def test_fields(page: TestClient, question: str) -> None:
    """Each with each value, missing, twice, and one that there is not."""
    good = QUESTIONS[question]
    address, headers = f"/api/{question}", {"content-type": "application/json"}

    def ask(text: str) -> Any:
        answer = page.post(address, headers=headers, content=text.encode("utf-8", "surrogatepass"))
        refused_or_answered(answer)
        return answer

    assert ask(json.dumps(good)).status_code == 200
    for name in (*good, "other"):
        for value in VALUES:
            ask(json.dumps({**good, name: value}))
        ask(json.dumps({key: value for key, value in good.items() if key != name}))
        ask(f"{json.dumps(good)[:-1]}, {json.dumps(name)}: 7}}")


@pytest.mark.parametrize("question", QUESTIONS)
def test_bodies(page: TestClient, question: str) -> None:
    for body in BODIES:
        for kind in ("application/json", "a/b; charset=x"):
            answer = page.post(f"/api/{question}", headers={"content-type": kind}, content=body)
            refused_or_answered(answer)


@pytest.mark.parametrize("path", ["samples", "units"])
@pytest.mark.parametrize(
    "query", ["", "run=x", "run=-1", "run=9" + "9" * 5000, "run=0&run=9", "run=nan", "run=%ff"]
)
def test_queries(page: TestClient, path: str, query: str) -> None:
    answer = page.get(f"/api/inspect/{path}?{query}")
    refused_or_answered(answer)
    assert answer.status_code in (400, 422)


@pytest.mark.parametrize("path", ["/", "/learn", "/static/%00", "/%ff", "/static/" + "a" * 5000])
def test_methods_and_paths(page: TestClient, path: str) -> None:
    for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "FOO"):
        answer = page.request(method, path, follow_redirects=False)
        if answer.status_code >= 400:
            refused_or_answered(answer)


@pytest.mark.parametrize("size", [1e300, -1e300, 0.0])
def test_weights_whose_numbers_run_away(page: TestClient, size: float) -> None:
    """In a cell whose gates are exponentials; slopes that are no numbers have no norm."""
    good = {"cell": "slstm", "word": "aba", "hidden": 2}
    weights = page.post("/api/learn/run", json=good).json()["weights"]
    for name in ("W.i", "U.f", "V"):
        body = good | {"weights": weights | {name: _filled(weights[name], size)}}
        for question in ({}, {"step": 1, "unit": 1, "loss": 2}, {"updates": 2, "rate": 1.0}):
            path = {"step": "detail", "updates": "train"}.get(next(iter(question), ""), "run")
            refused_or_answered(page.post(f"/api/learn/{path}", json=body | question))


def _filled(numbers: Any, size: float) -> Any:
    return [_filled(n, size) for n in numbers] if isinstance(numbers, list) else size
