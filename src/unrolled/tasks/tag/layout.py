"""The form of a file, seen from its first lines: columns or JSON lines, and which columns."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal, NamedTuple

from unrolled.errors import UserError

from .options import DataOptions

_BLANKS = re.compile(r"[ \t]+")
_DOCUMENT = re.compile(r"-DOCSTART-([ \t]|$)")
_SEPARATORS = {"whitespace": "", "tab": "\t", "space": " "}


def guess_format(head: Sequence[str]) -> Literal["columns", "jsonl"]:
    """JSON lines where the first line that is not blank is an object."""
    first = next((line for line in head if line.strip()), "")
    if not first.lstrip().startswith("{"):
        return "columns"
    try:
        return "jsonl" if isinstance(json.loads(first), dict) else "columns"
    except (ValueError, RecursionError):
        # a line that begins like an object and has no tag is a record with a mistake
        return "jsonl" if '"' in first[:3] else "columns"


class Layout(NamedTuple):
    """Columns of a file.

    Attributes:
        separator: A tab, a space, or empty for any whitespace.
        width: Number of columns.
        token: Column of the tokens, from 0.
        tag: Column of the tags; None where there is none.
        universal: Whether the file is CoNLL-U, some of whose lines are no tokens.
        tags: Tags near its beginning.
    """

    separator: str
    width: int
    token: int
    tag: int | None
    universal: bool = False
    tags: frozenset[str] = frozenset()

    def cells(self, line: str) -> list[str]:
        """Columns of a line."""
        return _cells(line, self.separator)


def is_blank(line: str) -> bool:
    """Whether a line ends a sentence; a blank of another kind than these is a token."""
    return not line.strip(" \t")


def begins_document(line: str) -> bool:
    """Whether a line is CoNLL's mark between documents."""
    return _DOCUMENT.match(line) is not None


def guess_layout(head: Sequence[str], name: str, options: DataOptions, tagged: bool) -> Layout:
    """Columns of a file, from its first lines.

    Raises:
        UserError: There is no column of the tokens or tags.
    """
    rows = [line for line in head if not is_blank(line) and not begins_document(line)]
    # Comments have other columns; where there is nothing else, one may be a token.
    rows = [line for line in rows if not line.startswith("#")] or [
        line for line in rows if len(line.split()) == 2
    ]
    if options.separator is not None:
        separator = _SEPARATORS[options.separator]
    else:
        separator = _guess_separator(rows)
    cells = [_cells(line, separator) for line in rows]
    count = Counter(map(len, cells)).most_common(1)[0][0] if cells else 2
    cells = [row for row in cells if len(row) == count]
    token = _guess_token(cells, count) if options.token_column is None else options.token_column - 1
    universal = count == 10 and token == 1 and options.token_column is None
    tag: int | None = None
    if options.tag_column is not None:
        tag = options.tag_column - 1
    elif count > 1:
        tag = 3 if universal else count - 1
    for flag, column in (("--token-column", token), ("--tag-column", tag)):
        if column is not None and column >= count and (tagged or flag == "--token-column"):
            raise UserError(f"{flag} {column + 1}: {name} has {count} columns")
    if tag is not None and (tag == token or tag >= count):
        tag = None
    if tagged and tag is None:
        raise UserError(
            f"{name}: expected a column of tokens and one of tags, got {count} "
            f"{'column' if count == 1 else 'columns'}; see --separator"
        )
    tags = frozenset(row[tag] for row in cells) if tag is not None else frozenset()
    return Layout(separator, count, token, tag, universal, tags)


def _guess_separator(rows: Sequence[str]) -> str:
    """A tab where most lines have one, single spaces where they fit better than any whitespace."""
    if 2 * sum("\t" in row for row in rows) > len(rows):
        return "\t"
    if any(row.startswith(" ") for row in rows):
        spaced = Counter(len(_cells(row, " ")) for row in rows)
        columns, lines = spaced.most_common(1)[0]
        if columns > 1 and lines == len(rows):
            return " "
    return ""


def _guess_token(cells: Sequence[Sequence[str]], count: int) -> int:
    """The first column, or the second where the first numbers the tokens."""
    first = [row[0] for row in cells]
    if count > 2 and "1" in first and all(re.match(r"\d+([-.]\d+)?$", cell) for cell in first):
        return 1
    return 0


def _cells(line: str, separator: str) -> list[str]:
    """Columns of a line.

    Where the separator stands first and twice, the first column is the separator itself: a file of
    characters has blanks for tokens.
    """
    if not separator:
        return _BLANKS.split(line.strip(" \t"))
    if line.startswith(separator * 2):
        return [separator, *line[2:].split(separator)]
    return line.split(separator)
