"""Search for good hyperparameters: on a grid, at random, from coarse to fine, or guided by a model (Bayesian).

    found = search.random("mlp", "digits", {"lr": search.log_uniform(1e-4, 1), "rho": search.uniform(0, 0.99)},
                          rule=rules.Momentum(), trials=64, steps=300, journal="search.log")
    found.best                                  # {"lr": 0.0623, "rho": 0.871}
    found.table                                 # a row for each trial
    found.show("The rate matters, the momentum hardly")

All kinds take the same arguments and give the same `Search`. The trials of a round are trained at once, by `sweep`.
With ``journal=`` every result is on disk before the next training begins; after a crash, the same call goes on there.
"""

from __future__ import annotations

import copy
import dataclasses
import difflib
import inspect
import itertools
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from lrlab import _plans, _store
from lrlab._findings import METRICS, Search
from lrlab._journal import NoJournal, Trial, open_journal
from lrlab._plans import Plan
from lrlab._spaces import (
    Choice,
    Dimension,
    Point,
    as_space,
    check_space,
    choice,
    described,
    integers,
    label,
    log_uniform,
    uniform,
    whole,
)
from lrlab.configuration import Data, Model, check_seed, name_of_model
from lrlab.data import Dataset
from lrlab.knobs import as_rule
from lrlab.rules import SGD, Rule
from lrlab.run import Run
from lrlab.sweeps import sweep

__all__ = [
    "METRICS",
    "Halving",
    "Search",
    "bayesian",
    "chance_of_a_hit",
    "choice",
    "coarse_to_fine",
    "grid",
    "integers",
    "log_uniform",
    "random",
    "trials_for",
    "uniform",
]

Space = Mapping[str, Dimension | Sequence[Any]]

AT_ONCE = 32  # models in one sweep: about where more bring nothing more, and a crash costs little


@dataclass(frozen=True)
class Halving:
    """Successive halving: train all trials a little, the best of them longer, and only the very best to the end.

    Rung after rung, one of ``factor`` trials is kept and gets ``factor`` times the steps: ``least_steps``,
    ``least_steps · factor`` and so on; the last rung has all the steps of the search.

    A trial that is kept is trained again from step 0, so that its value is exactly that of a search without pruning;
    the budget counts these steps too. Every rung costs about the same.

    Args:
        factor: a whole number of at least 2.
        least_steps: of the first rung, at least 1.

    Source: Jamieson and Talwalkar 2016, Non-stochastic best arm identification and hyperparameter optimization.

    >>> Halving(factor=3, least_steps=50).rungs(600)
    [50, 150, 450, 600]
    """

    factor: int = 3
    least_steps: int = 50

    def __post_init__(self) -> None:
        whole("factor", self.factor, 2)
        whole("least_steps", self.least_steps, 1)

    def rungs(self, steps: int) -> list[int]:
        """The steps of each rung, where the last one has ``steps``."""
        if self.least_steps >= steps:
            raise ValueError(f"least_steps must be below the steps of the search ({steps}), got {self.least_steps}")
        rungs = [self.least_steps]
        while rungs[-1] * self.factor < steps:
            rungs.append(rungs[-1] * self.factor)
        return [*rungs, steps]


def chance_of_a_hit(trials: int, share: float = 0.05) -> float:
    """The probability that at least one of some random trials falls into the best ``share``: ``1 − (1 − share)ⁿ``.

    Source: Bergstra and Bengio 2012, Random search for hyper-parameter optimization.

    >>> round(chance_of_a_hit(59), 3)
    0.952
    """
    whole("trials", trials, 0)
    return 1 - (1 - _fraction("share", share)) ** trials


def trials_for(chance: float = 0.95, share: float = 0.05) -> int:
    """How many random trials are needed to hit the best ``share`` with this chance, however many hyperparameters.

    >>> trials_for(chance=0.95, share=0.05)
    59
    """
    return math.ceil(math.log(1 - _fraction("chance", chance)) / math.log(1 - _fraction("share", share)))


