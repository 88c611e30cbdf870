"""A picture says the same in either library; a library that is missing is named."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from unrolled.lens.figures import Heat, Line, Mark, Panel, Picture, figure, plot, scales

from .reading import by_matplotlib, by_plotly

VALUES = np.array([[1.0, 0.0], [1e-3, np.nan]])
PLACES = np.arange(2.0)


def a_picture() -> Picture:
    heat = Heat(VALUES, PLACES, PLACES, scales.decades("per_unit $", VALUES))
    curve = np.array([1.0, 1e-2])
    x, y = scales.steps("step k", PLACES), scales.logarithmic("size", curve)
    return Picture(
        "A title of a < b",
        "what it says",
        (
            Panel("of ℓ_{t} & U_x", scales.steps("step", PLACES), x, heat),
            Panel("10^{−3}", x, y, lines=(Line("one", PLACES, curve), Line("two", PLACES, curve))),
        ),
        columns=2,
    )


def test_both_libraries_draw_the_same() -> None:
    one, other = by_matplotlib(a_picture()), by_plotly(a_picture())
    expected = [[(-0.5, 1.5), (-0.5, 1.5)], [(-0.5, 1.5), (0.01, 1)]]
    np.testing.assert_allclose(one.ranges, expected)
    np.testing.assert_allclose(other.ranges, expected)
    np.testing.assert_allclose(one.limits, [(-3.3, 0)])
    assert one.limits == other.limits
    np.testing.assert_allclose(one.heats[0], other.heats[0], rtol=1e-6)
    assert [name for name, _ in one.lines] == [name for name, _ in other.lines] == ["one", "two"]
    for (_, first), (_, second) in zip(one.lines, other.lines, strict=True):
        np.testing.assert_array_equal(first, second)


def test_texts_are_marked_up_for_each_library_and_names_stand_for_themselves() -> None:
    one, other = by_matplotlib(a_picture()), by_plotly(a_picture())
    assert one.title == "A title of a < b"
    assert other.title == "<b>A title of a &lt; b</b>"
    assert one.panels == ["of ℓ$_{t}$ & U_x", "10$^{−3}$"]
    assert other.panels == ["of ℓ<sub>t</sub> &amp; U_x", "10<sup>−3</sup>"]
    assert one.axes == other.axes == [("step", "step k"), ("step k", "size")]
    assert one.bars == [r"per_unit \$"]
    assert other.bars == ["<br>per_unit $"]


def test_what_was_not_computed_looks_unlike_zero() -> None:
    """NaN has no colour of the scale: what lies behind shows, which zero's colour is not."""
    drawn = plot(a_picture()).subfigs[0].axes[0]
    mesh = drawn.collections[0]
    painted = np.asarray(mesh.to_rgba(np.ma.masked_invalid(by_matplotlib(a_picture()).heats[0])))
    zero, hole = painted[0, 1], painted[1, 1]
    assert hole[3] == 0  # nothing painted
    assert zero[3] == 1
    assert abs(np.asarray(drawn.patch.get_facecolor()[:3]) - zero[:3]).max() > 0.2
    other = figure(a_picture())
    assert np.isnan(other.data[0].z[1][1])
    assert other.layout.shapes[0].fillcolor != other.data[0].colorscale[0][1]


@pytest.mark.parametrize("axis", ["x", "y"])
def test_marks_stand_where_they_should(axis: str) -> None:
    x, y = scales.steps("step", PLACES), scales.logarithmic("size", np.array([0.1, 1.0]))
    line = Line("one", PLACES, np.array([0.1, 1.0]))
    mark = Mark("x" if axis == "x" else "y", 0.5, "half")
    picture = Picture("t", panels=(Panel("p", x, y, lines=(line,), marks=(mark,)),))
    drawn = plot(picture).subfigs[0].axes[0]
    places = drawn.lines[1].get_xdata() if axis == "x" else drawn.lines[1].get_ydata()
    np.testing.assert_array_equal(np.asarray(places), [0.5, 0.5])
    assert drawn.texts[0].get_text() == "half"
    (shape,) = figure(picture).layout.shapes
    assert shape.label.text == "half"
    assert (shape.x0, shape.x1) == (0.5, 0.5) if axis == "x" else (shape.y0, shape.y1) == (0.5, 0.5)


def test_the_description_has_all_the_words() -> None:
    assert a_picture().description == "A title of a < b. what it says. of ℓ_t & U_x; 10^−3."
    assert figure(a_picture()).layout.meta["description"] == a_picture().description


@pytest.mark.parametrize("draw", [plot, figure])
def test_a_theme_that_does_not_exist_is_refused(draw: object) -> None:
    assert callable(draw)
    with pytest.raises(ValueError, match=r"^theme must be 'light' or 'dark', got 'sepia'$"):
        draw(a_picture(), "sepia")


def test_the_lens_loads_no_library_before_it_draws_and_names_what_is_missing() -> None:
    """In a process of its own, where neither can be imported."""
    code = """
import sys
import torch, unrolled
from unrolled.lens import trace
assert not {"matplotlib", "plotly"} & set(sys.modules)
sys.modules["matplotlib"] = sys.modules["plotly"] = None
found = trace(unrolled.RNN(1, 2), torch.zeros(3, 1, 1))
for draw in (found.plot, found.figure):
    try:
        draw()
    except ImportError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "plot needs matplotlib: pip install 'unrolled[lens]'",
        "figure needs plotly: pip install 'unrolled[lens]'",
    ]
