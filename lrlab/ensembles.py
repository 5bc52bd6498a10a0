"""Ensembles: several networks whose predictions are averaged, and averages of the weights of one.

    members = ensembles.independent("mlp", "digits", members=5, lr=0.1, steps=300)     # five seeds, trained at once
    members = ensembles.snapshots("mlp", "digits", cycles=5, steps=300, lr=0.2)        # one run, at each cycle's end
    members.evaluate(data.load("digits").test).whole.accuracy
    members.without(2).table(data.load("digits").test)

    mean = ensembles.swa(Run("mlp", "digits", lr=0.1), 300, start=150)                 # one network: a mean of weights

What can be said of predictions are functions of logits (`average`, `scores`, `ece`, `reliability`, `temperature`,
`disagreement`, `jensen_shannon`): compute ``logits [M, N, K]`` once, and any subset of members costs next to nothing.
"""

from __future__ import annotations

import itertools
import os
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from lrlab import _predictions, _store
from lrlab._averages import check_survived, check_whole, ema, renew_batchnorm, swa
from lrlab._members import Member, as_saved, check_together, from_saved, logits_of, members_of, of_run, of_sweep
from lrlab._predictions import (
    Reliability,
    Scores,
    average,
    disagreement,
    ece,
    jensen_shannon,
    reliability,
    scores,
    temperature,
)
from lrlab.configuration import Data, Model
from lrlab.data import resolve_device
from lrlab.run import Run
from lrlab.schedules import Constant, Plateau, Schedule, WarmRestarts
from lrlab.sweeps import Sweep, sweep

__all__ = [
    "Cost",
    "Diversity",
    "Ensemble",
    "Evaluation",
    "Member",
    "Reliability",
    "Scores",
    "average",
    "disagreement",
    "ece",
    "ema",
    "independent",
    "jensen_shannon",
    "minima",
    "reliability",
    "renew_batchnorm",
    "scores",
    "snapshots",
    "swa",
    "temperature",
]

FILE_KIND = "an lrlab ensemble 1"


class Evaluation(NamedTuple):
    """The `Scores` of each member, and those of the whole ensemble."""

    members: tuple[Scores, ...]
    whole: Scores

    @property
    def mean(self) -> Scores:
        """What a member has on average: what one network in the place of the ensemble would be expected to have."""
        columns = zip(*self.members, strict=True)
        return Scores(*(sum(column) / len(self.members) for column in columns))


class Diversity(NamedTuple):
    """How far the members are apart, as means over examples; both are 0 for a single member.

    Attributes:
        disagreement: the share of examples on which two members predict different classes, the mean over all pairs.
        jensen_shannon: between the members' probabilities, in nats.
    """

    disagreement: float
    jensen_shannon: float


class Cost(NamedTuple):
    """What an ensemble costs.

    Attributes:
        training_steps: of all runs that its members were taken from, each counted up to its last member here; members
            of one run share its steps. None if unknown.
        forward_passes: per example.
        parameters: weights to be stored, of all members.
        seconds: measured, for predicting all the examples; the fastest of several rounds.
        seconds_of_one: the same for one member, the mean over members.
    """

    training_steps: int | None
    forward_passes: int
    parameters: int
    seconds: float
    seconds_of_one: float


