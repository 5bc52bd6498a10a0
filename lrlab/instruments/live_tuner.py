"""The live tuner: turn the learning rate of a network while it trains, go back, branch off, compare.

How page and kernel talk: a page that opens says ``hello`` and is sent everything; after that it is sent what is new,
ten times a second. It sends one message for each thing the learner does (`LiveTuner._obey` lists them), and keeps no
state, so a reload brings everything back, and what a slider can do a method can do.
"""

from __future__ import annotations

import functools
import os
import sys
import tempfile
import threading
import time
import uuid
import weakref
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lrlab import figures, moves, rules
from lrlab.instruments import drawing, hints, snapshot, worker
from lrlab.instruments.curves import Curve
from lrlab.instruments.dials import dials_of
from lrlab.instruments.loop import Pace, check_script, check_speed, train
from lrlab.instruments.tracks import Track, cut, describe
from lrlab.moves import Move
from lrlab.rules import Rule
from lrlab.run import Run
from lrlab.schedules import Recorded

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lrlab.instruments.page import Page

ABSENT_SECONDS = 10.0  # a reloaded page is back within this time; after it, nobody is watching
REST_SECONDS = 0.4  # a run at rest for this long gets its picture drawn
HINT_SECONDS = 1.0  # between two looks at the curves: a hint that flickers is noise
RATE_SECONDS = 1.0  # over which steps per second are measured
COLAB_SECONDS = 1.0  # between two pictures where a blocking run has to do

# Tuners on a page are kept alive, also those that no variable holds.
_on_screen: set[LiveTuner] = set()

# Which tuner trains a run. The cell that makes a tuner may be run twice; the newer one takes over.
_drivers: weakref.WeakKeyDictionary[Run, weakref.ref[LiveTuner]] = weakref.WeakKeyDictionary()


class _Belongings:
    """What must end with a tuner. It does not know the tuner, so that it can outlive it."""

    def __init__(self) -> None:
        self.worker: worker.Worker | None = None
        self.page: Page | None = None

    def let_go(self) -> None:
        if self.worker is not None:
            self.worker.ask_to_stop()
        if self.page is not None:
            self.page.close()