# The four kinds -------------------------------------------------------------------------------------------------------


def grid(
    model: Model,
    data: Data,
    space: Space,
    *,
    trials: int | None = None,
    rule: Rule | str = SGD(),  # noqa: B008 (a frozen value)
    steps: int = 300,
    seeds: int | Sequence[int] = 1,
    metric: str = "val_loss",
    prune: Halving | None = None,
    journal: str | os.PathLike[str] | None = None,
    executor: Executor | None = None,
    seed: int = 0,
    at_once: int = AT_ONCE,
    progress: bool = True,
    **settings: Any,
) -> Search:
    """Try every combination of some values of each hyperparameter.

    Its cost is the product of the counts: ten values each of four hyperparameters are 10,000 trials.

    Args:
        model, data: as `sweep` takes them.
        space: name -> `log_uniform`, `uniform`, `integers`, `choice` or a list. The names are ``"lr"``,
            ``"weight_decay"``, ``"batch_size"``, ``"rule"`` (a choice of rules) and the hyperparameters of the rule.
        trials: at most so many. Each interval gets the same number of values, from end to end: the most that fit in.
            None where the space has lists and choices only.
        rule: of all trials, if the space has none.
        steps: of each run.
        seeds: how many runs per trial, with seeds 0, 1, 2 ..., or a list of seeds; the median counts.
        metric: ``"val_loss"``, ``"val_accuracy"`` (the larger the better) or ``"loss"``, that of the last batches.
        prune: give up poor trials early; see `Halving`.
        journal: a file, made if it is not there. A second call with the same arguments goes on where the first ended.
        executor: trains elsewhere; see `sweep`.
        seed: of what the search draws at random.
        at_once: so many trials at most go into one sweep; their results are written together.
        progress: show a bar, a unit for each trial.
        settings: what else `sweep` takes: ``lr``, ``batch_size``, ``weight_decay``, ``device``, ``dtype`` ...

    Raises:
        ValueError, TypeError: an argument of the wrong kind or outside its range; the message names it. A journal that
            is broken or belongs to other arguments; it is left as it is.
        ImportError: a journal is asked for, and optuna is not installed.
    """
    return _search("grid", _plans.Grid, {}, locals())


def random(
    model: Model,
    data: Data,
    space: Space,
    *,
    trials: int,
    rule: Rule | str = SGD(),  # noqa: B008
    steps: int = 300,
    seeds: int | Sequence[int] = 1,
    metric: str = "val_loss",
    prune: Halving | None = None,
    journal: str | os.PathLike[str] | None = None,
    executor: Executor | None = None,
    seed: int = 0,
    at_once: int = AT_ONCE,
    progress: bool = True,
    **settings: Any,
) -> Search:
    """Draw every hyperparameter of every trial at random.

    All trials have different values of each hyperparameter, so those that do not matter cost nothing (a grid spends
    most of its trials on them). What trial n draws depends on the seed and n alone: more trials go on with the same.

    Args:
        trials: how many, at least 1. A journal may be taken up again with another number.

    The other arguments and the errors are those of `grid`.

    Source: Bergstra and Bengio 2012, Random search for hyper-parameter optimization.
    """
    return _search("random", _plans.Random, {}, locals())


