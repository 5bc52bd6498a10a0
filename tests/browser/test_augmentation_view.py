"""The augmentation view in a real browser, driven by keyboard."""

from __future__ import annotations

import numpy as np
import pytest

from .conftest import Notebook, Server
from .test_race import DRAWN, FOCUSED, Page, expect

MAKE = """
from lrlab import augmentation, instruments
start = augmentation.Pipeline((augmentation.Rotate(10), augmentation.HorizontalFlip(0.5)))
view = instruments.AugmentationView("digits", start)
"""
# The pixels of the canvas in the middle of each picture's field, as the page shows them.
MIDDLES = """(canvas) => {
    const ctx = canvas.getContext('2d');
    const wide = canvas.width / 6, high = canvas.height / 2;
    return Array.from({ length: 12 }, (_, i) =>
        [...ctx.getImageData((i % 6 + 0.45) * wide, (Math.floor(i / 6) + 0.58) * high, 1, 1).data]);
}"""


@pytest.fixture
def view(notebook: Notebook, server: Server) -> Page:
    server.write("lecture.ipynb", MAKE, "view")
    notebook.open("lecture.ipynb")
    notebook.run_all()
    page = Page(notebook)
    page.wait_for_summary("11 draws with seed 0 of Rotate(degrees=10)")
    return page


def test_the_view_is_driven_by_keyboard(view: Page) -> None:
    notebook = view.notebook
    view.press(view.control("rotate, ° up to"), *["ArrowRight"] * 5)
    notebook.wait_for("view.settings['rotate'] == 15")
    view.wait_for_summary("Rotate(degrees=15)")
    field = view.control("flip, p, number")
    field.fill("0.9")
    field.press("Enter")
    notebook.wait_for("view.settings['flip'] == 0.9")
    view.press(view.canvas, "n")
    notebook.wait_for("view.pipeline.seed == 1")
    view.wait_for_summary("seed 1")
    view.press(view.button("new draws"), "Enter")
    notebook.wait_for("view.pipeline.seed == 2")

    view.control("add").select_option("shear")
    view.control("shear, ° up to").wait_for()
    view.press(view.button("remove flip"), "Enter")
    notebook.wait_for("list(view.settings) == ['rotate', 'shear', 'lam']")
    view.wait_for_summary("Rotate(degrees=15), Shear(degrees=15.0)")
    expect(view.control("add")).to_be_focused()  # focus stays in the instrument
    code = view.root.locator("code").text_content()
    assert notebook.value(f"(made := {{}}, exec({code!r}, made), made['pipeline'] == view.pipeline)[2]")

    view.press(view.canvas, "Home", "ArrowRight", "ArrowRight")
    words = notebook.value("view._words[2]")
    assert view.root.locator(".voice").text_content() == f"draw 3: {words}"
    assert view.root.locator(".note").text_content() == f"draw 3: {words}"
    angle = notebook.value("float(view.pipeline.draw(11, (8, 8), 2)[0]['angle'][2])")
    assert words.startswith(f"angle {float(f'{angle:.3g}'):g},")

    field = view.control("rotate, ° up to, number")
    field.fill("500")
    field.press("Enter")
    view.root.get_by_role("alert").get_by_text("Rotate: degrees must be a number from 0 to 180, got 500").wait_for()
    before = view.summary
    notebook.save()
    notebook.reload()
    view.wait_for_summary(before)
    assert view.ink() > 20_000
    view.press(view.button("reset"), "Enter")
    notebook.wait_for("view.pipeline == start")


def test_the_page_shows_the_pixels_of_the_kernel(view: Page) -> None:
    view.notebook.value("view.choose('8')")
    view.wait_for_summary("8 of digits")
    view.page.evaluate(DRAWN)
    shown = np.array(view.canvas.evaluate(MIDDLES))[:, 0] / 255
    pixels = np.array(view.notebook.value("[view._pixels[8].tolist(), *view.draws().tolist()]"))[:, 0]
    near = np.array([np.abs(picture[3:6, 2:6] - value).min() for picture, value in zip(pixels, shown, strict=True)])
    assert near.max() < 0.01 and shown.std() > 0.01


def test_two_pictures_are_mixed_by_keyboard(view: Page) -> None:
    view.control("shows").select_option("mixup")
    view.control("picture").select_option("3")
    view.control("mixed with").select_option("8")
    view.press(view.control("λ, the share of the first"), *["ArrowLeft"] * 20)
    view.notebook.wait_for("view.settings['lam'] == 0.5")
    view.wait_for_summary("3 and 8 of digits, mixed with λ = 0.5. mixup: 3 0.50, 8 0.50; CutMix: 3 0.")
    expect(view.control("λ, the share of the first")).to_have_attribute("aria-valuetext", "0.5")
    assert view.ink() > 20_000


def test_every_control_is_reached_by_tab_and_has_a_name(view: Page) -> None:
    view.button("new draws").focus()
    names = []
    for _ in range(20):
        name, inside = view.page.evaluate(FOCUSED)
        if not inside:
            break
        names.append(name)
        view.page.keyboard.press("Tab")
    assert [name.split(":")[0] for name in names] == [
        *("new draws", "reset", "shows", "picture", "add", "Augmentation view", "rotate, ° up to"),
        *("rotate, ° up to, number", "remove rotate", "flip, p", "flip, p, number", "remove flip", "copy"),
    ]


def test_calm_at_800_pixels_and_in_both_themes(view: Page) -> None:
    for width in (1280, 800):
        view.fits(width)
    before = view.places()
    view.notebook.value("[view.turn('rotate', 173), view.new_draws(), view.choose('5')]")
    view.wait_for_summary("5 of digits, and 11 draws with seed 1 of Rotate(degrees=173)")
    assert view.places() == before
    view.is_another_in_the_dark()


def test_the_picture_stays_in_the_saved_notebook(view: Page) -> None:
    view.notebook.wait_for("view._pictured is not None and view._pictured == view._picture_key()")
    picture = view.page.locator("img[alt^='Augmentation view: 0 of digits, and 11 draws']")
    picture.wait_for(state="attached")
    assert not picture.is_visible()  # it would double the live one
