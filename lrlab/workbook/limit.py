"""A time limit on a call, in the process and the thread that makes it.

A loop without end in a student's function would otherwise hold the notebook until somebody interrupts the kernel. The
clock is the system's alarm: between two steps of Python it raises `TimeOver` where the call has come to. One long step
inside torch is not cut short, as it is not by the notebook's stop button either.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import TypeVar

Value = TypeVar("Value")

AGAIN = 1.0  # seconds: a bare `except:` in a loop swallows the first alarm


class TimeOver(BaseException):
    """The time is over. No `Exception`, so that `except Exception` in the call does not swallow it."""


def within(seconds: float, call: Callable[[], Value]) -> Value:
    """What the call returns.

    There is no limit where an alarm cannot be had or is not ours to set: on Windows, outside the main thread, while
    another alarm is running (a check inside a check, a test with a timeout), and while somebody debugs the call.

    Raises
    ------
    TimeOver
        It was still running after so many seconds.
    """
    if not _alarm_is_free():
        return call()
    running = True

    def ring(number: int, frame: FrameType | None) -> None:
        if running:
            raise TimeOver

    before = signal.signal(signal.SIGALRM, ring)
    try:  # two of them: an alarm may come between the end of the call and the next line
        try:
            signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-3), AGAIN)
            return call()
        finally:
            running = False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _alarm_is_free() -> bool:
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        return False
    unused = signal.getsignal(signal.SIGALRM) in (signal.SIG_DFL, signal.SIG_IGN)
    return unused and signal.getitimer(signal.ITIMER_REAL)[0] == 0 and not _debugged()


def _debugged() -> bool:
    """True while a debugger looks at each line: a student who reads it slowly must not be stopped."""
    monitoring = getattr(sys, "monitoring", None)  # from Python 3.12 on
    by_monitoring = monitoring is not None and monitoring.get_tool(monitoring.DEBUGGER_ID) is not None
    return sys.gettrace() is not None or by_monitoring
