"""The penalty view: a penalty's ball against the contours of a loss, and what it does to a network's weights."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Generator, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from lrlab import data, figures, rules
from lrlab.instruments.dials import LABELS
from lrlab.instruments.loop import Pace
from lrlab.instruments.player import PacedPlayer, check_steps
from lrlab.instruments.racers import unknown
from lrlab.regularization import L1, L2, ElasticNet, Penalty, everywhere, place, zeros
from lrlab.run import Record, Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from lrlab.instruments.page import Page

PENALTIES: dict[str, Penalty] = {
    "L2": L2(),
    "L1": L1(proximal=True),
    "L1 by gradient": L1(),
    "elastic net": ElasticNet(proximal=True),
}
RANGES = {"lam": (1e-5, 0.1), "beta": (0.01, 100.0)}  # of the sliders; both reach 0 as well

# The loss of two parameters, in the scale of the network's λ: at 0.03 the L1 penalty has won.
CURVATURE = torch.tensor([[0.016, 0.0072], [0.0072, 0.0112]], dtype=torch.float64)
WINDOW = ((-2.4, 2.4), (-1.8, 1.8))
RING = 0.035  # the contours stand at losses ½ (RING · k)²: evenly spaced, as those of a parabola should be looked at
RINGS = 12
SOLVER_STEPS = 250  # each at least halves the distance to the solution, or nearly
# 0, and then more densely where the L1 path has its bends.
_DECADES = ((-5, -3, 30), (-3, -1, 200), (-1, 2, 40))
PATH_LAMBDAS = torch.cat([torch.zeros(1), *(torch.logspace(*ends) for ends in _DECADES)]).double()

PER_CLASS, LR, BATCH_SIZE = 20, 0.2, 20
VALIDATE_EVERY = 10  # steps
LAP = 3000  # steps that one press of play makes at most
EDGE, BINS = 0.5, 61  # the histogram reaches from −EDGE to EDGE; its outer bins hold what is beyond


# Two parameters -------------------------------------------------------------------------------------------------------


def gradient(x: Tensor, minimum: Tensor) -> Tensor:
    """∇Q of the loss Q(x) = ½ (x − m)ᵀ H (x − m) with its minimum at m: H (x − m), ``[..., 2]``."""
    return (x - minimum) @ CURVATURE


def solve(penalty: Penalty, minimum: Tensor) -> Tensor:
    """The minimum of Q + λR, ``[..., 2]``; a λ of shape ``[n, 1]`` gives all n at once.

    Proximal gradient descent with the penalty's own `gradient` and `after`, until it stands still in float64::

        x ← after(x − α (∇Q(x) + λ∇R(x)))          α = 1 / (the greatest curvature)
    """
    steepest = torch.linalg.eigvalsh(CURVATURE)[-1]
    if isinstance(penalty, L2):
        steepest = steepest + 2 * penalty.lam
    lr = 1 / torch.as_tensor(steepest, dtype=torch.float64)
    x = minimum.expand(*torch.as_tensor(penalty.hyperparameters()["lam"]).shape[:-1], 2)
    where = everywhere(x)
    for _ in range(SOLVER_STEPS):
        x = penalty.after(x - lr * (gradient(x, minimum) + penalty.gradient(x, where)), lr, where)
    return x


def ring(level: float, minimum: Tensor) -> np.ndarray:
    """The contour of Q at a level: an ellipse round the minimum, ``[97, 2]``."""
    half = torch.linalg.cholesky(CURVATURE)
    circle = torch.from_numpy(_circle(96)) * (2 * level) ** 0.5
    return (minimum + torch.linalg.solve_triangular(half.T, circle.T, upper=True).T).numpy()


def ball(budget: float, beta: float | None) -> np.ndarray:
    """Where R(x) is the budget, ``[129, 2]``; R = Σ βx² + |x|, or Σ x² for β = None.

    In the direction u the border is at the r > 0 with β r² ‖u‖² + r ‖u‖₁ = budget.
    """
    u = _circle(128)  # its points include the corners
    if beta is None:
        return u * budget**0.5
    length = np.abs(u).sum(1, keepdims=True)
    return u * 2 * budget / (length + np.sqrt(length**2 + 4 * beta * budget) + 1e-300)


def _circle(points: int) -> np.ndarray:
    angles = np.linspace(0, 2 * np.pi, points + 1)[:, None]
    return np.hstack([np.cos(angles), np.sin(angles)])


# A network ------------------------------------------------------------------------------------------------------------


class Trainee:
    """A network in training, with a note after each step: its weights, and how many of them are exactly 0."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.place = place(run.model)
        self.touched = self.place.mask > 0
        self.shares: list[float] = []
        self._look()
        self.first = self.weights

    def _look(self) -> None:
        flat = torch.cat([weight.detach().reshape(-1) for weight in self.run.model.parameters()])
        self.weights = flat[self.touched]
        self.shares.append(float(zeros(flat, self.place)))

    def train(self, records: Generator[Record, None, None], pace: Pace, asked_to_stop: threading.Event) -> None:
        """The task of the training thread. It holds the trainee but not the view, so that a view nobody uses can go."""
        with contextlib.closing(records):
            for _ in records:
                self._look()
                if asked_to_stop.is_set():
                    break
                pace.rest(asked_to_stop)


