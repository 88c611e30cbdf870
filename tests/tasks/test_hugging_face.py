"""Tokenizers of Hugging Face: whatever the package does with a file, it is one line."""

import sys
from typing import Any

import pytest

from unrolled.errors import UserError
from unrolled.tasks.hugging_face import parse_tokenizer, tokenizers_package


class PanicException(BaseException):
    pass


def fail(error: BaseException) -> Any:
    def from_str(text: str) -> None:
        raise error

    return type("Tokenizer", (), {"from_str": staticmethod(from_str)})


def test_a_failure_of_the_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    for error in (Exception("no model"), PanicException("index out of range")):
        monkeypatch.setattr(tokenizers, "Tokenizer", fail(error))
        with pytest.raises(ValueError, match=f"not a tokenizer: {error}"):
            parse_tokenizer("{}", "--tokens subwords")
    monkeypatch.setattr(tokenizers, "Tokenizer", fail(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        parse_tokenizer("{}", "--tokens subwords")


def test_the_package_is_needed_when_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(
        UserError, match=r"--tokens words needs tokenizers: pip install 'unrolled\["
    ):
        tokenizers_package("--tokens words")
