"""The pictures of a sweep: the U-curve over one hyperparameter, the heat map over two."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from lrlab import figures

NAMES = {
    "lr": "learning rate α",
    "loss": "training loss",
    "val_loss": "validation loss",
    "val_accuracy": "validation accuracy",
}
COLOURS = "cividis"  # one order of lightness, the same for colour-blind eyes


def curve(table: pd.DataFrame, name: str, metric: str, title: str | None) -> Figure:
    """The metric over one hyperparameter: its median and quartiles over the seeds, and where runs diverged."""
    groups = table.groupby(name, sort=not _is_text(table[name]))
    done = table[table["status"] == "done"].groupby(name)[metric]
    labels = list(groups.groups)
    x = np.arange(len(labels)) if _is_text(table[name]) else np.array(labels, dtype=float)
    middle, low, high = (done.quantile(share).reindex(labels).to_numpy(dtype=float) for share in (0.5, 0.25, 0.75))
    fig, ax = figures.figure(title or f"{_called(metric).capitalize()} over {_called(name)}")
    seeds = table["seed"].nunique()
    if _is_text(table[name]):  # no line between things that have no order
        ax.errorbar(x, middle, (middle - low, high - middle), color=figures.PALETTE[0], linestyle="", marker="o")
    else:
        ax.plot(x, middle, marker="o", markersize=3, label="_", **figures.style(0))
    if seeds > 1 and not _is_text(table[name]):
        ax.fill_between(x, low, high, color=figures.PALETTE[0], alpha=0.2, linewidth=0, label="_")
    _scale(ax, "x", table[name], x, labels)
    _loss_axis(ax, metric, np.concatenate([middle, high if seeds > 1 else middle]))
    ax.set(xlabel=_called(name), ylabel=_called(metric) + (f"\nmedian and quartiles of {seeds} seeds" * (seeds > 1)))
    share = groups["status"].agg(lambda status: float((status == "diverged").mean())).reindex(labels).to_numpy()
    _mark_diverged(ax, x, share)
    return fig


def _mark_diverged(ax: Axes, x: np.ndarray, share: np.ndarray) -> None:
    """Crosses along the upper edge where runs diverged: full where all did, pale where some did."""
    if not share.any():
        return
    edge: dict[str, Any] = {"transform": ax.get_xaxis_transform(), "clip_on": False, "marker": "x", "linestyle": ""}
    for chosen, colour in ((share == 1, figures.PALETTE[1]), ((share > 0) & (share < 1), "#E9B48A")):
        ax.plot(x[chosen], np.full(chosen.sum(), 1.0), color=colour, label="_", **edge)
    what = "× diverged" if set(share) <= {0.0, 1.0} else "× diverged (pale: under some seeds)"
    ax.text(1.0, 1.04, what, transform=ax.transAxes, ha="right", va="bottom", fontsize=9, color="#A84300")


def heat_map(table: pd.DataFrame, names: tuple[str, str], metric: str, title: str | None) -> Figure:
    """The metric over two hyperparameters: a cell per point where they form a grid, else a dot per point."""
    across, up = names
    medians = table[table["status"] == "done"].groupby(list(names))[metric].median()
    columns, rows = (list(dict.fromkeys(table.sort_values(name)[name])) for name in names)
    points = table[list(names)].drop_duplicates()
    values = np.array([[medians.get((column, row), np.nan) for column in columns] for row in rows], dtype=float)
    seeds = table["seed"].nunique()
    default = f"{_called(metric).capitalize()} over {_called(across)} and {_called(up)}"
    fig, ax = figures.figure(title or default, size=(7.2, 4.2))
    ax.grid(False)
    colours = {"cmap": COLOURS + ("" if metric == "val_accuracy" else "_r"), "norm": _norm(values, metric)}
    at = np.array([[columns.index(a), rows.index(u)] for a, u in points.itertuples(index=False)])
    shown = values[at[:, 1], at[:, 0]]
    if len(points) == values.size:
        cells = (np.arange(len(columns)), np.arange(len(rows)), values)
        picture: Any = ax.pcolormesh(*cells, shading="nearest", **colours)
    else:
        picture = ax.scatter(at[:, 0], at[:, 1], c=shown, s=40, **colours)
        ax.margins(0.05)
    bad = np.isnan(shown)
    if bad.any():
        ax.plot(*at[bad].T, linestyle="", marker="x", color=figures.PALETTE[1], label="_")
        ax.text(1.0, 1.02, "× diverged", transform=ax.transAxes, ha="right", va="bottom", fontsize=9, color="#A84300")
    if not bad.all():
        best = at[np.nanargmax(shown) if metric == "val_accuracy" else np.nanargmin(shown)]
        ax.plot(*best, marker="o", markersize=12, markerfacecolor="none", markeredgecolor="white", markeredgewidth=2)
        ax.plot(*best, marker="o", markersize=14, markerfacecolor="none", markeredgecolor="black", markeredgewidth=1)
        bar = fig.colorbar(picture, ax=ax)
        bar.set_label(_called(metric) + (f", median of {seeds} seeds" if seeds > 1 else "") + "; ring: best")
    _ticks(ax, "x", columns)
    _ticks(ax, "y", rows)
    ax.set(xlabel=_called(across), ylabel=_called(up))
    return fig


def _norm(values: np.ndarray, metric: str) -> Normalize:
    finite = values[np.isfinite(values)]
    if metric != "val_accuracy" and finite.size and finite.min() > 0 and finite.max() > 20 * finite.min():
        return LogNorm(finite.min(), min(finite.max(), 1000 * finite.min()))
    return Normalize(finite.min(), finite.max()) if finite.size else Normalize(0, 1)


def _loss_axis(ax: Axes, metric: str, values: np.ndarray) -> None:
    """A logarithmic axis for losses that span decades: a run that nearly diverged would flatten all others."""
    finite = values[np.isfinite(values)]
    if metric != "val_accuracy" and finite.size and finite.min() > 0 and finite.max() > 20 * finite.min():
        ax.set_yscale("log")
        ax.set_ylim(finite.min() / 1.5, min(finite.max() * 1.5, 1e4 * finite.min()))


def _scale(ax: Axes, axis: str, column: pd.Series, x: np.ndarray, labels: list[Any]) -> None:
    if _is_text(column):
        _ticks(ax, axis, labels)
        ax.margins(x=0.1)
    elif x.min() > 0 and x.max() > 20 * x.min():
        ax.set_xscale("log")


def _ticks(ax: Axes, axis: str, labels: list[Any]) -> None:
    """At most ten labels, at the positions 0, 1, 2, ..."""
    every = -(-len(labels) // 10)
    where = range(0, len(labels), every)
    words = [labels[i] if isinstance(labels[i], str) else f"{labels[i]:.2g}" for i in where]
    turned = {"rotation": 20, "ha": "right"} if axis == "x" and max(map(len, words)) > 8 else {}
    getattr(ax, f"set_{axis}ticks")(list(where), words, **turned)


def _is_text(column: pd.Series) -> bool:
    return not pd.api.types.is_numeric_dtype(column)


def _called(name: str) -> str:
    return NAMES.get(name, name.replace("_", " "))
