"""The live tuner: turn the learning rate of a network while it trains, go back, branch off, compare.

How page and kernel talk: a page that opens says ``hello`` and is sent everything; after that it is sent what is new,
ten times a second. It sends one message for each thing the learner does (`LiveTuner._obey` lists them), and keeps no
state, so a reload brings everything back, and what a slider can do a method can do.
"""

from __future__ import annotations

import functools
import os
import tempfile
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lrlab import moves, rules
from lrlab.instruments import drawing, hints, snapshot
from lrlab.instruments.curves import Curve
from lrlab.instruments.dials import dials_of
from lrlab.instruments.loop import Pace, check_script, check_speed, train
from lrlab.instruments.player import Player
from lrlab.instruments.tracks import Track, cut, describe
from lrlab.moves import Move
from lrlab.rules import Rule
from lrlab.run import Run
from lrlab.schedules import Recorded

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lrlab.instruments.page import Page

HINT_SECONDS = 1.0  # between two looks at the curves: a hint that flickers is noise
RATE_SECONDS = 1.0  # over which steps per second are measured


class LiveTuner(Player):
    """An instrument on a run: play, turn the knobs while it trains, rewind, branch, compare.

    Shown as the last line of a cell it is a widget; every control of the widget is a method here, so a script or a
    test can do all that a hand can. Training goes on in a thread, and the cell returns at once. Two things end it
    besides `pause` and `stop`: the kernel's interrupt, and a page that has been gone (cell deleted, notebook closed)
    for ten seconds. In Colab, where a thread cannot update the page, `play` blocks and redraws a picture instead.

    While a tuner works on a run, turn its knobs as you like (``run.lr = 0.02``), but leave training and rewinding to
    the tuner.

    Args:
        run: the run; it may have made steps already.
        speed: at most so many steps per second; None: as fast as the machine can. Small networks learn in a second
            or two: slow them down to have time to look.
        name: what to call the run in the picture.

    >>> from lrlab import Run, instruments
    >>> tuner = instruments.LiveTuner(Run("mlp", "digits", lr=0.1))
    >>> tuner.play(steps=100)
    >>> tuner.wait()
    >>> tuner.turn("lr", 0.02)
    >>> tuner.play(steps=50)
    >>> tuner.wait()
    >>> tuner.run.moves
    [(100, 'lr', 0.02)]
    """

    _doing = "the run is", "playing"

    def __init__(self, run: Run, *, speed: float | None = None, name: str = "main") -> None:
        if not isinstance(run, Run):
            raise TypeError(f"run must be a Run, got {type(run).__name__}; write LiveTuner(Run('mlp', 'digits'))")
        super().__init__()
        self._pace = Pace(check_speed(speed))
        self._tracks: list[Track] = []
        self._script: deque[Move] = deque()
        self._current = self._add_track(run, name, first=0)
        self._seen: Any = None  # of the run, when it was last shown
        self._sent: Any = None  # to the pages
        self._hint = ""
        self._hint_due = 0.0
        self._stopped = False
        self._times: deque[tuple[float, int]] = deque()
        drawing.after_each_cell(self._look_again)

    def _add_track(self, run: Run, name: str, first: int) -> Track:
        track = Track(len(self._tracks), name, len(self.runs), Curve(first), run)
        self._tracks.append(track)
        return track

    # What the tuner holds --------------------------------------------------------------------------------------------

    @property
    def run(self) -> Run:
        """The run that the controls act on."""
        assert self._current.run is not None
        return self._current.run

    @property
    def runs(self) -> list[Run]:
        """All runs of this tuner: the first one, its branches, resets and replays, in the order they were made."""
        return [track.run for track in self._tracks if track.run is not None]

    @property
    def speed(self) -> float | None:
        """At most so many steps per second; None: as fast as the machine can."""
        return self._pace.speed

    @speed.setter
    def speed(self, speed: float | None) -> None:
        self._pace.speed = check_speed(speed)

    def __repr__(self) -> str:
        return f"LiveTuner({self._tracks[0].run.title})"  # type: ignore[union-attr]

    # Training --------------------------------------------------------------------------------------------------------

    def play(self, steps: int | None = None) -> None:
        """Train on in the background; the call returns at once.

        Args:
            steps: how many steps; None: until `pause`.

        Raises:
            RuntimeError: if the run diverged (rewind it first), or a number of steps is given while it is playing.
        """
        with self._lock:
            if self._plays_already(steps):
                return
            if self.run.status == "diverged":
                raise RuntimeError(f"the run diverged at step {self.run.step}: rewind to before it, then turn lr down")
            self._take_over(self.run)
            task = functools.partial(train, self.run, self.run.steps(steps), self._script, self._pace)
            self._stopped = False
            self._times.clear()
            self._set_to_work(task, f"training {self.run.title}")
        self._show_work()

    def pause(self) -> None:
        """Stop after the step that is being made; returns when it is done. `play` goes on from there."""
        super().pause()

    def step_once(self) -> None:
        """Make one step; a run that is playing is paused first."""
        self.pause()
        self.play(steps=1)
        self.wait()

    def stop(self) -> None:
        """Pause, and let go of everything: no thread works for this tuner any more, and only your variable holds it.

        The widget keeps its last picture; `play` wakes it up again.
        """
        self.pause()
        self._stopped = True
        self._leave_the_screen()
        self._show_news()

    # Knobs -----------------------------------------------------------------------------------------------------------

    def turn(self, knob: str, value: Any) -> None:
        """Turn a knob of the run (see `Run.turn`); the next step uses it.

        Raises:
            ValueError or TypeError: for an unknown knob, or a value it does not accept.
        """
        self.run.turn(knob, value)
        self._show_news()

    def choose_rule(self, rule: Rule | str) -> None:
        """Go on with another update rule, with a fresh state: ``choose_rule("Adam")``."""
        self.turn("rule", rule)

    # Other pasts, other futures --------------------------------------------------------------------------------------

    def rewind(self, step: int) -> None:
        """Pause and go back to the moment when ``step`` steps were made. The future stays in the picture, in grey.

        Raises:
            ValueError: for a step beyond the run.
        """
        with self._lock:
            self.pause()
            track = self._current
            track.grow()
            future, end = cut(track.curve, step), track.curve.end
            self.run.rewind(step)
            if len(future.rows):
                self._tracks.append(Track(len(self._tracks), f"before rewind, {end:,}", track.slot, future, None))
            track.begin_again(step)
            self._script.clear()
        self._show_news()

    def branch(self, step: int | None = None) -> Run:
        """Pause and start a second run that shares the past up to ``step`` (None: up to now); it is current then.

        Raises:
            ValueError: for a step beyond the run.
        """
        with self._lock:
            self.pause()
            run = self.run.branch(step)
            return self._go_on_with(run, f"branch {self._next_number('branch')}", first=run.step)

    def reset(self, seed: int | None = None) -> Run:
        """Pause and start again at step 0 with the first settings and another seed (None: one not yet used here)."""
        with self._lock:
            self.pause()
            if seed is None:
                seed = 1 + max(run.seed for run in self.runs)
            return self._go_on_with(self.run.fresh(seed), f"seed {seed}")

    def add(self, run: Run, name: str) -> None:
        """Pause, and go on with a run that was made elsewhere; its curves are drawn beside the others."""
        with self._lock:
            self.pause()
            self._go_on_with(run, name, first=run.step)

    def _next_number(self, kind: str) -> int:
        return 1 + sum(track.name.startswith(kind) for track in self._tracks)

    def _go_on_with(self, run: Run, name: str, first: int = 0) -> Run:
        self._current = self._add_track(run, name, first)
        self._script.clear()
        self._show_news()
        return run

    def select(self, run: Run | int) -> None:
        """Pause and let the controls act on another of `runs`, given itself or by its place in the list.

        Raises:
            ValueError: if it is none of them.
        """
        with self._lock:
            tracks = self._run_tracks()
            chosen = [track for i, track in enumerate(tracks) if run is track.run or (type(run) is int and run == i)]
            if not chosen:
                raise ValueError(f"select: run must be one of tuner.runs or 0 to {len(tracks) - 1}, got {run!r}")
            self.pause()
            self._current = chosen[0]
            self._script.clear()
        self._show_news()

    def _run_tracks(self) -> list[Track]:
        return [track for track in self._tracks if track.run is not None]

    # Moves -----------------------------------------------------------------------------------------------------------

    def save_moves(self, path: str | os.PathLike[str]) -> Path:
        """Write the configuration and every move of the current run to a JSON file, for `replay`."""
        return self.run.save_moves(path)

    def replay(self, moves_or_path: str | os.PathLike[str] | Iterable[Move], steps: int | None = None) -> Run:
        """Start a new run that makes the same moves at the same steps, and play it.

        Args:
            moves_or_path: a file of `save_moves`, which brings its own configuration; or a list of moves, made on a
                fresh copy of the current run.
            steps: how many; None: as many as the file says, or as the current run has made.

        Raises:
            ValueError: for a damaged file, or moves that this run cannot make.
        """
        if isinstance(moves_or_path, (str, os.PathLike)):
            config, script = moves.load(moves_or_path)
            return self._replay(Run.replay(config, [], steps=0), script, steps or config.get("steps", 0))
        return self._replay(self.run.fresh(), moves.check_moves(moves_or_path), steps or self.run.step)

    def _replay(self, run: Run, script: list[Move], steps: int) -> Run:
        check_script(run.fresh(), script)
        with self._lock:
            self.pause()
            self._go_on_with(run, f"replay {self._next_number('replay')}")
            self._script.extend(script)
        self.play(max([steps, *(step + 1 for step, _, _ in script)]))
        return run

    def as_schedule(self) -> Recorded:
        """The learning rate that was applied so far, step by step, as a schedule for other runs.

        Raises:
            ValueError: before the first step.
        """
        lr = self.run.history["lr"]
        if not len(lr):
            raise ValueError("as_schedule: no step was made yet, so no rate was applied; play() first")
        starts = np.concatenate([[0], np.flatnonzero(np.diff(lr)) + 1])
        return Recorded(steps=tuple(starts.tolist()), values=tuple(lr[starts].tolist()))

    # Pictures --------------------------------------------------------------------------------------------------------

    def figure(self) -> Figure:
        """The curves as they are now, as a matplotlib figure. `alt` is its text for `figures.show`."""
        with self._lock:
            self._grow()
            return snapshot.figure(f"{self.run.title}: {self._story()}", self._in_order())

    @property
    def alt(self) -> str:
        """What `figure` shows, in words."""
        with self._lock:
            self._grow()
            words = [f"Live tuner, {self.run.title}: {self._story()}."]
            words += [describe(track) for track in self._run_tracks() if len(track.curve.rows)]
            ghosts = sum(track.run is None for track in self._tracks)
            return " ".join(words + ([f"Futures cut off by rewinding, in grey: {ghosts}."] if ghosts else []))

    def _story(self) -> str:
        turns = sum(knob == "lr" for _, knob, _ in self.run.moves)
        times = {0: "never turned", 1: "turned once"}.get(turns, f"turned {turns} times")
        return f"{self.run.step:,} steps, the learning rate {times}"

    def _grow(self) -> None:
        for track in self._tracks:
            track.grow()

    def _in_order(self) -> list[Track]:
        """Ghosts first, the current run last: what is drawn later lies on top."""
        return sorted(self._tracks, key=lambda track: (track.run is not None, track is self._current))

    def _picture_key(self) -> Any:
        return (self._current.number, self.run.step, len(self._tracks), self._stopped) if self.run.step else None

    # The page --------------------------------------------------------------------------------------------------------

    def _new_page(self) -> Page:
        from lrlab.instruments.page import TunerPage  # a page opens a channel to the front end: not before it is needed

        return TunerPage(repr(self), self._hear)

    def _look_again(self) -> None:
        """A cell has run; it may have turned a knob of the run itself."""
        if self._seen != self._glance():
            self._show_news()

    def _glance(self) -> Any:
        return (self.run.step, self.run.status, self.run.moves)

    def _obey(self, message: dict[str, Any]) -> None:
        match message:
            case {"do": "turn", "knob": str(knob), "value": value}:
                self.turn(knob, value)
            case {"do": "play"}:
                self.play()
            case {"do": "pause"}:
                self.pause()
            case {"do": "step"}:
                self.step_once()
            case {"do": "rewind", "step": int(step)}:
                self.rewind(step)
            case {"do": "branch", "step": int() | None as step}:
                self.branch(step)
            case {"do": "reset"}:
                self.reset()
            case {"do": "stop"}:
                self.stop()
            case {"do": "select", "run": int(place)}:
                self.select(place)
            case {"do": "speed", "speed": int() | float() as speed}:
                self.speed = speed or None
            case {"do": "save", "view": str(view)}:
                self._tell({"is": "file", "view": view, "name": "moves.json", "text": self._moves_text()})
            case {"do": "replay", "text": str(text)}:
                config, script = moves.parse(text, "the file you chose")
                self._replay(Run.replay(config, [], steps=0), script, config.get("steps", 0))
            case {"do": "schedule", "view": str(view)}:
                self._tell({"is": "copy", "view": view, "text": f"schedules.{self.as_schedule()!r}"})
            case _:
                raise ValueError(f"the page sent {message!r}, which this tuner does not know")

    def _tell(self, message: dict[str, Any], buffers: Iterable[bytes] = ()) -> None:
        self._page().tell(message, list(buffers))

    def _moves_text(self) -> str:
        with tempfile.TemporaryDirectory() as folder:
            return self.save_moves(Path(folder) / "moves.json").read_text(encoding="utf-8")

    # What is new -----------------------------------------------------------------------------------------------------

    def _news(self, fresh: bool) -> tuple[dict[str, Any], list[bytes]]:
        self._grow()
        self._seen = self._glance()
        seen = (self._seen, self._current, [track.curve.end for track in self._tracks])
        if fresh:
            for track in self._tracks:
                track.unsent, track.moves_sent = 0, 0
        elif seen == self._sent:
            return {"tracks": []}, []
        self._sent = seen
        # Which track is current may have changed; so all runs are described, and rows sent where there are new ones.
        news = [track.news(self._kind(track)) for track in self._tracks if track.unsent is not None or track.run]
        return {"tracks": [about for about, _ in news]}, [rows for _, rows in news]

    def _kind(self, track: Track) -> str:
        if track.run is None:
            return "ghost"
        return "current" if track is self._current else "run"

    def _state(self) -> dict[str, Any]:
        run = self.run
        return {
            "about": f"{run.title} · {run.parameters:,} parameters · {run.device.type}",
            "status": "running" if self.playing else run.status,
            "stopped": self._stopped,
            "step": run.step,
            "epoch": run.epoch,
            "rate": self._measured_speed(run.step),
            "speed": self.speed or 0,
            "rule": type(run.rule).__name__ if run.rule is not None else "torch optimizer",
            "rules": list(rules.RULES) if run.rule is not None else ["torch optimizer"],
            "runs": [track.name for track in self._run_tracks()],
            "current": self._run_tracks().index(self._current),
            "knobs": dials_of(run),
            "hint": self._look(),
            "error": self._error,
        }

    def _measured_speed(self, step: int) -> float:
        if not self.playing:
            return 0.0
        now = time.monotonic()
        self._times.append((now, step))
        while now - self._times[0][0] > RATE_SECONDS:
            self._times.popleft()
        seconds, steps = now - self._times[0][0], step - self._times[0][1]
        return steps / seconds if seconds else 0.0

    def _look(self) -> str:
        """The hint for the current run, thought over once a second."""
        now = time.monotonic()
        if now >= self._hint_due or not self.playing:
            self._hint_due = now + HINT_SECONDS
            self._hint = str(hints.hint_of(self.run) or "")
        return self._hint
