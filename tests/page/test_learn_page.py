"""The Learn view in a real browser, as somebody uses it who has a mouse, a keyboard or a phone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .conftest import OpenPage, Serve

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect

if TYPE_CHECKING:
    from playwright.sync_api import Page

SIZES = ((1280, 800), (390, 844))  # a laptop, a phone


@pytest.fixture
def learn(open_page: OpenPage, serve: Serve) -> Page:
    page = open_page(f"{serve()}/learn", 1280, 800, reduced_motion="reduce")
    page.wait_for_selector(".box")
    return page


def told(page: Page) -> str:
    return page.inner_text("#told")


def test_hello_is_there_at_a_glance(learn: Page) -> None:
    shown = learn.inner_text("#network")
    for number in ("0.8350", "0.8964", "0.8791", "0.0893", "0.3858", "0.1308", "0.3942"):
        assert number in shown
    weights = learn.inner_text("#weights")
    for number in ("0.2973", "0.3880", "0.3152", "0.9133", "0.3189", "0.8142"):
        assert number in weights
    assert "worked out by hand" in learn.inner_text("#origin")
    assert learn.locator("#cell-equations mtr").count() == 2


def test_play_forward_step_by_step(learn: Page) -> None:
    learn.click("#next")
    assert told(learn).startswith("Step 1 says “e” with probability 0.3298; which is right.")
    assert learn.locator("#network .box.later").count() == 6
    learn.click("#next")
    assert (
        told(learn) == "Step 2 reads “e” and h₁, and makes h₂ = (0.8350, 0.8964, 0.8791) of them."
    )
    learn.wait_for_selector("#step-title:has-text('Step 2: the new state')")
    expect(learn.locator("#step")).to_contain_text("1.2045")
    panel = learn.inner_text("#step")
    assert "0.3152·0.2888 + 0.3008·0.2698 + 0.9741·0.6626 = 0.8176" in panel
    learn.click("#units button:has-text('2')")
    expect(learn.locator("#step")).to_contain_text("1.4538")
    learn.click("#next")
    assert "says “o” with probability 0.3942; the right one is “l” with 0.1308" in told(learn)
    for number in ("0.4056", "1.8695", "0.7877", "1.8910"):
        assert number in learn.inner_text("#step")
    learn.click("#last")
    assert learn.locator("#network .box.later").count() == 0


def test_play_runs_by_itself(learn: Page) -> None:
    learn.click("#last")
    learn.click("#previous")
    learn.click("#play")
    assert learn.inner_text("#play") == "❚❚ Pause"
    expect(learn.locator("#place")).to_have_text("8 of 8")
    expect(learn.locator("#play")).to_have_text("▶ Play")


def test_a_loss_flows_back(learn: Page) -> None:
    learn.click("#backward")
    assert learn.inner_text("#place") == "all 5 steps"
    assert "how much of ℓ₄ arrives" in learn.inner_text("#hint")
    arriving = learn.locator(".arriving").all_inner_texts()
    assert arriving == ["0.000753", "0.00169", "0.0153", "0.174"]
    colours = learn.eval_on_selector_all(
        ".box:has(.arriving)", "boxes => boxes.map(box => box.style.background)"
    )
    assert len(set(colours)) == 4
    parts = learn.locator(".part").all_inner_texts()
    assert [part.split()[0] for part in parts] == ["implicit"] * 3 + ["explicit"]
    learn.click("#next")
    assert "1 step back, at step 3: 0.0153 arrives, 8.8 % of what it was" in told(learn)
    assert learn.locator("#network .box.later").count() == 2
    learn.wait_for_selector("#step-title:has-text('Loss 4, back at step 3')")
    learn.click("#last")
    assert "explicit one of step 4 has the size 0.0182, the implicit ones together" in told(learn)
    learn.click(".send >> nth=1")
    assert learn.inner_text("#place") == "all 3 steps"
    assert "The loss of step 2 arrives at its own state" in told(learn)


@pytest.mark.parametrize(
    ("cell", "states", "equations"), [("gru", ["h"], 5), ("slstm", ["h", "c", "n", "m"], 11)]
)
def test_another_cell_word_and_size(
    learn: Page, cell: str, states: list[str], equations: int
) -> None:
    learn.select_option("#cell", cell)
    learn.fill("#word", "a cat")
    learn.press("#word", "Tab")
    learn.fill("#hidden", "5")
    learn.press("#hidden", "Tab")
    learn.check("#bias")
    expect(learn.locator(".send")).to_have_count(4)
    expect(learn.locator("#cell-equations mtr")).to_have_count(equations)
    expect(learn.locator("#units button")).to_have_count(5)
    titles = learn.locator(".group >> nth=1 >> .title").all_inner_texts()
    assert titles == [f"{state}₂" for state in states]
    assert "␣" in learn.inner_text("#network")
    assert "Drawn at random" in learn.inner_text("#origin")
    learn.click("#example")
    expect(learn.locator("#origin")).to_contain_text("by hand")
    assert learn.input_value("#word") == "hello"


def test_the_scale_makes_it_vanish_or_explode(learn: Page) -> None:
    learn.select_option("#cell", "rnn,nonlinearity=identity")
    expect(learn.locator("#cell-equations")).to_contain_text("W")
    for scale, word in (("0.1", "vanishes"), ("3", "explodes")):
        learn.fill("#scale", scale)
        expect(learn.locator("#verdict")).to_contain_text(f"It {word}")
    assert learn.inner_text("#scale-value") == "3.00"
    assert learn.get_attribute("#scale", "aria-valuetext") == "times 3.00"


def test_larger_weights_that_saturate_are_said_to_be_no_cure(learn: Page) -> None:
    verdict = learn.locator("#verdict")
    expect(verdict).not_to_contain_text("no cure")
    learn.fill("#scale", "3")
    expect(verdict).to_contain_text("Larger weights are no cure here: times 1 the factors were")
    expect(verdict).to_contain_text("of what the equations squash is saturated, not")


def test_larger_weights_that_help_are_not_said_to_be_no_cure(learn: Page) -> None:
    """The GRU's factor rises from 0.55 to 0.73, and still vanishes."""
    verdict = learn.locator("#verdict")
    learn.select_option("#cell", "gru")
    expect(verdict).to_contain_text("a factor of 0.551 in each of the 3 steps back")
    learn.fill("#scale", "3")
    expect(verdict).to_contain_text("It vanishes")
    expect(verdict).to_contain_text("a factor of 0.726 in each of the 3 steps back")
    expect(verdict).not_to_contain_text("no cure")


