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
from collections.abc import Callable, Sequence
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
AT_LEAST_FOUR = Range("[4, inf)", lambda value: (value >= 4) & (value < math.inf))
WHOLE = Range("0, 1, 2, ...", lambda value: (value >= 0) & (value < math.inf) & (value % 1 == 0))
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
            f"{type(value).__name__}; of a schedule, give the value for the step: schedule(t)"
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
    """Gradient descent: a step against the gradient. *Stochastic* (SGD) when g comes from a mini-batch.

    ::

        x ← x − α g

    State: none. Differs from torch / keras / optax: not at all.

    Examples
    --------
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

    Parameters
    ----------
    rho
        The friction ρ in [0, 1), no unit: the share of the velocity that survives a step. 0.9, the usual choice, makes
        the step up to 1 / (1 − ρ) = 10 times as long where gradients agree. To let it rise from .5 to .9, replace it
        as you go (`dataclasses.replace(rule, rho=...)`, or `run.rho = ...`): the velocity is in the state and is kept.

    State: v `[..., P]`, in units of g, 0 at first.
    Differs from keras (and Sutskever), which keep α inside the velocity: `VelocityMomentum`. torch (with dampening 0)
    and optax are as here.

    Examples
    --------
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
class VelocityMomentum(Rule):
    """Momentum with the learning rate inside the velocity: v is the step itself.

    ::

        v ← ρ v − α g
        x ← x + v

    The same path as `Momentum` while α is constant. When α drops, this form goes on for a while at its old speed (and
    overshoots), the other slows down at once.

    Parameters
    ----------
    rho
        The friction ρ in [0, 1), no unit. 0.9, as for `Momentum`.

    State: velocity v `[..., P]`, in units of x, 0 at first.
    Differs from torch and optax, which keep α outside: `Momentum`. keras is as here.

    Examples
    --------
    >>> rule = VelocityMomentum(rho=0.9)
    >>> x = torch.tensor([1.0])
    >>> x, state = rule.step(x, x, rule.init(x), lr=0.5)
    >>> x, state = rule.step(x, x, state, lr=0.005)
    >>> x
    tensor([0.0475])

    Source: Sutskever, Martens, Dahl and Hinton 2013, On the importance of initialization and momentum in deep learning.
    """

    rho: Number = number(0.9, FRACTION)

    def init(self, x: Tensor) -> State:
        return {"velocity": torch.zeros_like(x)}

    def step(self, x: Tensor, g: Tensor, state: State, lr: Number) -> tuple[Tensor, State]:
        v = self.rho * state["velocity"] - lr * g
        return x + v, {"velocity": v}


@dataclass(frozen=True)
class Nesterov(Rule):
    """Nesterov's momentum in the form that libraries use: x is already the look-ahead point.

    ::

        v ← ρ v + g
        x ← x − α (g + ρ v)

    This is `NesterovLookahead` with its look-ahead point x̃ = x + ρv taken as the parameters: the same path of x̃ while
    α is constant, and the gradient is wanted at the parameters themselves, as for every other rule.

    Parameters
    ----------
    rho
        The friction ρ in [0, 1), no unit. 0.9, as for `Momentum`.

    State: v `[..., P]`, in units of g, 0 at first.
    Differs from keras, which keeps α inside the velocity. torch (nesterov=True) and optax are as here.

    Examples
    --------
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

    Parameters
    ----------
    rho
        The friction ρ in [0, 1), no unit. 0.9, as for `Momentum`.

    State: velocity v `[..., P]`, in units of x, 0 at first.
    The gradient must be taken at `rule.gradient_point(x, state)`. torch and optax keep x̃ in place of x: `Nesterov`.

    Examples
    --------
    >>> rule = NesterovLookahead(rho=0.9)
    >>> x = torch.tensor([1.0])
    >>> x, state = rule.step(x, x, rule.init(x), lr=0.1)
    >>> x, rule.gradient_point(x, state)
    (tensor([0.9000]), tensor([0.8100]))

    Source: Nesterov 1983; Sutskever, Martens, Dahl and Hinton 2013, as for `VelocityMomentum`.
    """

    rho: Number = number(0.9, FRACTION)

    def init(self, x: Tensor) -> State:
        return {"velocity": torch.zeros_like(x)}

    def gradient_point(self, x: Tensor, state: State) -> Tensor:
        return x + self.rho * state["velocity"]

    def step(self, x: Tensor, g: Tensor, state: State, lr: Number) -> tuple[Tensor, State]:
        v = self.rho * state["velocity"] - lr * g
        return x + v, {"velocity": v}


# Adaptive rules: every parameter has a step of its own ----------------------------------------------------------------


@dataclass(frozen=True)
class AdaGrad(Rule):
    """AdaGrad: divide by the root of the sum of all squared gradients, for each parameter on its own.

    ::

        s ← s + g²
        x ← x − α g / (√s + ε)

    Steep directions are slowed, flat ones are not; and as s only grows, every step tends to 0.

    Parameters
    ----------
    eps
        ε ≥ 0, in units of g: keeps the step finite where there was no gradient yet. 1e-7, as in the lecture.

    State: the sum s `[..., P]`, 0 at first.
    Differs from torch in ε only (1e-10 there, in the same place); keras and optax start the sum at 0.1 and put ε
    inside the root.

    Examples
    --------
    >>> rule = AdaGrad()
    >>> x = torch.tensor([1.0, 1.0])
    >>> x, state = rule.step(x, torch.tensor([100.0, 0.01]), rule.init(x), lr=0.5)
    >>> x
    tensor([0.5000, 0.5000])

    Source: Duchi, Hazan and Singer 2011, Adaptive subgradient methods.
    """

    eps: Number = number(1e-7, NON_NEGATIVE)

    def init(self, x: Tensor) -> State:
        return {"sum": torch.zeros_like(x)}

    def step(self, x: Tensor, g: Tensor, state: State, lr: Number) -> tuple[Tensor, State]:
        s = state["sum"] + g * g
        return x - lr * g / (s.sqrt() + self.eps), {"sum": s}


@dataclass(frozen=True)
class RMSProp(Rule):
    """RMSProp: AdaGrad that forgets. The sum becomes a running mean, so that the steps do not die out.

    ::

        s ← β s + (1 − β) g²
        x ← x − α g / (√s + ε)

    Parameters
    ----------
    decay
        β in [0, 1), no unit: 0.9 averages the squared gradient over about 1 / (1 − β) = 10 steps, as in Hinton's slide.
    eps
        ε ≥ 0, in units of g. 1e-7, as in the lecture.

    State: the running mean s `[..., P]`, 0 at first: the first step is 1 / √(1 − β) ≈ 3 times too long.
    Differs from torch in the defaults only (decay .99, ε 1e-8 in the same place); keras and optax put ε inside the
    root.

    Examples
    --------
    >>> rule = RMSProp(decay=0.75)
    >>> x = torch.tensor([1.0])
    >>> x, state = rule.step(x, torch.tensor([100.0]), rule.init(x), lr=0.1)
    >>> x
    tensor([0.8000])

    Source: Hinton 2012, Neural networks for machine learning, lecture 6e.
    """

    decay: Number = number(0.9, FRACTION)
    eps: Number = number(1e-7, NON_NEGATIVE)

    def init(self, x: Tensor) -> State:
        return {"s": torch.zeros_like(x)}

    def step(self, x: Tensor, g: Tensor, state: State, lr: Number) -> tuple[Tensor, State]:
        s = self.decay * state["s"] + (1 - self.decay) * g * g
        return x - lr * g / (s.sqrt() + self.eps), {"s": s}


@dataclass(frozen=True)
class Adam(Rule):
    """Adam: momentum, divided by the running size of the gradient, both corrected for their start at zero.

    ::

        m ← β₁ m + (1 − β₁) g              running mean of the gradient
        v ← β₂ v + (1 − β₂) g²             running mean of its square
        m̂ = m / (1 − β₁ᵗ),  v̂ = v / (1 − β₂ᵗ)
        x ← x − α m̂ / (√v̂ + ε)

    A good first learning rate is 1e-3 or 5e-4: the steps are about α long whatever the size of the gradient.

    Parameters
    ----------
    beta1
        β₁ in [0, 1), no unit: 0.9 averages over about 1 / (1 − β₁) = 10 steps.
    beta2
        β₂ in [0, 1), no unit: 0.999 averages over about 1000 steps.
    eps
        ε ≥ 0, in units of g: keeps the step finite where the gradient is zero. 1e-7, as in the lecture.
    bias_correction
        False shows why it is there: m and v start at 0, and v catches up more slowly than m, so that the first step is
        (1 − β₁) / √(1 − β₂) ≈ 3 times too long.

    State: m, v `[..., P]` and the step counter t `[..., 1]`, 0 at first.
    Differs from torch and optax in ε only (1e-8 there, in the same place); keras adds its 1e-7 to √v before the
    correction.

    Examples
    --------
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

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.bias_correction, bool):
            raise TypeError(f"bias_correction must be True or False, not {self.bias_correction!r}")

    def init(self, x: Tensor) -> State:
        return {"m": torch.zeros_like(x), "v": torch.zeros_like(x), "t": no_steps(x)}

    def step(self, x: Tensor, g: Tensor, state: State, lr: Number) -> tuple[Tensor, State]:
        t = state["t"] + 1
        m = self.beta1 * state["m"] + (1 - self.beta1) * g
        v = self.beta2 * state["v"] + (1 - self.beta2) * g * g
        m_hat, v_hat = m, v
        if self.bias_correction:
            m_hat = m / (1 - self.beta1**t).to(x.dtype)
            v_hat = v / (1 - self.beta2**t).to(x.dtype)
        return x - lr * m_hat / (v_hat.sqrt() + self.eps), {"m": m, "v": v, "t": t}


