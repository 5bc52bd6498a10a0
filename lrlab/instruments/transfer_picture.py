"""The transfer view's picture for those who come later: the saved notebook, the HTML export, the printed page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from lrlab import figures
from lrlab.instruments.curves import ACCURACY, LOSS_HIGH, LOSS_LOW, SMOOTH
from lrlab.instruments.layers import Layers
from lrlab.instruments.snapshot import GHOST

if TYPE_CHECKING:
    from lrlab.instruments.tracks import Track

LEAST_MOVED, MOST_MOVED = 1e-4, 1e3  # the ends of the bars of what has moved; a run that diverges has moved beyond
PAPER = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}


def figure(title: str, layers: Layers, tracks: Sequence[Track], domain: tuple[float, float]) -> Figure:
    """The groups as bars, loss and accuracy over one axis of steps, and the first filters before and now."""
    pictures = layers.pictures()
    heights = [min(2.8, 0.5 + 0.2 * len(layers.groups)), 1.7, 1.0] + ([] if pictures is None else [0.8])
    size = (7.2, 1.2 + 1.1 * sum(heights))
    fig, axes = figures.figure(title, len(heights), 2, size=size, heights=heights, sharex=False)
    _draw_rates(axes[0, 0], layers, domain)
    _draw_moved(axes[0, 1], layers.moved())
    for row in (1, 2):  # the curves take the whole width
        axes[row, 1].remove()
        axes[row, 0].set_subplotspec(axes[row, 0].get_gridspec()[row, :])
    _draw_curves(axes[1, 0], axes[2, 0], tracks, marks(layers))
    if pictures is not None:
        most = float(np.abs(np.concatenate(pictures)).max()) or 1.0
        for ax, filters, words in zip(axes[3], pictures, ("before", "now"), strict=True):
            _draw_filters(ax, filters / most)
            ax.set_title(f"filters of the first convolution, {words}", loc="left", fontsize=9)
    return fig


def marks(layers: Layers) -> list[tuple[int, str]]:
    """For each step at which groups were unfrozen, the words for it."""
    at: dict[int, list[str]] = {}
    for step, name, learns in layers.turns():
        if learns:
            at.setdefault(step, []).append(name)
    return [(step, f"{several(names)} unfrozen") for step, names in at.items()]


def _draw_rates(ax: Axes, layers: Layers, domain: tuple[float, float]) -> None:
    low, high = domain
    for row, rate in enumerate(layers.rates.values()):
        if rate:
            ax.barh(row, rate - low, left=low, height=0.6, color=figures.PALETTE[0])
            _number(ax, f"{rate:.2g}", rate, row)
        else:
            ax.barh(
                row, high - low, left=low, height=0.6, color="white", edgecolor="#AAAAAA", hatch="////", linewidth=0
            )
            ax.text(math.sqrt(low * high), row, "frozen", va="center", ha="center", fontsize=8, bbox=PAPER)
    base = float(layers.run.knobs["lr"])
    if base:
        ax.axvline(base, color="black", linestyle=(0, (2, 1)), linewidth=1)
    ax.set(xscale="log", xlim=(low, high))
    _rows(ax, list(layers.groups), "applied learning rate (dashed: base)")


def _draw_moved(ax: Axes, moved: dict[str, float]) -> None:
    most = max([1.0, *(share for share in moved.values() if math.isfinite(share))])
    low, high = 100 * LEAST_MOVED, 100 * 10.0 ** math.ceil(math.log10(min(most, MOST_MOVED)))
    for row, share in enumerate(moved.values()):
        length = min(max(100 * share, low), high) if share > 0 else low
        ax.barh(row, length - low, left=low, height=0.6, color=figures.PALETTE[1])
        _number(ax, percent(share), length, row)
    ax.set(xscale="log", xlim=(low, high))
    _rows(ax, [""] * len(moved), "moved since the start / % of the norm")


def _rows(ax: Axes, names: Sequence[str], title: str) -> None:
    ax.set(yticks=range(len(names)), ylim=(len(names) - 0.5, -0.5))
    ax.set_yticklabels(names)
    ax.set_title(title, loc="left", fontsize=9)
    ax.grid(False, axis="y")


def _number(ax: Axes, words: str, x: float, row: int) -> None:
    ax.annotate(words, (x, row), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8, bbox=PAPER)


def _draw_curves(loss: Axes, accuracy: Axes, tracks: Sequence[Track], marked: list[tuple[int, str]]) -> None:
    for track in reversed(tracks):  # the run itself comes first, and is drawn last, on top
        if len(track.curve.rows):
            _draw_learning(track, loss, accuracy)
    end = max([10, *(track.curve.end for track in tracks)])
    for number, (step, words) in enumerate(marked):
        for ax in (loss, accuracy):
            ax.axvline(step, color="#555555", linestyle=(0, (4, 2)), linewidth=0.9)
        left = step < 0.8 * end
        loss.annotate(
            words,
            (step, 0.97 - 0.1 * (number % 3)),
            xycoords=("data", "axes fraction"),
            xytext=(3 if left else -3, 0),
            textcoords="offset points",
            ha="left" if left else "right",
            va="top",
            fontsize=8,
            bbox=PAPER,  # the line of a later mark passes behind the words
            zorder=5,
        )
    loss.set(ylabel="loss", xlim=(0, end), xticklabels=[])
    accuracy.set(ylabel="validation\naccuracy / %", xlim=(0, end), xlabel="step")
    right = np.concatenate([track.curve.rows[:, ACCURACY] for track in tracks])
    lowest = float(np.nanmin(right)) if np.isfinite(right).any() else 0.0
    accuracy.set_ylim(max(0.0, 10 * math.floor(10 * lowest - 0.2)), 101)
    _keep_in_view(loss, tracks)
    if loss.get_yscale() == "log":  # the words stand above the curves
        low, high = loss.get_ylim()
        loss.set_ylim(low, low * (high / low) ** (1 / (0.97 - 0.1 * min(3, len(marked)))))
    for ax in (loss, accuracy):
        if ax.get_lines():
            figures.direct_labels(ax)


def _draw_learning(track: Track, loss: Axes, accuracy: Axes) -> None:
    curve, ghost = track.curve, track.run is None
    steps = np.minimum(curve.first + (np.arange(len(curve.rows)) + 1) * curve.width, curve.end)
    looks: list[dict[str, Any]] = [GHOST, GHOST] if ghost else [figures.style(0), figures.style(1)]
    if not ghost:
        low, high = curve.rows[:, LOSS_LOW], curve.rows[:, LOSS_HIGH]
        width = 0.8 if curve.width == 1 else 0.0
        loss.fill_between(steps, low, high, color=looks[0]["color"], alpha=0.25, linewidth=width)
    name = "_old" if ghost else f"{track.last(SMOOTH):.3g}"  # matplotlib leaves a label with an underscore out
    loss.plot(steps, curve.rows[:, SMOOTH], **looks[0], label=name)
    checked = np.isfinite(curve.rows[:, ACCURACY])
    if checked.any():
        name = "_old" if ghost else f"{100 * track.last(ACCURACY):.1f} %"
        accuracy.plot(steps[checked], 100 * curve.rows[checked, ACCURACY], **looks[1], label=name)


def _keep_in_view(loss: Axes, tracks: Sequence[Track]) -> None:
    """The smoothed curves fill the panel: a lucky mini-batch may leave it below, a loss that explodes above."""
    smooth = np.concatenate([track.curve.rows[:, SMOOTH] for track in tracks])
    smooth = smooth[np.isfinite(smooth) & (smooth > 0)]
    if not len(smooth):
        loss.set_yticks([])
    else:
        loss.set_yscale("log")
        loss.yaxis.set_minor_formatter(NullFormatter())
        low, high = loss.get_ylim()
        loss.set_ylim(max(low, float(smooth.min()) / 3), min(high, 3 * float(smooth.max())))


def _draw_filters(ax: Axes, filters: np.ndarray) -> None:
    """The filters side by side, values from −1 (black) to 1 (white)."""
    n, height, width, _ = filters.shape
    columns = math.ceil(math.sqrt(4 * n))
    rows = -(-n // columns)
    sheet = np.ones((rows * (height + 1) - 1, columns * (width + 1) - 1, 3))
    for i, picture in enumerate(filters):
        y, x = (i // columns) * (height + 1), (i % columns) * (width + 1)
        sheet[y : y + height, x : x + width] = 0.5 + 0.5 * picture
    ax.imshow(sheet, interpolation="nearest")
    ax.set_axis_off()


def percent(share: float) -> str:
    """3.2 %; 0 % is only what has not moved at all."""
    if not math.isfinite(share):
        return "–"
    return (
        f"{100 * share:.2g} %" if share < 0.995 else f"{100 * share:.0f} %" if share < 100 else f"{100 * share:.1e} %"
    )


def several(names: Sequence[str]) -> str:
    """block1, block2 and head."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
