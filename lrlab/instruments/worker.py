"""Thread-and-return: work goes on in a daemon thread while the notebook's cell returns.

Only so do a page's sliders reach the work in every notebook and kernel; a cell that blocks may hear nothing.
A thread exists only while there is work: a paused worker leaves none behind. What would leave one behind is caught
here: the interpreter's exit, and the kernel's interrupt, which by itself never reaches a thread.
"""

from __future__ import annotations

import atexit
import signal
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

Task = Callable[[threading.Event], None]

_at_work: weakref.WeakSet[Worker] = weakref.WeakSet()

EXIT_SECONDS = 2.0  # how long the interpreter's exit waits for threads to finish their step


class Worker:
    """One task in one daemon thread.

    Args:
        task: called in the thread with an event; it returns soon after the event is set. The worker keeps the task
            alive, so a task should not hold on to whoever owns the worker.
        name: the thread's name.

    An exception of the task is kept in `error`, and raised by `wait`.
    """

    def __init__(self, task: Task, name: str) -> None:
        self.error: BaseException | None = None
        self._asked_to_stop = threading.Event()
        # Waiting is for this event, not for the thread: a join that is interrupted takes a live thread for a dead one.
        self._finished = threading.Event()
        self._thread = threading.Thread(target=self._work, args=(task,), name=name, daemon=True)

    def start(self) -> Worker:
        """Begin; returns the worker."""
        _at_work.add(self)
        pause_when_interrupted()
        self._thread.start()
        return self

    def _work(self, task: Task) -> None:
        try:
            task(self._asked_to_stop)
        except BaseException as error:  # also SystemExit: whatever ended the work is told to whoever waits
            self.error = error
        finally:
            _at_work.discard(self)
            self._finished.set()

    @property
    def finished(self) -> bool:
        """Whether the task has ended."""
        return self._finished.is_set()

    def ask_to_stop(self) -> None:
        """Ask the task to end, without waiting for it."""
        self._asked_to_stop.set()

    def stop(self, timeout: float | None = None) -> bool:
        """Ask the task to end and wait until it has; False if ``timeout`` seconds were not enough."""
        self.ask_to_stop()
        if not self._finished.wait(timeout):
            return False
        if self._thread is not threading.current_thread():
            self._thread.join(timeout=EXIT_SECONDS)  # nothing is left to do in it but to end
        return True

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the task has ended and raise what it raised; False if it goes on after ``timeout`` seconds."""
        if not self._finished.wait(timeout):
            return False
        if self.error is not None:
            raise self.error
        return True


def ask_all_to_stop(*_: Any) -> None:
    """Ask every worker to stop; the signature is that of a signal handler."""
    for worker in list(_at_work):
        worker.ask_to_stop()


@atexit.register
def _stop_at_exit() -> None:
    # A daemon thread that is still inside torch while the interpreter goes down can crash it.
    workers = list(_at_work)
    ask_all_to_stop()
    for worker in workers:
        worker.stop(EXIT_SECONDS)


def pause_when_interrupted() -> None:
    """Let the interrupt button of an idle notebook stop the workers; call this while a cell runs.

    ipykernel ignores the signal while no cell runs. Around each message it swaps the handlers, and afterwards puts back
    the one it keeps in ``saved_sigint_handler``: that one is made ours.
    """
    ipython = sys.modules.get("IPython")
    kernel = getattr(ipython.get_ipython(), "kernel", None) if ipython else None
    if kernel is not None and getattr(kernel, "saved_sigint_handler", None) is signal.SIG_IGN:
        kernel.saved_sigint_handler = ask_all_to_stop
