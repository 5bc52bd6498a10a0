"""The race without its page: one rule on its way down, and all of them on one surface."""

from __future__ import annotations

import dataclasses
import difflib
import math
import threading
import time
from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from lrlab import knobs, surfaces
from lrlab.instruments.loop import Pace
from lrlab.rules import Rule, State
from lrlab.schedules import Schedule
from lrlab.surfaces import Surface

ROOM = 10.0  # a path is called diverged when it is so many windows away from the middle of the map


class Slope(Protocol):
    """What a racer needs to know of a surface."""

    def minibatch_grad(self, x: Tensor, step: int) -> Tensor: ...


class Racer:
    """One rule on its way down: the points, the gradients it saw there, and its states.

    The points are those of `rules.descend`, bit for bit: each is made by ``rule.step``.
    """

    def __init__(self, name: str, slot: int, rule: Rule, lr: float | Schedule) -> None:
        self.name, self.slot, self.rule, self.lr = name, slot, rule, lr
        self.version = 0  # rises when the path is begun again
        self.diverged: int | None = None

    def restart(self, slope: Slope, start: Tensor) -> None:
        """Forget the path and stand at the start [P]."""
        self.version += 1
        self.diverged = None
        self.points: list[Tensor] = []
        self.states: list[State] = []
        self.gradients: list[Tensor] = []
        self._arrive(slope, start, self.rule.init(start))

    def _arrive(self, slope: Slope, x: Tensor, state: State) -> None:
        self.gradients.append(slope.minibatch_grad(self.rule.gradient_point(x, state), len(self.points)))
        self.points.append(x)
        self.states.append(state)

    @property
    def steps(self) -> int:
        """The steps made."""
        return len(self.points) - 1

    def rate(self, step: int) -> float:
        """The learning rate of step number `step`, counted from 0."""
        return float(self.lr(step)) if isinstance(self.lr, Schedule) else self.lr

    def step(self, slope: Slope) -> None:
        """Make one step with the gradient at hand."""
        x, state = self.rule.step(self.points[-1], self.gradients[-1], self.states[-1], self.rate(self.steps))
        self._arrive(slope, x, state)

    def path(self, first: int = 0) -> Tensor:
        """The points from number `first` on, `[n, P]`."""
        return torch.stack(self.points[first:])

    def parts(self, first: int = 0) -> tuple[Tensor, Tensor]:
        """The two parts of the step that begins at each point from number `first` on: `[n, P]` each, in units of x.

        ::

            velocity part = the step that the rule would make if the gradient were 0 now: what it remembers
            gradient part = its step with the gradient it saw, less the velocity part

        For `Momentum` they are −αρv and −αg, for `VelocityMomentum` ρv and −αg; a rule without memory has no velocity.
        """
        x, g, state, lr = self.steps_from(first)
        whole = self.rule.step(x, g, state, lr)[0] - x
        velocity = self.rule.step(x, torch.zeros_like(g), state, lr)[0] - x
        return velocity, whole - velocity

    def steps_from(self, first: int = 0) -> tuple[Tensor, Tensor, State, Tensor]:
        """The arguments of ``rule.step`` at each point from number `first` on, with all points on a leading axis."""
        state = {name: torch.stack([state[name] for state in self.states[first:]]) for name in self.states[0]}
        rates = [[self.rate(step)] for step in range(first, len(self.points))]
        x = self.path(first)
        return x, torch.stack(self.gradients[first:]), state, torch.tensor(rates, dtype=x.dtype)


