"""Which rule is best? Every rule gets the same tries: rates x schedules x seeds, and only then are they compared.

    tuned = tuning.tune("mlp", "digits", {"SGD": rules.SGD(), "Adam": rules.Adam()}, steps=120)
    tuned.choices["Adam"]                      # the rate and the schedule with the lowest validation loss
    tuning.valleys({"digits": tuned}, "Two valleys")              # a figure: loss over rate
    evidence.compare(tuned.arms(), steps=120, metric=tuning.TEST_LOSS)      # fresh seeds, data nobody tuned on

A rule that was tuned harder wins by that alone. So the grid is the same for all, the choice is made on the validation
split with seeds of its own, and what is claimed is measured afterwards: with other seeds, on the test split.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from tqdm.auto import tqdm

from lrlab import figures
from lrlab.configuration import Data, Model
from lrlab.evidence import Metric
from lrlab.rules import Rule
from lrlab.run import Run
from lrlab.schedules import Cosine, Schedule

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Makes the learning rate of a run from its first value and the number of its steps.
Shape: TypeAlias = Callable[[float, int], "float | Schedule"]

#: A rate held to the end, and one that falls to 0 with the last step.
SHAPES: dict[str, Shape] = {
    "constant": lambda rate, steps: rate,
    "cosine": lambda rate, steps: Cosine(rate, total=steps),
}

#: Half decades from 0.0003 to 10: wide enough for every rule's best rate, and for one ten times off on either side.
RATES = tuple(float(rate) for rate in np.logspace(-3.5, 1, 10))

#: Seeds for tuning, away from 0, 1, 2 ..., which `evidence.compare` measures with.
TUNING_SEEDS = (1000, 1001)


def _test_loss(run: Run) -> float:
    if run.dataset is None:
        raise ValueError("the test loss is measured on the test split, and a DataLoader has none")
    return run.evaluate(run.dataset.test)[0]


#: The loss on data that neither the training nor the tuning has seen.
TEST_LOSS = Metric("test loss", _test_loss, "has a lower test loss")


class Choice(NamedTuple):
    """What tuning has chosen for a rule."""

    shape: str
    rate: float


def tune(
    model: Model,
    data: Data,
    rules: Mapping[str, Rule],
    *,
    steps: int,
    rates: Sequence[float] = RATES,
    shapes: Mapping[str, Shape] = SHAPES,
    seeds: Sequence[int] = TUNING_SEEDS,
    batch_size: int = 32,
    progress: bool = True,
) -> Tuning:
    """Train every rule at every rate, with every shape of schedule and every seed, and note the validation loss.

    Args:
        model, data: as for `Run`; not a module or a DataLoader, of which every run would need its own.
        rules: name -> rule.
        steps: of each run, at least 1.
        rates: first learning rates, rising, the same for all rules.
        shapes: name -> function ``(rate, steps) -> lr``; see `SHAPES`.
        seeds: to tune with; do not measure with them again.
        batch_size: examples a step.
        progress: show a bar, a unit for each run.

    Raises:
        ValueError: no rule, no rate, no shape or no seed, rates that do not rise, or what `Run` refuses.
    """
    for name, given in (("rules", rules), ("rates", rates), ("shapes", shapes), ("seeds", seeds)):
        if not len(given):
            raise ValueError(f"{name} is empty: give at least one")
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ValueError(f"steps must be a whole number of at least 1, got {steps!r}")
    if any(not (0 < low < high) for low, high in zip(rates, [*rates[1:], math.inf], strict=True)):
        raise ValueError(f"rates must be above 0 and rise, got {list(rates)}")
    setting = Setting(model, data, steps, batch_size)
    losses = {name: np.full((len(shapes), len(rates), len(seeds)), math.inf) for name in rules}
    with tqdm(total=len(rules) * losses[next(iter(rules))].size, unit="run", disable=not progress) as bar:
        for name, rule in rules.items():
            for at in np.ndindex(losses[name].shape):
                shape, rate, seed = list(shapes.values())[at[0]], rates[at[1]], seeds[at[2]]
                run = setting.run(rule, shape(rate, steps), seed).train(steps, progress=False)
                losses[name][at] = _finite_or_worst(run)
                bar.update()
    return Tuning(setting, dict(rules), tuple(rates), dict(shapes), losses)


def _finite_or_worst(run: Run) -> float:
    loss = math.inf if run.status == "diverged" else run.validate()[0]
    return loss if math.isfinite(loss) else math.inf


@dataclass(frozen=True, eq=False)
class Setting:
    """What all runs of a comparison have in common."""

    model: Model
    data: Data
    steps: int
    batch_size: int

    def run(self, rule: Rule, lr: float | Schedule, seed: int) -> Run:
        """A run at step 0."""
        return Run(self.model, self.data, rule=rule, lr=lr, seed=seed, batch_size=self.batch_size, validate_every=0)


@dataclass(frozen=True, eq=False, repr=False)
class Tuning:
    """The validation losses of a grid, and what follows from them.

    Attributes:
        setting: what all runs have in common.
        rules: name -> rule.
        rates: the rates of the grid.
        shapes: name -> shape of the schedule.
        losses: rule -> ``[shapes, rates, seeds]``, validation losses after the last step, in the unit of the loss;
            infinite where a run diverged.
    """

    setting: Setting
    rules: Mapping[str, Rule]
    rates: tuple[float, ...]
    shapes: Mapping[str, Shape]
    losses: Mapping[str, npt.NDArray[np.float64]]

    def __repr__(self) -> str:
        shapes, rates, seeds = self.losses[next(iter(self.rules))].shape
        return f"Tuning({', '.join(self.rules)}: {rates} rates x {shapes} schedules x {seeds} seeds each)"

    def medians(self, rule: str, shape: str | None = None) -> npt.NDArray[np.float64]:
        """``[rates]``: the median loss over the seeds, at each rate with this shape, or with the best one for it."""
        medians = np.median(self.losses[rule], axis=-1)
        return medians.min(0) if shape is None else medians[list(self.shapes).index(shape)]

    @property
    def choices(self) -> dict[str, Choice]:
        """The shape and rate with the lowest median loss, for each rule."""
        found = {}
        for rule, losses in self.losses.items():
            shape, rate = np.unravel_index(np.median(losses, axis=-1).argmin(), losses.shape[:2])
            found[rule] = Choice(list(self.shapes)[shape], self.rates[rate])
        return found

    def price_of_the_rule(self) -> float:
        """How many times the loss of the best rule the worst one has, each at its own best rate."""
        best = [self.medians(rule).min() for rule in self.rules]
        return float(max(best) / min(best))

    def price_of_the_rate(self) -> dict[str, tuple[float, float]]:
        """How many times its best loss a rule has at a rate ten times too small, and ten times too large.

        NaN where the grid does not reach so far. The schedule is the best one for each rate.
        """
        return {rule: (self._price(rule, 0.1), self._price(rule, 10.0)) for rule in self.rules}

    def _price(self, rule: str, ratio: float) -> float:
        medians = self.medians(rule)
        there = np.isclose(self.rates, self.choices[rule].rate * ratio, rtol=1e-6)
        return float(medians[there][0] / medians.min()) if there.any() else math.nan

    def arms(self) -> dict[str, Callable[[int], Run]]:
        """Each rule as it was tuned, as the arms of `evidence.compare`."""
        return {rule: partial(self._tuned_run, rule, choice) for rule, choice in self.choices.items()}

    def _tuned_run(self, rule: str, choice: Choice, seed: int) -> Run:
        lr = self.shapes[choice.shape](choice.rate, self.setting.steps)
        return self.setting.run(self.rules[rule], lr, seed)


# The picture ----------------------------------------------------------------------------------------------------------

_MARKERS = "osD^vPX"
_CEILING = 6.0  # times the lowest loss of the panel: above it no rule is worth a look
_TICKS = (1, 1.5, 2, 3, 5)


def valleys(tunings: Mapping[str, Tuning], title: str) -> Figure:
    """Loss over learning rate, a curve for each rule, a panel for each tuning.

    A curve is the median over the seeds, with the better schedule for each rate; its star is the choice.

    Args:
        tunings: title of the panel -> tuning.
        title: the message of the figure, as a sentence.
    """
    fig, axes = figures.figure(title, 1, len(tunings), size=(7.2, 4.2), sharex=False, sharey=True)
    for ax, (name, tuning) in zip(np.ravel(axes), tunings.items(), strict=True):
        _draw_valleys(ax, tuning)
        lowest = min(tuning.medians(rule).min() for rule in tuning.rules)
        ax.set(title=f"{name} (1 is a loss of {lowest:.2g})", xlabel="learning rate α")
    np.ravel(axes)[0].set_ylabel("validation loss, in multiples of the lowest")
    return fig


def _draw_valleys(ax: Axes, tuning: Tuning) -> None:
    lowest = min(tuning.medians(rule).min() for rule in tuning.rules)
    ax.set(xscale="log", yscale="log", ylim=(0.55, _CEILING))
    ax.set_yticks(_TICKS, [f"× {tick:g}" for tick in _TICKS])
    ax.minorticks_off()
    order = sorted(tuning.rules, key=lambda rule: tuning.choices[rule].rate)
    for index, rule in enumerate(tuning.rules):
        look = {**figures.style(index), "marker": _MARKERS[index % len(_MARKERS)], "markersize": 3.5}
        ax.plot(tuning.rates, tuning.medians(rule) / lowest, **look)
        bottom = (tuning.choices[rule].rate, tuning.medians(rule).min() / lowest)
        ax.plot(*bottom, "*", color=look["color"], markersize=13, markeredgecolor="white")
        _label(ax, rule, bottom, row=order.index(rule), look=look)


def _label(ax: Axes, rule: str, bottom: tuple[float, float], row: int, look: Mapping[str, Any]) -> None:
    """The rule's name below its star, on three rows in turn so that neighbours do not touch."""
    ax.annotate(
        rule,
        bottom,
        xytext=(bottom[0], 0.6 * 1.13 ** (2 - row % 3)),
        ha="center",
        va="center",
        fontsize=9,
        color="#333333",
        arrowprops={"arrowstyle": "-", "color": look["color"], "linewidth": 0.7, "shrinkA": 0, "shrinkB": 6},
    )


def alt(tunings: Mapping[str, Tuning]) -> str:
    """What `valleys` shows, in words and numbers."""
    words = ["Validation loss over learning rate falls into a valley for each rule and rises steeply on both sides."]
    for name, tuning in tunings.items():
        bottoms = [
            f"{rule} {tuning.medians(rule).min():.2g} at {choice.rate:.2g} ({choice.shape})"
            for rule, choice in tuning.choices.items()
        ]
        words.append(f"{name}: {', '.join(bottoms)}.")
    return " ".join(words)


def describe(tunings: Mapping[str, Tuning]) -> Any:
    """A table: what each rule was tuned to, its best loss, and that loss's multiple at a rate ten times off."""
    import pandas as pd

    rows = []
    for name, tuning in tunings.items():
        for rule, choice in tuning.choices.items():
            small, large = tuning.price_of_the_rate()[rule]
            best = tuning.medians(rule).min()
            rows.append([name, rule, f"{choice.rate:.2g}", choice.shape, best, small, large])
    columns = ["task", "rule", "best α", "schedule", "validation loss", "x at α/10", "x at 10α"]
    return pd.DataFrame(rows, columns=columns).set_index(["task", "rule"]).round(3)
