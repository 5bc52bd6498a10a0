"""The learning-rate range test: raise the rate at every step, look where the loss falls, choose.

    result = range_test(Run("mlp", "digits", rule=rules.Momentum(rho=0.9)))
    result.suggestions
    result.plot()

The advice depends on differences of losses only: add a constant to a loss, as far as below zero, and it stays the same.

Source: Smith 2017, Cyclical learning rates for training neural networks, section 3.3.
"""

from __future__ import annotations

import contextlib
import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from lrlab import figures
from lrlab.run import Run

_LEAST_STEPS = 10


# --- The test --------------------------------------------------------------------------------------------------------


def range_test(
    run: Run,
    start: float = 1e-7,
    end: float = 10.0,
    steps: int = 100,
    smoothing: float = 0.98,
    growth: str = "exponential",
) -> RangeTest:
    """Make ``steps`` steps from where the run stands, each with a larger rate than the one before, and watch the loss.

    The steps are the run's own: its model, data, loss, rule and knobs, the mini-batches that come next. They are made
    on a branch that is thrown away, so the run itself stays as it was: weights, rule state, data order, randomness,
    history, moves, status. The test ends early where the loss explodes (see `diverged`).

    Args:
        run: any run, at any moment: new, in mid-epoch, paused, done, even diverged.
        start, end, steps, growth: the rates, see `rates`.
        smoothing: β in [0, 1): how much the losses are smoothed before the advice is read from them, see `trend`.

    Returns:
        The curve and its advice. Where there is none, as when the loss is NaN from the first step on, it says why.

    Raises:
        ValueError: an argument outside its range.
        TypeError: ``run`` is no Run.
        RuntimeError: the run is running (in another thread): pause it first.

    >>> result = range_test(Run("mlp", "digits", seed=0), steps=60)
    >>> result.suggestions.keys()
    dict_keys(['steepest', 'valley', 'minimum_over_10', 'midpoint', 'nine_tenths_over_3'])
    """
    lrs = rates(start, end, steps, growth)
    losses = np.full(len(lrs), math.nan)
    for i, loss in enumerate(losses_along(run, lrs, smoothing)):
        losses[i] = loss
    return RangeTest(lrs, losses, smoothing)


def losses_along(run: Run, lrs: Sequence[float] | np.ndarray, smoothing: float = 0.98) -> Iterator[float]:
    """The losses of a range test, one at a time as they are measured: before the step with each of the rates."""
    if not isinstance(run, Run):
        raise TypeError(f"range_test: run must be a Run, got {type(run).__name__}; write range_test(Run(...))")
    smooth([], smoothing)
    with _generators_untouched(run.device):
        probe = run.probe("range_test")
    return _losses_on(probe, lrs, smoothing)


def _losses_on(probe: Run, lrs: Sequence[float] | np.ndarray, smoothing: float) -> Iterator[float]:
    losses: list[float] = []
    with contextlib.closing(probe.steps()) as records:
        for lr in lrs:
            probe.lr = float(lr)
            with _generators_untouched(probe.device):
                record = next(records)
            losses.append(float(record.loss))
            yield losses[-1]
            if probe.status == "diverged" or diverged(losses, smoothing):
                return


@contextlib.contextmanager
def _generators_untouched(device: torch.device) -> Iterator[None]:
    """What the user's data or loss draws from the global generators is given back: torch's, numpy's and Python's."""
    pythons, numpys = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield
    finally:
        random.setstate(pythons)
        np.random.set_state(numpys)  # noqa: NPY002


# --- The curve -------------------------------------------------------------------------------------------------------