class Ensemble:
    """Networks with the same classes, whose predictions are averaged.

    Args:
        members: networks, each a module that gives logits ``[N, K]``, a `Run`, or a `Member`; a list, or a dict that
            names them. They are copied as they are now: a run that trains on changes nothing here.

    Raises:
        ValueError: no member; names that are not different; members on different devices or with different classes; a
            run that has diverged, or weights that are not finite.
        TypeError: a member that is none of the above.

    >>> members = independent("mlp", "digits", members=3, steps=100, how="batched", progress=False)
    >>> members
    Ensemble(3 members: seed 0, seed 1, seed 2; 300 training steps)
    >>> from lrlab import data
    >>> digits = data.load("digits", device="cpu")
    >>> members.logits(digits.test.x).shape, members.predict(digits.test.x).shape
    (torch.Size([3, 300, 10]), torch.Size([300, 10]))
    >>> result = members.evaluate(digits.test)
    >>> result.whole.loss < result.mean.loss
    True
    >>> members.without(1)
    Ensemble(2 members: seed 0, seed 2; 200 training steps)
    """

    def __init__(self, members: Sequence[Member | Run | nn.Module] | Mapping[str, Run | nn.Module]) -> None:
        self.members: tuple[Member, ...] = members_of(members)
        self.left_out: tuple[str, ...] = ()  # what was not taken in, and why
        check_together(self.members)

    @classmethod
    def from_sweep(cls, result: Sweep, rows: Iterable[int] | None = None) -> Ensemble:
        """The networks of a sweep that kept its weights.

        A run that diverged is left out, with a warning and a note in ``left_out``.

        Args:
            result: ``sweep(..., keep_weights=True)``.
            rows: which, as numbered in its table; default: all.

        Raises:
            ValueError: the weights were not kept, there is no such row, or all runs diverged.
        """
        if not isinstance(result, Sweep):
            raise TypeError(
                f"from_sweep takes what sweep(..., keep_weights=True) returned, not a {type(result).__name__}; "
                "to take some rows of it, say rows="
            )
        if rows is not None and not isinstance(rows, Iterable):
            raise TypeError(f"rows must be numbers of rows, such as range(0, 5); got {rows!r}")
        return _survivors(result, range(len(result)) if rows is None else rows)

    # Who is in it ----------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.members)

    @property
    def names(self) -> list[str]:
        """The names of the members."""
        return [member.name for member in self.members]

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The names of the classes; None if no member knows them."""
        return next((member.classes for member in self.members if member.classes is not None), None)

    @property
    def device(self) -> torch.device:
        """Where the members are."""
        return self.members[0].device

    def subset(self, *numbers: int) -> Ensemble:
        """The ensemble of these members, counted from 0, in this order."""
        for number in numbers:
            self._check_number("subset", number)
        return Ensemble([self.members[number] for number in numbers])

    def without(self, *numbers: int) -> Ensemble:
        """The ensemble without these members, counted from 0."""
        for number in numbers:
            self._check_number("without", number)
        if not set(range(len(self))) - set(numbers):
            raise ValueError(f"without: this leaves out all {len(self)} members: at least one must stay")
        return Ensemble([member for number, member in enumerate(self.members) if number not in numbers])

    def joined(self, other: Ensemble) -> Ensemble:
        """The ensemble of the members of both; the names must differ."""
        if not isinstance(other, Ensemble):
            raise TypeError(f"joined takes an Ensemble, such as Ensemble([model]); got {type(other).__name__}")
        return Ensemble([*self.members, *other.members])

    def groups(self, size: int) -> list[Ensemble]:
        """Ensembles of ``size`` members each, no member in two: 80 members make 16 of 5, to measure a spread over.

        Raises:
            ValueError: if the number of members is no multiple of ``size``.
        """
        check_whole("size", size, 1)
        if len(self) % size:
            raise ValueError(f"groups: {len(self)} members do not make whole groups of {size}")
        return [Ensemble(self.members[start : start + size]) for start in range(0, len(self), size)]

    def _check_number(self, purpose: str, number: Any) -> None:
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < len(self):
            raise ValueError(
                f"{purpose}: a member is a number from 0 to {len(self) - 1}, as in {purpose}(0, 2); got {number!r}"
            )

    def __repr__(self) -> str:
        shown = self.names if len(self) <= 6 else [*self.names[:3], "...", self.names[-1]]
        steps = "" if self.training_steps is None else f"; {self.training_steps:,} training steps"
        out = f"; left out: {', '.join(self.left_out)}" if self.left_out else ""
        return f"Ensemble({len(self)} member{'s' * (len(self) != 1)}: {', '.join(shown)}{steps}{out})"

    # What it says ----------------------------------------------------------------------------------------------------

    def logits(self, x: Tensor) -> Tensor:
        """The logits of every member.

        Args:
            x: ``[N, ...]``; it is moved to the members' device and dtype.

        Returns:
            ``[M, N, K]``, on that device.

        Raises:
            ValueError: a member does not take such x, gives something other than ``[N, K]``, or another K.
        """
        if not isinstance(x, Tensor) or x.dim() < 2 or len(x) == 0:
            found = list(x.shape) if isinstance(x, Tensor) else type(x).__name__
            raise ValueError(f"x must be a tensor [examples, ...] with at least one example; got {found}")
        outputs = [logits_of(member, x) for member in self.members]
        sizes = {member.name: output.shape[1] for member, output in zip(self.members, outputs, strict=True)}
        if len(set(sizes.values())) > 1:
            counts = ", ".join(f"{name} {size}" for name, size in sizes.items())
            raise ValueError(f"members of one ensemble must have the same classes, but their numbers are: {counts}")
        return torch.stack(outputs)

    def predict(self, x: Tensor, average: str = "probabilities") -> Tensor:
        """The probabilities of the whole, ``[N, K]``.

        Args:
            x: ``[N, ...]``.
            average: what is averaged, ``"probabilities"`` or ``"logits"``; see `ensembles.average`.
        """
        return _predictions.average(self.logits(x), average).exp()

    def evaluate(self, split: tuple[Tensor, Tensor], average: str = "probabilities", bins: int = 15) -> Evaluation:
        """The scores of the members and of the whole.

        Args:
            split: ``(x, y)``, such as ``dataset.test``: inputs ``[N, ...]`` and classes ``[N]``.
            average: what is averaged, ``"probabilities"`` or ``"logits"``.
            bins: of the calibration error.
        """
        x, y = _pair(split)
        logits = self.logits(x)
        whole = scores(_predictions.average(logits, average), y, bins)
        return Evaluation(tuple(scores(one, y, bins) for one in logits), whole)

    def diversity(self, x: Tensor) -> Diversity:
        """How far the members are apart on ``x [N, ...]``; for each pair, see `ensembles.disagreement`."""
        logits = self.logits(x)
        pairs = len(self) * (len(self) - 1)
        return Diversity(float(disagreement(logits).sum() / max(pairs, 1)), float(jensen_shannon(logits).mean()))

    def table(self, split: tuple[Tensor, Tensor], average: str = "probabilities", bins: int = 15) -> pd.DataFrame:
        """The scores as a table: a row per member, and one for the ensemble.

        Columns: ``step`` and ``lr`` when a member was taken (for the ensemble, all training steps), where known;
        ``loss``, ``accuracy``, ``ece``.
        """
        result = self.evaluate(split, average, bins)
        rows = [{"step": m.step, "lr": m.lr, **s._asdict()} for m, s in zip(self.members, result.members, strict=True)]
        rows.append({"step": self.training_steps, "lr": None, **result.whole._asdict()})
        table = pd.DataFrame(rows, index=[*self.names, "ensemble"]).dropna(axis="columns", how="all")
        return table.astype({"step": "Int64"}) if "step" in table else table

    def calibration(
        self,
        validation: tuple[Tensor, Tensor],
        test: tuple[Tensor, Tensor],
        average: str = "probabilities",
        bins: int = 15,
    ) -> pd.DataFrame:
        """Calibration before and after temperature scaling: a row per member, and one for the ensemble.

        Each temperature is fitted on the validation split; that of the ensemble divides the logarithm of the averaged
        probabilities. The other columns are of the test split: ``loss``, ``ece``, and with the temperature
        ``loss_scaled``, ``ece_scaled``. The accuracy is the same before and after.

        Raises:
            ValueError: a temperature has no best value; see `ensembles.temperature`.
        """
        (x, y), (test_x, test_y) = _pair(validation), _pair(test)
        fitted, judged = self.logits(x), self.logits(test_x)
        whole = [_predictions.average(logits, average) for logits in (fitted, judged)]
        rows = []
        for fit, judge in [*zip(fitted, judged, strict=True), whole]:
            T = temperature(fit, y)
            before, after = scores(judge, test_y, bins), scores(judge / T, test_y, bins)
            scaled = {"loss_scaled": after.loss, "ece_scaled": after.ece}
            rows.append({"temperature": T, "loss": before.loss, "ece": before.ece, **scaled})
        return pd.DataFrame(rows, index=[*self.names, "ensemble"])

    # What it costs ---------------------------------------------------------------------------------------------------

    @property
    def training_steps(self) -> int | None:
        """Steps of all training runs that members were taken from, each up to its last member; None if unknown."""
        last: dict[int, int] = {}
        for member in self.members:
            if member.step is None or member.run is None:
                return None
            last[member.run] = max(member.step, last.get(member.run, 0))
        return sum(last.values())

    def cost(self, x: Tensor, rounds: int = 5) -> Cost:
        """What the ensemble costs, its time for predicting ``x [N, ...]`` measured beside that of one member."""
        check_whole("rounds", rounds, 1)
        self.logits(x)  # to warm up, and to see that x fits
        x = x.to(self.device)
        alone = [Ensemble([member]) for member in self.members]
        times = [[_seconds(one, x) for one in (self, *alone)] for _ in range(rounds)]
        whole, *each = (min(column) for column in zip(*times, strict=True))
        parameters = sum(weight.numel() for member in self.members for weight in member.model.parameters())
        return Cost(self.training_steps, len(self), parameters, whole, sum(each) / len(each))

    # Files -----------------------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write all members to one file (safetensors), whole or not at all."""
        contents = {"members": [as_saved(member) for member in self.members], "left_out": self.left_out}
        return _store.save_tree(path, contents, FILE_KIND)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        model: nn.Module | Callable[[], nn.Module] | None = None,
        device: str | torch.device = "auto",
    ) -> Ensemble:
        """The ensemble that `save` wrote. Opening the file runs nothing that is in it.

        Args:
            path: the file.
            model: for members that are no networks of this package: such a network, or a function that makes one.
            device: where to; see `data.resolve_device`.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file is damaged or no ensemble, ``model`` is missing, or its weights have other shapes.
        """
        saved, place = _store.load_tree(path, FILE_KIND), resolve_device(device)
        try:
            ensemble = cls(from_saved(saved["members"], model, place))
            ensemble.left_out = saved["left_out"]
        except KeyError as error:
            raise ValueError(f"{path} is damaged: it lacks {error}") from None
        return ensemble


