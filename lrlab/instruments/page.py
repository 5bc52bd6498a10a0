"""What an instrument shows in a notebook: its JavaScript and CSS, inline, and the widget that carries messages.

Nothing is fetched from outside. The sources are separate files, for people to read; the page gets them as one.
"""

from __future__ import annotations

import re
import weakref
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any

import anywidget

# What every page is made of besides its own files.
_SHARED = ("canvas.js", "controls.js", "hand.js", "link.js")
_LOOKS = ("theme.css", "controls.css")

_IMPORT = re.compile(r"^import [^;]+;\n", re.MULTILINE)


def module(*names: str) -> str:
    """These JavaScript files and those that all pages share as one module; what one imports must come before it."""
    return "\n".join(_IMPORT.sub("", _text(name)) for name in (*_SHARED, *names))


def style(*names: str) -> str:
    """These CSS files and those that all pages share as one."""
    return "\n".join(_text(name) for name in (*_LOOKS, *names))


def _text(name: str) -> str:
    return (files("lrlab.instruments") / name).read_text(encoding="utf-8")


class Page(anywidget.AnyWidget):
    """A widget whose page and kernel only exchange custom messages; no state is synchronised.

    Args:
        name: the plain text that stands in for it, the same on every machine.
        hear: called with each message (a dict) from a page. It is held weakly: a widget lives until it is closed,
            and must not keep its instrument alive.
    """

    def __init__(self, name: str, hear: Callable[[Any], None]) -> None:
        self._name = name
        super().__init__()
        listener = weakref.WeakMethod(hear)

        def on_message(_: Any, message: Any, buffers: Any) -> None:
            listening = listener()
            if listening is not None:
                listening(message)

        self.on_msg(on_message)

    def tell(self, message: dict[str, Any], buffers: Sequence[bytes] = ()) -> None:
        """Send a message to every page that shows this widget."""
        self.send(message, list(buffers))

    def __repr__(self) -> str:
        return self._name


class TunerPage(Page):
    """The live tuner's page."""

    _esm = module("track.js", "live_tuner.js")
    _css = style("live_tuner.css")


class RacePage(Page):
    """The race's page."""

    _esm = module("map.js", "race.js")
    _css = style("race.css")


class PickerPage(Page):
    """The range-test picker's page."""

    _esm = module("range_test_picker.js")
    _css = style("range_test_picker.css")


class AdaptivePage(Page):
    """The adaptive view's page."""

    _esm = module("adaptive_view.js")
    _css = style("adaptive_view.css")


class DesignerPage(Page):
    """The schedule designer's page."""

    _esm = module("designer_plot.js", "schedule_designer.js")
    _css = style("schedule_designer.css")


class SweepPage(Page):
    """The sweep view's page."""

    _esm = module("sweep_view.js")
    _css = style("sweep_view.css")


class PenaltyPage(Page):
    """The penalty view's page."""

    _esm = module("map.js", "penalty_view.js")
    _css = style("penalty_view.css")


class AugmentationPage(Page):
    """The augmentation view's page."""

    _esm = module("augmentation_view.js")
    _css = style("augmentation_view.css")


class DropoutPage(Page):
    """The dropout view's page."""

    _esm = module("dropout_view.js")
    _css = style("dropout_view.css")


class TransferPage(Page):
    """The transfer view's page."""

    _esm = module("track.js", "transfer_view.js")
    _css = style("transfer_view.css")


class EnsemblePage(Page):
    """The ensemble view's page."""

    _esm = module("ensemble_view.js")
    _css = style("ensemble_view.css")
