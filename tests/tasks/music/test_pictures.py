"""Piano rolls as SVG: a bar for each note, where it sounds."""

from __future__ import annotations

import re

from unrolled.tasks.music.pictures import FRAMES, LEFT, ROW, WIDTH, piano_roll, pitch_range
from unrolled.tasks.music.pieces import Frame

PIECE: list[Frame] = [(48, 60), (48,), (), (62,)]


def bars(svg: str) -> list[tuple[float, float, float, str]]:
    """x, y, width and colour of every bar."""
    found = re.findall(
        r'<rect x="([\d.]+)" y="(\d+)" height="\d+" rx="1" width="([\d.]+)" '
        r'style="fill: var\(--(.)\)"/>',
        svg,
    )
    return [(float(x), float(y), float(width), colour) for x, y, width, colour in found]


def test_a_bar_for_each_note() -> None:
    low, high, later = bars(piano_roll(PIECE, (48, 72), given=1))
    step = (WIDTH - LEFT) / FRAMES
    assert low[0] == high[0] == LEFT
    assert later[0] == round(LEFT + 3 * step, 1)
    assert abs(low[2] - (2 * step - 1)) < 0.06
    assert abs(high[2] - (step - 1)) < 0.06
    assert low[1] - high[1] == 12 * ROW
    assert high[1] - later[1] == 2 * ROW
    assert [bar[3] for bar in (low, high, later)] == ["b", "b", "a"]


def test_long_pieces_are_cut() -> None:
    svg = piano_roll([(60,), ()] * FRAMES, (60, 72))
    assert len(bars(svg)) == FRAMES / 2
    assert f"piano roll of {FRAMES} frames" in svg


def test_range_of_whole_octaves() -> None:
    assert pitch_range([PIECE, [(71,)]]) == (48, 72)
    assert pitch_range([[()]]) == (60, 72)