def coarse_to_fine(
    model: Model,
    data: Data,
    space: Space,
    *,
    trials: int,
    rounds: int = 3,
    zoom: float = 3.0,
    rule: Rule | str = SGD(),  # noqa: B008
    steps: int = 300,
    seeds: int | Sequence[int] = 1,
    metric: str = "val_loss",
    prune: Halving | None = None,
    journal: str | os.PathLike[str] | None = None,
    executor: Executor | None = None,
    seed: int = 0,
    at_once: int = AT_ONCE,
    progress: bool = True,
    **settings: Any,
) -> Search:
    """Search the whole space coarsely, then, round by round, a smaller region around the best trial so far.

    The m trials of a round are a Latin hypercube: of m equal strips along each hyperparameter, every one holds one
    trial. The next region is ``zoom`` times narrower, centred on the best, on the scale of each interval (in the
    logarithm for `log_uniform`). A choice stays open.

    Where the best sits in the outermost strip, the optimum may lie beyond the border. That is said in a UserWarning
    and in `Search.warnings`, and the next region is not narrower but moved over the border, three quarters of it beyond
    the best; as far as the hyperparameter allows such values.

    Args:
        trials: of all rounds together, at least 3 a round.
        rounds: how many, at least 1.
        zoom: how many times narrower each region is than the one before, above 1.

    The other arguments and the errors are those of `grid`.

    Source of the design: McKay, Beckman and Conover 1979, A comparison of three methods for selecting values of input
    variables.
    """
    return _search("coarse_to_fine", _plans.CoarseToFine, {"rounds": rounds, "zoom": zoom}, locals())


def bayesian(
    model: Model,
    data: Data,
    space: Space,
    *,
    trials: int,
    sampler: str = "tpe",
    rule: Rule | str = SGD(),  # noqa: B008
    steps: int = 300,
    seeds: int | Sequence[int] = 1,
    metric: str = "val_loss",
    prune: Halving | None = None,
    journal: str | os.PathLike[str] | None = None,
    executor: Executor | None = None,
    seed: int = 0,
    at_once: int = 8,
    progress: bool = True,
    **settings: Any,
) -> Search:
    """Let a model of the results so far say where to look next (optuna's samplers).

    ``at_once`` trials are asked for together and trained together. Until their results are there, each stands in the
    model with the median of the results so far, a "lie" that keeps the next one from the same place.

    Args:
        trials: how many, at least 1. A journal may be taken up again with another number.
        sampler: ``"tpe"``, the tree-structured Parzen estimator, or ``"gp"``, a Gaussian process. The first ten trials
            are random for both.
        at_once: fewer learn more from each other, more are faster.

    The other arguments and the errors are those of `grid`; optuna must be installed.

    Source: Bergstra et al. 2011, Algorithms for hyper-parameter optimization (TPE); Ginsbourger, Le Riche and Carraro
    2010, Kriging is well-suited to parallelize optimization (the lie).
    """
    return _search("bayesian", _plans.Bayesian, {"sampler": sampler}, locals())


# The search -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Setting:
    """What all trials of a search have in common."""

    model: Model
    data: Data
    rule: Rule
    steps: int
    seeds: list[int]
    metric: str
    executor: Executor | None
    settings: Mapping[str, Any]
    rules: Sequence[Rule]  # all that the space names, or the one

    @property
    def higher(self) -> bool:
        """Whether a larger value is the better one."""
        return METRICS[self.metric].higher

    def train(self, points: Sequence[Point], steps: int) -> list[float]:
        """The metric of each point after so many steps, the median over the seeds; NaN where half of them diverged."""
        columns: dict[str, Any] = {name: [point[name] for point in points] for name in points[0] if name != "rule"}
        result = sweep(
            self.model,
            self.data,
            rule=points[0].get("rule", self.rule),
            steps=steps,
            seeds=self.seeds,
            executor=self.executor,
            progress=False,
            **{**self.settings, **columns},
        )
        worst = -math.inf if self.higher else math.inf
        values = result[self.metric].to_numpy(dtype=float).reshape(len(points), len(self.seeds))
        medians = np.median(np.where(np.isfinite(values), values, worst), axis=1)
        return [float(median) if math.isfinite(median) else math.nan for median in medians]

    def best(self, trials: Iterable[Trial]) -> Trial | None:
        """The best of the trials that were trained to the end; None if there is none."""
        done = [trial for trial in trials if trial.status == "done"]
        return min(done, key=lambda trial: self.rank(trial.value), default=None)

    def rank(self, value: float) -> float:
        """Smaller is better; what diverged is worst."""
        if math.isnan(value):
            return math.inf
        return -value if self.higher else value

    def run(self, point: Point, seed: int) -> Run:
        """A run at step 0, at a point of the space."""
        rule = point.get("rule", self.rule)
        own = {name: value for name, value in point.items() if name in rule.hyperparameters()}
        others = {name: value for name, value in point.items() if name not in (*own, "rule")}
        settings = {name: value for name, value in self.settings.items() if name not in ("how", "max_memory")}
        rule = dataclasses.replace(rule, **own)
        model = copy.deepcopy(self.model) if isinstance(self.model, torch.nn.Module) else self.model
        return Run(model, self.data, rule=rule, seed=seed, **{**settings, **others})

    @cached_property
    def probes(self) -> list[Run]:
        """A run for each rule. They are never trained: they know which values they accept."""
        return [self.run({"rule": rule}, seed=0) for rule in self.rules]


