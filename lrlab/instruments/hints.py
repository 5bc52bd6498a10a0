"""The hint line: what is going on in these curves, by a stated rule, and nothing where the rule does not know.

The rule looks at the last losses, at most WINDOW, that were made since a knob was last turned; with fewer than LEAST
of them it says nothing. A straight line is fitted to the logarithms of their means over BLOCK steps each. It has a
slope, a standard error, and around it the single losses have a scatter (standard deviation over mean). Then

===============  =====================================================================================================
the loss is      when
===============  =====================================================================================================
falling          the slope is at least 4 standard errors below 0
growing          at least 4 above 0, and the last quarter of the window lies 1.5 x above the first
flat             neither, and over the window the line and twice its error leave room for a factor of 1.1 (when shaking:
                 1.5)
shaking          the scatter is at least 0.25; otherwise it is calm
===============  =====================================================================================================

and the first of these that holds is the hint. "The start" is the loss of the very first step, before any was made;
a level is the mean over the last quarter of the window.

===============  =====================================================================================================
diverged         a loss is not finite
diverging        growing, and above a tenth of the start
thrown out       not falling, above 0.9 of the start, after a block of losses stood 1.5 x above the start
overfitting      the last three validation losses lie 1.1 x above the lowest one, which is five validations old or more,
                 and the training loss is less than half of them and of the start
too slow         falling calmly, still above half of the start, and at this pace it needs more than 1,000 steps and five
                 epochs to halve
too high         flat and shaking, above a quarter of the start
noise floor      flat and shaking, below that
plateau          flat and calm
===============  =====================================================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from lrlab.run import Run

WINDOW = 400
LEAST = 200
BLOCK = 10
SURE = 4.0  # standard errors
SHAKING = 0.25
SLOW_STEPS, SLOW_EPOCHS = 1000, 5


class Hint(NamedTuple):
    """What is going on: its name, and one sentence for the learner."""

    name: str
    text: str

    def __str__(self) -> str:
        return f"{self.name}: {self.text}"


class Trend(NamedTuple):
    """A straight line through the logarithms of losses."""

    slope: float  # of the logarithm, per step
    error: float  # its standard error
    scatter: float  # of the single losses around the line, over their mean
    rise: float  # mean of the last quarter over mean of the first
    level: float  # mean of the last quarter
    steps: int

    @property
    def falling(self) -> bool:
        return self.slope < -SURE * self.error

    @property
    def growing(self) -> bool:
        return self.slope > SURE * self.error and self.rise > 1.5

    @property
    def flat(self) -> bool:
        room = (abs(self.slope) + 2 * self.error) * self.steps
        return not (self.falling or self.growing) and room < np.log(1.5 if self.shaking else 1.1)

    @property
    def shaking(self) -> bool:
        return self.scatter >= SHAKING


def hint_of(run: Run) -> Hint | None:
    """The hint for a run as it stands, also while it trains."""
    loss, checks = run.history["loss"], run.history.validation_since(0)
    turned = run.moves[-1][0] if run.moves else 0
    epoch_steps = run.step / run.epoch if run.epoch else 1.0
    return hint(loss, turned, epoch_steps, checks["val_loss"], checks["val_step"])


def hint(
    loss: np.ndarray, turned: int, epoch_steps: float, val_loss: np.ndarray, val_step: np.ndarray
) -> Hint | None:
    """The hint for these curves, or None; the rule stands at the top of this module.

    Args:
        loss: of every step ``[steps]``.
        turned: the step at which a knob was last turned (0: never).
        epoch_steps: steps per epoch.
        val_loss, val_step: the validation losses, and the steps done before each ``[validations]``.
    """
    if len(loss) and not np.isfinite(loss[-1]):
        return Hint("diverged", "the loss is not a finite number. Rewind to before it rose, and turn the rate down.")
    trend = trend_of(loss[max(turned, len(loss) - WINDOW) :])
    if trend is None:
        return None
    start = float(loss[0])
    if trend.growing and trend.level > 0.1 * start:
        return Hint("diverging", "the loss grows: the rate is above what this curvature bears (why?)")
    if not trend.falling and trend.level > 0.9 * start and block_means(loss).max() > 1.5 * start:
        return Hint("thrown out", "too large a step left the network where it learns nothing. Rewind to before it.")
    since = overfitting_since(val_loss, val_step, trend.level)
    if since is not None and trend.level < 0.5 * start:
        return Hint("overfitting", f"the validation loss has risen since step {since:,}, the training loss has not.")
    if trend.falling and not trend.shaking and trend.level > 0.5 * start:
        halving = np.log(2) / -trend.slope
        if halving > max(SLOW_STEPS, SLOW_EPOCHS * epoch_steps):
            return Hint("too slow", f"the loss falls, but needs about {round_to_two(halving):,} steps to halve.")
    return flat_hint(trend, start) if trend.flat else None


def flat_hint(trend: Trend, start: float) -> Hint:
    """The hint for a loss that does not change."""
    if trend.shaking and trend.level > 0.25 * start:
        return Hint("too high", "the loss shakes and does not fall: the rate is above what this curvature bears (why?)")
    if trend.shaking:
        return Hint("noise floor", "the loss shakes around a level it does not leave. What does a smaller rate do?")
    return Hint("plateau", "the loss neither falls nor shakes. Is it the gradient that is small, or the rate?")


def trend_of(loss: np.ndarray) -> Trend | None:
    """The trend of a window of losses; None if there are fewer than LEAST, or one is not above 0 and finite."""
    if len(loss) < LEAST or not np.isfinite(loss).all():
        return None
    means = block_means(loss)
    if not (means > 0).all():
        return None
    steps = BLOCK * (np.arange(len(means)) + 0.5)
    (slope, level), covariance = np.polyfit(steps, np.log(means), 1, cov=True)
    single = loss[: len(means) * BLOCK]
    line = np.exp(level + slope * (np.arange(len(single)) + 0.5))
    quarter = len(loss) // 4
    first, last = float(np.mean(loss[:quarter])), float(np.mean(loss[-quarter:]))
    scatter = float(np.std(single / line) / np.mean(single / line))
    return Trend(float(slope), float(np.sqrt(covariance[0, 0])), scatter, last / first, last, len(loss))


def block_means(loss: np.ndarray) -> np.ndarray:
    """Means of BLOCK losses each; what is left over at the end is in none."""
    blocks = len(loss) // BLOCK
    return loss[: blocks * BLOCK].reshape(blocks, BLOCK).mean(axis=1)


def overfitting_since(val_loss: np.ndarray, val_step: np.ndarray, train_loss: float) -> int | None:
    """The step of the lowest validation loss, if it has risen from there for good; None otherwise."""
    if len(val_loss) < 8 or not np.isfinite(val_loss).all():
        return None
    lowest, now = int(np.argmin(val_loss)), float(np.mean(val_loss[-3:]))
    if len(val_loss) - lowest > 5 and now > 1.1 * val_loss[lowest] and train_loss < 0.5 * now:
        return int(val_step[lowest])
    return None


def round_to_two(number: float) -> int:
    """The number with two significant digits: more would pretend to know."""
    return int(float(f"{number:.2g}"))
