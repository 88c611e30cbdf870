r"""Sentences of files: CoNLL columns and JSON lines.

Columns: a line is a token, a blank line ends a sentence, ``-DOCSTART-`` begins a document. Columns
stand between tabs, single spaces, or any whitespace; a token may be a blank itself where they stand
between tabs or single spaces. A line that begins with ``#`` is a comment only before a sentence's
first token, and only where it is no token with its tag (``#<TAB>O`` is one).

JSON lines: an object a line with ``tokens`` and ``tags``, or with ``text`` and ``spans``: objects
with ``start``, ``end`` and ``label``, or lists of the three, in characters, the end excluded.

Lines end with ``\n`` or ``\r\n``; a byte-order mark at a file's start is skipped. Nothing is
normalised.
"""

from __future__ import annotations

import itertools
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple, NoReturn

from unrolled.errors import UserError, reason
from unrolled.files import open_regular
from unrolled.ranges import shown

from .options import DataOptions
from .schemes import Span, write_tags

LONGEST_LINE = 1 << 24
"""Bytes of a line."""

LONGEST_SENTENCE = 100_000
"""Tokens of a sentence; a file with more has lost its blank lines."""

_HEAD = 1000
"""Lines from which the form of a file is seen."""

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
    document = 0
    for name in files:
        for sentence in _read_file(name, options, tagged, options.unit or unit, document):
            yield sentence
            document = sentence.document
        document += 1


def _read_file(
    name: str, options: DataOptions, tagged: bool, unit: Unit, document: int
) -> Iterator[Sentence]:
    """Sentences of one file; their documents are numbered from ``document``."""
    opened = nullcontext(sys.stdin.buffer) if name == "-" else open_regular(Path(name))
    name = "standard input" if name == "-" else name
    found = False
    try:
        with opened as file:
            lines = _lines(file, name)
            head = list(itertools.islice(lines, _HEAD))
            everything = itertools.chain(head, lines)
            form = options.format or _guess_format(head)
            if form == "jsonl":
                sentences = _read_records(everything, name, tagged, unit, document)
            elif form == "text":
                if tagged:
                    raise UserError(f"--format text: {name}: a text has no tags")
                sentences = _read_texts(everything, name, unit, document)
            else:
                layout = _guess_layout(head, name, options, tagged)
                sentences = _read_columns(everything, name, layout, tagged, document)
            for sentence in sentences:
                found = True
                yield sentence
    except OSError as error:
        raise UserError(f"{name}: {reason(error)}") from error
    if not found:
        raise UserError(f"{name}: the file has no sentence")


def _lines(file: BinaryIO, name: str) -> Iterator[str]:
    """Lines of a file without their ends."""
    for number in itertools.count(1):
        line = file.readline(LONGEST_LINE + 1)
        if not line:
            return
        if len(line) > LONGEST_LINE:
            raise UserError(f"{name}:{number}: the line has over {LONGEST_LINE:,} bytes")
        line = line.removesuffix(b"\n").removesuffix(b"\r")
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if (zero := line.find(0)) >= 0:
            raise UserError(f"{name}:{number}:{zero + 1}: not a text file: a byte is zero")
        try:
            yield line.decode()
        except UnicodeDecodeError as error:
            column = len(line[: error.start].decode("utf-8", "replace")) + 1
            raise UserError(
                f"{name}:{number}:{column}: not text in UTF-8: byte 0x{line[error.start]:02x}"
            ) from error


def _guess_format(head: Sequence[str]) -> Literal["columns", "jsonl"]:
    """JSON lines where the first line that is not blank is an object."""
    first = next((line for line in head if line.strip()), "")
    if not first.lstrip().startswith("{"):
        return "columns"
    try:
        return "jsonl" if isinstance(json.loads(first), dict) else "columns"
    except (ValueError, RecursionError):
        # a line that begins like an object and has no tag is a record with a mistake
        return "jsonl" if '"' in first[:3] else "columns"


class _Layout(NamedTuple):
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


_BLANKS = re.compile(r"[ \t]+")
_COMMENT = re.compile(r"#+([ \t]|$)|#(begin|end) ")
_DOCUMENT = re.compile(r"-DOCSTART-([ \t]|$)")
_NEW_DOCUMENT = re.compile(r"# ?newdoc\b|#begin document")
_SEPARATORS = {"whitespace": "", "tab": "\t", "space": " "}


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


def _guess_layout(head: Sequence[str], name: str, options: DataOptions, tagged: bool) -> _Layout:
    """Columns of a file, from its first lines.

    Raises:
        UserError: There is no column of the tokens or tags.
    """
    rows = [line for line in head if not _is_blank(line) and not _DOCUMENT.match(line)]
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
    return _Layout(separator, count, token, tag, universal, tags)


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


