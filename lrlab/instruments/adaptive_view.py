"""The adaptive view: how long a step AdaGrad, RMSProp and Adam make for each parameter, over time."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from lrlab import figures, knobs, rules
from lrlab.instruments.dials import LABELS
from lrlab.instruments.instrument import Instrument
from lrlab.instruments.racers import Racer, Slope, unknown
from lrlab.rules import COUNT, Rule
from lrlab.surfaces import Surface

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lrlab.instruments.page import Page

STEEP_AND_FLAT = ((10.0, 0.1),)  # a gradient that never changes: one steep direction, one flat
MOST_STEPS = 2000
MOST_PARAMETERS = len(figures.PALETTE)
SHOWN = {"step": "length of the step |Δx|", "rate": "effective rate α / (√s + ε)"}


class _Given:
    """A slope that is the same wherever one stands: gradients given one by one. The last one holds on."""

    def __init__(self, gradients: Tensor) -> None:
        self.gradients = gradients

    def minibatch_grad(self, x: Tensor, step: int) -> Tensor:
        return self.gradients[min(step, len(self.gradients) - 1)]


class AdaptiveView(Instrument):
    """An instrument on the adaptive rules: the step of each parameter over time, one panel for each rule.

    ::

        length of the step    |xₜ₊₁ − xₜ|      per parameter, in units of x
        effective rate        α / (√sₜ + ε)    per parameter, in units of x / g: what the gradient is multiplied with

    s is the rule's own: the sum or the running mean of g², for Adam v̂. The rate is measured, not computed a second
    time: it is the step that the rule makes without its momentum (β₁ = 0), over the gradient.

    The rules are AdaGrad, RMSProp, Adam without bias correction and Adam. Everything is a function of the settings, and
    answers at once when one is turned. All steps are made by ``rule.step``.

    Args:
        source: where the gradients come from. None: a steep direction (10) and a flat one (0.1) that never change. A
            surface: each rule goes down it on its own path. Or gradients `[steps, parameters]`, the same for all rules.
        start: `[parameters]`, for a surface; None: its own start.
        names: a word for each parameter; None: "steep" and "flat", "x" and "y", or "x1", "x2", ...
        steps: how many steps, 1 to 2000; None: as many as there are gradients, else 200.
        lr, decay, beta1, beta2: α of all rules, β of RMSProp, and β₁ and β₂ of Adam.

    Raises:
        TypeError, ValueError: an argument of the wrong kind or outside its range; the message names it.

    >>> from lrlab import instruments
    >>> view = instruments.AdaptiveView(lr=0.1)
    >>> steep, flat = view.lengths()["AdaGrad"][99]
    >>> round(float(steep), 4), round(float(flat), 4)
    (0.01, 0.01)
    >>> view.turn("beta2", 0.99)
    """

    def __init__(
        self,
        source: Surface | Tensor | np.ndarray | Sequence[Sequence[float]] | None = None,
        *,
        start: Sequence[float] | Tensor | None = None,
        names: Sequence[str] | None = None,
        steps: int | None = None,
        lr: float = 0.01,
        decay: float = 0.9,
        beta1: float = 0.9,
        beta2: float = 0.999,
    ) -> None:
        super().__init__()
        self._constant = source is None
        self._slope, self._start, most = _slope_of(STEEP_AND_FLAT if source is None else source, start)
        self._most_steps = MOST_STEPS if self._constant else most
        self.names = _names(names, len(self._start), self._constant)
        self._title = source.name if isinstance(source, Surface) else "given gradients"
        if self._constant:
            self._title = "a steep and a flat direction"
        self._shown = "step"
        given = 200 if self._most_steps == MOST_STEPS else self._most_steps
        steps = given if steps is None else steps
        settings = {"lr": lr, "decay": decay, "beta1": beta1, "beta2": beta2, "steps": steps}
        self._settings: dict[str, Any] = {}
        for knob, value in settings.items():
            self._settings[knob] = self._checked(knob, value)
        self._first = dict(self._settings)
        self._run()

    def __repr__(self) -> str:
        return f"AdaptiveView({self._title})"

    # Knobs -----------------------------------------------------------------------------------------------------------

    @property
    def settings(self) -> dict[str, Any]:
        """The knobs and their values."""
        return dict(self._settings)

    def turn(self, knob: str, value: Any) -> None:
        """Turn ``"lr"``, ``"decay"``, ``"beta1"``, ``"beta2"`` or ``"steps"``.

        Raises:
            TypeError, ValueError: no such knob (the nearest is suggested), or a value it does not accept.
        """
        if knob not in self._settings:
            raise ValueError(unknown("knob", knob, self._settings, of="this view"))
        value = self._checked(knob, value)
        with self._lock:
            self._settings[knob] = value
            self._run()
        self._show_news()

    def show(self, quantity: str) -> None:
        """Show ``"step"``, the length of each step, or ``"rate"``, the effective rate.

        Raises:
            ValueError: another word.
        """
        if quantity not in SHOWN:
            raise ValueError(f"quantity = {quantity!r} cannot be shown; there are: {', '.join(SHOWN)}")
        self._shown = quantity
        self._show_news()

    def reset(self) -> None:
        """Back to the settings it was made with."""
        with self._lock:
            self._settings = dict(self._first)
            self._run()
        self._show_news()

    def _checked(self, knob: str, value: Any) -> Any:
        if knob == "lr":
            return knobs.check_number("lr", value, lambda rate: rate > 0, "greater than 0")
        if isinstance(value, Tensor):
            raise TypeError(f"{knob} must be one number, not a tensor")
        rules.check_number(knob, value, COUNT if knob == "steps" else rules.FRACTION)
        if knob == "steps" and value > self._most_steps:
            why = "there are no more gradients" if self._most_steps < MOST_STEPS else "more cannot be seen"
            raise ValueError(f"steps = {value} is outside its range 1 to {self._most_steps}: {why}")
        return int(value) if knob == "steps" else float(value)

    def _rules(self) -> dict[str, Rule]:
        beta1, beta2 = self._settings["beta1"], self._settings["beta2"]
        return {
            "AdaGrad": rules.AdaGrad(),
            "RMSProp": rules.RMSProp(decay=self._settings["decay"]),
            "Adam uncorrected": rules.Adam(beta1, beta2, bias_correction=False),
            "Adam": rules.Adam(beta1, beta2),
        }

    def _run(self) -> None:
        lengths, rates = {}, {}
        for slot, (name, rule) in enumerate(self._rules().items()):
            racer = Racer(name, slot, rule, self._settings["lr"])
            racer.restart(self._slope, self._start)
            for _ in range(self._settings["steps"]):
                racer.step(self._slope)
            lengths[name] = racer.path().diff(dim=0).abs().numpy()
            rates[name] = _effective_rates(racer)[:-1].numpy()
        # At once: a cell and a page may each be on a thread of its own, and none shall see half of the rules.
        self._lengths, self._rates = lengths, rates

    # What came of it -------------------------------------------------------------------------------------------------

    def lengths(self) -> dict[str, np.ndarray]:
        """For each rule the length of each parameter's step: `[steps, parameters]`, float64, in units of x."""
        return {name: lengths.copy() for name, lengths in self._lengths.items()}

    def rates(self) -> dict[str, np.ndarray]:
        """For each rule the effective rate: `[steps, parameters]`, float64; nan where the gradient is 0."""
        return {name: rates.copy() for name, rates in self._rates.items()}

    def _values(self) -> dict[str, np.ndarray]:
        return self._lengths if self._shown == "step" else self._rates

    def figure(self) -> Figure:
        """One panel for each rule, one curve for each parameter, as a matplotlib figure."""
        with self._lock:
            title = f"Of each parameter the {SHOWN[self._shown]}: {self._title}"
            fig, axes = figures.figure(title, 2, 2, size=(7.2, 4.6), sharey=True)
            for ax, (name, values) in zip(axes.flat, self._values().items(), strict=True):
                steps = np.arange(1, len(values) + 1)
                for slot, parameter in enumerate(self.names):
                    positive = np.where(values[:, slot] > 0, values[:, slot], np.nan)
                    ax.plot(steps, positive, **figures.style(slot), label=parameter)
                if self._shown == "step":
                    ax.axhline(self._settings["lr"], color="#999999", linestyle=":", linewidth=1, label="_rate")
                ax.set(title=name, yscale="log")
        for ax in axes[-1]:
            ax.set_xlabel("step")
        low, high = self._ends()
        for ax in axes.flat:
            ax.set_ylim(low, high)
            figures.direct_labels(ax)
        return fig

    def _ends(self) -> tuple[float, float]:
        """The decades that the values span, at most eight of them."""
        values = np.concatenate([v.ravel() for v in self._values().values()])
        values = values[np.isfinite(values) & (values > 0)]
        if not len(values):
            return 0.1, 1.0
        high = 10.0 ** math.ceil(math.log10(float(values.max())) + 1e-9)
        return max(10.0 ** math.floor(math.log10(float(values.min())) - 1e-9), 1e-8 * high), high

    @property
    def alt(self) -> str:
        """What `figure` shows, in words."""
        with self._lock:
            words = [f"Adaptive view, {SHOWN[self._shown]} over {self._settings['steps']:,} steps, {self._title}."]
            for name, values in self._values().items():
                ends = [
                    f"{parameter} from {values[0, slot]:.2g} to {values[-1, slot]:.2g}"
                    for slot, parameter in enumerate(self.names)
                ]
                words.append(f"{name}: {', '.join(ends)}.")
            return " ".join(words)

    def _picture_key(self) -> Any:
        return (dict(self._settings), self._shown)

    # The page --------------------------------------------------------------------------------------------------------

    def _new_page(self) -> Page:
        from lrlab.instruments.page import AdaptivePage  # a page opens a channel: not before it is needed

        return AdaptivePage(repr(self), self._hear)

    def _obey(self, message: dict[str, Any]) -> None:
        match message:
            case {"do": "turn", "knob": str(knob), "value": value}:
                self.turn(knob, value)
            case {"do": "show", "quantity": str(quantity)}:
                self.show(quantity)
            case {"do": "reset"}:
                self.reset()
            case _:
                raise ValueError(f"the page sent {message!r}, which this view does not know")

    def _state(self) -> dict[str, Any]:
        return {
            "title": self._title,
            "names": self.names,
            "rules": list(self._lengths),
            "shown": self._shown,
            "quantities": list(SHOWN.items()),
            "ends": self._ends(),
            "knobs": [self._dial(knob, value) for knob, value in self._settings.items()],
        }

    def _dial(self, knob: str, value: float) -> dict[str, Any]:
        """A knob as controls.js knows it: its name, value, and the slider's scale and ends."""
        scale, low, high = "fraction", 0.0, 0.9999
        if knob == "lr":
            scale, low, high = "log", min(1e-4, value), max(10.0, value)
        if knob == "steps":
            scale, low, high = "power", 8, 2 ** math.floor(math.log2(max(self._most_steps, 16)))
        label = {"decay": "RMSProp's β", "beta1": "Adam's β₁", "beta2": "Adam's β₂"}.get(knob, LABELS.get(knob, knob))
        return {"name": knob, "label": label, "value": value, "scale": scale, "low": low, "high": high}

    def _news(self, fresh: bool) -> tuple[dict[str, Any], list[bytes]]:
        key = self._picture_key()
        if not fresh and key == getattr(self, "_sent", None):
            return {}, []
        self._sent = key
        values = np.stack(list(self._values().values()))
        with np.errstate(over="ignore"):
            return {"shape": values.shape}, [values.astype("<f4").tobytes()]


