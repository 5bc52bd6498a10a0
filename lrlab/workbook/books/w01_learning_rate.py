"""The questions of workbook 01: the step, its unit, the cliff at 2/L, how long it takes, and the floor of the noise.

Each section is one question: how an input is drawn, the reference, three other right ways to write it, the question.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lrlab import rules
from lrlab.workbook.given import BowlGradient, draw_hessian, matrix, same_count, vector
from lrlab.workbook.questions import Mistake, Property, Question, Random

VERSION = 1


# 1 · The path down ----------------------------------------------------------------------------------------------------


def draw_path(random: Random) -> dict[str, Any]:
    return {
        "start": random.tensor(),
        "gradient": BowlGradient(random.tensor(low=0.5, high=4)),
        "lr": random.log_uniform(1e-2, 0.6),
        "steps": random.integer(1, 5),
    }


def descend(start: Tensor, gradient: Callable[[Tensor], Tensor], lr: float, steps: int) -> Tensor:
    rule, x = rules.SGD(), start
    path, state = [x], rule.init(x)
    for _ in range(steps):
        x, state = rule.step(x, gradient(x), state, lr)
        path.append(x)
    return torch.stack(path)


def descend_in_a_list(start, gradient, lr, steps):
    path = [start]
    for _ in range(steps):
        path.append(path[-1] - lr * gradient(path[-1]))
    return torch.stack(path)


def descend_into_a_table(start, gradient, lr, steps):
    path = torch.empty(steps + 1, *start.shape, dtype=start.dtype)
    path[0] = start
    for t in range(steps):
        path[t + 1] = path[t].add(gradient(path[t]), alpha=-lr)
    return path


def descend_by_torch(start, gradient, lr, steps):
    weight = torch.nn.Parameter(start.clone())
    optimizer = torch.optim.SGD([weight], lr=lr)
    path = [start.clone()]
    for _ in range(steps):
        weight.grad = gradient(weight.detach())
        optimizer.step()
        path.append(weight.detach().clone())
    return torch.stack(path)


def _path(start: Tensor, step: Callable[[Tensor], Tensor], steps: int) -> Tensor:
    path = [start]
    for _ in range(steps):
        path.append(step(path[-1]))
    return torch.stack(path)


DESCEND = Question(
    name="descend",
    signature="descend(start, gradient, lr, steps) -> path",
    draw=draw_path,
    answer=descend,
    examples=(
        {"start": vector(1), "gradient": BowlGradient(vector(4)), "lr": 0.1, "steps": 1},
        {"start": vector(2, -1), "gradient": BowlGradient(vector(1, 4)), "lr": 0.5, "steps": 2},
    ),
    mistakes=(
        Mistake(
            "uphill",
            lambda start, gradient, lr, steps: _path(start, lambda x: x + lr * gradient(x), steps),
            "You walk uphill. The gradient points to where the loss grows: x moves against it, with a minus.",
        ),
        Mistake(
            "start left out",
            lambda start, gradient, lr, steps: _path(start, lambda x: x - lr * gradient(x), steps)[1:],
            "Your path begins after the first step. Its first row is the start, so it has steps + 1 rows.",
        ),
        Mistake(
            "one step short",
            lambda start, gradient, lr, steps: _path(start, lambda x: x - lr * gradient(x), steps - 1),
            "Your path is one step short: with the start it has steps + 1 rows.",
        ),
        Mistake(
            "gradient of the start",
            lambda start, gradient, lr, steps: _path(start, lambda x: x - lr * gradient(start), steps),
            "You took the gradient once, at the start. The slope changes on the way: ask for it again at every step.",
        ),
        Mistake(
            "rate left out",
            lambda start, gradient, lr, steps: _path(start, lambda x: x - gradient(x), steps),
            "The learning rate does nothing in your step. The step is lr times the gradient.",
        ),
        Mistake(
            "step of length lr",
            lambda start, gradient, lr, steps: _path(start, lambda x: x - lr * gradient(x).sign(), steps),
            "Each of your steps is lr long, whatever the slope. α is not the length of a step: that is α times g.",
        ),
        Mistake(
            "only the end",
            lambda start, gradient, lr, steps: _path(start, lambda x: x - lr * gradient(x), steps)[-1],
            "You returned where the ball ends. Asked is the whole path, a row for every place it has been.",
        ),
    ),
    rights=(descend_in_a_list, descend_into_a_table, descend_by_torch),
    hints=(
        "A list that begins with the start, and a loop that puts one place behind the other.",
        "The next place is the last one minus α times the gradient there. In the end torch.stack makes rows of a list.",
        "path = [start]; in the loop x = path[-1], and the next entry is x minus lr times gradient(x).",
    ),
)


# 2 · Sum or mean ------------------------------------------------------------------------------------------------------


def draw_reduction(random: Random) -> dict[str, Any]:
    return {
        "lr": random.log_uniform(1e-4, 1),
        "batch_size": random.choice((8, 32, 100, 256)),
        "new_batch_size": random.choice((1, 16, 64, 500)),
    }


def rate_for_sum(lr: float, batch_size: int, new_batch_size: int) -> float:
    return lr / new_batch_size


def rate_for_sum_by_shares(lr, batch_size, new_batch_size):
    share_of_a_sample = 1 / new_batch_size
    return share_of_a_sample * lr


def rate_for_sum_in_numpy(lr, batch_size, new_batch_size):
    return np.divide(lr, new_batch_size)


def rate_for_sum_by_gradients(lr, batch_size, new_batch_size):
    gradients = np.ones(new_batch_size)
    return lr * gradients.mean() / gradients.sum()


RATE_FOR_SUM = Question(
    name="rate_for_sum",
    signature="rate_for_sum(lr, batch_size, new_batch_size) -> new_lr",
    draw=draw_reduction,
    answer=rate_for_sum,
    examples=(
        {"lr": 0.1, "batch_size": 64, "new_batch_size": 1},
        {"lr": 0.1, "batch_size": 64, "new_batch_size": 10},
        {"lr": 0.32, "batch_size": 64, "new_batch_size": 64},
    ),
    mistakes=(
        Mistake(
            "times instead of divided by",
            lambda lr, batch_size, new_batch_size: lr * new_batch_size,
            "The sum is larger than the mean, and its gradient with it. So the rate must get smaller: divide.",
        ),
        Mistake(
            "the old batch",
            lambda lr, batch_size, new_batch_size: lr / batch_size,
            "You divided by the old batch size. The mean does not depend on how many samples it is taken over: what "
            "counts is over how many you sum now.",
        ),
        Mistake(
            "unchanged",
            lambda lr, batch_size, new_batch_size: lr,
            "You kept the rate. Then each step is as many times too long as there are samples in the sum.",
        ),
        Mistake(
            "ratio of the batches",
            lambda lr, batch_size, new_batch_size: lr * batch_size / new_batch_size,
            "This would be right for two sums. The old loss is a mean, and its gradient has no batch size in it.",
        ),
        Mistake(
            "linear scaling",
            lambda lr, batch_size, new_batch_size: lr * new_batch_size / batch_size,
            "This is the linear scaling rule, which asks how much more a larger batch may dare. Here the length of "
            "the steps shall stay.",
        ),
    ),
    properties=(
        Property("the new rate is not above the old one", lambda value, given: value <= given["lr"] * (1 + 1e-6)),
    ),
    rights=(rate_for_sum_by_shares, rate_for_sum_in_numpy, rate_for_sum_by_gradients),
    hints=(
        "α times g has to stay. What happens to g?",
        "A sum over n samples is n times their mean, and so is its gradient.",
        "So the rate is divided by n, the number of samples in the sum. Does the old batch size matter at all?",
    ),
)


# 3 · What will the ball do? -------------------------------------------------------------------------------------------

FATES = ("creeps", "arrives", "zigzags", "jumps", "leaves")


def draw_fate(random: Random) -> dict[str, Any]:
    curvature = random.choice((0.25, 0.5, 1.0, 2.0, 4.0, 16.0))  # of which 1/L and 2/L are exact
    return {"lr": random.choice((0.3, 0.9, 1.0, 1.2, 1.9, 2.0, 2.3)) / curvature, "curvature": curvature}


def fate(lr: float, curvature: float) -> str:
    factor = 1 - lr * curvature
    if abs(factor) > 1:
        return "leaves"
    if factor == -1:
        return "jumps"
    return "creeps" if factor > 0 else "arrives" if factor == 0 else "zigzags"


def fate_by_limits(lr, curvature):
    product = lr * curvature
    if product < 1:
        return "creeps"
    if product == 1:
        return "arrives"
    if product < 2:
        return "zigzags"
    return "jumps" if product == 2 else "leaves"


def fate_by_rates(lr, curvature):
    best = 1 / curvature
    if lr > 2 * best:
        return "leaves"
    if lr == 2 * best:
        return "jumps"
    return "zigzags" if lr > best else "arrives" if lr == best else "creeps"


def fate_by_two_steps(lr, curvature):
    first = 1.0 - lr * curvature * 1.0
    second = first - lr * curvature * first
    if first == 0:
        return "arrives"
    if first > 0:
        return "creeps"
    return "zigzags" if second < 1 else "jumps" if second == 1 else "leaves"


def _fate(lr: float, curvature: float, limit: float = 1.0, order: tuple[str, ...] = FATES) -> str:
    """Like `fate`, with another limit, or other names."""
    product = lr * curvature / limit
    number = 0 if product < 1 else 1 if product == 1 else 2 if product < 2 else 3 if product == 2 else 4
    return order[number]


FATE = Question(
    name="fate",
    signature="fate(lr, curvature) -> word",
    draw=draw_fate,
    answer=fate,
    examples=(
        {"lr": 0.1, "curvature": 4.0},
        {"lr": 0.25, "curvature": 4.0},
        {"lr": 0.4, "curvature": 4.0},
        {"lr": 0.5, "curvature": 4.0},
        {"lr": 1.0, "curvature": 4.0},
    ),
    mistakes=(
        Mistake(
            "cliff at 1/L",
            lambda lr, curvature: _fate(lr, curvature, limit=0.5),
            "Your cliff stands at 1/L. There the ball arrives in one step; it leaves above 2/L.",
        ),
        Mistake(
            "curvature forgotten",
            lambda lr, curvature: _fate(lr, 1.0),
            "You looked at the rate alone. What counts is the product of rate and curvature, which has no unit.",
        ),
        Mistake(
            "divided by the curvature",
            lambda lr, curvature: _fate(lr, 1 / curvature),
            "You divided the rate by the curvature. A steep bowl bears less, not more: multiply.",
        ),
        Mistake(
            "zigzag taken for leaving",
            lambda lr, curvature: "leaves" if lr * curvature > 1 else _fate(lr, curvature),
            "Between 1/L and 2/L the ball changes sides at every step, but comes nearer each time: it zigzags.",
        ),
        Mistake(
            "never leaves",
            lambda lr, curvature: "zigzags" if lr * curvature > 2 else _fate(lr, curvature),
            "Your ball never leaves: above 2/L the factor is below −1, and −1.3 is not above 1. Compare its size, abs.",
        ),
        Mistake(
            "edge forgotten",
            lambda lr, curvature: "leaves" if lr * curvature == 2 else _fate(lr, curvature),
            "At exactly 2/L the factor is −1: the ball jumps between two points for ever, and never leaves.",
        ),
        Mistake(
            "creeping and zigzagging exchanged",
            lambda lr, curvature: _fate(lr, curvature, order=("zigzags", "arrives", "creeps", "jumps", "leaves")),
            "You exchanged the two: a low rate stays on one side and creeps, a high one jumps across the bottom.",
        ),
    ),
    rights=(fate_by_limits, fate_by_rates, fate_by_two_steps),
    hints=(
        "Each step multiplies x by one and the same number. Compute that number first.",
        "It is 1 − αL. Is it positive, zero, negative? Is it further from 0 than 1 is?",
        "Above 0 creeps, 0 arrives, between −1 and 0 zigzags, −1 jumps, below −1 leaves. Compare with ==: these inputs "
        "are chosen so that nothing is rounded.",
    ),
)


# 4 · How long? --------------------------------------------------------------------------------------------------------


def draw_wait(random: Random) -> dict[str, Any]:
    curvature = random.log_uniform(0.1, 10)
    return {
        "lr": random.choice((0.0513, 0.2, 0.477, 0.8, 1.37, 1.9, 2.11)) / curvature,
        "curvature": curvature,
        "level": random.choice((0.47, 0.13, 0.011, 0.00123)),
    }


def steps_to(lr: float, curvature: float, level: float) -> float:
    factor = abs(1 - lr * curvature)
    if factor >= 1:
        return math.inf
    return float(max(1, math.ceil(math.log(level) / math.log(factor)))) if factor > 0 else 1.0


def steps_to_by_walking(lr, curvature, level):
    if not 0 < lr * curvature < 2:
        return float("inf")
    distance, steps = 1.0, 0
    while distance > level:
        distance, steps = abs(distance - lr * curvature * distance), steps + 1
    return steps


def steps_to_in_torch(lr, curvature, level):
    left = torch.full((4000,), 1 - lr * curvature, dtype=torch.float64).abs().cumprod(0)
    reached = (left <= level).nonzero()
    return reached[0].item() + 1 if len(reached) else math.inf


def steps_to_in_numpy(lr, curvature, level):
    factor = np.abs(1 - lr * curvature)
    return np.inf if factor >= 1 else np.ceil(np.log(level) / np.log(factor))


def _waiting(factor: float, level: float, rounded: Callable[[float], float] = math.ceil) -> float:
    if not 0 < factor < 1:
        return math.inf
    return float(rounded(math.log(level) / math.log(factor)))


STEPS_TO = Question(
    name="steps_to",
    signature="steps_to(lr, curvature, level) -> steps",
    draw=draw_wait,
    answer=steps_to,
    read=float,
    compare=same_count("steps"),
    examples=(
        {"lr": 0.25, "curvature": 2.0, "level": 0.5},
        {"lr": 0.25, "curvature": 2.0, "level": 0.1},
        {"lr": 2.0, "curvature": 2.0, "level": 0.1},
        {"lr": 1.0, "curvature": 2.0, "level": 0.1},
    ),
    mistakes=(
        Mistake(
            "rounded down",
            lambda lr, curvature, level: _waiting(abs(1 - lr * curvature), level, math.floor),
            "You are one short: after that many steps the ball is still above the level. Steps are whole: round up.",
        ),
        Mistake(
            "not rounded",
            lambda lr, curvature, level: _waiting(abs(1 - lr * curvature), level, lambda steps: steps),
            "Your formula is right, but there is no 3.3rd step. Round up to the next whole one.",
        ),
        Mistake(
            "one more",
            lambda lr, curvature, level: _waiting(abs(1 - lr * curvature), level) + 1,
            "You are one over: after the last step but one the level was reached. Do you count the start as a step?",
        ),
        Mistake(
            "zigzag forgotten",
            lambda lr, curvature, level: _waiting(1 - lr * curvature, level),
            "Between 1/L and 2/L the factor 1 − αL is negative, and the ball still comes nearer. Its size counts.",
        ),
        Mistake(
            "far side taken for near",
            lambda lr, curvature, level: 1.0 if 1 < lr * curvature < 2 else _waiting(abs(1 - lr * curvature), level),
            "You stop as soon as the ball is below the level, and on the other side it always is: its x is negative "
            "there. Compare its distance, abs(x).",
        ),
        Mistake(
            "every jump an arrival",
            lambda lr, curvature, level: 1.0 if lr * curvature > 1 else _waiting(1 - lr * curvature, level),
            "You count a ball on the other side as near, even one that flies away: a negative x is below any level. "
            "Compare its distance, abs(x); and if |1 − αL| is 1 or more, it never gets there.",
        ),
        Mistake(
            "upside down",
            lambda lr, curvature, level: (
                float(math.ceil(math.log(abs(1 - lr * curvature)) / math.log(level)))
                if abs(1 - lr * curvature) < 1
                else math.inf
            ),
            "Your quotient is upside down: the lower the level, the more steps it takes. Its logarithm goes above.",
        ),
        Mistake(
            "level of the loss",
            lambda lr, curvature, level: _waiting((1 - lr * curvature) ** 2, level),
            "You counted until the loss is at that level: the loss goes with the square of x. Asked is the distance.",
        ),
        Mistake(
            "small-step formula",
            lambda lr, curvature, level: _waiting(math.exp(-lr * curvature), level),
            "exp(−αL) is what 1 − αL comes near to when α is small. Here take 1 − αL itself.",
        ),
        Mistake(
            "base ten mixed with e",
            lambda lr, curvature, level: (
                float(math.ceil(math.log10(level) / math.log(abs(1 - lr * curvature))))
                if abs(1 - lr * curvature) < 1
                else math.inf
            ),
            "You mixed two logarithms. In the quotient any base will do, but the same above and below.",
        ),
    ),
    rights=(steps_to_by_walking, steps_to_in_torch, steps_to_in_numpy),
    hints=(
        "First: does it ever get there? Then: after t steps, how far away is the ball?",
        "|1 − αL| to the power t. Where that reaches the level, t is a quotient of two logarithms, rounded up.",
        "math.inf if |1 − αL| is 1 or more; else math.ceil(log of the level over log of |1 − αL|).",
    ),
)


# 5 · The cliff --------------------------------------------------------------------------------------------------------


def largest_stable_rate(hessian: Tensor) -> float:
    return 2 / float(torch.linalg.eigvalsh(hessian)[-1])


def largest_stable_rate_by_norm(hessian):
    return 2 / torch.linalg.matrix_norm(hessian, 2).item()


def largest_stable_rate_in_numpy(hessian):
    return 2 / np.linalg.eigvalsh(hessian.numpy()).max()


def largest_stable_rate_by_power_iteration(hessian):
    power = hessian
    for _ in range(14):  # squared 14 times: the direction that is stretched most is all that is left
        power = power @ power
        power = power / power.norm()
    direction = power @ torch.arange(1.0, len(hessian) + 1, dtype=hessian.dtype).cos()
    return float(2 * (direction @ direction) / (direction @ hessian @ direction))


def _eigenvalues(hessian: Tensor) -> Tensor:
    return torch.linalg.eigvalsh(hessian)


LARGEST_STABLE_RATE = Question(
    name="largest_stable_rate",
    signature="largest_stable_rate(hessian) -> lr",
    draw=draw_hessian,
    answer=largest_stable_rate,
    tolerance=1e-5,
    examples=(
        {"hessian": matrix((1, 0), (0, 8))},
        {"hessian": matrix((2, 1), (1, 2))},
    ),
    mistakes=(
        Mistake(
            "the best rate in one direction",
            lambda hessian: 1 / float(_eigenvalues(hessian)[-1]),
            "At 1/λ the ball is at the bottom of that direction in one step. The cliff stands twice as far out.",
        ),
        Mistake(
            "the flattest direction",
            lambda hessian: 2 / float(_eigenvalues(hessian)[0]),
            "You took the smallest curvature. The steepest direction breaks first: take the largest.",
        ),
        Mistake(
            "all curvatures together",
            lambda hessian: 2 / float(_eigenvalues(hessian).sum()),
            "You added up the curvatures (the trace). The directions do not help each other: the steepest one decides.",
        ),
        Mistake(
            "the best rate of all",
            lambda hessian: 2 / float(_eigenvalues(hessian)[-1] + _eigenvalues(hessian)[0]),
            "2/(λmin + λmax) is the rate that comes down soonest. Asked is the one above which nothing comes down.",
        ),
        Mistake(
            "diagonal only",
            lambda hessian: 2 / float(hessian.diagonal().max()),
            "You took the largest number on the diagonal, the curvature along an axis. The steepest direction may lie "
            "between the axes: look for eigenvalues.",
        ),
        Mistake(
            "the curvature itself",
            lambda hessian: float(_eigenvalues(hessian)[-1]),
            "This is the largest curvature, in loss per x². A rate is in x² per loss.",
        ),
    ),
    rights=(largest_stable_rate_by_norm, largest_stable_rate_in_numpy, largest_stable_rate_by_power_iteration),
    hints=(
        "In one direction of curvature L the cliff stands at 2/L. Which direction breaks first?",
        "The curvatures in the main directions of a bowl are the eigenvalues of its Hessian; torch.linalg.eigvalsh.",
        "eigvalsh sorts them from small to large. Divide 2 by the last one; float(...) makes a plain number.",
    ),
)


# 6 · The floor --------------------------------------------------------------------------------------------------------


def draw_floor(random: Random) -> dict[str, Any]:
    curvature = random.log_uniform(0.1, 10)
    return {
        "level": random.log_uniform(1e-3, 1),
        "curvature": curvature,
        "sigma": random.log_uniform(0.1, 5),
    }


def rate_for_floor(level: float, curvature: float, sigma: float) -> float:
    return 4 * level / (sigma**2 + 2 * level * curvature)


def rate_for_floor_by_reciprocals(level, curvature, sigma):
    return 1 / (sigma**2 / (4 * level) + curvature / 2)


def rate_for_floor_by_bisection(level, curvature, sigma):
    low, high = 0.0, 2 / curvature
    for _ in range(100):
        middle = (low + high) / 2
        floor = middle * sigma**2 / (2 * (2 - middle * curvature))
        low, high = (middle, high) if floor < level else (low, middle)
    return low


def rate_for_floor_by_variance(level, curvature, sigma):
    variance = 2 * level / curvature
    return 2 * variance * curvature / (variance * curvature**2 + sigma**2)


RATE_FOR_FLOOR = Question(
    name="rate_for_floor",
    signature="rate_for_floor(level, curvature, sigma) -> lr",
    draw=draw_floor,
    answer=rate_for_floor,
    examples=(
        {"level": 0.5, "curvature": 6.0, "sigma": 2.0},
        {"level": 0.02, "curvature": 5.0, "sigma": 1.0},
    ),
    mistakes=(
        Mistake(
            "small-rate formula",
            lambda level, curvature, sigma: 4 * level / sigma**2,
            "You solved the approximation ασ²/4, which holds for small rates only. Take the whole formula.",
        ),
        Mistake(
            "floor instead of rate",
            lambda level, curvature, sigma: level * sigma**2 / (2 * (2 - level * curvature)),
            "You put the level in the place of α and computed a floor. Turn the formula round: solve for α.",
        ),
        Mistake(
            "noise not squared",
            lambda level, curvature, sigma: 4 * level / (sigma + 2 * level * curvature),
            "σ comes without its square. Look at the unit: σ is in loss per x, so σ² times a rate is a loss.",
        ),
        Mistake(
            "sign lost",
            lambda level, curvature, sigma: 4 * level / (sigma**2 - 2 * level * curvature),
            "A sign was lost when you brought the α of the denominator over to the other side.",
        ),
        Mistake(
            "factor 2 lost",
            lambda level, curvature, sigma: 4 * level / (sigma**2 + level * curvature),
            "The factor 2 before the bracket belongs to both terms in it.",
        ),
        Mistake(
            "half of it",
            lambda level, curvature, sigma: 2 * level / (sigma**2 + 2 * level * curvature),
            "Your rate is half the right one: 2 times 2 is 4 in the first term.",
        ),
    ),
    properties=(
        Property(
            "the rate is above 0 and below the cliff, 2/L",
            lambda value, given: 0 < value < 2 / given["curvature"],
        ),
    ),
    rights=(rate_for_floor_by_reciprocals, rate_for_floor_by_bisection, rate_for_floor_by_variance),
    hints=(
        "The formula of the floor is in section 5 of the lecture. It has α in it twice.",
        "Multiply by the denominator: level · 2 (2 − αL) = α σ². Bring everything with α to one side.",
        "4 · level = α (σ² + 2 · level · L). Divide.",
    ),
)


# 7 · Find the cliff ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class Cliff:
    """Does training break at this rate? Here it does above one rate; and it answers so many times, not more often."""

    at: float
    tries: int
    asked: list[float] = field(default_factory=list, compare=False)

    def __call__(self, lr: float) -> bool:
        self.asked.append(float(lr))
        if len(self.asked) > self.tries:
            raise RuntimeError(f"tries is {self.tries}, and this is question {len(self.asked)}: each is a training")
        return bool(lr > self.at)

    def __repr__(self) -> str:
        return f"the function that is True above {self.at:g}"


def draw_cliff(random: Random) -> dict[str, Any]:
    low, decades, tries = random.choice((1e-6, 1e-4, 1e-3)), random.integer(2, 6), random.integer(1, 8)
    return {
        "breaks": Cliff(random.log_uniform(low * 3, low * 10**decades / 3), tries),
        "low": low,
        "high": low * 10**decades,
        "tries": tries,
    }


def find_cliff(breaks: Callable[[float], bool], low: float, high: float, tries: int) -> tuple[float, float]:
    for _ in range(tries):
        middle = math.sqrt(low * high)
        if breaks(middle):
            high = middle
        else:
            low = middle
    return low, high


def find_cliff_in_decades(breaks, low, high, tries):
    bounds = [math.log10(low), math.log10(high)]
    for _ in range(tries):
        middle = sum(bounds) / 2
        bounds[1 if breaks(10**middle) else 0] = middle
    return tuple(10**bound for bound in bounds)


def find_cliff_by_calling_itself(breaks, low, high, tries):
    if tries == 0:
        return low, high
    middle = (low * high) ** 0.5
    below = (low, middle) if breaks(middle) else (middle, high)
    return find_cliff_by_calling_itself(breaks, *below, tries - 1)


def find_cliff_by_ratio(breaks, low, high, tries):
    ratio = high / low
    for _ in range(tries):
        ratio = ratio**0.5
        low = low if breaks(low * ratio) else low * ratio
    return low, low * ratio


def _halve(middle: Callable[[float, float], float], turned: bool = False) -> Callable[..., tuple[float, float]]:
    """The search with another way to find the middle, or with the two halves exchanged."""

    def search(breaks: Callable[[float], bool], low: float, high: float, tries: int) -> tuple[float, float]:
        for _ in range(tries):
            between = middle(low, high)
            low, high = (low, between) if breaks(between) != turned else (between, high)
        return low, high

    return search


FIND_CLIFF = Question(
    name="find_cliff",
    signature="find_cliff(breaks, low, high, tries) -> low, high",
    draw=draw_cliff,
    answer=find_cliff,
    examples=(
        {"breaks": Cliff(0.5, tries=1), "low": 0.01, "high": 1.0, "tries": 1},
        {"breaks": Cliff(0.5, tries=2), "low": 0.0001, "high": 1.0, "tries": 2},
        {"breaks": Cliff(0.03, tries=2), "low": 0.0001, "high": 1.0, "tries": 2},
    ),
    mistakes=(
        Mistake(
            "middle of the numbers",
            _halve(lambda low, high: (low + high) / 2),
            "You halved the numbers, so nine tenths of your tries go into the highest decade. Rates are compared by "
            "ratios: the middle of 0.01 and 1 is 0.1.",
        ),
        Mistake(
            "wrong half",
            _halve(lambda low, high: math.sqrt(low * high), turned=True),
            "You kept the half that the cliff is not in. If it breaks in the middle, the cliff is at or below it: the "
            "middle is the new high.",
        ),
        Mistake(
            "one try less",
            lambda breaks, low, high, tries: find_cliff(breaks, low, high, tries - 1),
            "You made one try less than allowed. range(tries) counts tries times.",
        ),
        Mistake(
            "product without its root",
            _halve(lambda low, high: low * high),
            "You multiplied the ends without taking the root. The product of two rates is no rate: look at the unit.",
        ),
        Mistake(
            "ends exchanged",
            lambda breaks, low, high, tries: find_cliff(breaks, low, high, tries)[::-1],
            "Both numbers are right, in the wrong order: the one that works first, then the one that breaks.",
        ),
        Mistake(
            "stopped at the first that works",
            lambda breaks, low, high, tries: find_cliff(lambda lr: True, low, high, tries),
            "You always go down, as if every try broke. Where the middle works, go up: it is the new low.",
        ),
    ),
    properties=(
        Property(
            "low does not break and high does",
            lambda value, given: value[0] * (1 - 1e-6) <= given["breaks"].at < value[1] * (1 + 1e-6),
        ),
    ),
    rights=(find_cliff_in_decades, find_cliff_by_calling_itself, find_cliff_by_ratio),
    hints=(
        "Each try halves what is left, as you look up a word in a dictionary. Which middle is right for rates?",
        "The middle that is as many times above low as below high: the root of their product.",
        "In a loop over range(tries): middle = math.sqrt(low * high). If breaks(middle), it is the new high, else the "
        "new low. Return low, high.",
    ),
)


QUESTIONS = (DESCEND, RATE_FOR_SUM, FATE, STEPS_TO, LARGEST_STABLE_RATE, RATE_FOR_FLOOR, FIND_CLIFF)
