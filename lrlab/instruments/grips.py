"""What of a schedule's curve can be taken hold of, and which schedule it becomes when that is moved.

A schedule never changes: moving a grip makes another one. What each kind of schedule offers is said once, in a small
function for its class; a join of several pieces offers the grips of all its pieces, and keeps the joints closed.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar

from lrlab import schedules
from lrlab.instruments.pieces import begins, endless, joined, kind_of, names_of, neat, rooms, sample, whole, with_length
from lrlab.schedules import Joined, Schedule, Until, Warmup

Move = Callable[[float, float], Schedule]
S = TypeVar("S", bound=Schedule)


@dataclass(frozen=True)
class Grip:
    """A point of the curve that can be moved.

    Args:
        name: what it is, such as "peak".
        t, lr: where it is, in the schedule's own time.
        ways: "time", "rate" or "both": in which directions it can go.
        move: gives the schedule with this grip at another `(t, lr)`; of a direction it cannot go it takes no notice.
        zero: whether its rate may be 0.
    """

    name: str
    t: float
    lr: float
    ways: str
    move: Move
    zero: bool = False


# --- One kind of schedule after the other -----------------------------------------------------------------------------


@functools.singledispatch
def grips(schedule: Schedule, room: float) -> list[Grip]:
    """The grips of a schedule that is at work for the time `room`. A schedule of one's own class has none."""
    return []


def _start(schedule: Any) -> Grip:
    return Grip("start", 0, schedule(0), "rate", lambda t, lr: _with(schedule, lr=lr))


def _with(schedule: S, /, **fields: Any) -> S:
    return dataclasses.replace(schedule, **fields)


@grips.register
def _(schedule: schedules.Constant, room: float) -> list[Grip]:
    return [_start(schedule)]


@grips.register
def _(schedule: schedules.Step, room: float) -> list[Grip]:
    def cut(t: float, lr: float) -> Schedule:
        return _with(schedule, every=t, gamma=neat(lr / schedule.lr))

    return [_start(schedule), Grip("cut", schedule.every, schedule.lr * schedule.gamma, "both", cut)]


@grips.register
def _(schedule: schedules.MultiStep, room: float) -> list[Grip]:
    def cut(n: int, t: float, lr: float) -> Schedule:
        milestones = (*schedule.milestones[: n - 1], t, *schedule.milestones[n:])
        return _with(schedule, milestones=milestones, gamma=neat((lr / schedule.lr) ** (1 / n)))

    cuts = enumerate(schedule.milestones, 1)
    return [_start(schedule)] + [
        Grip(f"cut {n}", t, schedule.lr * schedule.gamma**n, "both", functools.partial(cut, n)) for n, t in cuts
    ]


@grips.register
def _(schedule: schedules.Exponential, room: float) -> list[Grip]:
    def end(t: float, lr: float) -> Schedule:
        return _with(schedule, gamma=neat((lr / schedule.lr) ** (1 / room)))

    return [_start(schedule), Grip("end", room, schedule(room), "rate", end)]


@grips.register
def _(schedule: schedules.DelayedExponential, room: float) -> list[Grip]:
    def delay(t: float, lr: float) -> Schedule:
        return _with(schedule, delay=t, lr=lr)

    def end(t: float, lr: float) -> Schedule:
        return _with(schedule, gamma=neat((lr / schedule.lr) ** (1 / (room - schedule.delay))))

    corner = Grip("delay", schedule.delay, schedule.lr, "both", delay)
    tail = [Grip("end", room, schedule(room), "rate", end)] if room > schedule.delay else []
    return [_start(schedule), corner, *tail]


@grips.register
def _(schedule: schedules.InverseTime, room: float) -> list[Grip]:
    def end(t: float, lr: float) -> Schedule:
        return _with(schedule, k=neat((schedule.lr / lr - 1) / room))

    return [_start(schedule), Grip("end", room, schedule(room), "rate", end)]


@grips.register
def _(schedule: schedules.InverseSqrt, room: float) -> list[Grip]:
    return [Grip("start", 0, schedule(0), "rate", lambda t, lr: _with(schedule, lr=neat(lr / schedule.k)))]


@grips.register(schedules.Linear)
@grips.register(schedules.Cosine)
def _(schedule: schedules.Linear | schedules.Cosine, room: float) -> list[Grip]:
    def end(t: float, lr: float) -> Schedule:
        return _with(schedule, total=t, final=lr)

    return [_start(schedule), Grip("end", schedule.total, schedule.final, "both", end, zero=True)]


@grips.register
def _(schedule: Warmup, room: float) -> list[Grip]:
    def peak(t: float, lr: float) -> Schedule:
        return _with(schedule, steps=t, lr=lr)

    start = Grip("start", 0, schedule.start, "rate", lambda t, lr: _with(schedule, start=lr), zero=True)
    return [start, Grip("peak", schedule.steps, schedule.lr, "both", peak)]


