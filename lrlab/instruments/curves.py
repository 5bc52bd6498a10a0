"""A run's curves, folded into at most about a thousand rows whatever its length, for a page to hold and draw."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import maximum_filter1d, minimum_filter1d
from scipy.signal import lfilter

if TYPE_CHECKING:
    from lrlab.history import History

#: The columns of a row. A row stands for ``width`` steps: the lowest and highest loss among them, the smoothed loss
#: after them, the lowest, highest and last applied learning rate, and the last validation accuracy (NaN: none).
COLUMNS = ("loss_low", "loss_high", "smooth", "lr_low", "lr_high", "lr", "accuracy")
LOSS_LOW, LOSS_HIGH, SMOOTH, LR_LOW, LR_HIGH, LR, ACCURACY = range(len(COLUMNS))

MOST_ROWS = 1000  # a low and a high each: 2,000 points, more than a screen has pixels
LARGEST = 1e38  # about what a float32 holds

BETA = 0.95  # of the smoothing: the mean age of the losses in it is β / (1 - β), about 20 steps
SIGMA, REACH = 10.0, 30  # of the local fit, in steps: about as calm as the average, and without its age


class Smoother:
    """The bias-corrected exponential moving average, which goes on where it stopped.

    ``m_t = β m_{t-1} + (1 - β) loss_t`` and ``smooth_t = m_t / (1 - β^t)``. A loss that is not finite is skipped.

    >>> Smoother(beta=0.5)(np.array([1.0, 2.0]))
    array([1.        , 1.66666667])
    """

    def __init__(self, beta: float = BETA) -> None:
        self.beta, self.mean, self.count = beta, 0.0, 0

    def __call__(self, losses: np.ndarray) -> np.ndarray:
        """The smoothed losses, as many as given; NaN where the loss is not finite."""
        smooth = np.full(len(losses), np.nan)
        finite = np.isfinite(losses)
        if finite.any():
            means, _ = lfilter([1 - self.beta], [1, -self.beta], losses[finite], zi=[self.beta * self.mean])
            ages = self.count + np.arange(1, len(means) + 1)
            smooth[finite] = means / (1 - self.beta**ages)
            self.mean, self.count = float(means[-1]), int(ages[-1])
        return smooth


def local_fit(losses: np.ndarray, most: float = np.inf) -> np.ndarray:
    """The smoothed loss, without lag: at each step the value of a straight line fitted to the losses around it.

    The weights are a Gaussian's of standard deviation SIGMA steps. The value stays among the losses that it is made
    of: a line through the end of a steep fall would come out below all of them.

    An average, which looks back only, is right for a knob that is being turned: nothing shows before it happens. This
    is for a curve in which one looks up when something happened.

    Args:
        losses: [n]; one that is not finite is left out.
        most: higher losses count as this: an explosion to 10⁶ reaches back through any fit.

    Returns:
        [n], NaN where the loss is not finite.

    Source: Cleveland 1979, Robust locally weighted regression and smoothing scatterplots. See `lrlab.finder.trend`.

    >>> local_fit(np.array([3.0, 2.0, np.nan, 0.0])).round(12).tolist()
    [3.0, 2.0, nan, 0.0]
    """
    known = np.isfinite(losses)
    if not known.any():
        return np.full(len(losses), np.nan)
    values = np.minimum(np.where(known, losses, 0.0), most)
    away = np.arange(-REACH, REACH + 1)
    weights = np.exp(-0.5 * (away / SIGMA) ** 2)

    def summed(numbers: np.ndarray, power: int) -> np.ndarray:
        return np.convolve(numbers, (weights * away**power)[::-1])[REACH : REACH + len(losses)]

    of_weights = [summed(known, power) for power in (0, 1, 2)]
    of_losses = [summed(values * known, power) for power in (0, 1)]
    spread = of_weights[2] * of_weights[0] - of_weights[1] ** 2
    line = (of_weights[2] * of_losses[0] - of_weights[1] * of_losses[1]) / np.where(spread > 1e-9, spread, np.nan)
    line = np.where(np.isnan(line), values, line)  # a loss all by itself
    around = 2 * REACH + 1
    low = minimum_filter1d(np.where(known, values, np.inf), around, mode="nearest")
    high = maximum_filter1d(np.where(known, values, -np.inf), around, mode="nearest")
    return np.where(known, np.clip(line, low, high), np.nan)


class Curve:
    """The rows of a run from step ``first`` on.

    `rows` is ``[n, 7]`` float32 (see COLUMNS); row ``i`` covers the steps ``first + i * width`` to
    ``first + (i + 1) * width``, the last one as far as the run has come. When there are more than MOST_ROWS, the width
    doubles.
    """

    def __init__(self, first: int = 0) -> None:
        self.first = first
        self.end = first  # steps covered
        self.width = 1
        self.rows = np.empty((0, len(COLUMNS)), dtype=np.float32)
        self._smooth = array("d")  # of every step from 0 on: a branch's average remembers the past it shares
        self._smoother = Smoother()

    def grow(self, history: History) -> int:
        """Take in what the history has gained since the last call; returns the first row that changed."""
        steps = len(history) - self.first
        if steps > MOST_ROWS * self.width:
            self.rows = self.rows[:0]
            while steps > MOST_ROWS * self.width:
                self.width *= 2
        smoothed = max(0, self._smooth_on(history) - self.first) // self.width
        # The last row is folded again: it was not full, or the validation after its last step was still missing.
        changed = min(max(len(self.rows) - 1, 0), smoothed)
        start = self.first + changed * self.width
        self.rows = np.concatenate([self.rows[:changed], fold(self._columns(history, start), self.width)])
        self.end = max(self.first, len(self._smooth))
        return changed

    def _smooth_on(self, history: History) -> int:
        """Smooth what is new; returns the first step whose smoothed loss has changed, counted from 0."""
        new = len(self._smooth)
        self._smooth.extend(self._smoother(history.since(new)["loss"]))
        return new

    def _columns(self, history: History, start: int) -> np.ndarray:
        """The seven columns of every step from ``start`` on, before folding."""
        smooth = np.frombuffer(self._smooth[start:], dtype=np.float64)
        new = {name: rows[: len(smooth)] for name, rows in history.since(start).items()}
        loss = np.where(np.abs(new["loss"]) < LARGEST, new["loss"], np.nan)
        lr = new["lr"]
        columns = [loss, loss, smooth, lr, lr, lr, accuracies(history, start, len(smooth))]
        return np.column_stack(columns)


class LagFreeCurve(Curve):
    """A curve smoothed by `local_fit`, which does not look across the steps at which a knob was turned.

    So what a turn does is seen at its own step. As steps are made, the last REACH values still change.
    """

    def __init__(self, first: int = 0) -> None:
        super().__init__(first)
        self._turns: list[int] = []
        self._most = np.inf  # twice the level at the start

    def turn_at(self, steps: Iterable[int]) -> None:
        """Where knobs were turned; a slider that is dragged counts once."""
        turns: list[int] = []
        for step in sorted(steps):
            if step > 0 and (not turns or step >= turns[-1] + SIGMA):
                turns.append(step)
        new = [step for step in turns if step not in self._turns]
        self._turns = turns
        if new:
            del self._smooth[new[0] :]  # a turn that became known after its steps

    def _smooth_on(self, history: History) -> int:
        again = max(0, len(self._smooth) - REACH)
        start = max([0, again - REACH, *(step for step in self._turns if step <= again)])
        losses = history.since(start)["loss"]
        if again == 0 and len(losses):
            level = float(np.median(losses[: int(SIGMA)]))
            self._most = 2 * level if level > 0 else np.inf
        cuts = [step - start for step in self._turns if start < step < start + len(losses)]
        fits = [local_fit(part, self._most) for part in np.split(losses, cuts)]
        del self._smooth[again:]
        self._smooth.extend(np.concatenate(fits)[again - start :])
        return again


def accuracies(history: History, start: int, steps: int) -> np.ndarray:
    """The validation accuracy after each of ``steps`` steps from ``start`` on, NaN where nothing was validated."""
    column = np.full(steps, np.nan)
    checks = history.validation_since(0)
    row = checks["val_step"].astype(int) - start - 1  # a validation after s steps belongs to step s, counted from 1
    inside = (row >= 0) & (row < steps)
    column[row[inside]] = checks["val_accuracy"][inside]
    return column


def fold(steps: np.ndarray, width: int) -> np.ndarray:
    """Rows ``[ceil(n / width), 7]`` of ``width`` steps each, from the columns of every step ``[n, 7]``."""
    rows = -(-len(steps) // width)
    padded = np.full((rows * width, len(COLUMNS)), np.nan)
    padded[: len(steps)] = steps
    blocks = padded.reshape(rows, width, len(COLUMNS))
    folded = _last_finite(blocks)
    for column, extreme in ((LOSS_LOW, np.fmin), (LOSS_HIGH, np.fmax), (LR_LOW, np.fmin), (LR_HIGH, np.fmax)):
        folded[:, column] = extreme.reduce(blocks[:, :, column], axis=1)
    return folded.astype(np.float32)


def _last_finite(blocks: np.ndarray) -> np.ndarray:
    """The last finite value of each column of each block ``[rows, width, columns]``; NaN if there is none."""
    finite = np.isfinite(blocks)[:, ::-1]
    last = blocks.shape[1] - 1 - finite.argmax(axis=1)
    return np.take_along_axis(blocks, last[:, None], axis=1)[:, 0]
