"""The schedule designer in a real browser: everything by keyboard, one drag and one drawing by mouse."""

from __future__ import annotations

import pytest

from .conftest import Notebook, Server
from .test_race import FOCUSED, Page

MAKE = """
from lrlab import instruments, schedules
designer = instruments.ScheduleDesigner(100, schedules.Cosine(0.1, total=100), seeds=3)
"""


@pytest.fixture
def designer(notebook: Notebook, server: Server) -> Page:
    server.write("lecture.ipynb", MAKE, "designer")
    notebook.open("lecture.ipynb")
    notebook.run_all()
    page = Page(notebook)
    page.wait_for_summary("100 steps: Cosine from 0.1 to 0, highest 0.1")
    return page


def wait_for_code(designer: Page, code: str) -> None:
    """The kernel's schedule, the page's code and the page's formula say the same."""
    designer.notebook.wait_for(f"designer.code == {code!r}")
    designer.notebook.wait_for(f"designer.schedule == eval({code!r})")
    shown = designer.root.locator("code")
    designer.page.wait_for_function("(code) => document.querySelector('.lrlab code').textContent === code", arg=code)
    assert shown.text_content() == code
    rows = designer.root.locator(".formula div").all_text_contents()
    formula = designer.notebook.value("designer.formula").split("\n")
    assert [row.replace(" ", "") for row in rows] == [
        line.replace("    for ", "").replace("; ", "").replace("^{", "").replace("}", "").replace(" ", "")
        for line in formula
    ]


def test_a_schedule_is_built_and_trained_by_keyboard(designer: Page) -> None:
    notebook = designer.notebook
    designer.control("join a piece before").select_option("Warmup")
    wait_for_code(designer, "schedules.Warmup(0.1, steps=10).then(schedules.Cosine(0.1, total=90))")
    peak = designer.root.get_by_role("slider", name="Warmup peak", exact=True)
    designer.press(peak, *["ArrowRight"] * 5, "Shift+ArrowRight", "ArrowUp", "Shift+ArrowUp")
    notebook.wait_for("designer.handles['Warmup peak'][0] == 25 and designer.handles['Warmup peak'][1] > 0.11")
    lr = notebook.value("designer.handles['Warmup peak'][1]")
    wait_for_code(designer, f"schedules.Warmup({lr}, steps=25).then(schedules.Cosine({lr}, total=75))")
    assert peak.get_attribute("aria-valuetext") == f"step 25, rate {lr:g}"
    assert peak.evaluate("(grip) => grip === document.activeElement")

    field = designer.control("lr of piece 2")
    field.fill("0.2")
    field.press("Enter")
    wait_for_code(designer, "schedules.Warmup(0.2, steps=25).then(schedules.Cosine(0.2, total=75))")
    designer.control("kind of piece 2").select_option("Linear")
    wait_for_code(designer, "schedules.Warmup(0.2, steps=25).then(schedules.Linear(0.2, total=75))")
    designer.control("shape of piece 1").select_option("exponential")
    designer.root.get_by_role("alert").get_by_text("an exponential rise needs start > 0").wait_for()
    wait_for_code(designer, "schedules.Warmup(0.2, steps=25).then(schedules.Linear(0.2, total=75))")

    designer.press(designer.button("duplicate"), "Enter")
    notebook.wait_for("len(designer.names) == 2")
    designer.press(designer.button("take out piece 1"), "Enter")
    wait_for_code(designer, "schedules.Linear(0.2, total=100)")
    designer.press(designer.button("undo"), "Enter", "Enter", "Enter")
    notebook.wait_for("len(designer.names) == 1")
    designer.press(designer.button("add"), "Enter")
    designer.control("name of the selected design").fill("plain")
    designer.control("name of the selected design").press("Enter")
    notebook.wait_for("designer.names[1] == 'plain'")
    designer.press(designer.control("plain"), "ArrowLeft")  # the chips are radio buttons
    notebook.wait_for("designer._selected == 0")

    designer.press(designer.button("train"), "Enter")
    notebook.wait_for("designer.result is not None and not designer.playing", seconds=60)
    designer.wait_for_summary("plain: validation loss")
    verdict = notebook.value("designer.verdict()")
    designer.page.wait_for_function("(w) => document.querySelector('.lrlab .note').textContent === w", arg=verdict)
    assert notebook.value("len(designer.result)") == 6
    designer.press(designer.canvas, "Home", "ArrowRight", "ArrowRight")
    spoken = designer.root.locator(".voice").text_content()
    assert spoken.startswith("step 4, epoch 0.2: learning rate") and "training loss" in spoken

    # Before the page goes: a picture that is published while no page listens is in no notebook.
    notebook.wait_for("designer._pictured is not None and designer._pictured == designer._picture_key()")
    picture = designer.page.locator("img[alt^='Schedule designer, 100 steps. ']")
    picture.wait_for(state="attached")
    before = designer.summary
    notebook.save()
    notebook.reload()
    designer.wait_for_summary(before)
    assert designer.ink() > 2000
    picture.wait_for(state="attached")
    assert not picture.is_visible()  # it would double the live one