def _is_blank(line: str) -> bool:
    """Whether a line ends a sentence; a blank of another kind than these is a token."""
    return not line.strip(" \t")


def _read_columns(
    lines: Iterable[str], name: str, layout: _Layout, tagged: bool, document: int
) -> Iterator[Sentence]:
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
        if _is_blank(line):
            if tokens:
                if not inside:
                    document += 1
                yield sentence()
            elif rows:
                before.extend(rows)
                rows.clear()
            before.append(line)
            continue
        if _DOCUMENT.match(line) or (not tokens and _is_comment(line, cells, layout)):
            if _DOCUMENT.match(line) or _NEW_DOCUMENT.match(line):
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
        if len(tokens) > LONGEST_SENTENCE:
            raise UserError(
                f"{name}:{begun}: the sentence has over {LONGEST_SENTENCE:,} tokens; expected a "
                "blank line after each sentence"
            )
    if tokens:
        if not inside:
            document += 1
        yield sentence()


def _is_comment(line: str, cells: Sequence[str], layout: _Layout) -> bool:
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
    line: str, cells: Sequence[str], place: str, layout: _Layout, tagged: bool
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


_TOKENS = ("tokens", "words")
_TAGS = ("tags", "ner_tags", "pos_tags", "labels")
_SPANS = ("spans", "entities", "labels", "label")
_DOCUMENTS = ("document", "doc")


def _read_records(
    lines: Iterable[str], name: str, tagged: bool, unit: Unit, document: int
) -> Iterator[Sentence]:
    last: Any = None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        place = f"{name}:{number}"
        values = _object(line, place)
        mark = _first(values, _DOCUMENTS)[1]
        if mark is None or mark != last or document == 0:
            document += 1
        last = mark
        tokens_name, tokens = _first(values, _TOKENS)
        has_tags = _first(values, _TAGS[:-1])[1] is not None
        if tokens is not None and (has_tags or not isinstance(values.get("text"), str)):
            yield _from_tokens(values, tokens_name, tokens, place, tagged, document)
        elif (text := values.get("text")) is not None:
            yield _from_text(values, text, place, tagged, unit, document)
        else:
            raise UserError(
                f"{place}: expected an object with tokens, or with text, got "
                f"{', '.join(map(shown, values)) or 'an empty one'}"
            )


def _read_texts(lines: Iterable[str], name: str, unit: Unit, document: int) -> Iterator[Sentence]:
    """A sentence a line; lines without a token are left out."""
    for number, line in enumerate(lines, 1):
        if offsets := tokenise(line, unit):
            document += 1
            tokens = tuple(line[start:end] for start, end in offsets)
            if len(tokens) > LONGEST_SENTENCE:
                raise UserError(f"{name}:{number}: the line has over {LONGEST_SENTENCE:,} tokens")
            yield Sentence(tokens, None, tuple(offsets), f"{name}:{number}", document, text=line)


def _object(line: str, place: str) -> dict[str, Any]:
    """A line of JSON as an object."""

    def refuse(word: str) -> NoReturn:
        raise UserError(f"{place}: not valid JSON: {word} is no number")

    try:
        values = json.loads(line, parse_constant=refuse)
    except json.JSONDecodeError as error:
        raise UserError(f"{place}:{error.colno}: not valid JSON: {error.msg}") from error
    except ValueError as error:  # a number of thousands of digits
        raise UserError(f"{place}: not valid JSON: {error}") from error
    except RecursionError as error:
        raise UserError(f"{place}: not valid JSON: nested too deeply") from error
    if not isinstance(values, dict):
        raise UserError(f"{place}: expected an object, got {shown(values)}")
    return values


def _first(values: Mapping[str, Any], names: Sequence[str]) -> tuple[str, Any]:
    """The first of some values that is there, with its name."""
    return next(((name, values[name]) for name in names if name in values), (names[0], None))


def _from_tokens(
    values: dict[str, Any], name: str, tokens: Any, place: str, tagged: bool, document: int
) -> Sentence:
    _check_words(tokens, name, place)
    if not tokens:
        raise UserError(f"{place}: {name}: expected one token or more, got none")
    tags_name, tags = _first(values, _TAGS)
    if tags is not None:
        _check_words(tags, tags_name, place)
        if len(tags) != len(tokens):
            raise UserError(
                f"{place}: expected a tag for each of {len(tokens)} {name}, got {len(tags)} "
                f"{tags_name}"
            )
    elif tagged:
        raise UserError(f"{place}: expected tags beside {name}")
    if len(tokens) > LONGEST_SENTENCE:
        raise UserError(f"{place}: the sentence has over {LONGEST_SENTENCE:,} tokens")
    return Sentence(
        tuple(tokens),
        None if tags is None else tuple(tags),
        None,
        place,
        document,
        Record(values),
    )


