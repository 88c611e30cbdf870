"""The Inspect view in a real browser, as a reader uses it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from unrolled import lens
from unrolled.page.subject import LIMIT, TextSubject
from unrolled.training.run_folder.folder import RunFolder

from .conftest import OpenPage, Serve

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

Runs = tuple[Path, Path]

SAMPLE = 'he said "aab" (3)'


def view(open_page: OpenPage, serve: Serve, *runs: Path, **options: object) -> Page:
    """The page, when all that it computes is there."""
    page = open_page(f"{serve(*runs)}/inspect", **options)
    finished(page, len(runs))
    return page


def finished(page: Page, runs: int = 1) -> None:
    for place in range(runs):
        page.get_by_role("button", name="Take them at").nth(place).wait_for()
        page.locator(".found li").nth(0).wait_for()


def read(page: Page, sample: str) -> None:
    page.get_by_role("textbox", name="Text").fill(sample)
    page.get_by_role("button", name="Read it").click()
    page.locator(f'.text[aria-valuemax="{len(sample) - 1}"]').first.wait_for()
    finished(page)


def colours(page: Page, panel: int = 0) -> list[str]:
    marks = page.locator(".panel").nth(panel).locator(".text span")
    return marks.evaluate_all("marks => marks.map((mark) => mark.style.backgroundColor)")  # type: ignore[no-any-return]


def slider(page: Page) -> Locator:
    return page.get_by_role("slider", name="Step in the text").first


@pytest.fixture
def page(open_page: OpenPage, serve: Serve, runs: Runs) -> Page:
    return view(open_page, serve, runs[0])


def test_a_run_is_seen_at_once(page: Page) -> None:
    """Of what it was trained on there are samples; the first is read without a click."""
    assert "LSTM, 2 layers of 12 units" in page.locator(".facts").inner_text()
    assert page.locator("#sample option").count() >= 2
    sample = page.get_by_role("textbox", name="Text").input_value()
    assert page.locator(".text span").count() == len(sample) > 100
    assert "bits per character on average" in page.locator(".panel").inner_text()
    assert page.locator(".bars li").count() == 5
    said = page.locator(".verdict").first.inner_text()
    assert re.search(r"down to ½ at lag \d+|never down to ½", said)
    assert re.search(r"Over the \d+ lags looked at", said)
    assert page.locator("svg.chart").count() == 5
    for drawn in page.locator("canvas.heat").all():
        assert (
            drawn.evaluate(
                "(c) => new Set(c.getContext('2d').getImageData(0, 0, c.width, c.height).data).size"
            )
            > 20
        )


def test_hovering_a_step_colours_the_text_by_its_influence(page: Page, runs: Runs) -> None:
    """The characters are coloured in the order of the lens's own numbers."""
    read(page, SAMPLE)
    page.locator(".text span").nth(12).hover()
    page.get_by_text("Step 12 has read").first.wait_for()
    page.get_by_label("decades shown").select_option("8")
    page.locator(".text span").nth(11).hover()
    page.locator(".text span").nth(12).hover()
    page.get_by_text("Step 12 has read").first.wait_for()
    subject = TextSubject(RunFolder(runs[0]), "lstm")
    tokens = subject.tokens(SAMPLE)
    row = lens.influence(
        subject.model,
        tokens[:-1].unsqueeze(1),
        lambda output: subject.losses(output, tokens),
        steps=[12],
    ).inputs[0]
    found = colours(page)
    assert all(found[:13])
    assert not any(found[13:])
    # from white over yellow and green to dark blue: red falls all the way but at its very beginning
    red = [int(re.findall(r"\d+", colour)[0]) for colour in found[:13]]
    strongest, weakest = int(row[:13].argmax()), int(row[:13].argmin())
    assert red[strongest] == min(red)
    assert red[weakest] == max(red)
    page.get_by_role("heading", name="Inspect a run").hover()
    page.locator('.text:not([aria-valuenow="12"])').wait_for()  # back to the chosen step


def test_the_keyboard_moves_the_step(page: Page) -> None:
    read(page, SAMPLE)
    slider(page).focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.locator('.text[aria-valuenow="2"]').wait_for()
    words = slider(page).get_attribute("aria-valuetext") or ""
    assert words.startswith("Step 2 has read “␣”")
    assert "next comes “s”" in words
    page.keyboard.press("End")
    page.locator(f'.text[aria-valuenow="{len(SAMPLE) - 1}"]').wait_for()
    assert "no loss" in page.locator(".panel").inner_text()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("PageUp")
    page.locator(f'.text[aria-valuenow="{len(SAMPLE) - 11}"]').wait_for()


