"""What the training thread of a tuner does: the run's own loop, at a pace, with the moves of a script."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Generator
from typing import Any

from lrlab.moves import Move
from lrlab.run import Record, Run


class Pace:
    """Holds a loop back to a number of steps per second; None lets it run as fast as it can."""

    def __init__(self, speed: float | None) -> None:
        self.speed = speed
        self._due = time.monotonic()

    def rest(self, interrupted: threading.Event) -> None:
        """Wait until the next step is due, or until the event is set."""
        speed = self.speed  # another thread may change it
        if speed is None:
            return
        now = time.monotonic()
        self._due = max(self._due + 1 / speed, now - 1 / speed)  # a loop that was slow does not hurry afterwards
        interrupted.wait(max(0.0, self._due - now))


def train(
    run: Run,
    records: Generator[Record, None, None],
    script: deque[Move],
    pace: Pace,
    asked_to_stop: threading.Event,
) -> None:
    """The task of the training thread: drive the run's own loop, at a pace, with the moves of a script.

    It holds the run but not the tuner, so that a tuner nobody uses can go.
    """
    with contextlib.closing(records):
        _turn_due(run, script, run.step)
        for record in records:
            _turn_due(run, script, record.step)
            if asked_to_stop.is_set():
                break
            pace.rest(asked_to_stop)


def _turn_due(run: Run, script: deque[Move], step: int) -> None:
    while script and script[0][0] <= step:
        _, knob, value = script.popleft()
        run.turn(knob, value)


def check_script(run: Run, script: list[Move]) -> None:
    """Make all moves on a run that is thrown away, so that a log it cannot follow is refused before it plays."""
    for position, (step, knob, value) in enumerate(script):
        try:
            run.turn(knob, value)
        except (TypeError, ValueError) as error:
            raise ValueError(f"move {position} (step {step}): {error}") from None


def check_speed(speed: Any) -> float | None:
    """The speed as a float, or None; ValueError if it is neither."""
    if speed is None:
        return None
    if isinstance(speed, bool) or not isinstance(speed, (int, float)) or not 0 < speed < float("inf"):
        raise ValueError(f"speed must be a number of steps per second above 0, or None for no limit; got {speed!r}")
    return float(speed)
