"""What an instrument is in a notebook: a page that may open, reload and go, a picture that stays, and no lost errors.

A page that opens says ``hello`` and is sent everything; after that it is sent what is new. It numbers what it asks for
(``seq``), and the answer says which number it answers, so that a page never has more than one request on its way.
"""

from __future__ import annotations

import sys
import threading
import time
import uuid
import weakref
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from lrlab import figures
from lrlab.instruments import drawing, worker

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lrlab.instruments.page import Page

ABSENT_SECONDS = 10.0  # a reloaded page is back within this time; after it, nobody is watching
REST_SECONDS = 0.4  # an instrument at rest for this long gets its picture drawn

# Instruments on a page are kept alive, also those that no variable holds.
_on_screen: set[Instrument] = set()


def in_colab() -> bool:
    """Whether this is a Colab notebook."""
    return "google.colab" in sys.modules


class Belongings:
    """What must end with an instrument. It does not know the instrument, so that it can outlive it."""

    def __init__(self) -> None:
        self.worker: worker.Worker | None = None
        self.page: Page | None = None

    def let_go(self) -> None:
        if self.worker is not None:
            self.worker.ask_to_stop()
        if self.page is not None:
            self.page.close()


class Instrument(ABC):
    """The base of instruments that answer at once. A subclass says what it shows and what it can be told."""

    def __init__(self) -> None:
        # Held while anything changes: cells, pages and the drawing thread may all come from threads of their own.
        self._lock = threading.RLock()
        self._belongings = Belongings()
        weakref.finalize(self, self._belongings.let_go).atexit = False
        self._views: set[str] = set()
        self._heard: dict[str, int] = {}
        self._gone_since: float | None = None
        self._pages_opened = 0
        self._fresh = False  # a page has opened and must be sent everything
        self._problem = ""
        self._said: Any = None
        self._rested_since = 0.0
        self._display_id = uuid.uuid4().hex
        self._pictured: Any = None  # what the last picture showed

    # What a subclass says --------------------------------------------------------------------------------------------

    @abstractmethod
    def figure(self) -> Figure:
        """What the instrument shows now, as a matplotlib figure; `alt` is its text for `figures.show`."""

    @property
    @abstractmethod
    def alt(self) -> str:
        """What `figure` shows, in words."""

    @abstractmethod
    def _new_page(self) -> Page: ...

    @abstractmethod
    def _obey(self, message: dict[str, Any]) -> None:
        """Do what a page asks for."""

    @abstractmethod
    def _state(self) -> dict[str, Any]:
        """The values of the controls, and whatever else is small."""

    @abstractmethod
    def _news(self, fresh: bool) -> tuple[dict[str, Any], list[bytes]]:
        """What is new besides the state, or all of it for a fresh page: a message and its buffers."""

    @abstractmethod
    def _picture_key(self) -> Any:
        """Changes when the picture does; None while there is nothing to draw."""

    @property
    def playing(self) -> bool:
        """Whether a thread is at work for this instrument."""
        return self._belongings.worker is not None and not self._belongings.worker.finished

    def _prepare(self) -> bool:
        """Work for at most about a frame on what is to be shown; False if there is more to do."""
        return True

    def pause(self) -> None:
        """Let the work in the background rest; an instrument without any has nothing to do."""
        if self._belongings.worker is not None:
            self._belongings.worker.stop()
        self._show_news()

    # Pages come and go -----------------------------------------------------------------------------------------------

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

    def _show_at(self, place: str, picture: str) -> None:
        """Appear where another instrument has kept two displays free, one for the page and one for the picture."""
        from IPython.display import display

        self._display_id = picture
        display(self._page(), display_id=place, update=True)
        _on_screen.add(self)

    def _page(self) -> Page:
        if self._belongings.page is None:
            self._belongings.page = self._new_page()
        return self._belongings.page

    def _hear(self, message: Any) -> None:
        """A page has said something. What goes wrong is shown there, not raised: no cell is running."""
        try:
            self._open_or_close(message) or self._obey(message)
            if message.get("do") not in ("hello", "goodbye"):
                self._problem = ""
        except Exception as error:
            self._problem = f"{error}"
        finally:  # not before: the page takes a value that it is sent along with its number for the new one
            if isinstance(message, dict) and "seq" in message:
                self._heard[message["view"]] = message["seq"]
        if self._views:
            with self._lock:
                self._prepare()
                self._send_news()  # at once: a figure that is dragged should answer within a frame
        self._show_news()

    def _open_or_close(self, message: dict[str, Any]) -> bool:
        match message:
            case {"do": "hello", "view": str(view)}:
                self._views.add(view)
                self._pages_opened += 1
                self._gone_since, self._fresh = None, True
                _on_screen.add(self)
                return True
            case {"do": "goodbye", "view": str(view)}:
                self._views.discard(view)
                if not self._views:
                    self._gone_since = time.monotonic()
                    drawing.watch(self)
                return True
        return False

    # News ------------------------------------------------------------------------------------------------------------

    def _show_news(self) -> None:
        """Let the drawing thread come by, if there is somebody to draw for."""
        self._rested_since = time.monotonic()
        if self._views:
            drawing.watch(self)

    def _draw(self) -> bool:
        """Called by the drawing thread: send what is new; True: come again."""
        if self._views:
            playing = self.playing  # asked before the news is sent: what happens meanwhile is news for the next time
            with self._lock:
                ready = self._prepare()
                self._send_news()
            return not ready or playing or self._draw_picture()
        return self._gone_since is not None and self._wait_for_a_page()

    def _send_news(self) -> None:
        fresh, self._fresh = self._fresh, False
        news, buffers = self._news(fresh)
        state = {**self._state(), "problem": self._problem, "heard": dict(self._heard)}
        if fresh or buffers or state != self._said:
            self._said = state
            self._page().tell({"is": "news", "fresh": fresh, "state": state, **news}, buffers)

    def _draw_picture(self) -> bool:
        """Publish the picture of an instrument that has come to rest; True: not yet."""
        key = self._picture_key()
        if key is None or key == self._pictured:
            return False
        if time.monotonic() - self._rested_since < REST_SECONDS:
            return True
        self._publish_picture()
        return False

    def _publish_picture(self) -> None:
        """Put the picture where it survives the page: in the notebook, under the widget's display id."""
        from IPython.display import display

        self._pictured = self._picture_key()
        data, metadata = figures.bundle(self.figure(), self.alt)
        display(data, metadata=metadata, raw=True, display_id=self._display_id, update=True)
        if self._pages_opened > 1:  # a page that was reloaded has forgotten what is displayed where
            page = self._page()
            page.tell({"is": "picture", "widget": page.model_id, "data": data, "metadata": metadata})

    def _wait_for_a_page(self) -> bool:
        """All pages are gone. A reloaded one comes back soon; else nobody watches."""
        assert self._gone_since is not None
        if time.monotonic() - self._gone_since < ABSENT_SECONDS:
            return True
        self._gone_since = None
        self.pause()
        self._leave_the_screen()
        return False

    def _leave_the_screen(self) -> None:
        """From now on only variables keep this instrument alive, until a page says hello again."""
        _on_screen.discard(self)