def no_steps(x: Tensor) -> Tensor:
    """A step counter at zero `[..., 1]`. It is float64 because 1 − βᵗ, computed in float32, would lose digits."""
    return torch.zeros(*x.shape[:-1], 1, dtype=torch.float64, device=x.device)


# Variations on Adam ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AdamW(Adam):
    """AdamW: Adam, with the weights shrunk on the side instead of through the gradient.

    ::

        x ← (1 − α λ) x
        x ← Adam's step

    L2 regularisation adds λx to g, and an adaptive rule then divides it by √v̂: weights with large gradients would
    hardly be decayed. Decoupled decay shrinks all of them alike.

    Parameters
    ----------
    weight_decay
        λ ≥ 0, in units of 1 / α. 0.01, torch's default.

    The others, and the state, are `Adam`'s. Differs from torch and optax in ε only (1e-8); optax's λ is 1e-4, keras's
    .004. The paper writes the decay without α.

    Examples
    --------
    >>> rule = AdamW(weight_decay=0.5)
    >>> x = torch.tensor([1.0])
    >>> x, state = rule.step(x, torch.tensor([0.0]), rule.init(x), lr=0.1)
    >>> x
    tensor([0.9500])

    Source: Loshchilov and Hutter 2019, arXiv:1711.05101.
    """

    weight_decay: Number = number(0.01, NON_NEGATIVE)

    def step(self, x: Tensor, g: Tensor, state: State, lr: Number) -> tuple[Tensor, State]:
        return super().step((1 - lr * self.weight_decay) * x, g, state, lr)


