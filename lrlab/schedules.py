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
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from numbers import Integral, Real
from typing import Any, overload

import numpy as np
import torch
from torch import Tensor

from lrlab import _spec

# --- What every schedule can do --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Schedule(ABC):
    """A learning rate as a pure function of time. To write your own, subclass it and define `rate(t)` on one number.

    Examples
    --------
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

        Parameters
        ----------
        t
            A number, or a tensor (or numpy array) of any shape; at least 0, finite; in steps or in epochs.

        Returns
        -------
        The same kind: a float for a number; for a tensor, one of its shape and device, in its own dtype when that is
        a floating one and in float64 otherwise. One formula serves both, so they agree to the last bit (before the
        cast to a narrower dtype).

        Raises
        ------
        ValueError
            `t` is negative, infinite or not a number.
        TypeError
            `t` is no number, tensor or array.
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
        return float(self.rate(t))

    def then(self, following: Schedule) -> Joined:
        """This schedule to its end, then `following`, whose own time starts at 0 there.

        Examples
        --------
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

    Parameters
    ----------
    parts
        At least one schedule; all but the last must have an end. Joined parts are taken apart into theirs.

    Raises
    ------
    ValueError
        No part; a part without an end before the last one; a `Warmup` that ends elsewhere than the next part starts.

    Examples
    --------
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

    Examples
    --------
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

    Examples
    --------
    >>> (2 * Constant(0.1))(0)
    0.2
    """

    schedule: Schedule
    factor: float

    def __post_init__(self) -> None:
        _check_schedule("Scaled", "schedule", self.schedule)
        _check_number("Scaled", "factor", self.factor, "a finite number > 0", lambda factor: 0 < factor < math.inf)

    @property
    def length(self) -> float:
        return self.schedule.length

    def rate(self, t: float) -> float:
        return self.factor * self.schedule.rate(t)


# --- The schedules ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Constant(Schedule):
    """The same rate for ever: `α(t) = α₀`.

    Parameters
    ----------
    lr
        `α₀`, the learning rate, > 0.

    Examples
    --------
    >>> Constant(0.1)(1_000_000)
    0.1
    """

    lr: float

    def __post_init__(self) -> None:
        _check_rate("Constant", "lr", self.lr)

    def rate(self, t: float) -> float:
        return self.lr


@dataclass(frozen=True)
class Recorded(Schedule):
    """A learner's own trace, piecewise constant: `α(t) = values[i]` for `steps[i] ≤ t < steps[i + 1]`.

    What was turned by hand becomes a schedule, which can be run again under other seeds or set against a formula. It
    has no end: after the last breakpoint the last value stays.

    Parameters
    ----------
    steps
        The breakpoints, in steps: whole numbers, the first 0, strictly rising.
    values
        The rate from each breakpoint on; as many as `steps`, each ≥ 0 and finite.

    Raises
    ------
    ValueError
        Breakpoints that are empty, not rising or do not start at 0; not one value for each; a bad value.

    Examples
    --------
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
            _check_rate_or_zero("Recorded", "values", value)
        object.__setattr__(self, "steps", tuple(int(step) for step in steps))
        object.__setattr__(self, "values", tuple(float(value) for value in values))

    def rate(self, t: float) -> float:
        return self.values[bisect_right(self.steps, t) - 1]

    @classmethod
    def from_moves(cls, moves: Iterable[tuple[int, str, Any]], initial: float) -> Recorded:
        """The trace of the knob "lr" in a move log.

        Parameters
        ----------
        moves
            `run.moves`: `(step, knob, value)`, in the order they were made; other knobs are skipped. Of several moves
            at one step the last one counts.
        initial
            The rate before the first move.

        Raises
        ------
        ValueError
            Steps that are negative or fall back.
        TypeError
            A move that set the rate to a schedule: use `Recorded.from_history(run.history["lr"])` then.

        Examples
        --------
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

        Examples
        --------
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


# --- JSON ------------------------------------------------------------------------------------------------------------

REGISTRY: dict[str, type[Schedule]] = {cls.__name__: cls for cls in (Constant, Recorded, Joined, Until, Scaled)}


def from_spec(spec: Mapping[str, Any]) -> Schedule:
    """The schedule that `schedule.to_spec()` described.

    Examples
    --------
    >>> from_spec({"name": "Scaled", "schedule": {"name": "Constant", "lr": 0.1}, "factor": 0.5})
    Scaled(schedule=Constant(lr=0.1), factor=0.5)
    """
    return _spec.from_spec(spec, REGISTRY)


# --- What may be given -----------------------------------------------------------------------------------------------


def _check_number(owner: str, name: str, value: Any, allowed: str, holds: Any, remedy: str = "") -> None:
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(f"{owner}: {name} must be {allowed}, got {value!r} ({type(value).__name__}). {remedy}".rstrip())
    if not holds(value):
        raise ValueError(f"{owner}: {name} must be {allowed}, got {value!r}. {remedy}".rstrip())


def _check_rate(owner: str, name: str, value: Any) -> None:
    _check_number(owner, name, value, "a finite number > 0", lambda v: 0 < v < math.inf, "Try 0.1.")


def _check_rate_or_zero(owner: str, name: str, value: Any) -> None:
    _check_number(owner, name, value, "a finite number ≥ 0", lambda v: 0 <= v < math.inf)


def _check_length(owner: str, name: str, value: Any) -> None:
    remedy = "It is a length, in the unit of t: steps or epochs."
    _check_number(owner, name, value, "a finite number > 0", lambda v: 0 < v < math.inf, remedy)


def _check_schedule(owner: str, name: str, value: Any) -> None:
    if not isinstance(value, Schedule):
        raise TypeError(f"{owner}: {name} must be a schedule, got {value!r}. For a number write Constant({value!r}).")


def _shortened(values: tuple[Any, ...]) -> str:
    return str(values) if len(values) <= 8 else f"({', '.join(map(str, values[:8]))}, ...)"
