"""The transfer view: which layers of a network learn, how fast each does, and how far each has come from its start."""

from __future__ import annotations

import functools
import math
from collections import deque
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from lrlab import transfer
from lrlab.instruments import drawing, transfer_picture
from lrlab.instruments.curves import ACCURACY, LR_HIGH, SMOOTH, LagFreeCurve
from lrlab.instruments.layers import Layers
from lrlab.instruments.loop import train
from lrlab.instruments.player import PacedPlayer, check_steps
from lrlab.instruments.racers import unknown
from lrlab.instruments.tracks import Track, cut
from lrlab.instruments.transfer_picture import percent, several
from lrlab.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lrlab.instruments.page import Page

PRESETS = {
    "head only": "only the last group learns",
    "all equal": "every group learns with the base rate",
    "discriminative": f"every group learns, each {transfer.ULMFIT} times slower than the one above it",
    "next": "the frozen group nearest to the head learns too",
}
SLIDER = (1e-4, 10.0)  # the factors that a slider reaches; `set_factor` takes any
BASE = (1e-6, 1.0)  # likewise, of the base rate
ROUNDING = 1e-6  # of a logarithm: a curve's rates are kept in single precision


class GroupFactors(Mapping[str, float]):
    """The factors of a view by layer group; ``view.factor["block1"] = 0.1`` sets one."""

    def __init__(self, view: TransferView) -> None:
        self._view = view

    def __getitem__(self, group: str) -> float:
        if group not in self._view.groups:
            raise KeyError(unknown("layer group", group, self._view.groups, of=self._view.run.title))
        return self._view._layers.span(group)[1]

    def __setitem__(self, group: str, factor: float) -> None:
        self._view.set_factor(group, factor)

    def __iter__(self) -> Iterator[str]:
        return iter(self._view.groups)

    def __len__(self) -> int:
        return len(self._view.groups)

    def __repr__(self) -> str:
        return repr(dict(self))


