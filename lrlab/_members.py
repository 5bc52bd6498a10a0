"""The members of an ensemble: made from modules, runs, sweeps and files, and checked whether they go together."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lrlab import models
from lrlab._averages import check_survived
from lrlab._points import rates
from lrlab.configuration import Material
from lrlab.run import EVALUATE_AT_ONCE, Run
from lrlab.sweeps import Sweep

_training_runs = itertools.count()  # a number for each training run that a member came from


@dataclass(frozen=True, eq=False)
class Member:
    """One network of an ensemble.

    Attributes:
        name: what to call it, ``"seed 3"`` or ``"cycle 2"``.
        model: the network ``[N, ...] -> logits [N, K]``; it is not copied, and put into inference mode.
        step: the steps its training run had made when it was taken; None if unknown.
        lr: the learning rate that was applied in the last of them; None if unknown.
        run: the number of that training run: snapshots of one run share it. None if unknown.
        classes: their names; None if unknown.
        architecture: the arguments of `models.build` that make such a network; None for one of your own.
    """

    name: str
    model: nn.Module
    step: int | None = None
    lr: float | None = None
    run: int | None = None
    classes: tuple[str, ...] | None = None
    architecture: tuple[str, tuple[int, ...], int] | None = None

    def __post_init__(self) -> None:
        self.model.eval()

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return self._weight().device

    @property
    def dtype(self) -> torch.dtype:
        """Of its weights, and so of what it is given."""
        return self._weight().dtype

    def _weight(self) -> Tensor:
        return next(itertools.chain(self.model.parameters(), self.model.buffers()), torch.zeros(()))


# Where members come from ----------------------------------------------------------------------------------------------


def members_of(given: Any) -> tuple[Member, ...]:
    """The members for what `Ensemble` was given."""
    if isinstance(given, Sweep):
        raise TypeError("of a sweep, make Ensemble.from_sweep(result)")
    if isinstance(given, (nn.Module, Run, Member)) or not isinstance(given, (Mapping, Iterable)):
        raise TypeError(f"members must be a list of networks, or a dict that names them; got {type(given).__name__}")
    pairs = given.items() if isinstance(given, Mapping) else ((f"member {n}", one) for n, one in enumerate(given))
    return tuple(as_member(name, one) for name, one in pairs)


def as_member(name: Any, given: Any) -> Member:
    """A member of a copy of this network, as it is now."""
    if not isinstance(name, str) or not name:
        raise TypeError(f"the name of a member must be a text, got {name!r}")
    if isinstance(given, Member):
        return given
    if isinstance(given, Run):
        check_survived(f"{name} of the ensemble", given)
        applied = given.history["lr"]
        return of_run(given, name, float(applied[-1]) if len(applied) else None)
    if not isinstance(given, nn.Module):
        raise TypeError(f"{name} of the ensemble must be a torch.nn.Module, a Run or a Member; got {given!r}")
    return Member(name, copy.deepcopy(given))


def of_run(run: Run, name: str, lr: float | None, before: Sequence[Member] = ()) -> Member:
    """A run as it stands. ``before``: the members that were taken from the same training run."""
    number = before[0].run if before else next(_training_runs)
    origin = _origin(run._setup.given["model"], run._material)
    return Member(name, copy.deepcopy(run.model), run.step, lr, number, *origin)


def of_sweep(result: Sweep, rows: Iterable[int]) -> tuple[list[Member], tuple[str, ...]]:
    """The networks of these rows, and what is said of those that diverged and are left out."""
    members, left_out = [], []
    for row in rows:
        result._check_row(row)
        if result["status"].iloc[row] == "diverged":
            left_out.append(f"{name_of_row(result, row)} (diverged at step {result['steps'].iloc[row]})")
        else:
            members.append(of_row(result, row))
    if left_out and not members:
        raise ValueError(f"all {len(left_out)} runs diverged, so there is no ensemble: lower lr and train again")
    return members, tuple(left_out)


def of_row(result: Sweep, row: int) -> Member:
    """The network of one row of a sweep."""
    model = result.model(row)  # or the error that says what is wrong with the row
    steps, name = int(result["steps"].iloc[row]), name_of_row(result, row)
    origin = _origin(result._job.setup.given["model"], result._job.material)
    return Member(name, model, steps, _last_rate(result, row, steps), next(_training_runs), *origin)


def _last_rate(result: Sweep, row: int, steps: int) -> float:
    """The learning rate that was applied in the last step of a run of a sweep."""
    settings, job = result._plan.rows[row], result._job
    an_epoch = job.material.batches(settings.seed).steps_per_epoch(settings.knobs.batch_size)
    return float(rates([settings], steps, job.setup.per, an_epoch)[-1, 0])


def name_of_row(result: Sweep, row: int) -> str:
    """``seed 3``, and the hyperparameters that differ from row to row before it."""
    several = [name for name in result.varying() if result[name].astype(str).nunique() > 1]
    values = {name: result[name].iloc[row] for name in [*several, "seed"]}
    return ", ".join(
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in values.items()
    )


def _origin(model: Any, material: Material) -> tuple[tuple[str, ...] | None, tuple[str, tuple[int, ...], int] | None]:
    """The names of the classes and the architecture, as far as they are known."""
    if material.dataset is None:
        return None, None
    classes = tuple(material.dataset.classes)
    named = isinstance(model, str)
    return classes, (model, tuple(material.dataset.image_shape), len(classes)) if named else None


# Files ----------------------------------------------------------------------------------------------------------------


def as_saved(member: Member) -> dict[str, Any]:
    """A member as plain values and tensors."""
    about = {name: getattr(member, name) for name in ("name", "step", "lr", "run", "classes", "architecture")}
    return {**about, "state": dict(member.model.state_dict())}


def from_saved(rows: Sequence[Mapping[str, Any]], model: Any, place: torch.device) -> list[Member]:
    """The members that `as_saved` wrote. Their training runs get new numbers, so that no other run has the same."""
    numbers = {row["run"]: next(_training_runs) for row in rows if row["run"] is not None}
    return [_from_saved(row, numbers.get(row["run"]), model, place) for row in rows]


def _from_saved(row: Mapping[str, Any], number: int | None, model: Any, place: torch.device) -> Member:
    name, state, architecture = row["name"], row["state"], row["architecture"]
    if model is None and architecture is None:
        raise ValueError(f"{name} is no network of this package: load(path, model=...), such a network or its class")
    with torch.random.fork_rng(devices=[]):  # its first weights are drawn, and thrown away
        if model is None:
            network = models.build(*architecture)
        else:
            network = copy.deepcopy(model) if isinstance(model, nn.Module) else model()
    if not isinstance(network, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, or a function that makes one; got {type(network).__name__}")
    floating = [tensor.dtype for tensor in state.values() if tensor.is_floating_point()]
    network = network.to(place, floating[0] if floating else None)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise ValueError(f"the weights of {name} are those of another architecture: {reason}") from None
    return Member(name, network, row["step"], row["lr"], number, row["classes"], architecture)


# Checks ---------------------------------------------------------------------------------------------------------------


def check_together(members: Sequence[Member]) -> None:
    """ValueError for members that do not make an ensemble."""
    if not members:
        raise ValueError("an ensemble needs at least one member, such as Ensemble([model_a, model_b])")
    names = [member.name for member in members]
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"members must have different names; there is more than one {doubled[0]!r}")
    devices = {str(member.device): member.name for member in reversed(members)}
    if len(devices) > 1:
        places = ", ".join(f"{name} on {device}" for device, name in devices.items())
        raise ValueError(f"members must be on one device, but there is {places}: move them, model.to({min(devices)!r})")
    classes = {member.classes: member.name for member in reversed(members) if member.classes is not None}
    if len(classes) > 1:
        (one, first), (other, second), *_ = classes.items()
        raise ValueError(
            f"members of one ensemble must have the same classes: {second} has {_few(other)}, {first} has {_few(one)}"
        )
    for member in members:
        if not all(bool(torch.isfinite(weight).all()) for weight in member.model.parameters()):
            raise ValueError(f"{member.name} has weights that are not finite: it diverged. Leave it out")


def _few(classes: Sequence[str]) -> str:
    return f"{len(classes)} ({', '.join(map(str, classes[:3]))}{', ...' if len(classes) > 3 else ''})"


def logits_of(member: Member, x: Tensor) -> Tensor:
    """``[N, K]``; ValueError if the network does not take x, or gives something else."""
    x = x.to(member.device, member.dtype if x.is_floating_point() else None)
    try:
        with torch.no_grad():
            parts = [member.model(part) for part in x.split(EVALUATE_AT_ONCE)]
    except (RuntimeError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{member.name} does not take examples of shape {list(x.shape[1:])}: {reason}") from None
    if not all(isinstance(part, Tensor) and part.dim() == 2 for part in parts):
        found = list(parts[0].shape) if isinstance(parts[0], Tensor) else type(parts[0]).__name__
        raise ValueError(f"{member.name} must give logits [examples, classes]; it gave {found}")
    return torch.cat(parts)