def _effective_rates(racer: Racer) -> Tensor:
    """What each gradient of a racer is multiplied with, `[points, parameters]`."""
    x, g, state, lr = racer.steps_from()
    rule = racer.rule
    plain = dataclasses.replace(rule, beta1=0.0) if isinstance(rule, rules.Adam) else rule
    # From the origin, because x + step − x would lose the digits of a step that is small beside x.
    return plain.step(torch.zeros_like(x), g, state, lr)[0].abs() / g.abs()


# What is given, and whether it is right -------------------------------------------------------------------------------


def _slope_of(source: Any, start: Any) -> tuple[Slope, Tensor, int]:
    """Where the gradients come from, where the paths begin, and the most steps there are."""
    if isinstance(source, Surface):
        _check_count(source.dimension)
        return source, _start_on(source, start), MOST_STEPS
    if start is not None:
        raise ValueError("start is for a surface; with given gradients the steps do not depend on the place")
    try:
        gradients = torch.as_tensor(source, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"source must be a surface, or gradients [steps, parameters], not {source!r}") from None
    if gradients.dim() != 2 or not gradients.numel():
        raise ValueError(f"source has shape {list(gradients.shape)}, but gradients are [steps, parameters], 1 or more")
    if not gradients.isfinite().all():
        raise ValueError("source holds gradients that are not finite: give numbers")
    _check_count(gradients.shape[1])
    return _Given(gradients), torch.zeros(gradients.shape[1], dtype=torch.float64), min(len(gradients), MOST_STEPS)


def _check_count(parameters: int) -> None:
    if parameters > MOST_PARAMETERS:
        raise ValueError(f"source has {parameters} parameters, but no more than {MOST_PARAMETERS} can be told apart")


def _start_on(surface: Surface, start: Any) -> Tensor:
    n = surface.dimension
    try:
        point = torch.as_tensor(surface.start if start is None else start, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"start must be numbers [{n}], not {start!r}") from None
    if point.shape != (n,):
        raise ValueError(f"start has shape {list(point.shape)}, but the points of {surface.name} have shape [{n}]")
    if not point.isfinite().all():
        raise ValueError(f"start must be finite numbers, not {start!r}")
    return point


def _names(names: Any, count: int, constant: bool) -> list[str]:
    if names is None:
        numbered = [f"x{i + 1}" for i in range(count)]
        return ["steep", "flat"] if constant else ["x", "y"] if count == 2 else numbered
    if isinstance(names, str) or len(names) != count:
        raise ValueError(f"names must be {count} words, one for each parameter, not {names!r}")
    return [str(name) for name in names]