# Where ensembles come from --------------------------------------------------------------------------------------------


def independent(model: Model, data: Data, *, members: int | Iterable[int] = 5, **options: Any) -> Ensemble:
    """Independent networks, trained at once by a `sweep`: each with first weights and a data order of its own.

    Args:
        model, data: as for `Run`. Members of a module given as it is share its weights at the start.
        members: how many (the seeds 0 to M − 1), or a list of seeds.
        options: what `sweep` takes: ``lr``, ``steps``, ``rule``, ``batch_size``, ... Several learning rates make
            members under each of them.

    Returns:
        the `Ensemble`. A run that diverged is left out, with a warning and a note in ``left_out``.

    Raises:
        ValueError or TypeError: as `sweep` does, or if all runs diverged.

    Source: Lakshminarayanan, Pritzel and Blundell 2017, Simple and scalable predictive uncertainty estimation using
    deep ensembles.
    """
    if taken := {"seeds", "keep_weights"} & options.keys():
        raise TypeError(f"independent: {sorted(taken)[0]} is set here; say members=5, or members=[0, 1, 2] for seeds")
    if not isinstance(members, Iterable):
        check_whole("members", members, 1)
    seeds = list(members) if isinstance(members, Iterable) else members
    result = sweep(model, data, seeds=seeds, keep_weights=True, **options)
    return _survivors(result, range(len(result)))


