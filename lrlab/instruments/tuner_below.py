"""The live tuner that another instrument opens, below itself: train with what was chosen there."""

from __future__ import annotations

import uuid

from lrlab.instruments.instrument import in_colab
from lrlab.instruments.live_tuner import LiveTuner
from lrlab.run import Run


class TunerBelow:
    """The place for a tuner and its picture, and the tuner, once there is one."""

    def __init__(self) -> None:
        self.tuner: LiveTuner | None = None
        self._places = (uuid.uuid4().hex, uuid.uuid4().hex)  # for the tuner and its picture

    def make_room(self) -> None:
        """Keep two displays free in the cell that is running."""
        from IPython.display import display

        if not in_colab():
            for place in self._places:
                display({"text/html": '<div class="lrlab-picture"></div>'}, raw=True, display_id=place)

    def open(self, run: Run, name: str, on_a_page: bool) -> LiveTuner:
        """A tuner on the run; if there is one, the run joins those in it, for comparison."""
        if self.tuner is None:
            self.tuner = LiveTuner(run, name=name)
        else:
            self.tuner.add(run, name)
        if on_a_page:
            self.tuner._show_at(*self._places)
        return self.tuner
