"""The penalty view in a real browser, driven by keyboard."""

from __future__ import annotations

import pytest

from .conftest import Notebook, Server
from .test_race import FOCUSED, Page

MAKE = """
from lrlab import instruments
view = instruments.PenaltyView("L2", lam=0.01, speed=200)
"""


@pytest.fixture
def view(notebook: Notebook, server: Server) -> Page:
    server.write("lecture.ipynb", MAKE, "view")
    notebook.open("lecture.ipynb")
    notebook.run_all()
    page = Page(notebook)
    page.wait_for_summary("Penalty view, L2, penalty λ 0.01")
    return page


def test_penalty_strength_and_minimum_by_keyboard(view: Page) -> None:
    notebook = view.notebook
    view.press(view.control("penalty λ"), *["ArrowRight"] * 6)
    lam = notebook.wait_for("view.settings['lam']", lambda lam: lam > 0.015)
    view.wait_for_summary(f"λ {lam:g}")
    assert notebook.value("view.solution[1] > 0.2")
    view.press(view.control("penalty"), "ArrowDown")  # the next in the list
    view.wait_for_summary("Penalty view, L1")
    x = notebook.value("view.solution[0]")
    view.wait_for_summary(f"solution ({float(f'{x:.3g}'):g}, 0)")
    view.press(view.canvas, "ArrowUp", "ArrowUp", "ArrowLeft", "Shift+ArrowLeft")
    notebook.wait_for("[round(at, 6) for at in view.settings['minimum']] == [1.39, 1.0]")
    view.wait_for_summary("least at (1.39, 1)")
    view.press(view.canvas, "Home")
    notebook.wait_for("view.settings['minimum'] == (1.5, 0.8)")

    view.press(view.button("play"), "Enter")
    notebook.wait_for("view.step > 60")
    view.press(view.button("pause"), "Enter")
    notebook.wait_for("not view.playing")
    step, share = notebook.value("[view.step, 100 * view.zeros]")
    words = f"step {step:,}: {share:.1f} % of the weights are exactly 0"
    view.page.wait_for_function(
        "(words) => document.querySelector('.lrlab .voice').textContent.startsWith(words)", arg=words
    )
    view.control("penalty").select_option("elastic net")
    field = view.control("squares β, number")
    field.fill("8")
    field.press("Enter")
    notebook.wait_for("view.settings['beta'] == 8 and view.run.penalty.beta == 8")
    before = view.wait_for_summary("squares β 8")
    notebook.save()
    notebook.reload()
    view.wait_for_summary(before)
    assert view.ink(0) > 5000 < view.ink(1)
    view.press(view.control("penalty λ, number"), "Control+a", "-", "1", "Enter")
    view.root.get_by_role("alert").get_by_text("lam = -1 is outside its range").wait_for()
    view.press(view.button("reset"), "Enter")
    notebook.wait_for("view.step == 0")


def test_it_is_calm_and_reached_by_tab(view: Page) -> None:
    view.button("play").focus()
    seen = []
    for _ in range(6):
        name, inside = view.page.evaluate(FOCUSED)
        seen += [name] if inside else []
        view.page.keyboard.press("Tab")
    assert [name.strip() for name in seen] == [
        "play",
        "reset",
        "penalty",
        view.summary,
        "penalty λ",
        "penalty λ, number",
    ]
    for width in (1280, 800):
        view.fits(width)
        places = view.places()
        view.press(view.button("play"), "Enter")
        view.notebook.wait_for("view.step > 10")
        view.press(view.button("pause"), "Enter")
        view.notebook.wait_for("not view.playing")
        assert view.places() == places
        view.press(view.button("reset"), "Enter")
        view.notebook.wait_for("view.step == 0")