def _survivors(result: Sweep, rows: Iterable[int]) -> Ensemble:
    """The ensemble of these rows of a sweep, without those that diverged."""
    members, left_out = of_sweep(result, rows)
    ensemble = Ensemble(members)
    ensemble.left_out = left_out
    if left_out:
        warnings.warn(f"left out of the ensemble: {', '.join(left_out)}", UserWarning, stacklevel=3)
    return ensemble


def snapshots(
    model: Model | Run, data: Data | None = None, *, cycles: int = 5, steps: int = 500, progress: bool = True,
    **options: Any,
) -> Ensemble:  # fmt: skip
    """Snapshots of one run under warm restarts: its weights at the end of each cycle, where the rate is least.

    A rate that falls slowly leads into a minimum; the restart throws the network out of it, towards another one. So one
    run gives several networks for the price of one. The rate of a run made with a number ``lr`` becomes
    ``WarmRestarts(lr, period=steps/cycles)``, from its present step on; the rule's memory goes on over a restart. With
    a schedule of your own, its minima are counted: where the rate has fallen, and rises with the next step.

    Args:
        model, data: as for `Run`; or a `Run` in the place of both, which makes ``steps`` more steps.
        cycles: M, how many snapshots.
        steps: of all cycles together, a multiple of ``cycles``.
        progress: show a bar.
        options: what `Run` takes: ``lr`` (α₀, the rate after each restart, or a schedule), ``seed``, ``rule``, ...

    Returns:
        the `Ensemble`; each member knows the ``step`` at which it was taken and the ``lr`` that was applied last.

    Raises:
        ValueError: cycles that do not fit the steps, a schedule with another number of minima, a run that diverges.
        RuntimeError: somebody turned the rate meanwhile.

    >>> taken = snapshots("mlp", "digits", cycles=2, steps=40, progress=False)
    >>> [(member.name, member.step) for member in taken.members]
    [('cycle 1', 20), ('cycle 2', 40)]

    Source: Huang, Li, Pleiss, Liu, Hopcroft and Weinberger 2017, Snapshot ensembles: train 1, get M for free;
    Loshchilov and Hutter 2017, SGDR: stochastic gradient descent with warm restarts.
    """
    check_whole("cycles", cycles, 1)
    check_whole("steps", steps, 1)
    run = _run_of(model, data, options)
    first, planned = run.step, _planned_rates(run, cycles, steps)
    ends = minima(planned)
    taken: list[Member] = []
    with tqdm(total=steps, unit="step", disable=not progress, desc=run.title) as bar:
        for made, record in enumerate(run.steps(steps), start=1):
            if record.lr != planned[made - 1]:
                raise RuntimeError("snapshots: the learning rate was turned while the snapshots were taken: leave it")
            if made in ends:
                taken.append(of_run(run, f"cycle {len(taken) + 1}", record.lr, taken))
            bar.update()
    check_survived("snapshots", run)
    if run.step < first + steps:
        raise ValueError(f"snapshots: the run was stopped early, at step {run.step}: leave out stopping=")
    return Ensemble(taken)


