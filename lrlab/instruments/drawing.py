"""The one drawing thread: ten times a second it lets every instrument on a page send what is new.

It lives only while an instrument asks for it; a paused notebook has no thread.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
import weakref
from collections.abc import Callable
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
        self._thread: threading.Thread | None = None

    def watch(self, drawable: Drawable) -> None:
        """Draw this one from now on, until its `_draw` returns False."""
        with self._lock:
            self._watched.add(drawable)
            if self._thread is None:
                self._thread = threading.Thread(target=self._loop, name="lrlab drawing", daemon=True)
                self._thread.start()

    def _loop(self) -> None:
        while drawables := self._due():
            while drawables:
                self._draw(drawables.pop())  # no name is left that would keep a dropped instrument alive
            if self._watched:
                time.sleep(PERIOD)

    def _due(self) -> list[Any]:
        """Whom to draw now. Who is to be drawn again comes back in `_draw`, or by `watch` in the meantime."""
        with self._lock:
            drawables = list(self._watched)
            self._watched.clear()
            if not drawables:
                self._thread = None  # the loop ends
            return drawables

    def _draw(self, drawable: Drawable) -> None:
        try:
            again = drawable._draw()
        except Exception:  # a picture that fails must not end the others, nor the training
            logging.getLogger("lrlab").exception("an instrument could not be drawn")
            return
        if again:
            with self._lock:
                self._watched.add(drawable)


_drawing = _Drawing()
watch = _drawing.watch
_called: list[weakref.WeakMethod[Callable[[], None]]] = []
_listening: weakref.WeakSet[Any] = weakref.WeakSet()


def after_each_cell(method: Callable[[], None]) -> None:
    """Call this method, held weakly, whenever a cell has run: it may have changed what the instrument shows."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    _called[:] = [known for known in _called if known() is not None] + [weakref.WeakMethod(method)]
    if shell is not None and shell not in _listening:
        _listening.add(shell)
        shell.events.register("post_run_cell", _call_all)


def _call_all(*_: Any) -> None:
    for known in list(_called):
        method = known()
        if method is not None:
            method()
