"""A schedule as it is written down: as Python code, and as a formula.

The code gives the schedule back: ``eval(code, {"schedules": lrlab.schedules}) == schedule``. The formula is plain text
with `^{...}` for what stands above the line; `t` is the time in steps since the beginning of the whole schedule.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from numbers import Integral, Real
from typing import Any, NamedTuple

from lrlab import schedules
from lrlab.instruments.pieces import begins
from lrlab.schedules import Joined, Scaled, Schedule, Until

# --- Code -------------------------------------------------------------------------------------------------------------

_WITHOUT_A_NAME = {"lr", "base_lr", "max_lr"}  # arguments that everybody knows by their place


def code(schedule: Schedule) -> str:
    """The schedule as an expression, with ``schedules.`` before each of the package's names."""
    match schedule:
        case Joined(parts) if len(parts) > 1:
            first, *others = parts
            return _operand(first) + "".join(f".then({code(part)})" for part in others)
        case Until(inner, total):
            return f"{_operand(inner)}.until({_literal(total)})"
        case Scaled(inner, factor):
            return f"{_literal(factor)} * {_operand(inner)}"
    if type(schedule) not in schedules.REGISTRY.values():
        return repr(schedule)  # a class of one's own
    return f"schedules.{type(schedule).__name__}({', '.join(_arguments(schedule))})"


def _operand(schedule: Schedule) -> str:
    """The code of a schedule where a dot or a factor stands next to it."""
    return f"({code(schedule)})" if isinstance(schedule, Scaled) else code(schedule)


def _arguments(schedule: Schedule) -> list[str]:
    fields = [field for field in dataclasses.fields(schedule) if getattr(schedule, field.name) != field.default]
    values = {field.name: _literal(getattr(schedule, field.name)) for field in fields}
    return [value if name in _WITHOUT_A_NAME else f"{name}={value}" for name, value in values.items()]


def _literal(value: Any) -> str:
    """A number as Python's own, whatever library it came from; a tuple of them, or of schedules."""
    if isinstance(value, tuple):
        return f"({', '.join(map(_literal, value))}{',' * (len(value) == 1)})"
    if isinstance(value, Schedule):
        return code(value)
    if isinstance(value, Integral):
        return repr(int(value))
    return repr(float(value)) if isinstance(value, Real) else repr(value)


# --- Formula ----------------------------------------------------------------------------------------------------------


class Row(NamedTuple):
    """One case of a formula: `text` for `begin` ≤ t < `end`, and in `note` what its letters mean."""

    text: str
    begin: float
    end: float
    note: str = ""
    closed: bool = False  # whether `end` belongs to it

    @property
    def where(self) -> str:
        """The range of t."""
        return f"{number(self.begin)} ≤ t {'≤' if self.closed else '<'} {number(self.end)}"

    def __str__(self) -> str:
        return f"{self.text}    for {self.where}" + (f"; {self.note}" if self.note else "")


def formula(schedule: Schedule, total: float) -> list[Row]:
    """The cases of `α(t)` from 0 to `total`, and what holds from the end of the schedule on, if that is before."""
    rows = rows_of(schedule, 0.0)
    if schedule.length < total:
        rows.append(Row(number(schedule(schedule.length)), schedule.length, math.inf))
    return [row._replace(end=total, closed=True) if row.end >= total else row for row in rows if row.begin < total]


@functools.singledispatch
def rows_of(schedule: Schedule, begin: float) -> list[Row]:
    """The cases of a schedule that begins at the time `begin`."""
    return [Row(f"{type(schedule).__name__}.rate({_time(begin)})", begin, begin + schedule.length)]


def number(value: float) -> str:
    """Up to six digits: 0.1, 0.0333333, 2·10^{−6}."""
    mantissa, _, power = f"{value:.6g}".replace("-", "−").partition("e")
    if not power:
        return mantissa
    power = f"10^{{{power[0].replace('+', '')}{power[1:].lstrip('0')}}}"
    return power if mantissa == "1" else f"{mantissa}·{power}"


def _time(begin: float) -> str:
    return f"(t − {number(begin)})" if begin else "t"


def _case(schedule: Schedule, begin: float, text: str, note: str = "") -> list[Row]:
    return [Row(text, begin, begin + schedule.length, note)]


@rows_of.register
def _(schedule: schedules.Constant, begin: float) -> list[Row]:
    return _case(schedule, begin, number(schedule.lr))


@rows_of.register
def _(schedule: schedules.Step, begin: float) -> list[Row]:
    t, every = _time(begin), number(schedule.every)
    return _case(schedule, begin, f"{number(schedule.lr)} · {number(schedule.gamma)}^{{⌊{t} / {every}⌋}}")


@rows_of.register
def _(schedule: schedules.MultiStep, begin: float) -> list[Row]:
    milestones = ", ".join(number(begin + milestone) for milestone in schedule.milestones)
    text = f"{number(schedule.lr)} · {number(schedule.gamma)}^{{n}}"
    return _case(schedule, begin, text, f"n: how many of {milestones} are ≤ t")


@rows_of.register
def _(schedule: schedules.Exponential, begin: float) -> list[Row]:
    return _case(schedule, begin, f"{number(schedule.lr)} · {number(schedule.gamma)}^{{{_time(begin)}}}")