class TransferView(PacedPlayer):
    """An instrument on transfer learning: which layer groups of a network learn, how fast, and how far they have moved.

    ::

        rate of a group = base rate × factor of the group            factor 0: the group is frozen
        moved           = ‖w − w₀‖ / ‖w₀‖                            w₀: its weights when the run began

    Each layer group is a bar, from the input to the head, and has a slider for its factor. The run trains on in a
    thread, and a group may be frozen, unfrozen, slowed or quickened while it does: all of that is the run's own knob
    ``factors``, so it stands in ``run.moves`` and can be replayed. Under the bars are the loss and the validation
    accuracy, with a mark where a group was unfrozen; beside them the filters of the first convolution, before and now.

    When other groups are frozen than before, the memory of the update rule begins anew (see `Run`).

    Args:
        run: the run; it may have made steps already.
        speed: at most so many steps per second while a page is open; None: as fast as the machine can.

    Raises:
        TypeError: no run.
        ValueError: a run that cannot have rates by layer: with a torch optimizer, or compiled.

    Source: J. Howard and S. Ruder, "Universal Language Model Fine-tuning for Text Classification", ACL 2018: gradual
    unfreezing, and the 2.6 between the rates of neighbouring groups.

    >>> from lrlab import Run, instruments
    >>> view = instruments.TransferView(Run("mlp", "digits", lr=0.2))
    >>> view.preset("head only")
    >>> view.play(steps=20)
    >>> view.wait()
    >>> view.unfreeze("block1")
    >>> view.factor["block1"] = 0.5
    >>> view.rates["block1"], view.rates["head"], view.moved["block1"]
    (0.1, 0.2, 0.0)
    """

    _doing = "the run is", "playing"

    def __init__(self, run: Run, *, speed: float | None = 60.0) -> None:
        if not isinstance(run, Run):
            raise TypeError(f"run must be a Run, got {type(run).__name__}; write TransferView(Run('cnn', 'digits'))")
        if run.rule is None or run.config["compile"]:
            kind = "a torch optimizer, which has groups of its own" if run.rule is None else "compile=True"
            raise ValueError(f"run has {kind}, and so no learning rates by layer: make it with a rule of lrlab.rules")
        super().__init__(speed)
        self._run = run
        self._layers = Layers(run)
        self._last_factors = {name: factor or 1.0 for name, factor in self._layers.factors.items()}  # for unfreezing
        self._tracks = [Track(0, "this run", 0, LagFreeCurve(), run)]
        self._seen: Any = None  # of the run, when it was last shown
        self._sent: dict[str, Any] = {}  # to the pages
        self._measured: tuple[Any, dict[str, float]] = (None, {})
        drawing.after_each_cell(self._look_again)

    def __repr__(self) -> str:
        return f"TransferView({self._run.title})"

    @property
    def run(self) -> Run:
        """The run that is trained."""
        return self._run

    # Factors ---------------------------------------------------------------------------------------------------------

    @property
    def groups(self) -> tuple[str, ...]:
        """The names of the layer groups, from input to output (see `lrlab.transfer.layer_groups`)."""
        return tuple(self._layers.groups)

    @property
    def factor(self) -> GroupFactors:
        """The factor of each group; ``view.factor["block1"] = 0.1`` is `set_factor`.

        Of a group whose parts have different ones it is the greatest.
        """
        return GroupFactors(self)

    @property
    def frozen(self) -> tuple[str, ...]:
        """The groups that do not learn."""
        return tuple(self._layers.frozen)

    @property
    def rates(self) -> dict[str, float]:
        """The learning rate of each group in the next step: base rate times factor."""
        return self._layers.rates

    def set_factor(self, group: str, factor: float) -> None:
        """Multiply the base rate by this factor in one group; 0 freezes it, and any other number unfreezes it.

        Raises:
            ValueError, TypeError: no such group (the nearest is suggested), a factor that is negative, not finite or no
                number, or nothing would be left to train.
        """
        self._turn({group: factor})

    def freeze(self, *groups: str) -> None:
        """Let these groups keep their weights as they are; no names at all: every group but the last.

        Raises:
            ValueError: no such group, or nothing would be left to train.
        """
        self._turn(dict.fromkeys(groups or self.groups[:-1], 0.0))

    def unfreeze(self, *groups: str) -> None:
        """Let these groups learn again, each with the last factor it had; no names at all: every group.

        Raises:
            ValueError: no such group, or one that the run cannot train.
        """
        learning = self._layers.learning
        named = groups or list(filter(self._in_run, self.groups))
        self._turn({name: self._last_factors.get(name, 1.0) for name in named if name not in learning})

    def preset(self, name: str) -> None:
        """Set all groups at once, or thaw one more.

        Args:
            name: ``"head only"``; ``"all equal"``: factor 1 for every group; ``"discriminative"``: from each group to
                the one below it the factor is divided by 2.6; ``"next"``: the next step of gradual unfreezing, the
                frozen group nearest to the head learns too.

        Raises:
            ValueError: no such preset, or there is no frozen group left.
        """
        if name not in PRESETS:
            raise ValueError(unknown("preset", name, PRESETS, of="this view"))
        if name == "next":
            thawed = self._layers.next_to_thaw
            if thawed is None:
                raise ValueError("there is no next step of unfreezing: every group of this run learns already")
            return self.unfreeze(thawed)
        below_head = reversed(range(len(self.groups)))
        depths = {group: depth for group, depth in zip(self.groups, below_head, strict=True) if self._in_run(group)}
        by_group = {
            "head only": {group: float(depth == 0) for group, depth in depths.items()},
            "all equal": dict.fromkeys(depths, 1.0),
            "discriminative": {group: transfer.ULMFIT**-depth for group, depth in depths.items()},
        }
        return self._turn(by_group[name])

    def _in_run(self, group: str) -> bool:
        return not self._layers.groups[group].outside

    def turn(self, knob: str, value: Any) -> None:
        """Turn a knob of the run (see `Run.turn`), such as the base rate: ``turn("lr", 0.01)``.

        Raises:
            ValueError, TypeError: an unknown knob, or a value it does not accept.
        """
        self._run.turn(knob, value)
        self._show_news()

    def _turn(self, by_group: Mapping[str, float]) -> None:
        with self._lock:
            changed = self._layers.set(by_group)
            self._last_factors.update({name: factor for name, factor in changed.items() if factor})
        self._show_news()

    # Training --------------------------------------------------------------------------------------------------------

    def play(self, steps: int | None = None) -> None:
        """Train on in the background; the call returns at once.

        Args:
            steps: how many steps; None: until `pause`.

        Raises:
            ValueError: steps is no whole number of at least 1.
            RuntimeError: a number of steps is given while the run is playing, or the run has diverged.
        """
        check_steps(steps)
        with self._lock:
            if self._plays_already(steps):
                return
            if self._run.status == "diverged":
                raise RuntimeError(f"the run diverged at step {self._run.step}: rewind() it, then turn a rate down")
            self._take_over(self._run)
            task = functools.partial(train, self._run, self._run.steps(steps), deque(), self._pace)
            self._set_to_work(task, f"transfer view {self._run.title}")
        self._show_work()

    def rewind(self, step: int = 0) -> None:
        """Pause and go back to the moment when ``step`` steps were made, with the weights and factors it had then.

        What came after stays in the picture, in grey.

        Raises:
            ValueError: a step beyond the run.
        """
        with self._lock:
            self.pause()
            track = self._tracks[0]
            track.grow()
            whole = track.curve
            self._run.rewind(step)  # refuses a wrong step before anything is cut
            future = cut(whole, step)
            if len(future.rows):
                self._tracks.append(Track(len(self._tracks), f"before rewind, {whole.end:,}", 0, future, None))
            track.begin_again(step)
        self._show_news()

    # What comes of it ------------------------------------------------------------------------------------------------

    @property
    def moved(self) -> dict[str, float]:
        """How far the weights of each group are from those at the run's start: ``‖w − w₀‖ / ‖w₀‖``.

        NaN for a group that began with nothing but zeros.
        """
        return self._layers.moved()

    def filters(self) -> tuple[np.ndarray, np.ndarray] | None:
        """The weights of the first convolution at the run's start and now, ``[filters, channels, height, width]`` each.

        None for a network without convolutions.
        """
        return self._layers.filters()

    @property
    def unfrozen_at(self) -> list[tuple[int, str]]:
        """Where groups were unfrozen: ``(steps made, group)``."""
        return [(step, name) for step, name, learns in self._layers.turns() if learns]

    # Pictures --------------------------------------------------------------------------------------------------------

    def figure(self) -> Figure:
        """The bars, the curves and the filters as they are now, as a matplotlib figure."""
        with self._lock:
            self._grow()
            return transfer_picture.figure(self._title(), self._layers, self._tracks, self._domain())

    def _title(self) -> str:
        return f"Transfer view, {self._run.title}: {self._story()}"

    def _story(self) -> str:
        learning = self._layers.learning
        learns = f"{several(learning)} {'learns' if len(learning) == 1 else 'learn'}"
        return f"{self._run.step:,} steps, {learns if self.frozen else 'nothing is frozen'}"

    @property
    def alt(self) -> str:
        """What `figure` shows, in words."""
        with self._lock:
            self._grow()
            track, moved = self._tracks[0], self.moved
            about = [
                f"{name} {f'at rate {rate:.2g}' if rate else 'frozen'}, moved {percent(moved[name])}"
                for name, rate in self.rates.items()
            ]
            words = [f"{self._title()}.", f"From input to output: {'; '.join(about)}."]
            smooth = track.curve.rows[np.isfinite(track.curve.rows[:, SMOOTH]), SMOOTH]
            if len(smooth):
                words.append(f"Smoothed loss from {smooth[0]:.3g} to {smooth[-1]:.3g}.")
            if np.isfinite(track.last(ACCURACY)):
                words.append(f"Validation accuracy {track.last(ACCURACY):.1%}.")
            words += [f"At step {step:,} {names}." for step, names in transfer_picture.marks(self._layers)]
            if len(self._tracks) > 1:
                words.append(f"Futures cut off by rewinding, in grey: {len(self._tracks) - 1}.")
            if self._layers.convolution is not None:
                words.append("Below, the filters of the first convolution before and now, on one grey scale.")
            return " ".join(words)

    def _grow(self) -> None:
        for track in self._tracks:
            track.grow()

    def _picture_key(self) -> Any:
        return (self._run.step, self._run.moves, len(self._tracks))

    # The page --------------------------------------------------------------------------------------------------------

    def _new_page(self) -> Page:
        from lrlab.instruments.page import TransferPage  # a page opens a channel: not before it is needed

        return TransferPage(repr(self), self._hear)

    def _look_again(self) -> None:
        """A cell has run; it may have turned a knob of the run itself."""
        if self._seen != self._glance():
            self._show_news()

    def _glance(self) -> Any:
        return (self._run.step, self._run.status, self._run.moves)

    def _obey(self, message: dict[str, Any]) -> None:
        match message:
            case {"do": "factor", "group": str(group), "value": value}:
                self.set_factor(group, value)
            case {"do": "freeze", "group": str(group)}:
                self.freeze(group)
            case {"do": "unfreeze", "group": str(group)}:
                self.unfreeze(group)
            case {"do": "preset", "name": str(name)}:
                self.preset(name)
            case {"do": "turn", "knob": str(knob), "value": value}:
                self.turn(knob, value)
            case {"do": "play"}:
                self.play()
            case {"do": "pause"}:
                self.pause()
            case {"do": "rewind", "step": int(step)}:
                self.rewind(step)
            case _:
                raise ValueError(f"the page sent {message!r}, which this view does not know")

    def _state(self) -> dict[str, Any]:
        run = self._run
        lr = float(run.knobs["lr"])
        ends = {"low": BASE[0], "high": max(BASE[1], lr)}
        return {
            "about": f"{run.title} · {run.parameters:,} parameters",
            "playing": self.playing,
            "status": run.status,
            "step": run.step,
            "epoch": run.epoch,
            # The lowest position is 0, for a schedule that ends there.
            "base": {"name": "lr", "label": "base rate", "value": lr, "scale": "zero", **ends},
            "schedule": "" if run.schedule is None else type(run.schedule).__name__,
            "groups": self._bars(lr),
            "slider": SLIDER,
            "domain": self._domain(),
            "presets": list(PRESETS.items()),
            "next": self._layers.next_to_thaw or "",
            "error": self._error,
        }

    def _bars(self, lr: float) -> list[dict[str, Any]]:
        moved = self._moved_now()
        bars = []
        for name, group in self._layers.groups.items():
            low, high = self._layers.span(name)
            change = moved[name] if math.isfinite(moved[name]) else None
            numbers = {"parameters": group.parameters, "low": low, "factor": high, "rate": lr * high, "moved": change}
            bars.append({"name": name, "outside": group.outside, "last": self._last_factors[name], **numbers})
        return bars

    def _moved_now(self) -> dict[str, float]:
        """`moved`, computed once for each step that is shown."""
        key = (self._run.step, self._run.history.since(max(0, self._run.step - 1))["loss"].tolist())
        if self._measured[0] != key:
            self._measured = (key, self.moved)
        return self._measured[1]

    def _domain(self) -> tuple[float, float]:
        """The ends of the axis of rates, powers of ten: what the sliders reach, from the greatest base rate so far."""
        self._grow()
        base = max([float(self._run.knobs["lr"]), *self._tracks[0].curve.rows[:, LR_HIGH].tolist()]) or BASE[1]
        rates = [rate for rate in self.rates.values() if rate]
        low, high = min([base * SLIDER[0], *rates]), max([base * SLIDER[1], *rates])
        return 10.0 ** math.floor(math.log10(low) + ROUNDING), 10.0 ** math.ceil(math.log10(high) - ROUNDING)

    def _news(self, fresh: bool) -> tuple[dict[str, Any], list[bytes]]:
        """The rows of the curves, the history of the factors and the filters, each when they have changed."""
        self._grow()
        self._seen = self._glance()
        if fresh:
            self._sent = {}
            for track in self._tracks:
                track.unsent, track.moves_sent = 0, 0
        news: dict[str, Any] = {}
        buffers: list[bytes] = []
        if self._changed("curves", (self._seen, len(self._tracks), [track.curve.end for track in self._tracks])):
            told = [track.news("run" if track.run else "ghost") for track in self._tracks if track.unsent is not None]
            news["tracks"] = [description for description, _ in told]
            buffers += [rows for _, rows in told]
        if self._changed("timeline", self._run.moves):
            news["timeline"], news["turns"] = self._layers.timeline(), self._layers.turns()
        pictures = self._layers.pictures()
        if pictures is not None and self._changed("filters", (self._moved_now(), self._run.step)):
            news["filters"] = pictures[0].shape
            buffers += [filters.astype("<f4").tobytes() for filters in pictures]
        return news, buffers

    def _changed(self, what: str, key: Any) -> bool:
        """Whether this has changed since it was last sent."""
        if what in self._sent and self._sent[what] == key:
            return False
        self._sent[what] = key
        return True