def _check_words(words: Any, name: str, place: str) -> None:
    """Refuse what is no list of texts that are not empty."""
    if not isinstance(words, list):
        raise UserError(f"{place}: {name}: expected a list of texts, got {shown(words)}")
    for number, word in enumerate(words, 1):
        if not isinstance(word, str) or not word:
            hint = "; give the names of the tags" if name in _TAGS and _is_number(word) else ""
            raise UserError(
                f"{place}: {name}, number {number}: expected a text, got {shown(word)}{hint}"
            )
        _check_characters(word, name, place)


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _check_characters(text: str, name: str, place: str) -> None:
    """Refuse halves of characters, which JSON can say and no file in UTF-8 can hold."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UserError(
            f"{place}: {name}: half a character, U+{ord(text[error.start]):04X}: {shown(text)}"
        ) from error


def _from_text(
    values: dict[str, Any], text: Any, place: str, tagged: bool, unit: Unit, document: int
) -> Sentence:
    if not isinstance(text, str):
        raise UserError(f"{place}: text: expected a text, got {shown(text)}")
    _check_characters(text, "text", place)
    offsets = tokenise(text, unit)
    if not offsets:
        raise UserError(f"{place}: text: expected one token or more, got {shown(text)}")
    if len(offsets) > LONGEST_SENTENCE:
        raise UserError(f"{place}: the text has over {LONGEST_SENTENCE:,} tokens")
    name, found = _first(values, _SPANS)
    tags = None
    if found is not None:
        tags = _tags_of_text(text, found, name, offsets, place, unit)
    elif tagged:
        raise UserError(f"{place}: expected spans beside text")
    return Sentence(
        tuple(text[start:end] for start, end in offsets),
        tags,
        tuple(offsets),
        place,
        document,
        Record(values),
        text,
    )


def _tags_of_text(
    text: str,
    found: Any,
    name: str,
    offsets: Sequence[tuple[int, int]],
    place: str,
    unit: Unit,
) -> tuple[str, ...]:
    """Tags, in ``iob2``, of spans given in characters."""
    if not isinstance(found, list):
        raise UserError(f"{place}: {name}: expected a list of spans, got {shown(found)}")
    spans = sorted(
        _span(one, text, f"{place}: {name}, number {n}") for n, one in enumerate(found, 1)
    )
    starts = {start: token for token, (start, _) in enumerate(offsets)}
    ends = {end: token + 1 for token, (_, end) in enumerate(offsets)}
    last: Span | None = None
    inner = []
    for span in spans:
        shows = f"{span.label} {span.start}–{span.end} {shown(text[span.start : span.end])}"
        if last is not None and span.start < last.end:
            raise UserError(
                f"{place}:{span.start + 1}: {name} overlap: {shows} and {last.label} "
                f"{last.start}–{last.end}"
            )
        if span.start not in starts or span.end not in ends:
            hint = "" if unit == "character" else "; see --unit character"
            raise UserError(
                f"{place}:{span.start + 1}: {name}: {shows} does not begin and end where tokens do"
                f"{hint}"
            )
        inner.append(Span(starts[span.start], ends[span.end], span.label))
        last = span
    return tuple(write_tags(inner, len(offsets), "iob2"))


def _span(value: Any, text: str, place: str) -> Span:
    """A span given as an object or as a list."""
    if isinstance(value, dict):
        label = _first(value, ("label", "type", "entity", "tag"))[1]
        value = [value.get("start"), value.get("end"), label]
    if not isinstance(value, list) or len(value) != 3:
        raise UserError(f"{place}: expected start, end and label, got {shown(value)}")
    start, end, label = value
    if not (_is_number(start) and _is_number(end)):
        raise UserError(
            f"{place}: expected whole numbers for start and end, got {shown(start)}, {shown(end)}"
        )
    if not isinstance(label, str) or not label.strip() or "\n" in label or "\t" in label:
        raise UserError(f"{place}: expected a text for the label, got {shown(label)}")
    _check_characters(label, "label", place)
    if not 0 <= start < end <= len(text):
        raise UserError(
            f"{place}: expected a span within the {len(text)} characters of the text, got "
            f"{start} to {end}"
        )
    return Span(start, end, label)


# \w and the marks that combine with it: vowel signs, accents that stand for themselves.
_LETTER = r"(?:\w[\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0900-\u0dff\u0e31-\u0e4e]*)"
_WORD = re.compile(rf"{_LETTER}+(?:['’.\-]{_LETTER}+)*|[^\w\s]")


def tokenise(text: str, unit: Unit) -> list[tuple[int, int]]:
    """Tokens of a text as first character and the one after the last.

    By word: runs of letters, digits and marks with apostrophes, full stops or hyphens between
    them, and every other character that is no blank alone. By character: every character, blanks
    too.
    """
    if unit == "character":
        return [(place, place + 1) for place in range(len(text))]
    return [match.span() for match in _WORD.finditer(text)]
