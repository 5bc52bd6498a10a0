"""The schedule designer: pieces chosen and joined, handles dragged, and all designs trained under the same seeds.

How page and kernel talk: `Instrument` describes it; `ScheduleDesigner._obey` lists what a page can ask for. The page
keeps no state, so a reload brings everything back, and what a hand can do a method can do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lrlab import figures
from lrlab.instruments import notation, pieces
from lrlab.instruments.comparison import Comparison, Entry, LossCurve, steps_per_epoch
from lrlab.instruments.designs import Board, whole_number
from lrlab.instruments.pieces import KINDS
from lrlab.run import Run
from lrlab.schedules import Schedule

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from lrlab.instruments.page import Page
    from lrlab.sweeps import Sweep


class ScheduleDesigner(Board):
    """An instrument for schedules: choose one, join pieces, drag the handles on the curve, draw one by hand.

    Shown as the last line of a cell it is a widget with the curve, the formula and the code of the selected design side
    by side; they always say the same, and the code can be copied. Several designs stand on one plot, and ``train`` lets
    all of them train under the same seeds, with the losses below on the same axis of steps. Every control of the widget
    is a method here.

    A change to a piece keeps the rest together: a piece that is made longer takes its time from the next one, and a
    warm-up always ends at the rate its successor starts with.

    Args:
        total: the length of the plot and of the training, in steps: a whole number of at least 2.
        schedules: up to seven schedules to begin with, their time in steps; none: a cosine.
        run: what ``train`` trains: model, data, rule, batch size and all other settings of this `Run`, which stays as
            it is; its learning rate is of no account. None: ``Run("mlp", "digits", rule=rules.Momentum())``.
        seeds: under how many seeds ``train`` trains each design: 1 to 99.

    Raises:
        TypeError, ValueError: an argument of the wrong kind or outside its range; the message names it.

    >>> from lrlab import Run, instruments, schedules
    >>> designer = instruments.ScheduleDesigner(100, schedules.Cosine(0.1, total=100))
    >>> designer.join("Warmup", at=0)
    >>> designer.move("Warmup peak", step=20, lr=0.2)
    >>> designer.code
    'schedules.Warmup(0.2, steps=20).then(schedules.Cosine(0.2, total=80))'
    >>> print(designer.formula)
    α(t) = 0.2 · t / 20    for 0 ≤ t < 20
    α(t) = 0.2 · ½(1 + cos(π · (t − 20) / 80))    for 20 ≤ t ≤ 100
    >>> run = Run("mlp", "digits", lr=designer.schedule)
    """

    _doing, _way_out = ("the designs are", "being trained"), "stop()"

    def __init__(self, total: int, *schedules: Schedule, run: Run | None = None, seeds: int = 5) -> None:
        super().__init__(total, schedules)
        self.seeds = seeds
        if run is not None and not isinstance(run, Run):
            raise TypeError(f'run must be a Run such as Run("mlp", "digits"), or None, not {run!r}')
        if run is not None and run.rule is None:
            raise ValueError("run has a torch optimizer, but train() takes a rule of lrlab.rules: Run(..., rule=...)")
        self._run = run
        self._epoch = steps_per_epoch(run)
        self._comparison: Comparison | None = None
        self._log = False

    def __repr__(self) -> str:
        return f"ScheduleDesigner({self.total} steps: {', '.join(self.names)})"

    @property
    def log(self) -> bool:
        """Whether the axis of the rates is logarithmic."""
        return self._log

    @log.setter
    def log(self, log: bool) -> None:
        if not isinstance(log, bool):
            raise TypeError(f"log must be True or False, not {log!r}")
        self._log = log
        self._show_news()

    # Training --------------------------------------------------------------------------------------------------------

    @property
    def seeds(self) -> int:
        """Under how many seeds `train` trains each design: 0, 1, ..., seeds − 1."""
        return self._seeds

    @seeds.setter
    def seeds(self, seeds: int) -> None:
        self._seeds = whole_number("seeds", seeds, 1, 99, "Each design is trained once with each seed: try 5.")
        self._show_news()

    def train(self) -> None:
        """Train all designs under the same seeds, in the background; the call returns at once.

        Raises:
            RuntimeError: they are being trained already.
        """
        with self._lock:
            self._refuse_twice("; stop() first, or wait()")
            named = zip(self._designs, self.names, strict=True)
            entries = [Entry(design.number, design.slot, name, design.schedule) for design, name in named]
            self._comparison = Comparison(self._run, entries, self.total, self.seeds)
            self._set_to_work(self._comparison.train, "schedules")
        self._show_work()

    def stop(self) -> None:
        """End the training after the steps that are being made; what was measured so far stays."""
        if self._belongings.worker is not None:
            self._belongings.worker.stop()
        self._show_news()

    def pause(self) -> None:
        """Nothing: a training that nobody watches goes on to its end. `stop` ends it."""

    def _end_work(self) -> None:
        self.stop()

    @property
    def result(self) -> Sweep | None:
        """The table of the last training that ended or was stopped, one row per design and seed; None before."""
        return self._comparison.result if self._comparison else None

    def verdict(self) -> str:
        """What came of the training, the best design first: medians over the seeds.

        A design that was changed or removed since is said to be so: what was measured is of the one before.
        """
        if self._comparison is None or not self._comparison.curves:
            return "nothing was trained yet"
        now = {design.number: design.schedule for design in self._designs}
        entries = self._comparison.entries
        notes = {it.number: "before the change" for it in entries if now.get(it.number) != it.schedule}
        return self._comparison.verdict(notes | {it.number: "removed" for it in entries if it.number not in now})

    def _trained(self) -> list[tuple[Entry, LossCurve, bool]]:
        """What was measured of the designs that are still on the plot, and whether each is unchanged since."""
        if self._comparison is None:
            return []
        now = {design.number: design.schedule for design in self._designs}
        known = zip(self._comparison.entries, self._comparison.curves, strict=False)
        return [(entry, curve, now[entry.number] == entry.schedule) for entry, curve in known if entry.number in now]

    # Pictures --------------------------------------------------------------------------------------------------------

    def figure(self) -> Figure:
        """The designs, and below them the losses where they were trained, as a matplotlib figure."""
        with self._lock:
            trained = self._trained()
            title = f"Schedules over {self.total:,} steps" + (f": {self._headline()}" if trained else "")
            fig, axes = figures.figure(title, rows=2 if trained else 1, size=(7.2, 4.8 if trained else 3.2))
            rates = np.ravel(axes)[0]
            for design, name in zip(self._designs, self.names, strict=True):
                times = np.linspace(0, self.total, len(design.rates))
                rates.plot(times, design.rates, **figures.style(design.slot), label=name)
            low, high = self._ends()
            rates.set(ylabel="learning rate α", yscale="log" if self.log else "linear", ylim=(low, high))
            if trained:
                _draw_losses(axes[1], trained)
            np.ravel(axes)[-1].set(xlabel="step", xlim=(0, self.total))
        for ax in np.ravel(axes):
            figures.direct_labels(ax)
        return fig

    def _ends(self) -> tuple[float, float]:
        """The ends of the axis of the rates; a logarithmic one has four decades at most, for a rate may fall to 0."""
        rates = np.concatenate([design.rates for design in self._designs])
        high = 1.1 * float(rates.max()) or 1.0
        return (max(0.8 * float(rates[rates > 0].min(initial=high)), high / 1e4) if self.log else 0.0), high

    def _headline(self) -> str:
        assert self._comparison is not None
        seeds = f"{self._comparison.seeds} seeds" if self._comparison.seeds > 1 else "one seed"
        known = [(curve.val_loss, entry.name) for entry, curve, same in self._trained() if same]
        ended = [(loss, name) for loss, name in known if math.isfinite(loss)]
        if len(ended) < 2:
            return f"their losses under {seeds}"
        return f"{min(ended)[1]} ends with the lowest validation loss ({seeds})"

    @property
    def alt(self) -> str:
        """What `figure` shows, in words."""
        with self._lock:
            words = [f"Schedule designer, {self.total:,} steps."]
            for design, name in zip(self._designs, self.names, strict=True):
                first, last = design.rates[0], design.rates[-1]
                peak = f"at most {design.rates.max():.3g}, " if design.rates.max() > max(first, last) else ""
                words.append(f"{name}: rate {first:.3g} at step 0, {peak}{last:.3g} at the end.")
            if self._trained():
                words.append(f"Trained under {self._comparison and self._comparison.seeds} seeds: {self.verdict()}.")
            return " ".join(words)

    def _picture_key(self) -> Any:
        version = self._comparison.version if self._comparison else 0
        return ([(design.number, design.schedule, design.name) for design in self._designs], version, self.log)

    # The page --------------------------------------------------------------------------------------------------------

    def _new_page(self) -> Page:
        from lrlab.instruments.page import DesignerPage  # a page opens a channel: not before it is needed

        return DesignerPage(repr(self), self._hear)

    def _obey(self, message: dict[str, Any]) -> None:
        match message:
            case {"do": "move", "handle": str(handle), "step": step, "lr": lr}:
                self.move(handle, step, lr)
            case {"do": "turn", "piece": piece, "parameter": str(parameter), "value": value}:
                self.turn(parameter, self._read(piece, parameter, value), piece)
            case {"do": "choose", "kind": str(kind), "piece": piece}:
                self.choose(kind, piece)
            case {"do": "join", "kind": str(kind), "at": at}:
                self.join(kind, at)
            case {"do": "drop", "piece": piece}:
                self.drop(piece)
            case {"do": "draw", "points": list(points)}:
                self.draw(points)
            case {"do": "add point", "handle": str(handle)}:
                self.add_point(handle)
            case {"do": "remove point", "handle": str(handle)}:
                self.remove_point(handle)
            case {"do": "select", "name": str(name)}:
                self.select(name)
            case {"do": "rename", "name": str(name)}:
                self.rename(name)
            case {"do": "stop"}:
                if self._belongings.worker is not None:
                    self._belongings.worker.ask_to_stop()  # the kernel must not wait for it
            case {"do": "add" | "duplicate" | "remove" | "undo" | "train" as what}:
                getattr(self, what)()
            case {"do": "seeds", "seeds": seeds}:
                self.seeds = seeds
            case {"do": "log", "log": log}:
                self.log = log
            case _:
                raise ValueError(f"the page sent {message!r}, which this designer does not know")

    def _read(self, piece: Any, parameter: str, value: Any) -> Any:
        """What was typed, as the parameter's own kind of value: of several numbers, with commas between them."""
        parts = self._parts_with(piece)
        if not isinstance(pieces.parameters(parts[piece]).get(parameter), tuple):
            return value
        try:
            return tuple(map(_number, str(value).split(",")))
        except ValueError:
            raise ValueError(f"{parameter} must be numbers with commas between them, got {value!r}") from None

    def _state(self) -> dict[str, Any]:
        comparison = self._comparison
        return {
            "total": self.total,
            "epoch": self._epoch,
            "title": self._run.title if self._run else "mlp on digits",
            "designs": [{"slot": d.slot, "name": name} for d, name in zip(self._designs, self.names, strict=True)],
            "selected": self._selected,
            "name": self._design.name,
            "kinds": KINDS,
            "pieces": self._piece_cards(),
            "handles": [
                {"name": grip.name, "step": grip.t, "lr": grip.lr, "ways": grip.ways, "zero": grip.zero}
                for grip in self._design.grips
            ],
            "code": self.code,
            "undo": bool(self._past),
            "seeds": self.seeds,
            "log": self.log,
            "playing": self.playing,
            "share": comparison.share if comparison else None,
            "verdict": "" if comparison is None or self.playing else self.verdict(),
            "error": self._error,
        }

    def _piece_cards(self) -> list[dict[str, Any]]:
        """For each piece its kind, its parameters, and the cases of the formula that are its own."""
        parts, rows = self._design.parts, notation.formula(self.schedule, self.total)
        ends = [*pieces.begins(parts)[1:], math.inf]
        cards = []
        for part, begin, end in zip(parts, pieces.begins(parts), ends, strict=True):
            own = [row for row in rows if begin <= row.begin < end]
            cards.append(
                {
                    "kind": pieces.kind_of(part),
                    "parameters": [
                        [name, _shown(value), pieces.CHOICES.get((pieces.kind_of(part), name))]
                        for name, value in pieces.parameters(part).items()
                    ],
                    "rows": [[row.text, row.where, row.note] for row in own],
                }
            )
        return cards

    def _news(self, fresh: bool) -> tuple[dict[str, Any], list[bytes]]:
        """The curves: of each design its rates, and of each that was trained the quartiles of its losses."""
        key = self._picture_key()
        if not fresh and key == getattr(self, "_sent", None):
            return {}, []
        self._sent = key
        buffers = [design.rates.astype("<f4").tobytes() for design in self._designs]
        losses = []
        for entry, curve, same in self._trained():
            about = {"slot": entry.slot, "name": entry.name, "same": same, "diverged": curve.diverged}
            losses.append({**about, "accuracy": curve.val_accuracy if math.isfinite(curve.val_accuracy) else None})
            with np.errstate(over="ignore"):
                buffers.append(np.stack([curve.steps, *curve.quartiles]).astype("<f4").tobytes())
        return {"losses": losses, "runs": self._comparison.seeds if self._comparison else 0}, buffers


def _draw_losses(ax: Axes, trained: Sequence[tuple[Entry, LossCurve, bool]]) -> None:
    """Median and quartiles over the seeds; what was changed since is drawn in grey."""
    for entry, curve, same in trained:
        look = figures.style(entry.slot) if same else {"color": "#999999", "linestyle": ":"}
        low, median, high = np.where(np.isfinite(curve.quartiles), curve.quartiles, np.nan)
        ax.fill_between(curve.steps, low, high, color=look["color"], alpha=0.2, linewidth=0)
        accuracy = f"  {100 * curve.val_accuracy:.1f} %" if math.isfinite(curve.val_accuracy) else ""
        ax.plot(curve.steps, median, **look, label=entry.name + (accuracy if same else ", before the change"))
    ax.set(ylabel="training loss\n(median, quartiles)", yscale="log")


def _shown(value: Any) -> Any:
    """A parameter as the page shows it: a number, or text."""
    return ", ".join(f"{item:.6g}" for item in value) if isinstance(value, tuple) else value


def _number(text: str) -> float:
    number = float(text)
    return int(number) if number.is_integer() else number
