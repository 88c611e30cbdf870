"""The page answers nobody but this machine, loads nothing from elsewhere, and refuses in a line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from unrolled.errors import UserError
from unrolled.page.guard import BODY_LIMIT
from unrolled.page.server import STATIC, create_app


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8700", "[::1]:80", "LOCALHOST:1"])
def test_loopback_names_are_answered(client: TestClient, host: str) -> None:
    assert client.get("/learn", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "localhost.evil:8700", "", "[::1", "10.0.0.7"],
)
def test_a_strangers_host_is_refused(client: TestClient, host: str) -> None:
    """A name of somebody else's that was rebound to this machine would read what the page shows."""
    answer = client.get("/learn", headers={"host": host})
    assert answer.status_code == 421
    assert answer.json() == {"error": f"Host: this page is not served as {host!r}"}


def test_the_host_that_it_was_bound_to() -> None:
    client = TestClient(create_app(host="192.168.1.5"), base_url="http://192.168.1.5:8700")
    assert client.get("/learn").status_code == 200
    assert client.get("/learn", headers={"host": "192.168.1.6"}).status_code == 421


def test_bound_everywhere_it_answers_to_numbers_but_not_to_names() -> None:
    client = TestClient(create_app(host="0.0.0.0"), base_url="http://192.168.1.5:8700")
    assert client.get("/learn").status_code == 200
    assert client.get("/learn", headers={"host": "evil.example"}).status_code == 421


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:9"])
def test_pages_of_others_may_not_ask(client: TestClient, origin: str) -> None:
    answer = client.get("/learn", headers={"origin": origin})
    assert answer.status_code == 403
    assert list(answer.json()) == ["error"]
    assert client.get("/learn", headers={"origin": "http://127.0.0.1:8700"}).status_code == 200


@pytest.mark.parametrize("path", ["/learn", "/static/common.js", "/nothing", "/plotly.js"])
def test_headers_of_every_answer(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self';" in policy
    assert "//" not in policy
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "set-cookie" not in headers
    assert "access-control-allow-origin" not in headers


def test_a_long_body(client: TestClient) -> None:
    answer = client.post("/api/learn/run", content=b" " * (BODY_LIMIT + 1))
    assert answer.status_code == 413
    assert answer.json()["error"].startswith("the request is too long")


def test_a_long_body_in_pieces(client: TestClient) -> None:
    """Of which no header says how long it will be."""
    pieces = (b" " * 65536 for _ in range(BODY_LIMIT // 65536 + 1))
    assert client.post("/api/learn/run", content=pieces).status_code == 413


@pytest.mark.parametrize(
    "path", ["/nothing", "/static/nothing.js", "/static/../server.py", "/docs"]
)
def test_what_is_not_there(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert "not found" in answer.json()["error"]


@pytest.mark.parametrize("path", ["/static/..%2fserver.py", "/static/%2e%2e/server.py"])
def test_no_way_out_of_the_folder(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_plotly_comes_from_its_package_and_is_kept(client: TestClient) -> None:
    answer = client.get("/plotly.js")
    assert answer.status_code == 200
    assert len(answer.content) > 1_000_000
    tag = answer.headers["etag"]
    again = client.get("/plotly.js", headers={"if-none-match": tag})
    assert again.status_code == 304
    assert not again.content


def test_the_first_page(client: TestClient) -> None:
    answer = client.get("/", follow_redirects=False)
    assert answer.headers["location"] == "/learn"


def test_the_first_page_with_a_run(runs: tuple[Path, Path]) -> None:
    client = TestClient(create_app(runs), base_url="http://localhost")
    assert client.get("/", follow_redirects=False).headers["location"] == "/inspect"


def test_a_run_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing: no such run"):
        create_app([tmp_path / "nothing"])


def test_no_page_loads_or_does_anything_inline() -> None:
    """What the policy would refuse; seen here by name, and not as a page that does not work."""
    for path in STATIC.glob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert "http" not in text.replace("http-equiv", "")
        assert " style=" not in text
        assert "<style" not in text
        assert not re.search(r"\son\w+\s*=", text)
        assert all(line.count("src=") for line in text.splitlines() if "<script" in line)
