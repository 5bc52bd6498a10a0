"""The dropout view: a small network with some of its units switched off, and the average over many such networks."""

from __future__ import annotations

import functools
import threading
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from lrlab import data, figures
from lrlab.dropout import InvertedDropout
from lrlab.instruments.loop import Pace
from lrlab.instruments.player import PacedPlayer
from lrlab.run import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from lrlab.instruments.page import Page

HIDDEN = (16, 16)
TRAINED_WITH, TRAINING_STEPS = 0.25, 400
MODES = {"training": "training: masks", "inference": "inference: all units"}
CONVENTIONS = {"inverted": "inverted (torch)", "lecture": "the lecture's"}
MOST_P = 0.95  # of the slider and of turn: beyond, hardly ever is a unit left
MOST_MASKS = 500
EDGE, BINS = 12.0, 48  # the histogram reaches from 0 to EDGE; its last bin holds what is beyond


class Members:
    """The masks drawn so far, each as numbers u ~ U[0, 1), ``[units]``: a unit is dropped where u < p.

    So a greater p drops the same units and some more, and p may be turned without new draws.
    """

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        self._numbers: list[Tensor] = []
        self.draw()

    def draw(self) -> None:
        self._numbers.append(torch.rand(sum(HIDDEN), generator=self._generator))

    def __len__(self) -> int:
        return len(self._numbers)

    def masks(self, p: float) -> Tensor:
        """``[masks, units]`` of zeros and ones, the newest last."""
        return (torch.stack(list(self._numbers)) >= p).float()

    def play(self, draws: int, pace: Pace, asked_to_stop: threading.Event) -> None:
        """The task of the playing thread. It does not hold the view, so that a view nobody uses can go."""
        for _ in range(draws):
            self.draw()
            pace.rest(asked_to_stop)
            if asked_to_stop.is_set():
                break


