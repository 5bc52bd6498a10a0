"""Update rules: how a gradient becomes a step.

A rule is a frozen dataclass of hyperparameters with two pure functions::

    state = rule.init(x)
    x, state = rule.step(x, g, state, lr)

``x`` is a tensor ``[..., P]``: parameters live on the last axis, independent runs on the axes before it. A ball on a
surface is ``[2]``, a network is one flat vector ``[P]``, sixty-four networks are ``[64, P]``. The learning rate and
every hyperparameter may be a number, or a tensor that broadcasts to ``[..., 1]``, so that each run has its own. All
rules here work element by element: a run comes out bitwise the same alone or in a batch.

Symbols: ``x`` parameters, ``g`` the gradient at ``rule.gradient_point(x, state)``, ``α`` the learning rate ``lr``
(unit: of x per unit of the step direction), ``t`` the number of steps taken, counted from 1 inside a step.
"""

from __future__ import annotations

import difflib
import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from numbers import Real
from typing import Any, Protocol, TypeAlias

import torch
from torch import Tensor

Number: TypeAlias = float | Tensor
State: TypeAlias = dict[str, Tensor]


# Hyperparameters and their ranges -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Range:
    """The values a hyperparameter may take: how the range is written, and the test for it."""

    text: str
    holds: Callable[[Any], Any]


FRACTION = Range("[0, 1)", lambda value: (value >= 0) & (value < 1))
SHARE = Range("(0, 1]", lambda value: (value > 0) & (value <= 1))
NON_NEGATIVE = Range("[0, inf)", lambda value: (value >= 0) & (value < math.inf))
POSITIVE = Range("(0, inf)", lambda value: (value > 0) & (value < math.inf))
COUNT = Range("1, 2, 3, ...", lambda value: (value >= 1) & (value < math.inf) & (value % 1 == 0))


def number(default: float, allowed: Range) -> Any:
    """A dataclass field for a numeric hyperparameter with its allowed range."""
    return field(default=default, metadata={"range": allowed})


def check_number(name: str, value: Any, allowed: Range) -> None:
    """Raise TypeError unless `value` is a number or a real tensor, ValueError unless it lies in the allowed range."""
    is_tensor = isinstance(value, Tensor) and not value.is_complex() and value.dtype != torch.bool
    if not is_tensor and (isinstance(value, bool) or not isinstance(value, Real)):
        raise TypeError(
            f"{name} must be a number or a tensor of numbers in {allowed.text}, not {value!r} of type "
            f"{type(value).__name__}; a schedule is applied from outside, step by step: "
            f"dataclasses.replace(rule, {name}=schedule(t)), or run.turn({name!r}, value)"
        )
    holds = allowed.holds(value)
    if not (bool(holds.all()) if isinstance(holds, Tensor) else holds):
        raise ValueError(f"{name} = {value} is outside its range {allowed.text}")


# The base class -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rule:
    """An update rule. Subclasses are frozen dataclasses that define `step`, and `init` if they have a state.

    Both are pure: they never modify their arguments. `step` is wrapped with the checks of this class, so that its own
    text is the formula and nothing else: it raises TypeError or ValueError when x, g and the state do not belong
    together (shape, dtype, device, the state of another rule) and when the learning rate is negative or not finite.
    A rate of exactly 0 is let through here, because schedules end there. The *values* of a learning rate given as a
    tensor are not looked at: on a GPU that would stop the queue at every step.

    A state is a dictionary of tensors. Its entries are `[..., P]`, or `[..., 1]` for a step counter `t` (float64).
    Rules whose states have the same names mean the same by them: Momentum and Nesterov can take over from one another,
    and so can Adam, AdamW and RAdam.
    """

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "step" in cls.__dict__:
            setattr(cls, "step", _checked(cls.__dict__["step"]))  # noqa: B010 (mypy rejects a plain assignment)

    def __post_init__(self) -> None:
        for item in fields(self):
            if "range" in item.metadata:
                check_number(item.name, getattr(self, item.name), item.metadata["range"])

    def init(self, x: Tensor) -> State:
        """The state before the first step, for parameters x [..., P]."""
        return {}

    def step(self, x: Tensor, g: Tensor, state: State, lr: Number) -> tuple[Tensor, State]:
        """One step: the new parameters [..., P] and the new state."""
        raise NotImplementedError(f"{type(self).__name__} does not define step(x, g, state, lr)")

    def gradient_point(self, x: Tensor, state: State) -> Tensor:
        """Where the gradient for the next step is due [..., P]: at x itself, unless the rule looks elsewhere."""
        return x

    def hyperparameters(self) -> dict[str, Number]:
        """The numeric hyperparameters by name, in the order of the signature."""
        return {item.name: getattr(self, item.name) for item in fields(self) if "range" in item.metadata}

    @functools.cached_property
    def _state_names(self) -> frozenset[str]:
        return frozenset(self.init(torch.empty(0)))


