"""Notes of MIDI files, at frames' beginnings; pieces that are written are read again."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from unrolled.errors import UserError
from unrolled.tasks.music.midi import Note, notes_of, read_midi, write_midi
from unrolled.tasks.music.pieces import Frame, Keys

FRAMES: list[Frame] = [(48, 60), (48, 60), (), (50, 60), (62,)]
QUARTER = Fraction(1, 4)


def test_notes_are_held_or_struck() -> None:
    held = notes_of(FRAMES, "hold")
    assert held == [
        Note(48, 0, 2),
        Note(60, 0, 2),
        Note(50, 3, 4),
        Note(60, 3, 4),
        Note(62, 4, 5),
    ]
    struck = notes_of(FRAMES, "strike")
    assert len(struck) == 7
    assert all(note.end == note.start + 1 for note in struck)


def test_without_mido_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mido", None)
    (tmp_path / "a.mid").write_bytes(b"MThd")
    with pytest.raises(UserError, match=r"MIDI needs mido.*pip install 'unrolled\[music\]'"):
        read_midi(tmp_path / "a.mid", Keys(), QUARTER)
    with pytest.raises(UserError, match="MIDI needs mido"):
        write_midi(tmp_path / "b.mid", FRAMES, step=QUARTER, tempo=80, repeat="hold")
    assert not (tmp_path / "b.mid").exists()


@pytest.mark.parametrize("repeat", ["hold", "strike"])
@pytest.mark.parametrize("step", [QUARTER, Fraction(1, 12), Fraction(1, 7)])
def test_written_pieces_are_read_again(tmp_path: Path, repeat: Any, step: Fraction) -> None:
    pytest.importorskip("mido")
    path = tmp_path / "a.mid"
    write_midi(path, FRAMES, step=step, tempo=96, repeat=repeat)
    assert list(read_midi(path, Keys(), step).frames) == FRAMES


def midi(path: Path, notes: list[Note], *, channel: int = 0, ticks: int = 96) -> Path:
    mido = pytest.importorskip("mido")
    events = sorted((t, on, n.pitch) for n in notes for t, on in ((n.start, 1), (n.end, 0)))
    file, now = mido.MidiFile(ticks_per_beat=ticks), 0
    track = mido.MidiTrack()
    for tick, on, pitch in events:
        # a note_on without velocity ends a note, too
        track.append(
            mido.Message("note_on", note=pitch, velocity=64 * on, time=tick - now, channel=channel)
        )
        now = tick
    file.tracks.append(track)
    file.save(str(path))
    return path


def test_a_player_that_is_a_little_early_or_late(tmp_path: Path) -> None:
    notes = [Note(60, 10, 93), Note(62, 90, 200), Note(64, 190, 290)]
    found = read_midi(midi(tmp_path / "a.mid", notes), Keys(), QUARTER)
    assert list(found.frames) == [(60,), (62,), (64,), ()]


def test_frames_of_other_lengths(tmp_path: Path) -> None:
    path = midi(tmp_path / "a.mid", [Note(60, 0, 96), Note(62, 96, 144)])
    assert read_midi(path, Keys(), Fraction(1, 8)).frames == ((60,), (60,), (62,))
    assert read_midi(path, Keys(), Fraction(1, 2)).frames == ((60,),)


def test_percussion_is_left_out(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a.mid: the piece is empty: it has no notes"):
        read_midi(midi(tmp_path / "a.mid", [Note(60, 0, 96)], channel=9), Keys(), QUARTER)


def test_files_that_are_no_midi(tmp_path: Path) -> None:
    pytest.importorskip("mido")
    path = tmp_path / "a.mid"
    for content in (b"", b"hello", b"MThd\0\0\0\6\0\0\0\1\0\x60MTrk"):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"a.mid: (not a MIDI file|the piece is empty)"):
            read_midi(path, Keys(), QUARTER)
    with pytest.raises(UserError, match=r"b.mid: no such file"):
        read_midi(tmp_path / "b.mid", Keys(), QUARTER)


def test_pitches_outside_the_keys(tmp_path: Path) -> None:
    path = midi(tmp_path / "a.mid", [Note(60, 0, 96), Note(20, 96, 192)])
    with pytest.raises(UserError, match=r"a.mid: frame 2: pitch 20 is outside the keys 21 to 108"):
        read_midi(path, Keys(21, 108), QUARTER)


def test_a_file_that_never_ends(tmp_path: Path) -> None:
    path = midi(tmp_path / "a.mid", [Note(60, 0, 1 << 27)], ticks=1)
    with pytest.raises(UserError, match="expected at most 1,000,000 frames, got 134,217,728"):
        read_midi(path, Keys(), QUARTER)