class DropoutView(PacedPlayer):
    """An instrument on dropout: which units a mask leaves, what they hand on, and what many masks say on average.

    ::

                           training             inference
        inverted form      m / (1 − p) · x      x                  p: the probability to drop
        lecture's form     m · x                (1 − p) · x        keep = 1 − p

    A network 64-16-16-10 has learned digits with dropout in both hidden layers. It is drawn with the units that the
    newest mask drops. Beside it stand the activations that the hidden units hand on, over 300 validation digits, and
    the probabilities for the digit shown: of each mask drawn so far, of their average (Monte Carlo), and of the one
    pass that uses all units (weight scaling).

    In the lecture's form the weights behind a hidden layer are divided by 1 − p, so that both forms are one network:
    the same predictions, another scale of what is handed on.

    Args:
        p: the probability to drop a unit, 0 to 0.95. It acts on the network that has been trained already.
        digit: the number of the validation digit that is shown.
        seed: of the network and of the masks.
        speed: at most so many masks per second while a page is open; None: as fast as the machine can.

    Raises:
        TypeError, ValueError: an argument of the wrong kind or outside its range; the message names it.

    >>> from lrlab import instruments
    >>> view = instruments.DropoutView(p=0.5)
    >>> view.step(99)
    >>> view.masks
    100
    >>> view.switch("inference")
    >>> view.dropped
    0
    """

    _doing = "the view is", "playing"

    def __init__(self, p: float = 0.5, *, digit: int = 0, seed: int = 0, speed: float | None = 4.0) -> None:
        super().__init__(speed)
        self._p = _check_p(p)
        self._mode, self._convention = "training", "inverted"
        split = data.load("digits", device="cpu").validation
        self._x, self._y = split.x.flatten(1), split.y
        self._digit = self._check_digit(digit)
        self._members, self._seed = Members(seed), seed
        self._layers = _train(seed)

    def __repr__(self) -> str:
        return "DropoutView(64-16-16-10 on digits)"

    # Knobs -----------------------------------------------------------------------------------------------------------

    @property
    def settings(self) -> dict[str, Any]:
        """p, the mode, the convention and the number of the digit."""
        return {"p": self._p, "mode": self._mode, "convention": self._convention, "digit": self._digit}

    def turn(self, knob: str, value: float) -> None:
        """Turn ``"p"``, the only knob. The masks stay: a greater p drops the same units and some more.

        Raises:
            TypeError, ValueError: another knob, or a value outside 0 to 0.95.
        """
        if knob != "p":
            raise ValueError(f"this view has no knob {knob!r}; it has 'p'")
        self._set(_p=_check_p(value))

    def switch(self, mode: str) -> None:
        """Switch to ``"training"``, where the newest mask is at work, or to ``"inference"``, where all units are.

        Raises:
            ValueError: another word.
        """
        self._set(_mode=_check_word("mode", mode, MODES))

    def choose(self, convention: str) -> None:
        """Take the ``"inverted"`` form of dropout or the ``"lecture"``'s.

        Raises:
            ValueError: another word.
        """
        self._set(_convention=_check_word("convention", convention, CONVENTIONS))

    def look_at(self, digit: int) -> None:
        """Show another validation digit, to the same masks.

        Raises:
            TypeError, ValueError: no whole number, or none of a digit.
        """
        self._set(_digit=self._check_digit(digit))

    def _set(self, **values: Any) -> None:
        with self._lock:
            vars(self).update(values)
        self._show_news()

    def _check_digit(self, digit: Any) -> int:
        if isinstance(digit, bool) or not isinstance(digit, int):
            raise TypeError(f"digit must be a whole number, got {digit!r}")
        if not 0 <= digit < len(self._y):
            raise ValueError(f"digit = {digit} is outside its range 0 to {len(self._y) - 1}, the validation digits")
        return digit

    # Masks -----------------------------------------------------------------------------------------------------------

    @property
    def masks(self) -> int:
        """How many masks have been drawn."""
        return len(self._members)

    def step(self, draws: int = 1) -> None:
        """Draw new masks, up to 500 in all.

        Raises:
            ValueError: draws is no whole number of at least 1.
        """
        _check_draws(draws)
        with self._lock:
            for _ in range(min(draws, MOST_MASKS - self.masks)):
                self._members.draw()
        self._show_news()

    def play(self, draws: int | None = None) -> None:
        """Draw one mask after another in the background; the call returns at once.

        Args:
            draws: how many; None: until `pause`, or until there are 500.

        Raises:
            ValueError: draws is no whole number of at least 1.
        """
        if draws is not None:
            _check_draws(draws)
        with self._lock:
            room = MOST_MASKS - self.masks
            if self.playing or not room:
                return
            task = functools.partial(self._members.play, min(draws or room, room), self._pace)
            self._set_to_work(task, "dropout view")
        self._show_work()

    def reset(self) -> None:
        """Pause, and begin again with the first mask; p, mode and digit stay as they are."""
        self.pause()
        self._set(_members=Members(self._seed))

    # What comes of it ------------------------------------------------------------------------------------------------

    @property
    def mask(self) -> np.ndarray:
        """The mask at work, ``[32]``: 1 keeps a unit, 0 drops it; all 1 at inference."""
        return self._mask().numpy().copy()

    def _mask(self) -> Tensor:
        return torch.ones(sum(HIDDEN)) if self._mode == "inference" else self._members.masks(self._p)[-1]

    @property
    def dropped(self) -> int:
        """How many of the 32 hidden units the mask at work drops."""
        return int((self._mask() == 0).sum())

    def predictions(self) -> np.ndarray:
        """The probabilities of the digit shown, ``[masks, 10]``, one row for each mask drawn so far."""
        return self._answer(self._x[self._digit], self._members.masks(self._p) / (1 - self._p))[1].numpy()

    def average(self) -> np.ndarray:
        """The mean of `predictions`, ``[10]``: the Monte-Carlo estimate of the average over all masks."""
        return self.predictions().mean(0)

    def scaled(self) -> np.ndarray:
        """The probabilities of the one pass with all units, ``[10]``: weight scaling."""
        return self._answer(self._x[self._digit], torch.ones(sum(HIDDEN)))[1].numpy()

    def handed_on(self, mode: str | None = None) -> np.ndarray:
        """What the 32 hidden units hand on for each of the 300 validation digits, ``[300, 32]``.

        Args:
            mode: ``"training"``, with the newest mask, or ``"inference"``; None: as the view is switched.
        """
        mode = self._mode if mode is None else _check_word("mode", mode, MODES)
        training = mode == "training"
        mask = self._members.masks(self._p)[-1] / (1 - self._p) if training else torch.ones(sum(HIDDEN))
        out = self._answer(self._x, mask)[0]
        return (out * (1 - self._p) if self._convention == "lecture" else out).numpy()

    def _answer(self, x: Tensor, scaled_mask: Tensor) -> tuple[Tensor, Tensor]:
        """What the hidden units hand on in the inverted form, ``[..., 32]``, and the probabilities, ``[..., 10]``."""
        first, second = scaled_mask.split(HIDDEN, -1)
        one, two, three = self._layers
        with torch.no_grad():
            h = torch.relu(one(x)) * first
            k = torch.relu(two(h)) * second
            return torch.cat([h, k], -1), three(k).softmax(-1)

    def _histogram(self, mode: str) -> tuple[list[float], float]:
        """The share of all activations in each bin above 0, and their mean, those that are 0 included."""
        values = self.handed_on(mode)
        counts = np.histogram(values[values > 0].clip(max=EDGE - 1e-6), BINS, (0, EDGE))[0]
        return (counts / values.size).round(5).tolist(), float(values.mean())

    # Pictures --------------------------------------------------------------------------------------------------------

    def figure(self) -> Figure:
        """The network under the mask, the predictions for the digit, and what the units hand on."""
        with self._lock:
            title = f"Dropout view: {self._story()}"
            fig, axes = figures.figure(title, 1, 3, size=(7.2, 3.5), sharex=False)
            self._draw_network(axes[0])
            self._draw_predictions(axes[1])
            self._draw_activations(axes[2])
        return fig

    def _draw_network(self, ax: Axes) -> None:
        columns = np.split(self.mask, 2)
        places = [np.linspace(1, 0, 16), np.linspace(1, 0, 16)]
        for (y0, m0), (y1, m1) in [((places[0], columns[0]), (places[1], columns[1]))]:
            for i in np.flatnonzero(m0):
                for j in np.flatnonzero(m1):
                    ax.plot([1, 2], [y0[i], y1[j]], color="#BBBBBB", linestyle="-", linewidth=0.4, zorder=1)
        for x, y, mask in zip((1, 2), places, columns, strict=True):
            on, off = mask > 0, mask == 0
            ax.plot(np.full(on.sum(), x), y[on], "o", color=figures.PALETTE[0], markersize=7)
            ax.plot(np.full(off.sum(), x), y[off], "x", color="#999999", markersize=6)
        ax.imshow(
            self._x[self._digit].reshape(8, 8).numpy(), cmap="gray_r", extent=(-0.4, 0.55, 0.37, 0.63), aspect="auto"
        )
        ax.set(xlim=(-0.45, 2.3), ylim=(-0.06, 1.06), xticks=(0.15, 1, 2), yticks=[])
        ax.set_xticklabels(("digit", "hidden 1", "hidden 2"))
        ax.set_title(f"{self.dropped} of 32 units dropped (×)", loc="left", fontsize=9)
        ax.grid(False)
        ax.spines[:].set_visible(False)

    def _draw_predictions(self, ax: Axes) -> None:
        rows = np.arange(10)
        single = self.predictions()
        jitter = np.linspace(-0.25, 0.25, len(single))
        for row in rows:
            ax.plot(100 * single[:, row], row + jitter, ".", color="#999999", markersize=3, alpha=0.6)
        ax.plot(100 * self.average(), rows, "D", color=figures.PALETTE[1], markersize=6)
        ax.plot(100 * self.scaled(), rows, "|", color=figures.PALETTE[0], markersize=13, markeredgewidth=2.5)
        ax.set(xlim=(-3, 103), ylim=(9.6, -0.6), yticks=rows, xlabel="probability / %", ylabel="class")
        ax.set_title("· masks  ◆ average  | scaled", loc="left", fontsize=9)

    def _draw_activations(self, ax: Axes) -> None:
        edges = np.linspace(0, EDGE, BINS + 1)
        for i, mode in enumerate(("training", "inference")):
            bins, mean = self._histogram(mode)
            ax.stairs(100 * np.array(bins), edges, **figures.style(1 - i), linewidth=1.2)
            ax.axvline(mean, **figures.style(1 - i), linewidth=1)
            height = (0.9, 0.8)[i]
            ink = ("#A34700", figures.PALETTE[0])[i]
            ax.annotate(
                f"{mode}: mean {mean:.2f}", (0.97, height), xycoords="axes fraction", ha="right", fontsize=8, color=ink
            )
        ax.set(xlim=(0, EDGE), xlabel="handed on", ylabel="share of activations / %")
        ax.set_ylim(bottom=0)
        ax.set_title(f"above 0, {self._convention} form", loc="left", fontsize=9)

    def _story(self) -> str:
        if self._mode == "inference":
            return f"inference, all 32 units, p = {self._p:.3g}"
        return f"p = {self._p:.3g}, mask {self.masks:,}"

    @property
    def alt(self) -> str:
        """What `figure` shows, in words."""
        with self._lock:
            label, single = int(self._y[self._digit]), self.predictions()
            right = single[:, label]
            means = ", ".join(f"{self._histogram(mode)[1]:.2f} in {mode}" for mode in MODES)
            count = f"{self.masks} masks" if self.masks > 1 else "one mask"
            return (
                f"Dropout view, {self._story()}: {self.dropped} of 32 hidden units dropped. The digit is a {label}; "
                f"{count} give it {100 * right.min():.0f} to {100 * right.max():.0f} %, their average "
                f"{100 * right.mean():.0f} %, weight scaling {100 * self.scaled()[label]:.0f} %. In the "
                f"{self._convention} form the units hand on, on average, {means}."
            )

    def _picture_key(self) -> Any:
        return (self.settings, id(self._members), self.masks)

    # The page --------------------------------------------------------------------------------------------------------

    def _new_page(self) -> Page:
        from lrlab.instruments.page import DropoutPage  # a page opens a channel: not before it is needed

        return DropoutPage(repr(self), self._hear)

    def _obey(self, message: dict[str, Any]) -> None:
        match message:
            case {"do": "turn", "knob": str(knob), "value": value}:
                self.turn(knob, value)
            case {"do": "switch", "mode": str(mode)}:
                self.switch(mode)
            case {"do": "choose", "convention": str(convention)}:
                self.choose(convention)
            case {"do": "look", "by": int(by)}:
                self.look_at((self._digit + by) % len(self._y))
            case {"do": "step"}:
                self.step()
            case {"do": "play"}:
                self.play()
            case {"do": "pause"}:
                self.pause()
            case {"do": "reset"}:
                self.reset()
            case _:
                raise ValueError(f"the page sent {message!r}, which this view does not know")

    def _state(self) -> dict[str, Any]:
        x = self._x[self._digit]
        mask = self._mask()
        scale = mask / (1 - self._p) if self._mode == "training" else mask
        active, now = self._answer(x, scale)
        single = self.predictions()
        return {
            **self.settings,
            "playing": self.playing,
            "masks": self.masks,
            "full": self.masks >= MOST_MASKS,
            "modes": list(MODES.items()),
            "conventions": list(CONVENTIONS.items()),
            "knob": {"name": "p", "label": "p, drop", "value": self._p, "scale": "share", "low": 0, "high": MOST_P},
            "label": int(self._y[self._digit]),
            "image": _rounded(x - x.min()),
            "mask": mask.int().tolist(),
            "active": _rounded(active),
            "links": _rounded(self._layers[1].weight.detach().flatten()),
            "now": _rounded(now),
            "single": [_rounded(row) for row in torch.from_numpy(single[-100:])],
            "average": _rounded(torch.from_numpy(single.mean(0))),
            "scaled": _rounded(torch.from_numpy(self.scaled())),
            "handed": [self._histogram(mode) for mode in MODES],
            "edge": EDGE,
        }

    def _news(self, fresh: bool) -> tuple[dict[str, Any], list[bytes]]:
        return {}, []  # everything is small: it stands in the state