def minima(rates: Sequence[float]) -> list[int]:
    """After how many steps a learning rate stands at a minimum: it has fallen before, and rises with the next step.

    Args:
        rates: the rate of each step, and of the one after the last.

    >>> minima([1.0, 0.5, 0.1, 1.0, 0.5, 0.1, 1.0])
    [3, 6]
    """
    found, fell = [], False
    for step, (before, after) in enumerate(itertools.pairwise(rates), start=1):
        if fell and after > before:
            found.append(step)
            fell = False
        fell |= after < before
    return found


def _run_of(model: Model | Run, data: Data | None, options: Mapping[str, Any]) -> Run:
    if isinstance(model, Run):
        if data is not None or options:
            given = ["data"] * (data is not None) + list(options)
            raise TypeError(f"snapshots: the run is made already, so {', '.join(given)} cannot be given: set it there")
        return model
    if data is None:
        raise TypeError("snapshots: give a model and data, as for Run, or a Run: snapshots('mlp', 'digits', cycles=5)")
    return Run(model, data, **options)


def _planned_rates(run: Run, cycles: int, steps: int) -> list[float]:
    """The rate of each of the next steps and of the one after; sets the warm restarts of a run that has a number."""
    by_epoch = run.config["per"] == "epoch"
    if isinstance(run.schedule, Plateau):
        raise ValueError("snapshots: a Plateau has no minima: give a number, lr=0.1, for warm restarts, or a schedule")
    if run.schedule is None:
        if by_epoch:
            raise ValueError(
                "snapshots: with per='epoch' give the restarts in epochs, lr=schedules.WarmRestarts(0.1, period=10), "
                "or leave per='epoch' out: cycles are then made in steps"
            )
        _check_cycles(cycles, steps)
        restarts = WarmRestarts(run.lr, steps // cycles)
        run.lr = Constant(run.lr).until(run.step).then(restarts) if run.step else restarts
    schedule = run.schedule
    assert isinstance(schedule, Schedule)
    if by_epoch and run.epoch % 1:
        raise ValueError(f"snapshots: per='epoch' needs a run at the start of an epoch; it stands at {run.epoch:.2f}")
    an_epoch = run._batches.steps_per_epoch(run.knobs["batch_size"])
    times = [round(run.epoch) + k // an_epoch if by_epoch else run.step + k for k in range(steps + 1)]
    planned = [schedule(time) for time in times]
    ends = minima(planned)
    if len(ends) != cycles:
        where = f", after steps {', '.join(str(run.step + end) for end in ends)}" if ends else ""
        raise ValueError(
            f"snapshots: cycles={cycles}, but in these {steps} steps the rate of {schedule!r} has {len(ends)} minima"
            f"{where}: it must have fallen and rise again with the next step. Change steps, cycles or the schedule"
        )
    return planned


def _check_cycles(cycles: int, steps: int) -> None:
    if steps < 2 * cycles:
        raise ValueError(f"steps={steps} is too short for cycles={cycles}: a cycle needs at least 2 steps for its fall")
    if steps % cycles:
        below = steps - steps % cycles
        raise ValueError(
            f"steps={steps} does not make cycles={cycles} of one length: take steps={below} or steps={below + cycles}"
        )


# Helpers --------------------------------------------------------------------------------------------------------------


def _pair(split: Any) -> tuple[Tensor, Tensor]:
    if not isinstance(split, (tuple, list)) or len(split) != 2:
        raise TypeError(f"a split is a pair (x, y), such as dataset.test; got {type(split).__name__}")
    return split[0], split[1]


def _seconds(ensemble: Ensemble, x: Tensor) -> float:
    start = time.perf_counter()
    float(ensemble.predict(x)[0, 0])  # a number is there only when the device has finished
    return time.perf_counter() - start
