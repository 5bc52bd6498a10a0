"""The questions of workbook 03: momentum in both forms, where they part, Nesterov, and what momentum is worth."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lrlab import rules
from lrlab.workbook.questions import Mistake, Question, Random

VERSION = 1


# One step of momentum -------------------------------------------------------------------------------------------------


def draw_step(random: Random) -> dict[str, Any]:
    return {
        "x": random.tensor(),
        "g": random.tensor(),
        "v": random.tensor(),
        "lr": random.log_uniform(1e-3, 1),
        "rho": random.uniform(0.1, 0.99),
    }


FIRST_STEP = {
    "x": torch.tensor([1.0, -2.0], dtype=torch.float64),
    "g": torch.tensor([10.0, 20.0], dtype=torch.float64),
    "v": torch.tensor([0.0, 0.0], dtype=torch.float64),
    "lr": 0.1,
    "rho": 0.5,
}
ROLLING = {**FIRST_STEP, "v": torch.tensor([4.0, -8.0], dtype=torch.float64)}


def momentum(x: Tensor, g: Tensor, v: Tensor, lr: float, rho: float) -> tuple[Tensor, Tensor]:
    x, state = rules.Momentum(rho).step(x, g, {"v": v}, lr)
    return x, state["v"]


def momentum_in_two_lines(x, g, v, lr, rho):
    v = rho * v + g
    return x - lr * v, v


def momentum_by_torch(x, g, v, lr, rho):
    weight = torch.nn.Parameter(x.clone())
    weight.grad = g.clone()
    optimizer = torch.optim.SGD([weight], lr=lr, momentum=rho)
    optimizer.state[weight]["momentum_buffer"] = v.clone()
    optimizer.step()
    return weight.data, optimizer.state[weight]["momentum_buffer"]


def momentum_written_out(x, g, v, lr, rho):
    return [x.sub(lr * g + lr * rho * v), v.mul(rho).add(g)]


MOMENTUM = Question(
    name="momentum",
    signature="momentum(x, g, v, lr, rho) -> x, v",
    draw=draw_step,
    answer=momentum,
    examples=(FIRST_STEP, ROLLING),
    mistakes=(
        Mistake(
            "old velocity",
            lambda x, g, v, lr, rho: (x - lr * v, rho * v + g),
            "You moved x with the velocity of the step before. Compute the new v first, then move x with it.",
        ),
        Mistake(
            "wrong direction",
            lambda x, g, v, lr, rho: (x + lr * (rho * v + g), rho * v + g),
            "You walk uphill. The gradient, and v with it, points up: x moves against it, with a minus.",
        ),
        Mistake(
            "a mean of gradients",
            lambda x, g, v, lr, rho: (x - lr * (rho * v + (1 - rho) * g), rho * v + (1 - rho) * g),
            "You weighted g with 1 − ρ, as Adam does: v is then a mean. Momentum adds the whole gradient to v.",
        ),
        Mistake(
            "friction the wrong way round",
            lambda x, g, v, lr, rho: (x - lr * ((1 - rho) * v + g), (1 - rho) * v + g),
            "You kept the share 1 − ρ of the velocity. ρ itself is the share that survives a step.",
        ),
        Mistake(
            "rate inside the velocity",
            lambda x, g, v, lr, rho: (x + (rho * v - lr * g), rho * v - lr * g),
            "This is the form of keras, with α inside the velocity. Asked is the form of torch: α stays outside of v.",
        ),
        Mistake(
            "velocity not returned",
            lambda x, g, v, lr, rho: (x - lr * (rho * v + g), v),
            "x is right, but you returned the old v with it: the next step would have forgotten this one.",
        ),
        Mistake(
            "no momentum",
            lambda x, g, v, lr, rho: (x - lr * g, rho * v + g),
            "You moved x along g, which is gradient descent. The step is along the new v.",
        ),
    ),
    rights=(momentum_in_two_lines, momentum_by_torch, momentum_written_out),
    hints=(
        "Two lines, in this order: first what the ball's velocity becomes, then where it carries the ball.",
        "The new velocity is what is left of the old one, ρ v, plus the gradient. The learning rate is not in it.",
        "Call the new velocity v. Then the ball moves to x − α v; return both, x first.",
    ),
)


# The velocity form ----------------------------------------------------------------------------------------------------


def draw_velocity_step(random: Random) -> dict[str, Any]:
    arguments = draw_step(random)
    return {{"v": "u"}.get(name, name): value for name, value in arguments.items()}


FIRST_VELOCITY_STEP = {{"v": "u"}.get(name, name): value for name, value in FIRST_STEP.items()}
ROLLING_VELOCITY = {{"v": "u"}.get(name, name): value for name, value in ROLLING.items()}


def velocity_momentum(x: Tensor, g: Tensor, u: Tensor, lr: float, rho: float) -> tuple[Tensor, Tensor]:
    x, state = rules.VelocityMomentum(rho).step(x, g, {"velocity": u}, lr)
    return x, state["velocity"]


def velocity_momentum_in_two_lines(x, g, u, lr, rho):
    u = rho * u - lr * g
    return x + u, u


def velocity_momentum_through_v(x, g, u, lr, rho):
    v = rho * (-u / lr) + g
    return x - lr * v, -lr * v


def velocity_momentum_by_difference(x, g, u, lr, rho):
    new_x = x + rho * u - lr * g
    return new_x, new_x - x


VELOCITY = Question(
    name="velocity_momentum",
    signature="velocity_momentum(x, g, u, lr, rho) -> x, u",
    draw=draw_velocity_step,
    answer=velocity_momentum,
    examples=(FIRST_VELOCITY_STEP, ROLLING_VELOCITY),
    mistakes=(
        Mistake(
            "rate twice",
            lambda x, g, u, lr, rho: (x + lr * (rho * u - lr * g), rho * u - lr * g),
            "The learning rate is in u already. u is the step itself: add it to x as it is.",
        ),
        Mistake(
            "old step",
            lambda x, g, u, lr, rho: (x + u, rho * u - lr * g),
            "You moved x with the step before. Compute the new u first, then add it.",
        ),
        Mistake(
            "rate outside",
            lambda x, g, u, lr, rho: (x - lr * (rho * u + g), rho * u + g),
            "This is the form of torch, as in question 1. Here α multiplies the gradient alone, inside the velocity.",
        ),
        Mistake(
            "uphill",
            lambda x, g, u, lr, rho: (x + rho * u + lr * g, rho * u + lr * g),
            "The sign of the gradient: u points downhill here, so the gradient enters it with a minus.",
        ),
        Mistake(
            "subtracted",
            lambda x, g, u, lr, rho: (x - (rho * u - lr * g), rho * u - lr * g),
            "You subtracted u from x. The minus is inside u already: x + u.",
        ),
        Mistake(
            "rate on everything",
            lambda x, g, u, lr, rho: (x + lr * (rho * u - g), lr * (rho * u - g)),
            "You multiplied the old u by α as well. What is left of it is ρ u; only the gradient gets α.",
        ),
    ),
    rights=(velocity_momentum_in_two_lines, velocity_momentum_through_v, velocity_momentum_by_difference),
    hints=(
        "Here the velocity u is the step itself, in units of x. What must the last line be, then?",
        "x becomes x + u. And u is what is left of the old step, plus a step of gradient descent.",
        "A step of gradient descent is −α g, and what is left of the old step is ρ u.",
    ),
)


QUESTIONS = (MOMENTUM, VELOCITY)