def rates(start: float = 1e-7, end: float = 10.0, steps: int = 100, growth: str = "exponential") -> np.ndarray:
    """The learning rates of a range test, one per step.

    Args:
        start, end: the smallest and the largest, 0 < start < end.
        steps: how many, at least 10.
        growth: "exponential", the same factor at every step, or "linear", the same amount.

    Returns:
        float64 [steps], strictly rising from ``start`` to ``end``.

    Raises:
        ValueError: for an argument outside these ranges.

    >>> rates(1e-3, 1.0, steps=10).round(4).tolist()
    [0.001, 0.0022, 0.0046, 0.01, 0.0215, 0.0464, 0.1, 0.2154, 0.4642, 1.0]
    """
    if not 0 < start < end < math.inf:
        raise ValueError(f"rates: 0 < start < end is needed, got start={start!r}, end={end!r}. Try 1e-7 and 10.")
    if isinstance(steps, bool) or not isinstance(steps, Integral):
        raise TypeError(f"rates: steps must be a whole number, got {steps!r}. 100 is a good number.")
    if steps < _LEAST_STEPS:
        raise ValueError(f"rates: steps must be at least {_LEAST_STEPS}, got {steps!r}. 100 is a good number.")
    if growth not in ("exponential", "linear"):
        raise ValueError(f"rates: growth must be 'exponential' or 'linear', got {growth!r}.")
    return np.geomspace(start, end, steps) if growth == "exponential" else np.linspace(start, end, steps)


def smooth(losses: Sequence[float] | np.ndarray, smoothing: float = 0.98) -> np.ndarray:
    """The exponential moving average, right from its first value: `s ← β·s + (1 − β)·l`, given as `s / (1 − βⁿ)`.

    Without the division (Adam's bias correction) the average would start near 0 whatever the losses are.

    Args:
        losses: [n].
        smoothing: β in [0, 1); 0 leaves the losses as they are.

    >>> smooth([7.0, 7.0, 7.0]).round(12).tolist()
    [7.0, 7.0, 7.0]
    """
    if not 0 <= smoothing < 1:
        raise ValueError(f"smooth: smoothing must be in [0, 1), got {smoothing!r}. 0.98 averages about 50 steps.")
    average, smoothed = 0.0, []
    for n, loss in enumerate(losses, start=1):
        average = smoothing * average + (1 - smoothing) * float(loss)
        smoothed.append(average / (1 - smoothing**n))
    return np.array(smoothed, dtype=np.float64)