Step: TypeAlias = Callable[[Any, Tensor, Tensor, State, Number], tuple[Tensor, State]]


def _checked(step: Step) -> Step:
    """`step` with its arguments checked. What torch would refuse anyway is only looked at once it has refused."""

    @functools.wraps(step)
    def checked_step(self: Rule, x: Tensor, g: Tensor, state: State, lr: Number) -> tuple[Tensor, State]:
        try:
            if not (x.shape == g.shape and x.dtype == g.dtype and state.keys() == self._state_names):
                raise ValueError
            if not (isinstance(lr, Tensor) or 0 <= lr < math.inf):
                raise ValueError
            if any(value.dtype != x.dtype and value.dtype != torch.float64 for value in state.values()):
                raise TypeError
            new_x, new_state = step(self, x, g, state, lr)
            if not (new_x.shape == x.shape and new_x.dtype == x.dtype):
                raise TypeError
        except (RuntimeError, ValueError, TypeError, AttributeError):
            check_step(self, x, g, state, lr)
            raise
        return new_x, new_state

    return checked_step


def check_step(rule: Rule, x: Tensor, g: Tensor, state: State, lr: Number) -> None:
    """Raise the TypeError or ValueError that says why `rule` cannot step with these arguments."""
    name = type(rule).__name__
    if not isinstance(x, Tensor) or not x.is_floating_point() or x.dim() == 0:
        raise TypeError(f"x must be a floating-point tensor [..., P], not {_describe(x)}")
    check_number("lr", lr, NON_NEGATIVE)
    if not isinstance(state, dict) or state.keys() != rule._state_names:
        names = list(state) if isinstance(state, dict) else _describe(state)
        raise ValueError(
            f"state holds {names}, but {name} needs {sorted(rule._state_names)}: is it the state of another rule? "
            f"Start one with {name}.init(x)"
        )
    _check_twin("g", g, x, "x")
    for key, fresh in rule.init(x).items():
        _check_twin(key, state[key], fresh, f"{name}.init(x)[{key!r}]")
    for key, value in {"lr": lr, **rule.hyperparameters()}.items():
        if isinstance(value, Tensor) and value.dim() > 0:
            _check_setting(key, value, x)


def _check_twin(key: str, value: Any, twin: Tensor, twin_name: str) -> None:
    """Raise unless `value` is a tensor of the shape, dtype and device of `twin`."""
    if not isinstance(value, Tensor) or value.shape != twin.shape:
        raise ValueError(f"{key} is {_describe(value)}, but must have the shape of {twin_name}, {list(twin.shape)}")
    if value.dtype != twin.dtype:
        raise TypeError(f"{key} is {value.dtype}, but {twin_name} is {twin.dtype}: convert one of them with .to(dtype)")
    if value.device != twin.device:
        raise ValueError(f"{key} is on {value.device}, but {twin_name} on {twin.device}: move one with .to(device)")


def _check_setting(key: str, value: Tensor, x: Tensor) -> None:
    """Raise unless the learning rate or hyperparameter `value` broadcasts to x and leaves its dtype alone."""
    if value.device != x.device:
        raise ValueError(f"{key} is on {value.device}, but x on {x.device}: move one of them with .to(device)")
    if torch.promote_types(value.dtype, x.dtype) != x.dtype:
        raise TypeError(f"{key} is {value.dtype}, but x is {x.dtype}: convert one of them with .to(dtype)")
    if not _broadcasts(value.shape, x.shape):
        raise ValueError(
            f"{key} has shape {list(value.shape)}, which does not broadcast to x, {list(x.shape)}: "
            "give x one leading axis per axis of settings, and settings a last axis of 1"
        )


