"""A sentence of a file, with all that is needed to write it again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from unrolled.errors import UserError

LONGEST_SENTENCE = 100_000
"""Tokens of a sentence; a file with more has lost its blank lines."""

Unit = Literal["word", "character"]


class Columns(NamedTuple):
    """Lines of a sentence in a file of columns.

    Attributes:
        before: Lines before it: comments, ends of documents, superfluous blank lines.
        rows: Its lines, one for each token and those that count as none.
        row_of: Number of each token's line among the rows.
        separator: What stands between columns: a tab, a space, or empty for any whitespace.
    """

    before: tuple[str, ...]
    rows: tuple[str, ...]
    row_of: tuple[int, ...]
    separator: str


class Record(NamedTuple):
    """The JSON object of a sentence.

    Attributes:
        values: Its values by name.
    """

    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of a file.

    Attributes:
        tokens: Its tokens, one or more, none empty.
        tags: A tag for each, in the scheme of the file; None where the file has none.
        offsets: First character of each token in the text and the one after its last; None where
            the file has tokens and no text.
        place: File and line on which it begins: ``train.conll:17``.
        document: Number of its document; a sentence that belongs to none has a number of its own.
        source: What stands in the file, to be written again; None for text that came otherwise.
        text: The text that it was cut from, where there is one.
    """

    tokens: tuple[str, ...]
    tags: tuple[str, ...] | None
    offsets: tuple[tuple[int, int], ...] | None
    place: str
    document: int
    source: Columns | Record | None = None
    text: str | None = None

    def place_of(self, token: int) -> str:
        """File and line of a token; in JSON lines its number, from 1."""
        if isinstance(self.source, Columns):
            name, _, line = self.place.rpartition(":")
            row = self.source.row_of[min(token, len(self.tokens) - 1)]
            return f"{name}:{int(line) + row}"
        return f"{self.place}, token {min(token + 1, len(self.tokens))}"


def check_length(tokens: int, place: str, noun: str = "sentence", hint: str = "") -> None:
    """Refuse a sentence of too many tokens.

    Args:
        tokens: Number of its tokens.
        place: File and line.
        noun: What has the tokens.
        hint: What the line of error ends with.

    Raises:
        UserError: There are too many.
    """
    if tokens > LONGEST_SENTENCE:
        raise UserError(f"{place}: the {noun} has over {LONGEST_SENTENCE:,} tokens{hint}")