@dataclass(frozen=True)
class AMSGrad(Adam):
    """AMSGrad: Adam that never forgets the largest v, so that its steps cannot grow again.

    ::

        m, v as in Adam
        u ← max(u, v)
        x ← x − α m̂ / (√û + ε),   û = u / (1 − β₂ᵗ)

    It mends Reddi's counterexample: one large gradient every 101 steps says "left", a hundred small ones say "right",
    and Adam, which has forgotten the large one, walks to the wrong end.

    The parameters are `Adam`'s; bias_correction=False is the paper's own algorithm.
    State: m, v, v_max `[..., P]` and t `[..., 1]`, 0 at first.
    Differs from torch in ε only (1e-8). keras takes the maximum of v, as here; optax of the corrected v̂.

    Examples
    --------
    >>> rule = AMSGrad(beta2=0.0)
    >>> x = torch.tensor([1.0])
    >>> x, state = rule.step(x, torch.tensor([4.0]), rule.init(x), lr=0.1)
    >>> x, state = rule.step(x, torch.tensor([1.0]), state, lr=0.1)
    >>> state["v"], state["v_max"]
    (tensor([1.]), tensor([16.]))

    Source: Reddi, Kale and Kumar 2018, On the convergence of Adam and beyond.
    """

    def init(self, x: Tensor) -> State:
        return {**super().init(x), "v_max": torch.zeros_like(x)}

    def step(self, x: Tensor, g: Tensor, state: State, lr: Number) -> tuple[Tensor, State]:
        t = state["t"] + 1
        m = self.beta1 * state["m"] + (1 - self.beta1) * g
        v = self.beta2 * state["v"] + (1 - self.beta2) * g * g
        v_max = torch.maximum(state["v_max"], v)
        m_hat, v_hat = m, v_max
        if self.bias_correction:
            m_hat = m / (1 - self.beta1**t).to(x.dtype)
            v_hat = v_max / (1 - self.beta2**t).to(x.dtype)
        return x - lr * m_hat / (v_hat.sqrt() + self.eps), {"m": m, "v": v, "t": t, "v_max": v_max}