def _describe(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a {value.dtype} tensor of shape {list(value.shape)}"
    return f"{value!r} of type {type(value).__name__}"


def _broadcasts(shape: torch.Size, target: torch.Size) -> bool:
    try:
        return torch.broadcast_shapes(shape, target) == target
    except RuntimeError:
        return False


# Gradient descent and momentum ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SGD(Rule):
    """Gradient descent: a step against the gradient.

    ::

        x ← x − α g

    Called stochastic (SGD) when g comes from a mini-batch. Differs from torch / keras / optax: not at all.

    >>> x, state = SGD().step(torch.tensor([1.0]), torch.tensor([2.0]), {}, lr=0.25)
    >>> x
    tensor([0.5000])

    Source: Cauchy 1847; Robbins and Monro 1951, A stochastic approximation method.
    """

    def step(self, x: Tensor, g: Tensor, state: State, lr: Number) -> tuple[Tensor, State]:
        return x - lr * g, state


@dataclass(frozen=True)
class Momentum(Rule):
    """Momentum: step along a decaying sum of the gradients, like a ball that rolls with friction.

    ::

        v ← ρ v + g
        x ← x − α v

    Args:
        rho: friction ρ in [0, 1), no unit: the share of the velocity that survives a step. 0.9 makes the step up to
            1 / (1 − ρ) = 10 times as long where gradients agree. To let it rise from .5 to .9, replace it as you go
            (`dataclasses.replace(rule, rho=...)`, or `run.rho = ...`): the velocity is in the state and is kept.

    State: v [..., P], in units of g, 0 at first.
    Differs from keras (and Sutskever), which keep α inside the velocity: see `VelocityMomentum`. torch (dampening 0)
    and optax are as here.

    >>> rule = Momentum(rho=0.9)
    >>> x = torch.tensor([1.0])
    >>> x, state = rule.step(x, x, rule.init(x), lr=0.5)
    >>> x, state = rule.step(x, x, state, lr=0.5)
    >>> x
    tensor([-0.2000])

    Source: Polyak 1964, Some methods of speeding up the convergence of iteration methods.
    """

    rho: Number = number(0.9, FRACTION)

    def init(self, x: Tensor) -> State:
        return {"v": torch.zeros_like(x)}

    def step(self, x: Tensor, g: Tensor, state: State, lr: Number) -> tuple[Tensor, State]:
        v = self.rho * state["v"] + g
        return x - lr * v, {"v": v}


@dataclass(frozen=True)
class Nesterov(Rule):
    """Nesterov's momentum in the form that libraries use: x is already the look-ahead point.

    ::

        v ← ρ v + g
        x ← x − α (g + ρ v)

    This is `NesterovLookahead` with its look-ahead point x̃ = x + ρv taken as the parameters: the same path of x̃, and
    the gradient is wanted at the parameters themselves, as for every other rule.

    Args:
        rho: friction ρ in [0, 1), no unit. 0.9 as for `Momentum`.

    State: v [..., P], in units of g, 0 at first.
    Differs from keras, which keeps α inside the velocity. torch (nesterov=True) and optax are as here.

    >>> rule = Nesterov(rho=0.9)
    >>> x = torch.tensor([1.0])
    >>> x, state = rule.step(x, x, rule.init(x), lr=0.1)
    >>> x
    tensor([0.8100])

    Source: Nesterov 1983; this form: Bengio, Boulanger-Lewandowski and Pascanu 2012, arXiv:1212.0901, section 3.5.
    """

    rho: Number = number(0.9, FRACTION)

    def init(self, x: Tensor) -> State:
        return {"v": torch.zeros_like(x)}

    def step(self, x: Tensor, g: Tensor, state: State, lr: Number) -> tuple[Tensor, State]:
        v = self.rho * state["v"] + g
        return x - lr * (g + self.rho * v), {"v": v}


@dataclass(frozen=True)
class NesterovLookahead(Rule):
    """Nesterov's momentum as the lecture draws it: look ahead along the velocity, take the gradient there, correct.

    ::

        x̃ = x + ρ v            the gradient point
        v ← ρ v − α g(x̃)
        x ← x + v

    Args:
        rho: friction ρ in [0, 1), no unit. 0.9 as for `Momentum`.

    State: velocity v [..., P], in units of x, 0 at first.
    The gradient must be taken at `rule.gradient_point(x, state)`. torch and optax keep x̃ instead of x: see `Nesterov`.

    >>> rule = NesterovLookahead(rho=0.9)
    >>> x = torch.tensor([1.0])
    >>> x, state = rule.step(x, x, rule.init(x), lr=0.1)
    >>> x, rule.gradient_point(x, state)
    (tensor([0.9000]), tensor([0.8100]))

    Source: Nesterov 1983; Sutskever, Martens, Dahl and Hinton 2013, On the importance of initialization and momentum.
    """

    rho: Number = number(0.9, FRACTION)

    def init(self, x: Tensor) -> State:
        return {"velocity": torch.zeros_like(x)}

    def gradient_point(self, x: Tensor, state: State) -> Tensor:
        return x + self.rho * state["velocity"]

    def step(self, x: Tensor, g: Tensor, state: State, lr: Number) -> tuple[Tensor, State]:
        v = self.rho * state["velocity"] - lr * g
        return x + v, {"velocity": v}


# Adaptive rules: a step of its own for each parameter -----------------------------------------------------------------


@dataclass(frozen=True)
class Adam(Rule):
    """Adam: momentum, divided by the running size of the gradient, both corrected for their start at zero.

    ::

        m ← β₁ m + (1 − β₁) g              running mean of the gradient
        v ← β₂ v + (1 − β₂) g²             running mean of its square
        m̂ = m / (1 − β₁ᵗ),  v̂ = v / (1 − β₂ᵗ)
        x ← x − α m̂ / (√v̂ + ε)

    Args:
        beta1: β₁ in [0, 1), no unit: 0.9 averages over about 1 / (1 − β₁) = 10 steps.
        beta2: β₂ in [0, 1), no unit: 0.999 averages over about 1000 steps.
        eps: ε ≥ 0, in units of g: keeps the step finite where the gradient is zero. 1e-7, as in the lecture.
        bias_correction: False shows why it is there: m and v start at 0, and v forgets that more slowly than m, so
            that the first steps are up to (1 − β₁) / √(1 − β₂) ≈ 3 times too long.

    State: m, v [..., P] and the step counter t [..., 1], 0 at first. A good first learning rate is 1e-3 or 5e-4.
    Differs from torch and optax in ε only (theirs is 1e-8, in the same place); keras adds its 1e-7 to √v before the
    correction.

    >>> rule = Adam()
    >>> x = torch.tensor([1.0])
    >>> x, state = rule.step(x, torch.tensor([50.0]), rule.init(x), lr=0.1)
    >>> x
    tensor([0.9000])

    Source: Kingma and Ba 2015, arXiv:1412.6980, algorithm 1.
    """

    beta1: Number = number(0.9, FRACTION)
    beta2: Number = number(0.999, FRACTION)
    eps: Number = number(1e-7, NON_NEGATIVE)
    bias_correction: bool = True

    def init(self, x: Tensor) -> State:
        return {"m": torch.zeros_like(x), "v": torch.zeros_like(x), "t": _no_steps(x)}

    def step(self, x: Tensor, g: Tensor, state: State, lr: Number) -> tuple[Tensor, State]:
        t = state["t"] + 1
        m = self.beta1 * state["m"] + (1 - self.beta1) * g
        v = self.beta2 * state["v"] + (1 - self.beta2) * g * g
        m_hat, v_hat = m, v
        if self.bias_correction:
            m_hat = m / _correction(self.beta1, t, x)
            v_hat = v / _correction(self.beta2, t, x)
        return x - lr * m_hat / (v_hat.sqrt() + self.eps), {"m": m, "v": v, "t": t}


def _no_steps(x: Tensor) -> Tensor:
    """A step counter at zero: float64 [..., 1]."""
    return torch.zeros(*x.shape[:-1], 1, dtype=torch.float64, device=x.device)


def _correction(beta: Number, t: Tensor, x: Tensor) -> Tensor:
    """1 − βᵗ: what a running mean that started at zero has seen so far. In float32 the difference would lose digits."""
    return (1 - beta**t).to(x.dtype)


# By name --------------------------------------------------------------------------------------------------------------

RULES: dict[str, type[Rule]] = {rule.__name__: rule for rule in (SGD, Momentum, Nesterov, NesterovLookahead, Adam)}


def by_name(name: str) -> type[Rule]:
    """The rule class of that name; capitals, spaces, hyphens and underscores do not matter.

    >>> by_name("adam")
    <class 'lrlab.rules.Adam'>
    """
    known = {rule.lower(): rule for rule in RULES}
    wanted = "".join(letter for letter in str(name).lower() if letter.isalnum())
    if wanted in known:
        return RULES[known[wanted]]
    nearest = difflib.get_close_matches(wanted, known, n=1, cutoff=0)[0]
    raise ValueError(f"name = {name!r} is no rule; did you mean {known[nearest]!r}? There are: {', '.join(RULES)}")


class Surface(Protocol):
    """What `descend` needs of a surface (lrlab.surfaces has many)."""

    def minibatch_grad(self, x: Tensor, step: int) -> Tensor:
        """The gradient that step number `step` sees at x [..., n]."""
