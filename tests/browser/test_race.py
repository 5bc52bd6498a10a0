"""The race and the adaptive view in a real browser, driven by keyboard, a fresh kernel for each test."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from .conftest import Notebook, Server, sync_api

expect = sync_api.expect
expect.set_options(timeout=30_000)  # milliseconds; a busy machine takes its time

MAKE = """
from lrlab import instruments, rules, surfaces
race = instruments.Race(surfaces.ravine(10), [rules.SGD(), rules.Momentum(rho=0.9), rules.Adam()], lr=0.02)
"""
MAKE_VIEW = """
from lrlab import instruments
view = instruments.AdaptiveView(lr=0.1)
"""
DESCEND = "rules.descend({rule}, race.surface, race.start, lr={lr}, steps=race.step)"
INK = """(canvas) => {
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    return data.filter((value, i) => i % 4 === 3 && value).length;
}"""
FITS = "() => { const e = document.querySelector('.lrlab'); return e.scrollWidth <= e.clientWidth; }"
PLACES = """() => [...document.querySelectorAll('.lrlab :is(button, input, select, canvas)')].map((element) => {
    const { x, y, width, height } = element.getBoundingClientRect();
    return [x, y, width, height].map(Math.round).join();
})"""
DRAWN = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
FOCUSED = """() => {
    const e = document.activeElement;
    const ring = [e, e.parentNode].some((it) => getComputedStyle(it).outlineStyle !== 'none');
    const name = e.getAttribute('aria-label') ?? e.textContent;
    return [ring ? name : `${name} WITHOUT FOCUS RING`, !!e.closest('.lrlab')];
}"""


class Page:
    """An instrument on a page, by what a learner can see, hear and press."""

    def __init__(self, notebook: Notebook) -> None:
        self.notebook, self.page = notebook, notebook.page
        self.root = self.page.locator(".lrlab")
        self.canvas = self.root.locator("canvas").first

    def button(self, name: str) -> Any:
        return self.root.get_by_role("button", name=name, exact=True)

    def control(self, label: str) -> Any:
        return self.root.get_by_label(label, exact=True)

    def press(self, target: Any, *keys: str) -> None:
        """Focus something, once it is enabled, and press keys."""
        expect(target).to_be_enabled()
        target.focus()
        for key in keys:
            self.page.keyboard.press(key)

    @property
    def summary(self) -> str:
        return str(self.canvas.get_attribute("aria-label"))

    def wait_for_summary(self, words: str) -> str:
        self.page.wait_for_function(
            "(words) => document.querySelector('.lrlab canvas')?.getAttribute('aria-label').includes(words)", arg=words
        )
        return self.summary

    def ink(self, canvas: int = 0) -> int:
        """How many pixels of a canvas are painted, once what the page knows has been drawn."""
        self.page.evaluate(DRAWN)
        return int(self.root.locator("canvas").nth(canvas).evaluate(INK))

    def places(self, of: str = PLACES) -> list[str]:
        """Where everything lies, once it has come to rest."""
        before, now = None, self.page.evaluate(of)
        while now != before:
            self.page.wait_for_timeout(150)
            before, now = now, self.page.evaluate(of)
        return list(now)

    def fits(self, width: int, height: int = 900) -> None:
        """At this width of the window nothing of the instrument is cut off."""
        self.page.set_viewport_size({"width": width, "height": height})
        self.page.wait_for_function("(width) => innerWidth === width", arg=width)
        self.page.evaluate(DRAWN)
        self.page.wait_for_function(FITS)

    def is_another_in_the_dark(self) -> None:
        """The picture follows Jupyter's theme."""
        data = "document.querySelector('.lrlab canvas').toDataURL()"
        light = self.page.evaluate(f"() => {data}")
        self.notebook.theme("JupyterLab Dark")
        self.page.wait_for_function(f"(light) => {data} !== light", arg=light)
        self.notebook.theme("JupyterLab Light")
        self.page.wait_for_function(f"(light) => {data} === light", arg=light)


@pytest.fixture
def race(notebook: Notebook, server: Server) -> Page:
    server.write("lecture.ipynb", MAKE, "race")
    notebook.open("lecture.ipynb")
    notebook.run_all()
    page = Page(notebook)
    page.wait_for_summary("start (-9, 1), at rest at step 0")
    return page