def histogram(weights: Tensor) -> np.ndarray:
    """The share of the weights in each bin, ``[BINS]``; those that are exactly 0 are counted elsewhere."""
    others = weights[weights != 0].clamp(-EDGE, EDGE).cpu().numpy()
    return np.histogram(others, BINS, (-EDGE, EDGE))[0] / len(weights)


# The instrument -------------------------------------------------------------------------------------------------------


class PenaltyView(PacedPlayer):
    """An instrument on penalties: where they move the minimum of a loss, and which weights of a network they leave.

    ::

        minimise Q(w) + λ R(w)        L2: R = Σ w²      L1: R = Σ |w|      elastic net: R = Σ βw² + |w|

    On the left there are two parameters. The loss alone is least at a point that can be moved; the penalty allows it
    the ball {R ≤ R(ŵ)}, and the solution ŵ is where this ball touches a contour of the loss. Its whole path from λ = 0
    to ∞ is drawn. On the right the same penalty, with the same λ, acts on a network that learns digits: a histogram of
    its weights, the share of them that is exactly 0, and its validation accuracy.

    Args:
        penalty: ``"L2"``, ``"L1"`` and ``"elastic net"`` (both with the proximal step), or ``"L1 by gradient"``.
        lam: λ ≥ 0.
        beta: β ≥ 0 of the elastic net.
        minimum: where the loss of two parameters is least by itself, a point of the map.
        per_class: digits of each class that the network learns from.
        seed: of the network, its data and its batches.
        speed: at most so many steps per second while a page is open; None: as fast as the machine can.

    Raises:
        TypeError, ValueError: an argument of the wrong kind or outside its range; the message names it.

    >>> from lrlab import instruments
    >>> view = instruments.PenaltyView("L1", lam=0.015)
    >>> x, y = view.solution
    >>> round(x, 2), y
    (0.92, 0.0)
    >>> view.play(steps=200)
    >>> view.wait()
    >>> view.zeros > 0.5
    True
    """

    _doing = "the network is", "in training"

    def __init__(
        self,
        penalty: str = "L1",
        lam: float = 0.003,
        beta: float = 0.5,
        *,
        minimum: Sequence[float] | Tensor = (1.5, 0.8),
        per_class: int = PER_CLASS,
        seed: int = 0,
        speed: float | None = 60.0,
    ) -> None:
        super().__init__(speed)
        self._choice, self._lam, self._beta = _check_name(penalty), lam, beta
        for name in PENALTIES:  # a bad number is refused now, not when its penalty is chosen
            self._made(name, lam, beta)
        self._minimum = self._home = _check_point(minimum)
        self._digits, self._seed = data.load("digits", device="cpu", per_class=per_class), seed
        self._first = (penalty, float(lam), float(beta))
        self._solve()
        self._trainee = self._new_trainee()

    def __repr__(self) -> str:
        return f"PenaltyView({self._choice})"

    # Knobs -----------------------------------------------------------------------------------------------------------

    @property
    def settings(self) -> dict[str, Any]:
        """The penalty's name, λ, β, and the minimum of the loss alone."""
        return {"penalty": self._choice, "lam": self._lam, "beta": self._beta, "minimum": _pair(self._minimum)}

    @property
    def penalty(self) -> Penalty:
        """The penalty that is at work, in the plane and in the network."""
        return self._made(self._choice, self._lam, self._beta)

    def turn(self, knob: str, value: float) -> None:
        """Turn ``"lam"`` or ``"beta"``; a network in training goes on from where it is.

        Raises:
            TypeError, ValueError: no such knob (the nearest is suggested), or a value it does not accept.
        """
        if knob not in RANGES:
            raise ValueError(unknown("knob", knob, RANGES, of="this view"))
        changed = {"lam": self._lam, "beta": self._beta, knob: value}
        for name in PENALTIES:
            self._made(name, **changed)
        self._become(self._choice, **changed)

    def choose(self, penalty: str) -> None:
        """Take another penalty; λ and β stay as they are.

        Raises:
            ValueError: no such penalty (the nearest is suggested).
        """
        self._become(_check_name(penalty), self._lam, self._beta)

    def move_minimum(self, x: float, y: float) -> None:
        """Let the loss of two parameters be least at (x, y), a point of the map.

        Raises:
            TypeError, ValueError: a coordinate is no finite number, or the point is not on the map.
        """
        with self._lock:
            self._minimum = _check_point((x, y))
            self._solve()
        self._show_news()

    def _become(self, choice: str, lam: float, beta: float) -> None:
        with self._lock:
            self._choice, self._lam, self._beta = choice, float(lam), float(beta)
            self._solve()
            self._trainee.run.turn("penalty", self.penalty)
        self._show_news()

    @staticmethod
    def _made(name: str, lam: Any, beta: Any) -> Penalty:
        for knob, value in (("lam", lam), ("beta", beta)):
            if isinstance(value, Tensor):
                raise TypeError(f"{knob} must be one number, not a tensor")
        match PENALTIES[name]:
            case L1(proximal=proximal):
                return L1(lam, proximal)
            case ElasticNet(proximal=proximal):
                return ElasticNet(lam, beta, proximal)
        return L2(lam)

    # Two parameters --------------------------------------------------------------------------------------------------

    def _solve(self) -> None:
        kind: type[Penalty] = {"L2": L2, "elastic net": ElasticNet}.get(self._choice, L1)
        # With or without the proximal step the minimum is the same; with it, it is found exactly.
        more: dict[str, Any] = {} if kind is L2 else {"proximal": True}
        more |= {"beta": self._beta} if kind is ElasticNet else {}
        lams = torch.cat([torch.tensor([self._lam], dtype=torch.float64), PATH_LAMBDAS])[:, None]
        points = solve(kind(**more, lam=lams), self._minimum)  # type: ignore[call-arg]
        # At once: a cell and a page may each be on a thread of its own, and none shall see half of it.
        self._solution, self._path = points[0], points[1:]

    @property
    def solution(self) -> tuple[float, float]:
        """ŵ, the minimum of Q + λR; a coordinate that the penalty has won is exactly 0."""
        return _pair(self._solution)

    @property
    def budget(self) -> float:
        """R(ŵ), without λ."""
        square, length = float((self._solution**2).sum()), float(self._solution.abs().sum())
        return {"L2": square, "elastic net": self._beta * square + length}.get(self._choice, length)

    def path(self) -> tuple[np.ndarray, np.ndarray]:
        """Some λ from 0 upwards, ``[n]``, and the solution for each of them, ``[n, 2]``."""
        return PATH_LAMBDAS.numpy().copy(), self._path.numpy().copy()

    def ball(self) -> np.ndarray:
        """The border of {R ≤ R(ŵ)}, ``[129, 2]``."""
        beta = {"L2": None, "elastic net": self._beta}.get(self._choice, 0.0)
        return ball(self.budget, beta)

    def _lines(self) -> list[np.ndarray]:
        """All that is drawn in the plane: the contours of the loss, the one through ŵ, the ball, and the path."""
        away = self._solution - self._minimum
        level = 0.5 * float(away @ CURVATURE @ away)
        rings = [ring(0.5 * (RING * k) ** 2, self._minimum) for k in range(1, RINGS + 1)]
        return [*rings, ring(level, self._minimum), self.ball(), self._path.numpy()]

    # The network -----------------------------------------------------------------------------------------------------

    def _new_trainee(self) -> Trainee:
        given: dict[str, Any] = {"lr": LR, "seed": self._seed, "validate_every": VALIDATE_EVERY, "device": "cpu"}
        given["batch_size"] = min(BATCH_SIZE, len(self._digits.train.y))
        return Trainee(Run("mlp", self._digits, rule=rules.SGD(), penalty=self.penalty, **given))

    @property
    def run(self) -> Run:
        """The run that trains the network."""
        return self._trainee.run

    @property
    def step(self) -> int:
        """The steps it has made."""
        return len(self._trainee.shares) - 1

    @property
    def zeros(self) -> float:
        """The share of its weights that is exactly 0; biases do not count."""
        return self._trainee.shares[-1]

    def sparsity(self) -> np.ndarray:
        """`zeros` after each step, the start first, ``[steps + 1]``."""
        return np.array(self._trainee.shares)

    def weights(self) -> np.ndarray:
        """The weights that the penalty touches, as they are now, ``[9472]``."""
        return self._trainee.weights.cpu().numpy().copy()

    def play(self, steps: int | None = None) -> None:
        """Train on in the background; the call returns at once.

        Args:
            steps: how many steps; None: until `pause`, at most 3,000.

        Raises:
            ValueError: steps is no whole number of at least 1.
            RuntimeError: a number of steps is given while the network is in training, or its loss has diverged.
        """
        check_steps(steps)
        with self._lock:
            if self._plays_already(steps):
                return
            if self.run.status == "diverged":
                raise RuntimeError("the loss has diverged: turn the penalty down and reset()")
            task = functools.partial(self._trainee.train, self.run.steps(steps or LAP), self._pace)
            self._set_to_work(task, "penalty view")
        self._show_work()

    def reset(self) -> None:
        """Pause, and begin with fresh weights; penalty and minimum stay as they are."""
        self.pause()
        with self._lock:
            self._trainee = self._new_trainee()
        self._show_news()

    # Pictures --------------------------------------------------------------------------------------------------------

    def figure(self) -> Figure:
        """The plane, the solution against λ, the weights, and what became of them, as a matplotlib figure."""
        with self._lock:
            fig, axes = figures.figure(f"{self._title()}: {self._story()}", 2, 2, size=(7.2, 5.6), sharex=False)
            self._draw_plane(axes[0, 0])
            self._draw_profile(axes[0, 1])
            self._draw_weights(axes[1, 0])
            self._draw_training(axes[1, 1])
        return fig

    def _draw_plane(self, ax: Axes) -> None:
        *rings, through, border, path = self._lines()
        for line in rings:
            ax.plot(*line.T, color="#BBBBBB", linestyle="-", linewidth=0.6)
        ax.plot(*through.T, color=figures.PALETTE[0], linestyle="-", linewidth=1.2)
        ax.fill(*border.T, color=figures.PALETTE[1], alpha=0.2)
        ax.plot(*border.T, color=figures.PALETTE[1], linestyle="-", linewidth=1.2)
        ax.plot(*path.T, color="black", linestyle=(0, (2, 1)), linewidth=1)
        ax.plot(*self._minimum, "x", color="black", markersize=6)
        ax.plot(*self.solution, "o", color="black", markersize=6)
        for draw in (ax.axhline, ax.axvline):
            draw(0, color="#666666", linewidth=0.7, linestyle="-")
        ax.set(xlim=WINDOW[0], ylim=WINDOW[1], xlabel="w₁", ylabel="w₂", aspect="equal")
        ax.set_title("ball and contours touch at the solution", loc="left", fontsize=10)
        ax.grid(False)

    def _draw_profile(self, ax: Axes) -> None:
        lams, points = self.path()
        for i, name in enumerate(("w₁", "w₂")):
            ax.plot(lams[1:], points[1:, i], **figures.style(2 + i))
            ax.annotate(name, (1.3e-4, points[1, i]), xytext=(0, 4), textcoords="offset points")
        if self._lam:
            ax.axvline(self._lam, color="black", linestyle=(0, (2, 1)), linewidth=1)
        ax.set(xscale="log", xlim=(1e-4, 1), xlabel="λ", ylabel="solution")
        ax.margins(y=0.12)
        ax.set_title("the whole path; dashed: λ now", loc="left", fontsize=10)

    def _draw_weights(self, ax: Axes) -> None:
        edges = np.linspace(-EDGE, EDGE, BINS + 1)
        ax.stairs(histogram(self._trainee.weights), edges, fill=True, color=figures.PALETTE[0], alpha=0.6)
        ax.stairs(histogram(self._trainee.first), edges, color="#777777", linestyle=":")
        if self.zeros:
            ax.plot([0, 0], [1e-5, self.zeros], color=figures.PALETTE[1], linestyle="-", linewidth=4)
            words = f"{100 * self.zeros:.1f} % exactly 0"
            ax.annotate(words, (0.02, self.zeros), va="center", fontsize=9, color="#A34700")
        ax.set(yscale="log", ylim=(1e-4, 1.5), xlim=(-EDGE, EDGE), xlabel="weight", ylabel="share of the weights")
        ax.set_title(f"{len(self._trainee.weights):,} weights; dotted: at the start", loc="left", fontsize=10)

    def _draw_training(self, ax: Axes) -> None:
        history = self.run.history
        ax.plot(100 * self.sparsity(), label="zeros", color=figures.PALETTE[1], linestyle="-", linewidth=0.9)
        right = 100 * history["val_accuracy"]
        ax.plot(history["val_step"], right, label="accuracy", color=figures.PALETTE[0], linestyle=(0, (6, 1.5)))
        ax.set(xlabel="step", ylabel="%", ylim=(-3, 103), xlim=(0, max(self.step, 10)))
        ax.set_title("exact zeros and validation accuracy", loc="left", fontsize=10)
        figures.direct_labels(ax)

    def _title(self) -> str:
        beta = f", β = {self._beta:.3g}" if self._choice == "elastic net" else ""
        return f"Penalty view, {self._choice} with λ = {self._lam:.3g}{beta}"

    def _story(self) -> str:
        if not self.step:
            return "the network has not learnt yet"
        return f"after {self.step:,} steps {100 * self.zeros:.1f} % of the weights are exactly 0"

    @property
    def alt(self) -> str:
        """What `figure` shows, in words."""
        with self._lock:
            words = [
                f"{self._title()}.",
                f"Two parameters: the loss alone is least at {_words(self._minimum)}, with the penalty at "
                f"{_words(self._solution)}.",
                f"Network on {len(self._digits.train.y)} digits: {self._story()}.",
            ]
            accuracy = self.run.history["val_accuracy"]
            if len(accuracy):
                words.append(f"Its validation accuracy is {100 * accuracy[-1]:.1f} %.")
            return " ".join(words)

    def _picture_key(self) -> Any:
        return (self.settings, id(self._trainee), self.step)

    # The page --------------------------------------------------------------------------------------------------------

    def _new_page(self) -> Page:
        from lrlab.instruments.page import PenaltyPage  # a page opens a channel: not before it is needed

        return PenaltyPage(repr(self), self._hear)

    def _obey(self, message: dict[str, Any]) -> None:
        match message:
            case {"do": "turn", "knob": str(knob), "value": value}:
                self.turn(knob, value)
            case {"do": "choose", "penalty": str(penalty)}:
                self.choose(penalty)
            case {"do": "minimum", "x": int() | float() as x, "y": int() | float() as y}:
                self.move_minimum(x, y)
            case {"do": "home"}:
                self.move_minimum(*self._home.tolist())
            case {"do": "play"}:
                self.play()
            case {"do": "pause"}:
                self.pause()
            case {"do": "reset"}:
                self.reset()
            case _:
                raise ValueError(f"the page sent {message!r}, which this view does not know")

    def _state(self) -> dict[str, Any]:
        accuracy = self.run.history["val_accuracy"]
        return {
            "title": f"mlp on {len(self._digits.train.y)} digits",
            "penalty": self._choice,
            "penalties": [[name, name] for name in PENALTIES],
            "knobs": self._dials(),
            "minimum": list(_pair(self._minimum)),
            "solution": list(self.solution),
            "budget": self.budget,
            "playing": self.playing,
            "step": self.step,
            "zeros": self.zeros,
            "accuracy": float(accuracy[-1]) if len(accuracy) else None,
            "error": self._error,
            "diverged": self.run.status == "diverged",
        }

    def _dials(self) -> list[dict[str, Any]]:
        """The knobs as controls.js knows them; β is there where it has a meaning."""
        values = {"lam": self._lam} | ({"beta": self._beta} if self._choice == "elastic net" else {})
        return [
            {"name": name, "label": LABELS[name], "value": value, "scale": "zero", "low": low, "high": max(high, value)}
            for name, value in values.items()
            for low, high in [RANGES[name]]
        ]

    def _news(self, fresh: bool) -> tuple[dict[str, Any], list[bytes]]:
        """The lines of the plane when they have moved, and the network's numbers when it has made steps."""
        trainee, steps = self._trainee, self.step
        plane, training = self.settings, (id(trainee), steps)
        sent = (None, None) if fresh else getattr(self, "_sent", (None, None))
        self._sent = (plane, training)
        news: dict[str, Any] = {}
        buffers: list[bytes] = []
        if plane != sent[0]:
            lines = self._lines()
            news["lines"] = [len(line) for line in lines]
            news["window"] = WINDOW
            buffers.append(np.concatenate(lines).astype("<f4").tobytes())
        if training != sent[1]:
            bins = np.stack([histogram(trainee.first), histogram(trainee.weights)])
            checks = len(self.run.history["val_step"])
            curves = [np.array(trainee.shares[: steps + 1]), *(self.run.history[c][:checks] for c in _CHECKS)]
            news["weights"] = {"edge": EDGE, "bins": BINS, "curve": [len(curve) for curve in curves]}
            buffers += [bins.astype("<f4").tobytes(), np.concatenate(curves).astype("<f4").tobytes()]
        return news, buffers