@grips.register(schedules.Triangular)
@grips.register(schedules.Triangular2)
@grips.register(schedules.ExpRange)
def _(schedule: Any, room: float) -> list[Grip]:
    def peak(t: float, lr: float) -> Schedule:
        shrunk = schedule.gamma**t if isinstance(schedule, schedules.ExpRange) else 1
        return _with(schedule, stepsize=t, max_lr=neat(schedule.base_lr + (lr - schedule.base_lr) / shrunk))

    base = Grip("base", 0, schedule.base_lr, "rate", lambda t, lr: _with(schedule, base_lr=lr), zero=True)
    return [base, Grip("peak", schedule.stepsize, schedule(schedule.stepsize), "both", peak)]


@grips.register
def _(schedule: schedules.WarmRestarts, room: float) -> list[Grip]:
    def minimum(t: float, lr: float) -> Schedule:
        return _with(schedule, period=t, final=lr)

    return [_start(schedule), Grip("minimum", schedule.period, schedule.final, "both", minimum, zero=True)]


@grips.register
def _(schedule: schedules.OneCycle, room: float) -> list[Grip]:
    first, last = schedule(0), schedule(schedule.total)

    def start(t: float, lr: float) -> Schedule:
        # Both factors, so that the end stays where it is.
        return _with(schedule, div_factor=neat(schedule.lr / lr), final_div_factor=neat(lr / last))

    def peak(t: float, lr: float) -> Schedule:
        return _with(schedule, pct_start=neat(t / schedule.total), lr=lr)

    def end(t: float, lr: float) -> Schedule:
        return _with(schedule, total=t, final_div_factor=neat(first / lr))

    return [
        Grip("start", 0, first, "rate", start),
        Grip("peak", schedule.pct_start * schedule.total, schedule.lr, "both", peak),
        Grip("end", schedule.total, last, "both", end),
    ]


@grips.register
def _(schedule: schedules.Recorded, room: float) -> list[Grip]:
    def point(i: int, t: float, lr: float) -> Schedule:
        steps, values = list(schedule.steps), list(schedule.values)
        steps[i], values[i] = (round(t) if i else 0), lr
        return schedules.Recorded(tuple(steps), tuple(values))

    pairs = enumerate(zip(schedule.steps, schedule.values, strict=True))
    return [
        Grip(f"point {i + 1}", t, lr, "both" if i else "rate", functools.partial(point, i), zero=True)
        for i, (t, lr) in pairs
    ]


# --- What is made of others -------------------------------------------------------------------------------------------


@grips.register
def _(schedule: schedules.Scaled, room: float) -> list[Grip]:
    def scaled(grip: Grip) -> Grip:
        def move(t: float, lr: float) -> Schedule:
            return _with(schedule, schedule=grip.move(t, neat(lr / schedule.factor)))

        return dataclasses.replace(grip, lr=grip.lr * schedule.factor, move=move)

    return [scaled(grip) for grip in grips(schedule.schedule, room)]


@grips.register
def _(schedule: Until, room: float) -> list[Grip]:
    inner = schedule.schedule

    def kept(grip: Grip) -> Grip:
        return dataclasses.replace(grip, move=lambda t, lr: _with(schedule, schedule=grip.move(t, lr)))

    def bends(t: float) -> list[Grip]:
        return [grip for grip in grips(inner, t) if grip.name == "end" and math.isinf(inner.length)]

    def end(t: float, lr: float) -> Schedule:
        bent = bends(t)[0].move(t, lr) if t > 0 and bends(t) else inner
        return Until(bent, t)

    own = [kept(grip) for grip in grips(inner, schedule.total) if grip.t < schedule.total]
    ways = "both" if bends(schedule.total) else "time"
    return [*own, Grip("end", schedule.total, schedule(schedule.total), ways, end)]


@grips.register
def _(schedule: Joined, room: float) -> list[Grip]:
    parts, found = schedule.parts, []
    for i, part in enumerate(parts):
        for grip in grips(part, rooms(parts, room)[i]):
            if grip.t == 0 and i and isinstance(parts[i - 1], Warmup):
                continue  # the warm-up's peak is the same point
            if grip.t == part.length and i < len(parts) - 1 and grip.ways == "time":
                continue  # the first point of the next piece moves this end, too
            found.append(_in_place(grip, parts, i, room))
    return found