class LiveTuner:
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

    def __init__(self, run: Run, *, speed: float | None = None) -> None:
        if not isinstance(run, Run):
            raise TypeError(f"run must be a Run, got {type(run).__name__}; write LiveTuner(Run('mlp', 'digits'))")
        self._pace = Pace(check_speed(speed))
        # Held while tracks change: cells, pages and the drawing thread may all come from threads of their own.
        self._lock = threading.RLock()
        self._tracks: list[Track] = []
        self._script: deque[Move] = deque()
        self._current = self._add_track(run, "main", first=0)
        self._belongings = _Belongings()
        weakref.finalize(self, self._belongings.let_go).atexit = False
        self._forget_pages()
        self._display_id = uuid.uuid4().hex
        self._pictured: Any = None  # what the last picture showed
        self._problem = self._hint = ""
        self._hint_due = 0.0
        self._stopped = False
        self._times: deque[tuple[float, int]] = deque()
        worker.pause_when_interrupted()
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
    def playing(self) -> bool:
        """Whether the run is training."""
        return self._belongings.worker is not None and not self._belongings.worker.finished

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
            if self.playing:
                if steps is not None:
                    raise RuntimeError("play(steps=...): the run is playing already; pause() first")
                return
            if self.run.status == "diverged":
                raise RuntimeError(f"the run diverged at step {self.run.step}: rewind to before it, then turn lr down")
            self._take_over()
            task = functools.partial(train, self.run, self.run.steps(steps), self._script, self._pace)
            self._stopped = False
            self._times.clear()
            self._belongings.worker = worker.Worker(task, name=f"lrlab training {self.run.title}").start()
        self._show_news()
        if in_colab():
            self._block_and_redraw()

    def _take_over(self) -> None:
        driver = _drivers.get(self.run, lambda: None)()
        if driver is not None and driver is not self:
            driver.pause()
        _drivers[self.run] = weakref.ref(self)

    def pause(self) -> None:
        """Stop after the step that is being made; returns when it is done. `play` goes on from there."""
        if self._belongings.worker is not None:
            self._belongings.worker.stop()
        self._show_news()

    def step_once(self) -> None:
        """Make one step; a run that is playing is paused first."""
        self.pause()
        self.play(steps=1)
        self.wait()

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the run has used up its steps or was paused. Interrupting the wait pauses the run.

        A page's controls may have no effect while a cell waits: this is for scripts, tests and headless runs.

        Args:
            timeout: at most so many seconds.

        Raises:
            TimeoutError: the run is still playing after ``timeout`` seconds.
            Exception: whatever training raised.
        """
        if self._belongings.worker is None:
            return
        try:
            finished = self._belongings.worker.wait(timeout)
        except KeyboardInterrupt:
            self.pause()
            raise
        if not finished:
            raise TimeoutError(f"the run is still playing after {timeout} s; pause() it, or wait longer")

    def stop(self) -> None:
        """Pause, and let go of everything: no thread works for this tuner any more, and only your variable holds it.

        The widget keeps its last picture; `play` wakes it up again.
        """
        self.pause()
        self._stopped = True
        _on_screen.discard(self)
        self._show_news()

    def _block_and_redraw(self) -> None:
        """Colab shows nothing that a thread sends, so this one waits and draws."""
        assert self._belongings.worker is not None
        try:
            while not self._belongings.worker.wait(COLAB_SECONDS):
                self._publish_picture()
        except KeyboardInterrupt:  # Colab's stop button is the pause button here
            self.pause()
        self._publish_picture()

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

    def _publish_picture(self) -> None:
        """Put the picture where it survives the page: in the notebook, under the widget's display id."""
        from IPython.display import display

        self._pictured = self._picture_key()
        data, metadata = figures.bundle(self.figure(), self.alt)
        display(data, metadata=metadata, raw=True, display_id=self._display_id, update=True)

    def _picture_key(self) -> Any:
        return (self._current.number, self.run.step, len(self._tracks), self._stopped)

    # The page --------------------------------------------------------------------------------------------------------

    def _ipython_display_(self) -> None:
        from IPython.display import display

        if in_colab():
            data, metadata = figures.bundle(self.figure(), self.alt)
            display(data, metadata=metadata, raw=True, display_id=self._display_id)
            return
        display(self._page(), raw=False)
        # Here the picture will stand for those who open the notebook without a kernel. It is put there only when a
        # page is open: a notebook that is executed without one (nbval) gets no update messages.
        display({"text/html": '<div class="lrlab-picture"></div>'}, raw=True, display_id=self._display_id)
        _on_screen.add(self)

    def _page(self) -> Page:
        if self._belongings.page is None:
            from lrlab.instruments.page import (
                TunerPage,  # a page opens a channel to the front end: not before it is needed
            )

            self._belongings.page = TunerPage(repr(self), self._hear)
        return self._belongings.page

    def _forget_pages(self) -> None:
        self._views: set[str] = set()
        self._gone_since: float | None = None
        self._fresh: bool = False  # a page has opened and must be sent everything
        self._heard: dict[str, int] = {}
        self._said: Any = None
        self._seen: Any = None
        self._rested_since = 0.0

    def _show_news(self) -> None:
        """Let the drawing thread come by, if there is somebody to draw for."""
        self._rested_since = time.monotonic()
        if self._views:
            drawing.watch(self)

    def _look_again(self) -> None:
        """A cell has run; it may have turned a knob of the run itself."""
        if self._seen != self._glance():
            self._show_news()

    def _glance(self) -> Any:
        return (self.run.step, self.run.status, self.run.moves)

    def _hear(self, message: Any) -> None:
        """A page has said something. What goes wrong is shown there, not raised: no cell is running."""
        try:
            self._obey(message)
            if message.get("do") not in ("hello", "goodbye"):
                self._problem = ""
        except Exception as error:
            self._problem = f"{error}"
        self._show_news()

    def _obey(self, message: dict[str, Any]) -> None:
        match message:
            case {"do": "hello", "view": str(view)}:
                self._views.add(view)
                self._gone_since, self._fresh = None, True
                _on_screen.add(self)
            case {"do": "goodbye", "view": str(view)}:
                self._views.discard(view)
                if not self._views:
                    self._gone_since = time.monotonic()
                    drawing.watch(self)
            case {"do": "turn", "knob": str(knob), "value": value, "view": str(view), "seq": int(number)}:
                try:
                    self.turn(knob, value)
                finally:  # not before: the page takes a value that it is sent along with its number for the new one
                    self._heard[view] = number
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

    # The drawing thread's visit --------------------------------------------------------------------------------------

    def _draw(self) -> bool:
        """Called by the drawing thread: send what is new; True: come again."""
        if self._views:
            playing = self.playing  # asked before the news is sent: what happens meanwhile is news for the next time
            with self._lock:
                self._send_news()
            return playing or self._draw_picture()
        return self._gone_since is not None and self._wait_for_a_page()

    def _send_news(self) -> None:
        fresh, self._fresh = self._fresh, False
        if fresh:
            for track in self._tracks:
                track.unsent, track.moves_sent = 0, 0
        self._grow()
        self._seen, state = self._glance(), self._state()
        changed = [t for t in self._tracks if fresh or t.unsent is not None or t.moves_sent != len(t.moves)]
        said = (state, [track.curve.end for track in self._tracks], self._current)
        if not fresh and said == self._said:
            return
        self._said = said
        # All are described, because which one is current may have changed; rows are sent where there are new ones.
        news = [track.news(self._kind(track)) for track in self._tracks if fresh or track in changed or track.run]
        self._tell(
            {"is": "news", "fresh": fresh, "state": state, "tracks": [about for about, _ in news]},
            [rows for _, rows in news],
        )

    def _kind(self, track: Track) -> str:
        if track.run is None:
            return "ghost"
        return "current" if track is self._current else "run"

    def _draw_picture(self) -> bool:
        """Publish the picture of a run that has come to rest; True: not yet."""
        if self._pictured == self._picture_key() or self.run.step == 0:
            return False
        if time.monotonic() - self._rested_since < REST_SECONDS:
            return True
        self._publish_picture()
        return False

    def _wait_for_a_page(self) -> bool:
        """All pages are gone. A reloaded one comes back soon; else nobody watches, and the run is paused."""
        assert self._gone_since is not None
        if time.monotonic() - self._gone_since < ABSENT_SECONDS:
            return True
        self._gone_since = None
        self.pause()
        _on_screen.discard(self)
        return False

    def _state(self) -> dict[str, Any]:
        run, error = self.run, self._belongings.worker and self._belongings.worker.error
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
            "problem": self._problem,
            "error": f"{type(error).__name__}: {error}" if error is not None else "",
            "heard": dict(self._heard),
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


def in_colab() -> bool:
    """Whether this is a Colab notebook."""
    return "google.colab" in sys.modules