@dataclass(frozen=True)
class NAdam(Rule):
    """NAdam: Adam with Nesterov's look-ahead (NAG): part of the step uses the gradient of now, not its running mean.

    ::

        μₜ = β₁ (1 − ½ · 0.96^(ψ t))       a momentum that warms up
        m, v as in Adam
        m̄ = μₜ₊₁ m / (1 − μ₁ ⋯ μₜ₊₁) + (1 − μₜ) g / (1 − μ₁ ⋯ μₜ)
        x ← x − α m̄ / (√v̂ + ε)

    Parameters
    ----------
    beta1, beta2, eps
        As for `Adam`.
    momentum_decay
        ψ ≥ 0, per step: how fast μ rises from β₁/2 to β₁. 0.004, as in the paper; a huge value means μ = β₁ at once.

    State: m, v `[..., P]`; the step counter t and the product of the μ so far `[..., 1]`.
    Differs from torch in ε only (1e-8). keras has ψ = 1. optax has no warm-up: momentum_decay=1e9.

    Examples
    --------
    >>> rule = NAdam(momentum_decay=1e9)
    >>> x = torch.tensor([1.0])
    >>> x, state = rule.step(x, torch.tensor([50.0]), rule.init(x), lr=0.1)
    >>> x
    tensor([0.8526])

    Source: Dozat 2016, Incorporating Nesterov momentum into Adam.
    """

    beta1: Number = number(0.9, FRACTION)
    beta2: Number = number(0.999, FRACTION)
    eps: Number = number(1e-7, NON_NEGATIVE)
    momentum_decay: Number = number(0.004, NON_NEGATIVE)

    def init(self, x: Tensor) -> State:
        t = no_steps(x)
        return {"m": torch.zeros_like(x), "v": torch.zeros_like(x), "t": t, "mu_product": torch.ones_like(t)}

    def step(self, x: Tensor, g: Tensor, state: State, lr: Number) -> tuple[Tensor, State]:
        t = state["t"] + 1
        mu = self.beta1 * (1 - 0.5 * 0.96 ** (self.momentum_decay * t))
        mu_next = self.beta1 * (1 - 0.5 * 0.96 ** (self.momentum_decay * (t + 1)))
        product = state["mu_product"] * mu
        m = self.beta1 * state["m"] + (1 - self.beta1) * g
        v = self.beta2 * state["v"] + (1 - self.beta2) * g * g
        share_m, share_g = mu_next / (1 - product * mu_next), (1 - mu) / (1 - product)
        m_bar = share_m.to(x.dtype) * m + share_g.to(x.dtype) * g
        v_hat = v / (1 - self.beta2**t).to(x.dtype)
        return x - lr * m_bar / (v_hat.sqrt() + self.eps), {"m": m, "v": v, "t": t, "mu_product": product}


