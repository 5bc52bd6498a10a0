"""Learning-rate schedules: pure functions of time, `lr = schedule(t)`.

A schedule remembers nothing. Plotting it, asking it twice or resuming a run in the middle cannot change what it
answers, because the rate is computed from the time and never from the previous rate.

**Time** `t` counts from 0: `schedule(t)` is the rate of the step that is made when `t` steps are done. Its unit is the
one you think in, steps or epochs, and every length of a schedule (`total`, `every`, `period`, ...) is in that same
unit; `Run(lr=schedule, per="step")` and `per="epoch"` say which. Whole numbers are not required: at epoch 2.5 a
schedule has a value too. Rates carry the unit of the learning rate.

**Beyond its end** a schedule holds its last value. Before 0 there is no schedule: a negative time is an error.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from numbers import Integral, Real
from typing import Any, overload

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler

from lrlab import _spec, figures

# --- What every schedule can do --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Schedule(ABC):
    """A learning rate as a pure function of time. To write your own, subclass it and define `rate(t)` on one number.

    Example:
        >>> class Halving(Schedule):
        ...     def rate(self, t):
        ...         return 0.1 * 0.5**t
        >>> Halving()(2)
        0.025
        >>> (Halving() * 10)(torch.arange(3))
        tensor([1.0000, 0.5000, 0.2500], dtype=torch.float64)
    """

    @abstractmethod
    def rate(self, t: float) -> float:
        """The formula, on one number. Call the schedule itself instead: it also checks `t` and takes tensors."""

    @property
    def length(self) -> float:
        """The time at which the schedule ends, in the unit of `t`; infinite when it has no end."""
        return math.inf

    @overload
    def __call__(self, t: float) -> float: ...
    @overload
    def __call__(self, t: Tensor) -> Tensor: ...
    @overload
    def __call__(self, t: np.ndarray) -> np.ndarray: ...
    def __call__(self, t: float | Tensor | np.ndarray) -> float | Tensor | np.ndarray:
        """The learning rate at time `t`.

        Args:
            t: A number, or a tensor (or numpy array) of any shape; at least 0, finite; in steps or in epochs.

        Returns:
            The same kind: a float for a number; for a tensor, one of its shape and device, in its own dtype when that
            is a floating one and in float64 otherwise. One formula serves both, so they agree to the last bit (before
            the cast to a narrower dtype).

        Raises:
            ValueError: `t` is negative, infinite or not a number.
            TypeError: `t` is no number, tensor or array.
        """
        if isinstance(t, Tensor):
            dtype = t.dtype if t.dtype.is_floating_point else torch.float64
            rates = [self._checked_rate(time) for time in t.flatten().tolist()]
            return torch.tensor(rates, dtype=dtype, device=t.device).reshape(t.shape)
        if isinstance(t, np.ndarray):
            return self(torch.from_numpy(t.copy())).numpy()
        return self._checked_rate(t)

    def _checked_rate(self, t: float) -> float:
        if not isinstance(t, Real) or isinstance(t, bool):
            raise TypeError(f"{type(self).__name__}: t must be a number or a tensor of numbers, got {t!r}.")
        if not 0 <= t < math.inf:
            raise ValueError(f"{type(self).__name__}: t must be at least 0 and finite, got {t!r}. Time counts from 0.")
        return float(self.rate(float(t)))

    def then(self, following: Schedule) -> Joined:
        """This schedule to its end, then `following`, whose own time starts at 0 there.

        Example:
            >>> schedule = Constant(0.1).until(30).then(Constant(0.01))
            >>> schedule(29), schedule(30)
            (0.1, 0.01)
        """
        return Joined((self, following))

    def until(self, total: float) -> Until:
        """This schedule for the times before `total`; from there on it holds the value it had just before."""
        return Until(self, total)

    def __mul__(self, factor: float) -> Scaled:
        """Every rate times `factor`: `2 * schedule`."""
        return Scaled(self, factor)

    __rmul__ = __mul__

    def to_spec(self) -> dict[str, Any]:
        """A JSON-able dict; `schedules.from_spec` makes an equal schedule of it."""
        return _spec.to_spec(self)


@dataclass(frozen=True)
class Joined(Schedule):
    """Schedules one after the other, each on its own clock; usually made by `.then()`.

    Args:
        parts: At least one schedule; all but the last must have an end. Joined parts are taken apart into theirs.

    Raises:
        ValueError: No part; a part without an end before the last one; a `Warmup` that ends elsewhere than the next
            part starts.

    Example:
        >>> schedule = Constant(0.1).until(30).then(Constant(0.01).until(30)).then(Constant(0.001))
        >>> len(schedule.parts), schedule(45)
        (3, 0.01)
    """

    parts: tuple[Schedule, ...]

    def __post_init__(self) -> None:
        for part in self.parts:
            _check_schedule("Joined", "every part", part)
        flat = tuple(p for part in self.parts for p in (part.parts if isinstance(part, Joined) else (part,)))
        if not flat:
            raise ValueError("Joined: parts is empty. Give at least one schedule.")
        for part in flat[:-1]:
            if math.isinf(part.length):
                name = type(part).__name__
                raise ValueError(
                    f"Joined: {name} has no end, so nothing can come after it, got {part!r}. "
                    f"Say how long it lasts: {name}(...).until(30).then(...)."
                )
        for part, following in pairwise(flat):
            if isinstance(part, Warmup) and not math.isclose(part.lr, following(0), rel_tol=1e-9):
                raise ValueError(
                    f"Joined: the warm-up ends at {part.lr:g} but {type(following).__name__} starts at "
                    f"{following(0):g}, which leaves a gap. Give both the same rate."
                )
        object.__setattr__(self, "parts", flat)

    @property
    def length(self) -> float:
        return sum(part.length for part in self.parts)

    def rate(self, t: float) -> float:
        *earlier, last = self.parts
        for part in earlier:
            if t < part.length:
                return part.rate(t)
            t -= part.length
        return last.rate(t)


@dataclass(frozen=True)
class Until(Schedule):
    """A schedule that ends at `total` and holds what it had just before; usually made by `.until()`.

    It gives an endless schedule a length, so that another can follow. What is held is the limit from the left: a
    schedule that jumps exactly at `total` (a restart, a milestone) holds the value before the jump.

    Example:
        >>> Constant(0.1).until(30).length
        30
    """

    schedule: Schedule
    total: float

    def __post_init__(self) -> None:
        _check_schedule("Until", "schedule", self.schedule)
        _check_length("Until", "total", self.total)

    @property
    def length(self) -> float:
        return self.total

    def rate(self, t: float) -> float:
        return self.schedule.rate(min(t, math.nextafter(self.total, 0)))


@dataclass(frozen=True)
class Scaled(Schedule):
    """`factor · schedule(t)`; usually made by `*`.

    Example:
        >>> (2 * Constant(0.1))(0)
        0.2
    """

    schedule: Schedule
    factor: float

    def __post_init__(self) -> None:
        _check_schedule("Scaled", "schedule", self.schedule)
        _check_positive("Scaled", "factor", self.factor)

    @property
    def length(self) -> float:
        return self.schedule.length

    def rate(self, t: float) -> float:
        return self.factor * self.schedule.rate(t)


# --- Annealers: from `start` at p = 0 to `end` at p = 1 --------------------------------------------------------------


def linear(start: float, end: float, p: float) -> float:
    """A straight line: `(1 − p)·start + p·end`."""
    return (1 - p) * start + p * end


def exponential(start: float, end: float, p: float) -> float:
    """A straight line on a log axis: `start^(1 − p) · end^p`; both ends > 0."""
    return start ** (1 - p) * end**p


def cosine(start: float, end: float, p: float) -> float:
    """Half a cosine wave, flat at both ends: `w·start + (1 − w)·end` with `w = ½(1 + cos πp)`."""
    w = 0.5 * (1 + math.cos(math.pi * p))
    return w * start + (1 - w) * end


_ANNEALERS = {"linear": linear, "exponential": exponential, "cosine": cosine}


# --- The schedules ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Constant(Schedule):
    """The same rate for ever: `α(t) = α₀`.

    Args:
        lr: `α₀`, the learning rate, > 0.

    Example:
        >>> Constant(0.1)(1_000_000)
        0.1
    """

    lr: float

    def __post_init__(self) -> None:
        _check_rate("Constant", "lr", self.lr)

    def rate(self, t: float) -> float:
        return self.lr


@dataclass(frozen=True)
class Step(Schedule):
    """A cut at regular times: `α(t) = α₀ · γ^⌊t / every⌋`.

    Args:
        lr: `α₀` > 0.
        every: The time between two cuts, > 0; in epochs mostly.
        gamma: `γ`, what each cut multiplies the rate by, in (0, 1].

    Example:
        The schedule of ResNet on ImageNet, ÷ 10 at the epochs 30, 60 and 90:

        >>> Step(0.1, every=30)(torch.tensor([0, 29, 30, 60, 90]))
        tensor([0.1000, 0.1000, 0.0100, 0.0010, 0.0001], dtype=torch.float64)

    Source: He et al. 2016, Deep residual learning for image recognition.
    """

    lr: float
    every: float
    gamma: float = 0.1

    def __post_init__(self) -> None:
        _check_rate("Step", "lr", self.lr)
        _check_length("Step", "every", self.every)
        _check_gamma("Step", self.gamma)

    def rate(self, t: float) -> float:
        return self.lr * self.gamma ** (t // self.every)


@dataclass(frozen=True)
class MultiStep(Schedule):
    """A cut at each milestone: `α(t) = α₀ · γⁿ`, n the number of milestones ≤ t.

    Args:
        lr: `α₀` > 0.
        milestones: The times of the cuts, > 0, strictly rising.
        gamma: `γ`, what each cut multiplies the rate by, in (0, 1].

    Example:
        >>> schedule = MultiStep(0.1, milestones=(30, 80))
        >>> [round(schedule(t), 6) for t in (29, 30, 79, 80)]
        [0.1, 0.01, 0.01, 0.001]
    """

    lr: float
    milestones: tuple[float, ...]
    gamma: float = 0.1

    def __post_init__(self) -> None:
        _check_rate("MultiStep", "lr", self.lr)
        if not isinstance(self.milestones, Iterable) or isinstance(self.milestones, str):
            raise TypeError(f"MultiStep: milestones must be times such as (30, 60, 90), got {self.milestones!r}.")
        milestones = tuple(self.milestones)
        if not milestones:
            raise ValueError("MultiStep: milestones is empty. Give at least one time, or use Constant.")
        for milestone in milestones:
            _check_length("MultiStep", "every milestone", milestone)
        if any(later <= earlier for earlier, later in pairwise(milestones)):
            raise ValueError(
                f"MultiStep: milestones must rise strictly, got {_shortened(milestones)}. "
                f"Sorted they are {_shortened(tuple(sorted(set(milestones))))}."
            )
        _check_gamma("MultiStep", self.gamma)
        object.__setattr__(self, "milestones", milestones)

    def rate(self, t: float) -> float:
        return self.lr * self.gamma ** bisect_right(self.milestones, t)


@dataclass(frozen=True)
class Exponential(Schedule):
    """The same factor in every unit of time: `α(t) = α₀ · γᵗ`.

    Args:
        lr: `α₀` > 0.
        gamma: `γ` in (0, 1]. The same number means another schedule in steps than in epochs: .99 per step halves the
            rate every 69 *steps*. With n steps an epoch, `gamma ** (1 / n)` per step is `gamma` per epoch.

    Example:
        >>> round(Exponential(0.1, gamma=0.99)(100), 4)
        0.0366
    """

    lr: float
    gamma: float

    def __post_init__(self) -> None:
        _check_rate("Exponential", "lr", self.lr)
        _check_gamma("Exponential", self.gamma)

    def rate(self, t: float) -> float:
        return self.lr * self.gamma**t


@dataclass(frozen=True)
class DelayedExponential(Schedule):
    """Constant at first, divided by e in every unit of time from `delay` on: `α(t) = α₀ · γ^max(t − delay, 0)`.

    It is `Constant(lr).until(delay).then(Exponential(lr, gamma))` in one piece. For a single division by e at `delay`,
    take `MultiStep(lr, (delay,), gamma=1 / math.e)`.

    Args:
        lr: `α₀` > 0.
        delay: The time up to which the rate stays `α₀`, > 0.
        gamma: `γ` in (0, 1]; 1/e where nothing is said. The well-known example in keras' LearningRateScheduler is
            `gamma=math.exp(-0.1)`; as it divides at epoch 10 already, its `delay` is 9.

    Example:
        >>> schedule = DelayedExponential(0.1, delay=10)
        >>> schedule(10), round(schedule(11), 4)
        (0.1, 0.0368)
    """

    lr: float
    delay: float
    gamma: float = 1 / math.e

    def __post_init__(self) -> None:
        _check_rate("DelayedExponential", "lr", self.lr)
        _check_length("DelayedExponential", "delay", self.delay)
        _check_gamma("DelayedExponential", self.gamma)

    def rate(self, t: float) -> float:
        return self.lr * self.gamma ** max(t - self.delay, 0)


@dataclass(frozen=True)
class Linear(Schedule):
    """A straight line down: `α(t) = α₀ · (1 − t/T)`, and with a floor `(1 − t/T)·α₀ + (t/T)·final`.

    Args:
        lr: `α₀` > 0.
        total: `T`, the length, > 0; from there on the rate is `final`.
        final: The rate at the end, in [0, lr].

    Example:
        >>> Linear(0.1, total=100)(torch.tensor([0, 50, 100, 200]))
        tensor([0.1000, 0.0500, 0.0000, 0.0000], dtype=torch.float64)
    """

    lr: float
    total: float
    final: float = 0.0

    def __post_init__(self) -> None:
        _check_rate("Linear", "lr", self.lr)
        _check_length("Linear", "total", self.total)
        _check_between("Linear", "final", self.final, self.lr)

    @property
    def length(self) -> float:
        return self.total

    def rate(self, t: float) -> float:
        return linear(self.lr, self.final, min(t / self.total, 1))


@dataclass(frozen=True)
class InverseTime(Schedule):
    """The 1/t decay: `α(t) = α₀ / (1 + k·t)`.

    Args:
        lr: `α₀` > 0.
        k: The decay rate, > 0, per unit of `t`: at `t = 1/k` the rate is half of `α₀`.

    Example:
        >>> InverseTime(0.2, k=0.5)(torch.tensor([0, 2, 6]))
        tensor([0.2000, 0.1000, 0.0500], dtype=torch.float64)

    Source: Robbins and Monro 1951, A stochastic approximation method: steps of size 1/t add up to infinity, their
    squares do not.
    """

    lr: float
    k: float

    def __post_init__(self) -> None:
        _check_rate("InverseTime", "lr", self.lr)
        _check_positive("InverseTime", "k", self.k)

    def rate(self, t: float) -> float:
        return self.lr / (1 + self.k * t)


@dataclass(frozen=True)
class InverseSqrt(Schedule):
    """The 1/√t decay: `α(t) = k · α₀ / √t`, where `t` counts from 1 (before that, the value at 1).

    The epoch form is `α₀ / √(epoch)`: `k = 1` and `t` in epochs. The mini-batch form is `k · α₀ / √(step)`, `t` in
    steps: with `k = √(steps per epoch)` it has at the end of every epoch the rate of the epoch form. Inside the first
    epoch that form is larger than `α₀`, `k` times as large at the first step: join a `Warmup` of `k · α₀` before it,
    or start with a smaller `k`.

    Args:
        lr: `α₀` > 0.
        k: The factor of the mini-batch form, > 0.

    Example:
        >>> InverseSqrt(0.1)(torch.tensor([0, 1, 4, 100]))
        tensor([0.1000, 0.1000, 0.0500, 0.0100], dtype=torch.float64)
        >>> InverseSqrt(0.1, k=5)(4 * 25) == InverseSqrt(0.1)(4)    # 25 steps an epoch, after 4 epochs
        True
    """

    lr: float
    k: float = 1.0

    def __post_init__(self) -> None:
        _check_rate("InverseSqrt", "lr", self.lr)
        _check_positive("InverseSqrt", "k", self.k)

    def rate(self, t: float) -> float:
        return self.k * self.lr / math.sqrt(max(t, 1))


@dataclass(frozen=True)
class Cosine(Schedule):
    """Half a cosine wave down: `α(t) = ½ α₀ (1 + cos(π t/T))`; with a floor, `final + ½(α₀ − final)(1 + cos(π t/T))`.

    torch's `CosineAnnealingLR` rises again after `T`; this one stays at `final`.

    Args:
        lr: `α₀` > 0.
        total: `T`, the length, > 0; from there on the rate is `final`. A warm-up joined before it is not counted in.
        final: The rate at the end, in [0, lr].

    Example:
        >>> Cosine(0.1, total=100)(torch.tensor([0, 50, 100, 200]))
        tensor([0.1000, 0.0500, 0.0000, 0.0000], dtype=torch.float64)

    Source: Loshchilov and Hutter 2017, SGDR: stochastic gradient descent with warm restarts.
    """

    lr: float
    total: float
    final: float = 0.0

    def __post_init__(self) -> None:
        _check_rate("Cosine", "lr", self.lr)
        _check_length("Cosine", "total", self.total)
        _check_between("Cosine", "final", self.final, self.lr)

    @property
    def length(self) -> float:
        return self.total

    def rate(self, t: float) -> float:
        return cosine(self.lr, self.final, min(t / self.total, 1))


@dataclass(frozen=True)
class Warmup(Schedule):
    """A rise to the rate with which training goes on: linear, `start + (α₀ − start)·t/steps`, or exponential,
    `start · (α₀/start)^(t/steps)`.

    At `t = steps` it hands over at exactly `α₀`, so that the schedule after it neither loses its first value nor
    repeats it.

    Args:
        lr: `α₀`, the rate reached, > 0; what comes after must start with it.
        steps: The length, > 0, in the unit of `t`.
        start: The rate at `t = 0`, in [0, lr]. With 0, the first step does not move. Exponential needs `start` > 0.
        shape: "linear" or "exponential".

    Example:
        >>> schedule = Warmup(0.1, steps=5).then(Cosine(0.1, total=95))
        >>> schedule(torch.tensor([0, 1, 4, 5, 100]))
        tensor([0.0000, 0.0200, 0.0800, 0.1000, 0.0000], dtype=torch.float64)

    Source: Goyal et al. 2017, Accurate, large minibatch SGD: training ImageNet in 1 hour.
    """

    lr: float
    steps: float
    start: float = 0.0
    shape: str = "linear"

    def __post_init__(self) -> None:
        _check_rate("Warmup", "lr", self.lr)
        _check_length("Warmup", "steps", self.steps)
        _check_between("Warmup", "start", self.start, self.lr)
        _check_choice("Warmup", "shape", self.shape, ("linear", "exponential"))
        if self.shape == "exponential" and self.start == 0:
            raise ValueError(f"Warmup: an exponential rise needs start > 0, got 0. Try start={self.lr / 100:g}.")

    @property
    def length(self) -> float:
        return self.steps

    def rate(self, t: float) -> float:
        return _ANNEALERS[self.shape](self.start, self.lr, min(t / self.steps, 1))


@dataclass(frozen=True)
class Triangular(Schedule):
    """Up and down between two rates for ever: `α(t) = base + (max − base) · h(t)`, where the height
    `h(t) = 1 − |t/stepsize − 2n − 1|` in the n-th cycle (n = 0, 1, ...) rises from 0 to 1 and falls back to 0.

    torch's `CyclicLR` sets the momentum too (`cycle_momentum=True`); no schedule here touches anything but the rate.

    Args:
        base_lr, max_lr: The lowest and the highest rate, 0 ≤ base_lr < max_lr.
        stepsize: Half a cycle, > 0, in the unit of `t`; Smith: 2 to 10 epochs.

    Example:
        >>> Triangular(0.01, 0.05, stepsize=2)(torch.arange(6))
        tensor([0.0100, 0.0300, 0.0500, 0.0300, 0.0100, 0.0300], dtype=torch.float64)

    Source: Smith 2017, Cyclical learning rates for training neural networks.
    """

    base_lr: float
    max_lr: float
    stepsize: float

    def __post_init__(self) -> None:
        _check_cyclical(self)

    def rate(self, t: float) -> float:
        _, height = _triangle(t, self.stepsize)
        return linear(self.base_lr, self.max_lr, height)


@dataclass(frozen=True)
class Triangular2(Schedule):
    """Triangular with half the height in every further cycle: `α(t) = base + (max − base) · h(t) / 2ⁿ`.

    `h(t)` and the parameters are those of `Triangular`; n counts the cycles from 0.

    Example:
        >>> Triangular2(0.01, 0.05, stepsize=2)(torch.tensor([2, 6, 10]))
        tensor([0.0500, 0.0300, 0.0200], dtype=torch.float64)

    Source: Smith 2017, Cyclical learning rates for training neural networks.
    """

    base_lr: float
    max_lr: float
    stepsize: float

    def __post_init__(self) -> None:
        _check_cyclical(self)

    def rate(self, t: float) -> float:
        cycle, height = _triangle(t, self.stepsize)
        return linear(self.base_lr, self.max_lr, height * 0.5**cycle)


@dataclass(frozen=True)
class ExpRange(Schedule):
    """Triangular with a height that decays: `α(t) = base + (max − base) · h(t) · γᵗ`, `t` since the very beginning.

    `h(t)`, `base_lr`, `max_lr` and `stepsize` are those of `Triangular`.

    Args:
        gamma: `γ` in (0, 1], per unit of `t`; Smith: .99994 per step.

    Example:
        >>> ExpRange(0.0, 0.1, stepsize=2, gamma=0.5)(torch.tensor([0, 1, 2, 3, 4]))
        tensor([0.0000, 0.0250, 0.0250, 0.0063, 0.0000], dtype=torch.float64)

    Source: Smith 2017, Cyclical learning rates for training neural networks.
    """

    base_lr: float
    max_lr: float
    stepsize: float
    gamma: float

    def __post_init__(self) -> None:
        _check_cyclical(self)
        _check_gamma("ExpRange", self.gamma)

    def rate(self, t: float) -> float:
        _, height = _triangle(t, self.stepsize)
        return linear(self.base_lr, self.max_lr, height * self.gamma**t)


@dataclass(frozen=True)
class WarmRestarts(Schedule):
    """SGDR: a cosine that starts again, `α(t) = final + ½(α₀ − final)(1 + cos(π u/P))`, `u` the time since the last
    restart and `P` the length of this cycle: `period`, then `period·mult`, `period·mult²`, ...

    In whole steps the minimum itself is never seen: the step at which it would be is the first of the next cycle.

    Args:
        lr: `α₀` > 0, the rate after each restart.
        period: The length of the first cycle, > 0.
        mult: What each cycle's length is multiplied by: a whole number ≥ 1.
        final: The rate each cycle falls towards, in [0, lr].

    Example:
        >>> WarmRestarts(1.0, period=4)(torch.arange(5))
        tensor([1.0000, 0.8536, 0.5000, 0.1464, 1.0000], dtype=torch.float64)
        >>> schedule = WarmRestarts(1.0, period=10, mult=2)    # restarts at 10, 30, 70, 150, ...
        >>> schedule(30), schedule(50), schedule(70)
        (1.0, 0.5, 1.0)

    Source: Loshchilov and Hutter 2017, SGDR: stochastic gradient descent with warm restarts.
    """

    lr: float
    period: float
    mult: int = 1
    final: float = 0.0

    def __post_init__(self) -> None:
        _check_rate("WarmRestarts", "lr", self.lr)
        _check_length("WarmRestarts", "period", self.period)
        _check_whole("WarmRestarts", "mult", self.mult, 1)
        _check_between("WarmRestarts", "final", self.final, self.lr)

    def rate(self, t: float) -> float:
        since, period = t, self.period
        if self.mult == 1:
            since %= period
        while since >= period:
            since -= period
            period *= self.mult
        return cosine(self.lr, self.final, since / period)


@dataclass(frozen=True)
class OneCycle(Schedule):
    """One rise to a large rate and one long fall far below the first: from `α₀/div_factor` to `α₀` at
    `t = pct_start·T`, then to `α₀/(div_factor·final_div_factor)` at `t = T`.

    torch's `OneCycleLR` is at its peak at `pct_start·T − 1`, at its end at `T − 1`, raises an error after `T`, and also
    cycles the momentum of your optimizer. fastai's last rate is `α₀` divided by `div_final` alone.

    Args:
        lr: `α₀` > 0, the peak.
        total: `T`, the length, > 0.
        pct_start: The share of `T` that is spent rising, in (0, 1).
        div_factor, final_div_factor: How many times smaller than the peak the first rate is, and how many times smaller
            than the first rate the last one is; ≥ 1.
        shape: "cosine" or "linear", of both parts.

    Example:
        >>> OneCycle(0.5, total=100)(torch.tensor([0, 30, 65, 100]))
        tensor([2.0000e-02, 5.0000e-01, 2.5000e-01, 2.0000e-06], dtype=torch.float64)

    Source: Smith and Topin 2018, Super-convergence: very fast training of neural networks using large learning rates.
    """

    lr: float
    total: float
    pct_start: float = 0.3
    div_factor: float = 25.0
    final_div_factor: float = 1e4
    shape: str = "cosine"

    def __post_init__(self) -> None:
        _check_rate("OneCycle", "lr", self.lr)
        _check_length("OneCycle", "total", self.total)
        _check_number("OneCycle", "pct_start", self.pct_start, "a number in (0, 1)", lambda share: 0 < share < 1)
        for name in ("div_factor", "final_div_factor"):
            _check_number("OneCycle", name, getattr(self, name), "a finite number ≥ 1", lambda div: 1 <= div < math.inf)
        _check_choice("OneCycle", "shape", self.shape, ("cosine", "linear"))

    @property
    def length(self) -> float:
        return self.total

    def rate(self, t: float) -> float:
        anneal, start, p = _ANNEALERS[self.shape], self.lr / self.div_factor, min(t / self.total, 1)
        if p < self.pct_start:
            return anneal(start, self.lr, p / self.pct_start)
        return anneal(self.lr, start / self.final_div_factor, (p - self.pct_start) / (1 - self.pct_start))


@dataclass(frozen=True)
class Recorded(Schedule):
    """A learner's own trace, piecewise constant: `α(t) = values[i]` for `steps[i] ≤ t < steps[i + 1]`.

    What was turned by hand becomes a schedule, which can be run again under other seeds or set against a formula. It
    has no end: after the last breakpoint the last value stays.

    Args:
        steps: The breakpoints, in steps: whole numbers, the first 0, strictly rising.
        values: The rate from each breakpoint on; as many as `steps`, each ≥ 0 and finite.

    Raises:
        ValueError: Breakpoints that are empty, not rising or do not start at 0; not one value for each; a bad value.

    Example:
        >>> Recorded(steps=(0, 100), values=(0.1, 0.01))(torch.tensor([0, 99, 100, 500]))
        tensor([0.1000, 0.1000, 0.0100, 0.0100], dtype=torch.float64)
    """

    steps: tuple[int, ...]
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        steps, values = tuple(self.steps), tuple(self.values)
        for step in steps:
            if not isinstance(step, Integral) or isinstance(step, bool):
                raise TypeError(f"Recorded: steps must be whole numbers, got {step!r}.")
        if not steps or steps[0] != 0 or any(later <= earlier for earlier, later in pairwise(steps)):
            raise ValueError(
                f"Recorded: steps must start at 0 and rise strictly, got {_shortened(steps)}. "
                "Sort the breakpoints and name the rate at step 0."
            )
        if len(values) != len(steps):
            raise ValueError(f"Recorded: {len(steps)} steps need {len(steps)} values, got {len(values)}.")
        for value in values:
            _check_number("Recorded", "every value", value, "a finite number ≥ 0", lambda v: 0 <= v < math.inf)
        object.__setattr__(self, "steps", tuple(int(step) for step in steps))
        object.__setattr__(self, "values", tuple(float(value) for value in values))

    def rate(self, t: float) -> float:
        return self.values[bisect_right(self.steps, t) - 1]

    @classmethod
    def from_moves(cls, moves: Iterable[tuple[int, str, Any]], initial: float) -> Recorded:
        """The trace of the knob "lr" in a move log.

        Args:
            moves: `run.moves`: `(step, knob, value)`, in the order they were made; other knobs are skipped. Of several
                moves at one step the last one counts.
            initial: The rate before the first move.

        Raises:
            ValueError: Steps that are negative or fall back.
            TypeError: A move that set the rate to a schedule: use `Recorded.from_history(run.history["lr"])` then.

        Example:
            >>> Recorded.from_moves([(100, "lr", 0.05), (120, "rho", 0.8), (300, "lr", 0.01)], initial=0.1)
            Recorded(steps=(0, 100, 300), values=(0.1, 0.05, 0.01))
        """
        trace = {0: initial}
        for step, knob, value in moves:
            if knob != "lr":
                continue
            if isinstance(value, (Mapping, Schedule)):
                raise TypeError(
                    f"Recorded.from_moves: at step {step} the rate was set to a schedule, not to a number. "
                    'Use Recorded.from_history(run.history["lr"]), which has the rate of every step.'
                )
            trace[step] = value
        return cls(tuple(trace), tuple(trace.values()))

    @classmethod
    def from_history(cls, lr: Sequence[float] | np.ndarray | Tensor) -> Recorded:
        """The trace of the rates that were applied, one per step (`run.history["lr"]`).

        Example:
            >>> Recorded.from_history([0.1, 0.1, 0.1, 0.02, 0.02])
            Recorded(steps=(0, 3), values=(0.1, 0.02))
        """
        rates = np.asarray(lr.cpu() if isinstance(lr, Tensor) else lr, dtype=np.float64)
        if rates.ndim != 1 or rates.size == 0:
            raise ValueError(
                f"Recorded.from_history: lr must be one rate per step, [steps], got the shape {list(rates.shape)}. "
                "Train the run for at least one step first."
            )
        changes = np.flatnonzero(rates[1:] != rates[:-1]) + 1
        steps = (0, *changes.tolist())
        return cls(steps, tuple(rates[list(steps)].tolist()))


# --- The schedule with a memory --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plateau:
    """Cuts the rate when a metric has stopped improving: `α ← max(factor · α, min_lr)`.

    No function of time can do that, so this is no `Schedule`. It has a memory, and like the state of an update rule the
    memory is a value outside of it: `observe` takes the state before and gives the state after. A state is a small
    JSON-able dict; whoever keeps an old one can go back to it.

    An observation is *good* when it beats the best one so far by more than `threshold · |best|`; the first finite one
    is good. Every other one is *bad*, and so is NaN or an infinity. The cut comes **with the `patience`-th bad
    observation in a row**, as in keras, optax and fastai; torch's `ReduceLROnPlateau` waits for one more
    (`torch_count=True`). In the `cooldown` observations after a cut nothing is counted as bad.

    Args:
        lr: The rate at the beginning, > 0.
        factor: What a cut multiplies the rate by, in (0, 1).
        patience: The number of bad observations that bring a cut: a whole number ≥ 1 (≥ 0 with `torch_count`).
        threshold: The relative improvement that counts, in [0, 1). torch takes `best · (1 − threshold)` as the bar,
            which for a negative loss lies above the best: there every standstill counts as an improvement.
        cooldown: The number of observations to wait after a cut: a whole number ≥ 0.
        min_lr: The rate that is never undercut, in [0, lr].
        mode: "min" for a loss, "max" for an accuracy.
        torch_count: Count patience as torch does.

    Example:
        >>> plateau = Plateau(0.1, factor=0.5, patience=2)
        >>> state = plateau.init()
        >>> for loss in (1.0, 0.8, 0.8, 0.8, 0.7):
        ...     state = plateau.observe(loss, state)
        ...     print(loss, state["lr"])
        1.0 0.1
        0.8 0.1
        0.8 0.1
        0.8 0.05
        0.7 0.05
    """

    lr: float
    factor: float = 0.1
    patience: int = 10
    threshold: float = 1e-4
    cooldown: int = 0
    min_lr: float = 0.0
    mode: str = "min"
    torch_count: bool = False

    def __post_init__(self) -> None:
        _check_rate("Plateau", "lr", self.lr)
        remedy = "It multiplies the rate: 0.1 divides it by 10."
        _check_number("Plateau", "factor", self.factor, "a number in (0, 1)", lambda v: 0 < v < 1, remedy)
        _check_whole("Plateau", "patience", self.patience, 0 if self.torch_count else 1)
        _check_number("Plateau", "threshold", self.threshold, "a number in [0, 1)", lambda v: 0 <= v < 1)
        _check_whole("Plateau", "cooldown", self.cooldown, 0)
        _check_between("Plateau", "min_lr", self.min_lr, self.lr)
        _check_choice("Plateau", "mode", self.mode, ("min", "max"))

    def init(self) -> dict[str, Any]:
        """The state before the first observation: the rate, the best metric so far, bad observations, cooldown left."""
        return {"lr": float(self.lr), "best": None, "bad": 0, "cooldown": 0}

    def observe(self, metric: float | Tensor, state: Mapping[str, Any]) -> dict[str, Any]:
        """The state after one more observation; `state["lr"]` is the rate from here on. `state` stays as it was.

        Args:
            metric: One number, or a tensor with one element: the validation loss, mostly, once an epoch.
            state: What `init` or the observation before gave.

        Raises:
            ValueError: `state` is not the state of a Plateau.
        """
        if set(state) != set(self.init()):
            raise ValueError(f"Plateau: state must have the keys of init(), {list(self.init())}, got {list(state)}.")
        lr, best, bad, cooldown = state["lr"], state["best"], state["bad"], state["cooldown"]
        metric = float(metric)
        if self._improves(metric, best):
            best, bad = metric, 0
        else:
            bad += 1
        if cooldown > 0:
            cooldown, bad = cooldown - 1, 0
        if bad >= self.patience + self.torch_count:
            lr, bad, cooldown = max(self.factor * lr, self.min_lr), 0, self.cooldown
        return {"lr": lr, "best": best, "bad": bad, "cooldown": cooldown}

    def _improves(self, metric: float, best: float | None) -> bool:
        if not math.isfinite(metric):
            return False
        if best is None:
            return True
        gain = best - metric if self.mode == "min" else metric - best
        return gain > self.threshold * abs(best)


# --- For any torch optimizer -----------------------------------------------------------------------------------------


class TorchScheduler(LRScheduler):
    """A schedule as a torch scheduler; see `as_torch`."""

    def __init__(self, schedule: Schedule, optimizer: torch.optim.Optimizer) -> None:
        _check_schedule("as_torch", "schedule", schedule)
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise TypeError(f"as_torch: optimizer must be a torch.optim.Optimizer, got {optimizer!r}.")
        first = optimizer.param_groups[0]
        self._unit = float(first.get("initial_lr", first["lr"]))
        _check_positive("as_torch", "the lr of the optimizer's first group", self._unit, "Others are relative to it.")
        self.schedule = schedule
        super().__init__(optimizer)

    def get_lr(self) -> list[float | Tensor]:
        rate = self.schedule(self.last_epoch)
        return [rate * self._multiplier(group) for group in self.optimizer.param_groups]

    def _multiplier(self, group: dict[str, Any]) -> float:
        # Kept in the group, so that it travels with the optimizer's own state_dict, and so that a group which is added
        # later (unfreezing) finds its share too.
        if "lr_multiplier" not in group:
            group["lr_multiplier"] = float(group.get("initial_lr", group["lr"])) / self._unit
        return group["lr_multiplier"]

    def state_dict(self) -> dict[str, Any]:
        return {"schedule": self.schedule.to_spec(), "last_epoch": self.last_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if state_dict["schedule"] != self.schedule.to_spec():
            self.schedule = _spec.from_spec(state_dict["schedule"], REGISTRY)
        self.last_epoch = state_dict["last_epoch"]
        # torch's own schedulers leave the optimizer's rate to the optimizer's state; here it is right in either order.
        for group, lr in zip(self.optimizer.param_groups, self.get_lr(), strict=True):
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(lr)
            else:
                group["lr"] = lr
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]


def as_torch(schedule: Schedule, optimizer: torch.optim.Optimizer) -> TorchScheduler:
    """A `torch.optim.lr_scheduler.LRScheduler` that applies `schedule` to any torch optimizer.

    The rate that is applied at step t is `schedule(t)`, for every t: before the first `scheduler.step()` it is
    `schedule(0)`. The rate is computed from the number of calls and never from the rate before, so nothing drifts.

    A parameter group with another learning rate than the first keeps its ratio to it: with rates .1 and .01 in the
    optimizer, the second group gets `0.1 · schedule(t)`. A group may also name its share itself, under the key
    `"lr_multiplier"`; a group added later has one by the same rule. Nothing but `group["lr"]` is ever changed: no
    momentum, no β₁.

    `state_dict()` holds the schedule (as JSON) and the count; `load_state_dict()` also puts the rate back into the
    optimizer.

    Args:
        schedule: A `Schedule`; its unit of time is one call of `scheduler.step()`.
        optimizer: Any torch optimizer, `lrlab.optim.Optimizer` included. The rate of its first group is only the unit
            of the others: the schedule replaces it.

    Example:
        >>> weights = torch.nn.Parameter(torch.zeros(3))
        >>> optimizer = torch.optim.SGD([weights], lr=1.0, momentum=0.9)
        >>> scheduler = as_torch(Step(0.1, every=2), optimizer)
        >>> for step in range(3):
        ...     print(step, optimizer.param_groups[0]["lr"])
        ...     optimizer.step()
        ...     scheduler.step()
        0 0.1
        1 0.1
        2 0.010000000000000002
    """
    return TorchScheduler(schedule, optimizer)


# --- Pictures --------------------------------------------------------------------------------------------------------

_POINTS = 1001  # enough for a jump to look upright at the width of a page


def plot(
    schedules: Schedule | Sequence[Schedule] | Mapping[str, Schedule],
    total: float,
    *,
    title: str = "The learning rate as a function of time",
    unit: str = "steps",
    log: bool = False,
) -> Figure:
    """Schedules on one pair of axes, from 0 to `total`, each with its name at its end.

    Looking at a schedule cannot change it: plot it as often as you like and train with the same object.

    Args:
        schedules: One schedule, several, or a dict `{label: schedule}`; without labels their class names stand there.
        total: The last time shown, > 0, in the schedules' unit.
        title: The message of the picture.
        unit: "steps" or "epochs", for the axis.
        log: Whether the axis of the rate is logarithmic.

    Returns:
        A matplotlib `Figure`; in a notebook, `lrlab.figures.show(fig, alt="...")` displays it.

    Example:
        >>> fig = plot([Cosine(0.1, total=100), Step(0.1, every=30)], total=100, unit="epochs")
        >>> fig.axes[0].get_xlabel()
        'time t (epochs)'
    """
    if isinstance(schedules, Schedule):
        schedules = [schedules]
    if not isinstance(schedules, Mapping):
        schedules = _labelled(schedules)
    if not schedules:
        raise ValueError("plot: schedules is empty. Give at least one.")
    _check_length("plot", "total", total)
    fig, ax = figures.figure(title)
    times = torch.linspace(0, total, _POINTS, dtype=torch.float64)
    for label, schedule in schedules.items():
        _check_schedule("plot", "every one of schedules", schedule)
        ax.plot(times.numpy(), schedule(times).numpy(), label=label)
    ax.set(xlabel=f"time t ({unit})", ylabel="learning rate α", yscale="log" if log else "linear")
    figures.direct_labels(ax)
    return fig


def _labelled(schedules: Sequence[Schedule]) -> dict[str, Schedule]:
    """By class name, or by the whole constructor call where two are of one class."""
    names = [_short_name(schedule) for schedule in schedules]
    return {repr(s) if names.count(name) > 1 else name: s for name, s in zip(names, schedules, strict=True)}


def _short_name(schedule: Schedule) -> str:
    return ", ".join(map(_short_name, schedule.parts)) if isinstance(schedule, Joined) else type(schedule).__name__


# --- JSON ------------------------------------------------------------------------------------------------------------

_KNOWN: tuple[type[Schedule], ...] = (
    *(Constant, Step, MultiStep, Exponential, DelayedExponential, Linear, InverseTime, InverseSqrt, Cosine),
    *(Warmup, Triangular, Triangular2, ExpRange, WarmRestarts, OneCycle, Recorded),
    *(Joined, Until, Scaled),
)
REGISTRY: dict[str, type[Schedule]] = {cls.__name__: cls for cls in _KNOWN}


def from_spec(spec: Mapping[str, Any]) -> Schedule:
    """The schedule that `schedule.to_spec()` described.

    Raises:
        TypeError, ValueError: `spec` is no dict, names something unknown, lacks a field or has one too many, or holds a
            value that the schedule itself refuses.

    Example:
        >>> from_spec({"name": "Scaled", "schedule": {"name": "Constant", "lr": 0.1}, "factor": 0.5})
        Scaled(schedule=Constant(lr=0.1), factor=0.5)
    """
    return _spec.from_spec(spec, REGISTRY)


# --- The shape of a cycle, and what may be given ----------------------------------------------------------------------


def _triangle(t: float, stepsize: float) -> tuple[float, float]:
    """The number of whole cycles before `t`, and the height in this one: 0 to 1 and back to 0."""
    cycle, phase = divmod(t, 2 * stepsize)
    return cycle, 1 - abs(phase / stepsize - 1)


def _check_number(
    owner: str, name: str, value: Any, allowed: str, holds: Callable[[float], bool], remedy: str = ""
) -> None:
    message = f"{owner}: {name} must be {allowed}, got {value!r}. {remedy}".rstrip()
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(message)
    if not holds(float(value)):
        raise ValueError(message)


def _check_positive(owner: str, name: str, value: Any, remedy: str = "") -> None:
    _check_number(owner, name, value, "a finite number > 0", lambda v: 0 < v < math.inf, remedy)


def _check_rate(owner: str, name: str, value: Any) -> None:
    _check_positive(owner, name, value, "It is a learning rate: try 0.1.")


def _check_length(owner: str, name: str, value: Any) -> None:
    _check_positive(owner, name, value, "It is a time, in the unit of t: steps or epochs.")


def _check_gamma(owner: str, value: Any) -> None:
    remedy = "It multiplies the rate: 0.1 divides it by 10, 1 leaves it as it is."
    _check_number(owner, "gamma", value, "a number in (0, 1]", lambda v: 0 < v <= 1, remedy)


def _check_between(owner: str, name: str, value: Any, lr: float) -> None:
    remedy = "It must not be above lr."
    _check_number(owner, name, value, f"a number in [0, {lr:g}]", lambda v: 0 <= v <= lr, remedy)


def _check_whole(owner: str, name: str, value: Any, least: int) -> None:
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise TypeError(f"{owner}: {name} must be a whole number ≥ {least}, got {value!r}.")
    if value < least:
        raise ValueError(f"{owner}: {name} must be a whole number ≥ {least}, got {value!r}.")


def _check_choice(owner: str, name: str, value: Any, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{owner}: {name} must be one of {', '.join(map(repr, choices))}, got {value!r}.")


def _check_cyclical(schedule: Triangular | Triangular2 | ExpRange) -> None:
    owner = type(schedule).__name__
    _check_rate(owner, "max_lr", schedule.max_lr)
    allowed, remedy = f"a number in [0, {schedule.max_lr:g})", "It must be below max_lr."
    _check_number(owner, "base_lr", schedule.base_lr, allowed, lambda v: 0 <= v < schedule.max_lr, remedy)
    _check_length(owner, "stepsize", schedule.stepsize)


def _check_schedule(owner: str, name: str, value: Any) -> None:
    if not isinstance(value, Schedule):
        remedy = f"Write Constant({value!r})." if isinstance(value, Real) else "Those of lrlab.schedules are."
        raise TypeError(f"{owner}: {name} must be a schedule, got {value!r}. {remedy}")


def _shortened(values: tuple[Any, ...]) -> str:
    return str(values) if len(values) <= 8 else f"({', '.join(map(str, values[:8]))}, ...)"