# The network ----------------------------------------------------------------------------------------------------------


def _train(seed: int) -> list[nn.Linear]:
    """The three linear layers of a network that has learned digits with dropout."""

    def model() -> nn.Sequential:
        hidden: list[nn.Module] = [nn.Flatten()]
        for inputs, units in zip((64, HIDDEN[0]), HIDDEN, strict=True):
            hidden += [nn.Linear(inputs, units), nn.ReLU(), InvertedDropout(TRAINED_WITH)]
        return nn.Sequential(*hidden, nn.Linear(HIDDEN[1], 10))

    run = Run(model, "digits", lr=0.1, batch_size=32, seed=seed, validate_every=0, device="cpu", checkpoint_mb=0)
    run.train(TRAINING_STEPS, progress=False)
    return [part for part in run.model.modules() if isinstance(part, nn.Linear)]


def _rounded(values: Tensor) -> list[float]:
    return [round(value, 4) for value in values.tolist()]


# What is given, and whether it is right -------------------------------------------------------------------------------


def _check_p(p: Any) -> float:
    if isinstance(p, bool) or not isinstance(p, Real):
        raise TypeError(f"p, the probability to drop a unit, must be a number from 0 to {MOST_P}, got {p!r}")
    if not 0 <= float(p) <= MOST_P:
        raise ValueError(f"p = {p} is outside its range 0 to {MOST_P}: it is the probability to drop a unit")
    return float(p)


def _check_word(name: str, word: Any, known: dict[str, str]) -> str:
    if word not in known:
        raise ValueError(f"{name} = {word!r} is unknown; there are: {', '.join(known)}")
    return str(word)


def _check_draws(draws: Any) -> None:
    if isinstance(draws, bool) or not isinstance(draws, int) or draws < 1:
        raise ValueError(f"draws must be a whole number of at least 1, got {draws!r}")