@dataclass(frozen=True)
class RAdam(Rule):
    """RAdam: Adam that waits until v is worth dividing by, a warm-up that is derived instead of tuned.

    ::

        m, v as in Adam
        ρ∞ = 2 / (1 − β₂) − 1                  the longest effective memory of v, in steps
        ρₜ = ρ∞ − 2 t β₂ᵗ / (1 − β₂ᵗ)          its memory by now
        if ρₜ > threshold:
            r = √[(ρₜ − 4)(ρₜ − 2) ρ∞ / ((ρ∞ − 4)(ρ∞ − 2) ρₜ)]
            x ← x − α r m̂ √(1 − β₂ᵗ) / (√v + ε)
        else:
            x ← x − α m̂                        a step of momentum

    Parameters
    ----------
    beta1, beta2, eps
        As for `Adam`, but ε is added before the correction.
    threshold
        At least 4, in steps. 4 is the paper's; with β₂ = .999 the fifth step adapts (ρ₅ = 4.996). torch has 5.

    State: m, v `[..., P]` and the step counter t `[..., 1]`, 0 at first.
    Differs from torch in the defaults only: threshold=5, eps=1e-8. optax adds ε after the correction and adapts at
    ρₜ ≥ 5; the paper has no ε.

    Examples
    --------
    >>> rule = RAdam()
    >>> x = torch.tensor([1.0])
    >>> x, state = rule.step(x, torch.tensor([2.0]), rule.init(x), lr=0.1)
    >>> x
    tensor([0.8000])

    Source: Liu et al. 2020, On the variance of the adaptive learning rate and beyond, arXiv:1908.03265.
    """

    beta1: Number = number(0.9, FRACTION)
    beta2: Number = number(0.999, FRACTION)
    eps: Number = number(1e-7, NON_NEGATIVE)
    threshold: Number = number(4.0, AT_LEAST_FOUR)

    def init(self, x: Tensor) -> State:
        return {"m": torch.zeros_like(x), "v": torch.zeros_like(x), "t": no_steps(x)}

    def step(self, x: Tensor, g: Tensor, state: State, lr: Number) -> tuple[Tensor, State]:
        t = state["t"] + 1
        m = self.beta1 * state["m"] + (1 - self.beta1) * g
        v = self.beta2 * state["v"] + (1 - self.beta2) * g * g
        m_hat = m / (1 - self.beta1**t).to(x.dtype)
        seen = 1 - self.beta2**t
        longest = 2 / (1 - self.beta2) - 1
        memory = longest - 2 * t * self.beta2**t / seen
        r = ((memory - 4) * (memory - 2) * longest / ((longest - 4) * (longest - 2) * memory)).sqrt()
        adapted = m_hat * (r * seen.sqrt()).to(x.dtype) / (v.sqrt() + self.eps)
        return x - lr * torch.where(memory > self.threshold, adapted, m_hat), {"m": m, "v": v, "t": t}


