"""Which points a search tries next: the four kinds, as plans that are asked round by round."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from lrlab._journal import Trial, distribution, import_optuna, quiet
from lrlab._spaces import Choice, Dimension, Interval, Point, accepts, label, unlabel, whole
from lrlab.configuration import one_of
from lrlab.run import Run


class Setting(Protocol):
    """What a plan needs to know of the search."""

    @property
    def higher(self) -> bool:
        """Whether a larger value is the better one."""

    @property
    def probes(self) -> list[Run]:
        """Runs that know which values they accept."""

    def best(self, trials: Sequence[Trial]) -> Trial | None:
        """The best of the trials that were trained to the end."""


class Plan(Protocol):
    """Which points a search tries, round by round."""

    trials: int
    warnings: list[str]

    def points(self, done: Sequence[Trial], known: Mapping[int, Trial]) -> list[Point]:
        """The points of the next round, after those done; empty at the end. ``known`` trials stand in the journal."""


class Grid:
    """All combinations of some values of each dimension, in one round."""

    def __init__(self, space: Mapping[str, Dimension], trials: int | None, **_: Any) -> None:
        intervals = [name for name, dimension in space.items() if isinstance(dimension, Interval)]
        combinations = math.prod(len(each.options) for each in space.values() if isinstance(each, Choice))
        if trials is None:
            if intervals:
                raise ValueError(f"trials= is needed: how many, at most, where {intervals[0]} is an interval?")
            trials = combinations
        if whole("trials", trials, 1) < combinations:
            raise ValueError(f"trials must be at least {combinations}, the combinations of the lists, got {trials}")
        each = 1
        while intervals and combinations * (each + 1) ** len(intervals) <= trials:
            each += 1
        values = [d.spaced(each) if isinstance(d, Interval) else d.options for d in space.values()]
        self._points = [dict(zip(space, point, strict=True)) for point in itertools.product(*values)]
        self.trials, self.warnings = len(self._points), list[str]()

    def points(self, done: Sequence[Trial], known: Mapping[int, Trial]) -> list[Point]:
        return [] if done else self._points


class Random:
    """Independent draws, in one round."""

    def __init__(self, space: Mapping[str, Dimension], trials: int, seed: int, **_: Any) -> None:
        self.trials, self.warnings = whole("trials", trials, 1), list[str]()
        self._space, self._seed = space, seed

    def points(self, done: Sequence[Trial], known: Mapping[int, Trial]) -> list[Point]:
        return [self._point(number) for number in range(len(done), self.trials)]

    def _point(self, number: int) -> Point:
        positions = np.random.default_rng([self._seed, number])
        return {name: dimension.value(positions.random()) for name, dimension in self._space.items()}


class CoarseToFine:
    """Latin hypercubes in regions that become smaller, or move."""

    def __init__(
        self,
        space: Mapping[str, Dimension],
        trials: int,
        seed: int,
        rounds: int,
        zoom: float,
        setting: Setting,
        **_: Any,
    ) -> None:
        whole("rounds", rounds, 1)
        if isinstance(zoom, bool) or not isinstance(zoom, (int, float)) or not 1 < zoom < math.inf:
            raise ValueError(f"zoom must be a number above 1, got {zoom!r}")
        if whole("trials", trials, 1) < 3 * rounds:
            raise ValueError(f"trials must be at least {3 * rounds}, three for each of {rounds} rounds, got {trials}")
        self.trials, self.warnings = trials, list[str]()
        self._sizes = [len(part) for part in np.array_split(np.arange(trials), rounds)]
        self._region, self._zoom, self._seed, self._setting = dict(space), zoom, seed, setting
        self._round = 0

    def points(self, done: Sequence[Trial], known: Mapping[int, Trial]) -> list[Point]:
        for words in self._move(done) if self._round else ():
            self.warnings.append(words)
            warnings.warn(words, UserWarning, stacklevel=5)  # shown at the call of the search
        if self._round == len(self._sizes):
            return []
        self._round += 1
        return self._latin_hypercube(self._sizes[self._round - 1])

    def _latin_hypercube(self, m: int) -> list[Point]:
        """m points, one in each of m strips along every dimension."""
        rng = np.random.default_rng([self._seed, self._round])
        strips = np.stack([rng.permutation(m) for _ in self._region], axis=1)
        positions = (strips + rng.random(strips.shape)) / m
        return [
            {name: dimension.value(at) for (name, dimension), at in zip(self._region.items(), row, strict=True)}
            for row in positions
        ]

    def _move(self, done: Sequence[Trial]) -> list[str]:
        """Narrow the region around the best so far, or move it where that sits on the border; what to warn of."""
        best = self._setting.best(done)
        if best is None:
            again = "; the next round searches the same region again" if self._round < len(self._sizes) else ""
            return [f"round {self._round}: every trial so far diverged{again}"]
        words = []
        for name, old in self._region.items():
            if isinstance(old, Interval):
                at, strip = old.position(best.point[name]), 1 / self._sizes[self._round - 1]
                if strip <= at <= 1 - strip:
                    self._region[name] = self._narrowed(old, at)
                else:
                    self._region[name] = new = self._moved(name, old, at)
                    words += self._beyond(name, best.point[name], old, new)
        return words

    def _narrowed(self, old: Interval, at: float) -> Interval:
        half = 0.5 / self._zoom
        centre = min(max(at, half), 1 - half)
        return _part(old, centre - half, centre + half)

    def _moved(self, name: str, old: Interval, at: float) -> Interval:
        """As wide as before, three quarters of it beyond the best."""
        start, end = (at - 0.25, at + 0.75) if at > 0.5 else (at - 0.75, at + 0.25)
        return _part(old, self._allowed(name, old, at, start), self._allowed(name, old, at, end))

    def _beyond(self, name: str, best: float, old: Interval, new: Interval) -> list[str]:
        """The warning, if the region has left the old one: some hyperparameters allow nothing beyond their border."""
        if old.low <= new.low and new.high <= old.high:
            return []
        ends = "[{0.low:.3g}, {0.high:.3g}]"
        more = f"the next round searches {ends.format(new)}" if self._round < len(self._sizes) else "look there too"
        border = f"round {self._round}: the best {name}, {best:.3g}, sits on the border of {ends.format(old)}"
        return [f"{border}, so a better one may lie beyond; {more}"]

    def _allowed(self, name: str, dimension: Interval, inside: float, wanted: float) -> float:
        """The wanted position, or the one nearest to it whose value the hyperparameter allows."""
        if accepts(self._setting.probes, name, dimension.value(wanted)):
            return wanted
        for _ in range(40):
            middle = (inside + wanted) / 2
            if accepts(self._setting.probes, name, dimension.value(middle)):
                inside = middle
            else:
                wanted = middle
        return inside


def _part(interval: Interval, start: float, end: float) -> Interval:
    """The part between two positions; of whole numbers, at least two."""
    low, high = interval.value(start), interval.value(end)
    if interval.whole and low >= high:
        low, high = (low, low + 1) if low < interval.high else (low - 1, low)
    return Interval(low, high, interval.log, interval.whole)


class Bayesian:
    """What a sampler of optuna asks for, a batch a round."""

    def __init__(
        self, space: Mapping[str, Dimension], trials: int, seed: int, sampler: str, setting: Setting, at_once: int
    ) -> None:
        import_optuna("Bayesian search")
        self.trials, self.warnings = whole("trials", trials, 1), list[str]()
        self._sampler = one_of("sampler", sampler, ("tpe", "gp"))
        self._space, self._seed, self._setting, self._at_once = space, seed, setting, at_once
        self._distributions = {name: distribution(dimension) for name, dimension in space.items()}

    def points(self, done: Sequence[Trial], known: Mapping[int, Trial]) -> list[Point]:
        numbers = range(len(done), min(len(done) + self._at_once, self.trials))
        if all(number in known for number in numbers):
            return [known[number].point for number in numbers]
        with quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # optuna's word that a sampler is experimental
            values = [trial.value for trial in done if trial.status == "done"] or [0.0]
            worst, lie = (min if self._setting.higher else max)(values), float(np.median(values))
            study = self._study(done, worst)
            points = []
            for number in numbers:
                points.append(known[number].point if number in known else self._ask(study, number))
                self._tell(study, Trial(number, points[-1], 0, {0: lie}, "done"), worst)
        return points

    def _study(self, done: Sequence[Trial], worst: float) -> Any:
        """A study in memory that knows the trials done. Made anew for each round, it depends on nothing else."""
        import optuna

        study = optuna.create_study(direction="maximize" if self._setting.higher else "minimize")
        for trial in done:
            self._tell(study, trial, worst)
        return study

    def _tell(self, study: Any, trial: Trial, worst: float) -> None:
        import optuna

        pruned = trial.status == "pruned"
        study.add_trial(
            optuna.trial.create_trial(
                state=optuna.trial.TrialState.PRUNED if pruned else optuna.trial.TrialState.COMPLETE,
                # Divergence is as bad as the worst that was measured: an infinity would swamp every model.
                value=None if pruned else worst if trial.status == "diverged" else trial.value,
                params={name: label(value) for name, value in trial.point.items()},
                distributions=self._distributions,
                intermediate_values=dict(trial.values) if pruned else {},
            )
        )

    def _ask(self, study: Any, number: int) -> Point:
        import optuna

        kind = {"tpe": optuna.samplers.TPESampler, "gp": optuna.samplers.GPSampler}[self._sampler]
        own_seed = int(np.random.default_rng([self._seed, number]).integers(2**31))
        study.sampler = kind(seed=own_seed, n_startup_trials=10)
        asked = study.ask(self._distributions)
        study.tell(asked, state=optuna.trial.TrialState.FAIL)  # the lie is told in its place
        return {name: unlabel(dimension, asked.params[name]) for name, dimension in self._space.items()}