class Field:
    """All racers on one surface: the same start, the same noise, the same number of steps.

    Every path is a function of the settings alone. When one of them changes, the paths it touches are begun again and
    catch up; so it makes no difference whether a knob is turned before or after the steps.
    """

    def __init__(self, surface: Surface, racers: Iterable[Racer], start: Tensor, sigma: float, seed: int) -> None:
        self.lock = threading.RLock()
        self.surface, self.racers, self.seed = surface, list(racers), seed
        self.step = 0
        self.start = start
        self.set_noise(sigma)

    def set_noise(self, sigma: float) -> None:
        """Let each step see the gradient plus noise of this size; 0 for none."""
        with self.lock:
            slope = surfaces.noisy(self.surface, sigma, self.seed)
            self.sigma, self.slope = float(sigma), slope if sigma else self.surface
            self._restart(self.racers)

    def move_start(self, start: Tensor) -> None:
        """Begin all paths at another point [2]."""
        with self.lock:
            self.start = start
            self._restart(self.racers)

    def reset(self) -> None:
        """Back to step 0."""
        with self.lock:
            self.step = 0
            self._restart(self.racers)

    def _restart(self, racers: Iterable[Racer]) -> None:
        for racer in racers:
            racer.restart(self.slope, self.start)

    def turn(self, racer: Racer, knob: str, value: Any) -> None:
        """Set a racer's learning rate or one of its rule's hyperparameters.

        Raises:
            ValueError or TypeError: no such knob (the nearest is suggested), or a value it does not accept.
        """
        own = racer.rule.hyperparameters()
        if knob not in ("lr", *own):
            raise ValueError(unknown("knob", knob, ["lr", *own], of=racer.name))
        with self.lock:
            if knob == "lr":
                racer.lr = knobs.as_rate(value)
            else:
                racer.rule = check_rule(dataclasses.replace(racer.rule, **{knob: value}))
            self._restart([racer])

    def advance(self) -> None:
        """One more step of every racer that has not diverged."""
        with self.lock:
            self.step += 1
        self.catch_up()

    def catch_up(self, seconds: float = math.inf) -> bool:
        """Let those behind make their steps, all of them side by side; False if the time was not enough."""
        deadline = time.monotonic() + seconds
        while True:
            with self.lock:
                behind = [racer for racer in self.racers if racer.steps < self.step and racer.diverged is None]
                for racer in behind:
                    racer.step(self.slope)
                    if not self._within(racer.points[-1]):
                        racer.diverged = racer.steps
            if not behind:
                return True
            if time.monotonic() > deadline:
                return False

    def _within(self, x: Tensor) -> bool:
        """Whether a point is still within the room; a point that is not a number is nowhere."""
        spans = zip(x.tolist(), self.surface.window, strict=True)
        return all(abs(at - (low + high) / 2) <= ROOM * (high - low) for at, (low, high) in spans)

    @property
    def over(self) -> bool:
        """Whether no racer is left."""
        return all(racer.diverged is not None for racer in self.racers)

    def heights(self, racer: Racer, first: int = 0) -> np.ndarray:
        """f, without noise, at the racer's points from number `first` on: `[n]`, float64."""
        return self.surface(racer.path(first)).detach().numpy()


def run_on(field: Field, goal: int, pace: Pace, asked_to_stop: threading.Event) -> None:
    """The task of the race's thread: step by step up to `goal`, at a pace. It holds the field but not the race."""
    while field.step < goal and not field.over and not asked_to_stop.is_set():
        field.advance()
        pace.rest(asked_to_stop)


def check_rule(rule: Any) -> Rule:
    """The rule, unless it is none or would be many at once."""
    rule = knobs.as_rule(rule)
    for name, value in rule.hyperparameters().items():
        if isinstance(value, Tensor) and value.numel() != 1:
            raise ValueError(
                f"{name} is a tensor of shape {list(value.shape)}, but a racer is one path: give one number, and make "
                f"a racer for each value"
            )
    return rule


def unknown(kind: str, name: Any, known: Iterable[str], of: str = "") -> str:
    """The message for a name that is not known, with the nearest that is."""
    known = list(known)
    lower = {word.lower(): word for word in known}
    near = difflib.get_close_matches(str(name).lower(), lower, 1, cutoff=0.5)
    hint = f", did you mean {lower[near[0]]!r}?" if near else "."
    return f"{of or 'this race'} has no {kind} {name!r}{hint} There are: {', '.join(known)}"
