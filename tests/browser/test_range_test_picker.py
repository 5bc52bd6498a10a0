"""The range-test picker in a real browser, driven by keyboard and mouse, a fresh kernel for each test."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import Notebook, Server
from .test_race import FITS, FOCUSED, INK, Page, expect

MAKE = """
from lrlab import Run, instruments, rules
picker = instruments.RangeTestPicker(Run("mlp", "digits", rule=rules.Momentum(rho=0.9)), speed=400)
"""


def short(value: float) -> str:
    return f"{float(f'{value:.3g}'):g}"


@pytest.fixture
def picker(notebook: Notebook, server: Server) -> Page:
    server.write("lecture.ipynb", MAKE, "picker")
    notebook.open("lecture.ipynb")
    notebook.run_all()
    page = Page(notebook)
    page.wait_for_summary("after rate 0 of 100")
    return page


def made(picker: Page) -> float:
    """Press start, wait for the end; returns the rate that is chosen then."""
    picker.press(picker.button("start"), "Enter")
    chosen = picker.notebook.wait_for("picker.lr")
    picker.wait_for_summary(f"chosen {short(chosen)}")
    return float(chosen)


def test_a_rate_is_found_chosen_and_trained_with_by_keyboard(picker: Page) -> None:
    notebook = picker.notebook
    first = made(picker)
    advice = notebook.value("picker.suggestions")
    assert first == advice["nine_tenths_over_3"]
    for rule, lr in advice.items():
        expect(picker.control(f"{rule} {float(f'{lr:.2g}'):g}")).to_be_enabled()

    picker.press(picker.canvas, "ArrowRight", "ArrowRight")
    fine = notebook.wait_for("picker.lr", lambda lr: lr > 1.06 * first)
    assert fine == pytest.approx(first * 10**0.04, rel=0.02)
    picker.press(picker.canvas, "Shift+ArrowLeft")
    notebook.wait_for("picker.lr", lambda lr: abs(lr / (fine / 10**0.25) - 1) < 0.02)
    for key in ("Home", "ArrowUp"):  # from the lower end to the smallest suggestion
        picker.press(picker.canvas, key)
    least = min(advice, key=lambda rule: advice[rule])
    notebook.wait_for(f"picker.lr == {advice[least]!r}")
    picker.wait_for_summary(f"chosen {short(advice[least])}")
    assert picker.root.locator(".voice").first.text_content().startswith(f"{least}, learning rate")
    expect(picker.control(f"{least} {float(f'{advice[least]:.2g}'):g}")).to_be_checked()

    field = picker.control("chosen learning rate")
    field.fill("0.045")
    field.press("Enter")
    notebook.wait_for("picker.lr == 0.045")
    picker.press(picker.button("train with this"), "Enter")
    notebook.wait_for("picker._below.tuner is not None and picker._below.tuner.run.step > 20")
    tuner = picker.page.locator(".lrlab[aria-label='Live tuner']")
    tuner.get_by_role("button", name="pause", exact=True).click()
    notebook.wait_for("not picker._below.tuner.playing")
    assert notebook.value("[picker._below.tuner.run.lr, picker.run.step, picker.run.lr]") == [0.045, 0, 0.1]
    assert tuner.locator("canvas").evaluate(INK) > 1000

    before = picker.wait_for_summary("chosen 0.045")
    notebook.save()
    notebook.reload()
    picker.wait_for_summary(before)
    expect(field).to_have_value("0.045")
    assert picker.ink() > 2000
    tuner.locator("canvas").wait_for()
    assert not picker.page.locator("img[alt^='Range test']").is_visible()  # it would double the live one


def test_a_click_on_the_curve_chooses(picker: Page) -> None:
    made(picker)
    box = picker.canvas.bounding_box()
    mouse = picker.page.mouse
    mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 100)
    mouse.down()
    mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 120, steps=8)
    mouse.up()
    place = (0.5 * box["width"] - 52) / (box["width"] - 70)  # on the axis; margins as in range_test_picker.js
    goal = 10 ** (-7 + 8 * place)  # where the mouse has let go: on its way it chooses others
    lr = picker.notebook.wait_for("picker.lr", lambda lr: abs(lr / goal - 1) < 0.02)
    picker.wait_for_summary(f"chosen {short(lr)}")
    assert 3e-4 < lr < 3e-3  # the middle of 1e-7 to 10
    mouse.move(box["x"] + 0.8 * box["width"], box["y"] + 100)  # let go: the mouse chooses nothing any more
    assert picker.notebook.value("picker.lr") == lr
    picker.root.locator(".chip").first.click()
    picker.notebook.wait_for("picker.lr == picker.suggestions['steepest']")


def test_a_click_counts_after_a_number_that_was_typed(picker: Page) -> None:
    made(picker)
    field = picker.control("chosen learning rate")
    field.fill("nan")
    field.press("Enter")
    picker.root.get_by_role("alert").wait_for()
    field.fill("0.05")
    field.press("Enter")
    picker.notebook.wait_for("picker.lr == 0.05")
    box = picker.canvas.bounding_box()
    picker.page.mouse.click(box["x"] + 0.6 * box["width"], box["y"] + 0.5 * box["height"])
    picker.notebook.wait_for("0.001 < picker.lr < 0.02")
    picker.page.wait_for_timeout(300)  # nothing comes after it
    assert picker.notebook.value("picker.lr") < 0.02


def test_what_is_no_rate_is_refused_in_words(picker: Page) -> None:
    chosen = made(picker)
    field = picker.control("chosen learning rate")
    for typed, words in (
        ("-1", "lr must be greater than 0"),
        ("steepest", "lr must be a number"),
        ("0,05", "got '0,05'"),
    ):
        field.fill(typed)
        field.press("Enter")
        picker.root.get_by_role("alert").get_by_text(words).wait_for()
    assert picker.notebook.value("picker.lr") == chosen


def test_every_control_is_reached_by_tab_and_has_a_name(picker: Page) -> None:
    made(picker)
    picker.button("again").focus()
    names: list[Any] = []
    for _ in range(12):
        name, inside = picker.page.evaluate(FOCUSED)
        if not inside:
            break
        names.append(name.split(",")[0].split(" 0.")[0])
        picker.page.keyboard.press("Tab")
    assert names == ["again", "chosen learning rate", "train with this", "Range test", "nine_tenths_over_3"]


def test_calm_at_800_pixels_and_in_both_themes(picker: Page) -> None:
    for width in (1280, 800):
        picker.fits(width, 1000)
    before = picker.places()
    made(picker)
    assert picker.page.evaluate(FITS)
    moved = [(a, b) for a, b in zip(before, picker.places(), strict=True) if a.split(",")[1] != b.split(",")[1]]
    assert moved == []  # nothing goes up or down when the numbers come
    picker.is_another_in_the_dark()
