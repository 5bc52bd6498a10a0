"""What is known of the runs of a sweep while it goes on: losses, validations, who has diverged, who is finished."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from torch import Tensor

REPORT_EVERY = 0.25  # seconds


def no_report(made: int) -> None:
    """Nobody is told."""


class Stopped(Exception):
    """`on_progress` said that it is enough."""


class Ledger:
    """The books of a sweep.

    Args:
        runs: R, how many.
        steps: how many each is to make.
        validation_steps: after how many steps each is validated, ``[V]``.
        report: called with the number of steps made since the last call, all runs together; it may raise `Stopped`.

    Attributes:
        losses: float64 ``[R, steps]``, the training loss before each step; NaN for steps not made.
        made: ``[R]``, steps made, that with the bad loss of a diverged run included, as `Run.step` counts.
        diverged, finished: ``[R]``, whether.
        ended: ``[R]``, the step at which a run was stopped early; a number beyond the last step for the others.
        val_losses, val_accuracies: float64 ``[R, V]``; NaN where not (yet) validated.
        weights: for each finished run, if kept: its flat weights ``[P]`` and then its buffers.
    """

    def __init__(
        self, runs: int, steps: int, validation_steps: Sequence[int], report: Callable[[int], None] = no_report
    ) -> None:
        self.losses = np.full((runs, steps), np.nan)
        self.made = np.zeros(runs, dtype=np.int64)
        self.ended = np.full(runs, steps + 1)
        self.diverged, self.finished = np.zeros(runs, dtype=bool), np.zeros(runs, dtype=bool)
        self.val_steps = list(validation_steps)
        self.val_losses = np.full((runs, len(self.val_steps)), np.nan)
        self.val_accuracies = np.full((runs, len(self.val_steps)), np.nan)
        self.weights: list[list[Tensor] | None] = [None] * runs
        self.report = report
        self._reported = np.zeros(runs, dtype=np.int64)

    def log(self, numbers: Sequence[int], start: int, losses: np.ndarray) -> None:
        """Enter the losses ``[runs, n]`` of steps ``start`` to ``start + n``; those after a bad one do not count."""
        bad = ~np.isfinite(losses)
        after = (np.cumsum(bad, axis=1) - bad > 0) | self.diverged[numbers, None]
        after |= start + np.arange(losses.shape[1]) >= self.ended[numbers, None]
        self.losses[numbers, start : start + losses.shape[1]] = np.where(after, np.nan, losses)
        self.made[numbers] += (~after).sum(axis=1)
        self.diverged[numbers] |= (bad & ~after).any(axis=1)
        self._reported[numbers] += losses.shape[1]
        self.report(losses.size)

    def validated(self, numbers: Sequence[int], step: int, losses: np.ndarray, accuracies: np.ndarray) -> None:
        """Enter a validation made after ``step`` steps. A run that had diverged by then has none; one that was stopped
        early has only one more, at the end: that of the weights it ended with.
        """
        column = self.val_steps.index(step)
        over = self.diverged[numbers] & (self.made[numbers] <= step)
        if step < self.val_steps[-1]:
            over |= self.ended[numbers] < step
        self.val_losses[numbers, column] = np.where(over, np.nan, losses)
        self.val_accuracies[numbers, column] = np.where(over, np.nan, accuracies)

    def over(self, numbers: Sequence[int]) -> np.ndarray:
        """Which of these runs have diverged or were stopped early."""
        return self.diverged[numbers] | (self.ended[numbers] <= self.losses.shape[1])

    def finish(self, numbers: Sequence[int], weights: list[list[Tensor]] | None) -> None:
        """These runs are over, also those that diverged before their last step."""
        self.finished[numbers] = True
        self.report(int((self.losses.shape[1] - self._reported[numbers]).sum()))
        if weights is not None:
            for number, kept in zip(numbers, weights, strict=True):
                self.weights[number] = kept

    def take(self, numbers: Sequence[int], other: Ledger) -> None:
        """Enter finished runs that were booked elsewhere."""
        for name in ("losses", "made", "ended", "diverged", "finished", "val_losses", "val_accuracies"):
            getattr(self, name)[numbers] = getattr(other, name)
        for number, kept in zip(numbers, other.weights, strict=True):
            self.weights[number] = kept
        self.finish(numbers, None)

    def status(self) -> np.ndarray:
        """For each run ``"diverged"``, ``"done"``, ``"running"`` or ``"waiting"``."""
        begun = np.where(self.made > 0, "running", "waiting")
        return np.where(self.diverged, "diverged", np.where(self.finished, "done", begun))
