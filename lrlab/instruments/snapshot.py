"""The tuner's picture for those who come later: the saved notebook, the HTML export, the printed page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from lrlab import figures
from lrlab.instruments.curves import ACCURACY, LOSS_HIGH, LOSS_LOW, LR, SMOOTH

if TYPE_CHECKING:
    from lrlab.instruments.tracks import Track

GHOST = {"color": "#999999", "linestyle": (0, (2, 2)), "linewidth": 1.0}


def figure(title: str, tracks: Sequence[Track]) -> Figure:
    """Loss, validation accuracy and applied learning rate of all tracks over one axis of steps."""
    fig, (loss, accuracy, lr) = figures.figure(title, rows=3, heights=(5, 2, 2), size=(7.2, 5.2))
    for track in tracks:
        if len(track.curve.rows):
            _draw(track, loss, accuracy, lr)
    loss.set(ylabel="loss", yscale="log")
    accuracy.set(ylabel="validation\naccuracy", ylim=(0, 1.02))
    accuracy.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f} %"))
    lr.set(ylabel="applied\nlearning rate", xlabel="step", yscale="log")
    for ax in (loss, lr):
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.yaxis.set_minor_formatter(NullFormatter())
    _at_least_a_decade(lr)
    _keep_in_view(loss, tracks)
    for ax in (loss, accuracy, lr):
        if ax.get_lines():
            figures.direct_labels(ax)
    return fig


def _draw(track: Track, loss: Axes, accuracy: Axes, lr: Axes) -> None:
    curve = track.curve
    steps = np.minimum(curve.first + (np.arange(len(curve.rows)) + 1) * curve.width, curve.end)
    look: dict[str, Any] = GHOST if track.run is None else figures.style(track.slot)
    ends = {name: _label(track, column, text) for name, column, text in _LABELS}
    if track.run is not None:
        # Of one step a thin line, of many the span between the lowest and the highest.
        low, high = curve.rows[:, LOSS_LOW], curve.rows[:, LOSS_HIGH]
        loss.fill_between(steps, low, high, color=look["color"], alpha=0.25, linewidth=0.8 if curve.width == 1 else 0)
    loss.plot(steps, curve.rows[:, SMOOTH], **look, label=track.name if track.run is None else ends["loss"])
    checked = np.isfinite(curve.rows[:, ACCURACY])
    if checked.any():
        accuracy.plot(steps[checked], curve.rows[checked, ACCURACY], **look, label=ends["accuracy"])
    lr.step(steps, curve.rows[:, LR], where="pre", **look, label=ends["lr"])
    turned = [move for move in track.moves if move[0] >= curve.first and _is_rate(*move[1:])]
    lr.plot([step for step, _, _ in turned], [rate for _, _, rate in turned], "o", markersize=4, color=look["color"])


_LABELS = (("loss", SMOOTH, "{:.3g}"), ("accuracy", ACCURACY, "{:.1%}"), ("lr", LR, "{:.3g}"))


def _is_rate(knob: str, value: Any) -> bool:
    return knob == "lr" and isinstance(value, (int, float))


def _label(track: Track, column: int, text: str) -> str:
    if track.run is None:
        return "_old future"  # matplotlib leaves a label with an underscore out
    return f"{track.name}  {text.format(track.last(column))}"


def _at_least_a_decade(ax: Axes) -> None:
    """A rate that hardly moves shall not look as if it did, and a logarithmic axis needs a power of ten on it."""
    low, high = ax.get_ylim()
    ax.set_ylim(10 ** np.floor(np.log10(low)), 10 ** np.ceil(np.log10(high)))


def _keep_in_view(loss: Axes, tracks: Sequence[Track]) -> None:
    """The smoothed curves fill the panel: a lucky mini-batch may leave it below, a loss that explodes above."""
    smooth = [track.curve.rows[np.isfinite(track.curve.rows[:, SMOOTH]), SMOOTH] for track in tracks]
    known = [rows for rows in smooth if len(rows)]
    if known:
        lowest, start = min(rows.min() for rows in known), max(rows[0] for rows in known)
        loss.set_ylim(max(loss.get_ylim()[0], float(lowest) / 3), min(loss.get_ylim()[1], 30 * float(start)))
