"""Transfer learning: take a network that has learned something, and go on with it on data of your own.

    network = transfer.new_head(transfer.pretrained("glyphs"), classes=10)
    run = Run(network, data.load("digits", per_class=5), rule=rules.Momentum(), lr=0.05,
              factors=transfer.discriminative(network))
    transfer.follow(run, transfer.gradual(network, every=50), steps=300)

A learning rate is one number times a factor per layer group, and the factors are one knob of the run. So freezing,
lower rates for lower layers and gradual unfreezing are moves in its log, like everything else that is turned: they work
under any schedule, and are saved, rewound and replayed.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from torch import nn

from lrlab._groups import factors, freeze, layer_groups, new_head, unfreeze
from lrlab.data import Dataset, load
from lrlab.features import Features, SpeedUp, precompute
from lrlab.finder import RangeTest, range_test
from lrlab.moves import Move, check_moves
from lrlab.pretrained import imagenet_images, pretrained
from lrlab.rules import Momentum, Rule
from lrlab.run import Run
from lrlab.schedules import WarmRestarts

__all__ = [
    "layer_groups",
    "factors",
    "freeze",
    "unfreeze",
    "new_head",
    "pretrained",
    "imagenet_images",
    "precompute",
    "Features",
    "SpeedUp",
    "discriminative",
    "gradual",
    "Plan",
    "follow",
    "recipe",
    "Recipe",
    "advised",
]

ULMFIT = 2.6  # how much lower the rate of each layer group is than that of the next higher one

# Discriminative rates -------------------------------------------------------------------------------------------------


def discriminative(model: nn.Module, divide_by: float | slice = ULMFIT) -> dict[str, float]:
    """Lower learning rates for lower layers: a factor per layer group, as ``Run(factors=...)`` takes them.

    ::

        factor of the k-th group below the last = 1 / divide_byᵏ        1, 1/2.6, 1/2.6², ...

    What lower layers know (edges, strokes) is of use in the new task as it is; what upper ones know belongs to the
    old task and has to change.

    Args:
        model: the network.
        divide_by: how many times lower the rate is at each group below; at least 1, usually 2 to 10. Or fast.ai's
            slice, of factors: ``slice(0.01, 1)`` spreads them evenly in the logarithm from the first group to the last,
            and ``slice(1)`` means 1 for the last group and a tenth of it for all others.

    Returns:
        factors by module path.

    Raises:
        ValueError or TypeError: for ``divide_by`` out of its range.

    Source: Howard and Ruder 2018, Universal language model fine-tuning for text classification, section 3.2.

    >>> from lrlab import models
    >>> {path: round(factor, 3) for path, factor in discriminative(models.cnn(), 10).items()}
    {'0': 0.001, '1': 0.001, '4': 0.01, '5': 0.01, '8': 0.1, '9': 0.1, '13': 1.0}
    """
    groups = list(layer_groups(model))
    if isinstance(divide_by, slice):
        values = _spread(divide_by, len(groups))
    else:
        _check_ratio(divide_by)
        values = [float(divide_by) ** -below for below in reversed(range(len(groups)))]
    return factors(model, dict(zip(groups, values, strict=True)))


def _check_ratio(ratio: Any) -> None:
    if isinstance(ratio, bool) or not isinstance(ratio, (int, float)):
        raise TypeError(f"divide_by must be a number of at least 1, such as 2.6, or a slice; got {ratio!r}")
    if not 1 <= ratio < math.inf:
        raise ValueError(f"divide_by must be at least 1 and finite: each group below has a lower rate; got {ratio!r}")


def _spread(ends: slice, count: int) -> list[float]:
    low, high = ends.start, ends.stop
    numbers = [end for end in (low, high) if end is not None]
    positive = all(isinstance(n, (int, float)) and not isinstance(n, bool) and 0 < n < math.inf for n in numbers)
    if high is None or ends.step is not None or not positive or (low is not None and low > high):
        raise ValueError(f"divide_by as a slice: slice(low, high) or slice(high) with 0 < low <= high; got {ends!r}")
    if low is None:
        return [high / 10] * (count - 1) + [high]
    return [high * (low / high) ** (below / max(1, count - 1)) for below in reversed(range(count))]


# Gradual unfreezing ---------------------------------------------------------------------------------------------------


class Plan(list[Move]):
    """Moves to be made at their steps: a list of ``(step, "factors", {path: factor})``, which prints as a table.

    `follow` makes a run follow it; ``Run.replay(config, plan, steps=...)`` replays it; ``json.dump`` writes it.

    Args:
        moves: the moves, in the order of their steps.
        groups: layer groups of the network, for printing.
    """

    def __init__(self, moves: Iterable[Any], groups: Mapping[str, Iterable[str]]) -> None:
        super().__init__(check_moves(moves))
        self.groups = {name: tuple(paths) for name, paths in groups.items()}

    @property
    def table(self) -> pd.DataFrame:
        """One row per move, one column per layer group: its factor from that step on, 0 for frozen."""
        rows = [[step, *(value.get(paths[0], 1.0) for paths in self.groups.values())] for step, _, value in self]
        return pd.DataFrame(rows, columns=["from step", *self.groups])

    def __str__(self) -> str:
        return self._in_words().to_string(index=False)

    def _repr_html_(self) -> str:
        return self._in_words().to_html(index=False)

    def _in_words(self) -> pd.DataFrame:
        groups = self.table[list(self.groups)].map(lambda factor: "frozen" if factor == 0 else f"{factor:.3g}")
        return pd.concat([self.table["from step"], groups], axis=1)


def gradual(model: nn.Module, every: int, *, divide_by: float | slice | None = None, first: int = 0) -> Plan:
    """Gradual unfreezing: the head alone at first, then one layer group more at a time, from the top down.

    A fresh head sends large and meaningless gradients down at first; frozen layers do not suffer from them.

    Args:
        model: the network.
        every: steps from one unfreezing to the next, at least 1; for one epoch, ``len(train) // batch_size``.
        divide_by: discriminative factors for those that learn (see `discriminative`); None: 1 for all of them.
        first: the step of the first move, which freezes all but the head.

    Returns:
        a `Plan` of as many moves as there are layer groups.

    Raises:
        ValueError or TypeError: for an argument outside its range.

    Source: Howard and Ruder 2018, section 3.3.

    >>> from lrlab import models
    >>> print(gradual(models.cnn(), every=20))
     from step block1 block2 block3 head
             0 frozen frozen frozen    1
            20 frozen frozen      1    1
            40 frozen      1      1    1
            60      1      1      1    1
    """
    _check_whole("every", every, 1)
    _check_whole("first", first, 0)
    groups = layer_groups(model)
    awake = factors(model, dict.fromkeys(groups, 1.0)) if divide_by is None else discriminative(model, divide_by)
    asleep = factors(model, dict.fromkeys(groups, 0.0))
    plan = []
    for number in range(len(groups)):
        learning = [path for paths in list(groups.values())[-1 - number :] for path in paths]
        plan.append((first + number * every, "factors", {**asleep, **{path: awake[path] for path in learning}}))
    return Plan(plan, groups)


def _check_whole(name: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")


def follow(run: Run, plan: Iterable[Move], steps: int, progress: bool = True) -> Run:
    """Train a run up to step number ``steps``, and make the moves of a plan on the way, each at its step.

    Args:
        run: a run that has not gone beyond the first move.
        plan: such as that of `gradual`.
        steps: how many steps the run has made at the end; moves beyond them are not made.
        progress: show a bar.

    Returns:
        the run. If it diverges or is stopped early, the rest of the plan is not carried out.

    Raises:
        ValueError: a move before the step where the run stands, or ``steps`` before it.
    """
    script = check_moves(plan)
    if script and script[0][0] < run.step:
        raise ValueError(f"the plan begins at step {script[0][0]}, but the run stands at {run.step}: rewind it")
    _check_whole("steps", steps, run.step)
    for step, knob, value in [*script, (steps, "", None)]:
        goal = min(step, steps)
        if goal > run.step:
            run.train(goal - run.step, progress=progress)
            if run.status == "diverged" or run.stopped:
                break
        if step >= steps:
            break
        run.turn(knob, value)
    return run


# The recipe -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, repr=False)
class Recipe:
    """What `recipe` has done.

    Attributes:
        network: the trained network, in inference mode.
        run: the run of the steps 4 to 8, with its history and its moves.
        head_run: the run of step 3, on features.
        features: of step 1.
        range_tests: of the steps 2 and 7.
        table: one row per step of the recipe: what it was, the learning rate (nan where it trains nothing), training
            steps, loss and accuracy on the validation split after it, seconds.
    """

    network: nn.Module
    run: Run
    head_run: Run
    features: Features
    range_tests: tuple[RangeTest, RangeTest]
    table: pd.DataFrame

    def __str__(self) -> str:
        return self.table.to_string(float_format="{:.3g}".format)

    def _repr_html_(self) -> str:
        return self.table.to_html(float_format="{:.3g}".format)

    def __repr__(self) -> str:
        accuracy = self.table["val_accuracy"].iloc[-1]
        return f"Recipe({self.run.title}: {100 * accuracy:.1f} % of the validation split after eight steps)"


def recipe(
    model: nn.Module,
    data: str | Dataset,
    *,
    augment: Any = None,
    rule: Rule | None = None,
    batch_size: int | None = None,
    cycle: int | None = None,
    cycles: int = 3,
    divide_by: float | slice = 3.0,
    seed: int = 0,
    device: str = "auto",
    progress: bool = True,
) -> Recipe:
    """The eight steps by which fast.ai's course trained an image classifier in 2018, with the parts of this package.

    1. Choose the augmentation; compute the features of the frozen network once.
    2. Range test of the head.
    3. Train the head, on features, for one cycle.
    4. Train the head with augmentation, for two cycles with a warm restart between them.
    5. Unfreeze all layers.
    6. Give each layer group a rate ``divide_by`` times lower than the one above it.
    7. Range test of the whole network.
    8. Train the whole network with warm restarts, each cycle twice as long as the one before.

    Args:
        model: a network that has learned something, such as `pretrained` gives; it is left as it is. It gets a new head
            for the classes of this data set.
        data: the data set, or its name, with a validation split.
        augment: as for a `Run`; it is used from step 4 on.
        rule: the update rule; default ``Momentum(rho=0.9)``.
        batch_size: as for a `Run`.
        cycle: training steps in the first cycle; None: an epoch, but not fewer than 30.
        cycles: of step 8: 3 cycles of 1 + 2 + 4 times ``cycle`` steps.
        divide_by: of step 6, see `discriminative`; 3 to 10.
        seed: of the head, of the order of data and of the augmentation.
        device, progress: as for a `Run`.

    Returns:
        a `Recipe`.

    Raises:
        ValueError: for what does not fit together; the message says what.
        RuntimeError: the training diverged; the message says in which step.

    Source: J. Howard, Practical deep learning for coders 2018, lesson 2 (in his words: precompute=True, lr_find,
    cycle_len, cycle_mult).
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f'model must be a network that has learned, such as pretrained("glyphs"); got {model!r}')
    _check_whole("cycles", cycles, 1)
    if cycle is not None:
        _check_whole("cycle", cycle, 1)
    log = _Log()
    network = copy.deepcopy(model).requires_grad_(True)
    settings: dict[str, Any] = {"rule": Momentum() if rule is None else rule, "batch_size": batch_size}
    settings |= {"seed": seed, "device": device, "validate_every": 0}

    data = _dataset(data, device)
    new_head(network, len(data.classes), seed)
    features = precompute(network, data, device=device)
    head_run = Run(features.head, features.data, **settings)
    log.add(f"features computed once: {features.data.image_shape[0]} of each picture", head_run)

    first = range_test(head_run)
    lr = advised(first, otherwise=0.01)
    log.add("range test of the head", head_run, lr)

    cycle = max(30, len(data.train.y) // head_run.batch_size) if cycle is None else cycle
    head_run.lr = lr
    head_run.train(cycle, progress=progress)
    log.add("the head, on features", head_run, lr, cycle)

    network = features.join()
    groups = list(layer_groups(network))
    only_head = factors(network, dict.fromkeys(groups[:-1], 0.0))
    head_cycles = WarmRestarts(lr, period=cycle)
    run = Run(network, data, lr=head_cycles, augment=augment, factors=only_head, **settings)
    run.train(2 * cycle, progress=progress)
    log.add("the head, two cycles" + (" with augmentation" if augment is not None else ""), run, lr, 2 * cycle)

    run.turn("factors", factors(network, dict.fromkeys(groups, 1.0)))
    log.add("all layers unfrozen", run)

    lower = discriminative(network, divide_by)
    run.turn("factors", lower)
    log.add("lower rates below: " + _in_words(lower, layer_groups(network)), run)

    second = range_test(run)
    lr = advised(second, otherwise=lr / 10)
    log.add("range test of the whole network", run, lr)

    # A schedule's time is the run's, so the cycles of step 4, which are over, stand before the new ones.
    run.lr = head_cycles.until(2 * cycle).then(WarmRestarts(lr, period=cycle, mult=2))
    steps = (2**cycles - 1) * cycle
    run.train(steps, progress=progress)
    how = "one cycle" if cycles == 1 else f"{cycles} cycles, each twice as long as the last"
    log.add(f"the whole network, {how}", run, lr, steps)
    return Recipe(run.model.eval(), run, head_run, features, (first, second), log.table())


def _dataset(data: Any, device: str) -> Dataset:
    """The data set of this name, or itself; it needs a validation split."""
    dataset = load(data, device=device) if isinstance(data, str) else data
    if not isinstance(dataset, Dataset):
        raise TypeError(f"data must be a name or a Dataset, got {type(data).__name__}; see data.from_tensors")
    if not len(dataset.validation.y):
        raise ValueError(f"{dataset.name} has no validation split, and the recipe measures each step on one")
    return dataset


def advised(test: RangeTest, otherwise: float) -> float:
    """The learning rate that a range test advises, by the first of its rules that has an opinion."""
    for name in ("nine_tenths_over_3", "valley", "midpoint", "steepest"):
        lr = test.suggestions[name]
        if lr is not None:
            return lr
    return otherwise


def _in_words(by_path: Mapping[str, float], groups: Mapping[str, tuple[str, ...]]) -> str:
    return ", ".join(f"{name} {by_path[paths[0]]:.2g}" for name, paths in groups.items())


class _Log:
    """What each step did, measured on the validation split."""

    def __init__(self) -> None:
        self.rows: list[tuple[Any, ...]] = []
        self.since = time.perf_counter()

    def add(self, what: str, run: Run, lr: float = math.nan, steps: int = 0) -> None:
        number = len(self.rows) + 1
        if run.status == "diverged":
            raise RuntimeError(
                f"step {number} of the recipe, {what!r}, diverged at the learning rate {lr:.3g}: take a larger "
                "batch_size, or make the eight steps by hand with a smaller rate"
            )
        loss, accuracy = run.validate()
        seconds = time.perf_counter() - self.since
        self.rows.append((what, lr, steps, loss, accuracy, seconds))
        self.since = time.perf_counter()

    def table(self) -> pd.DataFrame:
        columns = ["what", "lr", "steps", "val_loss", "val_accuracy", "seconds"]
        return pd.DataFrame(self.rows, columns=columns, index=pd.RangeIndex(1, len(self.rows) + 1, name="step"))
