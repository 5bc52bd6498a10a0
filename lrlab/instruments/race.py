"""The race: update rules go down a surface side by side, from a start that you can drag.

How page and kernel talk: `Instrument` describes it; `Race._obey` lists what a page can ask for. The page keeps no
state, so a reload brings everything back, and what a hand can do a method can do.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from matplotlib.collections import LineCollection
from torch import Tensor

from lrlab import figures, knobs
from lrlab.instruments.dials import FRACTIONS, LABELS, MOST_HYPERPARAMETERS, UNSHOWN
from lrlab.instruments.player import PacedPlayer
from lrlab.instruments.racers import Field, Racer, check_rule, run_on, unknown
from lrlab.instruments.relief import Relief, relief_of
from lrlab.rules import Rule
from lrlab.schedules import Schedule
from lrlab.surfaces import Noisy, Surface

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from lrlab.instruments.page import Page

MOST_RACERS = len(figures.PALETTE)
LAP = 1000  # steps that a play without an end makes at most
FRAME_SECONDS = 0.03  # of work before what there is of the paths is shown

Rules = Rule | str | Sequence[Rule | str] | Mapping[str, Rule | str]
Rates = float | Schedule | Sequence[float | Schedule] | Mapping[str, float | Schedule]


class Race(PacedPlayer):
    """An instrument on a surface: let rules race from one start; move it, turn their rates, add noise, see why.

    Shown as the last line of a cell it is a widget: a map with contours and paths, and the height of each racer against
    the step. Every control of the widget is a method here. Steps are made in a thread, and the cell returns at once.

    Every path depends on the settings alone: it is ``rules.descend(rule, surface, start, lr=lr, steps=steps)``, bit for
    bit. Turn a knob or move the start after fifty steps, and the fifty steps are made again with the new value.

    A path that is ten windows away from the middle of the map, or no number any more, has *diverged* and ends there.
    One that has only left the map goes on and may come back; both are said in words.

    Args:
        surface: a surface of two dimensions; of a noisy one, its noise and seed are those of the race.
        rules: up to seven rules: a list, or a dict of names and rules. Two rules of one class are numbered.
        lr: the learning rate, above 0: one for all, a list in the order of the rules, or a dict by name. A schedule is
            asked for each step.
        start: two numbers on the map; None: the surface's own start.
        sigma: the noise of each coordinate of the gradient, in units of the gradient; 0: none.
        seed: of the noise. All racers meet the same noise at the same step.
        speed: at most so many steps per second while a page is open; None: as fast as the machine can. Without a page
            nobody watches, and there is no limit.

    Raises:
        TypeError, ValueError: an argument of the wrong kind or outside its range; the message names it.

    >>> from lrlab import instruments, rules, surfaces
    >>> race = instruments.Race(surfaces.ravine(10), [rules.SGD(), rules.Momentum()], lr=0.02)
    >>> race.play(steps=100)
    >>> race.wait()
    >>> race.steps_to(0.1)
    {'SGD': None, 'Momentum': 36}
    >>> race.turn("SGD", "lr", 0.15)
    >>> race.steps_to(0.1)
    {'SGD': 19, 'Momentum': 36}
    """

    _doing = "the race is", "on"

    def __init__(
        self,
        surface: Surface,
        rules: Rules,
        lr: Rates = 0.01,
        *,
        start: Sequence[float] | Tensor | None = None,
        sigma: float = 0.0,
        seed: int = 0,
        speed: float | None = 30.0,
    ) -> None:
        super().__init__(speed)
        surface, sigma, seed = _without_noise(_check_surface(surface), sigma, seed)
        self.surface = surface
        named = _named(rules)
        rates = _rates(lr, list(named))
        racers = [Racer(name, slot, named[name], rates[name]) for slot, name in enumerate(named)]
        self._relief = relief_of(surface)
        at = self._check_start(surface.start if start is None else start)
        self._field = Field(surface, racers, at, sigma, seed)
        self._selected = racers[0]
        self._sent: dict[str, tuple[int, int]] = {}

    def __repr__(self) -> str:
        return f"Race({self.surface.name}: {', '.join(self.names)})"

    # What the race holds ---------------------------------------------------------------------------------------------

    @property
    def names(self) -> list[str]:
        """The racers' names, in their order."""
        return [racer.name for racer in self._field.racers]

    @property
    def step(self) -> int:
        """The steps made since the start."""
        return self._field.step

    @property
    def start(self) -> tuple[float, float]:
        """Where all paths begin."""
        x, y = self._field.start.tolist()
        return x, y

    @property
    def sigma(self) -> float:
        """The noise of each coordinate of the gradient."""
        return self._field.sigma

    @property
    def settings(self) -> dict[str, dict[str, Any]]:
        """Each racer's knobs and their values: its learning rate and its rule's hyperparameters."""
        return {racer.name: {"lr": racer.lr, **racer.rule.hyperparameters()} for racer in self._field.racers}

    # Racing ----------------------------------------------------------------------------------------------------------

    def play(self, steps: int | None = None) -> None:
        """Race on in the background; the call returns at once.

        Args:
            steps: how many steps; None: until `pause`, at most a thousand. It ends when every racer has diverged.

        Raises:
            TypeError, ValueError: steps is no whole number of at least 1.
            RuntimeError: a number of steps is given while the race is on, or nobody is left to race.
        """
        _check_steps(steps)
        with self._lock:
            if self._plays_already(steps):
                return
            self._field.catch_up()
            if self._field.over:
                raise RuntimeError("every racer has diverged: turn their learning rates down, or reset()")
            goal = self._field.step + (LAP if steps is None else steps)
            task = functools.partial(run_on, self._field, goal, self._pace)
            self._set_to_work(task, f"race {self.surface.name}")
        self._show_work()

    def pause(self) -> None:
        """Stop after the step that is being made; returns when it is done. `play` goes on from there."""
        super().pause()

    def step_once(self) -> None:
        """Make one step; a race that is on is paused first."""
        self.pause()
        self.play(steps=1)
        self.wait()
        self._show_news()

    def reset(self) -> None:
        """Pause, and go back to step 0; the start and all knobs stay as they are."""
        self.pause()
        self._field.reset()
        self._show_news()

    def move_start(self, x: float, y: float) -> None:
        """Let all paths begin at (x, y), a point of the map; the steps made so far are made again from there.

        Raises:
            TypeError, ValueError: a coordinate is no finite number, or the point is not on the map.
        """
        self._field.move_start(self._check_start((x, y)))
        self._show_news()

    def turn(self, racer: str, knob: str, value: Any) -> None:
        """Turn a racer's ``"lr"`` or a hyperparameter of its rule; its steps so far are made again with the new value.

        Raises:
            TypeError, ValueError: no such racer or knob (the nearest is suggested), or a value it does not accept.
        """
        self._field.turn(self._racer(racer), knob, value)
        self._show_news()

    def set_noise(self, sigma: float) -> None:
        """Let each step see the gradient plus noise: sigma, in units of the gradient, for each coordinate; 0 for none.

        Raises:
            TypeError, ValueError: sigma is no finite number of at least 0.
        """
        self._field.set_noise(sigma)
        self._show_news()

    def select(self, racer: str) -> None:
        """Show this racer's knobs on the page, and the arrows of its velocity and its gradient on the map.

        Raises:
            ValueError: no such racer (the nearest is suggested).
        """
        self._selected = self._racer(racer)
        self._show_news()

    def _racer(self, name: Any) -> Racer:
        for racer in self._field.racers:
            if racer.name == name:
                return racer
        raise ValueError(unknown("racer", name, self.names))

    def _check_start(self, point: Any) -> Tensor:
        """The point as float64 [2], if it is one and on the map."""
        coordinates = point.tolist() if isinstance(point, (Tensor, np.ndarray)) else point
        if not isinstance(coordinates, (list, tuple)) or not all(map(_is_number, coordinates)):
            raise TypeError(f"start must be two numbers (x, y), not {point!r}")
        if len(coordinates) != 2:
            raise ValueError(f"start has {len(coordinates)} coordinates, but the points of {self.surface.name} have 2")
        sides = self._relief.window
        if not all(low <= at <= high for at, (low, high) in zip(coordinates, sides, strict=True)):
            x, y = (f"[{low:g}, {high:g}]" for low, high in sides)
            raise ValueError(f"start = {tuple(coordinates)} is not on the map: x in {x}, y in {y}")
        return torch.tensor(coordinates, dtype=torch.float64)

    # What came of it -------------------------------------------------------------------------------------------------

    def paths(self) -> dict[str, np.ndarray]:
        """Each racer's points: `[steps + 1, 2]`, float64, the start first. A path that diverged ends where it did."""
        with self._field.lock:
            self._field.catch_up()
            return {racer.name: racer.path().numpy() for racer in self._field.racers}

    def losses(self) -> dict[str, np.ndarray]:
        """The surface's height, without noise, at each racer's points: `[steps + 1]`, float64."""
        with self._field.lock:
            self._field.catch_up()
            return {racer.name: self._field.heights(racer) for racer in self._field.racers}

    def gaps(self) -> dict[str, np.ndarray]:
        """`losses` less the height of the deepest minimum: what is drawn, and what goes to 0. Never below 0."""
        return {name: np.maximum(loss - self._relief.floor, 0) for name, loss in self.losses().items()}

    @property
    def diverged(self) -> dict[str, int | None]:
        """The step at which each racer diverged, or None."""
        self._field.catch_up()
        return {racer.name: racer.diverged for racer in self._field.racers}

    def steps_to(self, tolerance: float) -> dict[str, int | None]:
        """The steps each racer needed until its height above the deepest minimum was at most ``tolerance``, or None.

        Raises:
            TypeError, ValueError: tolerance is no finite number above 0.
        """
        if isinstance(tolerance, bool) or not isinstance(tolerance, Real):
            raise TypeError(f"tolerance must be a number above 0, not {tolerance!r}")
        if not 0 < tolerance < math.inf:
            raise ValueError(f"tolerance = {tolerance} is outside its range (0, inf)")
        there = {name: np.flatnonzero(gap <= tolerance) for name, gap in self.gaps().items()}
        return {name: int(steps[0]) if len(steps) else None for name, steps in there.items()}

    def verdict(self, tolerance: float = 1e-3) -> str:
        """Who was there first, in one sentence."""
        needed, diverged = self.steps_to(tolerance), self.diverged
        there = sorted((steps, name) for name, steps in needed.items() if steps is not None)
        words = [f"{name} needs {steps:,} steps to a height of {tolerance:g}" for steps, name in there]
        for name in (name for name, steps in needed.items() if steps is None):
            words.append(f"{name} {_fate(diverged[name]) or f'is not there after {self.step:,}'}")
        return "; ".join(words) + "."

    # Pictures --------------------------------------------------------------------------------------------------------

    def figure(self) -> Figure:
        """The map with the paths, and the heights against the step, as a matplotlib figure."""
        with self._field.lock:
            paths, gaps = self.paths(), self.gaps()
            title = f"{self._title()}: {self._story()}"
            fig, (land, curves) = figures.figure(title, 1, 2, size=(7.2, 3.3), sharex=False)
            self._draw_map(land)
            for racer in self._field.racers:
                look = figures.style(racer.slot)
                land.plot(*paths[racer.name].T, **look, linewidth=1.4)
                land.plot(*paths[racer.name][-1], _MARKERS[racer.slot], color=look["color"], markersize=6)
                gap = np.where(gaps[racer.name] > 0, gaps[racer.name], np.nan)
                lost = " diverged" if racer.diverged is not None else ""
                curves.plot(gap, **look, label=racer.name + lost)
        highest = 3 * max(gap[0] for gap in gaps.values()) or 1.0  # a height that explodes may leave the picture
        curves.set(xlabel="step", ylabel=self._axis_name(), yscale="log")
        curves.set_ylim(top=min(highest, curves.get_ylim()[1]))
        figures.direct_labels(curves)
        return fig

    def _draw_map(self, land: Axes) -> None:
        for number, lines in enumerate(self._relief.lines()):
            # Every fifth is stronger, as on the page.
            land.add_collection(LineCollection(lines, colors="#BBBBBB" if number % 5 else "#888888", linewidths=0.5))
        (left, right), (bottom, top) = self._relief.window
        land.set(xlim=(left, right), ylim=(bottom, top), xlabel="x", ylabel="y")
        land.set_aspect("equal" if self._relief.to_scale else "auto")
        land.grid(False)
        land.plot(*self.start, "o", markerfacecolor="white", markeredgecolor="black", markersize=7)
        for minimum in self.surface.minima:
            land.plot(*minimum, "x", color="black", markersize=6)

    def _axis_name(self) -> str:
        return "height above the minimum" if self.surface.minima else "height"

    def _title(self) -> str:
        noise = f", noise {self.sigma:g}" if self.sigma else ""
        x, y = self.start
        return f"Race on the {self.surface.name} from ({x:.3g}, {y:.3g}){noise}"

    def _story(self) -> str:
        lowest = {name: gap[-1] for name, gap in self.gaps().items() if self.diverged[name] is None}
        if not lowest:
            return f"all diverged within {self.step:,} steps"
        if self.step == 0 or len(lowest) == 1:
            return f"{self.step:,} steps"
        return f"after {self.step:,} steps {min(lowest, key=lambda name: lowest[name])} is lowest"

    @property
    def alt(self) -> str:
        """What `figure` shows, in words."""
        with self._field.lock:
            gaps, diverged, settings = self.gaps(), self.diverged, self.settings
            words = [f"{self._title()}: {self._story()}."]
            for racer in self._field.racers:
                rate = settings[racer.name]["lr"]
                rate = f"{rate:.3g}" if isinstance(rate, Real) else type(rate).__name__
                gap = f"is {gaps[racer.name][-1]:.2g} above the minimum"
                words.append(f"{racer.name} (rate {rate}) {_fate(diverged[racer.name]) or gap}.")
            return " ".join(words)

    def _picture_key(self) -> Any:
        field = self._field
        return (field.step, [racer.version for racer in field.racers]) if field.step else None

    # The page --------------------------------------------------------------------------------------------------------

    def _new_page(self) -> Page:
        from lrlab.instruments.page import RacePage  # a page opens a channel to the front end: not before it is needed

        return RacePage(repr(self), self._hear)

    def _prepare(self) -> bool:
        return super()._prepare() and self._field.catch_up(FRAME_SECONDS)

    def _obey(self, message: dict[str, Any]) -> None:
        match message:
            case {"do": "play"}:
                self.play()
            case {"do": "pause"}:
                self.pause()
            case {"do": "step"}:
                self.step_once()
            case {"do": "reset"}:
                self.reset()
            case {"do": "start", "x": int() | float() as x, "y": int() | float() as y}:
                self.move_start(x, y)
            case {"do": "home"}:
                self.move_start(*self.surface.start)
            case {"do": "turn", "racer": str(racer), "knob": str(knob), "value": value}:
                self.turn(racer, knob, value)
            case {"do": "noise", "value": value}:
                self.set_noise(value)
            case {"do": "select", "racer": str(racer)}:
                self.select(racer)
            case {"do": "speed", "speed": int() | float() as speed}:
                self.speed = speed or None
            case _:
                raise ValueError(f"the page sent {message!r}, which this race does not know")

    def _state(self) -> dict[str, Any]:
        return {
            "title": self.surface.name,
            "step": self.step,
            "playing": self.playing,
            "over": self._field.over,
            "start": list(self.start),
            "speed": self.speed or 0,
            "selected": self._selected.name,
            "knobs": self._dials(),
            "error": self._error,
        }

    def _dials(self) -> list[dict[str, Any]]:
        """The knobs in view: the selected racer's rate and its first hyperparameters, and the noise of all."""
        racer = self._selected
        own = racer.rule.hyperparameters().items()
        shown = [(name, float(value)) for name, value in own if name not in UNSHOWN][:MOST_HYPERPARAMETERS]
        steepest = 10.0 ** math.ceil(math.log10(max(self.sigma, 10.0)))
        return [
            _dial("lr", racer.rate(self.step), *_rate_ends(racer.rate(self.step))),
            *(_dial(name, value, *_ends(name, value)) for name, value in shown),
            _dial("noise", self.sigma, "zero", 1e-3, steepest),
        ]

    def _news(self, fresh: bool) -> tuple[dict[str, Any], list[bytes]]:
        news: dict[str, Any] = {"racers": []}
        buffers: list[bytes] = []
        if fresh:
            self._sent.clear()
            news["map"], buffers = _map(self.surface, self._relief, self._axis_name())
        with self._field.lock:
            for racer in self._field.racers:
                version, rows = self._sent.get(racer.name, (-1, 0))
                first = rows if version == racer.version else 0
                if fresh or first < len(racer.points) or version != racer.version:
                    news["racers"].append(
                        {"name": racer.name, "slot": racer.slot, "at": first, "diverged": racer.diverged}
                    )
                    buffers.append(self._rows(racer, first))
                    self._sent[racer.name] = (racer.version, len(racer.points))
        return news, buffers

    def _rows(self, racer: Racer, first: int) -> bytes:
        """For each point: x, y, the height above the floor, and the velocity's and the gradient's part of its step."""
        gap = np.maximum(self._field.heights(racer, first) - self._relief.floor, 0)
        velocity, gradient = racer.parts(first)
        rows = np.column_stack([racer.path(first).numpy(), gap, velocity.numpy(), gradient.numpy()])
        with np.errstate(over="ignore"):  # a path that diverges may leave float32 before it leaves float64
            return rows.astype("<f4").tobytes()