@dataclass(frozen=True)
class Lion(Rule):
    """Lion: momentum, of which only the sign is used. Every parameter moves by exactly α in every step.

    ::

        x ← (1 − α λ) x
        x ← x − α sign(β₁ m + (1 − β₁) g)
        m ← β₂ m + (1 − β₂) g

    Parameters
    ----------
    beta1
        β₁ in [0, 1), no unit: how much the running mean weighs against the gradient of now, in the step. 0.9.
    beta2
        β₂ in [0, 1), no unit: the memory of the running mean. 0.99.
    weight_decay
        λ ≥ 0, in units of 1 / α, decoupled as in `AdamW`. 0: none.

    State: m `[..., P]`, 0 at first. Use a rate 3 to 10 times smaller than Adam's.
    torch has no Lion; keras has λ = 0 and optax 1e-3, else as here.

    Examples
    --------
    >>> rule = Lion()
    >>> x = torch.tensor([1.0, 1.0])
    >>> x, state = rule.step(x, torch.tensor([-100.0, 0.01]), rule.init(x), lr=0.25)
    >>> x
    tensor([1.2500, 0.7500])

    Source: Chen et al. 2023, Symbolic discovery of optimization algorithms, arXiv:2302.06675.
    """

    beta1: Number = number(0.9, FRACTION)
    beta2: Number = number(0.99, FRACTION)
    weight_decay: Number = number(0.0, NON_NEGATIVE)

    def init(self, x: Tensor) -> State:
        return {"mean": torch.zeros_like(x)}

    def step(self, x: Tensor, g: Tensor, state: State, lr: Number) -> tuple[Tensor, State]:
        direction = torch.sign(self.beta1 * state["mean"] + (1 - self.beta1) * g)
        m = self.beta2 * state["mean"] + (1 - self.beta2) * g
        return (1 - lr * self.weight_decay) * x - lr * direction, {"mean": m}


# Slow and fast weights ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Lookahead(Rule):
    """Lookahead: let another rule run k steps ahead, then go only part of the way it went: k steps forward, one back.

    ::

        x ← the inner rule's step                      fast weights
        every k steps:  s ← s + a (x − s),  x ← s      slow weights

    Parameters
    ----------
    inner
        The rule that explores, with its own hyperparameters. Its state goes on over a synchronisation.
    k
        Steps between synchronisations: 1, 2, 3, ... 5, as in the paper.
    alpha
        a in (0, 1], no unit: how far the slow weights follow. 0.5, as in the paper (not the learning rate α).

    State: slow `[..., P]`, the start; t `[..., 1]`; and the inner rule's entries as `inner.…`.
    torch and keras have none. optax keeps the slow weights among the parameters. Beware of implementations that start
    the slow weights at the first synchronisation, which is then wasted: here, with SGD, α = .1, k = 2 and ½x² from 1,
    the path is .9, .905, .8145.

    Examples
    --------
    >>> rule = Lookahead(SGD(), k=2, alpha=0.5)
    >>> x = torch.tensor([1.0])
    >>> state = rule.init(x)
    >>> for _ in range(2):
    ...     x, state = rule.step(x, x, state, lr=0.1)
    >>> x
    tensor([0.9050])

    Source: Zhang, Lucas, Hinton and Ba 2019, Lookahead optimizer: k steps forward, 1 step back, arXiv:1907.08610.
    """

    inner: Rule = Adam()
    k: Number = number(5, COUNT)
    alpha: Number = number(0.5, SHARE)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.inner, Rule):
            raise TypeError(f"inner must be a rule, such as rules.Adam(), not {self.inner!r}")

    def init(self, x: Tensor) -> State:
        return {"slow": x.clone(), "t": no_steps(x), **_outer(self.inner.init(x))}

    def gradient_point(self, x: Tensor, state: State) -> Tensor:
        return self.inner.gradient_point(x, _inner(state))

    def step(self, x: Tensor, g: Tensor, state: State, lr: Number) -> tuple[Tensor, State]:
        fast, inner = self.inner.step(x, g, _inner(state), lr)
        t = state["t"] + 1
        sync = t % self.k == 0
        slow = torch.where(sync, state["slow"] + self.alpha * (fast - state["slow"]), state["slow"])
        return torch.where(sync, slow, fast), {"slow": slow, "t": t, **_outer(inner)}


def _outer(inner: State) -> State:
    return {f"inner.{name}": value for name, value in inner.items()}


