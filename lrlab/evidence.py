"""A measured claim: two or more arms, the same seeds for each, an equal budget, and a sentence that holds or fails.

    claim = evidence.compare(
        {
            "constant": lambda seed: Run("mlp", "digits", lr=0.2, batch_size=4, seed=seed),
            "decayed": lambda seed: Run("mlp", "digits", lr=by_hand, batch_size=4, seed=seed),
        },
        steps=600, metric="val_loss", seeds=16,
    )
    claim.better("decayed", than="constant", in_at_least=14)
    claim.show("Turned down in time, the rate ends lower")

An arm is a function that makes a `Run` from a seed. Arms meet seed by seed: with one seed they start from the same
weights and see the same data in the same order, so that what differs is what the claim is about.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from tqdm.auto import tqdm

from lrlab import figures
from lrlab.history import History
from lrlab.run import Run

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Arm: TypeAlias = Callable[[int], Run | Sequence[Run]]
Values: TypeAlias = npt.NDArray[np.float64]

RESAMPLES = 2000  # of the bootstrap: the ends of a 95 % interval then stand on 50 resamples each


# What is measured -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Metric:
    """What is measured on a run that has used up its steps.

    Args:
        name: for the axis of the figure, with its unit if it has one.
        measure: ``(run) -> float``.
        is_better: the verb of the verdict, as in "A `has a lower validation loss` than B".
        higher: whether more is better.
        at_the_end: whether it is measured when the steps are used up.

    A run that diverged, or measures NaN, gets the worst value there is: ``inf``, or ``-inf`` where more is better.

    >>> Metric("steps made", lambda run: run.step, "makes fewer steps").best([300, 200])
    200
    """

    name: str
    measure: Callable[[Run], float]
    is_better: str
    higher: bool = False
    at_the_end: bool = True

    def __call__(self, run: Run) -> float:
        value = math.nan if run.status == "diverged" else float(self.measure(run))
        worst = -math.inf if self.higher else math.inf
        return worst if math.isnan(value) else value

    def best(self, values: Sequence[float]) -> float:
        """The best of some values."""
        return max(values) if self.higher else min(values)

    def wins(self, a: Values, b: Values) -> npt.NDArray[np.bool_]:
        """Where a is better than b; equal values are no win."""
        return a > b if self.higher else a < b


def _train_loss(run: Run) -> float:
    if run.dataset is None:
        raise ValueError("train_loss is measured on the whole training split, and a DataLoader has none: use val_loss")
    return run.evaluate(run.dataset.train)[0]


#: The metrics that have a name, all of them measured when the steps are used up, on a whole split.
METRICS = {
    "val_loss": Metric("validation loss", lambda run: run.validate()[0], "has a lower validation loss"),
    "val_accuracy": Metric(
        "validation accuracy", lambda run: run.validate()[1], "has a higher validation accuracy", higher=True
    ),
    "train_loss": Metric("training loss", _train_loss, "has a lower training loss"),
}


def steps_to(column: str, level: float) -> Metric:
    """The metric "steps until the level is reached", read off the validations a run makes (`validate_every`).

    Args:
        column: ``"val_loss"``, reached from above, or ``"val_accuracy"``, reached from below.
        level: a loss, or an accuracy as a fraction of 1.

    A run that never gets there counts as infinitely many steps.

    >>> steps_to("val_loss", 0.2).is_better
    'reaches a validation loss of 0.2 sooner'
    """
    if column not in ("val_loss", "val_accuracy"):
        raise ValueError(f"steps_to: column must be 'val_loss' or 'val_accuracy', got {column!r}")
    if isinstance(level, bool) or not isinstance(level, (int, float)) or not math.isfinite(level):
        raise ValueError(f"steps_to: level must be a finite number, got {level!r}")
    aim = f"validation {column.removeprefix('val_')} of {level:g}"

    def measure(run: Run) -> float:
        values, steps = run.history[column], run.history["val_step"]
        if not len(values):
            raise ValueError("steps_to: the run has never validated; make it with Run(..., validate_every=10), say")
        reached = values <= level if column == "val_loss" else values >= level
        return float(steps[reached.argmax()]) if reached.any() else math.inf

    return Metric(f"steps to a {aim}", measure, f"reaches a {aim} sooner", at_the_end=False)


# The verdict ----------------------------------------------------------------------------------------------------------


def verdict(claim: str, holds: bool, found: str = "") -> None:
    """Print whether a claim holds, and raise AssertionError if it does not.

    Args:
        claim: a sentence without measured digits, so that it reads the same on every machine.
        holds: what the measurement says. A NumPy or torch bool will do; an array will not: say ``all`` or ``any``.
        found: for the error, what was measured instead.

    >>> verdict("the path converges exactly where the rate is below 2/L", True)
    the path converges exactly where the rate is below 2/L: holds
    """
    if np.ndim(holds) != 0:
        raise TypeError(
            f"holds must be one bool, got {type(holds).__name__} with {np.ndim(holds)} axes: say all or any"
        )
    if not holds:
        print(f"{claim}: does NOT hold")
        raise AssertionError(f"{claim}: does not hold. {found}".strip())
    print(f"{claim}: holds")


# The comparison -------------------------------------------------------------------------------------------------------


class Interval(NamedTuple):
    """A median with its 95 % bootstrap interval."""

    median: float
    low: float
    high: float


def compare(
    arms: Mapping[str, Arm],
    *,
    steps: int | Mapping[str, int],
    metric: str | Metric = "val_loss",
    seeds: int = 16,
    equal_budget: bool = True,
    progress: bool = True,
) -> Comparison:
    """Train every arm under every seed and measure it.

    Args:
        arms: by name, functions that make a `Run` from a seed, its model included: one that exists already would be
            trained on from seed to seed. An arm that makes a list of runs has several tries: the best of them counts,
            and all of them are paid for.
        steps: how many steps each run makes; or a number for each arm, by its name.
        metric: ``"val_loss"``, ``"val_accuracy"``, ``"train_loss"``, `steps_to`, or a `Metric` of your own.
        seeds: how many seeds, 0 to ``seeds - 1``; at least 2.
        equal_budget: refuse arms that do not cost the same. The budget of an arm is its steps x its models; steps
            that a run had made before count too.
        progress: show a bar, a unit for each run.

    Returns:
        The `Comparison`, with the values of all arms and seeds.

    Raises:
        ValueError: no two arms, an unknown metric, too few seeds, an arm that ignores its seed, an unequal budget.
        TypeError: an arm that is no function of a seed, or makes no run.
    """
    arms = _checked_arms(arms)
    measure = _checked_metric(metric)
    if isinstance(seeds, bool) or not isinstance(seeds, int) or seeds < 2:
        raise ValueError(f"seeds must be a whole number of at least 2, got {seeds!r}: one seed has no spread")
    plan = _checked_steps(steps, arms)
    # The first runs are made before anything is trained: an unfair comparison should not cost a minute.
    budgets = {name: _cost(_make(name, arm, 0), plan[name]) for name, arm in arms.items()}
    if equal_budget and len(set(budgets.values())) > 1:
        costs = ", ".join(f"{name} {budget:,}" for name, budget in budgets.items())
        raise ValueError(
            f"the arms do not cost the same (steps x models: {costs}), so the dearer one may win by its budget alone. "
            "Give them equal steps, or say equal_budget=False, and the verdict will tell"
        )
    values = {name: np.full(seeds, np.nan) for name in arms}
    histories: dict[str, list[History]] = {name: [] for name in arms}
    with tqdm(total=seeds * len(arms), unit="arm", disable=not progress) as bar:
        for seed in range(seeds):
            for name, arm in arms.items():
                runs = _make(name, arm, seed)
                if _cost(runs, plan[name]) != budgets[name]:
                    raise ValueError(f"the arm {name!r} does not cost the same under seed {seed} as under seed 0")
                for run in runs:
                    run.train(plan[name], progress=False)
                values[name][seed] = measure.best([measure(run) for run in runs])
                histories[name] += [run.history for run in runs]
                bar.update()
    return Comparison(measure, values, budgets, {name: tuple(rows) for name, rows in histories.items()})


def _make(name: str, arm: Arm, seed: int) -> list[Run]:
    """The runs of one arm for one seed, checked."""
    made = arm(seed)
    runs = [made] if isinstance(made, Run) else made
    if not isinstance(runs, (list, tuple)) or not runs or not all(isinstance(run, Run) for run in runs):
        raise TypeError(f"the arm {name!r} must make a Run, or a list of runs; for seed {seed} it made {made!r}")
    if isinstance(made, Run) and made.seed != seed:
        raise ValueError(
            f"the arm {name!r} ignores its seed: asked for seed {seed}, it made a run with seed {made.seed}. "
            "Write lambda seed: Run(..., seed=seed)"
        )
    return list(runs)


def _cost(runs: Sequence[Run], steps: int) -> int:
    """Steps x models, those included that the runs have made before."""
    return sum(run.step + steps for run in runs)


def _checked_arms(arms: Mapping[str, Arm]) -> dict[str, Arm]:
    if not isinstance(arms, Mapping) or len(arms) < 2:
        count = len(arms) if isinstance(arms, Mapping) else type(arms).__name__
        raise ValueError(f"arms must be a dict of at least two, {{name: function of a seed}}; got {count}")
    for name, arm in arms.items():
        if not isinstance(name, str) or not name:
            raise TypeError(f"the name of an arm must be a text, got {name!r}")
        if not callable(arm):
            raise TypeError(f"the arm {name!r} must be a function of a seed, got {type(arm).__name__}")
    return dict(arms)


def _checked_metric(metric: str | Metric) -> Metric:
    if isinstance(metric, Metric):
        return metric
    if not isinstance(metric, str) or metric not in METRICS:
        raise ValueError(
            f"metric must be {', '.join(map(repr, METRICS))}, evidence.steps_to(...) or a Metric; "
            f"got {metric!r}{_did_you_mean(metric, METRICS)}"
        )
    return METRICS[metric]


def _checked_steps(steps: int | Mapping[str, int], arms: Mapping[str, Arm]) -> dict[str, int]:
    plan = dict(steps) if isinstance(steps, Mapping) else dict.fromkeys(arms, steps)
    if plan.keys() != arms.keys():
        raise ValueError(f"steps must name the arms {list(arms)}, or be one number for all; got {list(plan)}")
    for count in plan.values():
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise ValueError(f"steps must be whole numbers of at least 1, got {count!r}")
    return plan


def _did_you_mean(word: Any, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(str(word), known, 1)
    return f"; did you mean {near[0]!r}?" if near else ""


def bootstrap(values: Values, seed: int = 0) -> Interval:
    """The median of some values and its 95 % interval: the medians of 2,000 resamples, cut at 2.5 % and 97.5 %.

    Args:
        values: ``[n]``; infinite ones are allowed, NaN is not.
        seed: of the resampling. The same values and seed give the same interval.

    Source: Efron 1979, Bootstrap methods: another look at the jackknife.
    """
    picks = np.random.default_rng(seed).integers(len(values), size=(RESAMPLES, len(values)))
    medians = np.sort(np.median(values[picks], axis=1))
    low, high = medians[int(0.025 * RESAMPLES)], medians[int(0.975 * RESAMPLES) - 1]
    return Interval(float(np.median(values)), float(low), float(high))


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """What `compare` has measured: a value for every arm and seed, and the claims that can be made about them.

    Attributes:
        metric: what was measured.
        values: arm -> ``[seeds]``, one value per seed.
        budgets: arm -> steps x models.
        histories: arm -> the `History` of each of its runs, seed by seed.
    """

    metric: Metric
    values: Mapping[str, Values]
    budgets: Mapping[str, int]
    histories: Mapping[str, tuple[History, ...]]

    @property
    def arms(self) -> list[str]:
        """The names of the arms."""
        return list(self.values)

    @property
    def seeds(self) -> int:
        """How many seeds each arm was trained with."""
        return len(self.values[self.arms[0]])

    def __repr__(self) -> str:
        return f"Comparison({' against '.join(self.arms)}: {self.metric.name}, {self.seeds} seeds)"

    # The claim --------------------------------------------------------------------------------------------------------

    def better(self, arm: str, *, than: str, in_at_least: int) -> None:
        """Claim that one arm is better than another; print the verdict, and raise AssertionError if it fails.

        Args:
            arm, than: the names of two arms.
            in_at_least: in so many seeds, 1 to the number of seeds. Were the arms alike, 12 of 16 would happen by
                chance in about 4 of 100 comparisons, 14 of 16 in 2 of 1,000.

        The line has no measured digits in it, so that it reads the same on every machine where the claim holds.

        Raises:
            ValueError: an arm that is not there, or a number of seeds that cannot be.
            AssertionError: the claim does not hold; the message has the count.
        """
        self._check_arms(arm, than)
        if isinstance(in_at_least, bool) or not isinstance(in_at_least, int) or not 1 <= in_at_least <= self.seeds:
            raise ValueError(f"in_at_least must be a whole number from 1 to {self.seeds} (seeds), got {in_at_least!r}")
        claim = f"{arm} {self.metric.is_better} than {than} {self._at_what_budget(arm, than)}"
        claim = f"{claim} in at least {in_at_least} of {self.seeds} seeds"
        wins, difference = self.wins(arm, than), self.difference(arm, than)
        found = f"It is so in {wins}; the median difference is {difference.median:.3g}"
        found = f"{found} (95 % interval {difference.low:.3g} to {difference.high:.3g})"
        verdict(claim, wins >= in_at_least, found)

    def wins(self, arm: str, than: str) -> int:
        """In how many seeds the one arm is better than the other."""
        self._check_arms(arm, than)
        return int(self.metric.wins(self.values[arm], self.values[than]).sum())

    def difference(self, arm: str, than: str) -> Interval:
        """The median over seeds of ``arm - than``, seed by seed, with its bootstrap interval."""
        self._check_arms(arm, than)
        return bootstrap(_paired_difference(self.values[arm], self.values[than]))

    def _check_arms(self, arm: str, than: str) -> None:
        for name in (arm, than):
            if name not in self.values:
                raise ValueError(f"no arm {name!r}; there are {self.arms}{_did_you_mean(name, self.values)}")
        if arm == than:
            raise ValueError(f"an arm cannot be compared with itself, got {arm!r} twice")

    def _at_what_budget(self, arm: str, than: str) -> str:
        budget, other = self.budgets[arm], self.budgets[than]
        if budget == other:
            return f"at equal budget ({budget:,} steps)"
        return f"at unequal budget ({budget:,} steps against {other:,})"

    def table(self) -> pd.DataFrame:
        """One row per arm: the median over seeds, its 95 % bootstrap interval, the quartiles, and the budget."""
        import pandas as pd

        rows = {}
        for arm, values in self.values.items():
            middle, (lower, upper) = bootstrap(values), _quartiles(values)
            rows[arm] = [*middle, lower, upper, self.budgets[arm]]
        columns = ["median", "95 % from", "95 % to", "lower quartile", "upper quartile", "steps x models"]
        return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis(self.metric.name)

    # The picture ------------------------------------------------------------------------------------------------------

    def figure(self, title: str) -> Figure:
        """Every seed of every arm as a dot, paired by lines, over the quartiles and the median of each arm.

        Args:
            title: the message of the figure, as a sentence.
        """
        fig, ax = figures.figure(title, size=(7.2, 1.4 + 0.7 * len(self.arms)))
        place, edge = _axis_for(np.stack(list(self.values.values())))
        rows = np.arange(len(self.arms))[:, None] + _dodge(self.seeds)
        ax.plot(place(np.stack(list(self.values.values()))), rows, color="#999999", **_THIN)
        for row, (arm, values) in enumerate(self.values.items()):
            _draw_arm(ax, row, arm, values, place)
        ax.set(ylim=(len(self.arms) - 0.5, -0.5), yticks=[], xlabel=self._axis_label())
        ax.margins(x=0.04)
        ax.grid(False, axis="y")
        _scale(ax, self.metric, np.concatenate(list(self.values.values())))
        if edge is not None:
            _mark_the_edge(ax, edge, "diverged" if self.metric.at_the_end else "never")
        if len(self.arms) == 2:
            ax.set_title(self._in_numbers(*reversed(self.arms)), loc="left", fontsize=9, color="#444444")
        return fig

    def _in_numbers(self, arm: str, than: str) -> str:
        median, low, high = self.difference(arm, than)
        text = f"{arm} minus {than}: median {median:.2g} (95 % interval {low:.2g} to {high:.2g})"
        return text.replace("-", "\N{MINUS SIGN}")

    def _axis_label(self) -> str:
        tries = {arm: max(1, len(self.histories[arm]) // self.seeds) for arm in self.arms}
        lengths = sorted({self.budgets[arm] // tries[arm] for arm in self.arms})
        after = f" after {' or '.join(f'{length:,}' for length in lengths)} steps" if self.metric.at_the_end else ""
        if set(tries.values()) != {1}:
            after += ", the best of " + " or ".join(f"{count}" for count in sorted(set(tries.values()))) + " runs"
        return f"{self.metric.name}{after}  (a dot: one seed; bar: quartiles; stroke: median)"

    @property
    def alt(self) -> str:
        """What `figure` shows, in words and numbers."""
        words = [f"{self.metric.name[0].upper()}{self.metric.name[1:]} for {self.seeds} seeds."]
        for arm, values in self.values.items():
            lower, upper = _quartiles(values)
            words.append(f"{arm}: median {np.median(values):.3g}, quartiles {lower:.3g} to {upper:.3g}.")
        last = self.arms[-1]
        words += [f"{last} is better than {arm} in {self.wins(last, arm)} seeds." for arm in self.arms[:-1]]
        if len(self.arms) == 2:
            words.append(f"{self._in_numbers(*reversed(self.arms))}.")
        return " ".join(words)

    def show(self, title: str) -> None:
        """Display `figure` with its `alt` text; give the cell the tag ``nbval-ignore-output``."""
        figures.show(self.figure(title), alt=self.alt)


def _paired_difference(a: Values, b: Values) -> Values:
    """a - b, where two infinite values of one sign are alike."""
    with np.errstate(invalid="ignore"):
        return np.where(a == b, 0.0, a - b)


def _quartiles(values: Values) -> tuple[float, float]:
    """Quartiles that are values themselves: between a finite and an infinite one there is nothing."""
    lower, upper = np.quantile(values, [0.25, 0.75], method="nearest")
    return float(lower), float(upper)


# Drawing --------------------------------------------------------------------------------------------------------------

_MARKERS = "osD^vPX"
_THIN: dict[str, Any] = {"linestyle": "-", "linewidth": 0.6, "alpha": 0.7}
Place: TypeAlias = Callable[[Any], Any]


def _dodge(seeds: int) -> Values:
    """Each seed a little above or below the row of its arm, so that equal values do not hide one another."""
    return np.linspace(-0.13, 0.13, seeds)


def _axis_for(values: Values) -> tuple[Place, float | None]:
    """Where values stand on the axis: infinite ones at an edge beyond the others. The edge, if there is need of one."""
    finite = values[np.isfinite(values)]
    if len(finite) == values.size:
        return lambda shown: shown, None
    low, high = (finite.min(), finite.max()) if len(finite) else (0.5, 1.0)
    room = 0.2 * (high - low or 1.0)
    edge = float(high + room if (values == np.inf).any() else low - room)
    return lambda shown: np.where(np.isfinite(shown), shown, edge), edge


def _mark_the_edge(ax: Axes, edge: float, word: str) -> None:
    """Name the edge, and take away the ticks that would give it a number."""
    ends = ax.get_xlim()
    finite = [tick for tick in ax.get_xticks() if abs(tick - edge) > 0.1 * (ends[1] - ends[0])]
    ax.set(xticks=finite, xlim=ends)
    ax.axvline(edge, color="#999999", linestyle=":", linewidth=1, zorder=0)
    ax.annotate(word, (edge, 1.0), xycoords=("data", "axes fraction"), ha="center", va="bottom", fontsize=9)


def _draw_arm(ax: Axes, row: int, arm: str, values: Values, place: Place) -> None:
    """The name of an arm, its dots, a bar between the quartiles and a stroke at the median."""
    colour = figures.style(row)["color"]
    bar: dict[str, Any] = {"color": colour, "linestyle": "-", "solid_capstyle": "butt"}
    median = place(np.median(values))
    ax.plot(place(_quartiles(values)), [row, row], linewidth=20, alpha=0.25, **bar)
    ax.plot([median, median], [row - 0.25, row + 0.25], linewidth=2.5, **bar)
    dots: dict[str, Any] = {"color": colour, "markeredgecolor": "white", "markeredgewidth": 0.4, "markersize": 5}
    ax.plot(place(values), row + _dodge(len(values)), _MARKERS[row % len(_MARKERS)], **dots)
    ax.annotate(arm, (-0.015, row), xycoords=("axes fraction", "data"), ha="right", va="center", fontsize=10)


def _scale(ax: Axes, metric: Metric, values: Values) -> None:
    """A logarithmic axis where all values are positive and far apart; an accuracy in per cent."""
    if metric.higher and (np.abs(values[np.isfinite(values)]) <= 1).all():
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
    elif np.isfinite(values).all() and values.min() > 0 and values.max() > 10 * values.min():
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.xaxis.set_minor_formatter(NullFormatter())
