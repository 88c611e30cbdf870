"""Sentences of files: CoNLL columns and JSON lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from .options import DataOptions

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


def read_sentences(
    files: Iterable[str], options: DataOptions, *, tagged: bool = True, unit: Unit = "word"
) -> Iterator[Sentence]:
    """Sentences of files one after another, in constant memory; ``-`` is the standard input.

    Args:
        files: Names of files.
        options: Form of the files.
        tagged: Whether every sentence must have tags. Where not, a file may have tokens alone,
            and JSON lines text alone.
        unit: Tokens that a text is cut into, where the options do not say.

    Raises:
        UserError: A file cannot be read or used; the line names file, line and column.
    """
    raise NotImplementedError


def tokenise(text: str, unit: Unit) -> list[tuple[int, int]]:
    """Tokens of a text as first character and the one after the last.

    By word: runs of letters, digits and marks with apostrophes, full stops or hyphens between
    them, and every other character that is no blank alone. By character: every character, blanks
    too.
    """
    raise NotImplementedError
