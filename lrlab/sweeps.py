"""The sweep: many learning rates, hyperparameters and seeds at once, as one tensor of networks.

    result = sweep("mlp", "digits", rule=rules.Momentum(), lr=torch.logspace(-4, 1, 64), steps=300, seeds=3)
    result.best()
    figures.show(result.plot(), alt="...")
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from lrlab import _execution, _sweep_plots, _workers
from lrlab._execution import Job
from lrlab._ledger import REPORT_EVERY, Ledger, Stopped
from lrlab._points import Plan, plan
from lrlab._workers import WorkerError
from lrlab.configuration import Data, Material, Model, Setup, check_output, one_of, trainable_names
from lrlab.engine import Loss, trainable
from lrlab.factors import factors_checker
from lrlab.regularization import EarlyStopping, Penalty
from lrlab.rules import SGD, Rule
from lrlab.run import Run

METRICS = ("val_loss", "loss", "val_accuracy")
METHODS = ("auto", "batched", "compiled", "looped")


@dataclass(frozen=True)
class Progress:
    """How far a sweep is; what `on_progress` is given. The arrays are live: read them, and copy what you keep.

    Attributes:
        settings: one row per run: its hyperparameters and its seed.
        losses: ``[R, steps]``, NaN where a step was not made yet.
        steps: ``[R]``, steps made.
        status: ``[R]``: ``"waiting"``, ``"running"``, ``"done"`` or ``"diverged"``.
        val_loss, val_accuracy: ``[R]``, at the end of each run; NaN before.
    """

    settings: pd.DataFrame
    losses: np.ndarray
    steps: np.ndarray
    status: np.ndarray
    val_loss: np.ndarray
    val_accuracy: np.ndarray

    @property
    def finished(self) -> int:
        """Runs that are over."""
        return int(np.isin(self.status, ("done", "diverged")).sum())


def sweep(
    model: Model,
    data: Data,
    *,
    rule: Rule | str | None = None,
    lr: Any = 0.1,
    steps: int = 300,
    batch_size: Any = 64,
    weight_decay: Any = 0.0,
    penalty: Penalty | None = None,
    factors: Mapping[str, float] | None = None,
    seeds: Any = 1,
    device: str | torch.device = "auto",
    dtype: str | torch.dtype = "float32",
    loss: str | Loss = "cross_entropy",
    per: str = "step",
    validate_every: int = 0,
    stopping: EarlyStopping | None = None,
    validation: tuple[Any, Any] | DataLoader | None = None,
    how: str = "auto",
    executor: Executor | None = None,
    max_memory: int | None = None,
    keep_weights: bool = False,
    progress: bool = True,
    on_progress: Callable[[Progress], Any] | None = None,
    **hyperparameters: Any,
) -> Sweep:
    """Train a network once for every setting, all at once, and put the results into a table.

    Each of ``lr``, ``weight_decay``, ``batch_size`` and the rule's own hyperparameters (``rho=``, ``beta1=``, ...) is a
    number, or a tensor, array or list, in any order. They broadcast against each other as tensors do::

        lr [64], rho [64]       64 pairs                lr [8, 1], rho [5]      a grid of 8 x 5 points

    Every point is trained under every seed: R = points x seeds runs, in row-major order, the seeds of a point together.
    Each run is, to rounding, the `Run` of the same settings: the same first weights, mini-batches and rule.

    Args:
        model, data: as for `Run`. Under different seeds a module given as it is starts from its own weights.
        rule: the update rule; default: SGD. Values to vary are given here, ``sweep(..., rho=[0.5, 0.9])``.
        lr: learning rates greater than 0; also a `Schedule`, or a list of schedules and numbers.
        steps: how many each run makes.
        batch_size: samples per step.
        weight_decay: λ ≥ 0 of the L2 penalty, as for `Run`.
        penalty: of `lrlab.regularization`, as for `Run`. Values to vary are given here, ``sweep(..., lam=[0, 1e-3])``.
        factors: learning-rate multipliers by layer, as for `Run`: the same for all runs.
        seeds: a count S, for the seeds 0 to S - 1, or a list of seeds.
        device, dtype, loss, per, validation: as for `Run`.
        validate_every: steps between validations; 0: only at the end.
        stopping: early stopping, for each run by itself, as for `Run`; it needs ``validate_every``.
        how: ``"batched"`` (all networks as one tensor), ``"compiled"`` (the same through torch.compile), ``"looped"``
            (one `Run` after the other), or ``"auto"``: what is fastest here, found by trying a few steps of each.
            Repeated on the CPU, all but ``"auto"`` give bitwise the same numbers.
        executor: a ``concurrent.futures.Executor`` whose workers share the runs; with Dask, ``client.get_executor()``.
            Give each worker one thread: ``ProcessPoolExecutor(4, initializer=torch.set_num_threads, initargs=(1,))``.
        max_memory: bytes that training may take; default: half of what is free on a GPU, at most 1 GiB on a CPU.
        keep_weights: keep the trained weights, for `Sweep.model`.
        progress: show a bar (on stderr).
        on_progress: called a few times a second, in this thread, with a `Progress`; if it returns False the sweep ends,
            and runs that are not over have the status ``"stopped"``.
        hyperparameters: of the rule and the penalty.

    Returns:
        A `Sweep`, a table with one row per run.

    Raises:
        ValueError or TypeError: for any argument outside what is said here; the message names it.
        SweepError: if it breaks off after some runs were finished, or on the workers of an executor; its ``finished``
            is the table of what there is.

    >>> from lrlab import rules, sweep
    >>> result = sweep("mlp", "digits", rule=rules.Momentum(), lr=[0.01, 0.1], rho=[[0.5], [0.9]], steps=20,
    ...                progress=False)
    >>> result[["lr", "rho", "seed", "status"]]
         lr  rho  seed status
    0  0.01  0.5     0   done
    1  0.10  0.5     0   done
    2  0.01  0.9     0   done
    3  0.10  0.9     0   done
    """
    setup = Setup(
        **{"model": model, "data": data, "device": device, "dtype": dtype, "loss": loss, "per": per},
        **{"validate_every": validate_every, "validation": validation, "rule": None, "lr": None, "batch_size": None},
        **{"weight_decay": 0.0, "seed": 0, "optimizer": None, "compile": False, "checkpoint_mb": 0},
        **{"penalty": penalty, "factors": factors},
    )
    _check(steps, how, max_memory, executor, on_progress)
    material = setup.data_in_place()
    if stopping is not None:
        setup = _with_stopping(setup, stopping, material)
    network = setup.build_model(material)
    check_output(network, setup.loss_function, material)
    if factors:
        factors_checker(trainable_names(network))(factors)
    settings = {"lr": lr, "batch_size": batch_size, "weight_decay": weight_decay, **hyperparameters}
    runs = plan(material, SGD() if rule is None else rule, settings, seeds, setup.penalty)
    job = Job(setup, material, steps, validate_every or 0, keep_weights)
    ledger = Ledger(len(runs.rows), steps, job.validation_steps())
    work = (job, runs.rows, range(len(runs.rows)), how, max_memory, ledger)
    chosen = ("", "stopped before it was chosen")
    with _Watch(runs, ledger, on_progress, progress, setup.model_name):
        try:
            chosen = _execution.train(*work) if executor is None else _workers.train(*work, executor)
        except Stopped:
            pass
        except Exception as error:
            if not (ledger.finished.any() or isinstance(error, WorkerError)):
                raise
            finished = Sweep._of(runs, job, ledger, chosen, otherwise="failed")
            raise SweepError(str(error), finished) from error
    return Sweep._of(runs, job, ledger, chosen)


def _with_stopping(setup: Setup, stopping: EarlyStopping, material: Material) -> Setup:
    if not setup.validate_every:
        raise ValueError("stopping= observes validations: say how often there is one, such as validate_every=20")
    if material.validation is None:
        raise ValueError("stopping= observes validations, but there is no validation data: give validation=(x, y)")
    return setup.changed(stopping=stopping)


class SweepError(RuntimeError):
    """A sweep that could not be completed. ``finished`` is a `Sweep` with what was: the other rows are ``failed``."""

    def __init__(self, reason: str, finished: Sweep) -> None:
        count = int(finished["status"].isin(["done", "diverged"]).sum())
        super().__init__(f"{reason}. {count} of {len(finished)} runs were finished: they are in error.finished")
        self.finished = finished


class _Watch:
    """Shows and tells, a few times a second, what stands in the ledger."""

    def __init__(
        self, runs: Plan, ledger: Ledger, on_progress: Callable[[Progress], Any] | None, bar: bool, title: str
    ) -> None:
        self.runs, self.ledger, self.on_progress = runs, ledger, on_progress
        self.settings = pd.DataFrame(runs.columns)
        self.bar = tqdm(
            total=ledger.losses.size, unit="step", unit_scale=True, disable=not bar, desc=f"{len(runs.rows)} x {title}"
        )
        self.next = 0.0
        ledger.report = self.report

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, *_: Any) -> None:
        self.bar.close()
        if kind is None and self.on_progress is not None:
            self.on_progress(self.state())

    def report(self, made: int) -> None:
        """``made`` more steps were made."""
        self.bar.update(made)
        if self.on_progress is not None and time.monotonic() > self.next:
            answer = self.on_progress(self.state())
            if isinstance(answer, (bool, np.bool_)) and not answer:  # a comparison of numpy numbers is no bool
                raise Stopped
            self.next = time.monotonic() + REPORT_EVERY

    def state(self) -> Progress:
        ledger = self.ledger
        return Progress(
            self.settings, ledger.losses, ledger.made, ledger.status(), ledger.val_losses[:, -1],
            ledger.val_accuracies[:, -1],
        )  # fmt: skip


class Sweep(pd.DataFrame):
    """The result of `sweep`: a pandas table with one row per run, and what does not fit into a table beside it.

    Columns: each hyperparameter that varies (always ``lr``; a schedule stands there by its repr), ``seed``, ``steps``
    (made, that with the bad loss included), ``status`` (``done``, ``diverged``, ``stopped``), ``loss`` (mean training
    loss over the last tenth of the steps), ``val_loss`` and ``val_accuracy`` (at the end); NaN if not ``done``.

    Attributes:
        losses: float64 ``[R, steps]``, the training loss of each step; NaN after a run diverged.
        val_steps: ``[V]``, the steps after which was validated.
        val_losses, val_accuracies: float64 ``[R, V]``.
        how: ``"batched"``, ``"compiled"`` or ``"looped"``.
        why: one sentence, with the speeds that were measured.

    Sorting, filtering and the like give plain tables.
    """

    _metadata = ["losses", "val_steps", "val_losses", "val_accuracies", "how", "why", "_plan", "_job", "_weights"]
    losses: np.ndarray
    val_steps: np.ndarray
    val_losses: np.ndarray
    val_accuracies: np.ndarray
    how: str
    why: str
    _plan: Plan
    _job: Job
    _weights: list[list[Tensor] | None]

    @property
    def _constructor(self) -> Any:
        return pd.DataFrame

    @classmethod
    def _of(cls, runs: Plan, job: Job, ledger: Ledger, chosen: tuple[str, str], otherwise: str = "stopped") -> Sweep:
        status = ledger.status()
        done = status == "done"
        status = np.where(np.isin(status, ("waiting", "running")), otherwise, status)
        tail = math.ceil(job.steps / 10)
        columns = {
            "steps": ledger.made,
            "status": status.astype(object),
            "loss": np.where(done, _at_the_end(ledger, tail), math.nan),
            "val_loss": np.where(done, ledger.val_losses[:, -1], math.nan),
            "val_accuracy": np.where(done, ledger.val_accuracies[:, -1], math.nan),
        }
        result = cls({**runs.columns, **columns})
        result.losses, result.val_steps = ledger.losses, np.array(ledger.val_steps)
        result.val_losses, result.val_accuracies = ledger.val_losses, ledger.val_accuracies
        result.how, result.why = chosen
        result._plan, result._job, result._weights = runs, job, ledger.weights
        return result

    def varying(self) -> list[str]:
        """The names of the hyperparameters that vary."""
        return [name for name in self._plan.columns if name != "seed"]

    def by(self, *columns: str) -> pd.DataFrame:
        """The medians of loss, val_loss and val_accuracy over everything but these columns; a diverged run counts as
        an infinite loss and no accuracy.

        Args:
            columns: hyperparameters; default: all that vary, so that the medians are over the seeds.

        Returns:
            a table indexed by them, with ``runs`` and ``diverged``, how many.
        """
        names = list(columns) or self.varying()
        self._check_columns("by", names)
        table = pd.DataFrame(self)
        over = table["status"] == "diverged"
        table = table.assign(
            loss=table["loss"].mask(over, math.inf),
            val_loss=table["val_loss"].mask(over, math.inf),
            val_accuracy=table["val_accuracy"].mask(over, 0.0),
            diverged=over,
        )
        groups = table.groupby(names if len(names) > 1 else names[0], sort=True)
        medians = groups[["loss", "val_loss", "val_accuracy"]].median()
        return medians.assign(runs=groups.size(), diverged=groups["diverged"].sum())

    def best(self, metric: str = "val_loss") -> pd.Series:
        """The best setting: its hyperparameters and the medians over its seeds.

        Args:
            metric: ``"val_loss"``, ``"loss"`` (least is best) or ``"val_accuracy"`` (most is best).

        Raises:
            ValueError: for another metric, or if no setting has a value.
        """
        one_of("metric", metric, METRICS)
        medians = self.by().reset_index()
        usable = medians[np.isfinite(medians[metric]) & (medians["diverged"] < medians["runs"])]
        if usable.empty:
            raise ValueError(f"best: no setting has a {metric}: all diverged or were stopped, or nothing validates")
        order = usable[metric].argmax() if metric == "val_accuracy" else usable[metric].argmin()
        return usable.iloc[int(order)]

    def plot(self, *columns: str, metric: str = "val_loss", title: str | None = None) -> Figure:  # type: ignore[override]
        """The U-curve over one hyperparameter, with quartiles over the seeds, or the heat map over two.

        Args:
            columns: which one or two; default: those that vary. The others count like seeds.
            metric: ``"val_loss"``, ``"loss"`` or ``"val_accuracy"``.
            title: the message of the figure.
        """
        one_of("metric", metric, METRICS)
        names = list(columns) or self.varying()
        self._check_columns("plot", names)
        if len(names) > 2:
            raise ValueError(f"plot: {len(names)} hyperparameters vary; say which one or two: plot('lr', {names[1]!r})")
        table = pd.DataFrame(self)
        if len(names) == 1:
            return _sweep_plots.curve(table, names[0], metric, title)
        return _sweep_plots.heat_map(table, (names[0], names[1]), metric, title)

    def model(self, row: int) -> nn.Module:
        """The trained network of one run, in inference mode, with the weights it ended with.

        Raises:
            ValueError: if the weights were not kept.
        """
        self._check_row(row)
        kept = self._weights[row]
        if kept is None:
            raise ValueError("model: the weights of this run were not kept: sweep(..., keep_weights=True), to its end")
        network = self._job.network(self._plan.rows[row].seed)
        weights = trainable(network)
        with torch.no_grad():
            pieces = kept[0].split([weight.numel() for weight in weights])
            for weight, piece in zip(weights, pieces, strict=True):
                weight.copy_(piece.view_as(weight))
            for buffer, saved in zip(network.buffers(), kept[1:], strict=False):
                buffer.copy_(saved)
        return network.train(False)

    def run(self, row: int) -> Run:
        """A `Run` with the settings of one row, at step 0: to train it again and look at it more closely."""
        self._check_row(row)
        return self._job.run(self._plan.rows[row])

    def _check_columns(self, purpose: str, names: list[str]) -> None:
        if unknown := [name for name in names if name not in self._plan.columns]:
            known = ", ".join(self._plan.columns)
            raise ValueError(f"{purpose}: {unknown[0]!r} does not vary in this sweep; what does: {known}")

    def _check_row(self, row: int) -> None:
        if isinstance(row, bool) or not isinstance(row, (int, np.integer)) or not 0 <= row < len(self):
            raise ValueError(f"row must be a number from 0 to {len(self) - 1}, as in the table's index; got {row!r}")


def _check(steps: Any, how: Any, max_memory: Any, executor: Any, on_progress: Any) -> None:
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ValueError(f"steps must be a whole number of at least 1; got {steps!r}")
    one_of("how", how, METHODS)
    if max_memory is not None and (isinstance(max_memory, bool) or not max_memory > 0):
        raise ValueError(f"max_memory must be a number of bytes greater than 0, such as 2**30; got {max_memory!r}")
    if executor is not None and not isinstance(executor, Executor):
        raise TypeError(
            f"executor must be a concurrent.futures.Executor, got {type(executor).__name__}; "
            "of a Dask client, give client.get_executor()"
        )
    if on_progress is not None and not callable(on_progress):
        raise TypeError(f"on_progress must be a function of one argument; got {on_progress!r}")


def _at_the_end(ledger: Ledger, tail: int) -> np.ndarray:
    """The mean loss ``[R]`` over the last ``tail`` steps that each run made."""
    made = zip(ledger.losses, ledger.made, strict=True)
    return np.array([losses[max(0, last - tail) : last].mean() if last else math.nan for losses, last in made])
