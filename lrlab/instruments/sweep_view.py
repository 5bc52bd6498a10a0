"""The sweep view: the loss over the learning rate, filling in while all networks train at once.

How page and kernel talk: `Instrument` describes it; `SweepView._obey` lists what a page can ask for. The page keeps no
state, so a reload brings everything back, and what a hand can do a method can do.
"""

from __future__ import annotations

import copy
import functools
import inspect
import math
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from lrlab.configuration import Data, Model, one_of
from lrlab.instruments.curves import Smoother
from lrlab.instruments.dials import LABELS
from lrlab.instruments.live_tuner import LiveTuner
from lrlab.instruments.player import Player
from lrlab.instruments.sweep_picture import MEASURES, Landscape, draw
from lrlab.instruments.tuner_below import TunerBelow
from lrlab.rules import Rule
from lrlab.run import Run
from lrlab.sweeps import Progress, Sweep, sweep

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lrlab.instruments.page import Page

SMOOTHING = 0.9  # of the loss curves: the mean age of the losses in a value is about ten steps
CURVE_POINTS = 400  # of a loss curve on a page: more than it has pixels
_OF_THE_SWEEP = ("how", "executor", "max_memory")  # settings that a single run does not have


class SweepView(Player):
    """An instrument that sweeps the learning rate, and a second hyperparameter if you like, and shows what comes of it.

    Shown as the last line of a cell it is a widget: loss against learning rate with the quartiles over the seeds, or a
    map of two hyperparameters, filling in while `sweep` trains all networks at once; beside it the loss curves of the
    point you select. A point at which half of the seeds diverged is a cross, or a hatched cell. Every control of the
    widget is a method here. The sweep is made in a thread, and the cell returns at once.

    Args:
        model, data: as for `Run`.
        lr: two or more learning rates, in any order.
        rule: the update rule; default: SGD.
        seeds: how many seeds, or a list of them.
        steps: of each run.
        settings: what else `sweep` takes. One hyperparameter (``rho=``, ``weight_decay=``, ``batch_size=`` ...) may be
            a list of numbers; then every combination with the learning rates is trained.

    Raises:
        TypeError, ValueError: an argument of the wrong kind or outside its range; the message names it.

    >>> from lrlab import instruments
    >>> view = instruments.SweepView("mlp", "digits", lr=[0.001, 0.1, 10.0], seeds=2, steps=40)
    >>> view.start()
    >>> view.wait()
    >>> view.select(2)                  # the second rate under the first seed
    >>> view.run().lr, len(view.result)
    (0.1, 6)
    """

    _doing = "the sweep is", "under way"

    def __init__(
        self,
        model: Model,
        data: Data,
        *,
        lr: Any,
        rule: Rule | str | None = None,
        seeds: int | Sequence[int] = 1,
        steps: int = 300,
        **settings: Any,
    ) -> None:
        super().__init__()
        self._model, self._data, self._rule = model, data, rule
        self._axes, self._settings = _axes(lr, settings)
        self._seeds = _seed_list(seeds)
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
            raise ValueError(f"steps must be a whole number of at least 1, got {steps!r}")
        self._steps = steps
        probe = self._make(0)
        for name, values in self._axes.items():
            for value in values:
                probe.turn(name, value)
        self._title = f"{probe.title}, {type(probe.rule).__name__}"
        self._board = _Board()
        self._measure = "loss"
        self._selected = len(self) // 2 // len(self._seeds) * len(self._seeds)
        self._below = TunerBelow()
        self._sent: Any = None

    def __repr__(self) -> str:
        return f"SweepView({self._title}: {self._counts})"

    def __len__(self) -> int:
        """R, the runs of the sweep."""
        return math.prod(map(len, self._axes.values())) * len(self._seeds)

    @property
    def _counts(self) -> str:
        values = " x ".join(f"{len(values)} {_PLURALS.get(name, name)}" for name, values in self._axes.items())
        return f"{values} x {len(self._seeds)} seed{'s' if len(self._seeds) > 1 else ''}"

    # The sweep -------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Train all runs in the background, from step 0; the call returns at once.

        Raises:
            RuntimeError: the sweep is under way already.
        """
        with self._lock:
            self._refuse_twice(": wait() for it, or pause() and start() again")
            self._board = _Board()
            shape = [(-1, 1), (1, -1)]
            columns = {name: values.reshape(shape[i]) for i, (name, values) in enumerate(self._axes.items())}
            settings = {**self._settings, **columns, "rule": self._rule, "seeds": self._seeds, "steps": self._steps}
            call = functools.partial(sweep, self._model, self._data, progress=False, **settings)
            task = functools.partial(_train, call, self._board)
            self._set_to_work(task, f"sweep {self._title}")
        self._show_work()

    def pause(self) -> None:
        """End the sweep before its time; what is there stays in view. `start` begins again from step 0."""
        super().pause()

    @property
    def result(self) -> Sweep:
        """The table of the sweep; see `sweep`.

        Raises:
            RuntimeError: the sweep is not over, or was not started.
        """
        if self._board.result is None:
            raise RuntimeError("the sweep has no result yet: start() it and wait() for it")
        return self._board.result

    # The choice ------------------------------------------------------------------------------------------------------

    @property
    def selected(self) -> int:
        """The row of the selected run, as in the table of `result`."""
        return self._selected

    def select(self, row: int) -> None:
        """Show the loss curves of this run and of the other seeds of its point.

        Args:
            row: from 0, as in the table of `result`: learning rates slowest, seeds fastest.

        Raises:
            ValueError: there is no such row.
        """
        self._check_row(row)
        self._selected = int(row)
        self._show_news()

    def show(self, measure: str) -> None:
        """Choose what is drawn: ``"loss"`` (training loss, as far as it goes), ``"val_loss"`` or ``"val_accuracy"``.

        The last two are known for a run once it is over.

        Raises:
            ValueError: another measure.
        """
        self._measure = one_of("measure", measure, tuple(MEASURES))
        self._show_news()

    def run(self, row: int | None = None) -> Run:
        """A `Run` with the settings of a row, at step 0; by default of the selected one."""
        return self._make(self._selected if row is None else self._check_row(row))

    def tune(self, row: int | None = None) -> LiveTuner:
        """A live tuner on `run`; `play` it. On a page it stands below this instrument.

        Called again with another row, the new run joins the first in the same tuner, for comparison.
        """
        row = self._selected if row is None else self._check_row(row)
        tuner = self._below.open(self._make(row), self._name(row), on_a_page=bool(self._views))
        self._show_news()
        return tuner

    def _check_row(self, row: Any) -> int:
        if isinstance(row, bool) or not isinstance(row, (int, np.integer)) or not 0 <= row < len(self):
            raise ValueError(f"row must be a number from 0 to {len(self) - 1}, got {row!r}")
        return int(row)

    def _make(self, row: int) -> Run:
        """The run of a row, at step 0."""
        settings = {name: value for name, value in self._settings.items() if name not in _OF_THE_SWEEP}
        point, seed = self._point(row)
        of_a_run = inspect.signature(Run).parameters
        turned = {name: value for name, value in {**settings, **point}.items() if name not in of_a_run}
        given = {name: value for name, value in {**settings, **point}.items() if name in of_a_run}
        model = copy.deepcopy(self._model) if isinstance(self._model, nn.Module) else self._model
        run = Run(model, self._data, rule=self._rule, seed=seed, **{"validate_every": None, **given})
        for name, value in turned.items():
            run.turn(name, value)
        return run

    def _point(self, row: int) -> tuple[dict[str, float], int]:
        """The hyperparameters of a row that vary, and its seed."""
        point, seed = divmod(row, len(self._seeds))
        places = np.unravel_index(point, self._shape)
        values = {name: axis[at].item() for (name, axis), at in zip(self._axes.items(), places, strict=True)}
        return values, self._seeds[seed]

    def _name(self, row: int) -> str:
        point, seed = self._point(row)
        words = [f"{name} {value:.3g}" for name, value in point.items()]
        return ", ".join(words + ([f"seed {seed}"] if len(self._seeds) > 1 else []))

    @property
    def _shape(self) -> tuple[int, ...]:
        return tuple(map(len, self._axes.values()))

    # What came of it -------------------------------------------------------------------------------------------------

    def _landscape(self) -> Landscape:
        """What is known so far of every point."""
        return Landscape.of(self._board.progress, self._measure, self._axes, len(self._seeds))

    def _curves(self) -> np.ndarray:
        """``[seeds + 1, n]``: for the selected point the smoothed training loss of each seed, then the run's own.

        Every value stands for `_width` steps: the last smoothed loss, and the mean of the losses.
        """
        progress, width = self._board.progress, self._width
        if progress is None:
            return np.full((len(self._seeds) + 1, 1), math.nan)
        first = self._selected - self._selected % len(self._seeds)
        smooth = [Smoother(SMOOTHING)(losses) for losses in progress.losses[first : first + len(self._seeds)]]
        last = np.minimum(np.arange(1, -(-self._steps // width) + 1) * width, self._steps) - 1
        padded = np.full((len(last), width), math.nan)
        padded.flat[: self._steps] = progress.losses[self._selected]
        known = np.isfinite(padded)
        with np.errstate(invalid="ignore"):
            own = np.where(known, padded, 0).sum(1) / known.sum(1)
        return np.vstack([np.stack(smooth)[:, last], own])

    @property
    def _width(self) -> int:
        return -(-self._steps // CURVE_POINTS)

    def figure(self) -> Figure:
        """The loss over the learning rate, or the map, and the loss curves of the selected point."""
        with self._lock:
            seed = self._selected % len(self._seeds)
            place = self._selected // len(self._seeds)
            land, name = self._landscape(), self._name(self._selected)
            curves, title = self._curves(), f"{self._title}: {self._story()}"
            window = land.window(self._board.progress, curves)
            return draw(title, land, place, curves, self._width, seed, name, window)

    def _story(self) -> str:
        land = self._landscape()
        if land.best is None:
            return "nothing trained yet" if self._board.progress is None else "every point diverged"
        values = {name: axis[i] for (name, axis), i in zip(self._axes.items(), land.place(land.best), strict=True)}
        at = ", ".join(f"{name} = {value:.3g}" for name, value in values.items())
        lowest = "highest" if MEASURES[self._measure].higher else "lowest"
        return f"the {MEASURES[self._measure].name} is {lowest} at {at}"

    @property
    def alt(self) -> str:
        """What `figure` shows, in words."""
        with self._lock:
            land = self._landscape()
            words = [f"Sweep view, {self._title}, {self._counts}, {self._steps:,} steps: {self._story()}"]
            if land.best is not None:
                words.append(f", {land.medians[land.best]:.3g}")
            if land.diverged.any():
                words.append(f"; {int(land.diverged.sum())} of {len(land.diverged)} points diverged")
            low, high = land.medians[self._selected // len(self._seeds)], self._name(self._selected)
            words.append(f". Beside it the loss curves at {high}")
            words.append(f", {low:.3g}." if math.isfinite(low) else ", diverged." if math.isinf(low) else ".")
            return "".join(words)

    def _picture_key(self) -> Any:
        progress = self._board.progress
        if progress is None or self.playing:
            return None
        return (id(self._board), int(progress.steps.sum()), self._selected, self._measure)

    # The page --------------------------------------------------------------------------------------------------------

    def _ipython_display_(self) -> None:
        super()._ipython_display_()
        self._below.make_room()

    def _new_page(self) -> Page:
        from lrlab.instruments.page import SweepPage  # a page opens a channel to the front end: not before needed

        return SweepPage(repr(self), self._hear)

    def _obey(self, message: dict[str, Any]) -> None:
        match message:
            case {"do": "start"}:
                self.start()
            case {"do": "pause"}:
                self.pause()
            case {"do": "select", "row": int(row)}:
                self.select(row)
            case {"do": "show", "measure": str(measure)}:
                self.show(measure)
            case {"do": "tune"}:
                self.tune().play()
            case _:
                raise ValueError(f"the page sent {message!r}, which this view does not know")

    def _state(self) -> dict[str, Any]:
        progress, result = self._board.progress, self._board.result
        tuner = self._below.tuner
        whole = result is not None and bool(np.isin(result["status"], ("done", "diverged")).all())
        return {
            "title": self._title,
            "counts": f"{self._counts}, {self._steps:,} steps",
            "playing": self.playing,
            "over": whole,
            "finished": 0 if progress is None else progress.finished,
            "runs": len(self),
            "made": 0.0 if progress is None else float(progress.steps.mean()),
            "steps": self._steps,
            "measure": self._measure,
            "selected": self._selected,
            "name": self._name(self._selected),
            "fate": self._fate(self._selected),
            "how": "" if result is None or not whole else f"{result.how}: {result.why}",
            "tuned": "" if tuner is None else tuner.run.title,
            "error": self._error,
        }

    def _fate(self, row: int) -> str:
        progress = self._board.progress
        if progress is None or progress.status[row] != "diverged":
            return ""
        return f"diverged at step {int(progress.steps[row]):,}"

    def _news(self, fresh: bool) -> tuple[dict[str, Any], list[bytes]]:
        """For each point: the quartiles and how far it is; and the loss curves of the selected point."""
        progress = self._board.progress
        made = -1 if progress is None else int(progress.steps.sum()) + len(self) * self._steps * progress.finished
        key = (id(self._board), made, self._measure, self._selected)
        if not fresh and key == self._sent:
            return {}, []
        self._sent = key
        land, curves = self._landscape(), self._curves()
        with np.errstate(over="ignore"):  # an explosion may leave float32
            points = np.column_stack([land.lower, land.medians, land.upper, land.phase]).astype("<f4")
            losses = curves.astype("<f4")
        news = {
            "axes": [{"name": name, "label": LABELS.get(name, name), "values": values.tolist()}
                     for name, values in self._axes.items()],
            "seeds": self._seeds,
            "measures": [[name, measure.name] for name, measure in MEASURES.items()],
            "best": land.best,
            "higher": MEASURES[self._measure].higher,
            "window": land.window(progress, curves),
            "width": self._width,
        }  # fmt: skip
        return news, [points.tobytes(), losses.tobytes()]


_PLURALS = {"lr": "rates", "batch_size": "batch sizes", "weight_decay": "weight decays"}


class _Board:
    """What the training thread has to say. It does not know the instrument, so that one that nobody uses can go."""

    def __init__(self) -> None:
        self.progress: Progress | None = None
        self.result: Sweep | None = None


def _train(call: Any, board: _Board, asked_to_stop: threading.Event) -> None:
    """The task of the training thread."""

    def hear(progress: Progress) -> bool:
        board.progress = progress
        return not asked_to_stop.is_set()

    board.result = call(on_progress=hear)


# What is given, and whether it is right -------------------------------------------------------------------------------


def _axes(lr: Any, settings: Mapping[str, Any]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The hyperparameters that vary, sorted, the learning rate first; and the settings that do not."""
    lists = {
        name: value for name, value in settings.items() if isinstance(value, (list, tuple, np.ndarray, torch.Tensor))
    }
    lists.pop("validation", None)
    if len(lists) > 1:
        raise ValueError(f"one hyperparameter besides lr may vary, got {' and '.join(lists)}: a map has two axes")
    axes = {name: _axis(name, values) for name, values in {"lr": lr, **lists}.items()}
    return axes, {name: value for name, value in settings.items() if name not in lists}


def _axis(name: str, values: Any) -> np.ndarray:
    given = values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else values
    try:
        axis = np.asarray(given)
        axis = axis if axis.dtype.kind in "iu" and name != "lr" else axis.astype(np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a list of numbers, got {values!r}") from None
    if axis.ndim != 1 or len(np.unique(axis)) < 2:
        raise ValueError(f"{name} must be two or more different numbers in one list, got {values!r}")
    if len(np.unique(axis)) < len(axis):
        raise ValueError(f"{name} holds a value twice: {values!r}")
    return np.sort(axis)


def _seed_list(seeds: Any) -> list[int]:
    if isinstance(seeds, int) and not isinstance(seeds, bool) and seeds >= 1:
        return list(range(seeds))
    if isinstance(seeds, Sequence) and not isinstance(seeds, str) and seeds and len(set(seeds)) == len(seeds):
        return list(seeds)
    raise ValueError(f"seeds must be a number of at least 1, or a list of different seeds; got {seeds!r}")
