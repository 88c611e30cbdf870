"""Pieces of files and folders, whatever their form."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from unrolled.errors import UserError, reason

from .chords import read_chords
from .json_rolls import PARTS, read_rolls
from .midi import read_midi
from .options import DataOptions, Part, parse_step
from .pieces import Keys, Piece

_MIDI = (".mid", ".midi")
_ENDINGS = (*_MIDI, ".json", ".txt")


def read_pieces(files: Sequence[str], options: DataOptions, keys: Keys) -> Iterator[Piece]:
    """Pieces of MIDI files, JSON piano rolls, lists of chords, and folders of these.

    In a folder with sub-folders named train, valid and test the pieces belong to these parts.

    Args:
        files: Their names.
        options: Length of a frame of MIDI.
        keys: Keys that the pitches must be among.

    Raises:
        UserError: A file cannot be read, or holds something else; the line names the place.
    """
    for name in files:
        path = Path(name)
        if not path.is_dir():
            yield from _of_file(path, options, keys)
            continue
        parts = [part for part in PARTS if (path / part).is_dir()]
        folders: list[tuple[Path, Part | None]] = [(path / part, part) for part in parts]
        for folder, part in folders or [(path, None)]:
            found = _listed(folder)
            if not found:
                raise UserError(f"{folder}: expected files {', '.join(_ENDINGS)}, found none")
            for file in found:
                for piece in _of_file(file, options, keys):
                    yield piece._replace(part=part or piece.part)


def of_part(pieces: Sequence[Piece], part: Part) -> list[Piece]:
    """Pieces of one part, and those that belong to none."""
    return [piece for piece in pieces if piece.part in (None, part)]


def _of_file(path: Path, options: DataOptions, keys: Keys) -> Iterator[Piece]:
    ending = path.suffix.lower()
    if ending in _MIDI:
        yield read_midi(path, keys, parse_step(options.step))
    elif ending == ".json":
        yield from read_rolls(path, keys)
    else:
        yield from read_chords(path, keys)


def _listed(folder: Path) -> list[Path]:
    """Files of a folder and those within it, in order of their names."""
    try:
        return sorted(path for path in folder.rglob("*") if path.suffix.lower() in _ENDINGS)
    except OSError as error:
        raise UserError(f"{folder}: {reason(error)}") from error
