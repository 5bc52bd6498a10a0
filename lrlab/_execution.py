"""How the runs of a sweep are carried out: as a stack or one after the other, in chunks that fit into memory."""

from __future__ import annotations

import contextlib
import copy
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.data import DataLoader

from lrlab._ledger import Ledger
from lrlab._points import Row, rates, stacked
from lrlab.batched import CompiledRuns, NotBatchable, Runs, Stack, can_compile, check_fixed_parts
from lrlab.configuration import Material, Setup
from lrlab.engine import FlatEngine, flatten, trainable
from lrlab.factors import factor_vector
from lrlab.run import Run

LOOK_EVERY = 0.2  # seconds between two reports
GIB = 2**30


@dataclass(frozen=True)
class Job:
    """What all runs of a sweep have in common."""

    setup: Setup
    material: Material
    steps: int
    validate_every: int
    keep_weights: bool

    def validation_steps(self) -> list[int]:
        """After how many steps a run is validated: as `Run` does it, and at the end in any case."""
        if not self.validate_every:
            return [self.steps]
        return sorted({*range(0, self.steps + 1, self.validate_every), self.steps})

    def run(self, row: Row, **options: Any) -> Run:
        """A `Run` of its own with the settings of one row, at step 0."""
        given, knobs = self.setup.given, row.knobs
        settings: dict[str, Any] = {
            **{key: given[key] for key in ("device", "dtype", "loss", "per", "validation")},
            **{"rule": knobs.rule, "lr": knobs.lr, "weight_decay": knobs.weight_decay, "seed": row.seed},
            **{"batch_size": knobs.batch_size, "validate_every": self.validate_every, "penalty": knobs.penalty},
            **{"stopping": self.setup.stopping, "factors": given["factors"]},
        }
        data = given["data"] if self.material.dataset is None else self.material.dataset
        return Run(self._own_model(), data, **{**settings, **options})

    def _own_model(self) -> Any:
        """The model as `Run` takes it: a module would be trained in place, so each run gets a copy."""
        model = self.setup.given["model"]
        return copy.deepcopy(model) if isinstance(model, nn.Module) else model

    def network(self, seed: int) -> nn.Module:
        """The network with the first weights of this seed."""
        return Setup(**{**self.setup.given, "seed": seed}).build_model(self.material)

    def stack(self, seeds: Sequence[int]) -> Stack:
        """The batched form of the network.

        Raises:
            NotBatchable: if there is none.
        """
        if isinstance(self.material.train, DataLoader):
            raise NotBatchable("the data comes from a DataLoader")
        model = self.network(seeds[0])
        stack = Stack(model, self.setup.loss_function, self.material.two_samples())
        if list(model.buffers()) or not all(weight.requires_grad for weight in model.parameters()):
            check_fixed_parts([model, *(self.network(seed) for seed in seeds[1:])])
        return stack


# Carrying out ---------------------------------------------------------------------------------------------------------


class Chunk:
    """Some runs of one batch size, trained together."""

    def __init__(self, job: Job, rows: Sequence[Row], stack: Stack, kind: type[Runs] = Runs) -> None:
        self.job, material = job, job.material
        seeds = list(dict.fromkeys(row.seed for row in rows))
        starts = torch.stack([flatten([w.detach() for w in trainable(job.network(seed))]) for seed in seeds])
        seed_number = torch.tensor([seeds.index(row.seed) for row in rows], device=material.device)
        self.seed_number = None if len(seeds) == 1 else seed_number
        self.size = rows[0].knobs.batch_size
        self.batches = [material.batches(seed) for seed in seeds]
        rule = stacked([row.knobs.rule for row in rows if row.knobs.rule], material.device, material.dtype)
        penalties = [row.knobs.penalty for row in rows if row.knobs.penalty]
        penalty = stacked(penalties, material.device, material.dtype) if penalties else None
        decays = torch.tensor([row.knobs.weight_decay for row in rows], dtype=material.dtype, device=material.device)
        decay = decays.unsqueeze(1) if bool(decays.any()) else 0.0
        factors = job.setup.given["factors"]
        named = [(name, weight) for name, weight in stack.model.named_parameters() if weight.requires_grad]
        factor = factor_vector(named, factors) if factors else None
        self.runs = kind(stack, starts[seed_number], rule, decay, penalty, factor)
        table = rates(rows, job.steps, job.setup.per, self.batches[0].steps_per_epoch(self.size))
        self.rates = table.to(material.device, material.dtype).unsqueeze(2)  # [steps, R, 1]
        self.done = 0

    def step(self) -> Tensor:
        """One step of every run; the losses ``[R]``."""
        inputs, targets = self._next_batch()
        losses = self.runs.step(inputs, targets, self.rates[self.done], self.seed_number is not None)
        self.done += 1
        return losses

    def _next_batch(self) -> tuple[Tensor, Tensor]:
        """Runs of one seed share a mini-batch; of several seeds, each gets its own."""
        pairs = [batches.next(self.size) for batches in self.batches]
        if self.seed_number is None:
            return pairs[0]
        inputs, targets = (torch.stack(parts) for parts in zip(*pairs, strict=True))
        if len(pairs) == len(self.seed_number):
            return inputs, targets  # the order of the seeds is that of the rows
        return inputs[self.seed_number], targets[self.seed_number]

    def validate(self) -> tuple[np.ndarray, np.ndarray]:
        """Loss and accuracy ``[R]`` on the validation split; NaN where there is none."""
        split = self.job.material.validation
        if split is None:
            nothing = np.full(len(self.runs.x), math.nan)
            return nothing, nothing
        losses, accuracies = self.runs.evaluate(*split, at_once=max(64, 2 * self.size))
        return losses.double().cpu().numpy(), accuracies.double().cpu().numpy()


