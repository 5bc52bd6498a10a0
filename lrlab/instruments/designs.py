"""The designs on one plot: schedules that are chosen, joined, moved and drawn, and every change can be taken back."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from typing import Any

import numpy as np

from lrlab import figures, knobs
from lrlab.instruments import notation, pieces
from lrlab.instruments.grips import Grip, chosen, grips, inserted, removed, with_piece
from lrlab.instruments.pieces import KINDS, joined, pieces_of
from lrlab.instruments.player import Player
from lrlab.instruments.racers import unknown
from lrlab.schedules import Recorded, Schedule

MOST_DESIGNS = len(figures.PALETTE)
MOST_UNDONE = 200
POINTS = 600  # of a curve, at most; a jump looks upright with so many


@dataclass(frozen=True)
class Design:
    """One schedule on the plot. It never changes: a change puts another one in its place.

    Args:
        number: tells it from all others, also from those that were removed.
        slot: its colour and line style.
        schedule: the schedule.
        name: what it was called; "": it is called by its pieces.
        total: the length of the plot, in steps.
    """

    number: int
    slot: int
    schedule: Schedule
    name: str
    total: int

    @property
    def parts(self) -> tuple[Schedule, ...]:
        """The pieces."""
        return pieces_of(self.schedule)

    @property
    def called(self) -> str:
        """Its name, or the kinds of its pieces."""
        return self.name or " → ".join(map(pieces.kind_of, self.parts))

    @cached_property
    def grips(self) -> list[Grip]:
        """What can be moved, as far as it lies on the plot."""
        return [grip for grip in grips(self.schedule, self.total) if grip.t <= self.total]

    @cached_property
    def rates(self) -> np.ndarray:
        """The rates at equal distances from 0 to `total`.

        Raises:
            ValueError: one of them is no rate, which a class of one's own may have.
        """
        points = self.total if 100 <= self.total <= POINTS else POINTS
        times = np.linspace(0, self.total, points + 1)
        rates = self.schedule(times)
        for time, rate in zip(times, rates, strict=True):
            if not 0 <= rate < math.inf:
                raise ValueError(f"{self.called}: a rate must be finite and at least 0, got {rate:g} at step {time:g}")
        return rates


class Board(Player):
    """The part of the designer that knows nothing of pages and training: the designs, and what can be done to them.

    Args:
        total: the length of the plot, in steps.
        schedules: the first designs, at least one.
    """

    def __init__(self, total: int, schedules: Sequence[Schedule]) -> None:
        super().__init__()
        self.total = whole_number("total", total, 2, 10**7, "It is the number of steps: try 300.")
        self._past: list[tuple[Any, tuple[Design, ...], int]] = []  # what each change was about, and how it was before
        self._designs: tuple[Design, ...] = ()
        self._selected = self._made = 0
        for schedule in schedules or (pieces.sample("Cosine", 0.1, self.total),):
            self.add(schedule)
        self._selected = 0
        self._past.clear()

    # What it holds ---------------------------------------------------------------------------------------------------

    @property
    def names(self) -> list[str]:
        """The names of the designs; those called alike are numbered."""
        called = [design.called for design in self._designs]
        alike = [called[:i].count(name) for i, name in enumerate(called)]
        return [f"{name} {n + 1}" if n else name for name, n in zip(called, alike, strict=True)]

    @property
    def schedules(self) -> dict[str, Schedule]:
        """The designs by name."""
        return {name: design.schedule for name, design in zip(self.names, self._designs, strict=True)}

    @property
    def schedule(self) -> Schedule:
        """The selected design, for ``Run(lr=...)``."""
        return self._design.schedule

    @property
    def selected(self) -> str:
        """The name of the selected design."""
        return self.names[self._selected]

    @property
    def code(self) -> str:
        """The selected design as Python code, with ``from lrlab import schedules`` before it."""
        return notation.code(self.schedule)

    @property
    def formula(self) -> str:
        """The selected design as a formula, one line for each case; t counts the steps from 0."""
        return "\n".join(f"α(t) = {row}" for row in notation.formula(self.schedule, self.total))

    @property
    def handles(self) -> dict[str, tuple[float, float]]:
        """What `move` can move on the selected design: each handle's name, and where it is, (step, rate)."""
        return {grip.name: (grip.t, grip.lr) for grip in self._design.grips}

    @property
    def parameters(self) -> list[dict[str, Any]]:
        """For each piece of the selected design its parameters, which `turn` turns."""
        return [pieces.parameters(part) for part in self._design.parts]

    @property
    def _design(self) -> Design:
        return self._designs[self._selected]

    # Several designs -------------------------------------------------------------------------------------------------

    def add(self, schedule: Schedule | None = None, name: str = "") -> None:
        """Put one more design on the plot and select it.

        Args:
            schedule: its time in steps; None: a cosine with the highest rate of the selected design.
            name: what to call it; "": by its pieces.

        Raises:
            TypeError, ValueError: no schedule; a name there is already; more designs than can be told apart.
        """
        if schedule is None:
            schedule = pieces.sample("Cosine", pieces.neat(self._design.rates.max()), self.total)
        if not isinstance(schedule, Schedule):
            remedy = f"Write schedules.Constant({schedule!r})." if isinstance(schedule, Real) else ""
            raise TypeError(f"add: schedule must be one of lrlab.schedules, not {schedule!r}. {remedy}".rstrip())
        if len(self._designs) == MOST_DESIGNS:
            raise ValueError(f"add: there are {MOST_DESIGNS} designs, and more cannot be told apart: remove one first")
        used = {design.slot for design in self._designs}
        slot = next(slot for slot in range(MOST_DESIGNS) if slot not in used)
        self._made += 1
        design = Design(self._made, slot, schedule, self._checked_name(name), self.total)
        self._change((*self._designs, design), len(self._designs))

    def duplicate(self) -> None:
        """Put a copy of the selected design on the plot and select it: to change one thing and compare."""
        self.add(self.schedule)

    def remove(self, name: str | None = None) -> None:
        """Take a design off the plot (None: the selected one).

        Raises:
            ValueError: no such design (the nearest is suggested), or it is the only one.
        """
        place = self._selected if name is None else self._place(name)
        if len(self._designs) == 1:
            raise ValueError("remove: this is the only design; choose another schedule for it instead")
        left = (*self._designs[:place], *self._designs[place + 1 :])
        self._change(left, min(self._selected - (place < self._selected), len(left) - 1))

    def rename(self, name: str) -> None:
        """Call the selected design so; "" calls it by its pieces again.

        Raises:
            TypeError, ValueError: no text, or the name of another design.
        """
        self._put(dataclasses.replace(self._design, name=self._checked_name(name)))

    def select(self, name: str) -> None:
        """Let handles, formula and code be those of this design.

        Raises:
            ValueError: no such design (the nearest is suggested).
        """
        self._selected = self._place(name)
        self._show_news()

    def _place(self, name: Any) -> int:
        if name not in self.names:
            raise ValueError(unknown("design", name, self.names, of="this plot"))
        return self.names.index(name)

    def _checked_name(self, name: Any) -> str:
        if not isinstance(name, str):
            raise TypeError(f"name must be a text, not {name!r}")
        if name and name != self._own_name() and name in self.names:
            raise ValueError(f"name = {name!r} is the name of another design: choose one that is free")
        return name.strip()[:40]

    def _own_name(self) -> str:
        return self._design.name if self._designs else ""

    # One design ------------------------------------------------------------------------------------------------------

    def choose(self, kind: str, piece: int = 0) -> None:
        """Let a piece of the selected design be of another kind, as high and as long as the one that was there.

        Args:
            kind: the name of a schedule, such as "Cosine".
            piece: its number, from 0.

        Raises:
            ValueError: no such kind (the nearest is suggested) or piece.
        """
        parts = self._parts_with(piece)
        self._put_parts(chosen(parts, piece, _kind(kind), self.total))

    def join(self, kind: str | Schedule, at: int | None = None) -> None:
        """Join one more piece to the selected design.

        Args:
            kind: the name of a schedule, which takes its time from its neighbour; or a schedule, which follows the last
                piece as it is, as ``.then()`` lets it.
            at: before which piece; None: behind the last one.

        Raises:
            TypeError, ValueError: no such kind or piece; no time is left; a schedule that cannot follow.
        """
        parts = self._design.parts
        at = len(parts) if at is None else whole_number("at", at, 0, len(parts), "It is the number of a piece.")
        if isinstance(kind, Schedule):
            self._put_parts(pieces_of(joined((*parts[:at], kind, *parts[at:]))))
        else:
            self._put_parts(inserted(parts, at, _kind(kind), self.total))

    def drop(self, piece: int) -> None:
        """Take a piece out of the selected design; the next one, or else the one before, has its time.

        Raises:
            ValueError: no such piece, or it is the only one.
        """
        parts = self._parts_with(piece)
        if len(parts) == 1:
            raise ValueError("drop: this is the only piece; choose another kind for it instead")
        self._put_parts(removed(parts, piece, self.total))

    def turn(self, parameter: str, value: Any, piece: int = 0) -> None:
        """Set a parameter of a piece of the selected design.

        Raises:
            TypeError, ValueError: no such piece or parameter (the nearest is suggested), or a value that it refuses.
        """
        parts = self._parts_with(piece)
        known = pieces.parameters(parts[piece])
        if parameter not in known:
            raise ValueError(unknown("parameter", parameter, known, of=pieces.names_of(parts)[piece]))
        changed = pieces.with_parameter(parts[piece], parameter, value)
        self._put_parts(with_piece(parts, piece, changed), ("turn", piece, parameter))

    def move(self, handle: str, step: float, lr: float) -> None:
        """Move a handle of the selected design to another place; one that goes in one direction only keeps the other.

        Args:
            handle: one of `handles`.
            step: in steps, from 0 to `total`.
            lr: the rate there, at least 0.

        Raises:
            TypeError, ValueError: no such handle (the nearest is suggested), a place off the plot, or one where the
                schedule cannot go.
        """
        grip = self._grip(handle)
        step = knobs.check_number("step", step, lambda t: 0 <= t <= self.total, f"from 0 to {self.total}")
        step = int(step) if step.is_integer() else step
        allowed = "at least 0" if grip.zero else "greater than 0 for this handle"
        lr = knobs.check_number("lr", lr, lambda rate: rate > 0 or (grip.zero and rate == 0), allowed)
        self._put_parts(pieces_of(grip.move(step, lr)), ("move", handle))

    def _grip(self, name: Any) -> Grip:
        for grip in self._design.grips:
            if grip.name == name:
                return grip
        raise ValueError(unknown("handle", name, self.handles, of=self.selected))

    def draw(self, points: Iterable[tuple[float, float]]) -> None:
        """Draw a schedule by hand: from each point on, its rate holds.

        A drawing that is selected is drawn anew; otherwise it becomes a design of its own.

        Args:
            points: (step, rate) each; the steps rise, and the first rate holds from 0 on.

        Raises:
            TypeError, ValueError: no points, steps that do not rise, or a rate that is none.
        """
        pairs = [tuple(point) for point in points]
        if not pairs or any(len(pair) != 2 for pair in pairs):
            raise ValueError(f"draw: points must be pairs (step, rate), at least one, got {pairs!r:.80}")
        steps = [round(knobs.check_number("step", step, lambda t: t >= 0, "at least 0")) for step, _ in pairs]
        trace = Recorded((0, *steps[1:]), tuple(rate for _, rate in pairs))
        if isinstance(self.schedule, Recorded):
            self._put_parts((trace,))
        else:
            self.add(trace)

    def add_point(self, handle: str) -> None:
        """Behind a point of a drawing or a cut of a `MultiStep`, add another one.

        Raises:
            ValueError: no such handle, or none of a point; there is no whole step for it.
        """
        self._change_points(handle, pieces.with_a_point_more)

    def remove_point(self, handle: str) -> None:
        """Take away a point of a drawing or a cut of a `MultiStep`.

        Raises:
            ValueError: no such handle, or none of a point; it is the only one.
        """
        self._change_points(handle, pieces.with_a_point_less)

    def _change_points(self, handle: str, change: Callable[[Schedule, int, float], Schedule]) -> None:
        self._grip(handle)
        parts = self._design.parts
        names = pieces.names_of(parts) if len(parts) > 1 else [""]
        i = next(i for i, name in enumerate(names) if handle.startswith(f"{name} ") or not name)
        number = handle.split()[-1]
        if not number.isdigit():
            raise ValueError(f"handle = {handle!r} is no point of a drawing and no cut: nothing to add or remove")
        changed = change(parts[i], int(number) - 1, pieces.rooms(parts, self.total)[i])
        self._put_parts(with_piece(parts, i, changed))

    def undo(self) -> None:
        """Take back the last change to the designs; moves of one handle, one after another, are one change."""
        with self._lock:
            if self._past:
                _, self._designs, self._selected = self._past.pop()
        self._show_news()

    def _parts_with(self, piece: Any) -> tuple[Schedule, ...]:
        parts = self._design.parts
        whole_number("piece", piece, 0, len(parts) - 1, f"{self.selected} has {len(parts)} pieces, counted from 0.")
        return parts

    def _put_parts(self, parts: Sequence[Schedule], about: Any = None) -> None:
        self._put(dataclasses.replace(self._design, schedule=joined(parts)), about)

    def _put(self, design: Design, about: Any = None) -> None:
        place = self._selected
        self._change((*self._designs[:place], design, *self._designs[place + 1 :]), place, about)

    def _change(self, designs: tuple[Design, ...], selected: int, about: Any = None) -> None:
        """All changes go through here. Those `about` the same thing, one after another, are undone as one."""
        for design in designs:
            _ = design.rates  # a schedule that fails on the plot must not get onto it
        with self._lock:
            about = about and (*about, selected)
            if about is None or not self._past or self._past[-1][0] != about:
                self._past = [*self._past[-MOST_UNDONE:], (about, self._designs, self._selected)]
            self._designs, self._selected = designs, selected
        self._show_news()


# What is given, and whether it is right -------------------------------------------------------------------------------


def whole_number(name: str, value: Any, least: int, most: int, remedy: str) -> int:
    message = f"{name} must be a whole number from {least:,} to {most:,}, not {value!r}. {remedy}"
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(message)
    if not least <= value <= most:
        raise ValueError(message)
    return value


def _kind(kind: Any) -> str:
    if kind not in KINDS:
        raise ValueError(unknown("kind", kind, KINDS, of="lrlab.schedules"))
    return kind