@rows_of.register
def _(schedule: schedules.DelayedExponential, begin: float) -> list[Row]:
    late = f"max(t − {number(begin + schedule.delay)}, 0)"
    return _case(schedule, begin, f"{number(schedule.lr)} · {number(schedule.gamma)}^{{{late}}}")


@rows_of.register
def _(schedule: schedules.Linear, begin: float) -> list[Row]:
    share = f"{_time(begin)} / {number(schedule.total)}"
    return _case(schedule, begin, _between(schedule.lr, schedule.final, f"(1 − {share})"))


def _between(high: float, low: float, share: str) -> str:
    """`low + (high − low) · share`, shorter where `low` is 0."""
    return f"{number(low)} + {number(high - low)} · {share}" if low else f"{number(high)} · {share}"


@rows_of.register
def _(schedule: schedules.InverseTime, begin: float) -> list[Row]:
    return _case(schedule, begin, f"{number(schedule.lr)} / (1 + {number(schedule.k)} · {_time(begin)})")


@rows_of.register
def _(schedule: schedules.InverseSqrt, begin: float) -> list[Row]:
    return _case(schedule, begin, f"{number(schedule.k * schedule.lr)} / √(max({_time(begin)}, 1))")


@rows_of.register
def _(schedule: schedules.Cosine, begin: float) -> list[Row]:
    wave = f"½(1 + cos(π · {_time(begin)} / {number(schedule.total)}))"
    return _case(schedule, begin, _between(schedule.lr, schedule.final, wave))


@rows_of.register
def _(schedule: schedules.Warmup, begin: float) -> list[Row]:
    share, start = f"{_time(begin)} / {number(schedule.steps)}", schedule.start
    if schedule.shape == "linear":
        return _case(schedule, begin, _between(schedule.lr, start, share))
    return _case(schedule, begin, f"{number(start)} · {number(schedule.lr / start)}^{{{share}}}")


@rows_of.register(schedules.Triangular)
@rows_of.register(schedules.Triangular2)
@rows_of.register(schedules.ExpRange)
def _(schedule: Any, begin: float) -> list[Row]:
    t, size = _time(begin), number(schedule.stepsize)
    height = {schedules.Triangular: "h", schedules.Triangular2: "h / 2^{n}"}.get(type(schedule))
    text = _between(schedule.max_lr, schedule.base_lr, height or f"h · {number(schedule.gamma)}^{{{t}}}")
    whole = f"n = ⌊{t} / {number(2 * schedule.stepsize)}⌋"
    return _case(schedule, begin, text, f"h = 1 − |{t} / {size} − 2n − 1|, {whole}")


@rows_of.register
def _(schedule: schedules.WarmRestarts, begin: float) -> list[Row]:
    period, t = number(schedule.period), _time(begin)
    if schedule.mult == 1:
        wave, note = f"½(1 + cos(π · u / {period}))", f"u = {t} mod {period}"
    else:
        wave = "½(1 + cos(π · u / P))"
        note = f"u: time since the last restart, P: {period}, then each time {schedule.mult} times as long"
    return _case(schedule, begin, _between(schedule.lr, schedule.final, wave), note)


@rows_of.register
def _(schedule: schedules.OneCycle, begin: float) -> list[Row]:
    first, last, rise = schedule(0), schedule(schedule.total), schedule.pct_start * schedule.total
    top, end = begin + rise, begin + schedule.total
    up, down = f"{_time(begin)} / {number(rise)}", f"(t − {number(top)}) / {number(schedule.total - rise)}"
    if schedule.shape == "cosine":
        up, down = f"½(1 − cos(π · {up}))", f"½(1 + cos(π · {down}))"
    else:
        down = f"(1 − {down})"
    return [
        Row(_between(schedule.lr, first, up), begin, top),
        Row(_between(schedule.lr, last, down), top, end),
    ]


_FEW = 4  # values of a trace that are written out


@rows_of.register
def _(schedule: schedules.Recorded, begin: float) -> list[Row]:
    if len(schedule.steps) > _FEW:
        return _case(schedule, begin, "the value of the last point ≤ t", f"{len(schedule.steps)} points drawn by hand")
    ends = [*(begin + step for step in schedule.steps[1:]), math.inf]
    cases = zip(schedule.values, schedule.steps, ends, strict=True)
    return [Row(number(value), begin + step, end) for value, step, end in cases]


@rows_of.register
def _(schedule: Scaled, begin: float) -> list[Row]:
    factor = number(schedule.factor)
    return [row._replace(text=f"{factor} · ({row.text})") for row in rows_of(schedule.schedule, begin)]


@rows_of.register
def _(schedule: Until, begin: float) -> list[Row]:
    end = begin + schedule.total
    rows = [row for row in rows_of(schedule.schedule, begin) if row.begin < end]
    held = begin + schedule.schedule.length
    if held < end:
        rows.append(Row(number(schedule(schedule.total)), held, end))
    return [row._replace(end=min(row.end, end)) for row in rows]


@rows_of.register
def _(schedule: Joined, begin: float) -> list[Row]:
    starts = (begin + start for start in begins(schedule.parts))
    return [row for part, start in zip(schedule.parts, starts, strict=True) for row in rows_of(part, start)]
