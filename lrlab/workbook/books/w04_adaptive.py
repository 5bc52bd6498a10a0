"""The questions of workbook 04: AdaGrad and its fading rate, RMSProp, the uncorrected start, Adam, where ε is, AdamW.

Each section is one question: how an input is drawn, the reference, three other right ways to write it, the question.
In the drawn inputs ε is large, so that its place shows in the numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lrlab import rules
from lrlab.workbook.given import vector
from lrlab.workbook.questions import Mistake, Property, Question, Random

VERSION = 1


# 1 · A step of AdaGrad ------------------------------------------------------------------------------------------------


def draw_adagrad(random: Random) -> dict[str, Any]:
    return {
        "x": random.tensor(),
        "g": random.tensor(),
        "s": random.tensor(low=0, high=9),
        "lr": random.log_uniform(1e-2, 1),
        "eps": random.log_uniform(1e-2, 1),
    }


def adagrad(x: Tensor, g: Tensor, s: Tensor, lr: float, eps: float) -> tuple[Tensor, Tensor]:
    x, state = rules.AdaGrad(eps).step(x, g, {"sum": s}, lr)
    return x, state["sum"]


def adagrad_in_two_lines(x, g, s, lr, eps):
    s = s + g**2
    return x - lr * g / (torch.sqrt(s) + eps), s


def adagrad_by_torch(x, g, s, lr, eps):
    weight = torch.nn.Parameter(x.clone())
    weight.grad = g.clone()
    optimizer = torch.optim.Adagrad([weight], lr=lr, eps=eps)
    optimizer.state[weight]["sum"] = s.clone()
    optimizer.step()
    return weight.data, optimizer.state[weight]["sum"]


def adagrad_by_rates(x, g, s, lr, eps):
    s = torch.addcmul(s, g, g)
    rates = lr / s.pow(0.5).add(eps)
    return [x.sub(rates.mul(g)), s]


ADAGRAD = Question(
    name="adagrad",
    signature="adagrad(x, g, s, lr, eps) -> x, s",
    draw=draw_adagrad,
    answer=adagrad,
    examples=(
        {"x": vector(1), "g": vector(3), "s": vector(16), "lr": 0.1, "eps": 1.0},
        {"x": vector(1, -2), "g": vector(3, -4), "s": vector(0, 0), "lr": 0.1, "eps": 1.0},
    ),
    mistakes=(
        Mistake(
            "old sum",
            lambda x, g, s, lr, eps: (x - lr * g / (s.sqrt() + eps), s + g * g),
            "You divided by the sum of the step before. Add the new squared gradient first, then take the root.",
        ),
        Mistake(
            "root forgotten",
            lambda x, g, s, lr, eps: (x - lr * g / (s + g * g + eps), s + g * g),
            "You divided by the sum itself. Look at the units: s is a gradient squared, so its root belongs below g.",
        ),
        Mistake(
            "epsilon inside the root",
            lambda x, g, s, lr, eps: (x - lr * g / (s + g * g + eps).sqrt(), s + g * g),
            "You added ε under the root, as keras and optax do. Asked is √s + ε: the root first, then ε.",
        ),
        Mistake(
            "gradient not squared",
            lambda x, g, s, lr, eps: (x - lr * g / ((s + g).sqrt() + eps), s + g),
            "You added g to the sum, not g². Gradients of both signs would cancel; their squares do not.",
        ),
        Mistake(
            "one rate for all weights",
            lambda x, g, s, lr, eps: (x - lr * g / ((s + (g * g).sum()).sqrt() + eps), s + (g * g).sum()),
            "You added up the squares of all weights. Every weight has its own s: g * g, without a sum over it.",
        ),
        Mistake(
            "sum forgotten",
            lambda x, g, s, lr, eps: (x - lr * g / ((s + g * g).sqrt() + eps), s),
            "Your x is right, but with it you return the old s: the next step would not know of this gradient.",
        ),
        Mistake(
            "uphill",
            lambda x, g, s, lr, eps: (x + lr * g / ((s + g * g).sqrt() + eps), s + g * g),
            "You walk uphill. x moves against the gradient, with a minus.",
        ),
    ),
    rights=(adagrad_in_two_lines, adagrad_by_torch, adagrad_by_rates),
    hints=(
        "Two lines: what the sum becomes, and where x goes with it. All of it weight by weight.",
        "The sum gains the square of the gradient. The step is α g, divided by the root of the new sum plus ε.",
        "s becomes s + g * g. Then x minus lr times g over (s.sqrt() + eps). Return x, then s.",
    ),
)


# 2 · The rate that is left --------------------------------------------------------------------------------------------


def draw_stream(random: Random) -> dict[str, Any]:
    return {
        "gradients": random.tensor(random.size + 1, random.integer(1, 3)),
        "lr": random.log_uniform(1e-2, 1),
        "eps": random.log_uniform(1e-2, 1),
    }


def effective_rates(gradients: Tensor, lr: float, eps: float) -> Tensor:
    return lr / (gradients.square().cumsum(0).sqrt() + eps)


def effective_rates_in_a_loop(gradients, lr, eps):
    s, rates = torch.zeros_like(gradients[0]), []
    for g in gradients:
        s = s + g * g
        rates.append(lr / (s.sqrt() + eps))
    return torch.stack(rates)


def effective_rates_from_steps(gradients, lr, eps):
    rule, origin = rules.AdaGrad(eps), torch.zeros_like(gradients[0])
    state, rates = rule.init(origin), []
    for g in gradients:
        step, state = rule.step(origin, g, state, lr)
        rates.append(torch.where(g == 0, lr / (state["sum"].sqrt() + eps), -step / g))
    return torch.stack(rates)


def effective_rates_in_numpy(gradients, lr, eps):
    sums = np.add.accumulate(gradients.numpy() ** 2, axis=0)
    return torch.from_numpy(lr / (np.sqrt(sums) + eps))


EFFECTIVE_RATES = Question(
    name="effective_rates",
    signature="effective_rates(gradients, lr, eps) -> rates",
    draw=draw_stream,
    answer=effective_rates,
    examples=(
        {"gradients": torch.tensor([[4.0], [3.0]], dtype=torch.float64), "lr": 0.6, "eps": 1.0},
        {"gradients": torch.tensor([[1.0, 6.0], [0.0, 8.0]], dtype=torch.float64), "lr": 0.1, "eps": 0.0},
    ),
    mistakes=(
        Mistake(
            "gradients of before only",
            lambda gradients, lr, eps: (
                lr / ((gradients.square().cumsum(0) - gradients.square()).clamp(min=0).sqrt() + eps)
            ),
            "Your sum stops one gradient early. AdaGrad adds the gradient of this step before it divides.",
        ),
        Mistake(
            "the end for every step",
            lambda gradients, lr, eps: (lr / (gradients.square().sum(0).sqrt() + eps)).expand(gradients.shape).clone(),
            "You gave every step the sum over all steps. Step t knows the gradients up to t: a running sum.",
        ),
        Mistake(
            "no memory",
            lambda gradients, lr, eps: lr / (gradients.abs() + eps),
            "You divided by the gradient of the moment. The sum keeps all that came before, too.",
        ),
        Mistake(
            "a mean, not a sum",
            lambda gradients, lr, eps: (
                lr
                / (
                    (gradients.square().cumsum(0) / torch.arange(1, len(gradients) + 1)[:, None].to(gradients)).sqrt()
                    + eps
                )
            ),
            "You took the mean of the squares, which need not grow. AdaGrad takes their sum: so its rate fades.",
        ),
        Mistake(
            "gradients not squared",
            lambda gradients, lr, eps: lr / (gradients.abs().cumsum(0).sqrt() + eps),
            "You added up |g|. It is the squares that are added up before the root is taken.",
        ),
        Mistake(
            "root forgotten",
            lambda gradients, lr, eps: lr / (gradients.square().cumsum(0) + eps),
            "You divided by the sum of the squares. Its root belongs there.",
        ),
        Mistake(
            "added up across the weights",
            lambda gradients, lr, eps: lr / (gradients.square().cumsum(1).sqrt() + eps),
            "You added up along the weights. Time is the first axis, dimension 0: each column is one weight.",
        ),
        Mistake(
            "steps, not rates",
            lambda gradients, lr, eps: lr * gradients / (gradients.square().cumsum(0).sqrt() + eps),
            "You returned the steps, with the gradient in them. The rate is what multiplies the gradient.",
        ),
    ),
    properties=(
        Property(
            "AdaGrad's rate never rises from one step to the next",
            lambda rates, given: bool((rates[1:] <= rates[:-1] * (1 + 1e-6)).all()),
        ),
    ),
    rights=(effective_rates_in_a_loop, effective_rates_from_steps, effective_rates_in_numpy),
    hints=(
        "Take the step of question 1 apart: which factor stands before g?",
        "It is α over (√s + ε), and s at step t is the sum of the squared gradients up to t. torch has a running sum.",
        "gradients.square().cumsum(dim=0) has all the s, a row for each step. Root, plus eps, and divide lr by it.",
    ),
)


# 3 · A step of RMSProp ------------------------------------------------------------------------------------------------


def draw_rmsprop(random: Random) -> dict[str, Any]:
    arguments = draw_adagrad(random)
    eps = arguments.pop("eps")
    return {**arguments, "decay": random.uniform(0.6, 0.99), "eps": eps}


def rmsprop(x: Tensor, g: Tensor, s: Tensor, lr: float, decay: float, eps: float) -> tuple[Tensor, Tensor]:
    x, state = rules.RMSProp(decay, eps).step(x, g, {"s": s}, lr)
    return x, state["s"]


def rmsprop_in_two_lines(x, g, s, lr, decay, eps):
    s = decay * s + (1 - decay) * g**2
    return x - lr * g / (s**0.5 + eps), s


def rmsprop_by_torch(x, g, s, lr, decay, eps):
    weight = torch.nn.Parameter(x.clone())
    weight.grad = g.clone()
    optimizer = torch.optim.RMSprop([weight], lr=lr, alpha=decay, eps=eps)
    optimizer.state[weight] = {"step": torch.tensor(0.0), "square_avg": s.clone()}
    optimizer.step()
    return weight.data, optimizer.state[weight]["square_avg"]


def rmsprop_by_lerp(x, g, s, lr, decay, eps):
    s = torch.lerp(s, g.square(), 1 - decay)
    return torch.addcdiv(x, g, s.sqrt() + eps, value=-lr), s


def _rmsprop(mean: Callable[..., Tensor], below: Callable[[Tensor, float], Tensor] | None = None) -> Callable[..., Any]:
    """RMSProp with another mean, mean(s, g, decay), or another denominator, below(s, eps)."""
    below = below or (lambda s, eps: s.sqrt() + eps)

    def step(x: Tensor, g: Tensor, s: Tensor, lr: float, decay: float, eps: float) -> tuple[Tensor, Tensor]:
        s = mean(s, g, decay)
        return x - lr * g / below(s, eps), s

    return step


RMSPROP = Question(
    name="rmsprop",
    signature="rmsprop(x, g, s, lr, decay, eps) -> x, s",
    draw=draw_rmsprop,
    answer=rmsprop,
    examples=(
        {"x": vector(1), "g": vector(4), "s": vector(0), "lr": 0.1, "decay": 0.75, "eps": 2.0},
        {"x": vector(1, -2), "g": vector(3, -8), "s": vector(23, 64), "lr": 0.1, "decay": 0.5, "eps": 1.0},
    ),
    mistakes=(
        Mistake(
            "shares exchanged",
            _rmsprop(lambda s, g, decay: (1 - decay) * s + decay * g * g),
            "You exchanged the shares: β, the larger one, is what the old mean keeps. The new square gets 1 − β.",
        ),
        Mistake(
            "not a mean",
            _rmsprop(lambda s, g, decay: decay * s + g * g),
            "You forgot and added, but the new square needs its share 1 − β. Else s settles at g² / (1 − β).",
        ),
        Mistake(
            "AdaGrad",
            _rmsprop(lambda s, g, decay: s + g * g),
            "This is AdaGrad: it forgets nothing. The old s keeps the share β only, the new square has 1 − β.",
        ),
        Mistake(
            "gradient not squared",
            _rmsprop(lambda s, g, decay: decay * s + (1 - decay) * g),
            "You took the mean of g, and gradients of both signs cancel in it. It is the mean of g².",
        ),
        Mistake(
            "share squared, too",
            _rmsprop(lambda s, g, decay: decay * s + ((1 - decay) * g) ** 2),
            "You squared the share 1 − β along with the gradient. Square g alone, then weight it.",
        ),
        Mistake(
            "epsilon inside the root",
            _rmsprop(lambda s, g, decay: decay * s + (1 - decay) * g * g, lambda s, eps: (s + eps).sqrt()),
            "You added ε under the root, as keras and optax do. Asked is the form of torch: √s + ε.",
        ),
        Mistake(
            "uphill",
            _rmsprop(lambda s, g, decay: decay * s + (1 - decay) * g * g, lambda s, eps: -(s.sqrt() + eps)),
            "You walk uphill. x moves against the gradient, with a minus.",
        ),
        Mistake(
            "old mean",
            lambda x, g, s, lr, decay, eps: (x - lr * g / (s.sqrt() + eps), decay * s + (1 - decay) * g * g),
            "You divided by the mean of the step before. Bring s up to date first, then move x with it.",
        ),
        Mistake(
            "root forgotten",
            _rmsprop(lambda s, g, decay: decay * s + (1 - decay) * g * g, lambda s, eps: s + eps),
            "You divided by the mean of the squares. RMS means root mean square: the root is missing.",
        ),
    ),
    rights=(rmsprop_in_two_lines, rmsprop_by_torch, rmsprop_by_lerp),
    hints=(
        "Only the first line of question 1 changes: the sum becomes a mean that forgets.",
        "A running mean keeps the share β of what it was and takes the share 1 − β of what is new, here of g².",
        "s becomes decay * s plus (1 − decay) times g * g. The second line is that of AdaGrad.",
    ),
)


# 4 · Too long, and by how much? ---------------------------------------------------------------------------------------


def draw_start(random: Random) -> dict[str, Any]:
    return {
        "t": random.choice((1, 2, 5, 12, 40, 200)),
        "beta1": random.choice((0.5, 0.8, 0.9, 0.95)),
        "beta2": random.choice((0.96, 0.99, 0.995, 0.999)),
    }


def too_long(t: int, beta1: float, beta2: float) -> float:
    return (1 - beta1**t) / math.sqrt(1 - beta2**t)


def too_long_by_walking(t, beta1, beta2):
    rule, x = rules.Adam(beta1, beta2, eps=0.0, bias_correction=False), vector(0)
    state = rule.init(x)
    for _ in range(t):
        before = x
        x, state = rule.step(x, vector(3), state, lr=1.0)
    return float(before - x)


def too_long_by_means(t, beta1, beta2):
    m = v = 0.0
    for _ in range(t):
        m += (1 - beta1) * (1.0 - m)
        v += (1 - beta2) * (1.0 - v)
    return m / v**0.5


def too_long_by_weights(t, beta1, beta2):
    ages = np.arange(t)
    return np.sum((1 - beta1) * beta1**ages) / np.sqrt(np.sum((1 - beta2) * beta2**ages))


TOO_LONG = Question(
    name="too_long",
    signature="too_long(t, beta1, beta2) -> factor",
    draw=draw_start,
    answer=too_long,
    examples=(
        {"t": 1, "beta1": 0.5, "beta2": 0.99},
        {"t": 2, "beta1": 0.5, "beta2": 0.6},
    ),
    mistakes=(
        Mistake(
            "the first step only",
            lambda t, beta1, beta2: (1 - beta1) / math.sqrt(1 - beta2),
            "This is the first step, whatever t is. After t steps the weights in m add up to 1 − β₁ᵗ, those in v too.",
        ),
        Mistake(
            "times t for to the power t",
            lambda t, beta1, beta2: (1 - beta1 * t) / (1 - beta2 * t) ** 0.5,
            "You multiplied β by t. At each step the zero is multiplied by β once more: a power, beta1**t.",
        ),
        Mistake(
            "root forgotten",
            lambda t, beta1, beta2: (1 - beta1**t) / (1 - beta2**t),
            "You divided by v. It stands under a root in the step, and what it lacks does so as well.",
        ),
        Mistake(
            "upside down",
            lambda t, beta1, beta2: math.sqrt(1 - beta2**t) / (1 - beta1**t),
            "Your fraction is upside down: that is what the correction multiplies by. Asked is the step without it.",
        ),
        Mistake(
            "betas exchanged",
            lambda t, beta1, beta2: (1 - beta2**t) / math.sqrt(1 - beta1**t),
            "You exchanged the two β: β₁ belongs to m, above, and β₂ to v, under the root.",
        ),
        Mistake(
            "what the start still weighs",
            lambda t, beta1, beta2: beta1**t / math.sqrt(beta2**t),
            "βᵗ is the share of the zero that the mean started from. The gradients have the rest, 1 − βᵗ.",
        ),
        Mistake(
            "one step ahead",
            lambda t, beta1, beta2: too_long(t + 1, beta1, beta2),
            "This is the step after. At step t, counted from 1, the means have seen t gradients.",
        ),
        Mistake(
            "only m",
            lambda t, beta1, beta2: 1 - beta1**t,
            "You looked at m alone, and find the step too short. v starts at zero, too, and it stands below.",
        ),
        Mistake(
            "root over both",
            lambda t, beta1, beta2: math.sqrt((1 - beta1**t) / (1 - beta2**t)),
            "Your root reaches too far: only v stands under it, m does not.",
        ),
    ),
    rights=(too_long_by_walking, too_long_by_means, too_long_by_weights),
    hints=(
        "Let the gradient be 1 all the time. What is m after one step, after two? What is v?",
        "m is 1 − β₁ᵗ: all is filled but the share βᵗ that is still at zero. v likewise. The step is α m / √v.",
        "So divide 1 − β₁ᵗ by a root. Under the root is the same with β₂.",
    ),
)


# 5 · Adam -------------------------------------------------------------------------------------------------------------


def draw_adam(random: Random) -> dict[str, Any]:
    t, x, g = random.choice((1, 2, 3, 10, 100)), random.tensor(), random.tensor()
    seen = 0.0 if t == 1 else 1.0  # before the first step the memory is empty
    return {
        "x": x,
        "g": g,
        "m": random.tensor() * seen,
        "v": random.tensor(low=0, high=9) * seen,
        "t": t,
        "lr": random.log_uniform(1e-2, 1),
        "beta1": random.uniform(0.5, 0.95),
        "beta2": random.uniform(0.96, 0.999),
        "eps": random.log_uniform(1e-2, 1),
    }


AdamStep = tuple[Tensor, Tensor, Tensor]


def _steps_before(t: int) -> Tensor:
    return torch.tensor([t - 1], dtype=torch.float64)


def adam(
    x: Tensor, g: Tensor, m: Tensor, v: Tensor, t: int, lr: float, beta1: float, beta2: float, eps: float
) -> AdamStep:
    x, state = rules.Adam(beta1, beta2, eps).step(x, g, {"m": m, "v": v, "t": _steps_before(t)}, lr)
    return x, state["m"], state["v"]


def adam_in_five_lines(x, g, m, v, t, lr, beta1, beta2, eps):
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return x - lr * m_hat / (v_hat.sqrt() + eps), m, v


def _by_torch(optimizer, weight, x, g, m, v, t):
    weight.data, weight.grad = x.clone(), g.clone()
    step = torch.tensor(float(t - 1), dtype=torch.float64)
    optimizer.state[weight] = {"step": step, "exp_avg": m.clone(), "exp_avg_sq": v.clone()}
    optimizer.step()
    return weight.data, optimizer.state[weight]["exp_avg"], optimizer.state[weight]["exp_avg_sq"]


def adam_by_torch(x, g, m, v, t, lr, beta1, beta2, eps):
    weight = torch.nn.Parameter(x.clone())
    return _by_torch(torch.optim.Adam([weight], lr, (beta1, beta2), eps), weight, x, g, m, v, t)


def adam_with_corrected_rate(x, g, m, v, t, lr, beta1, beta2, eps):
    m, v = m.lerp(g, 1 - beta1), v.mul(beta2).addcmul(g, g, value=1 - beta2)
    missing = (1 - beta2**t) ** 0.5
    rate = lr * missing / (1 - beta1**t)
    return x.addcdiv(m, v.sqrt() + missing * eps, value=-rate), m, v


def _adam(
    correct: Callable[[Tensor, Tensor, float, float], tuple[Tensor, Tensor]] = lambda m, v, full1, full2: (
        m / full1,
        v / full2,
    ),
    below: Callable[[Tensor, float], Tensor] = lambda v, eps: v.sqrt() + eps,
    later: int = 0,
) -> Callable[..., AdamStep]:
    """Adam with another correction, correct(m, v, 1 − β₁ᵗ, 1 − β₂ᵗ), another denominator, or a t that is `later`."""

    def step(x: Tensor, g: Tensor, m: Tensor, v: Tensor, t: int, lr: float, beta1: float, beta2: float, eps: float):
        m, v, t = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g, t + later
        m_hat, v_hat = correct(m, v, 1 - beta1**t, 1 - beta2**t)
        return x - lr * m_hat / below(v_hat, eps), m, v

    return step


def _adam_with(new_v: Callable[[Tensor, Tensor, Tensor, float], Tensor]) -> Callable[..., AdamStep]:
    """Adam with another running mean below: new_v(v, g, new m, β₂)."""

    def step(x: Tensor, g: Tensor, m: Tensor, v: Tensor, t: int, lr: float, beta1: float, beta2: float, eps: float):
        m = beta1 * m + (1 - beta1) * g
        v = new_v(v, g, m, beta2)
        return x - lr * (m / (1 - beta1**t)) / ((v / (1 - beta2**t)).sqrt() + eps), m, v

    return step


def _times_t(x, g, m, v, t, lr, beta1, beta2, eps):
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
    return x - lr * (m / (1 - beta1 * t)) / ((v / (1 - beta2 * t)).sqrt() + eps), m, v


def _keeps_corrected(x, g, m, v, t, lr, beta1, beta2, eps):
    x, m, v = adam(x, g, m, v, t, lr, beta1, beta2, eps)
    return x, m / (1 - beta1**t), v / (1 - beta2**t)


def _eps_before_the_correction(x, g, m, v, t, lr, beta1, beta2, eps):
    return adam(x, g, m, v, t, lr, beta1, beta2, eps / math.sqrt(1 - beta2**t))


ADAM = Question(
    name="adam",
    signature="adam(x, g, m, v, t, lr, beta1, beta2, eps) -> x, m, v",
    draw=draw_adam,
    answer=adam,
    examples=(
        {
            **{"x": vector(1), "g": vector(4), "m": vector(0), "v": vector(0), "t": 1},
            **{"lr": 0.1, "beta1": 0.5, "beta2": 0.75, "eps": 1.0},
        },
        {
            **{"x": vector(1, 1), "g": vector(2, -2), "m": vector(1, 1), "v": vector(1.6, 1.6), "t": 2},
            **{"lr": 0.1, "beta1": 0.5, "beta2": 0.6, "eps": 0.5},
        },
    ),
    mistakes=(
        Mistake(
            "no bias correction",
            _adam(lambda m, v, full1, full2: (m, v)),
            "You left out the bias correction: m and v start at zero. Divide m by 1 − β₁ᵗ and v by 1 − β₂ᵗ.",
        ),
        Mistake(
            "only m corrected",
            _adam(lambda m, v, full1, full2: (m / full1, v)),
            "You corrected m and not v. v lacks even more, for its memory fills more slowly: divide it by 1 − β₂ᵗ.",
        ),
        Mistake(
            "corrected means kept",
            _keeps_corrected,
            "Your x is right, but you returned the corrected means. The memory is m and v themselves; else the next "
            "step corrects them again.",
        ),
        Mistake(
            "epsilon inside the root",
            _adam(below=lambda v, eps: (v + eps).sqrt()),
            "You added ε under the root, where it is compared with g². In Adam it stands outside: √v̂ + ε.",
        ),
        Mistake(
            "epsilon before the correction",
            _eps_before_the_correction,
            "You added ε to √v, before the correction, as keras does. Asked is torch's form: correct v first, then add "
            "ε to its root.",
        ),
        Mistake(
            "gradient not squared",
            _adam_with(lambda v, g, m, beta2: beta2 * v + (1 - beta2) * g),
            "Your v is a mean of g. It has to be one of g²: with g its root may not even exist.",
        ),
        Mistake(
            "square of the mean",
            _adam_with(lambda v, g, m, beta2: beta2 * v + (1 - beta2) * m * m),
            "You squared m. v is the mean of the squares, not the square of a mean: it takes g², not m².",
        ),
        Mistake(
            "betas exchanged",
            lambda x, g, m, v, t, lr, beta1, beta2, eps: adam(x, g, m, v, t, lr, beta2, beta1, eps),
            "You exchanged the two β: β₁ is the memory of m, the mean of g, and β₂ that of v.",
        ),
        Mistake(
            "times t for to the power t",
            _times_t,
            "You multiplied β by t in the correction. It is a power, βᵗ, in Python beta1**t: at each step the zero "
            "that m began with is multiplied by β once more.",
        ),
        Mistake(
            "uphill",
            _adam(below=lambda v, eps: -(v.sqrt() + eps)),
            "You walk uphill. x moves against m̂, with a minus.",
        ),
        Mistake(
            "one step ahead",
            _adam(later=1),
            "You corrected with t + 1. Here t is the number of this step, counted from 1: take it as it is.",
        ),
        Mistake(
            "root forgotten",
            _adam(below=lambda v, eps: v + eps),
            "You divided by v̂. Look at the units: v is a gradient squared, so its root belongs below m̂.",
        ),
    ),
    rights=(adam_in_five_lines, adam_by_torch, adam_with_corrected_rate),
    hints=(
        "Five lines: the mean of g, the mean of g², the two corrections, the step.",
        "m keeps β₁ of itself and gains 1 − β₁ of g; v the same with β₂ and g². The corrected means are new variables: "
        "what you return is m and v.",
        "m_hat is m over (1 − beta1**t), v_hat the same with v and beta2. x moves by −lr times m_hat over "
        "(v_hat.sqrt() + eps).",
    ),
)


# 6 · Where ε begins to bite -------------------------------------------------------------------------------------------

PLACES = ("after", "before", "inside")
EXCHANGED = {"after": "before", "before": "after", "inside": "inside"}


def draw_place(random: Random) -> dict[str, Any]:
    return {
        "eps": random.log_uniform(1e-5, 1e-2),
        "beta2": random.choice((0.5, 0.9, 0.99, 0.999)),
        "place": random.choice(PLACES),
    }


def half_step(eps: float, beta2: float, place: str) -> float:
    sizes = {"after": eps, "before": eps / math.sqrt(1 - beta2), "inside": math.sqrt(eps / 3)}
    return sizes[place]


def half_step_by_cases(eps, beta2, place):
    if place == "after":
        return eps
    if place == "before":
        return eps * (1 - beta2) ** -0.5
    return (eps / 3) ** 0.5


def _share(g: float, eps: float, beta2: float, place: str) -> float:
    """The first step over α, for a gradient g."""
    v_hat = g * g
    v = (1 - beta2) * v_hat
    below = {
        "after": math.sqrt(v_hat) + eps,
        "before": (math.sqrt(v) + eps) / math.sqrt(1 - beta2),
        "inside": math.sqrt(v_hat + eps),
    }
    return g / below[place]


def half_step_by_halving(eps, beta2, place):
    low, high = 1e-9, 10.0
    for _ in range(100):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if _share(middle, eps, beta2, place) < 0.5 else (low, middle)
    return high


def half_step_in_numpy(eps, beta2, place):
    return np.array([eps, eps / np.sqrt(1 - beta2), np.sqrt(eps / 3)])[PLACES.index(place)]


def _half_step(**other: Callable[[float, float], float]) -> Callable[..., float]:
    """`half_step` with another formula, formula(eps, beta2), for one of the places."""

    def size(eps: float, beta2: float, place: str) -> float:
        return other[place](eps, beta2) if place in other else half_step(eps, beta2, place)

    return size


HALF_STEP = Question(
    name="half_step",
    signature="half_step(eps, beta2, place) -> size",
    draw=draw_place,
    draws=30,
    answer=half_step,
    examples=(
        {"eps": 0.03, "beta2": 0.99, "place": "after"},
        {"eps": 0.03, "beta2": 0.99, "place": "before"},
        {"eps": 0.03, "beta2": 0.99, "place": "inside"},
    ),
    mistakes=(
        Mistake(
            "the same for all places",
            lambda eps, beta2, place: eps,
            "You returned ε for all three places. It is right for the first only: write down the first step for each, "
            "and set it to α/2.",
        ),
        Mistake(
            "where the squares are equal",
            _half_step(inside=lambda eps, beta2: math.sqrt(eps)),
            "Inside, you looked where g² equals ε. There the step is still α/√2. For half of α, √(g² + ε) must be 2g.",
        ),
        Mistake(
            "root forgotten inside",
            _half_step(inside=lambda eps, beta2: eps / 3),
            "Inside, g² = ε/3 is right, but that is the square of the gradient. Take the root.",
        ),
        Mistake(
            "correction without its root",
            _half_step(before=lambda eps, beta2: eps / (1 - beta2)),
            "Before the correction √v is too small by √(1 − β₂). You took 1 − β₂, which is how much v itself lacks.",
        ),
        Mistake(
            "correction the wrong way round",
            _half_step(before=lambda eps, beta2: eps * math.sqrt(1 - beta2)),
            "Before the correction √v is the smaller number, so ε outweighs it sooner: the size goes up, not down.",
        ),
        Mistake(
            "after and before exchanged",
            lambda eps, beta2, place: half_step(eps, beta2, EXCHANGED[place]),
            "You exchanged two places. Added after the correction, ε meets √v̂ = |g| itself; before it, the small √v.",
        ),
    ),
    properties=(
        Property(
            "outside the root the size is at least ε",
            lambda value, given: given["place"] == "inside" or value >= given["eps"] * (1 - 1e-6),
        ),
    ),
    rights=(half_step_by_cases, half_step_by_halving, half_step_in_numpy),
    hints=(
        "At the first step m̂ = g and v̂ = g². Write down the step for each place.",
        "After: α g / (g + ε). Inside: α g / √(g² + ε). Before: √v is only √(1 − β₂) times g, so ε counts 1/√(1 − β₂) "
        "times as much as after.",
        "Half of α is where the denominator is 2g. After: g + ε = 2g. Inside: g² + ε = 4g². Solve for g.",
    ),
)


# 7 · AdamW ------------------------------------------------------------------------------------------------------------

BETA1, BETA2, EPS = 0.9, 0.999, 1e-8


def draw_adamw(random: Random) -> dict[str, Any]:
    arguments = {name: value for name, value in draw_adam(random).items() if name in ("x", "g", "m", "v", "t")}
    return {**arguments, "lr": random.log_uniform(0.05, 0.9), "weight_decay": random.uniform(0.1, 0.9)}


def adamw(x: Tensor, g: Tensor, m: Tensor, v: Tensor, t: int, lr: float, weight_decay: float) -> AdamStep:
    rule = rules.AdamW(BETA1, BETA2, EPS, weight_decay=weight_decay)
    x, state = rule.step(x, g, {"m": m, "v": v, "t": _steps_before(t)}, lr)
    return x, state["m"], state["v"]


def adamw_through_adam(x, g, m, v, t, lr, weight_decay, eps=EPS):
    return adam_in_five_lines(x - lr * weight_decay * x, g, m, v, t, lr, BETA1, BETA2, eps)


def adamw_by_torch(x, g, m, v, t, lr, weight_decay):
    weight = torch.nn.Parameter(x.clone())
    optimizer = torch.optim.AdamW([weight], lr, (BETA1, BETA2), EPS, weight_decay=weight_decay)
    return _by_torch(optimizer, weight, x, g, m, v, t)


def adamw_decay_last(x, g, m, v, t, lr, weight_decay):
    new_x, m, v = adam_with_corrected_rate(x, g, m, v, t, lr, BETA1, BETA2, EPS)
    return new_x - (lr * weight_decay) * x, m, v


def _adamw(x: Tensor, g: Tensor, m: Tensor, v: Tensor, t: int, lr: float) -> AdamStep:
    """Adam with AdamW's constants, for the mistakes to spoil."""
    return adam(x, g, m, v, t, lr, BETA1, BETA2, EPS)


