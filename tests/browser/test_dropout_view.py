"""The dropout view in a real browser, driven by keyboard."""

from __future__ import annotations

from .conftest import Notebook, Server
from .test_race import Page

MAKE = """
from lrlab import instruments
view = instruments.DropoutView(speed=20)
"""


def test_masks_p_mode_and_form_by_keyboard(notebook: Notebook, server: Server) -> None:
    server.write("lecture.ipynb", MAKE, "view")
    notebook.open("lecture.ipynb")
    notebook.run_all()
    view = Page(notebook)
    view.wait_for_summary("Dropout view, training, inverted form, p 0.5: mask 1")

    view.press(view.button("step"), "Enter")
    view.press(view.canvas, "ArrowRight", "ArrowRight")
    notebook.wait_for("view.masks == 4")
    view.wait_for_summary(f"mask 4: {notebook.value('view.dropped')} of 32 dropped")
    view.press(view.canvas, "ArrowDown")
    notebook.wait_for("view.settings['digit'] == 1")
    view.press(view.control("p, drop"), "ArrowRight", "ArrowRight", "ArrowRight")
    notebook.wait_for("view.settings['p'] == 0.53")
    view.wait_for_summary("p 0.53")

    places = view.places()
    view.press(view.button("play"), "Enter")
    notebook.wait_for("view.masks > 30")
    view.press(view.button("pause"), "Enter")
    notebook.wait_for("not view.playing")
    average = notebook.value("100 * view.average()[int(view._y[1])]")
    words = f"average of {notebook.value('view.masks')} masks {average:.1f} %"
    view.page.wait_for_function(
        "(words) => document.querySelector('.lrlab .voice').textContent.includes(words)", arg=words
    )
    assert view.places() == places

    view.press(view.control("mode"), "ArrowDown")
    view.wait_for_summary("Dropout view, inference, inverted form, p 0.53: no unit dropped")
    view.press(view.control("form"), "ArrowDown")
    before = view.wait_for_summary("Dropout view, inference, lecture form")
    view.root.get_by_text("All units hand on 0.47 · x").wait_for()
    notebook.save()
    notebook.reload()
    view.wait_for_summary(before)
    assert view.ink(0) > 3000 < view.ink(1)

    view.press(view.control("p, drop, number"), "Control+a", "2", "Enter")
    view.root.get_by_role("alert").get_by_text("p = 2 is outside its range 0 to 0.95").wait_for()
    view.press(view.button("reset"), "Enter")
    notebook.wait_for("view.masks == 1")
    view.fits(800)
