"""Piano rolls in JSON: lists of pieces, which are lists of steps, which are lists of pitches."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, get_args

from unrolled.errors import UserError
from unrolled.files import read_json
from unrolled.ranges import shown

from .options import Part
from .pieces import Frame, Keys, Piece

PARTS: tuple[Part, ...] = get_args(Part)


def read_rolls(path: Path, keys: Keys) -> Iterator[Piece]:
    """The pieces of a file: an object with train, valid and test, a list of pieces, or one piece.

    Args:
        path: The file.
        keys: Keys that its pitches must be among.

    Raises:
        UserError: The file cannot be read, or something in it is no piece; the line names the
            piece and the step.
    """
    content = read_json(path)
    if isinstance(content, dict):
        if not content or not set(content) <= set(PARTS):
            raise UserError(
                f"{path}: expected an object with {', '.join(PARTS)}, got the names "
                f"{', '.join(map(shown, content)) or 'of nothing'}"
            )
        for part in PARTS:
            if part in content:
                pieces = _list(content[part], f"{path}: {part}", "a list of pieces")
                yield from _pieces(pieces, f"{path}: {part}, ", part, keys)
        return
    outer = _list(content, str(path), "an object, a list of pieces, or a list of steps")
    if any(isinstance(step, list) for piece in outer if isinstance(piece, list) for step in piece):
        yield from _pieces(outer, f"{path}: ", None, keys)
    else:
        yield _piece(outer, str(path), None, keys)


def written_rolls(pieces: Iterable[Iterable[Frame]]) -> str:
    """Pieces as `read_rolls` reads them."""
    return json.dumps([[list(frame) for frame in piece] for piece in pieces]) + "\n"


def _pieces(pieces: list[Any], before: str, part: Part | None, keys: Keys) -> Iterator[Piece]:
    for number, piece in enumerate(pieces, start=1):
        yield _piece(piece, f"{before}piece {number}", part, keys)


def _piece(piece: Any, place: str, part: Part | None, keys: Keys) -> Piece:
    steps = _list(piece, place, "a list of steps")
    if not steps:
        raise UserError(f"{place}: the piece is empty")
    frames = (
        keys.frame(
            _list(step, f"{place}, step {number}", "a list of pitches"), f"{place}, step {number}"
        )
        for number, step in enumerate(steps, start=1)
    )
    return Piece(tuple(frames), place, part)


def _list(value: Any, place: str, expected: str) -> list[Any]:
    if not isinstance(value, list):
        raise UserError(f"{place}: expected {expected}, got {shown(value)}")
    return value
