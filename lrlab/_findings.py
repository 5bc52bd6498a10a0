"""What a search has found: a table, the best point, the budget, and pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.colors import LogNorm, Normalize
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from lrlab import figures
from lrlab._journal import Trial
from lrlab._spaces import Choice, Dimension, Interval, Point, label
from lrlab.rules import Rule
from lrlab.run import Run
from lrlab.schedules import Schedule

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class Metric(NamedTuple):
    """What a search looks for: its name for an axis, and whether more is better."""

    name: str
    higher: bool


METRICS = {
    "val_loss": Metric("validation loss", False),
    "val_accuracy": Metric("validation accuracy", True),
    "loss": Metric("training loss", False),
}


@dataclass(frozen=True, eq=False, repr=False)
class Search:
    """The result of a search.

    Attributes:
        kind: ``"grid"``, ``"random"``, ``"coarse_to_fine"`` or ``"bayesian"``.
        space: name -> what was searched at first.
        metric: ``"val_loss"``, ``"val_accuracy"`` or ``"loss"``.
        trials: what was tried, in order.
        seeds: the runs of a trial; its value is their median.
        warnings: what the search has warned of.
    """

    kind: str
    space: Mapping[str, Dimension]
    metric: str
    trials: Sequence[Trial]
    seeds: int
    warnings: Sequence[str]
    _setting: Any

    def __repr__(self) -> str:
        return f"Search({self.kind}: {len(self.trials)} trials, {', '.join(self.space)})"

    @property
    def table(self) -> pd.DataFrame:
        """One row per trial: its point, the metric, ``status``, ``steps``, ``round`` and ``rung``.

        ``status`` is ``done``, ``pruned`` (the metric is that of its last rung) or ``diverged`` (NaN). ``steps`` counts
        all that was spent on the trial, steps x models: every seed and every rung. Rounds and rungs count from 1.
        """
        rows = []
        for trial in self.trials:
            point = {name: label(value) for name, value in trial.point.items()}
            found = {self.metric: trial.value, "status": trial.status, "steps": self._spent(trial)}
            rows.append({**point, **found, "round": trial.round, "rung": len(trial.values)})
        return pd.DataFrame(rows).rename_axis("trial")

    def _spent(self, trial: Trial) -> int:
        return self.seeds * sum(trial.values)

    @property
    def budget(self) -> int:
        """Steps x models of the whole search. A run that diverges counts in full: its steps were set aside for it."""
        return sum(map(self._spent, self.trials))

    @property
    def best(self) -> Point:
        """The best point of those trained to the end: name -> value.

        Raises:
            ValueError: there is none.
        """
        return dict(self._best.point)

    @property
    def best_value(self) -> float:
        """The metric of the best point."""
        return self._best.value

    @property
    def _best(self) -> Trial:
        best = self._setting.best(self.trials)
        if best is None:
            raise ValueError(
                f"all {len(self.trials)} trials diverged, so there is no best one: search smaller learning rates"
            )
        return best

    def run(self, trial: int | None = None, seed: int = 0) -> Run:
        """A `Run` with the settings of a trial, at step 0; by default, of the best."""
        if trial is not None and (isinstance(trial, bool) or not 0 <= trial < len(self.trials)):
            raise ValueError(f"trial must be a number from 0 to {len(self.trials) - 1}, got {trial!r}")
        return self._setting.run(self.best if trial is None else self.trials[trial].point, seed)

    # Pictures ---------------------------------------------------------------------------------------------------------

    def plot(self, title: str | None = None) -> Figure:
        """The metric over the hyperparameters: a curve or a scatter over one, a map over two, a panel each over more.

        Pruned trials are small and hollow, diverged ones are crosses at the edge, the best one is a star.

        Args:
            title: the message of the figure, as a sentence; by default, what was found.
        """
        title = self._sentence() if title is None else title
        if len(self.space) == 2:
            fig, ax = figures.figure(title, size=(7.2, 4.2))
            self._draw_map(ax, *self.space)
            return fig
        columns = min(len(self.space), 3)
        rows = -(-len(self.space) // columns)
        size = (7.2, 3.4 if rows == 1 else 1 + 2.4 * rows)
        fig, axes = figures.figure(title, rows, columns, size=size, sharex=False, sharey=True)
        panels = np.ravel(axes)
        for ax, name in zip(panels, self.space, strict=False):
            self._draw_scatter(ax, name)
        for ax in panels[len(self.space) :]:
            ax.set_visible(False)
        for ax in panels[::columns]:
            ax.set_ylabel(METRICS[self.metric].name)
        return fig

    def show(self, title: str | None = None) -> None:
        """Display `plot` with its `alt` text; give the cell the tag ``nbval-ignore-output``."""
        figures.show(self.plot(title), alt=self.alt)

    @property
    def alt(self) -> str:
        """What `plot` shows, in words and numbers."""
        statuses = [trial.status for trial in self.trials]
        counts = [f"{statuses.count(each)} {each}" for each in ("done", "pruned", "diverged") if each in statuses]
        words = f"{METRICS[self.metric].name} of {len(self.trials)} trials over {', '.join(self.space)}: "
        return f"{words[0].upper()}{words[1:]}{', '.join(counts)}. {self._sentence()}."

    def _sentence(self) -> str:
        if "done" not in {trial.status for trial in self.trials}:
            return f"{self._name}: all {len(self.trials)} trials diverged"
        at = ", ".join(f"{name} = {_short(value)}" for name, value in self.best.items())
        return f"{self._name}: the best of {len(self.trials)} trials is at {at}"

    @property
    def _name(self) -> str:
        return self.kind.replace("_", " ").capitalize()

    def _of(self, status: str) -> list[Trial]:
        return [trial for trial in self.trials if trial.status == status]

    def _draw_scatter(self, ax: Axes, name: str) -> None:
        place = _axis(ax, "x", name, self.space[name])
        done, cap = self._of("done"), self._cap
        if self.kind == "grid" and len(self.space) == 1 and isinstance(self.space[name], Interval):
            ax.plot([place(t.point[name]) for t in done], [min(t.value, cap) for t in done], **figures.style(0))
        for trials, look in ((self._of("pruned"), _PRUNED), (done, _DONE)):
            for above, shape in ((False, {}), (True, {"marker": "^"})):
                shown = [trial for trial in trials if (trial.value > cap) is above]
                ax.plot([place(t.point[name]) for t in shown], [min(t.value, cap) for t in shown], **{**look, **shape})
        if done:
            ax.plot(place(self.best[name]), self.best_value, **_BEST)
        _scale_metric(ax, self.metric, [min(trial.value, cap) for trial in self.trials])
        if diverged := self._of("diverged"):
            edge = ax.get_ylim()[0 if METRICS[self.metric].higher else 1]
            ax.plot([place(t.point[name]) for t in diverged], [edge] * len(diverged), **_DIVERGED)

    @property
    def _cap(self) -> float:
        """A loss that explodes must not press all others together: triangles at three times the median stand for it."""
        values = [trial.value for trial in self.trials if math.isfinite(trial.value)]
        return math.inf if METRICS[self.metric].higher or not values else 3 * abs(float(np.median(values)))

    def _draw_map(self, ax: Axes, first: str, second: str) -> None:
        x, y = _axis(ax, "x", first, self.space[first]), _axis(ax, "y", second, self.space[second])
        done, pruned, diverged = self._of("done"), self._of("pruned"), self._of("diverged")
        if done:
            values = np.minimum([trial.value for trial in done], self._cap)
            colours: dict[str, Any] = {"cmap": "cividis" if METRICS[self.metric].higher else "cividis_r"}
            colours["norm"] = _norm(values)
            across, up = np.transpose([[x(trial.point[first]), y(trial.point[second])] for trial in done])
            if self.kind == "grid":
                shown = _cells(ax, [(x(t.point[first]), y(t.point[second])) for t in self.trials], across, up, values)
                shown.set(**colours)
            else:
                shown = ax.scatter(across, up, s=50, c=values, zorder=3, edgecolors="white", linewidths=0.5, **colours)
            self._draw_colourbar(ax, shown)
            ax.plot(x(self.best[first]), y(self.best[second]), **_BEST)
        for trials, look in ((pruned, _PRUNED), (diverged, _DIVERGED)):
            if trials:
                ax.plot([x(t.point[first]) for t in trials], [y(t.point[second]) for t in trials], **look)

    def _draw_colourbar(self, ax: Axes, shown: Any) -> None:
        above = any(trial.value > self._cap for trial in self._of("done"))
        bar = ax.figure.colorbar(shown, ax=ax, pad=0.02, extend="max" if above else "neither")
        bar.set_label(METRICS[self.metric].name)
        bar.ax.tick_params(which="both", labelsize=9)
        if isinstance(shown.norm, LogNorm):
            bar.ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            bar.ax.yaxis.set_minor_formatter(NullFormatter())
        bar.ax.yaxis.set_major_formatter(_formatter(self.metric))


_DONE: dict[str, Any] = {"linestyle": "", "marker": "o", "markersize": 5, "color": figures.PALETTE[0]}
_PRUNED: dict[str, Any] = {**_DONE, "markersize": 4, "markerfacecolor": "none", "color": "#888888"}
_DIVERGED: dict[str, Any] = {**_DONE, "marker": "x", "markersize": 6, "color": "#B3261E", "clip_on": False}
_BEST: dict[str, Any] = {
    **{"linestyle": "", "marker": "*", "markersize": 15, "color": figures.PALETTE[1]},
    **{"markeredgecolor": "white", "zorder": 5, "clip_on": False},
}


def _cells(ax: Axes, grid: Sequence[tuple[float, float]], across: Any, up: Any, values: Any) -> Any:
    """The cells of a grid, each reaching half-way to its neighbours; those without a value stay white."""
    columns, rows = (np.unique(axis) for axis in np.transpose(grid))
    table = np.full((len(rows), len(columns)), math.nan)
    table[np.searchsorted(rows, up), np.searchsorted(columns, across)] = values
    ax.grid(False)
    return ax.pcolormesh(_edges(columns, ax.get_xscale()), _edges(rows, ax.get_yscale()), table, edgecolors="white")


def _edges(centres: Any, scale: str) -> Any:
    """Half-way between neighbours, on the scale of the axis; as far beyond the first and the last."""
    at = np.log(centres) if scale == "log" else np.asarray(centres, dtype=float)
    half = np.diff(at) / 2 if len(at) > 1 else np.array([0.5])
    edges = np.concatenate([at[:1] - half[:1], at[: len(half)] + half if len(at) > 1 else [], at[-1:] + half[-1:]])
    return np.exp(edges) if scale == "log" else edges


def _axis(ax: Axes, which: str, name: str, dimension: Dimension) -> Any:
    """Name and scale an axis; returns the function from a value to its place on it."""
    axis = ax.xaxis if which == "x" else ax.yaxis
    getattr(ax, f"set_{which}label")(_LABELS.get(name, name))
    if isinstance(dimension, Choice) and not all(isinstance(each, (int, float)) for each in dimension.labels):
        labels = [_short(option) for option in dimension.options]
        axis.set_ticks(range(len(labels)), labels)
        getattr(ax, f"set_{which}lim")(-0.5, len(labels) - 0.5)
        return lambda value: dimension.labels.index(label(value))
    values = [dimension.low, dimension.high] if isinstance(dimension, Interval) else list(dimension.options)
    wide = min(values) > 0 and max(values) >= 10 * min(values)
    if dimension.log if isinstance(dimension, Interval) else wide:
        getattr(ax, f"set_{which}scale")("log")
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    (ax.set_xmargin if which == "x" else ax.set_ymargin)(0.05)
    return lambda value: value


_LABELS = {"lr": "learning rate α", "weight_decay": "weight decay λ", "batch_size": "batch size", "rho": "momentum ρ"}


def _scale_metric(ax: Axes, metric: str, values: Sequence[float]) -> None:
    """A logarithmic axis where losses are far apart; room for the star of the best."""
    finite = [value for value in values if math.isfinite(value)]
    if finite and not METRICS[metric].higher and min(finite) > 0 and max(finite) > 5 * min(finite):
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_minor_formatter(NullFormatter())
    ax.yaxis.set_major_formatter(_formatter(metric))
    ax.margins(y=0.1)


def _formatter(metric: str) -> FuncFormatter:
    if metric == "val_accuracy":
        return FuncFormatter(lambda value, _: f"{100 * value:g} %")
    return FuncFormatter(lambda value, _: f"{value:g}")


def _norm(values: Any) -> Normalize:
    low, high = float(min(values)), float(max(values))
    return LogNorm(low, high) if low > 0 and high > 5 * low else Normalize(low, high)


def _short(value: Any) -> str:
    if isinstance(value, (Rule, Schedule)):
        return type(value).__name__
    return f"{value:.3g}" if isinstance(value, float) else str(value)