def test_the_race_is_driven_by_keyboard_and_comes_back_after_a_reload(race: Page) -> None:
    notebook = race.notebook
    race.press(race.canvas, *["ArrowRight"] * 5, *["ArrowUp"] * 3, "Shift+ArrowUp")
    notebook.wait_for("race.start == (-7.0, 2.24)")
    race.wait_for_summary("start (-7, 2.24)")
    race.press(race.button("play"), "Enter")
    notebook.wait_for("race.step > 10")
    race.press(race.button("pause"), "Enter")
    notebook.wait_for("not race.playing")
    step = 1 + notebook.value("race.step")
    race.press(race.button("step"), "Enter")
    race.wait_for_summary(f"at rest at step {step}:")

    race.press(race.control("SGD"), "ArrowRight")  # the next racer
    notebook.wait_for("race._selected.name == 'Momentum'")
    race.control("momentum ρ").wait_for()
    race.press(race.control("learning rate"), *["ArrowLeft"] * 4)
    rate = notebook.wait_for("race.settings['Momentum']['lr']", lambda lr: lr < 0.013)
    notebook.wait_for("race.settings['SGD']['lr'] == 0.02 and not race.playing")
    expect(race.control("learning rate")).to_have_attribute("aria-valuetext", f"{rate:g}")

    # The path ends at the same point in Python and on the page.
    x, y = notebook.value(DESCEND.format(rule="rules.Momentum(rho=0.9)", lr=rate) + "[-1].tolist()")
    assert np.array_equal(notebook.value("race.paths()['Momentum'][-1]"), [x, y])
    place = f"Momentum at ({float(f'{x:.3g}'):g}, {float(f'{y:.3g}'):g})"
    before = race.wait_for_summary(place)
    notebook.save()
    notebook.reload()
    race.wait_for_summary(before)
    expect(race.control("Momentum")).to_be_checked()
    expect(race.control("learning rate, number")).to_have_value(f"{rate:g}")
    assert race.ink() > 2000 and race.ink(1) > 1000
    race.press(race.button("reset"), "Enter")
    notebook.wait_for("race.step == 0")
    race.press(race.canvas, "Home")
    race.wait_for_summary("start (-9, 1), at rest at step 0")


def test_the_ring_goes_where_the_start_goes(race: Page) -> None:
    picture = "() => document.querySelector('.lrlab canvas').toDataURL()"
    race.canvas.focus()
    race.page.evaluate(DRAWN)
    home = race.page.evaluate(picture)
    race.press(race.canvas, "ArrowRight")
    race.wait_for_summary("start (-8.6, 1)")
    race.page.wait_for_function("(home) => document.querySelector('.lrlab canvas').toDataURL() !== home", arg=home)
    race.press(race.canvas, "Home")  # the hand does not say where that is
    race.wait_for_summary("start (-9, 1)")
    race.page.wait_for_function("(home) => document.querySelector('.lrlab canvas').toDataURL() === home", arg=home)


def test_the_start_is_dragged_with_the_mouse(race: Page) -> None:
    race.notebook.value("[race.play(40), race.wait()]")
    race.wait_for_summary("at step 40")
    box = race.canvas.bounding_box()
    mouse = race.page.mouse
    mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    mouse.down()
    for i in range(1, 31):
        mouse.move(box["x"] + box["width"] / 2 + 3 * i, box["y"] + box["height"] / 2 - 2 * i)
    mouse.up()
    (left, right), (bottom, top) = race.notebook.value("race._relief.window")
    # How much a pixel is, with the margins of race.js.
    unit = (right - left) / (box["width"] - 52), (top - bottom) / (box["height"] - 28)
    goal = left + (box["width"] / 2 + 90 - 40) * unit[0], top - (box["height"] / 2 - 60 - 6) * unit[1]
    x, y = race.notebook.wait_for(  # where the hand has let go, not where it was on its way
        "race.start", lambda at: all(abs(a - b) < 1.2 * c for a, b, c in zip(at, goal, unit, strict=True))
    )
    race.wait_for_summary(f"start ({float(f'{x:.3g}'):g}, {float(f'{y:.3g}'):g})")
    expected = race.notebook.value(DESCEND.format(rule="rules.Adam()", lr=0.02) + ".tolist()")
    assert np.array_equal(race.notebook.value("race.paths()['Adam']"), expected)
    mouse.move(box["x"] + 5000, box["y"])  # let go: the mouse moves nothing any more
    assert race.notebook.value("race.start") == [x, y]


def test_a_figure_that_is_dragged_answers_within_a_few_frames(race: Page) -> None:
    race.notebook.value("[race.play(60), race.wait()]")
    race.wait_for_summary("at step 60")
    race.canvas.focus()
    times = []
    for i in range(20):
        times.append(
            race.page.evaluate(
                """(key) => new Promise((done) => {
                    const canvas = document.querySelector('.lrlab canvas');
                    const began = performance.now();
                    const watch = new MutationObserver(() => { watch.disconnect(); done(performance.now() - began); });
                    watch.observe(canvas, { attributes: true, attributeFilter: ['aria-label'] });
                    canvas.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true }));
                })""",
                "ArrowRight" if i % 2 else "ArrowLeft",
            )
        )
    print(f"key to new paths: median {np.median(times):.0f} ms, worst {max(times):.0f} ms")
    assert len(times) == 20