_MARKERS = ("o", "s", "^", "D", "v", "p", "h")  # one for each colour, as on the page


def _map(surface: Surface, relief: Relief, axis: str) -> tuple[dict[str, Any], list[bytes]]:
    """What a page needs once: the window, the contours (all lines in one buffer), and the depth for shading."""
    lines = relief.lines()
    flat = [line for level in lines for line in level]
    depth = relief.depth()
    about = {
        "window": relief.window,
        "minima": surface.minima,
        "toScale": relief.to_scale,
        "axis": axis,
        "lengths": [[len(line) for line in level] for level in lines],
        "depth": depth.shape,
    }
    points = np.concatenate(flat) if flat else np.zeros((0, 2))
    return about, [points.astype("<f4").tobytes(), np.round(255 * depth).astype(np.uint8).tobytes()]


def _dial(name: str, value: float, scale: str, low: float, high: float) -> dict[str, Any]:
    label = "gradient noise σ" if name == "noise" else LABELS.get(name, name)
    return {"name": name, "label": label, "value": value, "scale": scale, "low": low, "high": high}


def _rate_ends(lr: float) -> tuple[str, float, float]:
    power = 10.0 ** math.floor(math.log10(lr))
    return "log", min(power, 1e-4), max(10 * power, 10.0)