def _inner(outer: State) -> State:
    return {name.removeprefix("inner."): value for name, value in outer.items() if name.startswith("inner.")}


@dataclass(frozen=True)
class Ranger(Lookahead):
    """Ranger: RAdam inside Lookahead. A warm-up that is derived, and a path that is averaged.

    ::

        Ranger() = Lookahead(RAdam(), k=6, alpha=0.5)

    Parameters, state: as for `Lookahead`.
    Differs from the package pytorch_optimizer, whose Ranger also centralises gradients (and ascends in its first five
    steps by default). torch, keras and optax have none.

    Examples
    --------
    >>> Ranger().inner
    RAdam(beta1=0.9, beta2=0.999, eps=1e-07, threshold=4.0)

    Source: Wright 2019, Ranger: a synergistic optimizer.
    """

    inner: Rule = RAdam()
    k: Number = number(6, COUNT)


@dataclass(frozen=True)
class ScheduleFreeSGD(Rule):
    """Schedule-free SGD: a constant rate and a running average of the path, in place of a rate that decays.

    ::

        y = (1 − β) z + β x           the gradient point
        z ← z − α g(y)                plain SGD, from where it was itself
        x ← x + (z − x) / t           the mean of all z so far

    x is the average, the point to use and to validate; it is what `step` takes and returns. z is the explorer.

    Of the rules that promise less tuning this one teaches most here. It is made of parts already seen (SGD, a gradient
    point as in `NesterovLookahead`, an average as in `Lookahead`), each a line; and it answers a question of this
    course, what a decaying schedule is for: it averages noise away, and so does the mean, at any step you stop.
    The rate α itself still has to be found. Prodigy and D-Adaptation estimate it, by sums over all parameters, and
    would no longer work element by element.

    Parameters
    ----------
    beta
        β in [0, 1), no unit: where between z (0, Polyak–Ruppert averaging) and x (1) the gradient is taken. 0.9.

    State: z `[..., P]`, the start; t `[..., 1]`.
    Differs from the authors' package in that x is kept, not y (there, `optimizer.eval()` computes x), and in that all z
    weigh the same: theirs weigh as α², which matters while α warms up. torch and keras have none.

    Examples
    --------
    >>> rule = ScheduleFreeSGD(beta=0.5)
    >>> x = torch.tensor([1.0])
    >>> state = rule.init(x)
    >>> for _ in range(2):
    ...     x, state = rule.step(x, rule.gradient_point(x, state), state, lr=0.5)
    >>> x, state["z"]
    (tensor([0.3750]), tensor([0.2500]))

    Source: Defazio et al. 2024, The road less scheduled, arXiv:2405.15682.
    """

    beta: Number = number(0.9, FRACTION)

    def init(self, x: Tensor) -> State:
        return {"z": x.clone(), "t": no_steps(x)}

    def gradient_point(self, x: Tensor, state: State) -> Tensor:
        return (1 - self.beta) * state["z"] + self.beta * x

    def step(self, x: Tensor, g: Tensor, state: State, lr: Number) -> tuple[Tensor, State]:
        t = state["t"] + 1
        z = state["z"] - lr * g
        return x + (z - x) / t.to(x.dtype), {"z": z, "t": t}


# By name --------------------------------------------------------------------------------------------------------------

RULES: dict[str, type[Rule]] = {
    rule.__name__: rule
    for rule in (
        *(SGD, Momentum, VelocityMomentum, Nesterov, NesterovLookahead),
        *(AdaGrad, RMSProp, Adam, AdamW, AMSGrad, NAdam, RAdam, Lion),
        *(Lookahead, Ranger, ScheduleFreeSGD),
    )
}


