"""Several schedules trained under the same seeds, without a page: what is shown meanwhile, and the verdict."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lrlab import knobs, rules
from lrlab.run import Run
from lrlab.schedules import Schedule

if TYPE_CHECKING:
    from lrlab.sweeps import Progress, Sweep

BINS = 75  # of a loss curve, at most: the loss of one mini-batch jumps, its mean over several does so less
_DEFAULTS: dict[str, Any] = {"model": "mlp", "data": "digits", "rule": rules.Momentum()}
_SETTINGS = ("model", "data", "batch_size", "weight_decay", "device", "dtype", "loss", "validation")


@dataclass(frozen=True)
class Entry:
    """One schedule of a comparison: the design it is of, its colour and line style, its name, and itself."""

    number: int
    slot: int
    name: str
    schedule: Schedule


@dataclass(frozen=True)
class LossCurve:
    """The training loss of one schedule over its seeds.

    Attributes:
        steps: `[bins]`, the middle of each bin of steps.
        quartiles: `[3, bins]`: the lower quartile, the median and the upper one, over the seeds, of the mean loss in
            each bin. Infinite where so many runs have diverged, NaN where no step was made yet.
        diverged: how many of the runs.
        val_loss, val_accuracy: medians over the seeds, NaN before the end.
    """

    steps: np.ndarray
    quartiles: np.ndarray
    diverged: int
    val_loss: float
    val_accuracy: float


def steps_per_epoch(run: Run | None) -> int:
    """The steps in which the run sees all of its training data once; None: the run that is trained if none is given."""
    run = run or Run(**_DEFAULTS)
    return run._batches.steps_per_epoch(run.knobs["batch_size"])


class Comparison:
    """All schedules trained by one sweep, so that under one seed all have the same first weights and mini-batches.

    Args:
        run: whose model, data, rule and further settings are used; None: an MLP on the digits, with momentum.
        entries: the schedules.
        total: steps.
        seeds: how many.
    """

    def __init__(self, run: Run | None, entries: Sequence[Entry], total: int, seeds: int) -> None:
        self.entries, self.total, self.seeds = list(entries), total, seeds
        self.settings = _settings(run)
        self.curves: list[LossCurve] = []
        self.version = 0  # rises with every look at the losses
        self.share = 0.0  # of the steps that are made
        self.result: Sweep | None = None

    def train(self, asked_to_stop: threading.Event) -> None:
        """The task of the training thread."""
        from lrlab.sweeps import sweep

        def look(progress: Progress) -> bool:
            self._look(progress)
            return not asked_to_stop.is_set()

        self.result = sweep(
            **self.settings,
            lr=[entry.schedule for entry in self.entries],
            steps=self.total,
            seeds=self.seeds,
            progress=False,
            on_progress=look,
        )

    def _look(self, progress: Progress) -> None:
        made = progress.steps / self.total
        self.share = float(np.where(np.isin(progress.status, ("done", "diverged")), 1.0, made).mean())
        self.curves = [self._curve(progress, i) for i in range(len(self.entries))]
        self.version += 1

    def _curve(self, progress: Progress, i: int) -> LossCurve:
        rows = slice(i * self.seeds, (i + 1) * self.seeds)
        diverged = progress.status[rows] == "diverged"
        losses = progress.losses[rows]
        # A loss that is no number any more is worse than any number; one that is still to come is not known.
        losses = np.where(diverged[:, None] & np.isnan(losses), math.inf, losses)
        steps, means = binned(losses)
        val_loss = np.where(diverged, math.inf, progress.val_loss[rows])
        val_accuracy = np.where(diverged, 0.0, progress.val_accuracy[rows])
        over = np.isin(progress.status[rows], ("done", "diverged")).all()
        medians = [float(np.median(values)) if over else math.nan for values in (val_loss, val_accuracy)]
        return LossCurve(steps, quartiles(means), int(diverged.sum()), *medians)

    def verdict(self, notes: Mapping[int, str] | None = None) -> str:
        """What came of it, the best first: the validation loss and accuracy at the end, medians over the seeds.

        Args:
            notes: what else is to be said of a design, by its number.
        """
        about = {number: f" ({note})" for number, note in (notes or {}).items()}
        known = zip(self.entries, self.curves, strict=False)
        ranked = sorted(known, key=lambda pair: (math.isnan(pair[1].val_loss), pair[1].val_loss))
        return "; ".join(
            f"{entry.name}{about.get(entry.number, '')}: {_in_words(curve, self.seeds)}" for entry, curve in ranked
        )


def binned(losses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The middle of each bin of steps `[bins]`, and each run's mean loss in it `[runs, bins]`."""
    total = losses.shape[1]
    width = -(-total // BINS)
    starts = np.arange(0, total, width)
    ends = np.append(starts[1:], total)
    return (starts + ends) / 2, np.add.reduceat(losses, starts, axis=1) / (ends - starts)


def quartiles(values: np.ndarray) -> np.ndarray:
    """The three quartiles `[3, n]` of values `[runs, n]`, of the runs that are not NaN; infinities are values."""
    ordered = np.sort(values, axis=0)  # NaN comes last
    place = np.array([[0.25], [0.5], [0.75]]) * np.maximum((~np.isnan(values)).sum(axis=0) - 1, 0)
    low, part = np.floor(place).astype(int), place % 1
    below, above = (np.take_along_axis(ordered, row, axis=0) for row in (low, low + (part > 0)))
    with np.errstate(invalid="ignore"):  # of two infinities
        return np.where(below == above, below, (1 - part) * below + part * above)


def _in_words(curve: LossCurve, seeds: int) -> str:
    if curve.diverged == seeds:
        return "diverged" if seeds == 1 else f"all {seeds} runs diverged"
    lost = f", {curve.diverged} of {seeds} runs diverged" if curve.diverged else ""
    if math.isnan(curve.val_loss):
        reached = curve.quartiles[1][np.isfinite(curve.quartiles[1])]
        return (f"training loss {reached[-1]:.3g} so far" if len(reached) else "no loss yet") + lost
    accuracy = "" if math.isnan(curve.val_accuracy) else f", accuracy {100 * curve.val_accuracy:.1f} %"
    return f"validation loss {curve.val_loss:.3g}{accuracy}{lost}"


def _settings(run: Run | None) -> dict[str, Any]:
    """The arguments of `sweep` that make the same training as the run's."""
    if run is None:
        return _DEFAULTS
    config = run.config
    return {**{name: config[name] for name in _SETTINGS}, "rule": knobs.as_rule(config["rule"])}