def train_together(job: Job, chunk: Chunk, numbers: Sequence[int], ledger: Ledger) -> None:
    """Train a chunk to its end, and write what happens into the ledger under these numbers."""
    runs = len(numbers)  # a compiled chunk may have more, to fill it up
    losses = torch.empty(job.steps, len(chunk.runs.x), dtype=job.material.dtype, device=job.material.device)
    checks = set(job.validation_steps())
    watch = Watch(job, chunk, numbers, ledger)
    reported, look = 0, time.perf_counter() + LOOK_EVERY
    while True:
        due = chunk.done in checks
        if due or time.perf_counter() > look:
            ledger.log(numbers, reported, losses[reported : chunk.done, :runs].T.double().cpu().numpy())
            reported, look = chunk.done, time.perf_counter() + LOOK_EVERY
        if due:
            found = [values[:runs] for values in chunk.validate()]
            ledger.validated(numbers, chunk.done, *found)
            watch.observe(*found)
        if chunk.done == job.steps or ledger.over(numbers).all():
            break
        step = chunk.done
        losses[step] = chunk.step()
    watch.close()
    ledger.finish(numbers, [[x] for x in chunk.runs.x[:runs].cpu()] if job.keep_weights else None)


class Watch:
    """The early stopping of the runs of a chunk: what `Run` does for one, for each of them."""

    def __init__(self, job: Job, chunk: Chunk, numbers: Sequence[int], ledger: Ledger) -> None:
        self.job, self.chunk, self.numbers, self.ledger = job, chunk, numbers, ledger
        self.stopping = job.setup.stopping
        if self.stopping is not None:
            self.states = [self.stopping.init() for _ in numbers]
            self.best = chunk.runs.x.clone()

    def observe(self, losses: np.ndarray, accuracies: np.ndarray) -> None:
        """Show the validations ``[R]`` made just now to each run that still goes on; end those that have had enough."""
        step = self.chunk.done
        if self.stopping is None or step % self.job.validate_every:
            return
        for run in np.flatnonzero(~self.ledger.over(self.numbers)).tolist():
            metric = self.stopping.metric(losses[run], accuracies[run])
            state = self.states[run] = self.stopping.observe(metric, self.states[run])
            if state["bad"] == 0:
                self.best[run] = self.chunk.runs.x[run]
            elif state["stop"]:
                back = self.stopping.restore_best and state["best"] is not None
                self.chunk.runs.freeze(run, (self.best if back else self.chunk.runs.x)[run])
                self.ledger.ended[self.numbers[run]] = step

    def close(self) -> None:
        """Validate the weights that the stopped runs ended with."""
        if self.stopping is not None:
            found = [values[: len(self.numbers)] for values in self.chunk.validate()]
            self.ledger.validated(self.numbers, self.job.steps, *found)