def by_name(name: str) -> type[Rule]:
    """The rule class of that name; capitals, spaces, hyphens and underscores do not matter.

    Raises
    ------
    ValueError
        There is no rule of that name; the message has the nearest one.

    Examples
    --------
    >>> by_name("adam")()
    Adam(beta1=0.9, beta2=0.999, eps=1e-07, bias_correction=True)
    """
    known = {rule.lower(): rule for rule in RULES}
    wanted = "".join(letter for letter in str(name).lower() if letter.isalnum())
    if wanted in known:
        return RULES[known[wanted]]
    nearest = known[difflib.get_close_matches(wanted, known, n=1, cutoff=0)[0]]
    raise ValueError(f"name = {name!r} is no rule; did you mean {nearest!r}? There are: {', '.join(RULES)}")


# A path on a surface --------------------------------------------------------------------------------------------------


class Surface(Protocol):
    """What `descend` needs: the gradient `[..., n]` that step number `step` sees at x. See `lrlab.surfaces`."""

    def minibatch_grad(self, x: Tensor, step: int) -> Tensor: ...


def descend(
    rule: Rule,
    surface: Surface | Callable[[Tensor], Tensor],
    start: Tensor | Sequence[float],
    *,
    lr: Number | Callable[[int], float],
    steps: int = 200,
) -> Tensor:
    """Follow a rule down a surface: the path, from the start to where it is after the last step.

    Any number of starts, learning rates and hyperparameters go at once: their leading axes are broadcast together.

    Parameters
    ----------
    rule
        A rule.
    surface
        A surface of `lrlab.surfaces`, or a function `[..., n] -> [...]` that autograd can differentiate.
    start
        `[..., n]`; numbers become float64, a floating-point tensor keeps its dtype.
    lr
        The learning rate: a number or a tensor `[..., 1]`, above 0; or a schedule, asked for `lr(step)`.
    steps
        How many, 0 or more.

    Returns
    -------
    Tensor
        `[steps + 1, ..., n]`. Beyond the largest float a path that diverges reads inf, then nan, to its end; the
        others beside it are not touched.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, or outside its range.

    Examples
    --------
    >>> descend(SGD(), lambda x: (x * x).sum(-1), [1.0], lr=torch.tensor([[0.25], [1.0]]), steps=2).squeeze(-1)
    tensor([[ 1.0000,  1.0000],
            [ 0.5000, -1.0000],
            [ 0.2500,  1.0000]], dtype=torch.float64)
    """
    if not isinstance(rule, Rule):
        raise TypeError(f"rule must be a rule, such as rules.Adam(), not {rule!r}")
    check_number("steps", steps, WHOLE)
    if not callable(lr):
        check_number("lr", lr, POSITIVE)
    x = _starts(rule, start, lr)
    state, path = rule.init(x), [x]
    for step in range(int(steps)):
        g = _gradient(surface, rule.gradient_point(x, state), step)
        x, state = rule.step(x, g, state, lr(step) if callable(lr) else lr)
        path.append(x)
    return torch.stack(path)


def _starts(rule: Rule, start: Tensor | Sequence[float], lr: Any) -> Tensor:
    """The starts, one for each combination of start, learning rate and hyperparameters."""
    x = torch.as_tensor(start) if isinstance(start, Tensor) else torch.as_tensor(start, dtype=torch.float64)
    x = x if x.is_floating_point() else x.double()
    settings = {"start": x, "lr": lr, **rule.hyperparameters()}
    shapes = {name: list(value.shape) for name, value in settings.items() if isinstance(value, Tensor)}
    try:
        shape = torch.broadcast_shapes(*shapes.values())
    except RuntimeError:
        shape = torch.Size()
    if x.dim() == 0 or shape[-1:] != x.shape[-1:]:
        raise ValueError(
            f"the leading axes do not go together: {shapes}. start is [..., n], lr and hyperparameters [..., 1]: "
            "for every start with every rate give start a shape [starts, 1, n] and lr [rates, 1]"
        )
    return x.expand(shape)


def _gradient(surface: Surface | Callable[[Tensor], Tensor], x: Tensor, step: int) -> Tensor:
    if hasattr(surface, "minibatch_grad"):
        return surface.minibatch_grad(x, step)
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        return torch.autograd.grad(surface(x).sum(), x)[0]
