"""What a sweep has found so far, point by point, and its picture for those who come later."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from matplotlib.colors import LogNorm, Normalize
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from lrlab import figures
from lrlab.instruments.dials import LABELS
from lrlab.sweeps import Progress

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class Measure(NamedTuple):
    """Something to show of a run, and whether more is better."""

    name: str
    higher: bool = False


MEASURES = {
    "loss": Measure("training loss"),
    "val_loss": Measure("validation loss"),
    "val_accuracy": Measure("validation accuracy", higher=True),
}
WAITING, TRAINING, DONE, DIVERGED = range(4)  # how far a point is


@dataclass(frozen=True, eq=False)
class Landscape:
    """The state of every point of a sweep, in the order of its table.

    Attributes:
        measure: a key of MEASURES.
        axes: name -> the values of a hyperparameter, rising; one or two.
        lower, medians, upper: ``[points]``, the quartiles and the median over the seeds; NaN while nothing is known,
            infinite where it is a run that diverged.
        phase: ``[points]``: WAITING, TRAINING, DONE, or DIVERGED, where half of the seeds are.
    """

    measure: str
    axes: Mapping[str, np.ndarray]
    lower: np.ndarray
    medians: np.ndarray
    upper: np.ndarray
    phase: np.ndarray

    @classmethod
    def of(cls, progress: Progress | None, measure: str, axes: Mapping[str, np.ndarray], seeds: int) -> Landscape:
        """The landscape at this moment."""
        points = math.prod(map(len, axes.values()))
        if progress is None:
            unknown = np.full(points, math.nan)
            return cls(measure, axes, unknown, unknown, unknown, np.full(points, WAITING))
        values = _values(progress, measure).reshape(points, seeds)
        status = np.asarray(progress.status).reshape(points, seeds)
        rows = [_quartiles(row) for row in values]
        lower, medians, upper = np.array(rows).T
        over = np.isin(status, ("done", "diverged")).all(1)
        phase = np.where(over, DONE, np.where((status != "waiting").any(1), TRAINING, WAITING))
        return cls(measure, axes, lower, medians, upper, np.where(np.isinf(medians), DIVERGED, phase))

    @property
    def diverged(self) -> np.ndarray:
        """``[points]``, whether half of the seeds or more did."""
        return self.phase == DIVERGED

    @property
    def best(self) -> int | None:
        """The best point so far; None while there is none."""
        finite = np.flatnonzero(np.isfinite(self.medians))
        if not len(finite):
            return None
        order = self.medians[finite]
        return int(finite[order.argmax() if MEASURES[self.measure].higher else order.argmin()])

    def place(self, point: int) -> tuple[int, ...]:
        """Where a point lies on each axis."""
        return tuple(int(i) for i in np.unravel_index(point, tuple(map(len, self.axes.values()))))

    def window(self, progress: Progress | None, curves: np.ndarray) -> list[float]:
        """The losses to show beside: from the lowest of all points to above the first one, so that it rests.

        Only where the ``curves [seeds + 1, n]`` of the selected point climb higher, it makes room for them.
        """
        if progress is None:
            return [0.1, 10.0]
        first = progress.losses[:, 0]
        now = _values(progress, "loss")
        now, first = now[np.isfinite(now)], first[np.isfinite(first)]
        if not len(now) or not len(first):
            return [0.1, 10.0]
        start = float(np.median(first))
        smooth = curves[:-1][np.isfinite(curves[:-1])]
        return [float(now.min()) / 1.6, max(1.6 * start, min(1.1 * float(smooth.max(initial=0.0)), 50 * start))]


def _values(progress: Progress, measure: str) -> np.ndarray:
    """``[R]``: NaN for what is not known yet, and the worst there is for a run that diverged."""
    if measure == "loss":
        values = np.full(len(progress.steps), math.nan)
        for row, made in enumerate(progress.steps):
            if made:  # as the sweep's own table: the mean over the last tenth
                values[row] = progress.losses[row, made - math.ceil(made / 10) : made].mean()
    else:
        values = np.array(getattr(progress, measure), dtype=np.float64)
    worst = -math.inf if MEASURES[measure].higher else math.inf
    return np.where(progress.status == "diverged", worst, values)


def _quartiles(values: np.ndarray) -> tuple[float, float, float]:
    """Lower quartile, median and upper quartile of what is known; between a finite and an infinite one is nothing."""
    known = values[~np.isnan(values)]
    if not len(known):
        return math.nan, math.nan, math.nan
    lower, upper = np.quantile(known, [0.25, 0.75], method="nearest")
    return float(lower), float(np.median(known)), float(upper)


# The picture ----------------------------------------------------------------------------------------------------------

_STAR: dict[str, Any] = {"marker": "*", "markersize": 14, "color": figures.PALETTE[1], "markeredgecolor": "white"}
_RING: dict[str, Any] = {"marker": "o", "markersize": 11, "color": "black", "markerfacecolor": "none"}


def draw(
    title: str,
    land: Landscape,
    selected: int,
    curves: np.ndarray,
    width: int,
    seed: int,
    name: str,
    window: Sequence[float],
) -> Figure:
    """The landscape on the left, on the right the loss curves of the selected point.

    Args:
        title: the message of the figure.
        land: what is known of every point.
        selected: the point to mark.
        curves: ``[seeds + 1, n]``, the smoothed training loss of each of its seeds, then the selected run's own.
        width: of the curves' points, in steps.
        seed: which of the curves is the selected run's.
        name: of the selected run.
        window: the lowest and the highest loss to show of the curves.
    """
    fig, (left, right) = figures.figure(title, 1, 2, size=(7.2, 3.6), sharex=False)
    if len(land.axes) == 1:
        _draw_curve(left, land, selected)
    else:
        _draw_map(left, land, selected)
    steps = (np.arange(curves.shape[1]) + 0.5) * width
    right.plot(steps, curves[-1], color="#BBBBBB", linestyle="-", linewidth=0.7)
    for number, losses in enumerate(curves[:-1]):
        chosen = number == seed
        right.plot(steps, losses, **figures.style(0), linewidth=1.8 if chosen else 0.8, alpha=1 if chosen else 0.45)
        out = np.flatnonzero(losses > window[1])
        if len(out):  # where it leaves the picture
            right.plot(steps[out[0]], window[1], "^", color=figures.PALETTE[0], markersize=6, clip_on=False)
    right.set(xlabel="step", ylabel="training loss, smoothed", title=name)
    right.title.set_fontsize(10)
    low, high = window
    if low > 0:
        _log(right, "y")
        right.set_ylim(low, high)
    return fig


def _draw_curve(ax: Axes, land: Landscape, selected: int) -> None:
    (name, values), *_ = land.axes.items()
    known = np.isfinite(land.medians)
    finite = land.medians[known]
    if len(finite):
        cap = math.inf if MEASURES[land.measure].higher else 3 * float(np.median(finite))
        ax.plot(values[known], np.minimum(finite, cap), **figures.style(0), marker="o", markersize=3.5)
        beyond = known & (land.medians > cap)
        ax.plot(values[beyond], np.full(beyond.sum(), cap), "^", color=figures.PALETTE[0], markersize=6)
        wide = not MEASURES[land.measure].higher and finite.min() > 0 and finite.max() > 5 * finite.min()
        if wide:
            _log(ax, "y")
        ends = ax.get_ylim()
        edge = ends[0] if MEASURES[land.measure].higher else ends[1]
        inside = (
            np.where(np.isfinite(land.upper), land.upper, edge),
            np.where(np.isfinite(land.lower), land.lower, edge),
        )
        ax.fill_between(values[known], inside[1][known], inside[0][known], color=figures.PALETTE[0], alpha=0.2, lw=0)
        ax.set_ylim(ends)
        look: dict[str, Any] = {"marker": "x", "color": "#B3261E", "linestyle": "", "clip_on": False}
        if land.diverged.any():
            ax.plot(values[land.diverged], np.full(land.diverged.sum(), edge), **look, label="diverged")
        ax.plot(values[land.best], land.medians[land.best], linestyle="", **_STAR)
        if known[selected]:
            ax.plot(values[selected], min(land.medians[selected], cap), linestyle="", **_RING)
    if values.min() > 0 and values.max() >= 10 * values.min():
        _log(ax, "x")
    ax.margins(x=0.04)
    ax.set(xlabel=LABELS.get(name, name), ylabel=f"{MEASURES[land.measure].name} (band: quartiles)")


def _draw_map(ax: Axes, land: Landscape, selected: int) -> None:
    (x_name, xs), (y_name, ys) = land.axes.items()
    table = land.medians.reshape(len(xs), len(ys)).T
    finite = table[np.isfinite(table)]
    if len(finite):
        cmap = "cividis" if MEASURES[land.measure].higher else "cividis_r"
        low, high = finite.min(), min(finite.max(), 3 * np.median(finite))
        norm = LogNorm(low, high) if low > 0 and high > 5 * low else Normalize(low, high)
        cells = ax.pcolormesh(np.where(np.isfinite(table), table, math.nan), cmap=cmap, norm=norm, edgecolors="white")
        bar = ax.figure.colorbar(cells, ax=ax, pad=0.02, extend="max" if finite.max() > high else "neither")
        bar.set_label(MEASURES[land.measure].name)
        if isinstance(norm, LogNorm):
            bar.ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            bar.ax.yaxis.set_minor_formatter(NullFormatter())
        bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    for row, column in zip(*np.nonzero(np.isinf(table)), strict=True):
        ax.add_patch(_cell(column, row, hatch="////", edgecolor="#999999", facecolor="none", linewidth=0))
    if land.best is not None:
        ax.plot(*(i + 0.5 for i in land.place(land.best)), linestyle="", **_STAR)
    ax.add_patch(_cell(*land.place(selected), edgecolor="black", facecolor="none", linewidth=2, zorder=4))
    for axis, values, name in ((ax.xaxis, xs, x_name), (ax.yaxis, ys, y_name)):
        every = -(-len(values) // 5)
        axis.set_ticks(np.arange(len(values))[::every] + 0.5, [f"{value:.2g}" for value in values[::every]])
        axis.set_label_text(LABELS.get(name, name))
    ax.set(xlim=(0, len(xs)), ylim=(0, len(ys)))
    ax.grid(False)


def _cell(column: int, row: int, **look: Any) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((column, row), 1, 1, **look)


def _log(ax: Axes, which: str) -> None:
    getattr(ax, f"set_{which}scale")("log")
    axis = ax.xaxis if which == "x" else ax.yaxis
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
    if which == "y":
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