def train_alone(job: Job, row: Row, number: int, ledger: Ledger) -> None:
    """Train one row as a `Run`, and write what happens into the ledger under its number."""
    run = job.run(row, checkpoint_mb=0)
    reported, look = 0, time.perf_counter() + LOOK_EVERY
    for record in run.steps(job.steps):
        if time.perf_counter() > look:
            ledger.log([number], reported, run.history.since(reported)["loss"][None])
            reported, look = record.step, time.perf_counter() + LOOK_EVERY
    ledger.log([number], reported, run.history.since(reported)["loss"][None])
    checks = run.history.validation_since(0)
    for step, loss, accuracy in zip(*checks.values(), strict=True):
        ledger.validated([number], int(step), np.array([loss]), np.array([accuracy]))
    if run.stopped:
        ledger.ended[number] = run.step
    validated = job.steps in checks["val_step"] and not run.stopped
    if run.status == "done" and not validated and job.material.validation is not None:
        loss, accuracy = run.evaluate(job.material.validation)
        ledger.validated([number], job.steps, np.array([loss]), np.array([accuracy]))
    weights = flatten([weight.detach() for weight in run._engine.weights])
    kept = [tensor.cpu() for tensor in (weights, *run.model.buffers())]
    ledger.finish([number], [kept] if job.keep_weights else None)


def train(
    job: Job, rows: Sequence[Row], numbers: Sequence[int], how: str, max_memory: int | None, ledger: Ledger
) -> tuple[str, str]:
    """Train these rows in chunks; how it was done, and why so."""
    budget = default_memory(job.material.device) if max_memory is None else max_memory
    method = choose(job, rows, how, budget)
    if method.stack is None:
        for row, number in zip(rows, numbers, strict=True):
            train_alone(job, row, number, ledger)
        return method.how, method.why
    parts = list(chunks(job, rows, method.size, budget))
    full = max(len(part) for part in parts)
    for part in parts:
        chosen = [rows[index] for index in part]
        if method.how == "compiled":  # another size would have to be compiled anew
            chunk = Chunk(job, chosen + chosen[-1:] * (full - len(part)), method.stack, CompiledRuns)
        else:
            chunk = Chunk(job, chosen, method.stack)
        train_together(job, chunk, [numbers[index] for index in part], ledger)
    return method.how, method.why


# Chunks and memory ----------------------------------------------------------------------------------------------------


