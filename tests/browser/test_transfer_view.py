"""The transfer view in a real browser, driven by keyboard, a fresh kernel for each test."""

from __future__ import annotations

import json

import pytest

from .conftest import Notebook, Server
from .test_race import FOCUSED, Page, expect

MAKE = """
from lrlab import Run, data, instruments, models, rules
digits = data.load("digits", device="cpu", per_class=10)
run = Run(lambda: {model}, digits, rule=rules.Momentum(), lr=0.02, batch_size=20, validate_every=10, device="cpu")
view = instruments.TransferView(run, speed=100)
"""


@pytest.fixture
def view(notebook: Notebook, server: Server) -> Page:
    server.write("lecture.ipynb", MAKE.format(model="models.cnn()"), "view")
    return opened(notebook)


def opened(notebook: Notebook) -> Page:
    notebook.open("lecture.ipynb")
    notebook.run_all()
    page = Page(notebook)
    page.wait_for_summary("step 0, base rate 0.02")
    return page


def test_rates_freezing_and_training_by_keyboard(view: Page, server: Server) -> None:
    notebook = view.notebook
    view.press(view.control("block2 factor"), *["ArrowLeft"] * 20)
    notebook.wait_for("view.factor['block2'] == 0.1")
    view.wait_for_summary("block2 rate 0.002")
    expect(view.control("block2 factor")).to_have_attribute("aria-valuetext", "0.1, rate 0.002")
    expect(view.control("block2 factor, number")).to_have_value("0.1")
    view.press(view.control("block1 factor"), "f")
    notebook.wait_for("view.frozen == ('block1',)")
    view.press(view.control("block3 frozen"), "Space")
    notebook.wait_for("view.frozen == ('block1', 'block3')")
    view.wait_for_summary("block1 frozen, moved 0 %; block2 rate 0.002, moved 0 %; block3 frozen")
    expect(view.control("block3 frozen")).to_be_checked()
    expect(view.control("block3 factor, number")).to_have_value("0")

    view.press(view.button("play"), "Enter")
    notebook.wait_for("run.step > 30")
    view.press(view.button("unfreeze next"), "Enter")  # while it trains
    notebook.wait_for("view.frozen == ('block1',)")
    step = notebook.wait_for("view.unfrozen_at and view.unfrozen_at[0][0] or 0")
    notebook.wait_for(f"run.step > {step} + 10")
    view.press(view.button("pause"), "Enter")
    notebook.wait_for("not view.playing")
    assert notebook.value("view.moved['block1'] == 0 < min(view.moved['block2'], view.moved['block3'])")
    assert notebook.value("run.history['lr'][-1] * view.factor['block2']") == pytest.approx(0.002)
    moved = notebook.value("f\"{100 * view.moved['head']:.2g}\"")
    spoken = "(words) => document.querySelector('.lrlab .voice').textContent.includes(words)"
    view.page.wait_for_function(spoken, arg=f"head rate 0.02, moved {float(moved):g} %")
    curves = view.root.locator("canvas.curves")
    assert f"block3 unfrozen at step {step}" in str(curves.get_attribute("aria-label"))
    view.root.get_by_text("block1 is the next to unfreeze.").wait_for()

    before = view.summary
    title, step_now = notebook.value("[run.title, run.step]")
    alt = f"Transfer view, {title}: {step_now} steps, block2, block3 and head learn"
    picture = view.page.locator(f"img[alt^='{alt}']")
    picture.wait_for(state="attached")
    assert not picture.is_visible()  # it would double the live one
    notebook.save()
    saved = json.loads((server.folder / "lecture.ipynb").read_text())["cells"][1]["outputs"]
    assert alt in "".join(saved[1]["data"]["text/html"])
    notebook.reload()
    view.wait_for_summary(before)
    assert f"block3 unfrozen at step {step}" in str(curves.get_attribute("aria-label"))
    for number in range(3):
        assert view.ink(number) > 5000

    view.press(curves, "ArrowLeft", "ArrowLeft", "Shift+ArrowLeft", "Enter")
    words = view.root.locator(".note").inner_text()
    goal = int("".join(filter(str.isdigit, words.split(",")[0])))
    assert words.startswith("Rewind goes back to step")
    view.press(view.button("rewind"), "Enter")
    notebook.wait_for(f"run.step == {goal}")
    view.press(view.button("rewind"), "Enter")
    notebook.wait_for("run.step == 0 and not any(view.moved.values())")
    view.press(view.control("base rate, number"), "Control+a", *"0.05", "Enter")
    notebook.wait_for("view.rates['head'] == 0.05")
    view.press(view.control("head factor, number"), "Control+a", *"-2", "Enter")
    view.root.get_by_role("alert").get_by_text("the factor of 'head' must be at least 0").wait_for()


def test_a_network_without_convolutions_tab_and_narrow_pages(notebook: Notebook, server: Server) -> None:
    server.write("lecture.ipynb", MAKE.format(model="models.mlp()"), "view")
    view = opened(notebook)
    assert not view.root.locator("canvas.filters").is_visible()
    view.button("play").focus()
    seen = []
    for _ in range(16):
        name, inside = view.page.evaluate(FOCUSED)
        seen += [name.strip()] if inside else []
        view.page.keyboard.press("Tab")
    rows = [f"{group} {what}" for group in ("block1", "head") for what in ("frozen", "factor", "factor, number")]
    presets = ["head only", "all equal", "÷ 2.6 each"]  # there is nothing to unfreeze, and nothing to rewind
    curves = "Loss and validation accuracy: no step was made yet"
    assert seen == ["play", *presets, "base rate", "base rate, number", *rows, curves]
    for width in (1280, 800):
        view.fits(width)
        places = view.places()
        view.press(view.button("play"), "Enter")
        notebook.wait_for("run.step > 20")
        view.press(view.button("head only"), "Enter")
        notebook.wait_for("view.frozen == ('block1',)")
        view.press(view.button("pause"), "Enter")
        notebook.wait_for("not view.playing")
        assert view.places() == places
        view.press(view.button("rewind"), "Enter")
        notebook.wait_for("run.step == 0")
