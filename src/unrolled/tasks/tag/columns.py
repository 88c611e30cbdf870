"""Sentences of files of columns (CoNLL).

A line is a token, a blank line ends a sentence, ``-DOCSTART-`` begins a document. Columns stand
between tabs, single spaces, or any whitespace; a token may be a blank itself where they stand
between tabs or single spaces. A line that begins with ``#`` is a comment only before a sentence's
first token, and only where it is no token with its tag (``#<TAB>O`` is one).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from unrolled.errors import UserError
from unrolled.ranges import shown

from .layout import Layout, begins_document, is_blank
from .sentences import Columns, Sentence, check_length

_COMMENT = re.compile(r"#+([ \t]|$)|#(begin|end) ")
_NEW_DOCUMENT = re.compile(r"# ?newdoc\b|#begin document")
_NO_BLANK_LINE = "; expected a blank line after each sentence"


def read_columns(
    lines: Iterable[str], name: str, layout: Layout, tagged: bool, document: int
) -> Iterator[Sentence]:
    """Sentences of a file of columns.

    Args:
        lines: The file's lines.
        name: Its name, for errors.
        layout: Its columns.
        tagged: Whether every token must have a tag.
        document: Number of the last document before it.

    Raises:
        UserError: A line has other columns, or an empty token or tag.
    """
    before: list[str] = []
    rows: list[str] = []
    row_of: list[int] = []
    tokens: list[str] = []
    tags: list[str] = []
    begun = 0  # line of the sentence's first row
    inside = False  # a document that has begun

    def sentence() -> Sentence:
        source = Columns(tuple(before), tuple(rows), tuple(row_of), layout.separator)
        made = Sentence(
            tuple(tokens),
            tuple(tags) if layout.tag is not None else None,
            None,
            f"{name}:{begun}",
            document,
            source,
        )
        for items in (before, rows, row_of, tokens, tags):
            items.clear()
        return made

    for number, line in enumerate(lines, 1):
        cells = layout.cells(line)
        if is_blank(line):
            if tokens:
                if not inside:
                    document += 1
                yield sentence()
            elif rows:
                before.extend(rows)
                rows.clear()
            before.append(line)
            continue
        if begins_document(line) or (not tokens and _is_comment(line, cells, layout)):
            if begins_document(line) or _NEW_DOCUMENT.match(line):
                if tokens:
                    if not inside:
                        document += 1
                    yield sentence()
                document += 1
                inside = True
            before.append(line)
            continue
        if not rows:
            begun = number
        if layout.universal and re.match(r"\d+[-.]\d+$", cells[0]):
            rows.append(line)  # several words written as one, or one that is not written
            continue
        token, tag = _token(line, cells, f"{name}:{number}", layout, tagged)
        row_of.append(len(rows))
        rows.append(line)
        tokens.append(token)
        tags.append(tag)
        check_length(len(tokens), f"{name}:{begun}", hint=_NO_BLANK_LINE)
    if tokens:
        if not inside:
            document += 1
        yield sentence()


def _is_comment(line: str, cells: Sequence[str], layout: Layout) -> bool:
    """Whether a line before a sentence's first token is no token."""
    if not _COMMENT.match(line):
        return False
    if len(cells) != layout.width:
        return True
    if layout.tag is None:
        return False
    # A token has no blanks in it. Of "# newpart" between spaces only the tag tells.
    return " " in cells[layout.token].strip() or (
        not layout.separator and cells[layout.tag] not in layout.tags
    )


def _token(
    line: str, cells: Sequence[str], place: str, layout: Layout, tagged: bool
) -> tuple[str, str]:
    """Token and tag of a line; the tag is empty where there is none."""
    if len(cells) != layout.width:
        between = {"\t": "tabs", " ": "single spaces", "": "whitespace"}[layout.separator]
        plural = "column" if layout.width == 1 else "columns"
        raise UserError(
            f"{place}: expected {layout.width} {plural} between {between}, got {len(cells)}: "
            f"{shown(line)}"
        )
    token = cells[layout.token]
    if not token:
        raise UserError(f"{place}:1: the token is empty: {shown(line)}")
    if layout.tag is None:
        return token, ""
    tag = cells[layout.tag].strip()
    if not tag and tagged:
        column = len(line) - len(cells[layout.tag]) + 1 if layout.tag == layout.width - 1 else 1
        raise UserError(f"{place}:{column}: the tag is empty: {shown(line)}")
    return token, tag
