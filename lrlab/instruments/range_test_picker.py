"""The range-test picker: watch a range test, see what every rule advises, choose a learning rate, train with it.

How page and kernel talk: `Instrument` describes it; `RangeTestPicker._obey` lists what a page can ask for. The page
keeps no state, so a reload brings everything back, and what a hand can do a method can do.
"""

from __future__ import annotations

import contextlib
import functools
import math
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from lrlab import finder, knobs
from lrlab.finder import RangeTest
from lrlab.instruments.live_tuner import LiveTuner
from lrlab.instruments.loop import Pace
from lrlab.instruments.player import PacedPlayer
from lrlab.instruments.tuner_below import TunerBelow
from lrlab.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lrlab.instruments.page import Page

BEST_RULE = "nine_tenths_over_3"  # chosen at first: the one with the smallest regret, see lecture 6


class RangeTestPicker(PacedPlayer):
    """An instrument on a run: make a range test, choose a learning rate on its curve, train with it.

    Shown as the last line of a cell it is a widget: the loss over the learning rate, raw and smoothed, grows while the
    test is made; then come the advice of every rule, and a mark to move. "Train with this" goes on in a `LiveTuner`
    beside it. Every control of the widget is a method here. The test is made in a thread; the cell returns at once.

    The run itself stays as it was (see `lrlab.range_test`): what is trained is a branch of it.

    Args:
        run: any run that is not running.
        start, end, steps, smoothing, growth: as for `lrlab.range_test`.
        speed: at most so many steps per second while a page is open, so that there is something to see; None: as fast
            as the machine can.

    Raises:
        TypeError, ValueError: an argument of the wrong kind or outside its range; the message names it.

    >>> from lrlab import Run, instruments, rules
    >>> picker = instruments.RangeTestPicker(Run("mlp", "digits", rule=rules.Momentum(rho=0.9)), end=100)
    >>> picker.start()
    >>> picker.wait()
    >>> picker.choose("steepest")
    >>> tuner = picker.train()
    >>> tuner.run.lr == picker.lr == picker.suggestions["steepest"]
    True
    """

    _doing = "the test is", "being made"

    def __init__(
        self,
        run: Run,
        start: float = 1e-7,
        end: float = 10.0,
        steps: int = 100,
        smoothing: float = 0.98,
        growth: str = "exponential",
        *,
        speed: float | None = 50.0,
    ) -> None:
        if not isinstance(run, Run):
            raise TypeError(f"run must be a Run, got {type(run).__name__}; write RangeTestPicker(Run('mlp', 'digits'))")
        super().__init__(speed)
        self.run = run
        self._lrs = finder.rates(start, end, steps, growth)
        finder.smooth([], smoothing)
        self._smoothing = smoothing
        self._losses: list[float] = []
        self._tests = 0  # started
        self._read: tuple[Any, RangeTest] | None = None
        self._chosen: float | None = None
        self._chosen_rule = ""
        self._below = TunerBelow()
        self._sent: Any = None

    def __repr__(self) -> str:
        return f"RangeTestPicker({self.run.title})"

    # The test --------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Make the range test in the background, from where the run stands; the call returns at once.

        Raises:
            RuntimeError: the test is being made already, or the run is running.
        """
        with self._lock:
            self._refuse_twice(": wait() for it, or pause() and start() again")
            losses = finder.losses_along(self.run, self._lrs, self._smoothing)
            self._losses, self._chosen, self._chosen_rule = [], None, ""
            self._tests += 1
            task = functools.partial(_measure, losses, self._losses, self._pace)
            self._set_to_work(task, f"range test {self.run.title}")
        self._show_work()

    def pause(self) -> None:
        """End the test before its time; the rules then read what there is. `start` begins again."""
        super().pause()

    @property
    def result(self) -> RangeTest:
        """The curve as far as it is measured, and what the rules advise."""
        measured = list(self._losses)
        key = (self._tests, len(measured))
        read = self._read
        if read is None or read[0] != key:
            losses = np.full(len(self._lrs), math.nan)
            losses[: len(measured)] = measured
            self._read = read = (key, RangeTest(self._lrs, losses, self._smoothing))
        return read[1]

    @property
    def suggestions(self) -> dict[str, float | None]:
        """The learning rate that each rule advises; None where `reasons` says why there is none."""
        return self.result.suggestions

    @property
    def reasons(self) -> dict[str, str]:
        """Why a rule has nothing to say, for each rule without a suggestion."""
        return self.result.reasons

    # The choice ------------------------------------------------------------------------------------------------------

    @property
    def lr(self) -> float | None:
        """The chosen learning rate; before any choice the advice of the best rule, and None while there is none."""
        if self._chosen is None and self._losses and not self.playing:
            return self._first_choice()[1]
        return self._chosen

    def _first_choice(self) -> tuple[str, float | None]:
        given = {rule: lr for rule, lr in self.suggestions.items() if lr is not None}
        rule = BEST_RULE if BEST_RULE in given else next(iter(given), "")
        return rule, given.get(rule)

    def choose(self, lr: float | str) -> None:
        """Choose a learning rate: a number above 0, or the name of a rule whose advice is taken.

        Raises:
            TypeError, ValueError: no number above 0; no such rule, or one that has no advice, with its reason.
            RuntimeError: the advice is asked for while the test is being made.
        """
        if isinstance(lr, str):
            value = self._advice_of(lr)
            self._chosen, self._chosen_rule = value, lr
        else:
            self._chosen, self._chosen_rule = knobs.check_number("lr", lr, lambda rate: rate > 0, "greater than 0"), ""
        self._show_news()

    def _advice_of(self, rule: str) -> float:
        if rule not in self.suggestions:
            raise ValueError(f"there is no rule {rule!r}; there are {', '.join(self.suggestions)}, or give a number")
        if self.playing or not self._losses:
            raise RuntimeError("the rules have nothing to read yet: start() the test and wait() for it")
        value = self.suggestions[rule]
        if value is None:
            raise ValueError(f"{rule} has no advice here: {self.reasons[rule]}")
        return value

    def train(self) -> LiveTuner:
        """A live tuner on a branch of the run, at the chosen rate; `play` it. On a page it stands below this one.

        Called again with another choice, the new branch joins the first in the same tuner, for comparison.

        Raises:
            RuntimeError: no rate is chosen, or the run diverged or is running.
        """
        lr = self.lr
        if lr is None:
            raise RuntimeError("no learning rate is chosen: start() and wait(), or choose(0.1)")
        if self.run.status == "diverged":
            raise RuntimeError(f"the run diverged at step {self.run.step}: run.rewind(step) to before it, then train")
        branch = self.run.branch()
        branch.lr = lr
        tuner = self._below.open(branch, f"lr {lr:.3g}", on_a_page=bool(self._views))
        self._show_news()
        return tuner

    # Pictures --------------------------------------------------------------------------------------------------------

    def figure(self) -> Figure:
        """The curve with every suggestion and the chosen rate, as a matplotlib figure."""
        return self.result.plot(f"{self.run.title}: {self._story()}", chosen=self.lr)

    @property
    def _ending(self) -> str:
        """Why the test is over before its last rate; empty if it is not."""
        made, planned = len(self._losses), len(self._lrs)
        if self.playing or self._error or not 0 < made < planned:
            return ""
        if not math.isfinite(self._losses[-1]):
            why = "the loss is no finite number any more"
        elif finder.diverged(self._losses, self._smoothing):
            why = "the loss has risen far above its first level"
        else:
            why = "it was stopped"
        return f"over after {made} of {planned} rates: {why}"

    def _story(self) -> str:
        curve = self.result
        if not len(curve.lrs):
            return "a range test that found no finite loss" if self._losses else "a range test not made yet"
        bottom = int(np.argmin(curve.smoothed))
        fall = f"the loss falls from {curve.smoothed[0]:.3g} to {curve.smoothed[bottom]:.3g}"
        return f"{fall} at a learning rate of {curve.lrs[bottom]:.2g}"

    @property
    def alt(self) -> str:
        """What `figure` shows, in words."""
        curve = self.result
        words = [f"Range test, {self.run.title}: {self._story()}."]
        words += [f"It was {self._ending}."] if self._ending else []
        if len(curve.lrs):
            words.append(f"{len(curve.lrs)} rates, {curve.lrs[0]:.2g} to {curve.lrs[-1]:.2g}.")
        given = [f"{rule} {lr:.2g}" for rule, lr in curve.suggestions.items() if lr is not None]
        words += [f"Suggestions: {', '.join(given)}."] if given else []
        words += [f"No advice from {rules}: {reason}." for rules, reason in _grouped(curve.reasons).items()]
        return " ".join(words + ([f"Chosen: {self.lr:.3g}."] if self.lr else []))

    def _picture_key(self) -> Any:
        return (self._tests, len(self._losses), self.lr) if self._losses and not self.playing else None

    # The page --------------------------------------------------------------------------------------------------------

    def _ipython_display_(self) -> None:
        super()._ipython_display_()
        self._below.make_room()

    def _new_page(self) -> Page:
        from lrlab.instruments.page import PickerPage  # a page opens a channel to the front end: not before needed

        return PickerPage(repr(self), self._hear)

    def _obey(self, message: dict[str, Any]) -> None:
        match message:
            case {"do": "start"}:
                self.start()
            case {"do": "pause"}:
                self.pause()
            case {"do": "choose", "lr": lr}:
                self.choose(lr)
            case {"do": "typed", "lr": lr}:  # what is no number is said to be none, not taken for a rule
                self.choose(knobs.check_number("lr", lr, lambda rate: rate > 0, "greater than 0"))
            case {"do": "train"}:
                self.train().play()
            case _:
                raise ValueError(f"the page sent {message!r}, which this picker does not know")

    def _state(self) -> dict[str, Any]:
        tuner = self._below.tuner
        over = bool(self._losses) and not self.playing
        chosen = self._chosen_rule if self._chosen is not None else self._first_choice()[0] if over else ""
        curve = self.result
        return {
            "title": self.run.title,
            "running": self.playing,
            "step": len(self._losses),
            "steps": len(self._lrs),
            "range": [float(self._lrs[0]), float(self._lrs[-1])],
            "window": list(finder.window(curve)),
            "suggestions": [[rule, lr if over else None] for rule, lr in curve.suggestions.items()],
            "reasons": _grouped(curve.reasons) if over else {},
            "lr": self.lr,
            "chosen": chosen,
            "story": self._story() if over else "",
            "ending": self._ending,
            "training": f"{tuner.run.title} at {tuner.run.lr:.3g}" if tuner is not None else "",
            "error": self._error,
        }

    def _news(self, fresh: bool) -> tuple[dict[str, Any], list[bytes]]:
        """A row for each rate that was tested: the rate, its loss, the smoothed loss, which may change at any time."""
        key = (self._tests, len(self._losses))
        if not fresh and key == self._sent:
            return {}, []
        self._sent = key
        curve = self.result
        with np.errstate(over="ignore"):  # an explosion may leave float32
            rows = np.column_stack([curve.lrs, curve.losses, curve.smoothed]).astype("<f4")
        return {}, [rows.tobytes()]


def _measure(losses: Iterator[float], measured: list[float], pace: Pace, asked_to_stop: threading.Event) -> None:
    """The task of the thread; it does not hold the instrument, so that one that nobody uses can go."""
    with contextlib.closing(losses):  # type: ignore[type-var]
        for loss in losses:
            measured.append(loss)
            if asked_to_stop.is_set():
                break
            pace.rest(asked_to_stop)


def _grouped(reasons: dict[str, str]) -> dict[str, str]:
    """The rules without advice, those with the same reason together: `{"steepest, valley": reason}`."""
    groups: dict[str, list[str]] = {}
    for rule, reason in reasons.items():
        groups.setdefault(reason, []).append(rule)
    return {", ".join(rules): reason for reason, rules in groups.items()}