def chunks(job: Job, rows: Sequence[Row], size: int, budget: int) -> Iterator[list[int]]:
    """Cut the rows into chunks of one batch size, at most ``size`` each and within the budget of bytes.

    Rows of one seed share their mini-batches, so where there are enough of them they get chunks of their own.
    """
    for batch_size in dict.fromkeys(row.knobs.batch_size for row in rows):
        group = [index for index, row in enumerate(rows) if row.knobs.batch_size == batch_size]
        seeds = list(dict.fromkeys(rows[index].seed for index in group))
        by_seed = [[index for index in group if rows[index].seed == seed] for seed in seeds]
        most = max(1, min(size, budget // bytes_per_run(job, rows[group[0]])))
        for part in by_seed if len(by_seed[0]) >= min(most, 16) else [group]:
            for piece in np.array_split(part, math.ceil(len(part) / most)):
                yield piece.tolist()


def bytes_per_run(job: Job, row: Row) -> int:
    """The memory that one step of one run asks for, counted: an upper bound of what it holds at any moment."""
    inputs, targets = job.material.batches(row.seed).next(row.knobs.batch_size)
    assert row.knobs.rule is not None
    model, loss = job.setup.build_model(job.material), job.setup.loss_function
    engine = FlatEngine(model, loss, row.knobs.rule, 1e-4, row.knobs.penalty)
    kept = engine.x.nbytes + sum(tensor.nbytes for tensor in engine.state.values())
    with _Allocations() as allocations:
        engine.propose(inputs, targets, 1e-9)
        engine.accept()
    return kept + allocations.bytes


class _Allocations(TorchDispatchMode):
    """Counts the bytes of every tensor that an operation makes, views left out."""

    bytes = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        given = {leaf.untyped_storage().data_ptr() for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor) and leaf.untyped_storage().data_ptr() not in given:
                self.bytes += leaf.nbytes
        return result


def default_memory(device: torch.device) -> int:
    """Bytes that a sweep may use if nobody says otherwise: more runs at once than these hold would not be faster."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] // 2
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not every system says
        free = 4 * GIB
    return min(GIB, free // 4)


# Choosing -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Method:
    """How to train: ``"batched"``, ``"compiled"`` or ``"looped"``; at most how many runs at once; why so; the form."""

    how: str
    size: int
    why: str
    stack: Stack | None = None


def choose(job: Job, rows: Sequence[Row], how: str, budget: int) -> Method:
    """The method that was asked for, or the one that is fastest here.

    Raises:
        ValueError: ``how="batched"`` or ``"compiled"`` where it is not possible.
    """
    if how == "looped":
        return Method("looped", 1, "looped, as asked for")
    sizes = SIZES[job.material.device.type == "cpu"]
    try:
        stack = job.stack(list(dict.fromkeys(row.seed for row in rows)))
    except NotBatchable as reason:
        if how != "auto":
            raise ValueError(f"how={how!r} is not possible for this network: {reason}; use how='looped'") from None
        return Method("looped", 1, f"looped: the network cannot be trained as a stack, because {reason}")
    if how == "compiled" and not can_compile():
        raise ValueError("how='compiled' needs a C++ compiler, g++ or clang++: install one, or use how='batched'")
    if how != "auto":
        return Method(how, sizes[-1], f"{how}, as asked for", stack)
    if len(rows) == 1:
        return Method("looped", 1, "looped: there is only one run")
    if job.steps < TRIAL:
        return Method("batched", sizes[0], "batched: too few steps to try what is faster", stack)
    return _fastest(job, rows, stack, sizes, budget)


def _fastest(job: Job, rows: Sequence[Row], stack: Stack, sizes: Sequence[int], budget: int) -> Method:
    """Try a few steps of each."""
    with contextlib.closing(job.run(rows[0], checkpoint_mb=0, validate_every=0).steps(job.steps)) as steps:
        alone = _speed(lambda: next(steps).loss, 1, job.steps // TRIAL)
    size, together = 0, 0.0
    for candidate in sizes:
        part = [rows[index] for index in next(chunks(job, rows, candidate, budget))]
        speed = _speed(Chunk(job, part, stack).step, len(part), job.steps // TRIAL)
        if speed < 1.05 * together:
            break
        size, together = len(part), speed
        if len(part) < candidate or candidate >= len(rows):
            break
    measured = f"{together:,.0f} steps/s batched ({size} runs at once), {alone:,.0f} one by one"
    if together < alone:
        return Method("looped", 1, f"looped: {measured}")
    seconds = len(rows) * job.steps / together
    if not _compiling_pays(seconds):
        return Method("batched", size, f"batched: {measured}; too short a sweep to compile", stack)
    part = [rows[index] for index in next(chunks(job, rows, size, budget))]
    try:
        start = time.perf_counter()
        chunk = Chunk(job, part, stack, CompiledRuns)
        float(chunk.step()[0])
        _compile_seconds[0] = time.perf_counter() - start
        speed = _speed(chunk.step, len(part), job.steps // TRIAL)
    except Exception as error:  # a compiler may fail in any way; the sweep does not need it
        return Method("batched", size, f"batched: {measured}; compiling failed ({str(error).splitlines()[0]})", stack)
    measured = f"{speed:,.0f} steps/s compiled, {measured}"
    return Method(*("compiled" if speed > together else "batched", size), f"{measured}", stack)


TRIAL = 20  # a trial takes at most one step in so many
SIZES = {True: (16, 64), False: (64, 256, 1024)}  # runs at once to try, on a CPU and on a GPU: more gained nothing
_compile_seconds = [10.0]  # what compiling took the last time; inductor keeps its results, so a second time is cheaper


def _compiling_pays(seconds: float) -> bool:
    """Whether a sweep that takes so long is worth compiling, if compiled code is a third faster, as a rule."""
    return can_compile() and seconds * (1 - 1 / 1.33) > 1.5 * _compile_seconds[0]


def _speed(step: Callable[[], Any], runs: int, most: int) -> float:
    """Steps of one run per second: the best of three rounds, after a first step that does not count."""
    float(torch.as_tensor(step()).flatten()[0])
    times = []
    for _ in range(3):
        count, start = 0, time.perf_counter()
        while count < max(1, min(10, most // 4)):
            loss = step()
            count += 1
        float(torch.as_tensor(loss).flatten()[0])  # on a GPU, steps are only queued until somebody looks
        times.append((time.perf_counter() - start) / count)
    return runs / min(times)
