"""The lens' part of a report: every curve there, nothing that breaks the page."""

import math
import re

import pytest
from tests.training.report.test_report import EVIL, Page

from unrolled.training.probe.look import LayerLook, Look
from unrolled.training.report.lens import gradient_charts, lens_charts, warnings

OPTIONS = {"training": {"clip": 0.5}}
WINDOW = 64


def a_look(step: int, *names: str, influence: tuple[float, ...] = (1.0, 0.5, 0.25)) -> Look:
    layer = LayerLook(influence, {"f": (0.25, 0.5), "tanh(c)": (0.0, 0.1)})
    return Look(step, 0.25, dict.fromkeys(names, layer))


def rows(norm: float, clipped: float) -> list[dict[str, float]]:
    return [
        {"step": k, "grad_norm": norm, "grad_norm_max": 2 * norm, "clipped": clipped}
        for k in range(1, 20)
    ]


def test_every_curve_is_there() -> None:
    charts = lens_charts([a_look(s, "l0", "l1") for s in range(100, 1100, 100)], 100.0, WINDOW)
    titles = [title for title, _, _ in charts]
    assert titles == [
        "Memory",
        "Influence against lag: l0",
        "Influence against lag: l1",
        "Saturation: l0",
        "Saturation: l1",
    ]
    memory, influence, saturation = charts[0], charts[1], charts[3]
    assert "10 looks took 2.5 s, 2.5% of the training time" in memory[1]
    assert "truncation window" in memory[2]
    # The first and the last look are among those drawn, the last in the strongest colour.
    assert influence[2].count("<polyline") == 5
    assert re.findall(r"update ([\d,]+)", influence[2]) == ["100", "300", "500", "800", "1,000"]
    assert "f</span>" in saturation[2]
    assert "tanh(c)" in saturation[2]


def test_sequences_that_are_never_cut_have_no_window() -> None:
    looks = [a_look(k, "l0") for k in range(4)]
    assert "truncation window" not in lens_charts(looks, 100.0, None)[0][2]
    assert warnings(rows(1.0, 0.0), looks, OPTIONS, None) == ""


def test_the_gradients_norm_and_its_bound() -> None:
    charts = gradient_charts(rows(1.0, 0.25), OPTIONS)
    assert [title for title, _, _ in charts] == ["Gradient norm before clipping", "Updates clipped"]
    assert "25.0% of the updates were clipped" in charts[0][1]
    assert "clipped above 0.5" in charts[0][2]
    unclipped = gradient_charts(rows(1.0, 0.0), {"training": {"clip": 0.0}})
    assert len(unclipped) == 1
    assert "clipped above" not in unclipped[0][2]


def test_warnings_are_those_of_the_whole_run() -> None:
    assert warnings(rows(1.0, 0.0), [], OPTIONS, WINDOW) == ""
    found = warnings(rows(1.0, 1.0), [a_look(k, "l0") for k in range(4)], OPTIONS, WINDOW)
    assert found.count("<li>") == 2
    assert Page(found).open == []


@pytest.mark.parametrize(
    "influence", [(), (0.0,), (0.0, 0.0), (math.nan, 1.0), (math.inf, 1.0), (1e-300, 1e300), (1.0,)]
)
def test_odd_numbers_and_names_do_not_break_the_page(influence: tuple[float, ...]) -> None:
    looks = [a_look(k, EVIL, influence=influence) for k in (5, 9)]
    body = "".join(chart for _, _, chart in lens_charts(looks, 0.0, None))
    page = Page(body)
    assert page.open == []
    assert "script" not in page.tags
    assert "nan" not in re.sub(r">[^<]*<", "><", body)


def test_without_looks_there_is_nothing() -> None:
    assert lens_charts([], 10.0, WINDOW) == []