def _search(kind: str, plan_class: Any, own: Mapping[str, Any], given: Mapping[str, Any]) -> Search:
    """Check the arguments of a search, open its journal, and carry its plan out."""
    setting, space = _checked(given)
    prune, at_once = given["prune"], whole("at_once", given["at_once"], 1)
    if prune is not None and not isinstance(prune, Halving):
        raise TypeError(f"prune must be None or search.Halving(factor=3, least_steps=50), got {prune!r}")
    if prune is not None:
        prune.rungs(setting.steps)
    seed = check_seed(given["seed"])
    more = {"setting": setting, "at_once": at_once, **own}
    plan: Plan = plan_class(space=space, trials=given["trials"], seed=seed, **more)
    arguments = {
        "search": kind,
        "space": described(space),
        "trials": given["trials"],
        **own,
        **({"at_once": at_once} if kind == "bayesian" else {}),
        "model": _described_model(setting.model),
        "data": _described_data(setting.data),
        "rule": described(setting.rule),
        "steps": setting.steps,
        "seeds": setting.seeds,
        "metric": setting.metric,
        "prune": None if prune is None else repr(prune),
        "seed": seed,
        **{name: described(value) for name, value in setting.settings.items() if name not in _WHERE},
    }
    may_grow = prune is None and kind in ("random", "bayesian")
    with open_journal(given["journal"], arguments, setting.higher, may_grow) as journal:
        trials = _carry_out(plan, setting, space, prune, at_once, journal, given["progress"])
    return Search(kind, space, setting.metric, trials, len(setting.seeds), plan.warnings, setting)


_WHERE = ("device", "how", "max_memory")  # where and how fast the runs are made, not which


def _carry_out(
    plan: Plan,
    setting: _Setting,
    space: Mapping[str, Dimension],
    prune: Halving | None,
    at_once: int,
    journal: NoJournal,
    progress: bool,
) -> list[Trial]:
    """All trials of a plan, round by round; those that the journal knows are not trained again."""
    trials: list[Trial] = []
    known = journal.known(space)
    with tqdm(total=plan.trials, unit="trial", disable=not progress) as bar:
        for round_number in itertools.count(1):
            points = plan.points(trials, known)
            if not points:
                return trials
            batch = []
            for number, point in enumerate(points, start=len(trials)):
                batch.append(known.get(number) or Trial(number, point, round_number))
            for _ in _climb(batch, setting, space, prune, at_once, journal):
                finished = len(trials) + sum(trial.status != "training" for trial in batch)
                bar.update(finished - bar.n)
            trials += batch
    raise AssertionError("a plan comes to its end")


