"""The one drawing thread: ten times a second it lets every instrument on a page send what is new.

It lives only while an instrument asks for it; a paused notebook has no thread.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
import weakref
from typing import Any, Protocol

PERIOD = 0.1  # seconds between two drawings


class Drawable(Protocol):
    """What the drawing thread draws."""

    def _draw(self) -> bool:
        """Send what is new; False when there is nothing to come back for."""


class _Drawing:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watched: weakref.WeakSet[Any] = weakref.WeakSet()
        self._shown: weakref.WeakSet[Any] = weakref.WeakSet()
        self._thread: threading.Thread | None = None

    def watch(self, drawable: Drawable) -> None:
        """Draw this one from now on, until its `_draw` returns False."""
        with self._lock:
            self._watched.add(drawable)
            self._shown.add(drawable)
            if self._thread is None:
                self._thread = threading.Thread(target=self._loop, name="lrlab drawing", daemon=True)
                self._thread.start()
        _draw_after_each_cell()

    def _loop(self) -> None:
        while True:
            with self._lock:
                drawables = list(self._watched)
                self._watched.clear()  # who is to be drawn again comes back below, or by `watch` in the meantime
                if not drawables:
                    self._thread = None
                    return
            while drawables:
                self._draw(drawables.pop())  # no name is left that would keep a dropped instrument alive
            time.sleep(PERIOD)

    def _draw(self, drawable: Drawable) -> None:
        try:
            again = drawable._draw()
        except Exception:  # a picture that fails must not end the others, nor the training
            logging.getLogger("lrlab").exception("an instrument could not be drawn")
            return
        if again:
            with self._lock:
                self._watched.add(drawable)

    def draw_all(self, *_: Any) -> None:
        """Draw every instrument that was ever on a page once more: a cell may have turned a knob of its run."""
        for drawable in list(self._shown):
            self.watch(drawable)


_drawing = _Drawing()
watch = _drawing.watch
_listening: weakref.WeakSet[Any] = weakref.WeakSet()


def _draw_after_each_cell() -> None:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if shell is not None and shell not in _listening:
        _listening.add(shell)
        shell.events.register("post_run_cell", _drawing.draw_all)
