"""MIDI files, read and written with mido.

A frame holds the notes that sound a quarter of a frame after its beginning, so that notes that a
player began a little late or early are in the frames they are meant for. Percussion is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, NamedTuple

from unrolled.errors import UserError
from unrolled.files import check_regular, replacing

from .pieces import Frame, Keys, Piece

LONGEST = 1_000_000
"""Frames of a file at most: a damaged one may claim to last for years."""

_PERCUSSION = 9
_TICKS = 480
_VELOCITY = 72


class Note(NamedTuple):
    """A note.

    Attributes:
        pitch: MIDI pitch.
        start: When it begins, in ticks or frames.
        end: When it ends.
    """

    pitch: int
    start: int
    end: int


def read_midi(path: Path, keys: Keys, step: Fraction) -> Piece:
    """The one piece of a MIDI file.

    Args:
        path: The file.
        keys: Keys that its pitches must be among.
        step: Length of a frame as a fraction of a whole note.

    Raises:
        UserError: mido is not there, or the file is no MIDI file, too long, without notes, or has
            a pitch outside the keys.
    """
    mido = _mido()
    check_regular(path)
    try:
        file = mido.MidiFile(str(path))
        messages = [(m.time, m) for m in mido.merge_tracks(file.tracks)]
        ticks, kind = file.ticks_per_beat, file.type
    except Exception as error:  # its parser raises anything
        words = str(error) or type(error).__name__
        raise UserError(f"{path}: not a MIDI file: {words}") from error
    if kind == 2:
        raise UserError(f"{path}: expected one piece, got a MIDI file of type 2, of several")
    if ticks <= 0:
        raise UserError(f"{path}: expected time in beats, got a MIDI file with time in seconds")
    notes = _notes(messages)
    if not notes:
        raise UserError(f"{path}: the piece is empty: it has no notes")
    frame = 4 * ticks * step
    count = -int(-max(note.end for note in notes) // frame)
    if count > LONGEST:
        raise UserError(f"{path}: expected at most {LONGEST:,} frames, got {count:,}")
    sounding: list[set[int]] = [set() for _ in range(count)]
    for pitch, start, end in notes:
        first = max(0, -int(-(start / frame - Fraction(1, 4)) // 1))
        after = max(0, -int(-(end / frame - Fraction(1, 4)) // 1))
        for number in range(first, min(after, count)):
            sounding[number].add(pitch)
    frames = (keys.frame(one, f"{path}: frame {n}") for n, one in enumerate(sounding, start=1))
    return Piece(tuple(frames), str(path))


def notes_of(frames: Sequence[Frame], repeat: Literal["hold", "strike"]) -> list[Note]:
    """Notes of a piece, in frames, in the order of their beginnings.

    Args:
        frames: The piece.
        repeat: A note that stands in several frames in a row is held, or struck in each of them.
    """
    notes: list[Note] = []
    begun: dict[int, int] = {}
    for number, frame in enumerate([*frames, ()]):
        for pitch in [p for p in begun if repeat == "strike" or p not in frame]:
            notes.append(Note(pitch, begun.pop(pitch), number))
        for pitch in frame:
            begun.setdefault(pitch, number)
    return sorted(notes, key=lambda note: (note.start, note.pitch))


def write_midi(
    path: Path,
    frames: Sequence[Frame],
    *,
    step: Fraction,
    tempo: float,
    repeat: Literal["hold", "strike"],
) -> None:
    """Write a piece as a MIDI file, whole or not at all.

    Args:
        path: The file.
        frames: The piece.
        step: Length of a frame as a fraction of a whole note.
        tempo: Quarter notes a minute.
        repeat: As `notes_of` takes it.

    Raises:
        UserError: mido is not there.
        OSError: The file cannot be written.
    """
    mido = _mido()
    track = mido.MidiTrack()
    track.append(mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(tempo), time=0))
    # At one time notes end before others begin, so that one that is struck again sounds twice.
    events = sorted(
        event
        for pitch, start, end in notes_of(frames, repeat)
        for event in ((start, 1, pitch), (end, 0, pitch))
    )
    now = 0
    for when, on, pitch in events:
        tick = round(4 * _TICKS * step * when)
        kind = "note_on" if on else "note_off"
        track.append(mido.Message(kind, note=pitch, velocity=_VELOCITY * on, time=tick - now))
        now = tick
    end = round(4 * _TICKS * step * len(frames))
    track.append(mido.MetaMessage("end_of_track", time=end - now))
    file = mido.MidiFile(type=0, ticks_per_beat=_TICKS)
    file.tracks.append(track)
    with replacing(path) as target:
        file.save(file=target)


def _notes(messages: Sequence[tuple[int, Any]]) -> list[Note]:
    """Notes of messages with the ticks since the one before."""
    notes: list[Note] = []
    begun: dict[tuple[int, int], list[int]] = {}
    now = 0
    for ticks, message in messages:
        now += ticks
        if message.type not in ("note_on", "note_off") or message.channel == _PERCUSSION:
            continue
        own = begun.setdefault((message.channel, message.note), [])
        if message.type == "note_on" and message.velocity > 0:
            own.append(now)
        elif own:
            notes.append(Note(message.note, own.pop(0), now))
    notes += [Note(p, start, now) for (_, p), starts in begun.items() for start in starts]
    return [note for note in notes if note.end > note.start]


def _mido() -> Any:
    """The library.

    Raises:
        UserError: It is not installed.
    """
    try:
        import mido
    except ImportError as error:
        raise UserError(
            "MIDI needs mido, which is not installed: pip install 'unrolled[music]'"
        ) from error
    return mido