def test_a_linear_network_explodes_though_one_loss_shrinks_at_first(learn: Page) -> None:
    """Its U has the spectral radius 1.8; three steps back a loss shrinks to a fifth."""
    learn.select_option("#cell", "rnn,nonlinearity=identity")
    verdict = learn.locator("#verdict")
    expect(verdict).to_contain_text("It explodes: while the word is read again and again")
    expect(verdict).to_contain_text("by a factor of 1.82 in a step")
    expect(verdict).to_contain_text("a factor of 0.570 in each of the 3 steps back")
    expect(verdict).to_contain_text("So few steps show the contrary: they shrink.")


def test_a_state_that_is_not_the_output_counts(learn: Page) -> None:
    """The SRU's h is not read by its next step: what flows back comes by c."""
    learn.select_option("#cell", "sru")
    learn.click("#backward")
    expect(learn.locator(".group >> nth=0 >> .title")).to_have_text("‖∂ℓ₄/∂s₁‖")
    first = learn.locator(".arriving >> nth=0").inner_text()
    assert float(first.replace("−", "-")) > 0
    expect(learn.locator("#verdict")).to_contain_text(f"{first} arrives at step 1")
    learn.click("#forward")
    learn.click("#next")
    learn.click("#next")
    expect(learn.locator("#told")).to_contain_text("Step 2 reads “e” and c₁, and makes h₂")


def test_clipping(learn: Page) -> None:
    assert "2.9382" in learn.inner_text("#clipping")
    learn.check("#clip")
    learn.fill("#threshold", "0.5")
    text = learn.inner_text("#clipping")
    assert "0.5000" in text
    assert "multiplied by 0.1702" in text
    learn.fill("#threshold", "5")
    assert "nothing is clipped" in learn.inner_text("#clipping")