def _moved(step: AdamStep, by: Tensor) -> AdamStep:
    return step[0] + by, step[1], step[2]


def _decay_in_the_fraction(x, g, m, v, t, lr, weight_decay):
    m, v = BETA1 * m + (1 - BETA1) * g, BETA2 * v + (1 - BETA2) * g * g
    above = m / (1 - BETA1**t) + weight_decay * x
    return x - lr * above / ((v / (1 - BETA2**t)).sqrt() + EPS), m, v


def _decay_after_the_step(x, g, m, v, t, lr, weight_decay):
    new_x, m, v = _adamw(x, g, m, v, t, lr)
    return (1 - lr * weight_decay) * new_x, m, v


def _of_adam(mistake: Mistake) -> Mistake:
    """A right AdamW that calls a wrong Adam."""

    def step(x: Tensor, g: Tensor, m: Tensor, v: Tensor, t: int, lr: float, weight_decay: float) -> AdamStep:
        return mistake.answer((1 - lr * weight_decay) * x, g, m, v, t, lr, BETA1, BETA2, EPS)

    message = f"The decay is right, and the step of Adam beside it is not. Mend question 5 first. {mistake.message}"
    return Mistake(f"{mistake.name}, in Adam", step, message)


ADAMW = Question(
    name="adamw",
    signature="adamw(x, g, m, v, t, lr, weight_decay) -> x, m, v",
    draw=draw_adamw,
    answer=adamw,
    examples=(
        {
            **{"x": vector(2), "g": vector(1), "m": vector(0), "v": vector(0), "t": 1},
            **{"lr": 0.1, "weight_decay": 0.5},
        },
        {
            **{"x": vector(4, -2), "g": vector(100, 0.01), "m": vector(0, 0), "v": vector(0, 0), "t": 1},
            **{"lr": 0.2, "weight_decay": 0.5},
        },
        {  # as small as ε: the step is half of α
            **{"x": vector(2), "g": vector(1e-8), "m": vector(0), "v": vector(0), "t": 1},
            **{"lr": 0.1, "weight_decay": 0.5},
        },
    ),
    mistakes=(
        Mistake(
            "L2 in the gradient",
            lambda x, g, m, v, t, lr, weight_decay: _adamw(x, g + weight_decay * x, m, v, t, lr),
            "You added λx to the gradient, which is L2, and Adam divides it by √v̂. Decoupled decay leaves g alone and "
            "shrinks x beside it.",
        ),
        Mistake(
            "decay in the fraction",
            _decay_in_the_fraction,
            "You kept the decay out of m and v, but it is still divided by √v̂. It stands beside the fraction, as αλx.",
        ),
        Mistake(
            "decay without the rate",
            lambda x, g, m, v, t, lr, weight_decay: _adamw((1 - weight_decay) * x, g, m, v, t, lr),
            "You shrank x by λ. The decay of a step is αλ here, as in torch: halve the rate, and the decay is halved.",
        ),
        Mistake(
            "decay of the new weight",
            _decay_after_the_step,
            "You shrank x after the step, and so the step as well. It is the old x that is shrunk by 1 − αλ.",
        ),
        Mistake(
            "weights grown",
            lambda x, g, m, v, t, lr, weight_decay: _adamw((1 + lr * weight_decay) * x, g, m, v, t, lr),
            "Your weights grow. Decay takes αλx away: the factor is 1 − αλ.",
        ),
        Mistake(
            "decay forgotten",
            lambda x, g, m, v, t, lr, weight_decay: _adamw(x, g, m, v, t, lr),
            "This is Adam: the decay has no effect. Shrink x by the factor 1 − αλ before the step.",
        ),
        Mistake(
            "decay by the sign",
            lambda x, g, m, v, t, lr, weight_decay: _moved(_adamw(x, g, m, v, t, lr), -lr * weight_decay * x.sign()),
            "You took the same away from every weight, large or small, which is what L1 does. Decay is in proportion "
            "to x.",
        ),
        Mistake(
            "another epsilon",
            lambda x, g, m, v, t, lr, weight_decay: adamw_through_adam(x, g, m, v, t, lr, weight_decay, eps=0.0),
            "Your ε is 0, or very small. Here it is 1e-8, and a gradient as small as that makes half a step.",
        ),
        *map(_of_adam, ADAM.mistakes),
    ),
    rights=(adamw_through_adam, adamw_by_torch, adamw_decay_last),
    hints=(
        "The gradient is the one you are given, and so are m and v. Only x has to shrink, by the way.",
        "First x becomes (1 − αλ) x. Then comes a step of Adam from there: you have that function.",
        "return adam(...), with (1 − lr * weight_decay) times x in place of x, and 0.9, 0.999, 1e-8 at the end.",
    ),
)


QUESTIONS = (ADAGRAD, EFFECTIVE_RATES, RMSPROP, TOO_LONG, ADAM, HALF_STEP, ADAMW)
