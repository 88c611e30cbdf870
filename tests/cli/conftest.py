"""What tests of commands share: a folder of their own, and the one line of a mistake."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from unrolled import cli

Fails = Callable[..., str]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def fails(capfd: pytest.CaptureFixture[str]) -> Fails:
    """Runs a command that must fail with one clear line, and returns the line."""

    def check(*arguments: object, code: int = 2) -> str:
        capfd.readouterr()
        assert cli.run([str(a) for a in arguments]) == code
        out, err = capfd.readouterr()
        assert out == ""
        assert err.startswith("unrolled: ")
        assert err.count("\n") == 1
        assert err.endswith("\n")
        assert "Traceback" not in err
        return err

    return check
