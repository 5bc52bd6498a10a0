"""The run: one network, one data set, one loop, and knobs that may be turned while it goes round."""

from __future__ import annotations

import contextlib
import copy
import difflib
import math
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from lrlab import _store, moves
from lrlab.batches import Batches, seed_of
from lrlab.checkpoints import Checkpoints
from lrlab.configuration import Data, Material, Model, Setup, accuracy_of, check_output, draws_random_numbers
from lrlab.data import Dataset, Split
from lrlab.engine import Loss, TorchEngine
from lrlab.factors import Factors, train_mode
from lrlab.history import FETCH_EVERY, VALIDATION_COLUMNS, History
from lrlab.knobs import Knobs, check_number
from lrlab.moves import Move
from lrlab.regularization import EarlyStopping, Penalty
from lrlab.rules import Rule
from lrlab.schedules import Plateau, Schedule

FILE_KIND = "an lrlab run 1"
EVALUATE_AT_ONCE = 2048  # samples: bounds the memory of a validation, whatever the size of the split


class Record(NamedTuple):
    """One step that was made: its number (from 1), epochs done before it, the applied learning rate, the loss.

    On a GPU ``loss`` is a tensor that still lies there; ``float(record.loss)`` waits for it.
    """

    step: int
    epoch: float
    lr: float
    loss: float | Tensor


