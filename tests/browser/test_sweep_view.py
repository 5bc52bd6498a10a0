"""The sweep view in a real browser, driven by keyboard, a fresh kernel for each test."""

from __future__ import annotations

import pytest

from .conftest import Notebook, Server
from .test_race import DRAWN, FOCUSED, Page, expect

MAKE = """
from lrlab import instruments
view = instruments.SweepView("mlp", "digits", lr=[1e-3, 1e-2, 0.1, 1.0, 1e6], seeds=2, steps=60, how="batched")
"""
MAKE_MAP = """
from lrlab import instruments
view = instruments.SweepView(
    "mlp", "digits", rule="momentum", lr=[1e-2, 0.1, 1e6], rho=[0.5, 0.9], steps=60, how="batched"
)
"""
RED = """(canvas) => {
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    let red = 0;
    for (let i = 0; i < data.length; i += 4) red += data[i + 3] > 100 && data[i] > 150 && data[i] > 2.5 * data[i + 1];
    return red;
}"""


def opened(notebook: Notebook, server: Server, make: str) -> Page:
    server.write("lecture.ipynb", make, "view")
    notebook.open("lecture.ipynb")
    notebook.run_all()
    page = Page(notebook)
    page.wait_for_summary("at rest, 0 of")
    return page


@pytest.fixture
def view(notebook: Notebook, server: Server) -> Page:
    return opened(notebook, server, MAKE)


def finish(view: Page) -> str:
    view.press(view.button("start"), "Enter")
    view.notebook.wait_for("view._board.result is not None and not view.playing", seconds=60)
    return view.wait_for_summary("complete")


def test_a_sweep_is_made_and_read_by_keyboard_and_comes_back_after_a_reload(view: Page) -> None:
    notebook = view.notebook
    summary = finish(view)
    best = notebook.value("[float(view.result.best('loss')[name]) for name in ('lr', 'loss')]")
    assert f"10 of 10 runs done; best learning rate {best[0]:g}, {best[1]:.3g}" in summary
    assert "1 of 5 points diverged" in summary

    view.press(view.canvas, "Home", "ArrowRight")
    notebook.wait_for("view.selected == 2")
    loss = notebook.value("float(view.result.by()['loss'].iloc[1])")
    view.wait_for_summary(f"selected learning rate 0.01, training loss {loss:.3g}")
    view.press(view.canvas, "End")
    notebook.wait_for("view.selected == 8")
    view.wait_for_summary("selected learning rate 1e6, diverged")
    assert "diverged" in view.root.locator(".voice").text_content()
    step = notebook.value("int(view.result['steps'][8])")
    losses = view.root.locator("canvas").nth(1)
    losses.and_(view.page.get_by_label(f"diverged at step {step}")).wait_for()

    view.press(view.canvas, "ArrowLeft", "ArrowLeft")
    view.control("seed").select_option("1")
    notebook.wait_for("view.selected == 5")
    view.control("shows").select_option("val_accuracy")
    accuracy = notebook.wait_for("float(view.result.by()['val_accuracy'].iloc[2])")
    before = view.wait_for_summary(f"validation accuracy {100 * accuracy:.1f} %")
    notebook.save()
    notebook.reload()
    view.wait_for_summary(before)
    assert view.ink() > 2000 and view.ink(1) > 1000
    expect(view.control("seed")).to_have_value("1")
    expect(view.control("shows")).to_have_value("val_accuracy")

    view.press(losses, "Home", "End")
    spoken = view.root.locator(".voice").text_content()
    assert spoken.startswith("step 60: 0.") or spoken.startswith("step 60: 1.")


def test_the_selected_run_opens_in_a_tuner_below(view: Page) -> None:
    view.press(view.canvas, "ArrowLeft")
    view.notebook.wait_for("view.selected == 2")
    view.press(view.button("open in the tuner"), "Enter")
    view.notebook.wait_for("view._below.tuner is not None and view._below.tuner.run.step > 10")
    view.page.get_by_role("region", name="Live tuner").wait_for()
    view.notebook.value("view._below.tuner.pause()")
    assert view.notebook.value("[view._below.tuner.run.lr, view._below.tuner.run.seed]") == [0.01, 0]


def test_a_sweep_is_stopped_and_begun_again(view: Page) -> None:
    notebook = view.notebook
    notebook.value("setattr(view, '_steps', 200_000)")
    view.press(view.button("start"), "Enter")
    notebook.wait_for("view._board.progress is not None")
    view.wait_for_summary("training")
    expect(view.button("open in the tuner")).to_be_disabled()  # both would train at once
    view.press(view.button("stop"), "Enter")
    notebook.wait_for("not view.playing")
    view.wait_for_summary("at rest")
    notebook.value("setattr(view, '_steps', 20)")
    view.press(view.root.locator("button[data-face]"), "Enter")
    view.wait_for_summary("complete, 10 of 10 runs done")


def test_a_map_of_two_hyperparameters(notebook: Notebook, server: Server) -> None:
    view = opened(notebook, server, MAKE_MAP)
    summary = finish(view)
    assert "2 of 6 points diverged" in summary
    view.page.evaluate(DRAWN)
    assert view.canvas.evaluate(RED) > 200  # the stripes
    view.press(view.canvas, "Home", "PageDown", "ArrowUp", "ArrowRight")
    notebook.wait_for("view.selected == 3")
    view.wait_for_summary("selected learning rate 0.1, momentum ρ 0.9, training loss")
    box = view.canvas.bounding_box()
    view.page.mouse.click(box["x"] + 0.2 * box["width"], box["y"] + 0.7 * box["height"])  # the lower left cell
    notebook.wait_for("view.selected == 0")
    view.wait_for_summary("selected learning rate 0.01, momentum ρ 0.5")
    for width in (1280, 800):
        view.fits(width)


def test_every_control_is_reached_by_tab_and_has_a_name(view: Page) -> None:
    view.button("start").focus()
    names = []
    for _ in range(10):
        name, inside = view.page.evaluate(FOCUSED)
        if not inside:
            break
        names.append(name.split(" of ")[0].split(" at ")[0])
        view.page.keyboard.press("Tab")
    assert names == ["start", "open in the tuner", "shows", "seed", "Sweep", "Loss curve"]


def test_calm_at_800_pixels_and_in_both_themes(view: Page) -> None:
    for width in (1280, 800):
        view.fits(width)
    before = view.places()
    finish(view)
    assert view.places() == before
    view.is_another_in_the_dark()


def test_the_picture_stays_in_the_saved_notebook(view: Page) -> None:
    finish(view)
    view.notebook.wait_for("view._pictured is not None and view._pictured == view._picture_key()")
    picture = view.page.locator("img[alt^='Sweep view, mlp on digits, SGD']")
    picture.wait_for(state="attached")
    assert not picture.is_visible()  # it would double the live one
