"""The pieces of a schedule: what kinds there are, one to begin with, how long each is at work, and its parameters."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from lrlab import schedules
from lrlab.schedules import Joined, Scaled, Schedule, Until

LENGTHS = {"Linear": "total", "Cosine": "total", "OneCycle": "total", "Warmup": "steps", "Until": "total"}


CHOICES = {("Warmup", "shape"): ("linear", "exponential"), ("OneCycle", "shape"): ("cosine", "linear")}


def neat(value: float, digits: int = 8) -> float:
    """A computed parameter without the digits that nobody sees: they would only make the code longer."""
    return float(f"{value:.{digits}g}")


def whole(time: float) -> int:
    """The nearest number of whole steps, at least 1."""
    return max(1, round(time))


def sample(kind: str, lr: float, room: float) -> Schedule:
    """A schedule to begin with.

    Args:
        kind: one of `KINDS`.
        lr: its highest rate.
        room: how long it is at work, in steps.
    """
    s, low = schedules, neat(lr / 10)
    match kind:
        case "Constant":
            return s.Constant(lr)
        case "Step":
            return s.Step(lr, every=whole(room / 3))
        case "MultiStep":
            return s.MultiStep(lr, milestones=tuple(sorted({whole(room / 2), whole(room * 3 / 4)})))
        case "Exponential":
            return s.Exponential(lr, gamma=neat(0.01 ** (1 / room)))
        case "DelayedExponential":
            return s.DelayedExponential(lr, delay=whole(room / 2), gamma=neat(0.01 ** (2 / room)))
        case "Linear":
            return s.Linear(lr, total=room)
        case "InverseTime":
            return s.InverseTime(lr, k=neat(9 / room, 3))
        case "InverseSqrt":
            return s.InverseSqrt(lr)
        case "Cosine":
            return s.Cosine(lr, total=room)
        case "Warmup":
            return s.Warmup(lr, steps=whole(room / 10))
        case "Triangular":
            return s.Triangular(low, lr, stepsize=whole(room / 4))
        case "Triangular2":
            return s.Triangular2(low, lr, stepsize=whole(room / 6))
        case "ExpRange":
            return s.ExpRange(low, lr, stepsize=whole(room / 6), gamma=neat(0.1 ** (1 / room)))
        case "WarmRestarts":
            return s.WarmRestarts(lr, period=whole(room / 7), mult=2)
        case "OneCycle":
            return s.OneCycle(lr, total=room)
        case _:
            steps = sorted({0, *(whole(room * i / 4) for i in (1, 2, 3))})
            return s.Recorded(tuple(steps), tuple(neat(lr / 2**i) for i in range(len(steps))))


KINDS = tuple(kind for kind in schedules.REGISTRY if kind not in ("Joined", "Until", "Scaled"))


def kind_of(piece: Schedule) -> str:
    """The name of its class; of a piece that was cut off or scaled, of what is inside."""
    while isinstance(piece, (Until, Scaled)):
        piece = piece.schedule
    return type(piece).__name__


def names_of(parts: Sequence[Schedule]) -> list[str]:
    """The kinds of the pieces, numbered where there are several of one."""
    kinds = [kind_of(part) for part in parts]
    earlier = [kinds[:i].count(kind) for i, kind in enumerate(kinds)]
    return [f"{kind} {count + 1}" if count else kind for kind, count in zip(kinds, earlier, strict=True)]


# --- Lengths ----------------------------------------------------------------------------------------------------------


def pieces_of(schedule: Schedule) -> tuple[Schedule, ...]:
    """The pieces one after the other; a schedule that is no join is its only piece."""
    return schedule.parts if isinstance(schedule, Joined) else (schedule,)


def joined(parts: Sequence[Schedule]) -> Schedule:
    """One schedule of these pieces."""
    return parts[0] if len(parts) == 1 else Joined(tuple(parts))


def begins(parts: Sequence[Schedule]) -> list[float]:
    """When each piece begins."""
    return list(accumulate((part.length for part in parts[:-1]), initial=0))


def rooms(parts: Sequence[Schedule], total: float) -> list[float]:
    """How long each piece is at work in a plot of this length."""
    return [*(part.length for part in parts[:-1]), total - begins(parts)[-1]]


def with_length(piece: Schedule, length: float) -> Schedule:
    """The piece, made longer or shorter. One without an end gets one.

    Raises:
        ValueError: the length is not above 0.
    """
    if length <= 0:
        raise ValueError(f"nothing would be left of {kind_of(piece)}: its length would be {length:g}")
    if isinstance(piece, Scaled):
        return dataclasses.replace(piece, schedule=with_length(piece.schedule, length))
    field = LENGTHS.get(type(piece).__name__)
    return dataclasses.replace(piece, **{field: length}) if field else Until(piece, length)


def endless(piece: Schedule) -> Schedule:
    """The last piece needs no end: what was cut off only for another to follow goes on."""
    return piece.schedule if isinstance(piece, Until) and math.isinf(piece.schedule.length) else piece


# --- Parameters -------------------------------------------------------------------------------------------------------


def parameters(piece: Schedule) -> dict[str, Any]:
    """The parameters of a piece by name; `until` and `factor` are those of a piece that was cut off or scaled."""
    match piece:
        case Until(inner, total):
            return {**parameters(inner), "until": total}
        case Scaled(inner, factor):
            return {**parameters(inner), "factor": factor}
    return {} if isinstance(piece, Joined) else {f.name: getattr(piece, f.name) for f in dataclasses.fields(piece)}


def with_parameter(piece: Schedule, name: str, value: Any) -> Schedule:
    """The piece with one parameter at another value.

    Raises:
        TypeError, ValueError: what the schedule itself refuses.
    """
    if isinstance(piece, Until) and name != "until":
        return dataclasses.replace(piece, schedule=with_parameter(piece.schedule, name, value))
    if isinstance(piece, Scaled) and name != "factor":
        return dataclasses.replace(piece, schedule=with_parameter(piece.schedule, name, value))
    return dataclasses.replace(piece, **{"total" if isinstance(piece, Until) else name: value})


# --- Points -----------------------------------------------------------------------------------------------------------


def with_a_point_more(piece: Schedule, i: int, room: float) -> Schedule:
    """A drawing with one more point behind point `i`, or a `MultiStep` with one more cut behind cut `i`, from 0.

    It comes half-way to the next one, or to the end of the time `room` that the piece is at work.

    Raises:
        ValueError: the piece has no points, or there is no whole step between the two.
    """
    times, values = _points(piece)
    following = times[i + 1] if i + 1 < len(times) else room
    new = round((times[i] + following) / 2)
    if not times[i] < new < following:
        raise ValueError(f"there is no whole step between {times[i]:g} and {following:g} for another point")
    if values:
        values.insert(i + 1, values[i])
    return _with_points(piece, [*times[: i + 1], new, *times[i + 1 :]], values)


def with_a_point_less(piece: Schedule, i: int, room: float) -> Schedule:
    """A drawing without point `i`, or a `MultiStep` without cut `i`, counted from 0.

    Raises:
        ValueError: the piece has no points, or it is its only one.
    """
    times, values = _points(piece)
    if len(times) == 1:
        raise ValueError(f"this is the only point of {kind_of(piece)}: it cannot be removed")
    del times[i]
    del values[i : i + 1]
    return _with_points(piece, [0, *times[1:]] if values else times, values)


def _points(piece: Schedule) -> tuple[list[float], list[float]]:
    match piece:
        case schedules.Recorded(steps, values):
            return list(steps), list(values)
        case schedules.MultiStep(milestones=times):
            return list(times), []
        case Until(inner) | Scaled(inner):
            return _points(inner)
    raise ValueError(f"{kind_of(piece)} has no points to add or remove; a drawing and MultiStep have")


def _with_points(piece: Schedule, times: list[float], values: list[float]) -> Schedule:
    if isinstance(piece, (Until, Scaled)):
        return dataclasses.replace(piece, schedule=_with_points(piece.schedule, times, values))
    if isinstance(piece, schedules.Recorded):
        return schedules.Recorded(tuple(map(int, times)), tuple(values))
    assert isinstance(piece, schedules.MultiStep)
    return dataclasses.replace(piece, milestones=tuple(times))