_CHECKS = ("val_step", "val_accuracy")


# What is given, and whether it is right -------------------------------------------------------------------------------


def _check_name(penalty: Any) -> str:
    if not isinstance(penalty, str):
        raise TypeError(f"penalty must be one of {', '.join(map(repr, PENALTIES))}, not {penalty!r}")
    if penalty not in PENALTIES:
        raise ValueError(unknown("penalty", penalty, PENALTIES, of="this view"))
    return penalty


def _check_point(point: Any) -> Tensor:
    """The point as float64 [2], if it is one and on the map."""
    coordinates = point.tolist() if isinstance(point, (Tensor, np.ndarray)) else point
    two = isinstance(coordinates, (list, tuple)) and len(coordinates) == 2
    if not two or not all(isinstance(at, Real) and not isinstance(at, bool) for at in coordinates):
        raise TypeError(f"minimum must be two numbers (x, y), not {point!r}")
    if not all(low <= at <= high for at, (low, high) in zip(coordinates, WINDOW, strict=True)):
        x, y = (f"[{low:g}, {high:g}]" for low, high in WINDOW)
        raise ValueError(f"minimum = {tuple(coordinates)} is not on the map: x in {x}, y in {y}")
    return torch.tensor([float(at) for at in coordinates], dtype=torch.float64)


def _pair(point: Tensor) -> tuple[float, float]:
    x, y = point.tolist()
    return x + 0.0, y + 0.0  # never −0


def _words(point: Tensor) -> str:
    return "({:.3g}, {:.3g})".format(*_pair(point))