def trend(losses: Sequence[float] | np.ndarray, smoothing: float = 0.98) -> np.ndarray:
    """The smoothed loss, without lag: at each step the value of a straight line fitted to the losses around it.

    A moving average looks back only. Over a hundred steps at β = .98 it lags by tens of steps, which on the axis of the
    rates is a factor of ten and more: its steepest point and its minimum stand at rates that are too large. Here the
    weights are a Gaussian's, of standard deviation ``0.001 / (1 − β)`` of the range: 5 % for β = .98. A straight line,
    because a plain average bends at the two ends.

    Before that, losses that lie farther above the level at the start than the lowest lies below it are taken as
    exactly so far above: an explosion to 10⁶ reaches back through any average.

    Args:
        losses: [n], finite.
        smoothing: β in [0, 1); 0 leaves the losses practically as they are.

    Source: Cleveland 1979, Robust locally weighted regression and smoothing scatterplots (the straight-line fit).

    >>> trend([3.0, 2.0, 1.0]).round(12).tolist()
    [3.0, 2.0, 1.0]
    """
    smooth([], smoothing)
    losses = np.asarray(losses, dtype=np.float64)
    if not len(losses):
        return losses
    top = _level(losses[: max(3, len(losses) // 10)])
    losses = np.minimum(losses, 2 * top - losses.min())
    return local_line(np.asarray(losses), _width(len(losses), smoothing))


def local_line(values: np.ndarray, width: float | np.ndarray) -> np.ndarray:
    """At each place the value of a straight line, fitted with Gaussian weights to the values around it.

    Args:
        values: [n], finite, one step apart.
        width: the standard deviation of the weights in steps; a number, or [n], one for each place.
    """
    away = np.arange(len(values)) - np.arange(len(values))[:, None]
    weights = np.exp(-0.5 * (away / np.reshape(width, (-1, 1))) ** 2)
    weights /= weights.sum(axis=1, keepdims=True)
    mean, mean_of_squares = (weights * away).sum(axis=1), (weights * away**2).sum(axis=1)
    slope = (weights * (away - mean[:, None])) @ values / np.maximum(mean_of_squares - mean**2, 1e-12)
    return weights @ values - slope * mean


def _width(steps: int, smoothing: float) -> float:
    """The standard deviation of the weights of `trend`, in steps."""
    return steps * 0.001 / (1 - smoothing)


def diverged(losses: Sequence[float] | np.ndarray, smoothing: float = 0.98) -> bool:
    """Whether a range test should stop here: the last loss is not finite, or the smoothed one has climbed above its
    first level by three times what it had fallen, and by more than twelve times the noise from batch to batch.

    The usual bar, a multiple of the lowest loss, means nothing for a loss below zero.

    >>> diverged([2.3, 2.3, 2.2, 2.1, 2.0])
    False
    >>> diverged([2.3, 2.3, 2.2, 2.1, 2.0, 90.0, 5000.0])
    True
    """
    losses = np.asarray(losses, dtype=np.float64)
    if not np.isfinite(losses[-1]):
        return True
    smoothed, top = smooth(losses, smoothing), _level(losses[:_LEAST_STEPS])
    fall = max(top - smoothed.min(), 4 * _noise(losses), 1e-3 * abs(top))
    return bool(smoothed[-1] > top + 3 * fall)


def _level(losses: np.ndarray) -> float:
    return float(np.median(losses))


def _noise(losses: np.ndarray) -> float:
    """The standard deviation from batch to batch at the beginning, from the differences of neighbours.

    Differences, so that a trend hardly enters; their median, so that an explosion does not: for normal noise of
    standard deviation σ the median of |difference| is 0.6745·√2·σ.
    """
    if len(losses) < 2:
        return 0.0
    return float(np.median(np.abs(np.diff(losses[: 2 * _LEAST_STEPS]))) / (0.6745 * math.sqrt(2)))


# --- What the curve advises ------------------------------------------------------------------------------------------


class NoAdvice(Exception):
    """Why a rule has nothing to say about this curve."""


@dataclass(frozen=True, eq=False)
class RangeTest:
    """A recorded range test and its advice.

    Args:
        lrs: the rates that were applied, float64 [n], > 0 and strictly rising; n ≥ 10.
        losses: the loss at each of them, float64 [n], before the step with that rate; NaN for the rates that a test
            which stopped did not reach. From the first value that is not finite on, everything is cut off.
        smoothing: β in [0, 1): how much `trend` smooths the losses before the advice is read from them.

    Raises:
        ValueError: lists of different lengths, too short, unsorted, or with a rate that is not positive.

    >>> lrs = rates(1e-5, 10, steps=100)
    >>> losses = 2.0 - 1.5 / (1 + 0.01 / lrs) + lrs**3    # falls around 0.01, explodes above 1
    >>> result = RangeTest(lrs, losses, smoothing=0.0)
    >>> {rule: round(lr, 3) for rule, lr in result.suggestions.items()}
    {'steepest': 0.009, 'valley': 0.007, 'minimum_over_10': 0.027, 'midpoint': 0.009, 'nine_tenths_over_3': 0.022}
    """

    lrs: np.ndarray
    losses: np.ndarray
    smoothing: float = 0.98

    def __post_init__(self) -> None:
        lrs, losses = _vector("lrs", self.lrs), _vector("losses", self.losses)
        if len(lrs) != len(losses):
            raise ValueError(f"RangeTest: there must be one loss for each rate, got {len(losses)} for {len(lrs)}.")
        if len(lrs) < _LEAST_STEPS:
            raise ValueError(f"RangeTest: at least {_LEAST_STEPS} rates are needed, got {len(lrs)}.")
        if not (np.isfinite(lrs).all() and lrs[0] > 0 and (np.diff(lrs) > 0).all()):
            raise ValueError(f"RangeTest: lrs must be positive and rise strictly, got {lrs}. Sort them.")
        bad = np.flatnonzero(~np.isfinite(losses))
        end = bad[0] if len(bad) else len(losses)
        object.__setattr__(self, "lrs", lrs[:end])
        object.__setattr__(self, "losses", losses[:end])
        smooth([], self.smoothing)

    @cached_property
    def smoothed(self) -> np.ndarray:
        """The losses without their noise, see `trend`; float64 [n]."""
        return trend(self.losses, self.smoothing)

    @property
    def suggestions(self) -> dict[str, float | None]:
        """The learning rate that each rule advises, by the rule's name; None where `reasons` says why there is none."""
        return {rule: lr for rule, (lr, _) in self._advice.items()}

    @property
    def reasons(self) -> dict[str, str]:
        """Why a rule has nothing to say, for each rule without a suggestion."""
        return {rule: reason for rule, (lr, reason) in self._advice.items() if lr is None}

    @cached_property
    def _advice(self) -> dict[str, tuple[float | None, str]]:
        advice: dict[str, tuple[float | None, str]] = {}
        for name, rule in RULES.items():
            try:
                advice[name] = (rule(self), "")
            except NoAdvice as reason:
                advice[name] = (None, str(reason))
        return advice

    @cached_property
    def _slope(self) -> slice:
        """Where the smoothed loss falls: from the end of the first tenth, which is the level at rest, to the bottom."""
        if len(self.lrs) < _LEAST_STEPS:
            raise NoAdvice(f"only {len(self.lrs)} finite losses: start with a smaller rate")
        rest = max(3, len(self.lrs) // 10)
        bottom = rest + int(np.argmin(self.smoothed[rest:]))
        fall = float(self._top - self.smoothed[bottom])
        if fall <= max(self._chance(rest), 1e-6 * abs(self._top)):
            raise NoAdvice(
                f"the loss falls by {max(fall, 0):.2g}, which the noise from batch to batch explains: no rate in this "
                "range teaches the model anything, or every one is too large"
            )
        if bottom - rest < 2:
            raise NoAdvice("the loss rises from the first rates on: start with a smaller one")
        return slice(rest, bottom + 1)

    @property
    def _fall(self) -> float:
        """From the level at rest to the bottom."""
        return float(self._top - self.smoothed[self._slope.stop - 1])

    def _chance(self, rest: int) -> float:
        """The fall that noise alone may show: what the lowest of all averages lies below the mean one, and three
        standard deviations of the difference between an average and the level at rest, which is a median."""
        averaged = max(1.0, 2 * math.sqrt(math.pi) * _width(len(self.losses), self.smoothing))  # losses in one average
        lowest = math.sqrt(2 * math.log(max(len(self.losses) / averaged, 2)) / averaged)
        return (lowest + 3 * math.sqrt(1 / averaged + 1.57 / rest)) * _noise(self.losses)

    @property
    def _top(self) -> float:
        """The level of the loss before anything is learned: the median over the first tenth of the rates."""
        return _level(self.losses[: max(3, len(self.lrs) // 10)])

    def plot(self, title: str = "The loss while the learning rate rises", chosen: float | None = None) -> Figure:
        """The raw and the smoothed loss over the rate, with every suggestion and the rate that was chosen, if any."""
        fig, ax = figures.figure(title)
        ax.plot(self.lrs, self.losses, color="#BBBBBB", linestyle="-", linewidth=0.8, label="loss of the batch")
        ax.plot(self.lrs, self.smoothed, **figures.style(0), label="smoothed")
        low, high = window(self)
        ax.set(xlabel="learning rate α", ylabel="loss", xscale="log", ylim=(low, high))
        given = {rule: lr for rule, lr in self.suggestions.items() if lr is not None}
        for number, (rule, lr) in enumerate(sorted(given.items(), key=lambda item: -item[1]), start=1):
            ax.axvline(lr, linewidth=1.2, label="_", **figures.style(number))
            height = high - 0.07 * number * (high - low)
            box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
            ax.text(lr, height, f"{rule} {lr:.2g} ", fontsize=9, ha="right", bbox=box)
        if chosen is not None:
            ax.axvline(chosen, color="black", linewidth=2, label="_")
            ax.text(chosen, low, f" chosen {chosen:.3g}", fontsize=9, va="bottom", weight="bold")
        figures.direct_labels(ax)
        return fig


def steepest(test: RangeTest) -> float:
    """Where the smoothed loss falls most for each factor in the rate: the minimum of `dL / d ln α`.

    In the logarithm, because a range test walks in factors. The derivative in α itself, `1/α` times this one, points
    at smaller rates, and with some noise at the very smallest.
    """
    slope = test._slope
    derivative = np.gradient(test.smoothed, np.log(test.lrs))
    return float(test.lrs[slope][np.argmin(derivative[slope])])


def valley(test: RangeTest) -> float:
    """The middle, in ln α, of the longest valley: the longest falling subsequence of the smoothed loss.

    Small rises inside the valley do not end it, and losses are rounded to tenths of the whole fall: where they are
    flat, noise would make a long valley too. fastai's rule of this name takes the middle in a slightly other way.
    """
    slope = test._slope
    losses = np.round((test.smoothed[slope.start :] - test._top) / (test._fall / 10))
    length = np.ones(len(losses), dtype=int)
    first = np.arange(len(losses))  # where the longest falling subsequence that ends here begins
    for i in range(1, len(losses)):
        # Nearest first, so that a plateau before the valley is no part of it.
        above = np.flatnonzero(losses[:i] > losses[i])[::-1]
        if len(above):
            before = above[np.argmax(length[above])]
            length[i], first[i] = length[before] + 1, first[before]
    last = int(np.argmax(length))
    lrs = test.lrs[slope.start :]
    return math.sqrt(lrs[first[last]] * lrs[last])


def minimum_over_10(test: RangeTest) -> float:
    """A tenth of the rate at which the smoothed loss is lowest; there it is about to rise, so the rate is too large."""
    bottom = test._slope.stop - 1
    if bottom == len(test.lrs) - 1:
        raise NoAdvice(f"the loss still falls at the largest rate, {test.lrs[-1]:.2g}: raise the end of the range")
    return float(test.lrs[bottom] / 10)


def midpoint(test: RangeTest) -> float:
    """The middle of the descending slope, in ln α: half-way from where 10 % of the fall is done to where 90 % is."""
    return math.sqrt(_when_done(test, 0.1) * _when_done(test, 0.9))


def nine_tenths_over_3(test: RangeTest) -> float:
    """A third of the rate at which nine tenths of the fall are done.

    Nine tenths, because the bottom itself is flat, and noise moves it to and fro; a third, because a rate that carries
    through a few steps of a range test is too large for some hundred. A slow network may learn next to nothing in a
    range test. If its loss explodes all the same, the advice is a tenth of the rate at which that begins.

    The constants were fitted on half of the tasks of ``benchmarks/bench_finder.py``. The other half was seen while the
    rule was made, so the figures there are no blind test: on them the median regret is below that of other libraries'
    rules by little.
    """
    try:
        return _when_done(test, 0.9) / 3
    except NoAdvice:
        start = _explosion(test)
        if start is None:
            raise
        return float(test.lrs[start] / 10)


def _when_done(test: RangeTest, share: float) -> float:
    """The rate from which on this share of the fall is done: after the last step before, so that early noise does not
    count."""
    slope = test._slope
    done = (test._top - test.smoothed[slope]) / test._fall
    before = np.flatnonzero(done < share)
    return float(test.lrs[slope][before[-1] + 1 if len(before) else 0])


def _explosion(test: RangeTest) -> int | None:
    """The last rate before two losses in a row lie above the level at rest by four times the noise or more."""
    if len(test.lrs) < _LEAST_STEPS:
        return None
    rest = max(3, len(test.lrs) // 10)
    high = test.losses > test._top + max(4 * _noise(test.losses), 1e-6 * abs(test._top))
    first = np.flatnonzero(high[1:] & high[:-1])
    return int(first[0] - 1) if len(first) and first[0] > rest else None


#: Every rule by its name; each raises `NoAdvice` with the reason when it has none.
RULES: dict[str, Callable[[RangeTest], float]] = {
    rule.__name__: rule for rule in (steepest, valley, minimum_over_10, midpoint, nine_tenths_over_3)
}


def _vector(name: str, values: Sequence[float] | np.ndarray | Tensor) -> np.ndarray:
    array = np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"RangeTest: {name} must be a list of numbers, [n], got the shape {list(array.shape)}.")
    return array


def window(test: RangeTest) -> tuple[float, float]:
    """What of the losses to show: the fall and half as much above it, not the explosion."""
    if not len(test.losses):
        return 0.0, 1.0
    rest, bottom = test.losses[:_LEAST_STEPS], min(test.losses.min(), test.smoothed.min())
    span = max(rest.max() - bottom, 1e-3 * abs(bottom), 1e-12)
    return float(bottom - 0.05 * span), float(rest.max() + 0.5 * span)
