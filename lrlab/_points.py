"""The runs of a sweep: hyperparameters broadcast against each other, each point under every seed, all of it checked."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from lrlab.configuration import Material, check_seed
from lrlab.engine import Settings
from lrlab.knobs import Knobs, as_rule
from lrlab.regularization import Penalty
from lrlab.rules import Rule
from lrlab.schedules import Plateau, Schedule

OF_EVERY_RUN = ("lr", "weight_decay", "batch_size")


class Row(NamedTuple):
    """One run of a sweep: its settings at step 0, and its seed."""

    knobs: Knobs
    seed: int


@dataclass(frozen=True)
class Plan:
    """All runs of a sweep, in the order of the table.

    Attributes:
        rows: R = points x seeds runs; the seeds of a point stand together.
        columns: the hyperparameters that vary (and always ``lr``), then ``seed``: a list of R values each.
        shape: the axes of the points, as the hyperparameters broadcast: ``()``, ``(64,)``, ``(8, 8)``.
    """

    rows: list[Row]
    columns: dict[str, list[Any]]
    shape: tuple[int, ...]


def plan(
    material: Material, rule: Any, settings: Mapping[str, Any], seeds: Any, penalty: Penalty | None = None
) -> Plan:
    """The runs for hyperparameters given as numbers or arrays, which broadcast against each other.

    Args:
        material: the data, which knows which batch sizes it allows.
        rule: the update rule, its hyperparameters plain numbers.
        settings: ``lr``, ``weight_decay``, ``batch_size`` and any hyperparameter of the rule and the penalty.
        seeds: how many (S gives 0 to S - 1), or a list of them.
        penalty: what is added to the loss, or None.

    Raises:
        ValueError or TypeError: an empty list, shapes that do not broadcast, an unknown hyperparameter, a value outside
            its range, a seed given twice.
    """
    rule = as_rule(rule)
    _check_names(rule, penalty, settings)
    arrays = {name: _as_array(name, value) for name, value in settings.items()}
    if arrays["weight_decay"].shape == () and arrays["weight_decay"] == 0:
        del arrays["weight_decay"]  # nobody asked for any: a rule with a decay of its own keeps it
    shapes = {name: array.shape for name, array in arrays.items() if array.shape}
    try:
        shape = np.broadcast_shapes(*shapes.values())
    except ValueError:
        raise ValueError(
            f"these hyperparameters do not broadcast: {', '.join(f'{n} {list(s)}' for n, s in shapes.items())}. Two "
            "lists of one length go in pairs; for a grid, one of them needs an axis more: lr[:, None]"
        ) from None
    spread = {name: np.broadcast_to(array, shape).ravel().tolist() for name, array in arrays.items()}
    first = Knobs(0.1, rule, 1, penalty=penalty, check_batch_size=material.batches(0).check_size)
    points = [
        _knobs(first, {name: values[number] for name, values in spread.items()})
        for number in range(len(spread["lr"]))
    ]
    seed_list = _seeds(seeds)
    rows = [Row(knobs, seed) for knobs in points for seed in seed_list]
    varying = [name for name in spread if name == "lr" or name in shapes]
    columns = {name: [_cell(row.knobs, name) for row in rows] for name in varying}
    return Plan(rows, {**columns, "seed": [row.seed for row in rows]}, shape)


def rates(rows: Sequence[Row], steps: int, per: str, steps_per_epoch: int) -> Tensor:
    """The learning rate of every run at every step, float64 ``[steps, R]``: what is planned is what will be applied."""
    time = torch.arange(steps, dtype=torch.float64)
    if per == "epoch":
        time = torch.div(time, steps_per_epoch, rounding_mode="floor")
    table = torch.empty(steps, len(rows), dtype=torch.float64)
    known: dict[int, Tensor] = {}  # many runs may share a schedule
    for number, row in enumerate(rows):
        lr = row.knobs.lr
        assert not isinstance(lr, Plateau)  # see `_as_array`
        if isinstance(lr, Schedule) and id(lr) not in known:
            known[id(lr)] = lr(time)
        table[:, number] = known[id(lr)] if isinstance(lr, Schedule) else lr
    return table


def stacked(parts: Sequence[Settings], device: torch.device, dtype: torch.dtype) -> Settings:
    """One rule, or one penalty, for all runs: what varies becomes a tensor ``[R, 1]``, the others stay numbers."""
    first = parts[0]
    varying: dict[str, Any] = {}
    for name in first.hyperparameters():
        values = [getattr(part, name) for part in parts]
        if any(value != values[0] for value in values):
            varying[name] = torch.tensor(values, dtype=dtype, device=device).unsqueeze(1)
    return dataclasses.replace(first, **varying)


def _check_names(rule: Rule, penalty: Penalty | None, settings: Mapping[str, Any]) -> None:
    own = {**({} if penalty is None else penalty.hyperparameters()), **rule.hyperparameters()}
    for name, value in own.items():
        if isinstance(value, Tensor) and value.dim():
            raise ValueError(f"give the values of {name} to the sweep itself: sweep(..., {name}={name}s)")
    known = list(dict.fromkeys([*OF_EVERY_RUN, *own]))
    for name in settings:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            kind = type(rule).__name__ + ("" if penalty is None else f" with {type(penalty).__name__}")
            raise TypeError(f"sweep: {kind} has no hyperparameter {name!r}{hint} There are: {', '.join(known)}")


def _as_array(name: str, value: Any) -> np.ndarray:
    """The value as an array of numbers (of objects where there are schedules)."""
    if isinstance(value, Plateau) or (isinstance(value, (list, tuple)) and any(isinstance(v, Plateau) for v in value)):
        raise ValueError("a Plateau follows the validations of one run: train it with Run(lr=Plateau(...))")
    if value is None or isinstance(value, (str, bool)) or (isinstance(value, Mapping) and name != "lr"):
        raise TypeError(f"{name} must be a number or a tensor, array or list of numbers; got {value!r}")
    if isinstance(value, (Schedule, Mapping)):
        return _objects([value]).reshape(())
    if isinstance(value, Tensor):
        value = value.detach().cpu().double().numpy() if value.is_floating_point() else value.detach().cpu().numpy()
    elif isinstance(value, (list, tuple)) and any(isinstance(item, (Schedule, Mapping)) for item in value):
        value = _objects(value)
    try:
        array = np.asarray(value)
    except ValueError:
        raise ValueError(f"{name}: the rows of a nested list must be equally long; got {value!r}") from None
    if array.dtype.kind not in "iuf" and not (name == "lr" and array.dtype == object):
        raise TypeError(f"{name} must be a number or a tensor, array or list of numbers; got {value!r}")
    if array.size == 0:
        raise ValueError(f"{name} is empty: a sweep needs at least one value, such as {name}=[0.1, 0.01]")
    return array


def _objects(values: Any) -> np.ndarray:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _knobs(knobs: Knobs, values: Mapping[str, Any]) -> Knobs:
    """The settings of one point, each checked as a run checks a knob that is turned."""
    for name, value in values.items():
        knobs = knobs.turned(name, value)
    return dataclasses.replace(knobs, check_batch_size=int)  # without the data behind the check: rows travel to workers


def _cell(knobs: Knobs, name: str) -> Any:
    """The value of a hyperparameter as the table shows it."""
    value = knobs.hyperparameters().get(name, getattr(knobs, name, None))
    return repr(value) if isinstance(value, Schedule) else value


def _seeds(seeds: Any) -> list[int]:
    if isinstance(seeds, Integral) and not isinstance(seeds, bool):
        if seeds < 1:
            raise ValueError(f"seeds must be at least 1 (a count), or a list of seeds; got {seeds!r}")
        return list(range(int(seeds)))
    if isinstance(seeds, (str, bytes, Real)) or not hasattr(seeds, "__iter__"):
        raise TypeError(f"seeds must be a count, or a list of seeds such as [0, 1, 2]; got {seeds!r}")
    found = [int(seed) if isinstance(seed, (np.integer, Tensor)) else seed for seed in seeds]
    if not found:
        raise ValueError("seeds is empty: give a count, seeds=8, or a list, seeds=[0, 1, 2]")
    for seed in found:
        check_seed(seed)
    if doubled := sorted({seed for seed in found if found.count(seed) > 1}):
        raise ValueError(f"seeds must differ, or one run would count twice; given more than once: {doubled}")
    return found