def test_units_by_keyboard_and_in_the_text(page: Page) -> None:
    """All that the heat map does with a pointer is done without one too."""
    read(page, SAMPLE)
    page.get_by_label("Units in order of").select_option("number")
    page.get_by_label("Unit", exact=True).fill("4")
    page.get_by_label("Unit", exact=True).press("Enter")
    units = page.get_by_role("slider", name="Units")
    units.focus()
    page.keyboard.press("ArrowDown")
    assert page.get_by_label("Unit", exact=True).input_value() == "5"
    assert (units.get_attribute("aria-valuetext") or "").startswith("Unit 5 after step")
    page.get_by_role("button", name="See it in the text").click()
    assert page.get_by_label("the chosen unit").is_checked()
    assert all(colours(page))
    assert "unit 5, hidden state h, layer 2" in page.locator(".panel").inner_text()


def test_units_are_sorted(page: Page) -> None:
    """By the value at the chosen step: down the map it only falls."""
    read(page, SAMPLE)
    page.get_by_label("Units in order of").select_option("value at the chosen step")
    units = page.get_by_role("slider", name="Units")
    units.focus()
    for _ in range(12):
        page.keyboard.press("ArrowUp")
    values = []
    for _ in range(12):
        words = units.get_attribute("aria-valuetext") or ""
        values.append(float(words.rsplit(" ", 1)[1].replace("−", "-")))
        page.keyboard.press("ArrowDown")
    assert values == sorted(values, reverse=True)
    assert len(set(values)) > 6


def test_the_unit_that_follows_quotes_is_found(page: Page) -> None:
    page.get_by_label("What it follows").select_option('inside "double" quotes')
    first = page.locator(".found button").first
    state, number = re.match(r"(\w) (\d+), layer", first.inner_text()).groups()  # type: ignore[union-attr]
    first.click()
    page.get_by_text(f"unit {number}, ").wait_for()
    assert page.get_by_label("Unit", exact=True).input_value() == number
    assert page.get_by_role("combobox", name="Value", exact=True).input_value() == state
    assert "In this sample it goes with" in page.locator(".panel").inner_text()


def test_all_steps_as_a_table(page: Page) -> None:
    read(page, SAMPLE)
    page.get_by_text("All steps as a table").click()
    table = page.get_by_role("table", name="What the model reads")
    table.wait_for()
    assert table.locator("tbody tr").count() == len(SAMPLE)
    assert "“h”" in table.locator("tbody tr").first.inner_text()


def test_two_runs_side_by_side(open_page: OpenPage, serve: Serve, runs: Runs) -> None:
    """One sample, one step, two models; each with values of its own."""
    page = view(open_page, serve, *runs, width=1280, height=800)
    first, second = page.locator(".panel").all()
    left, right = first.bounding_box(), second.bounding_box()
    assert left is not None
    assert right is not None
    assert left["y"] == right["y"]
    assert left["x"] + left["width"] <= right["x"]
    first.locator(".text span").nth(40).hover()
    for panel in (first, second):
        panel.get_by_text("Step 40 has read").first.wait_for()
    cells = [panel.locator(".facts").inner_text().split(",")[0] for panel in (first, second)]
    assert cells == ["LSTM", "RNN"]
    page.get_by_label("Beside it").select_option("none")
    assert page.locator(".panel").count() == 1


def test_what_cannot_be_read(tab: Page, serve: Serve, runs: Runs) -> None:
    page = tab  # which, refused, writes to its console
    page.goto(f"{serve(runs[0])}/inspect")
    finished(page)
    page.get_by_role("textbox", name="Text").fill("héllo")
    page.get_by_role("button", name="Read it").click()
    problem = page.locator(".panel .problem")
    problem.wait_for()
    assert "has never seen 'é' (U+00E9)" in problem.inner_text()
    read(page, SAMPLE)
    assert not problem.is_visible()


def test_a_text_that_is_too_long(page: Page) -> None:
    """The limit is named, and what to do."""
    page.get_by_role("textbox", name="Text").fill("ab " * LIMIT)
    assert f"at most {LIMIT}" in page.locator("#length").inner_text()
    page.get_by_role("button", name="Keep the end").click()
    assert len(page.get_by_role("textbox", name="Text").input_value()) == LIMIT


def test_one_character(page: Page) -> None:
    page.get_by_role("textbox", name="Text").fill("h")
    page.get_by_role("button", name="Read it").click()
    page.get_by_text("One character.").wait_for()
    page.get_by_text("there must be at least two characters").wait_for()
    page.get_by_text("there must be at least three characters").wait_for()


def test_without_runs_it_says_how_to_give_one(open_page: OpenPage, serve: Serve) -> None:
    page = open_page(f"{serve()}/inspect")
    page.get_by_text("No run to inspect").wait_for()
    assert not page.locator("#ask").is_visible()


def test_it_fits_a_telephone(open_page: OpenPage, serve: Serve, runs: Runs) -> None:
    page = view(open_page, serve, *runs, width=390, height=844, color_scheme="dark")
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_theme_is_switched(page: Page) -> None:
    """What is drawn, and not styled, takes the new colours too."""
    read(page, SAMPLE)
    map_of = "() => document.querySelector('canvas.heat').toDataURL()"
    before = page.evaluate(map_of)
    page.locator(".theme").click()
    assert page.evaluate(map_of) != before