def _ends(name: str, value: float) -> tuple[str, float, float]:
    """The slider's scale and ends (as controls.js knows them); a scale of "" means a field without a slider."""
    return ("fraction", 0, 0.9999) if name in FRACTIONS and value < 1 else ("", 0, 0)


def _fate(diverged: int | None) -> str:
    return "" if diverged is None else f"diverged at step {diverged:,}"


# What is given, and whether it is right -------------------------------------------------------------------------------


def _check_surface(surface: Any) -> Surface:
    if not isinstance(surface, Surface):
        raise TypeError(
            f"surface must be one of lrlab.surfaces, such as surfaces.ravine(10), not {surface!r}; "
            "to write your own, see surfaces.Function2D"
        )
    if surface.dimension != 2:
        raise ValueError(f"surface has {surface.dimension} dimensions, but a map has 2: use surfaces of two dimensions")
    return surface


def _without_noise(surface: Surface, sigma: float, seed: int) -> tuple[Surface, float, int]:
    if not isinstance(surface, Noisy):
        return surface, sigma, seed
    if sigma or seed:
        raise ValueError(f"surface is noisy already (sigma = {surface.sigma:g}): give the noise in one place only")
    return surface.surface, surface.sigma, surface.seed


def _named(rules: Any) -> dict[str, Rule]:
    """The rules by name; those without one are called by their class, and numbered where that is not enough."""
    if isinstance(rules, Mapping):
        named = {str(name): check_rule(rule) for name, rule in rules.items()}
    else:
        several = rules if isinstance(rules, Iterable) and not isinstance(rules, str) else [rules]
        named = {}
        for rule in map(check_rule, several):
            kind = type(rule).__name__
            alike = sum(type(other) is type(rule) for other in named.values())
            named[f"{kind} {alike + 1}" if alike else kind] = rule
    if not 1 <= len(named) <= MOST_RACERS:
        raise ValueError(
            f"rules holds {len(named)} rules, but a race has 1 to {MOST_RACERS}: more cannot be told apart"
        )
    return named


def _rates(lr: Any, names: list[str]) -> dict[str, float | Schedule]:
    if isinstance(lr, Mapping):
        for name in lr:
            if name not in names:
                raise ValueError(f"lr: {unknown('racer', name, names)}")
        if missing := [name for name in names if name not in lr]:
            raise ValueError(f"lr has no rate for {', '.join(missing)}: give one for each racer, or one number for all")
        return {name: knobs.as_rate(lr[name]) for name in names}
    if isinstance(lr, (list, tuple)):
        if len(lr) != len(names):
            raise ValueError(f"lr holds {len(lr)} rates for {len(names)} rules: give as many, or one number for all")
        return {name: knobs.as_rate(rate) for name, rate in zip(names, lr, strict=True)}
    return dict.fromkeys(names, knobs.as_rate(lr))


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _check_steps(steps: Any) -> None:
    if steps is None:
        return
    if not isinstance(steps, int) or isinstance(steps, bool):
        raise TypeError(f"steps must be a whole number of at least 1, or None, not {steps!r}")
    if steps < 1:
        raise ValueError(f"steps = {steps} is outside its range 1, 2, 3, ...")
