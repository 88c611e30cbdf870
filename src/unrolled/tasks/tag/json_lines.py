"""Sentences of files of JSON lines.

An object a line with ``tokens`` and ``tags``, or with ``text`` and ``spans``: objects with
``start``, ``end`` and ``label``, or lists of the three, in characters, the end excluded.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

from unrolled.errors import UserError
from unrolled.ranges import shown

from .schemes import Span, write_tags
from .sentences import Record, Sentence, Unit, check_length
from .texts import tokenise

_TOKENS = ("tokens", "words")
_TAGS = ("tags", "ner_tags", "pos_tags", "labels")
_SPANS = ("spans", "entities", "labels", "label")
_DOCUMENTS = ("document", "doc")


def read_records(
    lines: Iterable[str], name: str, tagged: bool, unit: Unit, document: int
) -> Iterator[Sentence]:
    """Sentences of a file of JSON lines.

    Args:
        lines: The file's lines.
        name: Its name, for errors.
        tagged: Whether every sentence must have tags.
        unit: Tokens that a text is cut into.
        document: Number of the last document before it.

    Raises:
        UserError: A line is no valid JSON, or no sentence.
    """
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
    check_length(len(tokens), place)
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
    check_length(len(offsets), place, "text")
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
