"""Figures: readable by everybody, small enough for a notebook, and with an alt text that survives."""

from __future__ import annotations

import base64
import io
import threading

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.text import Text
from PIL import Image

from lrlab import figures


def curves(count: int = 4) -> tuple:
    fig, ax = figures.figure("Curves that end close to each other")
    steps = np.arange(1, 201)
    for number in range(count):
        ax.plot(steps, np.exp(-steps / 40) + 0.01 + 0.001 * number, label=f"arm {number}")
    ax.set(xlabel="step", ylabel="loss", yscale="log")
    return fig, ax


def test_curves_differ_in_colour_and_in_line_style() -> None:
    _, ax = curves(7)
    lines = ax.get_lines()
    assert [line.get_color() for line in lines] == list(figures.PALETTE)
    assert len({str(line._dash_pattern) for line in lines}) == 7
    assert figures.style(1) == {"color": figures.PALETTE[1], "linestyle": figures.STYLES[1]}
    assert figures.style(8) == figures.style(1)


def test_the_global_settings_stay_as_they_are() -> None:
    before = dict(matplotlib.rcParams)
    fig, ax = curves()
    figures.direct_labels(ax)
    figures.png(fig)
    assert dict(matplotlib.rcParams) == before


def test_labels_do_not_overlap_and_stay_in_their_order() -> None:
    fig, ax = curves(6)
    figures.direct_labels(ax)
    fig.draw_without_rendering()
    labels = sorted(ax.texts, key=lambda text: text.get_text())
    boxes = [Text.get_window_extent(label) for label in labels]  # without the line that joins it to its curve
    assert [label.get_text() for label in labels] == [f"arm {n}" for n in range(6)]
    for lower, upper in zip(boxes, boxes[1:], strict=False):
        assert lower.y1 <= upper.y0
    panel = ax.get_window_extent()
    assert all(box.x0 >= panel.x1 and panel.y0 - 8 <= box.y0 and box.y1 <= panel.y1 + 8 for box in boxes)
    assert all(box.x1 <= fig.bbox.x1 for box in boxes), "the layout makes room for the labels"


def test_a_label_stands_at_the_end_of_its_curve() -> None:
    fig, ax = figures.figure("One falls, one rises, one has diverged")
    ax.plot([0, 10], [0, 10], label="rises")
    ax.plot([0, 10], [10, 0], label="falls")
    ax.plot([0, 5, 10], [5, 6, np.nan], label="diverged")
    ax.plot([0, 10], [3, 3])
    figures.direct_labels(ax)
    heights = {text.get_text(): text.xyann[1] for text in ax.texts}
    assert set(heights) == {"rises", "falls", "diverged"}, "a line without a label gets none"
    assert heights["rises"] > 0.9 and heights["falls"] < 0.1
    assert heights["diverged"] == pytest.approx(0.59, abs=0.02)
    diverged = next(text for text in ax.texts if text.get_text() == "diverged")
    assert diverged.arrow_patch is not None, "a curve that ends early is joined to its label"


def test_no_labels_no_error() -> None:
    _, ax = figures.figure("Nothing here")
    ax.plot([], [], label="empty")
    figures.direct_labels(ax)
    assert len(ax.texts) == 0


@pytest.mark.parametrize("colour", figures.PALETTE)
def test_a_label_has_the_contrast_a_text_needs(colour: str) -> None:
    ink = np.array(to_rgb(figures._ink(colour)))
    linear = np.where(ink <= 0.04045, ink / 12.92, ((ink + 0.055) / 1.055) ** 2.4)
    assert 1.05 / (linear @ [0.2126, 0.7152, 0.0722] + 0.05) >= 4.5


def test_more_than_one_panel() -> None:
    _, axes = figures.figure("The loss over its rate", rows=2, heights=(2, 1))
    assert axes.shape == (2,)
    assert axes[0].get_shared_x_axes().joined(axes[0], axes[1])
    assert axes[0].get_gridspec().get_height_ratios() == (2, 1)


def test_twice_the_pixels_of_the_page_and_the_same_bytes_each_time() -> None:
    fig, ax = curves()
    figures.direct_labels(ax)
    picture = figures.png(fig)
    assert Image.open(io.BytesIO(picture)).width == 2 * figures.WIDTH_PX
    assert len(picture) < figures.LIMIT_BYTES
    again, ax = curves()
    figures.direct_labels(ax)
    assert figures.png(again) == picture


def test_a_photograph_is_made_small_enough() -> None:
    fig, ax = figures.figure("Noise, the worst photograph there is")
    ax.imshow(np.random.default_rng(0).random((200, 200, 3)))
    assert len(figures._render(fig, 2.0)) > figures.LIMIT_BYTES
    assert len(figures.png(fig)) <= figures.LIMIT_BYTES


def test_the_alt_text_stands_in_the_html_and_in_the_metadata() -> None:
    fig, _ = curves()
    data, metadata = figures.bundle(fig, 'The loss falls to "0.01" & <stays>.')
    assert data["text/html"].startswith(
        '<img alt="The loss falls to &quot;0.01&quot; &amp; &lt;stays&gt;." width="720"'
    )
    assert data["image/png"] in data["text/html"]
    assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")
    assert data["text/plain"] == "Figure"
    assert metadata == {
        "image/png": {"alt": 'The loss falls to "0.01" & <stays>.', "width": 720, "height": 380},
    }


@pytest.mark.parametrize("alt", ["", "  \n"])
def test_a_figure_without_alt_text_is_refused(alt: str) -> None:
    fig, _ = curves()
    with pytest.raises(ValueError, match="alt must say in words what the figure shows"):
        figures.show(fig, alt)


def test_threads_may_draw_at_the_same_time() -> None:
    def draw(number: int) -> None:
        fig, ax = curves(3)
        ax.set_title(rf"$\alpha_{number}$")
        figures.direct_labels(ax)
        pictures[number % 2].add(figures.png(fig))

    pictures: tuple[set[bytes], set[bytes]] = (set(), set())
    threads = [threading.Thread(target=lambda n=n: draw(n % 2)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pictures[0]) == 1 and len(pictures[1]) == 1


def test_log_axes_have_plain_numbers_where_these_are_short() -> None:
    fig, (near, far) = figures.figure("Both", columns=2)
    near.plot([1, 2], [0.2, 0.7])
    far.plot([1, 2], [1e-6, 1.0])
    for ax in (near, far):
        ax.set(yscale="log", title="a panel")
    figures.png(fig)
    labels = [{label.get_text() for label in ax.get_yticklabels(which="both")} - {""} for ax in (near, far)]
    assert {"0.2", "0.6"} <= labels[0]
    assert any("10^{-6}" in label for label in labels[1])
    assert near.title.get_fontsize() == 10


def test_a_title_of_a_chosen_size_keeps_it() -> None:
    fig, ax = figures.figure("One")
    ax.set_title("a panel", fontsize=7)
    figures.png(fig)
    assert ax.title.get_fontsize() == 7
