"""Piano rolls as SVG, coloured by the page's style sheet so that they follow light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from .midi import notes_of
from .pieces import Frame, name_of

WIDTH, ROW = 720, 5
LEFT, RIGHT, TOP, BOTTOM = 40, 10, 6, 20
FRAMES = 96
"""Frames that are drawn at most."""


def pitch_range(pieces: Sequence[Sequence[Frame]]) -> tuple[int, int]:
    """Lowest and highest pitch of some pieces, widened to whole octaves."""
    pitches = [pitch for piece in pieces for frame in piece for pitch in frame] or [60]
    return min(pitches) // 12 * 12, max(pitches) // 12 * 12 + 12


def piano_roll(frames: Sequence[Frame], pitches: tuple[int, int], *, given: int = 0) -> str:
    """A piece as an ``<svg>`` element: time to the right, pitch upwards, a bar for each note.

    Args:
        frames: The piece; its first 96 frames are drawn.
        pitches: Lowest and highest pitch of the picture.
        given: Frames at the beginning to draw in another colour.
    """
    frames = frames[:FRAMES]
    low, high = pitches
    bottom = TOP + ROW * (high - low + 1)
    step = (WIDTH - LEFT) / FRAMES

    def y(pitch: int) -> int:
        return TOP + ROW * (high - pitch)

    drawn = []
    for octave in range(low, high + 1, 12):
        line = y(octave) + ROW
        drawn.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH}" y1="{line}" y2="{line}"/>'
            f'<text x="{LEFT - 6}" y="{line}" text-anchor="end">{escape(name_of(octave))}</text>'
        )
    for frame in range(0, FRAMES + 1, 16):
        x = LEFT + step * frame
        drawn.append(
            f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{bottom}"/>'
            f'<text x="{x:.1f}" y="{bottom + 14}" text-anchor="middle">{frame}</text>'
        )
    for pitch, start, end in notes_of(frames, "hold"):
        colour = "b" if start < given else "a"
        drawn.append(
            f'<rect x="{LEFT + step * start:.1f}" y="{y(pitch)}" height="{ROW - 1}" rx="1" '
            f'width="{step * (end - start) - 1:.1f}" style="fill: var(--{colour})"/>'
        )
    return (
        f'<svg viewBox="0 0 {WIDTH + RIGHT} {bottom + BOTTOM}" role="img" '
        f'aria-label="piano roll of {len(frames)} frames">{"".join(drawn)}</svg>'
    )
