"""The curves of one tuner, each with the run it follows and what of it the pages have been sent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lrlab.instruments.curves import ACCURACY, LR, SMOOTH, Curve, LagFreeCurve
from lrlab.moves import Move
from lrlab.run import Run


@dataclass(eq=False)
class Track:
    """One curve of the picture: a run, or (``run`` is None) the future that a rewind has cut off."""

    number: int
    name: str
    slot: int  # colour and line style
    curve: Curve
    run: Run | None
    moves: list[Move] = field(default_factory=list)
    unsent: int | None = 0  # the first row that the pages do not have yet; None: they have them all
    moves_sent: int = 0

    def grow(self) -> None:
        """Take in what the run has done since the last time."""
        if self.run is None:
            return
        if len(self.run.history) < self.curve.end:  # somebody has rewound the run itself
            self.begin_again(len(self.run.history))
        self.moves = self.run.moves
        if isinstance(self.curve, LagFreeCurve):
            self.curve.turn_at(step for step, _, _ in self.moves)
        changed = self.curve.grow(self.run.history)
        self.unsent = changed if self.unsent is None else min(self.unsent, changed)

    def begin_again(self, step: int) -> None:
        """Forget the curve: its run has gone back to ``step``."""
        self.curve = type(self.curve)(min(self.curve.first, step))
        self.unsent, self.moves_sent = 0, 0

    def last(self, column: int) -> float:
        """The last finite value of a column; NaN if there is none."""
        values = self.curve.rows[:, column]
        finite = values[np.isfinite(values)]
        return float(finite[-1]) if len(finite) else float("nan")

    def news(self, kind: str) -> tuple[dict[str, Any], bytes]:
        """The rows and moves that the pages do not have yet, as a description and the bytes of the rows."""
        at = len(self.curve.rows) if self.unsent is None else self.unsent
        description = {
            "id": self.number,
            "label": self.name,
            "kind": kind,
            "slot": self.slot,
            "first": self.curve.first,
            "end": self.curve.end,
            "width": self.curve.width,
            "at": at,
            "moves": [[step, knob, in_words(value)] for step, knob, value in self.moves[self.moves_sent :]],
            "moves_at": self.moves_sent,
        }
        self.unsent, self.moves_sent = None, len(self.moves)
        return description, self.curve.rows[at:].tobytes()


def cut(curve: Curve, step: int) -> Curve:
    """The part of a curve after ``step``, as a curve of its own."""
    skipped = max(0, -(-(step - curve.first) // curve.width))
    future = Curve(curve.first + skipped * curve.width)
    future.width, future.rows, future.end = curve.width, curve.rows[skipped:], curve.end
    return future


def in_words(value: Any) -> str:
    """The value of a move: a number with three digits, a rule or schedule by its name, factors by their paths."""
    if isinstance(value, dict) and isinstance(value.get("name"), str):
        return str(value["name"])
    if isinstance(value, dict):
        return ", ".join(f"{path}: {factor:.3g}" for path, factor in value.items()) or "1"
    return "none" if value is None else f"{value:.3g}"


def describe(track: Track) -> str:
    """The curve in a sentence."""
    smooth = track.curve.rows[np.isfinite(track.curve.rows[:, SMOOTH]), SMOOTH]
    loss = f"smoothed loss from {smooth[0]:.3g} to {smooth[-1]:.3g}" if len(smooth) else "no finite loss"
    accuracy = track.last(ACCURACY)
    checked = f", validation accuracy {accuracy:.1%}" if np.isfinite(accuracy) else ""
    return f"{track.name}: {loss}{checked}, last applied learning rate {track.last(LR):.3g}."