def test_a_drawing_is_made_by_keyboard(designer: Page) -> None:
    designer.control("kind of piece 1").select_option("Recorded")
    wait_for_code(designer, "schedules.Recorded(steps=(0, 25, 50, 75), values=(0.1, 0.05, 0.025, 0.0125))")
    point = designer.root.get_by_role("slider", name="point 2", exact=True)
    designer.press(point, "ArrowLeft", "Insert")
    wait_for_code(designer, "schedules.Recorded(steps=(0, 24, 37, 50, 75), values=(0.1, 0.05, 0.05, 0.025, 0.0125))")
    designer.press(point, "PageDown", "ArrowRight", "PageDown", "Delete")
    wait_for_code(designer, "schedules.Recorded(steps=(0, 24, 38, 75), values=(0.1, 0.05, 0.05, 0.0125))")
    designer.press(designer.button("add point"), "Enter")  # at the handle that was used last, or the last one
    designer.notebook.wait_for("len(designer.handles) == 5")
    designer.page.keyboard.press("Control+z")
    designer.notebook.wait_for("len(designer.handles) == 4")


def test_a_handle_is_dragged_and_a_schedule_is_drawn_with_the_mouse(designer: Page) -> None:
    notebook, mouse = designer.notebook, designer.page.mouse
    grip = designer.root.get_by_role("slider", name="end", exact=True).bounding_box()
    x, y = grip["x"] + grip["width"] / 2, grip["y"] + grip["height"] / 2
    mouse.move(x, y)
    mouse.down()
    for i in range(1, 21):
        mouse.move(x - 4 * i, y - 3 * i)
    mouse.up()
    designer.page.wait_for_function(  # it is where the hand has let go: across to the nearest step, and up
        """([x, y]) => {
            const { left, top } = document.querySelector('.lrlab .grip[aria-label=end]').getBoundingClientRect();
            return Math.abs(left - x) < 4 && Math.abs(top - y) < 1.5;
        }""",
        arg=[grip["x"] - 80, grip["y"] - 60],
    )
    assert notebook.value("designer.schedule.total < 90 and designer.schedule.final > 0.02")
    wait_for_code(designer, notebook.value("designer.code"))
    total = notebook.value("designer.schedule.total")
    mouse.move(x + 300, y)  # let go: the mouse moves nothing any more
    assert notebook.value("designer.schedule.total") == total
    designer.press(designer.button("undo"), "Enter")
    notebook.wait_for("designer.code == 'schedules.Cosine(0.1, total=100)'")  # the drag was one change

    designer.button("draw").click()
    box = designer.canvas.bounding_box()
    mouse.move(box["x"] + 60, box["y"] + 60)
    mouse.down()
    for i in range(1, 31):
        mouse.move(box["x"] + 60 + 8 * i, box["y"] + 60 + 6 * i)
    mouse.up()
    notebook.wait_for("designer.names == ['Cosine', 'Recorded']")
    steps, values = notebook.value("(designer.schedule.steps, designer.schedule.values)")
    assert 20 < len(steps) <= 48 and values == sorted(values, reverse=True)
    wait_for_code(designer, notebook.value("designer.code"))
    assert designer.root.locator(".grip").count() == len(steps)


def test_what_is_refused_is_said_and_changes_nothing(designer: Page) -> None:
    for label, typed, words in (
        ("total of piece 1", "0", "Cosine: total must be a finite number > 0, got 0"),
        ("lr of piece 1", "fast", "Cosine: lr must be a finite number > 0, got 'fast'"),
    ):
        field = designer.control(label)
        field.fill(typed)
        field.press("Enter")
        designer.root.get_by_role("alert").get_by_text(words).wait_for()
        designer.page.wait_for_function("() => document.querySelector('.lrlab .fields input').value === '0.1'")
    designer.notebook.wait_for("designer.code == 'schedules.Cosine(0.1, total=100)'")


def test_every_control_is_reached_by_tab_and_has_a_name(designer: Page) -> None:
    designer.button("train").focus()
    names = []
    for _ in range(30):
        name, inside = designer.page.evaluate(FOCUSED)
        if not inside:
            break
        names.append(name)
        designer.page.keyboard.press("Tab")
    shown = [name.split(",")[0] for name in names]
    assert shown == [
        *("train", "draw", "seeds", "rate axis", "Cosine", "add", "duplicate", "name of the selected design"),
        *("Schedule designer", "start", "end", "kind of piece 1", "lr of piece 1", "total of piece 1"),
        *("final of piece 1", "join a piece before", "join a piece behind", "code", "copy"),
    ]


def test_calm_at_800_pixels_and_in_both_themes(designer: Page) -> None:
    designer.notebook.value("[designer.add(), designer.join('Linear')]")
    designer.wait_for_summary("Cosine → Linear")
    for width in (800, 1280):
        designer.fits(width)
    train(designer)
    before = designer.places()
    train(designer)
    assert designer.places() == before
    designer.control("rate axis").select_option("log")
    designer.notebook.wait_for("designer.log")
    designer.is_another_in_the_dark()


def train(designer: Page) -> None:
    """Train all designs, from the press of the button to the verdict on the page."""
    before = designer.notebook.value("id(designer._comparison)")
    designer.press(designer.button("train"), "Enter")
    over = f"id(designer._comparison) != {before} and designer.result is not None and not designer.playing"
    designer.notebook.wait_for(over, seconds=60)
    designer.button("train").wait_for()
    designer.wait_for_summary("validation loss")
