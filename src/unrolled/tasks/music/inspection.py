"""Inspection of pieces before training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from unrolled.errors import UserError
from unrolled.training.task import Inspection

from .data import keys_of
from .options import DataOptions, Part
from .pieces import Frame, Keys, Piece, name_of
from .reading import of_part, read_pieces

SHOWN = 10
"""Places that a warning names at most."""


def inspect_data(options: DataOptions) -> Inspection:
    """Pieces, frames, range, chords, and pieces that stand there twice.

    Args:
        options: What to read.

    Raises:
        UserError: A file cannot be read.
    """
    if not options.data:
        raise UserError("--data: expected one file or more")
    given = list(read_pieces(options.data, options, Keys()))
    parts: dict[str, list[Piece]] = {"": of_part(given, "train")}
    named: tuple[Part, ...] = ("valid", "test")
    for part in named:
        parts[part] = [piece for piece in given if piece.part == part]
    if options.val_data:
        parts["valid"] = of_part(list(read_pieces(options.val_data, options, Keys())), "valid")
    facts: dict[str, Any] = {"files": ", ".join(options.data)}
    for name, pieces in parts.items():
        if pieces:
            found = _facts(pieces)
            facts |= {f"{name} {k}".strip(): v for k, v in found.items()}
    warnings = [] if parts[""] else [f"{options.data[0]}: no pieces to train on"]
    warnings += _outside([piece for some in parts.values() for piece in some], keys_of(options))
    warnings += _twice(parts)
    return Inspection(facts, warnings)


def shape(frames: Sequence[Frame]) -> tuple[Frame, ...]:
    """A piece moved so that its lowest note is 0: the same for all transpositions of it."""
    low = min((frame[0] for frame in frames if frame), default=0)
    return tuple(tuple(pitch - low for pitch in frame) for frame in frames)


def _facts(pieces: Sequence[Piece]) -> dict[str, Any]:
    lengths = sorted(len(piece.frames) for piece in pieces)
    frames = [frame for piece in pieces for frame in piece.frames]
    pitches = [pitch for frame in frames for pitch in frame]
    voices = Counter(map(len, frames))
    held = sum(
        len(set(one) & set(other))
        for piece in pieces
        for one, other in zip(piece.frames, piece.frames[1:], strict=False)
    )
    return {
        "pieces": len(pieces),
        "frames": len(frames),
        "shortest piece": lengths[0],
        "median piece": lengths[len(lengths) // 2],
        "longest piece": lengths[-1],
        "range": f"{_named(min(pitches))} to {_named(max(pitches))}" if pitches else "only rests",
        "different keys": len(set(pitches)),
        "notes in a frame": {str(count): voices[count] for count in sorted(voices)},
        "rests": voices[0],
        "share of notes that sound in the frame before, too": held / max(1, len(pitches)),
        "different chords": len(set(frames)),
    }


def _named(pitch: int) -> str:
    return f"{pitch} ({name_of(pitch)})"


def _outside(pieces: Sequence[Piece], keys: Keys) -> list[str]:
    """A warning about pitches that are none of the keys."""
    outside = [
        piece.place
        for piece in pieces
        if any(not keys.lowest <= p <= keys.highest for frame in piece.frames for p in frame)
    ]
    if not outside:
        return []
    return [
        f"{len(outside)} pieces have pitches outside the keys {keys.lowest} to {keys.highest} "
        f"(--lowest, --highest): {_listed(outside)}"
    ]


def _twice(parts: dict[str, list[Piece]]) -> list[str]:
    """Warnings about pieces that are the same, within a part and across parts."""
    warnings = []
    first: dict[tuple[Frame, ...], tuple[str, Piece]] = {}
    within: list[str] = []
    across: list[str] = []
    for part, pieces in parts.items():
        for piece in pieces:
            key = shape(piece.frames)
            if key not in first:
                first[key] = part, piece
                continue
            owner, other = first[key]
            moved = "" if other.frames == piece.frames else ", transposed"
            words = f"{piece.place} is {other.place}{moved}"
            (within if owner == part else across).append(words)
    if within:
        warnings.append(f"{len(within)} pieces stand twice in one part: {_listed(within)}")
    if across:
        warnings.append(
            f"{len(across)} pieces stand in two parts, so a score on one of them is too good: "
            f"{_listed(across)}"
        )
    return warnings


def _listed(places: Sequence[str]) -> str:
    more = f"; and {len(places) - SHOWN} more" if len(places) > SHOWN else ""
    return "; ".join(places[:SHOWN]) + more
