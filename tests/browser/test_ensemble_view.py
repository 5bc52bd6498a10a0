"""The ensemble view in a real browser, driven by keyboard and by clicks."""

from __future__ import annotations

import pytest

from .conftest import Notebook, Server
from .test_race import FITS, FOCUSED, INK, PLACES, Page

MAKE = """
from lrlab import ensembles, instruments
members = ensembles.independent("mlp", "digits", members=4, lr=0.1, steps=60, how="batched", progress=False)
view = instruments.EnsembleView(members, "digits")
"""
PRESSED = """() => [...document.querySelectorAll('.lrlab button.member')]
    .flatMap((button, number) => (button.getAttribute('aria-pressed') === 'true' ? [number] : []))"""
ANSWERS = """() => [...document.querySelectorAll('.lrlab tbody tr')].map((row) =>
    [...row.querySelectorAll('td .says > span')].map((span) => span.textContent))"""
MARKED_RIGHT = """() => [...document.querySelectorAll('.lrlab tbody tr')].map((row) =>
    [...row.querySelectorAll('.says')].map((says) => says.classList.contains('right')))"""
FIRST_IMAGE = """async () => {
    const image = document.querySelector('.lrlab tbody img');
    await image.decode();
    const canvas = Object.assign(document.createElement('canvas'), { width: 8, height: 8 });
    const ctx = canvas.getContext('2d');
    ctx.drawImage(image, 0, 0);
    return [...ctx.getImageData(0, 0, 8, 8).data].filter((_, i) => i % 4 === 0);
}"""


@pytest.fixture
def view(notebook: Notebook, server: Server) -> Page:
    server.write("lecture.ipynb", MAKE, "view")
    notebook.open("lecture.ipynb")
    notebook.run_all()
    page = Page(notebook)
    page.wait_for_summary("Ensemble view, 4 of 4 members (seed 0, seed 1, seed 2, seed 3), average of probabilities")
    return page


def test_members_come_and_go_by_keyboard(view: Page) -> None:
    notebook, first = view.notebook, view.root.locator("button.member").first
    view.press(first, "ArrowRight", "Space")
    notebook.wait_for("view.members == (0, 2, 3)")
    view.wait_for_summary("3 of 4 members (seed 0, seed 2, seed 3)")
    view.page.keyboard.press("End")
    view.page.keyboard.press("Enter")
    notebook.wait_for("view.members == (0, 2)")
    words = view.wait_for_summary("2 of 4 members (seed 0, seed 2)")
    assert f"accuracy {notebook.value('100 * view.scores.whole.accuracy'):.1f} % (mean" in words
    assert f"ECE {notebook.value('100 * view.scores.whole.ece'):.1f} % (mean" in words
    assert "2 of 4 members: accuracy" in str(view.root.locator(".voice[aria-live]").text_content())
    assert view.page.evaluate(PRESSED) == [0, 2]
    view.root.get_by_text("2 forward passes an example · 120 training steps").wait_for()

    view.control("average of").select_option("logits")
    notebook.wait_for("view.average == 'logits'")
    before = view.wait_for_summary("average of logits")
    notebook.save()
    notebook.reload()
    view.wait_for_summary(before)
    assert view.page.evaluate(PRESSED) == [0, 2]
    assert all(view.root.locator("canvas").nth(number).evaluate(INK) > 3000 for number in range(3))

    view.press(view.button("best alone"), "Enter")
    best = notebook.wait_for("view.members", lambda members: len(members) == 1)
    assert best == [notebook.value("max(range(4), key=lambda m: view._alone[m].accuracy)")]
    view.wait_for_summary("1 of 4 members")
    view.press(view.root.locator("button.member").nth(best[0]), "Enter")
    view.root.get_by_role("alert").get_by_text("at least one member must stay").wait_for()
    assert view.page.evaluate(PRESSED) == best
    view.press(view.button("all in"), "Enter")
    notebook.wait_for("view.members == (0, 1, 2, 3)")


def test_quick_clicks_all_count(view: Page) -> None:
    view.page.evaluate("() => document.querySelectorAll('.lrlab button.member').forEach((it, i) => i && it.click())")
    view.notebook.wait_for("view.members == (0,)")
    view.wait_for_summary("1 of 4 members (seed 0)")
    assert view.page.evaluate(PRESSED) == [0]


def test_the_page_shows_what_the_kernel_knows(view: Page) -> None:
    notebook = view.notebook
    for images in ("disputed", "hardest"):
        view.control("examples").select_option(images)
        notebook.wait_for(f"view.images == {images!r}")
        answers = notebook.value("view.strip.drop(columns='truth').to_numpy().tolist()")
        view.page.wait_for_function(
            f"(answers) => JSON.stringify(({ANSWERS})()) === JSON.stringify(answers)", arg=answers
        )
        truth = notebook.value("view.strip['truth'].tolist()")
        right = [[answer == own for answer in row] for own, row in zip(truth, answers, strict=True)]
        assert view.page.evaluate(MARKED_RIGHT) == right
        pixels = notebook.value(f"(255 * view._pictures[{images!r}][0, 0]).round().flatten().int().tolist()")
        assert view.page.evaluate(FIRST_IMAGE) == pixels
    agreement = view.root.get_by_label("Agreement map of 4 members", exact=False)
    view.press(agreement, "ArrowRight", "ArrowRight", "ArrowDown")
    words = f"seed 1 and seed 2 give the same answer to {notebook.value('100 * view.agreement.iloc[1, 2]'):.1f} %"
    view.root.locator(".note").get_by_text(words).wait_for()


def test_every_control_is_reached_by_tab_and_has_a_name(view: Page) -> None:
    view.button("all in").focus()
    names = []
    for _ in range(10):
        name, inside = view.page.evaluate(FOCUSED)
        if not inside:
            break
        names.append(name)
        view.page.keyboard.press("Tab")
    accuracy = view.notebook.value("100 * view._alone[0].accuracy")
    assert names[:4] == ["all in", "best alone", "average of", "examples"]
    assert names[4:] == [
        f"seed 0{accuracy:.1f} %",
        "Agreement map of 4 members; the arrow keys go from pair to pair",
    ]


def test_calm_at_800_pixels_and_in_both_themes(view: Page) -> None:
    page = view.page
    for width in (1280, 800):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(300)
        assert page.evaluate(FITS)
        before = page.evaluate(PLACES)
        view.notebook.value("[view.only([1]), setattr(view, 'average', 'logits')]")
        view.wait_for_summary("1 of 4 members (seed 1), average of logits")
        assert page.evaluate(PLACES) == before
        view.notebook.value("[view.only(range(4)), setattr(view, 'average', 'probabilities')]")
        view.wait_for_summary("4 of 4 members")
    pictures = set()
    for theme in ("JupyterLab Dark", "JupyterLab Light"):
        view.notebook.theme(theme)
        pictures.add(view.canvas.evaluate("(canvas) => canvas.toDataURL()"))
    assert len(pictures) == 2


def test_the_picture_stays_in_the_saved_notebook(view: Page) -> None:
    view.notebook.wait_for("view._pictured is not None and view._pictured == view._picture_key()")
    picture = view.page.locator("img[alt^='Ensemble view, 4 of 4 members']")
    picture.wait_for(state="attached")
    assert not picture.is_visible()  # it would double the live one