def _climb(
    batch: Sequence[Trial],
    setting: _Setting,
    space: Mapping[str, Dimension],
    prune: Halving | None,
    at_once: int,
    journal: NoJournal,
) -> Iterator[None]:
    """Train a round, rung by rung; yields whenever a verdict may have fallen.

    The values of a rung are written first, and only then who stays: so a crash in between loses neither.
    """
    climbing = list(batch)
    for steps in [setting.steps] if prune is None else prune.rungs(setting.steps):
        last = steps == setting.steps
        for group in _groups([trial for trial in climbing if steps not in trial.values], at_once):
            values = setting.train([trial.point for trial in group], steps)
            for trial, value in zip(group, values, strict=True):
                trial.values[steps] = value
                trial.status = _verdict(value, last, stays=True)
                journal.note(trial, space)
            yield
        places = len(climbing) if prune is None else max(1, len(climbing) // prune.factor)
        best = sorted(climbing, key=lambda trial: setting.rank(trial.values[steps]))[:places]
        verdicts = {trial: _verdict(trial.values[steps], last, stays=trial in best) for trial in climbing}
        climbing = [trial for trial, verdict in verdicts.items() if verdict == "training"]
        for trial, verdict in verdicts.items():
            if verdict != "training":
                trial.status = verdict
                journal.note(trial, space)
        yield


def _verdict(value: float, last: bool, stays: bool) -> str:
    if math.isnan(value):
        return "diverged"
    return "done" if last else "training" if stays else "pruned"


def _groups(trials: Sequence[Trial], at_once: int) -> Iterator[list[Trial]]:
    """What goes into one sweep: so many trials at most, all with one rule."""
    for start in range(0, len(trials), at_once):
        chunk = trials[start : start + at_once]
        for rule in dict.fromkeys(label(trial.point.get("rule")) for trial in chunk):
            yield [trial for trial in chunk if label(trial.point.get("rule")) == rule]


# What is given, and whether it is right -------------------------------------------------------------------------------


def _checked(given: Mapping[str, Any]) -> tuple[_Setting, dict[str, Dimension]]:
    """The common arguments of the four kinds."""
    settings = given["settings"]
    allowed = [name for name in inspect.signature(sweep).parameters if name not in (*given, *_OURS)]
    for name, value in settings.items():
        if name not in allowed:
            near = difflib.get_close_matches(name, [*allowed, *given], 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise TypeError(f"a search has no argument {name!r}{hint} Besides its own it takes {', '.join(allowed)}")
        if isinstance(value, (list, tuple, np.ndarray, torch.Tensor)):
            raise TypeError(f"{name}={value!r} beside the space must be one value: put lists into the space")
    metric = given["metric"]
    if metric not in METRICS:
        near = difflib.get_close_matches(str(metric), METRICS, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"metric must be {', '.join(map(repr, METRICS))}; got {metric!r}{hint}")
    rule, space = as_rule(given["rule"]), as_space(given["space"], settings)
    chosen = space.get("rule")
    setting = _Setting(
        given["model"],
        given["data"],
        rule,
        whole("steps", given["steps"], 1),
        _seeds(given["seeds"]),
        metric,
        given["executor"],
        settings,
        chosen.options if isinstance(chosen, Choice) else (rule,),
    )
    check_space(space, setting.probes)
    return setting, space


_OURS = ("hyperparameters", "progress", "on_progress", "validate_every", "keep_weights")


def _seeds(seeds: Any) -> list[int]:
    """The seeds of a trial, from their number or as a list."""
    if isinstance(seeds, Sequence) and not isinstance(seeds, str) and len(seeds):
        return [check_seed(seed) for seed in seeds]
    return list(range(whole("seeds", seeds, 1)))


def _fraction(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1:
        raise ValueError(f"{name} must be a number between 0 and 1, got {value!r}")
    return float(value)


def _described_model(model: Model) -> Any:
    """What tells one model from another: a name, or the class and a hash of the first weights."""
    if isinstance(model, str):
        return model
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = model if isinstance(model, torch.nn.Module) else model()
    return f"{name_of_model(model)} {_store.fingerprint(*module.state_dict().values())}"


def _described_data(data: Data) -> Any:
    """What tells one data set from another: a name, or a hash."""
    if isinstance(data, Dataset):
        return f"{data.name} {_store.fingerprint(*data.train, *data.validation)}"
    if isinstance(data, tuple):
        return f"your data {_store.fingerprint(*map(torch.as_tensor, data))}"
    return data if isinstance(data, str) else described(data) if isinstance(data, Mapping) else type(data).__name__