def test_noise_and_divergence_are_said_in_words(race: Page) -> None:
    race.notebook.value("[race.play(20), race.wait()]")
    field = race.control("learning rate, number")
    field.fill("0.9")
    field.press("Enter")
    race.wait_for_summary("SGD diverged at step")
    race.root.locator(".chip").first.get_by_text("diverged at step").wait_for()
    race.press(race.control("gradient noise σ"), *["ArrowRight"] * 30)
    race.notebook.wait_for("race.sigma > 0.02")
    field.fill("never")
    field.press("Enter")
    race.root.get_by_role("alert").get_by_text("lr must be a number").wait_for()
    assert race.notebook.value("race.settings['SGD']['lr']") == 0.9


def test_values_under_the_cursor_are_spoken(race: Page) -> None:
    race.notebook.value("[race.play(50), race.wait()]")
    race.wait_for_summary("at rest at step 50")  # and that has been said
    race.press(race.root.locator("canvas").nth(1), "Home", "ArrowRight", "ArrowRight")
    gap = race.notebook.value("float(race.gaps()['SGD'][2])")
    spoken = race.root.locator(".voice").text_content()
    assert spoken.startswith(f"step 2, height above the minimum: SGD {gap:.2g},")


def test_every_control_is_reached_by_tab_and_has_a_name(race: Page) -> None:
    race.button("play").focus()
    names = []
    for _ in range(20):
        name, inside = race.page.evaluate(FOCUSED)
        if not inside:
            break
        names.append(name)
        race.page.keyboard.press("Tab")
    shown = [name.split(",")[0] if name.startswith(("Race on", "step 0")) else name for name in names]
    assert shown == [
        *("play", "step", "reset", "speed", "Race on the ravine", "step 0", "SGD"),
        *("learning rate", "learning rate, number", "gradient noise σ", "gradient noise σ, number"),
    ]


def test_calm_at_800_pixels_and_in_both_themes(race: Page) -> None:
    race.notebook.value("[race.play(30), race.wait()]")
    race.wait_for_summary("at rest at step 30")
    for width in (1280, 800):
        race.fits(width)
    before = race.places()
    race.notebook.value("[race.play(200), race.wait()]")
    race.wait_for_summary("at rest at step 230")
    assert race.places() == before
    race.is_another_in_the_dark()


def test_less_motion_when_asked_for(race: Page) -> None:
    race.page.emulate_media(reduced_motion="reduce")
    race.page.evaluate(DRAWN)
    race.page.evaluate("""() => {
        window.frames_seen = new Set();
        const look = () => {
            window.frames_seen.add(document.querySelector('.lrlab canvas').toDataURL());
            requestAnimationFrame(look);
        };
        look();
    }""")
    race.press(race.button("step"), "Enter")
    race.wait_for_summary("at rest at step 1")
    race.page.wait_for_timeout(200)  # as long as a path would glide, and more
    assert race.page.evaluate("() => window.frames_seen.size") == 2  # step 0 and step 1, and nothing between them


def test_the_picture_stays_in_the_saved_notebook(race: Page) -> None:
    race.notebook.value("[race.play(25), race.wait()]")
    race.notebook.wait_for("race._pictured is not None and race._pictured == race._picture_key()")
    picture = race.page.locator("img[alt^='Race on the ravine from (-9, 1): after 25 steps']")
    picture.wait_for(state="attached")
    assert not picture.is_visible()  # it would double the live one


def test_the_adaptive_view_is_turned_by_keyboard(notebook: Notebook, server: Server) -> None:
    server.write("lecture.ipynb", MAKE_VIEW, "view")
    notebook.open("lecture.ipynb")
    notebook.run_all()
    view = Page(notebook)
    view.wait_for_summary("AdaGrad: steep 0.1, flat 0.1;")
    view.press(view.control("learning rate"), *["ArrowRight"] * 4)
    rate = notebook.wait_for("view.settings['lr']", lambda lr: lr > 0.15)
    view.wait_for_summary(f"AdaGrad: steep {rate:g}, flat {rate:g};")
    steps = view.control("steps, number")
    steps.fill("50")
    steps.press("Enter")
    view.wait_for_summary("Last step 50")
    view.press(view.canvas, "End")
    spoken = view.root.locator(".voice")
    value = notebook.value("float(view.lengths()['RMSProp'][-1, 0])")
    view.page.wait_for_function("() => document.querySelector('.lrlab .voice').textContent.startsWith('step 50.')")
    assert f"RMSProp: steep {float(f'{value:.3g}'):g}" in spoken.text_content()
    view.control("shows").select_option("rate")
    before = view.wait_for_summary("effective rate")
    notebook.save()
    notebook.reload()
    view.wait_for_summary(before)
    assert view.ink() > 1000
    view.press(view.control("learning rate, number"), "Control+a", "x", "Enter")
    view.root.get_by_role("alert").get_by_text("lr must be a number").wait_for()
    for width in (1280, 800):
        view.fits(width)
