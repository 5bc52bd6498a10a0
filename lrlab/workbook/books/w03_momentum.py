"""The questions of workbook 03: momentum in both forms, where they part, Nesterov, and what momentum is worth.

Each section is one question: how an input is drawn, the reference, three other right ways to write it, the question.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import torch
from torch import Tensor

from lrlab import rules
from lrlab.workbook.given import BowlGradient, vector
from lrlab.workbook.questions import Mistake, Property, Question, Random

VERSION = 1


# 1 · One step of momentum ---------------------------------------------------------------------------------------------


def draw_step(random: Random) -> dict[str, Any]:
    return {
        "x": random.tensor(),
        "g": random.tensor(),
        "v": random.tensor(),
        "lr": random.log_uniform(1e-3, 1),
        "rho": random.uniform(0.1, 0.99),
    }


FROM_REST = {"x": vector(1, -2), "g": vector(10, 20), "v": vector(0, 0), "lr": 0.1, "rho": 0.5}
AGAINST = {"x": vector(1), "g": vector(10), "v": vector(-8), "lr": 0.1, "rho": 0.25}
ROLLING = {"x": vector(1, -2), "g": vector(10, 20), "v": vector(4, -8), "lr": 0.1, "rho": 0.5}


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


def momentum_by_methods(x, g, v, lr, rho):
    return [x.sub(lr * g + lr * rho * v), v.mul(rho).add(g)]


MOMENTUM = Question(
    name="momentum",
    signature="momentum(x, g, v, lr, rho) -> x, v",
    draw=draw_step,
    answer=momentum,
    examples=(AGAINST, FROM_REST, ROLLING),
    mistakes=(
        Mistake(
            "old velocity",
            lambda x, g, v, lr, rho: (x - lr * v, rho * v + g),
            "You moved x with the velocity of the step before. Compute the new v first, then move x with it.",
        ),
        Mistake(
            "uphill",
            lambda x, g, v, lr, rho: (x + lr * (rho * v + g), rho * v + g),
            "You walk uphill. The gradient points up, and v with it: x moves against it, with a minus.",
        ),
        Mistake(
            "velocity turned round",
            lambda x, g, v, lr, rho: (x + lr * (rho * v - g), rho * v - g),
            "Your velocity points downhill: it loses the gradient, and x gains it. In torch's form v gains the "
            "gradient, and the only minus stands before α.",
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
            "This is the form of keras, with α inside the velocity. Asked is that of torch: α stays outside of v.",
        ),
        Mistake(
            "velocity forgotten",
            lambda x, g, v, lr, rho: (x - lr * (rho * v + g), v),
            "Your x is right, but with it you return the old v: the next step would not know of this one.",
        ),
        Mistake(
            "gradient descent",
            lambda x, g, v, lr, rho: (x - lr * g, rho * v + g),
            "You moved x along g alone, which is gradient descent. The step goes along the new v.",
        ),
    ),
    rights=(momentum_in_two_lines, momentum_by_torch, momentum_by_methods),
    hints=(
        "Two lines, in this order: what the velocity becomes, and where it carries the ball.",
        "The new velocity is what is left of the old one plus the gradient. The learning rate has no place in it.",
        "What is left of v is ρ v. Call the new velocity v as well; then the ball moves by −α v. Return x, then v.",
    ),
)


# 2 · The other form ---------------------------------------------------------------------------------------------------


def with_u(arguments: dict[str, Any]) -> dict[str, Any]:
    """The same input for a form that calls its velocity u."""
    return {"u" if name == "v" else name: value for name, value in arguments.items()}


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


VELOCITY_MOMENTUM = Question(
    name="velocity_momentum",
    signature="velocity_momentum(x, g, u, lr, rho) -> x, u",
    draw=lambda random: with_u(draw_step(random)),
    answer=velocity_momentum,
    examples=(with_u(AGAINST), with_u(FROM_REST), with_u(ROLLING)),
    mistakes=(
        Mistake(
            "rate twice",
            lambda x, g, u, lr, rho: (x + lr * (rho * u - lr * g), rho * u - lr * g),
            "The learning rate is in u already. u is the step itself: add it to x as it is.",
        ),
        Mistake(
            "old step",
            lambda x, g, u, lr, rho: (x + u, rho * u - lr * g),
            "You moved x by the step before. Compute the new u first, then add it.",
        ),
        Mistake(
            "rate outside the velocity",
            lambda x, g, u, lr, rho: (x - lr * (rho * u + g), rho * u + g),
            "This is the form of question 1. Here α multiplies the gradient alone, inside the velocity.",
        ),
        Mistake(
            "uphill",
            lambda x, g, u, lr, rho: (x + rho * u + lr * g, rho * u + lr * g),
            "You walk uphill. u is a step down, so the gradient enters it with a minus.",
        ),
        Mistake(
            "minus twice",
            lambda x, g, u, lr, rho: (x - (rho * u - lr * g), rho * u - lr * g),
            "You subtracted u from x. The minus is inside u already: u is added.",
        ),
        Mistake(
            "rate on the old step",
            lambda x, g, u, lr, rho: (x + lr * (rho * u - g), lr * (rho * u - g)),
            "You multiplied the old u by α as well. It contains its α already; only the new gradient needs one.",
        ),
    ),
    rights=(velocity_momentum_in_two_lines, velocity_momentum_through_v, velocity_momentum_by_difference),
    hints=(
        "Here u is the step itself, in units of x. So what must the last line be?",
        "x gains u. And the new u is what is left of the old step plus one step of gradient descent.",
        "What is left of the old step is ρ u; a step of gradient descent is −α g. Return x, then u.",
    ),
)


# 3 · A fair exchange --------------------------------------------------------------------------------------------------


def draw_frictions(random: Random) -> dict[str, Any]:
    return {
        "lr": random.log_uniform(1e-4, 1),
        "rho": random.uniform(0.05, 0.99),
        "new_rho": random.uniform(0.05, 0.99),
    }


def equal_rate(lr: float, rho: float, new_rho: float) -> float:
    return lr * (1 - new_rho) / (1 - rho)


def equal_rate_in_two_steps(lr, rho, new_rho):
    effective = lr / (1 - rho)
    return effective * (1 - new_rho)


def equal_rate_by_sums(lr, rho, new_rho):
    old_sum, new_sum = (sum(friction**age for age in range(5000)) for friction in (rho, new_rho))
    return lr * old_sum / new_sum


def equal_rate_in_numpy(lr, rho, new_rho):
    import numpy as np

    return np.exp(np.log(lr) + np.log1p(-new_rho) - np.log1p(-rho))


EQUAL_RATE = Question(
    name="equal_rate",
    signature="equal_rate(lr, rho, new_rho) -> new_lr",
    draw=draw_frictions,
    answer=equal_rate,
    examples=({"lr": 0.1, "rho": 0.0, "new_rho": 0.9}, {"lr": 0.02, "rho": 0.5, "new_rho": 0.75}),
    properties=(
        Property(
            "a higher ρ takes a smaller α, and a lower ρ a larger one",
            lambda value, given: (value <= given["lr"]) if given["new_rho"] >= given["rho"] else value >= given["lr"],
        ),
    ),
    mistakes=(
        Mistake(
            "upside down",
            lambda lr, rho, new_rho: lr * (1 - rho) / (1 - new_rho),
            "Your fraction is upside down: with more momentum the steps get longer, so the rate must get smaller.",
        ),
        Mistake(
            "rate kept",
            lambda lr, rho, new_rho: lr,
            "You kept α. From ρ = 0 to 0.9 that makes the steps ten times as long, the mistake everybody makes once.",
        ),
        Mistake(
            "old friction left out",
            lambda lr, rho, new_rho: lr * (1 - new_rho),
            "This is right from ρ = 0 only. The effective rate you start from is α / (1 − ρ), with the old ρ.",
        ),
        Mistake(
            "effective rate",
            lambda lr, rho, new_rho: lr / (1 - rho),
            "This is the effective rate before the change. Asked is the α which gives the same one under the new ρ.",
        ),
        Mistake(
            "new friction on the old rate",
            lambda lr, rho, new_rho: lr / (1 - new_rho),
            "This is the effective rate after the change if α stays as it is. Set the two effective rates equal.",
        ),
        Mistake(
            "difference of the frictions",
            lambda lr, rho, new_rho: lr * (1 - (new_rho - rho)),
            "You scaled α by the difference of the two ρ. From 0.98 to 0.99 it is 0.01, and yet the steps double.",
        ),
    ),
    rights=(equal_rate_in_two_steps, equal_rate_by_sums, equal_rate_in_numpy),
    hints=(
        "What stays the same is the effective rate. Write it down for the old pair and for the new one.",
        "α / (1 − ρ) before, and the same with the new α and the new ρ after. Set them equal.",
        "Solve for the new α: multiply the old effective rate by 1 minus the new ρ.",
    ),
)


# 4 · After the drop ---------------------------------------------------------------------------------------------------


def draw_drop(random: Random) -> dict[str, Any]:
    lr = random.log_uniform(1e-3, 1)
    return {
        "u": random.uniform(-3, 3),
        "rho": random.uniform(0.1, 0.95),
        "lr": lr,
        "new_lr": lr * random.choice((0.1, 0.2, 0.5, 2.0)),
    }


def after_the_drop(u: float, rho: float, lr: float, new_lr: float) -> tuple[float, float]:
    rolls_on = u * rho / (1 - rho)
    return rolls_on * new_lr / lr, rolls_on


def after_the_drop_by_sum(u, rho, lr, new_lr):
    b = sum(u * rho**step for step in range(1, 2000))
    return new_lr / lr * b, b


def after_the_drop_by_descent(u, rho, lr, new_lr):
    a, b, v = 0.0, 0.0, -u / lr
    for _ in range(1000):
        v, u = rho * v, rho * u
        a, b = a - new_lr * v, b + u
    return a, b


def after_the_drop_by_effective_rates(u, rho, lr, new_lr):
    v = -u / lr
    return v * (new_lr - new_lr / (1 - rho)), u / (1 - rho) - u


AFTER_THE_DROP = Question(
    name="after_the_drop",
    signature="after_the_drop(u, rho, lr, new_lr) -> a, b",
    draw=draw_drop,
    answer=after_the_drop,
    examples=(
        {"u": 1.0, "rho": 0.5, "lr": 0.1, "new_lr": 0.01},
        {"u": 2.0, "rho": 0.9, "lr": 0.1, "new_lr": 0.001},
    ),
    mistakes=(
        Mistake(
            "the step before the drop counted",
            lambda u, rho, lr, new_lr: (u / (1 - rho) * new_lr / lr, u / (1 - rho)),
            "You counted u itself, which was made before the drop. The first step after it is ρ u, not u.",
        ),
        Mistake(
            "forms exchanged",
            lambda u, rho, lr, new_lr: (u * rho / (1 - rho), u * rho / (1 - rho) * new_lr / lr),
            "Both numbers are right, in the wrong order: it is A, with α outside, that feels the new rate at once.",
        ),
        Mistake(
            "both slow down",
            lambda u, rho, lr, new_lr: (u * rho / (1 - rho) * new_lr / lr,) * 2,
            "You slowed both down. B has whole steps in its memory; the new rate is for new gradients only.",
        ),
        Mistake(
            "none slows down",
            lambda u, rho, lr, new_lr: (u * rho / (1 - rho),) * 2,
            "A remembers gradients, not steps: v is −u over the old rate, and each step is the new rate times v.",
        ),
        Mistake(
            "one step only",
            lambda u, rho, lr, new_lr: (u * rho * new_lr / lr, u * rho),
            "This is the first step after the drop. Add up all that follow: ρ + ρ² + ρ³ + …",
        ),
        Mistake(
            "rates upside down",
            lambda u, rho, lr, new_lr: (u * rho / (1 - rho) * lr / new_lr, u * rho / (1 - rho)),
            "You have old rate over new rate: with it, a smaller rate would make A roll further.",
        ),
    ),
    rights=(after_the_drop_by_sum, after_the_drop_by_descent, after_the_drop_by_effective_rates),
    hints=(
        "Start with B, on flat ground: without gradients, what is left of u after one step, after two, after three?",
        "B makes the steps ρ u, ρ² u, ρ³ u, …: a geometric series without its first term. A has v = −u / α in memory.",
        "The series is ρ / (1 − ρ). A makes the same steps, each times the new rate over the old one.",
    ),
)


# 5 · Look first -------------------------------------------------------------------------------------------------------


def draw_lookahead(random: Random) -> dict[str, Any]:
    return {
        "x": random.tensor(),
        "u": random.tensor(),
        "gradient": BowlGradient(random.tensor(low=0.1, high=9)),
        "lr": random.log_uniform(1e-2, 0.5),
        "rho": random.uniform(0.1, 0.99),
    }


def lookahead(x: Tensor, u: Tensor, gradient: BowlGradient, lr: float, rho: float) -> tuple[Tensor, Tensor]:
    rule, state = rules.NesterovLookahead(rho), {"velocity": u}
    x, state = rule.step(x, gradient(rule.gradient_point(x, state)), state, lr)
    return x, state["velocity"]


def lookahead_in_three_lines(x, u, gradient, lr, rho):
    ahead = x + rho * u
    u = rho * u - lr * gradient(ahead)
    return x + u, u


def lookahead_then_correct(x, u, gradient, lr, rho):
    carried = x + rho * u
    corrected = carried - lr * gradient(carried)
    return corrected, corrected - x


def lookahead_in_one_place(x, u, gradient, lr, rho):
    step = torch.add(rho * u, gradient(torch.add(x, u, alpha=rho)), alpha=-lr)
    return x.add(step), step


LOOKAHEAD = Question(
    name="lookahead",
    signature="lookahead(x, u, gradient, lr, rho) -> x, u",
    draw=draw_lookahead,
    answer=lookahead,
    examples=(
        {"x": vector(1), "u": vector(-2), "gradient": BowlGradient(vector(10)), "lr": 0.1, "rho": 0.5},
        {"x": vector(4, 2), "u": vector(2, -1), "gradient": BowlGradient(vector(1, 10)), "lr": 0.1, "rho": 0.5},
    ),
    mistakes=(
        Mistake(
            "gradient taken here",
            lambda x, u, gradient, lr, rho: (x + rho * u - lr * gradient(x), rho * u - lr * gradient(x)),
            "You asked for the gradient at x, as plain momentum does. Ask where ρ u is about to carry you.",
        ),
        Mistake(
            "a whole step ahead",
            lambda x, u, gradient, lr, rho: (x + rho * u - lr * gradient(x + u), rho * u - lr * gradient(x + u)),
            "You looked ahead by u. Only the share ρ of it survives: the point ahead is x + ρ u.",
        ),
        Mistake(
            "looking back",
            lambda x, u, gradient, lr, rho: (
                x + rho * u - lr * gradient(x - rho * u),
                rho * u - lr * gradient(x - rho * u),
            ),
            "You looked back, at x − ρ u. In this form u points where the ball goes: ahead is x + ρ u.",
        ),
        Mistake(
            "carried twice",
            lambda x, u, gradient, lr, rho: (
                x + 2 * rho * u - lr * gradient(x + rho * u),
                rho * u - lr * gradient(x + rho * u),
            ),
            "You added the new u to the point ahead, so ρ u carried you twice. The look was only a look: add u to x.",
        ),
        Mistake(
            "no friction",
            lambda x, u, gradient, lr, rho: (x + u - lr * gradient(x + rho * u), u - lr * gradient(x + rho * u)),
            "The point ahead is right, but the whole old u went into the new one. Only the share ρ of it survives.",
        ),
        Mistake(
            "uphill",
            lambda x, u, gradient, lr, rho: (
                x + rho * u + lr * gradient(x + rho * u),
                rho * u + lr * gradient(x + rho * u),
            ),
            "You walk uphill. The gradient ahead is to brake: it enters u with a minus.",
        ),
    ),
    rights=(lookahead_in_three_lines, lookahead_then_correct, lookahead_in_one_place),
    hints=(
        "Three lines: the point ahead, the new u with the gradient from there, the new x.",
        "The point ahead is where the surviving share of u carries x. Everything else is as in question 2.",
        "Call it ahead: x + ρ u. Then go on as in question 2, with gradient(ahead) for g. Add u to x, not to ahead.",
    ),
)


# 6 · Nesterov as libraries write it -----------------------------------------------------------------------------------


def nesterov(x: Tensor, g: Tensor, v: Tensor, lr: float, rho: float) -> tuple[Tensor, Tensor]:
    x, state = rules.Nesterov(rho).step(x, g, {"v": v}, lr)
    return x, state["v"]


def nesterov_in_two_lines(x, g, v, lr, rho):
    v = rho * v + g
    return x - lr * (g + rho * v), v


def nesterov_written_out(x, g, v, lr, rho):
    return x - lr * (1 + rho) * g - lr * rho**2 * v, g + rho * v


def nesterov_by_torch(x, g, v, lr, rho):
    weight = torch.nn.Parameter(x.clone())
    weight.grad = g.clone()
    optimizer = torch.optim.SGD([weight], lr=lr, momentum=rho, nesterov=True)
    optimizer.state[weight]["momentum_buffer"] = v.clone()
    optimizer.step()
    return weight.data, optimizer.state[weight]["momentum_buffer"]


NESTEROV = Question(
    name="nesterov",
    signature="nesterov(x, g, v, lr, rho) -> x, v",
    draw=draw_step,
    answer=nesterov,
    examples=(FROM_REST, ROLLING),
    mistakes=(
        Mistake(
            "plain momentum",
            lambda x, g, v, lr, rho: (x - lr * (rho * v + g), rho * v + g),
            "This is plain momentum. If you wrote g + ρ v: it is the new v that belongs there, so compute it first.",
        ),
        Mistake(
            "friction left out",
            lambda x, g, v, lr, rho: (x - lr * (g + rho * v + g), rho * v + g),
            "You moved along g + v. The look ahead is by ρ times the new v.",
        ),
        Mistake(
            "gradient left out",
            lambda x, g, v, lr, rho: (x - lr * rho * (rho * v + g), rho * v + g),
            "You moved along ρ v alone. The correction g comes on top of it.",
        ),
        Mistake(
            "direction returned",
            lambda x, g, v, lr, rho: (x - lr * (g + rho * (rho * v + g)), g + rho * (rho * v + g)),
            "Your x is right, but with it you return g + ρ v, the direction of this step. The memory is v itself.",
        ),
        Mistake(
            "uphill",
            lambda x, g, v, lr, rho: (x + lr * (g + rho * (rho * v + g)), rho * v + g),
            "You walk uphill: x moves against the direction, with a minus.",
        ),
        Mistake(
            "rate inside the velocity",
            lambda x, g, v, lr, rho: (x + rho * (rho * v - lr * g) - lr * g, rho * v - lr * g),
            "This is the form of keras, with α inside the velocity. Asked is that of torch, whose v has no α in it.",
        ),
    ),
    rights=(nesterov_in_two_lines, nesterov_written_out, nesterov_by_torch),
    hints=(
        "The new v is that of question 1. Only the direction in which x goes is another.",
        "The direction is the gradient plus the share ρ of the velocity: of the old one, or of the new one?",
        "Of the new one. So compute v as in question 1, then move x along g + ρ v, against it.",
    ),
)


# 7 · The best pair ----------------------------------------------------------------------------------------------------


def draw_curvatures(random: Random) -> dict[str, Any]:
    smallest = random.log_uniform(0.1, 10)
    return {"smallest": smallest, "largest": smallest * random.choice((1.0, 4.0, 9.0, 50.0, 1000.0))}


def polyak(smallest: float, largest: float) -> tuple[float, float]:
    low, high = math.sqrt(smallest), math.sqrt(largest)
    return 4 / (high + low) ** 2, ((high - low) / (high + low)) ** 2


def polyak_through_kappa(smallest, largest):
    root = (largest / smallest) ** 0.5
    return 4 / smallest / (root + 1) ** 2, (root - 1) ** 2 / (root + 1) ** 2


def polyak_from_the_rate(smallest, largest):
    lr = (2 / (largest**0.5 + smallest**0.5)) ** 2
    return lr, (1 - (lr * smallest) ** 0.5) ** 2


def polyak_in_torch(smallest, largest):
    low, high = torch.tensor([smallest, largest], dtype=torch.float64).sqrt().tolist()
    return [4 / (low + high) ** 2, abs(low - high) ** 2 / (low + high) ** 2]


POLYAK = Question(
    name="polyak",
    signature="polyak(smallest, largest) -> lr, rho",
    draw=draw_curvatures,
    answer=polyak,
    examples=({"smallest": 1.0, "largest": 9.0}, {"smallest": 4.0, "largest": 4.0}),
    mistakes=(
        Mistake(
            "condition number without its root",
            lambda smallest, largest: (
                4 / (math.sqrt(largest) + math.sqrt(smallest)) ** 2,
                ((largest - smallest) / (largest + smallest)) ** 2,
            ),
            "Your ρ has the curvatures themselves in it. It is their square roots: that is where √κ comes from.",
        ),
        Mistake(
            "friction not squared",
            lambda smallest, largest: (
                4 / (math.sqrt(largest) + math.sqrt(smallest)) ** 2,
                (math.sqrt(largest) - math.sqrt(smallest)) / (math.sqrt(largest) + math.sqrt(smallest)),
            ),
            "You returned √ρ, the factor by which a step shrinks the distance. ρ is its square.",
        ),
        Mistake(
            "the rate of gradient descent",
            lambda smallest, largest: (2 / (largest + smallest), polyak(smallest, largest)[1]),
            "Your α is the best one without momentum, 2 / (λmax + λmin). Momentum bears nearly twice as much.",
        ),
        Mistake(
            "unit of the curvature lost",
            lambda smallest, largest: (
                4 / (math.sqrt(largest / smallest) + 1) ** 2,
                polyak(smallest, largest)[1],
            ),
            "Your α is right for λmin = 1 only. κ has no unit, but α has that of 1/λ: divide by λmin.",
        ),
        Mistake(
            "exchanged",
            lambda smallest, largest: polyak(smallest, largest)[::-1],
            "Both numbers are right, in the wrong order: α first, then ρ.",
        ),
        Mistake(
            "sum not squared",
            lambda smallest, largest: (
                4 / (math.sqrt(largest) + math.sqrt(smallest)),
                polyak(smallest, largest)[1],
            ),
            "In your α the sum of the roots is not squared. Look at the units: α is 1/λ, not 1/√λ.",
        ),
    ),
    properties=(
        Property(
            "α stays below the limit of momentum, 2 (1 + ρ) / λmax",
            lambda value, given: value[0] < 2 * (1 + value[1]) / given["largest"],
        ),
    ),
    rights=(polyak_through_kappa, polyak_from_the_rate, polyak_in_torch),
    hints=(
        "The two formulas are in section 3.2 of the lecture. Take the two square roots first.",
        "α is 4 over the square of the sum of the two roots. ρ is the square of a fraction.",
        "The fraction in ρ is the difference of the two roots over their sum. Return α, then ρ.",
    ),
)


# 8 · How many steps? --------------------------------------------------------------------------------------------------


def draw_descent(random: Random) -> dict[str, Any]:
    kappa = random.choice((2.0, 5.0, 10.0, 20.0))
    return {
        "curvatures": torch.linspace(1, kappa, random.size + 1, dtype=torch.float64),
        "lr": random.uniform(0.5, 1.5) / kappa,
        "rho": random.choice((0.0, 0.3, 0.5, 0.7)),
        "level": random.choice((0.5, 0.1, 0.01)),
        "limit": random.choice((2, 5, 100, 100)),
    }


def steps_needed(curvatures: Tensor, lr: float, rho: float, level: float, limit: int) -> int:
    x, rule = torch.ones_like(curvatures), rules.Momentum(rho)
    state, goal = rule.init(x), level * x.norm()
    for step in range(1, limit + 1):
        x, state = rule.step(x, curvatures * x, state, lr)
        if x.norm() <= goal:
            return step
    return limit


def steps_needed_in_a_loop(curvatures, lr, rho, level, limit):
    x, v = torch.ones_like(curvatures), torch.zeros_like(curvatures)
    goal = level * x.norm()
    for step in range(1, limit + 1):
        x, v = momentum_in_two_lines(x, curvatures * x, v, lr, rho)
        if x.norm() <= goal:
            return step
    return limit


def steps_needed_while(curvatures, lr, rho, level, limit):
    x, u, steps = torch.ones_like(curvatures), torch.zeros_like(curvatures), 0
    while steps < limit and (x * x).sum() > level**2 * len(x):
        u = rho * u - lr * curvatures * x
        x, steps = x + u, steps + 1
    return steps


def steps_needed_in_plain_python(curvatures, lr, rho, level, limit):
    balls = [(1.0, 0.0, curvature) for curvature in curvatures.tolist()]
    for step in itertools.count(1):
        rolled = [(x, rho * v + curvature * x, curvature) for x, v, curvature in balls]
        balls = [(x - lr * v, v, curvature) for x, v, curvature in rolled]
        if step == limit or math.hypot(*(x for x, _, _ in balls)) <= level * math.sqrt(len(balls)):
            return step


STEPS_NEEDED = Question(
    name="steps_needed",
    signature="steps_needed(curvatures, lr, rho, level, limit) -> steps",
    draw=draw_descent,
    draws=12,
    answer=steps_needed,
    examples=(
        {"curvatures": vector(1, 2), "lr": 0.5, "rho": 0.0, "level": 0.5, "limit": 100},
        {"curvatures": vector(1), "lr": 0.5, "rho": 0.0, "level": 0.5, "limit": 100},
        {"curvatures": vector(1, 10), "lr": 0.1, "rho": 0.5, "level": 0.1, "limit": 100},
        {"curvatures": vector(1, 10), "lr": 0.1, "rho": 0.5, "level": 0.1, "limit": 3},
        *({"curvatures": vector(1, 2), "lr": 0.5, "rho": 0.0, "level": 0.25, "limit": limit} for limit in (1, 2, 3)),
    ),
    mistakes=(
        Mistake(
            "counted from zero",
            lambda curvatures, lr, rho, level, limit: steps_needed(curvatures, lr, rho, level, limit) - 1,
            "You are one short: after the first step one step has been made. Does your loop count from 0?",
        ),
        Mistake(
            "counted from two",
            lambda curvatures, lr, rho, level, limit: steps_needed(curvatures, lr, rho, level, limit) + 1,
            "You are one over: look at the distance after the step is made, and count the step only once.",
        ),
        Mistake(
            "square of the distance",
            lambda curvatures, lr, rho, level, limit: steps_needed(curvatures, lr, rho, math.sqrt(level), limit),
            "You compared the squared distance with the level. Take the root, or square the level, too.",
        ),
        Mistake(
            "below for at most",
            lambda curvatures, lr, rho, level, limit: steps_needed(curvatures, lr, rho, level * (1 - 1e-12), limit),
            "You wait until the distance is below the level. At most means that equal will do: <=.",
        ),
        Mistake(
            "no memory",
            lambda curvatures, lr, rho, level, limit: steps_needed(curvatures, lr, 0.0, level, limit),
            "You forget the velocity at every step, which is gradient descent. Set v to zeros once, before the loop.",
        ),
        Mistake(
            "start not counted in",
            lambda curvatures, lr, rho, level, limit: steps_needed(
                curvatures, lr, rho, level / math.sqrt(len(curvatures)), limit
            ),
            "The level is a share of the distance at the start, which is not 1: x has more than one entry, all ones.",
        ),
        Mistake(
            "limit passed over",
            lambda curvatures, lr, rho, level, limit: steps_needed(curvatures, lr, rho, level, 1000),
            "You went on after the limit. If the level is not reached in so many steps, return the limit.",
        ),
    ),
    rights=(steps_needed_in_a_loop, steps_needed_while, steps_needed_in_plain_python),
    hints=(
        "A loop: one step of momentum, then look how far x is from 0. Use your function of question 1.",
        "Before the loop: x is all ones, v all zeros, and the distance to reach is the level times the norm of x. "
        "On this bowl the gradient is the curvatures times x.",
        "for step in range(1, limit + 1): make the step; if x.norm() is at most the goal, return step. "
        "After the loop, return the limit.",
    ),
)


QUESTIONS = (
    MOMENTUM,
    VELOCITY_MOMENTUM,
    EQUAL_RATE,
    AFTER_THE_DROP,
    LOOKAHEAD,
    NESTEROV,
    POLYAK,
    STEPS_NEEDED,
)
