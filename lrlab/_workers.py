"""A sweep on other processes and machines: parts of it as tasks for any ``concurrent.futures.Executor``."""

from __future__ import annotations

import importlib.metadata
import math
import pickle
import threading
import warnings
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, as_completed
from typing import Any

import numpy as np

from lrlab import _execution
from lrlab._execution import Job
from lrlab._ledger import Ledger
from lrlab._points import Row
from lrlab.configuration import Setup

MOST_IN_A_PART = 16  # runs: beyond that, a stack hardly gains on a CPU, and parts are what workers share out
LEAST_PARTS = 4


class WorkerError(Exception):
    """Some parts failed on their workers."""


def train(
    job: Job, rows: Sequence[Row], numbers: Sequence[int], how: str, max_memory: int | None, ledger: Ledger,
    executor: Executor,
) -> tuple[str, str]:  # fmt: skip
    """Train these rows on the workers of an executor; how it was done, and why so.

    A part is entered into the ledger once, when it comes back whole. Dask gives the parts of a worker that died to
    another one. A process pool does not outlive the death of a worker: what it left is trained here.

    Raises:
        WorkerError: a worker lacks the package, or a part failed; every part that did not is in the ledger.
    """
    _check_workers(executor)
    size = min(MOST_IN_A_PART, math.ceil(len(rows) / LEAST_PARTS))
    given = {**job.setup.given, "validate_every": job.validate_every}
    futures: dict[Future, list[int]] = {}
    lost: list[int] = []
    for part in (piece.tolist() for piece in np.array_split(np.arange(len(rows)), math.ceil(len(rows) / size))):
        task = _packed((given, job.steps, job.keep_weights, [rows[index] for index in part], how, max_memory))
        try:
            futures[executor.submit(_train_part, task)] = part
        except BrokenExecutor:
            lost += part
    chosen: list[tuple[str, str]] = []
    errors: list[BaseException] = []
    try:
        for future in as_completed(futures):
            part = futures[future]
            try:
                result, books = pickle.loads(future.result())
            except BrokenExecutor:
                lost += part
            except Exception as error:  # whatever a worker may raise: the other parts go on
                errors.append(error)
            else:
                chosen.append(result)
                ledger.take([numbers[index] for index in part], books)
    finally:
        for future in futures:
            future.cancel()
    if errors:
        raise WorkerError(_explained(errors[0])) from errors[0]
    kind = f"{type(executor).__module__.partition('.')[0]} {type(executor).__name__}"
    if lost:
        warnings.warn(
            f"a worker process died and took its pool along; the {len(lost)} runs it left are trained in this process",
            RuntimeWarning,
            stacklevel=4,
        )
        lost.sort()
        left = [numbers[index] for index in lost]
        chosen.append(_execution.train(job, [rows[index] for index in lost], left, how, max_memory, ledger))
    methods = sorted({method for method, _ in chosen})
    return " and ".join(methods), f"{len(futures)} parts on a {kind}; {chosen[0][1]}"


# Torch's random generator and its threads are one for the whole process, so a worker with several threads takes turns.
_turn = threading.Lock()


def _train_part(task: bytes) -> bytes:
    """What a worker does: train some rows, and give back how and the books."""
    given, steps, keep_weights, rows, how, max_memory = pickle.loads(task)
    with _turn:
        setup = Setup(**given)
        job = Job(setup, setup.data_in_place(), steps, given["validate_every"], keep_weights)
        ledger = Ledger(len(rows), steps, job.validation_steps())
        result = _execution.train(job, rows, range(len(rows)), how, max_memory, ledger)
    return pickle.dumps((result, ledger))


def _packed(task: Any) -> bytes:
    """The task as bytes. A function that was defined in a notebook needs cloudpickle, which every Dask brings along."""
    try:
        import cloudpickle as pickler  # type: ignore[import-untyped]
    except ImportError:
        pickler = pickle
    try:
        return pickler.dumps(task)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise TypeError(
            f"executor: model, data and loss must be such that they can be sent to another process: {error}. Names and "
            "functions of a module always can; functions of a notebook can after pip install cloudpickle"
        ) from None


def _check_workers(executor: Executor) -> None:
    """Ask one worker for its lrlab before anything is sent that needs it."""
    here = importlib.metadata.version("lrlab")
    try:
        there = executor.submit(importlib.metadata.version, "lrlab").result()
    except importlib.metadata.PackageNotFoundError as error:
        raise WorkerError(_explained(error)) from None
    except BrokenExecutor:
        return  # every part will find the pool broken, and be trained here
    if there != here:
        raise WorkerError(f"the workers have lrlab {there}, but here is {here}: pip install lrlab=={here} on them")


def _explained(error: BaseException) -> str:
    while error is not None:
        if isinstance(error, ModuleNotFoundError):
            package = error.name or "a package"
            return (
                f"the workers of the executor lack {package}: install it where they run (pip install {package}; with "
                "Dask client.register_plugin(PipInstall([...])), or start them in the same environment)"
            )
        last, error = error, error.__cause__ or error.__context__  # type: ignore[assignment]
    return f"a part of the sweep failed on its worker: {type(last).__name__}: {last}"