def _in_place(grip: Grip, parts: Sequence[Schedule], i: int, room: float) -> Grip:
    """A grip of piece `i`, as one of the whole."""
    begin = begins(parts)[i]
    is_joint = i > 0 and grip.t == 0 and _ends_in_time_only(parts[i - 1])

    def move(t: float, lr: float) -> Schedule:
        whole, moved = parts, grip
        if is_joint and t != begin:
            whole = with_piece(parts, i - 1, with_length(parts[i - 1], parts[i - 1].length + t - begin))
            moved = next(it for it in grips(whole[i], rooms(whole, room)[i]) if it.name == grip.name)
        return joined(with_piece(whole, i, moved.move(t - begin, lr)))

    name = f"{names_of(parts)[i]} {grip.name}"
    return Grip(name, begin + grip.t, grip.lr, "both" if is_joint else grip.ways, move, grip.zero)


def _ends_in_time_only(part: Schedule) -> bool:
    return any(grip.t == part.length and grip.ways == "time" for grip in grips(part, part.length))


# --- Changing one piece of several ------------------------------------------------------------------------------------


def with_piece(parts: Sequence[Schedule], i: int, piece: Schedule) -> tuple[Schedule, ...]:
    """The pieces with another one in place `i`.

    What it takes of the time comes from the piece after it, and where a warm-up meets its successor both have the same
    rate again: they keep the one that was set.

    Raises:
        ValueError: nothing would be left of the next piece.
    """
    changed = [*parts[:i], piece, *parts[i + 1 :]]
    if i + 1 < len(parts) and math.isfinite(parts[i + 1].length):
        changed[i + 1] = with_length(parts[i + 1], parts[i + 1].length + parts[i].length - piece.length)
    return _mended(changed, leading=i)


def chosen(parts: Sequence[Schedule], i: int, kind: str, total: float) -> tuple[Schedule, ...]:
    """The pieces with one of another kind in place `i`: as high as the one that was there, and as long."""
    room = rooms(parts, total)[i]
    new = sample(kind, _peak(parts[i], room), room)
    new = new if i == len(parts) - 1 else with_length(new, room)
    return _mended([*parts[:i], new, *parts[i + 1 :]])


def inserted(parts: Sequence[Schedule], at: int, kind: str, total: float) -> tuple[Schedule, ...]:
    """The pieces with one more of this kind before number `at`; it takes its time from its neighbour.

    Behind the last piece a new one begins where that ends, or, if that goes on to the end of the plot, in the middle of
    its time. Before a piece, a warm-up takes a tenth of its time, and any other kind half of it.

    Raises:
        ValueError: there is no time left.
    """
    behind = at == len(parts)
    host, room = parts[at - behind], rooms(parts, total)[at - behind]
    if room < 2:
        raise ValueError(f"there is no time for another piece: {kind_of(host)} is at work for {max(room, 0):g} steps")
    if behind:
        kept = host.length if host.length < room else whole(room / 2)
        new = sample(kind, _peak(host, room), room - kept)
        return _mended([*parts[:-1], with_length(host, kept), new])
    share = whole(room / (10 if kind == "Warmup" else 2))
    rest = with_length(host, host.length - share) if math.isfinite(host.length) else host
    new = with_length(sample(kind, _peak(host, room), share), share)
    return _mended([*parts[:at], new, rest, *parts[at + 1 :]])


def removed(parts: Sequence[Schedule], i: int, total: float) -> tuple[Schedule, ...]:
    """The pieces without number `i`; the next one, or else the one before, has its time."""
    left = [*parts[:i], *parts[i + 1 :]]
    heir = min(i, len(left) - 1)
    if math.isfinite(left[heir].length):
        left[heir] = with_length(left[heir], left[heir].length + rooms(parts, total)[i])
    left[-1] = endless(left[-1])
    return _mended(left)


def _mended(parts: Sequence[Schedule], leading: int | None = None) -> tuple[Schedule, ...]:
    """Close the gap behind each warm-up. The warm-up follows its successor, unless it is `leading`."""
    mended = list(parts)
    for i, (part, following) in enumerate(pairwise(parts)):
        if isinstance(part, Warmup) and not math.isclose(part.lr, following(0), rel_tol=1e-9):
            if i == leading or following(0) == 0:
                mended[i + 1] = _starting_at(mended[i + 1], part.lr)
            else:
                rate = neat(following(0), 10)  # the join allows a gap of 1e-9
                mended[i] = _with(part, lr=rate, start=min(part.start, rate))
    return tuple(mended)


def _starting_at(piece: Schedule, lr: float) -> Schedule:
    first = [grip for grip in grips(piece, 1) if grip.t == 0]
    if not first:
        raise ValueError(f"the piece behind the warm-up starts at {piece(0):g} and has no grip: set the warm-up to it")
    return first[0].move(0, lr)


def _peak(piece: Schedule, room: float) -> float:
    """The highest rate of a piece, as far as a few points of it tell."""
    return max(piece(room * i / 100) for i in range(101))
