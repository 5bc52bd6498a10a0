"""What a search may try: intervals and choices, one for each hyperparameter, and whether a run accepts their values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, TypeAlias

import numpy as np
import torch

from lrlab import _spec
from lrlab.knobs import as_rule
from lrlab.rules import Rule
from lrlab.run import Run
from lrlab.schedules import Schedule

Point: TypeAlias = dict[str, Any]


@dataclass(frozen=True, repr=False)
class Interval:
    """All numbers from ``low`` to ``high``. A *position* in it runs from 0 to 1, evenly in the value or its logarithm.

    Args:
        low, high: the bounds, both included.
        log: whether the position is even in the logarithm.
        whole: whether only whole numbers are meant.
    """

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def __post_init__(self) -> None:
        for bound in (self.low, self.high):
            kind, allowed = (Integral, "whole numbers") if self.whole else (Real, "numbers")
            if isinstance(bound, bool) or not isinstance(bound, kind):
                raise TypeError(f"{self!r}: the bounds must be {allowed}, got {bound!r}")
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"{self!r}: low must be below high, both finite, got low={self.low}, high={self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"{self!r}: on a logarithmic scale low must be above 0, got {self.low}; try 1e-6")

    def __repr__(self) -> str:
        name = "integers" if self.whole else "log_uniform" if self.log else "uniform"
        bounds = f"{self.low!r}, {self.high!r}"
        return f"{name}({bounds}{', log=True' if self.whole and self.log else ''})"

    @property
    def _ends(self) -> tuple[float, float]:
        """Where position 0 and 1 are: each whole number owns the half unit on either side of it."""
        low, high = (self.low - 0.5, self.high + 0.5) if self.whole else (self.low, self.high)
        return (math.log(low), math.log(high)) if self.log else (low, high)

    def value(self, position: float) -> float | int:
        """The number at a position; one outside 0 to 1 leads outside the interval, on the same scale."""
        start, end = self._ends
        place = start + position * (end - start)
        number = math.exp(place) if self.log else place
        if 0 <= position <= 1:
            number = min(max(number, self.low), self.high)  # rounding must not lead outside
        return round(number) if self.whole else float(number)

    def position(self, value: float) -> float:
        """Where a number lies."""
        start, end = self._ends
        return ((math.log(value) if self.log else value) - start) / (end - start)

    def draw(self, n: int, seed: int = 0) -> np.ndarray:
        """``[n]`` random values.

        >>> bool(abs((log_uniform(1e-4, 1).draw(10_000) < 1e-2).mean() - 0.5) < 0.02)
        True
        """
        return np.array([self.value(position) for position in np.random.default_rng(seed).random(n)])

    def spaced(self, n: int) -> list[Any]:
        """``n`` values from end to end at even distances; of whole numbers, those that differ."""
        if n == 1:
            return [self.value(0.5)]
        first, last = self.position(self.low), self.position(self.high)
        return list(dict.fromkeys(self.value(float(position)) for position in np.linspace(first, last, n)))


@dataclass(frozen=True, repr=False)
class Choice:
    """A list of options: numbers, rules or schedules."""

    options: tuple[Any, ...]

    def __post_init__(self) -> None:
        if not self.options:
            raise ValueError("choice() is empty: give at least one option")
        if len(set(self.labels)) < len(self.options):
            raise ValueError(f"{self!r}: the options must differ")

    def __repr__(self) -> str:
        return f"choice({', '.join(map(repr, self.options))})"

    @property
    def labels(self) -> list[str | float]:
        """The options as a journal and a table can hold them: numbers, and texts for what is none."""
        return [label(option) for option in self.options]

    def option(self, label: Any) -> Any:
        """The option that a label stands for."""
        return self.options[self.labels.index(label)]

    def value(self, position: float) -> Any:
        """The option at a position, where each has an equal share of 0 to 1."""
        return self.options[min(int(position * len(self.options)), len(self.options) - 1)]

    def draw(self, n: int, seed: int = 0) -> np.ndarray:
        """``[n]`` random options."""
        values = [self.value(position) for position in np.random.default_rng(seed).random(n)]
        drawn = np.empty(n, dtype=object if any(isinstance(value, (Rule, Schedule)) for value in values) else None)
        drawn[:] = values
        return drawn


Dimension: TypeAlias = Interval | Choice


def uniform(low: float, high: float) -> Interval:
    """All numbers from low to high, each as likely as the other.

    >>> bool((uniform(0, 1).draw(10_000) > 0.1).mean() > 0.89)      # nine tenths of the tries, in one decade of many
    True
    """
    return Interval(low, high)


def log_uniform(low: float, high: float) -> Interval:
    """All numbers from low to high, each decade as likely as the other. For learning rates: 0 < low < high."""
    return Interval(low, high, log=True)


def integers(low: int, high: int, log: bool = False) -> Interval:
    """The whole numbers from low to high, both included; with ``log=True`` each doubling is as likely as the other."""
    return Interval(low, high, log=log, whole=True)


def choice(*options: Any) -> Choice:
    """One of these numbers, rules or schedules: ``choice(16, 32, 64)``, ``choice(rules.SGD(), rules.Adam())``."""
    return Choice(options)


def label(value: Any) -> Any:
    """A value as JSON and tables hold it."""
    return repr(value) if isinstance(value, (Rule, Schedule)) else value


def unlabel(dimension: Dimension, value: Any) -> Any:
    """The value that a label stands for."""
    return dimension.option(value) if isinstance(dimension, Choice) else value


# A whole space --------------------------------------------------------------------------------------------------------


def as_space(space: Any, fixed: Mapping[str, Any]) -> dict[str, Dimension]:
    """The space with its lists as choices.

    Args:
        space: name -> interval, choice, or a list of values.
        fixed: the settings beside the space, such as the batch size.

    Raises:
        TypeError, ValueError: no parameter, one that stands in both, or what is no dimension.
    """
    if not isinstance(space, Mapping) or not space:
        given = "{}" if isinstance(space, Mapping) else repr(space)
        raise ValueError(
            f'space must name at least one hyperparameter, as in {{"lr": search.log_uniform(1e-4, 1)}}; got {given}'
        )
    for name in space:
        if name in fixed:
            raise ValueError(f"{name} stands in the space and beside it ({name}={fixed[name]!r}): give it once")
    return {str(name): _as_dimension(name, dimension) for name, dimension in space.items()}


def _as_dimension(name: Any, dimension: Any) -> Dimension:
    if isinstance(dimension, (Interval, Choice)):
        found: Dimension = dimension
    elif isinstance(dimension, (torch.Tensor, np.ndarray)):
        found = Choice(tuple(dimension.tolist()))
    elif isinstance(dimension, Sequence) and not isinstance(dimension, str):
        found = Choice(tuple(dimension))
    else:
        raise TypeError(
            f"space[{name!r}] must be search.uniform, log_uniform, integers or choice, or a list; got {dimension!r}"
        )
    if name == "rule":
        if isinstance(found, Interval):
            raise TypeError(f"space['rule'] must be a choice of rules, got {found!r}")
        return Choice(tuple(as_rule(option) for option in found.options))
    if name == "batch_size" and isinstance(found, Interval) and not found.whole:
        raise ValueError(f"space['batch_size'] = {found!r}: samples are counted, so use search.integers or choice")
    return found


def check_space(space: Mapping[str, Dimension], runs: Sequence[Run]) -> None:
    """Raise TypeError or ValueError where one of these runs does not accept an end or an option; they are turned."""
    for run in runs:
        for name, dimension in space.items():
            for value in dimension.options if isinstance(dimension, Choice) else (dimension.low, dimension.high):
                try:
                    run.turn(name, value)
                except (TypeError, ValueError) as error:
                    raise type(error)(f"space[{name!r}]: {error}") from None


def accepts(runs: Sequence[Run], name: str, value: Any) -> bool:
    """Whether all of these runs accept the value; they are turned."""
    try:
        for run in runs:
            run.turn(name, value)
    except (TypeError, ValueError):
        return False
    return True


def described(value: Any) -> Any:
    """A setting as JSON values, the same for the same setting."""
    if isinstance(value, (Rule, Schedule)):
        return _spec.to_spec(value)
    if isinstance(value, (Interval, Choice)):
        return repr(value)
    if isinstance(value, Mapping):
        return {str(key): described(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [described(item) for item in value]
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    return getattr(value, "__name__", None) or str(value)


def whole(name: str, value: Any, least: int) -> int:
    """The value, if it is a whole number of at least ``least``; else a ValueError."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")
    return value