def test_train_until_ello_comes_out(learn: Page) -> None:
    assert "".join(learn.locator(".said b").all_inner_texts()) == "eooo"
    learn.check("#clip")
    learn.click("#some")
    expect(learn.locator("#progress")).to_contain_text("10 updates")
    assert "clipped at" in learn.inner_text("#progress")
    learn.click("#train")
    expect(learn.locator("#progress")).to_contain_text("all right")
    learn.wait_for_selector("#train:has-text('Train')")
    assert "".join(learn.locator(".said b").all_inner_texts()) == "ello"
    assert learn.locator("#curves path").count() == 2
    learn.click("#reset")
    expect(learn.locator("#origin")).to_contain_text("by hand")
    assert "".join(learn.locator(".said b").all_inner_texts()) == "eooo"


def test_with_the_keyboard_alone(learn: Page) -> None:
    learn.keyboard.press("Tab")
    assert learn.evaluate("document.activeElement.className") == "skip"
    learn.keyboard.press("Enter")
    learn.keyboard.press("ArrowRight")
    assert told(learn).startswith("Step 1 says")
    learn.keyboard.press("End")
    assert learn.inner_text("#place") == "8 of 8"
    learn.keyboard.press("ArrowLeft")
    assert told(learn).startswith("Step 4 reads")
    wanted = ["cell", "word", "hidden", "bias", "example", "forward", "backward", "network"]
    order = []
    for _ in wanted:
        learn.keyboard.press("Tab")
        order.append(learn.evaluate("document.activeElement.id"))
    assert order == wanted
    learn.focus("#backward")
    learn.keyboard.press("Enter")
    assert "The loss of step 4" in told(learn)
    learn.focus("#scale")
    learn.keyboard.press("ArrowRight")  # the slider's own
    assert learn.inner_text("#scale-value") == "1.05"
    assert learn.inner_text("#place") == "all 5 steps"


def test_everything_has_a_name(learn: Page) -> None:
    """What a screen reader would say of buttons and fields is never nothing."""
    unnamed = learn.evaluate(
        """() => [...document.querySelectorAll('button, input, select')].filter((node) =>
            !(node.getAttribute('aria-label') || node.textContent.trim() ||
              [...(node.labels ?? [])].some((label) => label.textContent.trim()))
        ).map((node) => node.outerHTML)"""
    )
    assert unnamed == []
    assert learn.get_attribute("#told", "aria-live") == "polite"


def test_a_refusal_is_said_and_what_was_there_stays(tab: Page, serve: Serve) -> None:
    page = tab  # which, refused, writes to its console
    page.goto(f"{serve()}/learn")
    page.wait_for_selector(".box")
    page.fill("#word", "x")
    page.press("#word", "Tab")
    expect(page.locator("#problem")).to_have_text("word: expected 2 to 40 letters, got 1")
    page.fill("#scale", "0.5")  # of the word that was there
    expect(page.locator("#problem")).to_be_hidden()
    page.fill("#word", "🙂é漢")
    page.press("#word", "Tab")
    expect(page.locator(".send")).to_have_count(2)
    assert "🙂" in page.inner_text("#network")


def test_a_refusal_stays_when_details_asked_before_it_arrive(tab: Page, serve: Serve) -> None:
    page, held = tab, []
    page.route("**/api/learn/detail", lambda route: held.append(route))
    page.goto(f"{serve()}/learn")
    page.wait_for_selector(".box")
    page.fill("#word", "x")
    page.press("#word", "Tab")
    expect(page.locator("#problem")).to_be_visible()
    for route in held:
        route.continue_()
    expect(page.locator("#step")).to_contain_text("0.2888")
    expect(page.locator("#problem")).to_have_text("word: expected 2 to 40 letters, got 1")


def test_it_fits_and_changes_colours(open_page: OpenPage, serve: Serve) -> None:
    page = open_page(f"{serve()}/learn", color_scheme="dark")
    page.wait_for_selector(".box")
    page.select_option("#cell", "lstm")
    page.fill("#word", "abcdefghijklmnopqrstuvwxyzabcdefghijklmn")
    page.press("#word", "Tab")
    expect(page.locator(".send")).to_have_count(39)
    page.click("#backward")
    for width, height in SIZES:
        page.set_viewport_size({"width": width, "height": height})
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    colour = "parseInt(getComputedStyle(document.body).backgroundColor.slice(4))"
    assert page.evaluate(colour) < 60
    page.emulate_media(color_scheme="light")
    assert page.evaluate(colour) > 200
    page.click(".theme")
    assert page.evaluate(colour) < 60