class Run:
    """A network in training: step it, turn its knobs, go back, branch off, save.

    One step draws a mini-batch, computes its loss and gradient, and lets the rule move the weights::

        g ← ∇L(x) + λ x          x, state ← rule.step(x, g, state, α)

    Whatever happens in a run is a function of its configuration, its seed and its `moves`: the order of the data and
    every random number are made from ``(seed, epoch)`` and ``(seed, step)``. So on the CPU, with the same number of
    threads, a replay gives bitwise the same weights and history, and `rewind` reaches any step.

    Args:
        model: a name (``"mlp"``, ``"cnn"``, ``"resnet18"``), a function that makes a module, or a module, which is
            then trained in place.
        data: a name (see `lrlab.data.load`), a `Dataset`, a pair ``(x, y)`` (a fifth of it is kept
            for validation), or a DataLoader.
        rule: the update rule. Not with ``optimizer``.
        lr: the learning rate α, greater than 0; a `Schedule`; or a `Plateau`, which observes each validation (its loss,
            or its accuracy with ``mode="max"``), the one before the first step included: its patience and cooldown
            count validations, whatever ``per`` says. Default: 0.1, or what ``optimizer`` came with.
        batch_size: samples per step.
        weight_decay: λ ≥ 0 of the L2 penalty ½λ‖x‖² (per step, added to the gradient, as torch does). A rule that has
            its own, like AdamW, takes this one over.
        penalty: λR(W) of `lrlab.regularization`, added to the loss that is descended; the loss that is reported is
            that of the data alone, so that it can be compared with validation. Its λ is the knob ``lam``.
        factors: learning-rate multipliers by layer, module path to factor: ``{"stem": 0, "layer1": 0.1}``. A weight's
            rate is ``lr`` times the factor of the longest path that it lies under, or times 1. With the factor 0 it is
            frozen: it does not move, costs no gradient, and a frozen batch normalisation keeps its running statistics.
            One knob, ``run.factors = {...}``; when other weights are frozen than before, the rule's memory begins anew.
        augment: what changes each mini-batch at random, on the device, as a function of seed and step: a
            `lrlab.augmentation.Pipeline`, ``Mixup()``, ``CutMix()``, a function ``(x, y, seed) -> (x, y)`` of your own,
            or a tuple of these. Validation is never changed, so training and validation loss are of different pictures.
        seed: a whole number; fixes the first weights (``torch.manual_seed(seed)``), data order and dropout masks.
        device: ``"auto"`` (CUDA if there is one), ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``.
        dtype: ``"float32"`` or ``"float64"``.
        loss: ``"cross_entropy"``, ``"hinge"``, ``"mse"``, or a function ``(outputs, targets) -> scalar``.
        per: the unit of a schedule's time: ``"step"``, or ``"epoch"`` (whole epochs done).
        validate_every: steps between validations; None: once an epoch; 0: never.
        stopping: `lrlab.regularization.EarlyStopping`: it observes the validations and ends the run; with
            ``restore_best`` the run then stands on its best weights. Training on goes to the next bad validation.
        validation: ``(x, y)`` or a DataLoader to validate on, when ``data`` brings no validation split of its own.
        optimizer: a torch optimizer class or factory, called with the list of parameters. It replaces ``rule``.
        compile: compile the whole step with ``torch.compile``: seconds once, then about twice the speed.
        checkpoint_mb: memory for the snapshots that make `rewind` quick, in MB.

    Raises:
        ValueError or TypeError: for any argument outside what is said here; the message names it.

    >>> from lrlab import Run, rules
    >>> run = Run("mlp", "digits", rule=rules.Momentum(rho=0.9), lr=0.1, batch_size=64, seed=0)
    >>> run.train(steps=20, progress=False).status
    'done'
    >>> run.lr = 0.02
    >>> run.train(steps=20, progress=False).moves
    [(20, 'lr', 0.02)]
    """

    def __init__(
        self,
        model: Model,
        data: Data,
        *,
        rule: Rule | str | None = None,
        lr: float | Schedule | Plateau | None = None,
        batch_size: int | None = None,
        weight_decay: float = 0.0,
        penalty: Penalty | None = None,
        factors: Mapping[str, float] | None = None,
        augment: Any = None,
        seed: int = 0,
        device: str | torch.device = "auto",
        dtype: str | torch.dtype = "float32",
        loss: str | Loss = "cross_entropy",
        per: str = "step",
        validate_every: int | None = None,
        stopping: EarlyStopping | None = None,
        validation: tuple[Any, Any] | DataLoader | None = None,
        optimizer: Callable[[list[nn.Parameter]], torch.optim.Optimizer] | None = None,
        compile: bool = False,
        checkpoint_mb: float = 256,
    ) -> None:
        given = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        own_module = model if isinstance(model, nn.Module) else None
        if own_module is not None:
            given["model"] = copy.deepcopy(model)  # its weights as they are now, to start from again
        self._setup = Setup(**given)
        self._begin(self._setup.data_in_place(), own_module)

    def _begin(self, material: Material, own_module: nn.Module | None = None) -> None:
        """Step 0: build the model, the first knobs and the engine on data that is in place."""
        setup = self._setup
        self._material = material
        self._batches: Batches = material.batches(setup.seed)
        if own_module is None:
            self._model = setup.build_model(material)
        else:
            self._model = own_module.to(material.device, material.dtype)
        check_output(self._model, setup.loss_function, material)
        if setup.stopping is not None:
            self._validation_split()  # or the error that says there is none
        self._engine, self._first_knobs = setup.build_engine(self._model, self._batches)
        self._knobs = self._planned = self._first_knobs
        self._validate_every = setup.validate_every
        self._check_plateau(self._first_knobs)
        self._stochastic = draws_random_numbers(self._model)
        self._reads_every_loss = material.device.type == "cpu"
        self._step = 0
        self._status = "ready"
        self._error: BaseException | None = None
        self._whole = True  # False while a step is half made
        self._history = History()
        self._moves: list[Move] = []
        self._plateau: dict[str, Any] = {}
        self._observe_again()
        self._waiting: deque[tuple[str, Any]] = deque()  # turned, and not yet at work
        self._script: deque[Move] = deque()  # moves of a log that is being replayed
        self._turning = threading.Lock()
        self._stopped = False  # early, just now
        self._best: dict[str, Any] | None = None  # the engine at the best validation so far
        self._patience = {} if setup.stopping is None else setup.stopping.init()
        self._checkpoints = Checkpoints(setup.checkpoint_mb)
        self._checkpoints.keep(0, self._snapshot())

    # What the run is -------------------------------------------------------------------------------------------------

    @property
    def model(self) -> nn.Module:
        """The network. Its weights change as the run trains; do not write to them."""
        return self._model

    @property
    def dataset(self) -> Dataset | None:
        """The data set, or None for a DataLoader."""
        return self._material.dataset

    @property
    def device(self) -> torch.device:
        """Where the weights and the data are."""
        return self._material.device

    @property
    def parameters(self) -> int:
        """P, the number of trainable weights, with those that `factors` freezes."""
        return sum(weight.numel() for weight in self._engine.weights)

    @property
    def title(self) -> str:
        """Model and data in a few words, such as ``"mlp on digits"``."""
        return f"{self._setup.model_name} on {self._material.name}"

    @property
    def status(self) -> str:
        """``ready``, ``running``, ``paused``, ``done``, ``diverged`` (the loss is not finite) or ``failed``."""
        return self._status

    @property
    def error(self) -> BaseException | None:
        """The exception that ended a failed run."""
        return self._error

    @property
    def step(self) -> int:
        """Steps made."""
        return self._step

    @property
    def epoch(self) -> float:
        """Epochs done, with their fraction."""
        return self._batches.epoch + self._batches.position / len(self._batches)

    @property
    def seed(self) -> int:
        """The seed this run was made with."""
        return self._setup.seed

    @property
    def history(self) -> History:
        """What happened at each step; see `History`."""
        return self._history

    @property
    def moves(self) -> list[Move]:
        """Every turn of a knob as ``(step, knob, value)``: before step number ``step``, counted from 0."""
        return list(self._moves)

    @property
    def config(self) -> dict[str, Any]:
        """All that makes this run again, with ``"steps"``, the steps made. `Run.replay` takes it, JSON too.

        Things that have no name (your own module, tensors or functions) stand in it as they are.
        """
        return {**self._setup.config(self._first_knobs), "steps": self._step}

    @property
    def checkpoints(self) -> Checkpoints:
        """The snapshots kept for `rewind`."""
        return self._checkpoints

    def __repr__(self) -> str:
        return f"Run({self.title}, step {self._step}, {self._status})"

    # The knobs -------------------------------------------------------------------------------------------------------

    @property
    def knobs(self) -> dict[str, Any]:
        """The numeric knobs and their values from the next step on; ``lr`` is the rate of that step."""
        planned = self._planned
        numeric = [name for name in planned.names() if name not in ("rule", "penalty", "factors")]
        values = {name: planned.value_of(name) for name in numeric}
        return {**values, "lr": self._rate(planned)}

    @property
    def rule(self) -> Rule | None:
        """The rule of the next step; None when a torch optimizer does the steps."""
        return self._planned.rule

    @property
    def stopped(self) -> bool:
        """Whether the early stopping has just ended the run."""
        return self._stopped

    @property
    def best_step(self) -> int | None:
        """The step of the best validation that the early stopping has seen; None while there is none."""
        seen = self._patience.get("best_at", 0)
        return int(self._history["val_step"][seen - 1]) if seen else None

    @property
    def penalty(self) -> Penalty | None:
        """The penalty of the next step, or None."""
        return self._planned.penalty

    @property
    def factors(self) -> Factors:
        """The learning-rate multipliers of the next step, module path to factor."""
        return dict(self._planned.factors)

    @property
    def schedule(self) -> Schedule | Plateau | None:
        """The schedule or plateau that the learning rate follows, or None where it is a number."""
        return self._planned.lr if isinstance(self._planned.lr, (Schedule, Plateau)) else None

    def turn(self, knob: str, value: Any) -> None:
        """Turn a knob; it takes effect at the next step and is then written to `moves`. Any thread may call this.

        Args:
            knob: ``"lr"`` (a number, a schedule or a plateau), ``"batch_size"``, ``"weight_decay"``, ``"rule"`` (a rule
                or its name), ``"penalty"``, ``"factors"``, or a hyperparameter of the rule or penalty (``"rho"``).
            value: the new value.

        Raises:
            ValueError or TypeError: for an unknown knob or a value it does not accept; nothing changes then.
        """
        with self._turning:
            planned = self._planned.turned(knob, value)
            self._check_plateau(planned)
            self._waiting.append((knob, planned.value_of(knob)))
            self._planned = planned
        if self._status != "running":
            self._apply_turns()

    def __setattr__(self, name: str, value: Any) -> None:
        """``run.lr = 0.02`` turns the knob of that name; other public names are refused, so that a typo is noticed."""
        if name.startswith("_"):
            object.__setattr__(self, name, value)
        elif isinstance(getattr(type(self), name, None), property) and name not in self._planned.names():
            raise AttributeError(f"run.{name} cannot be set; the knobs are {', '.join(self._planned.names())}")
        elif name in self._planned.names():
            self.turn(name, value)
        else:
            near = difflib.get_close_matches(name, self._planned.names(), 1)
            hint = f"; did you mean {near[0]!r}" if near else ""
            raise AttributeError(f"a run has no knob {name!r}{hint}? It has: {', '.join(self._planned.names())}")

    def __getattr__(self, name: str) -> Any:
        """``run.lr``, ``run.rho``: the value of a knob. Only called for names that are nothing else."""
        if not name.startswith("_") and name in self._planned.names():
            return self.knobs[name]
        raise AttributeError(f"a run has no attribute {name!r}")

    def _rate(self, knobs: Knobs) -> float:
        if isinstance(knobs.lr, Schedule):
            return knobs.lr(self._step if self._setup.per == "step" else self._batches.epoch)
        if isinstance(knobs.lr, Plateau):
            return self._plateau["lr"] if knobs.lr == self._knobs.lr else knobs.lr.lr  # one just turned to begins anew
        return knobs.lr

    def _check_plateau(self, knobs: Knobs) -> None:
        if not isinstance(knobs.lr, Plateau):
            return
        if self._validate_every == 0:
            raise ValueError("lr=Plateau(...) observes validations, but validate_every=0 makes none: leave it out")
        if self._validation_split().y.is_floating_point() and knobs.lr.mode == "max":
            raise ValueError('Plateau(mode="max") observes an accuracy, but these targets are no classes: mode="min"')

    def _observe(self, step: int, loss: float, accuracy: float) -> None:
        """Show a validation made after ``step`` steps to the plateau, if it was at work before."""
        plateau = self._knobs.lr
        if isinstance(plateau, Plateau) and step >= self._plateau_from:
            self._plateau = plateau.observe(loss if plateau.mode == "min" else accuracy, self._plateau)

    def _observe_again(self) -> None:
        """What plateau and stopping remember, from the history: nothing else carries it, so nothing can disagree."""
        turned = [step for step, knob, _ in self._moves if knob == "lr"]
        self._begin_plateau(turned[-1] + 1 if turned else 0)
        stopping = self._setup.stopping
        self._patience = {} if stopping is None else stopping.init()
        if self._plateau or stopping is not None:
            checks = self._history.validation_since(0)
            for step, loss, accuracy in zip(*(checks[name].tolist() for name in VALIDATION_COLUMNS), strict=True):
                self._observe(step, loss, accuracy)
                if stopping is not None:
                    self._patience = stopping.observe(stopping.metric(loss, accuracy), self._patience)

    def _watch(self, loss: float, accuracy: float) -> None:
        """Show a validation made just now to the early stopping; keep the best weights, or go back to them and stop."""
        stopping = self._setup.stopping
        if stopping is None:
            return
        self._patience = stopping.observe(stopping.metric(loss, accuracy), self._patience)
        self._stopped = self._patience["stop"]
        if not stopping.restore_best:
            return
        if self._patience["bad"] == 0:
            self._best = self._engine.snapshot()
        elif self._stopped and self._best is not None:
            self._engine.restore(self._best)

    def _begin_plateau(self, first: int) -> None:
        """A new state for the plateau, if there is one; it observes the validations after ``first`` steps or more."""
        self._plateau_from = first
        self._plateau = self._knobs.lr.init() if isinstance(self._knobs.lr, Plateau) else {}

    def _apply_turns(self) -> None:
        """Put into effect what was turned since the last step, and what the replayed log says for this one."""
        while self._script and self._script[0][0] <= self._step:
            _, knob, value = self._script.popleft()
            self._apply(knob, value)
        while self._waiting:
            self._apply(*self._waiting.popleft())
        self._engine_takes(self._knobs)

    def _apply(self, knob: str, value: Any) -> None:
        self._knobs = self._knobs.turned(knob, value)
        self._moves.append((self._step, knob, value))
        if knob == "lr":
            self._begin_plateau(self._step + 1)  # the validation at this step was made before it came

    def _engine_takes(self, knobs: Knobs) -> None:
        if isinstance(self._engine, TorchEngine):
            for name, value in knobs.settings.items():
                self._engine.turn(name, value)
        elif knobs.rule is not None:
            self._engine.weight_decay = knobs.weight_decay
            if knobs.rule is not self._engine.rule:
                self._engine.set_rule(knobs.rule)
            if knobs.penalty is not self._engine.penalty:
                self._engine.set_penalty(knobs.penalty)
            if knobs.factors != self._engine.factors:
                self._engine.set_factors(knobs.factors)
                if self._model.training:
                    train_mode(self._model)

    # The loop --------------------------------------------------------------------------------------------------------

    def steps(self, steps: int | None = None) -> Generator[Record, None, None]:
        """The loop: make steps, one at each turn of ``for record in run.steps(50)``.

        Args:
            steps: how many; None: until you stop asking.

        Yields:
            A `Record` per step. The loop ends early when the loss is not finite (``status == "diverged"``).

        Raises:
            RuntimeError: if the run is running already (in another thread), or has diverged: rewind it first.
        """
        if steps is not None and (isinstance(steps, bool) or not isinstance(steps, int) or steps < 0):
            raise ValueError(f"steps must be a whole number of at least 0, or None for no end; got {steps!r}")
        return self._loop(steps=steps)

    def _loop(self, steps: int | None = None, epochs: float | None = None) -> Generator[Record, None, None]:
        self._claim()
        last_step = math.inf if steps is None else self._step + steps
        half_a_step = 0.5 / self._batches.steps_per_epoch(self._knobs.batch_size)  # rounds a fraction of an epoch
        last_epoch = math.inf if epochs is None else self.epoch + epochs - half_a_step
        ended = "failed"
        try:
            if self._step == 0 and not len(self._history["val_step"]):
                self._log_validation()
            while self._step < last_step and self.epoch < last_epoch and self._status == "running":
                yield self._make_step()
                if self._stopped:
                    break
            self._settle()
            ended = "done" if self._status == "running" else self._status
        except (GeneratorExit, KeyboardInterrupt):
            ended = "paused" if self._status == "running" else self._status
            raise
        except BaseException as error:
            self._error = error
            raise
        finally:
            self._status = ended
            self._model.train(False)

    def _claim(self) -> None:
        with self._turning:
            if self._status == "running":
                raise RuntimeError("this run is running already, in another thread: pause it first, or train a branch")
            if self._status == "diverged":
                raise RuntimeError(
                    f"this run diverged at step {self._step}: its loss is not finite. "
                    "Go back with run.rewind(step), lower run.lr, and train again"
                )
            self._status, self._error = "running", None
        self._stopped = False
        self._mend()
        train_mode(self._model)

    def _mend(self) -> None:
        """If a step was cut in two (an interrupt, an error in the model), stand before it again."""
        if self._whole:
            return
        turned = [(knob, value) for step, knob, value in self._moves if step >= self._step]
        self._return_to(self._step)
        for knob, value in turned:
            self._planned = self._planned.turned(knob, value)
            self._waiting.append((knob, value))

    def _make_step(self) -> Record:
        if self._checkpoints.due(self._step):
            self._checkpoints.keep(self._step, self._snapshot())
        if self._script or self._waiting:
            self._apply_turns()
        self._whole = False
        epoch, lr = self.epoch, self._rate(self._knobs)
        inputs, targets = self._batches.next(self._knobs.batch_size)
        loss = self._propose(inputs, targets, lr)
        value: float | Tensor = loss
        if self._reads_every_loss:
            value = loss.item()
            if not math.isfinite(value):
                self._status = "diverged"
        if self._status == "diverged":
            self._engine.reject()
        else:
            self._engine.accept()
        self._history.append(lr, value, epoch)
        self._step += 1
        self._whole = True
        self._after_step()
        return Record(self._step, epoch, lr, value)

    def _after_step(self) -> None:
        if not self._reads_every_loss and self._step % FETCH_EVERY == 0:
            self._settle()
        every = self._validate_every
        due = self._batches.position == 0 if every is None else every and self._step % every == 0
        if due and self._status == "running":
            self._log_validation()

    def _settle(self) -> None:
        """On a GPU losses are read late. Find a step that diverged meanwhile, and stand where it happened."""
        if self._reads_every_loss or self._status != "running":
            return
        losses = torch.from_numpy(self._history["loss"][-FETCH_EVERY:].copy())
        bad = (~torch.isfinite(losses)).nonzero()
        if len(bad):
            self._reads_every_loss = True  # now step by step, to stop exactly there
            try:
                self._return_to(len(self._history) - len(losses) + int(bad[0]) + 1)
            finally:
                self._reads_every_loss = False

    def _propose(self, inputs: Tensor, targets: Tensor, lr: float) -> Tensor:
        """Ask the engine for a step. What it draws is this step's own; the user's generators are left alone."""
        if not self._stochastic:
            return self._engine.propose(inputs, targets, lr)
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(seed_of(self.seed, "step", self._step))
            return self._engine.propose(inputs, targets, lr)

    def train(self, steps: int | None = None, *, epochs: float | None = None, progress: bool = True) -> Run:
        """Make steps, with a progress bar; returns the run.

        Args:
            steps: how many steps.
            epochs: or how many epochs. One of the two.
            progress: show the bar (on stderr).
        """
        if (steps is None) == (epochs is None):
            raise ValueError("say how long: train(steps=200) or train(epochs=5), one of the two")
        if steps is not None:
            records, total = self.steps(steps), steps
        else:
            check_number("epochs", epochs, lambda value: value > 0, "greater than 0")
            records = self._loop(epochs=epochs)
            total = round((epochs or 0) * self._batches.steps_per_epoch(self._knobs.batch_size))
        with contextlib.closing(records), tqdm(total=total, unit="step", disable=not progress, desc=self.title) as bar:
            for _ in records:
                bar.update()
        return self

    # Validation ------------------------------------------------------------------------------------------------------

    def validate(self) -> tuple[float, float]:
        """Loss and accuracy (a fraction; NaN where there are no classes) on the validation split, now."""
        self._come_to_rest("validate")
        return self.evaluate(self._validation_split())

    def evaluate(self, split: Split) -> tuple[float, float]:
        """Loss and accuracy on any ``(x, y)``, in inference mode."""
        was_training = self._model.training
        self._model.train(False)
        try:
            with torch.no_grad():
                outputs = torch.cat([self._model(part) for part in split.x.split(EVALUATE_AT_ONCE)])
                loss = self._setup.loss_function(outputs, split.y)
                return float(loss), accuracy_of(outputs, split.y)
        finally:
            if was_training:
                train_mode(self._model)

    def _validation_split(self) -> Split:
        if self._material.validation is None:
            raise ValueError("this run has no validation data: give Run(..., validation=(x, y))")
        return self._material.validation

    def _log_validation(self) -> None:
        if self._material.validation is not None and self._validate_every != 0:
            loss, accuracy = self.evaluate(self._material.validation)
            self._history.append_validation(self._step, loss, accuracy)
            self._observe(self._step, loss, accuracy)
            self._watch(loss, accuracy)

    # Going back, branching off ---------------------------------------------------------------------------------------

    def rewind(self, step: int) -> Run:
        """Go back to the moment when ``step`` steps were made: weights, rule state, data order, randomness, knobs.

        History and moves from there on are dropped; a run that goes on equals one that was never interrupted. To keep
        them, `branch` first. Returns the run.

        Raises:
            ValueError: for a step that lies beyond the run.
            RuntimeError: while the run is running.
        """
        self._come_to_rest("rewind")
        if isinstance(step, bool) or not isinstance(step, int) or not 0 <= step <= self._step:
            raise ValueError(f"rewind: step must be a whole number from 0 to {self._step} (steps made); got {step!r}")
        self._status, self._error = "running", None
        try:
            self._return_to(step)
        finally:
            self._status = "paused" if self._step else "ready"
        return self

    def _return_to(self, step: int) -> None:
        """Restore the nearest snapshot and make the steps from there again, with the moves of the log.

        The status must be "running".
        """
        start, snapshot = self._checkpoints.nearest(step)
        self._script = deque(move for move in self._moves if start <= move[0] < step)
        self._moves = [move for move in self._moves if move[0] < start]
        self._checkpoints.forget_after(step)
        self._history.truncate(start)
        self._restore(start, snapshot)
        train_mode(self._model)
        while self._step < step and self._status == "running":
            self._make_step()
        self._script.clear()
        self._planned = self._knobs
        self._model.train(False)

    def _snapshot(self) -> dict[str, Any]:
        place = (self._batches.epoch, self._batches.position)
        return {"place": place, "engine": self._engine.snapshot(), "best": self._best}

    def _restore(self, step: int, snapshot: Mapping[str, Any]) -> None:
        """Stand at ``step``, whose moves and history are in place already."""
        self._step, self._whole = step, True
        self._waiting.clear()
        self._knobs = self._planned = self._first_knobs.after(self._moves)
        self._observe_again()
        self._batches.seek(*snapshot["place"])
        self._engine_takes(self._knobs)
        self._engine.restore(snapshot["engine"])
        self._best = snapshot["best"]

    def branch(self, step: int | None = None) -> Run:
        """A new run that shares this one's past up to ``step`` (default: now) and nothing after.

        Raises:
            ValueError: for a step that lies beyond the run.
            RuntimeError: while the run is running.
        """
        self._come_to_rest("branch")
        child = self._branch(self._setup)
        child._status, child._error = self._status, self._error
        return child if step is None else child.rewind(step)

    def probe(self, purpose: str = "probe") -> Run:
        """A branch from this moment, also of a run that diverged, to measure something on and throw away.

        It makes the same steps, but validates nothing, reads each loss at once, and is not compiled: that would take
        longer than the few steps of a measurement.

        Args:
            purpose: who asks, for the error.

        Raises:
            RuntimeError: while the run is running.
        """
        self._come_to_rest(purpose)
        run = self._branch(self._setup.changed(compile=False))
        run._validate_every, run._reads_every_loss, run._status = 0, True, "paused"
        return run

    def _branch(self, setup: Setup) -> Run:
        child = self._begun(setup)
        child._history, child._moves = self._history.copy(), list(self._moves)
        child._checkpoints = self._checkpoints.copy()
        child._restore(self._step, self._snapshot())
        child._waiting, child._planned = self._waiting.copy(), self._planned  # of a step that failed and was undone
        return child

    def fresh(self, seed: int | None = None) -> Run:
        """A new run at step 0 with the first settings of this one, and another seed if one is given."""
        return self._begun(self._setup if seed is None else self._setup.changed(seed=seed))

    def _begun(self, setup: Setup) -> Run:
        run = Run.__new__(Run)
        run._setup = setup
        run._begin(self._material)
        return run

    def _come_to_rest(self, verb: str) -> None:
        """Refuse while another thread makes steps; otherwise stand on a whole step."""
        if self._status == "running":
            raise RuntimeError(f"{verb}: the run is running in another thread; pause first")
        before, self._status = self._status, "running"
        try:
            self._mend()
        finally:
            self._status = before

    # Files -----------------------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the run as it stands to one file (safetensors), whole or not at all.

        A model, data, loss or optimizer of your own is not in the file; `Run.load` asks for it.
        """
        self._come_to_rest("save")
        config = self._setup.nameable(self.config)
        contents = {
            "config": config,
            "moves": self._moves,
            "status": self._status,
            "snapshot": self._snapshot(),
            "history": self._history.to_tensors(),
            "data": self._material.fingerprint(),
        }
        return _store.save_tree(path, contents, FILE_KIND)

    @classmethod
    def load(cls, path: str | os.PathLike[str], **own: Any) -> Run:
        """The run that `save` wrote. Opening the file runs nothing that is in it.

        Args:
            path: the file.
            own: the parts that have no name: ``model=``, ``data=``, ``loss=``, ``optimizer=``, ``validation=``,
                ``augment=``.

        Raises:
            ValueError: if the file is damaged or no run, lacks a part you must give, or was made on other data.
        """
        saved = _store.load_tree(path, FILE_KIND)
        try:
            run = cls._from_config(saved["config"], own)
            if run._material.fingerprint() != saved["data"]:
                raise ValueError(f"{path} was saved on other data than {run._material.name} as it is here")
            run._moves = moves.check_moves(saved["moves"])
            run._history = History.from_tensors(saved["history"])
            run._restore(saved["config"]["steps"], saved["snapshot"])
            run._status = saved["status"]
        except (KeyError, RuntimeError) as error:
            raise ValueError(f"{path} does not fit: {error}") from None
        return run

    def save_moves(self, path: str | os.PathLike[str]) -> Path:
        """Write `config` and `moves` to a JSON file; `Run.load_moves` reads it."""
        return moves.save(path, self._setup.nameable(self.config), self._moves)

    @staticmethod
    def load_moves(path: str | os.PathLike[str]) -> tuple[dict[str, Any], list[Move]]:
        """``(config, moves)`` of a file that `save_moves` wrote, for `Run.replay`."""
        return moves.load(path)

    @classmethod
    def replay(
        cls, config: Mapping[str, Any], log: Iterable[Any], steps: int | None = None, progress: bool = False, **own: Any
    ) -> Run:
        """Make a run again from its configuration and its move log.

        Args:
            config: `Run.config`, also after a trip through JSON.
            log: `Run.moves`, likewise.
            steps: how many steps; default: as many as the configuration says.
            progress: show a bar.
            own: the parts that have no name, as for `load`.

        Returns:
            The run. On the CPU its weights and history are bitwise those of the first one.

        Raises:
            ValueError: for a damaged log, a knob this configuration does not have, or a move beyond the last step.
        """
        script = moves.check_moves(log)
        run = cls._from_config(config, own)
        steps = config.get("steps", 0) if steps is None else steps
        run._first_knobs.after(script)
        late = [move for move in script if move[0] > steps]
        if late:
            raise ValueError(f"the move {late[0]} lies beyond the {steps} steps of this replay; give a larger steps=")
        run._script = deque(script)
        while run.step < steps and run.status in ("ready", "done"):  # once more for each time it was stopped early
            run.train(steps - run.step, progress=progress)
        run._apply_turns()  # those after the last step
        run._planned = run._knobs
        return run

    @classmethod
    def _from_config(cls, config: Mapping[str, Any], own: Mapping[str, Any]) -> Run:
        return cls(**Setup.arguments(config, own))
