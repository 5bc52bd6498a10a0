"""What instruments share that work in the background: one thread at a time, which can be waited for and slowed down."""

from __future__ import annotations

import weakref
from typing import Any, ClassVar

from lrlab.instruments import worker
from lrlab.instruments.instrument import Instrument, in_colab
from lrlab.instruments.loop import Pace, check_speed
from lrlab.run import Run

COLAB_SECONDS = 1.0  # between two pictures where a blocking cell has to do

# Which instrument trains a run. The cell that makes an instrument may be run twice; the newer one takes over.
_drivers: weakref.WeakKeyDictionary[Run, weakref.ref[Player]] = weakref.WeakKeyDictionary()


class Player(Instrument):
    """The base of instruments that work in the background; a subclass begins with `_set_to_work`."""

    #: How the work is spoken of: "the race is" (still) "on" (already).
    _doing: ClassVar[tuple[str, str]]
    #: What ends it.
    _way_out: ClassVar[str] = "pause()"

    def __init__(self) -> None:
        super().__init__()
        worker.pause_when_interrupted()

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the work in the background is over or was paused. Interrupting the wait ends it.

        A page's controls may have no effect while a cell waits: this is for scripts, tests and headless runs.

        Args:
            timeout: at most so many seconds.

        Raises:
            TimeoutError: it is not over after ``timeout`` seconds.
            Exception: whatever the model, the loss or the data raised.
        """
        if self._belongings.worker is None:
            return
        try:
            finished = self._belongings.worker.wait(timeout)
        except KeyboardInterrupt:
            self._end_work()
            raise
        if not finished:
            it_is, at_work = self._doing
            raise TimeoutError(f"{it_is} still {at_work} after {timeout} s; {self._way_out} it, or wait longer")

    def _end_work(self) -> None:
        """What the interrupt button does."""
        self.pause()

    def _set_to_work(self, task: worker.Task, name: str) -> None:
        """Begin a task; the caller holds the lock."""
        self._belongings.worker = worker.Worker(task, name=f"lrlab {name}").start()

    def _show_work(self) -> None:
        """Let the pages see what has begun. Colab shows nothing that a thread sends: there, wait and draw."""
        self._show_news()
        if in_colab():
            self._block_and_redraw()

    def _block_and_redraw(self) -> None:
        assert self._belongings.worker is not None
        try:
            while not self._belongings.worker.wait(COLAB_SECONDS):
                self._publish_picture()
        except KeyboardInterrupt:  # Colab's stop button is the pause button here
            self._end_work()
        self._publish_picture()

    def _refuse_twice(self, way_on: str) -> None:
        """Raise RuntimeError while the instrument is at work already."""
        if self.playing:
            raise RuntimeError(f"{' '.join(self._doing)} already{way_on}")

    def _plays_already(self, steps: int | None) -> bool:
        """Whether `play` has nothing to begin; a number of steps on top of what is playing is refused."""
        if steps is not None and self.playing:
            raise RuntimeError(f"play(steps=...): {' '.join(self._doing)} already; pause() first")
        return self.playing

    def _take_over(self, run: Run) -> None:
        """Be the one that trains this run; another instrument that is at it is paused."""
        driver = _drivers.get(run, lambda: None)()
        if driver is not None and driver is not self:
            driver.pause()
        _drivers[run] = weakref.ref(self)

    @property
    def _error(self) -> str:
        """What the work has raised, in words; empty while all is well."""
        error = self._belongings.worker and self._belongings.worker.error
        return "" if error is None else f"{type(error).__name__}: {error}"


class PacedPlayer(Player):
    """A player that is held back while a page is open, so that there is something to see."""

    def __init__(self, speed: float | None) -> None:
        super().__init__()
        self._pace = Pace(None)
        self.speed = speed

    @property
    def speed(self) -> float | None:
        """At most so many steps per second while a page is open; None: as fast as the machine can."""
        return self._speed

    @speed.setter
    def speed(self, speed: float | None) -> None:
        self._speed = check_speed(speed)
        self._keep_pace()

    def _keep_pace(self) -> None:
        self._pace.speed = self._speed if self._views else None

    def _set_to_work(self, task: worker.Task, name: str) -> None:
        self._keep_pace()
        super()._set_to_work(task, name)

    def _prepare(self) -> bool:
        self._keep_pace()
        return True


def check_steps(steps: Any) -> None:
    """ValueError unless ``steps`` is a number of steps to make, or None for no end."""
    if steps is not None and (isinstance(steps, bool) or not isinstance(steps, int) or steps < 1):
        raise ValueError(f"steps must be a whole number of at least 1, or None for no end; got {steps!r}")
