"""Hugging Face's package ``tokenizers``: imported where it is used, its files read with care."""

from __future__ import annotations

from typing import Any

from unrolled.errors import UserError


def tokenizers_package(option: str) -> Any:
    """The package.

    Args:
        option: What needs it, as the error names it.

    Raises:
        UserError: It is not installed.
    """
    try:
        import tokenizers
    except ImportError as error:
        raise UserError(f"{option} needs tokenizers: pip install 'unrolled[subwords]'") from error
    return tokenizers


def parse_tokenizer(text: str, option: str) -> Any:
    """A ``tokenizers.Tokenizer`` from its JSON, which holds rules and no code.

    Args:
        text: Content of a ``tokenizer.json``.
        option: What needs the package, as the error names it.

    Raises:
        UserError: The package is not installed.
        ValueError: The text is no tokenizer, or one that fails.
    """
    tokenizers = tokenizers_package(option)
    try:
        tokenizer = tokenizers.Tokenizer.from_str(text)
        tokenizer.encode("a")
    except BaseException as error:
        # The package raises plain exceptions, and on a bug of its own one that is not an Exception.
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise ValueError(f"not a tokenizer: {error}") from error
        raise
    return tokenizer
