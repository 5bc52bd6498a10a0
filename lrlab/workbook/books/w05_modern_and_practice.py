"""The questions of workbook 05: clipping, Lion, RAdam's warm-up, Lookahead, and how rules are fairly compared.

Each section is one question: how an input is drawn, the reference, three other right ways to write it, the question.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.stats
import torch
from torch import Tensor

from lrlab import rules
from lrlab.workbook.given import length, vector
from lrlab.workbook.questions import Mistake, Property, Question, Random

VERSION = 1


# 1 · Clip the gradient ------------------------------------------------------------------------------------------------


def draw_gradients(random: Random) -> dict[str, Any]:
    layers = [random.tensor(*random.choice(((2,), (3,), (2, 2)))) for _ in range(random.size)]
    return {"gradients": layers, "limit": random.uniform(1, 8)}


def clip(gradients: list[Tensor], limit: float) -> tuple[list[Tensor], float]:
    norm = length(gradients)
    return [g * min(1.0, limit / norm) for g in gradients], norm


def clip_by_torch(gradients, limit):
    weights = [torch.nn.Parameter(torch.zeros_like(g)) for g in gradients]
    for weight, g in zip(weights, gradients, strict=True):
        weight.grad = g.clone()
    norm = torch.nn.utils.clip_grad_norm_(weights, limit)
    return [weight.grad for weight in weights], norm.item()


def clip_by_sum_of_squares(gradients, limit):
    norm = math.sqrt(sum(g.square().sum().item() for g in gradients))
    return [g if norm <= limit else g / norm * limit for g in gradients], norm


def clip_by_norm_of_norms(gradients, limit):
    norm = torch.stack([g.norm() for g in gradients]).norm()
    return tuple(g / (norm / limit).clamp(min=1) for g in gradients), float(norm)


def _scaled(gradients: list[Tensor], factor: float) -> list[Tensor]:
    return [g * factor for g in gradients]


CLIP = Question(
    name="clip",
    signature="clip(gradients, limit) -> clipped, norm",
    draw=draw_gradients,
    answer=clip,
    tolerance=1e-5,  # torch adds 1e-6 to the norm
    examples=(
        {"gradients": [vector(3, 4)], "limit": 1.0},
        {"gradients": [vector(6), vector(8)], "limit": 5.0},
        {"gradients": [vector(0.3), vector(0.4)], "limit": 5.0},
    ),
    mistakes=(
        Mistake(
            "each layer by itself",
            lambda gradients, limit: (
                [g * min(1.0, limit / float(g.norm())) for g in gradients],
                length(gradients),
            ),
            "You clipped each tensor by its own length. That turns the direction of the step: all of them get one "
            "and the same factor.",
        ),
        Mistake(
            "entry by entry",
            lambda gradients, limit: ([g.clamp(-limit, limit) for g in gradients], length(gradients)),
            "You bounded every entry, which turns the step to another direction. Its length is bounded, all in one.",
        ),
        Mistake(
            "always to the limit",
            lambda gradients, limit: (_scaled(gradients, limit / length(gradients)), length(gradients)),
            "You stretched short gradients to the limit. Those within it stay as they are.",
        ),
        Mistake(
            "length squared",
            lambda gradients, limit: (
                _scaled(gradients, min(1.0, limit / length(gradients) ** 2)),
                length(gradients) ** 2,
            ),
            "You added up the squares and took no root. Look at the units: the limit is a length.",
        ),
        Mistake(
            "lengths added up",
            lambda gradients, limit: (
                _scaled(gradients, min(1.0, limit / sum(float(g.norm()) for g in gradients))),
                sum(float(g.norm()) for g in gradients),
            ),
            "You added up the lengths of the layers. Together they are one long vector: add up squares, then the root.",
        ),
        Mistake(
            "norm after clipping",
            lambda gradients, limit: (clip(gradients, limit)[0], min(length(gradients), limit)),
            "The gradients are right, but with them you return the norm after clipping. What it was before tells how "
            "often you clip.",
        ),
        Mistake(
            "cut to length 1",
            lambda gradients, limit: (
                _scaled(gradients, 1 / length(gradients) if length(gradients) > limit else 1.0),
                length(gradients),
            ),
            "Your long gradients end with the length 1. Multiply by the limit: that long they may be.",
        ),
    ),
    properties=(
        Property(
            "the clipped gradients, taken together, are not longer than the limit",
            lambda value, given: isinstance(value[0], float) or length(value[0]) <= given["limit"] * (1 + 1e-5),
        ),
    ),
    rights=(clip_by_torch, clip_by_sum_of_squares, clip_by_norm_of_norms),
    hints=(
        "One number first: the length of all gradients together, as if they were one long vector.",
        "Add up all squares over all tensors, and take the root. If that is above the limit, every gradient gets the "
        "same factor.",
        "The factor is min(1, limit / norm). A list of g times the factor, and the norm as a plain number.",
    ),
)


# 2 · A step of Lion ---------------------------------------------------------------------------------------------------


def draw_lion(random: Random) -> dict[str, Any]:
    g, m, beta1 = random.tensor(), random.tensor(), random.uniform(0.5, 0.9)
    undecided = (beta1 * m + (1 - beta1) * g).abs() < 1e-3  # there the last bit would decide about the sign
    return {
        "x": random.tensor(),
        "g": torch.where(undecided, g + 0.5, g),
        "m": m,
        "lr": random.log_uniform(1e-2, 1),
        "beta1": beta1,
        "beta2": random.uniform(0.92, 0.99),
    }


def lion(x: Tensor, g: Tensor, m: Tensor, lr: float, beta1: float, beta2: float) -> tuple[Tensor, Tensor]:
    x, state = rules.Lion(beta1, beta2).step(x, g, {"mean": m}, lr)
    return x, state["mean"]


def lion_in_two_lines(x, g, m, lr, beta1, beta2):
    direction = torch.sign(beta1 * m + (1 - beta1) * g)
    return x - lr * direction, beta2 * m + (1 - beta2) * g


def lion_by_lerp(x, g, m, lr, beta1, beta2):
    return x.sub(m.lerp(g, 1 - beta1).sign(), alpha=lr), g.lerp(m, beta2)


def lion_by_cases(x, g, m, lr, beta1, beta2):
    mixed = g + beta1 * (m - g)
    x = torch.where(mixed > 0, x - lr, torch.where(mixed < 0, x + lr, x))
    return [x, g + beta2 * (m - g)]


def _mean(m: Tensor, g: Tensor, beta: float) -> Tensor:
    return beta * m + (1 - beta) * g


LION = Question(
    name="lion",
    signature="lion(x, g, m, lr, beta1, beta2) -> x, m",
    draw=draw_lion,
    answer=lion,
    examples=(
        {"x": vector(1), "g": vector(8), "m": vector(-4), "lr": 0.1, "beta1": 0.5, "beta2": 0.75},
        {"x": vector(1, 2, 3), "g": vector(2, -1, 0), "m": vector(-4, 0, 0), "lr": 0.1, "beta1": 0.5, "beta2": 0.75},
    ),
    mistakes=(
        Mistake(
            "memory first",
            lambda x, g, m, lr, beta1, beta2: (x - lr * _mean(m, g, beta2).sign(), _mean(m, g, beta2)),
            "You took the sign of the new m. Lion mixes the old m with g anew, by β₁, for the step; β₂ is for the "
            "memory.",
        ),
        Mistake(
            "betas exchanged",
            lambda x, g, m, lr, beta1, beta2: (x - lr * _mean(m, g, beta2).sign(), _mean(m, g, beta1)),
            "You exchanged the two: β₁ mixes for the step, β₂ for the memory.",
        ),
        Mistake(
            "one mixture for both",
            lambda x, g, m, lr, beta1, beta2: (x - lr * _mean(m, g, beta1).sign(), _mean(m, g, beta1)),
            "You kept what you stepped with. The memory is a mixture of its own, by β₂, which forgets more slowly.",
        ),
        Mistake(
            "no sign",
            lambda x, g, m, lr, beta1, beta2: (x - lr * _mean(m, g, beta1), _mean(m, g, beta2)),
            "You stepped along the mixture itself. Lion keeps only its sign: every weight moves by α.",
        ),
        Mistake(
            "sign of the gradient",
            lambda x, g, m, lr, beta1, beta2: (x - lr * g.sign(), _mean(m, g, beta2)),
            "You took the sign of g alone. It is the mixture of memory and gradient that has the say.",
        ),
        Mistake(
            "signs remembered",
            lambda x, g, m, lr, beta1, beta2: (x - lr * _mean(m, g, beta1).sign(), _mean(m, g.sign(), beta2)),
            "You put the sign of the gradient into the memory. m is a mean of the gradients themselves.",
        ),
        Mistake(
            "uphill",
            lambda x, g, m, lr, beta1, beta2: (x + lr * _mean(m, g, beta1).sign(), _mean(m, g, beta2)),
            "You walk uphill. x moves against the sign, with a minus.",
        ),
        Mistake(
            "shares the wrong way round",
            lambda x, g, m, lr, beta1, beta2: (x - lr * _mean(g, m, beta1).sign(), _mean(g, m, beta2)),
            "You gave the share β to the gradient. β is the share of the memory, 1 − β that of the gradient.",
        ),
    ),
    properties=(
        Property(
            "no weight moves by more than α",
            lambda value, given: bool(((value[0] - given["x"]).abs() <= given["lr"] + 1e-5).all()),
        ),
    ),
    rights=(lion_in_two_lines, lion_by_lerp, lion_by_cases),
    hints=(
        "Two mixtures of the same two vectors, the old m and g: one for the step, one for the memory.",
        "For the step: the share β₁ of m and 1 − β₁ of g, and of that the sign. For the memory: the same with β₂, "
        "without the sign.",
        "x minus lr times torch.sign(β₁ m + (1 − β₁) g). Return it, then β₂ m + (1 − β₂) g, with the old m in both.",
    ),
)


# 3 · RAdam's warm-up --------------------------------------------------------------------------------------------------


def draw_memory(random: Random) -> dict[str, Any]:
    return {
        "t": random.choice((1, 2, 3, 4, 5, 6, 8, 20, 100, 700)),
        "beta2": random.choice((0.5, 0.8, 0.9, 0.97, 0.99, 0.999)),
    }


def warm_up(t: int, beta2: float) -> float:
    longest = 2 / (1 - beta2) - 1
    memory = longest - 2 * t * beta2**t / (1 - beta2**t)
    if memory <= 4:
        return 0.0
    return math.sqrt((memory - 4) * (memory - 2) * longest / ((longest - 4) * (longest - 2) * memory))


def warm_up_by_rule(t, beta2):
    before = {"m": vector(2 - 2 * 0.9 ** (t - 1)), "v": vector(4 - 4 * beta2 ** (t - 1)), "t": vector(t - 1)}
    x, _ = rules.RAdam(beta2=beta2, eps=0.0).step(vector(0), vector(2), before, 1.0)
    return 0.0 if -x.item() > 1.5 else -x.item()  # for a constant gradient of 2, a step of momentum has the length 2


def warm_up_by_factors(t, beta2):
    longest = (1 + beta2) / (1 - beta2)
    memory = longest - 2 * t / (beta2**-t - 1)
    if not memory > 4:
        return 0
    return math.prod(math.sqrt((memory - part) / (longest - part)) for part in (4, 2)) * math.sqrt(longest / memory)


def warm_up_in_torch(t, beta2):
    beta2 = torch.tensor(beta2, dtype=torch.float64)
    longest = 2 / (1 - beta2) - 1
    memory = longest - 2 * t * beta2**t / (1 - beta2**t)
    share = ((memory - 4) * (memory - 2) / memory / ((longest - 4) * (longest - 2) / longest)).sqrt()
    return share.item() if memory > 4 else 0.0


def _share(memory: float, longest: float, threshold: float = 4.0, below: float = 0.0, power: float = 0.5) -> float:
    """r of two memories, with another threshold, another value below it, or another power."""
    if memory <= threshold:
        return below
    return ((memory - 4) * (memory - 2) * longest / ((longest - 4) * (longest - 2) * memory)) ** power


def _memory(t: int, beta2: float) -> tuple[float, float]:
    longest = 2 / (1 - beta2) - 1
    return longest - 2 * t * beta2**t / (1 - beta2**t), longest


WARM_UP = Question(
    name="warm_up",
    signature="warm_up(t, beta2) -> r",
    draw=draw_memory,
    answer=warm_up,
    examples=(
        {"t": 1, "beta2": 0.999},
        {"t": 5, "beta2": 0.999},
        {"t": 2000, "beta2": 0.999},
        {"t": 3, "beta2": 0.5},
    ),
    mistakes=(
        Mistake(
            "threshold forgotten",
            lambda t, beta2: _share(*_memory(t, beta2), threshold=-math.inf),
            "You used the formula from the first step on. While ρₜ is at most 4 the variance does not exist, and RAdam "
            "does not divide: r is 0.",
        ),
        Mistake(
            "threshold of torch",
            lambda t, beta2: _share(*_memory(t, beta2), threshold=5.0),
            "You wait until ρₜ is above 5, as torch does. The paper says 4: with β₂ = 0.999 that is one step sooner.",
        ),
        Mistake(
            "1 in place of 0",
            lambda t, beta2: _share(*_memory(t, beta2), below=1.0),
            "You returned 1 where RAdam does not divide yet. Asked is the share of a divided step, and there is none.",
        ),
        Mistake(
            "root forgotten",
            lambda t, beta2: _share(*_memory(t, beta2), power=1.0),
            "The root is missing: what you have is the ratio of two variances. A step has the unit of their root.",
        ),
        Mistake(
            "upside down",
            lambda t, beta2: _share(*_memory(t, beta2), power=-0.5),
            "Your fraction is upside down. At the start the quotient varies most, so the step must be shorter there.",
        ),
        Mistake(
            "correction of the mean forgotten",
            lambda t, beta2: _share(_memory(t, beta2)[1] - 2 * t * beta2**t, _memory(t, beta2)[1]),
            "In ρₜ you did not divide by 1 − β₂ᵗ. Without it the memory is not 1 after the first step.",
        ),
        Mistake(
            "one step on",
            lambda t, beta2: warm_up(t + 1, beta2),
            "You are one step on: t counts from 1 already. Take β₂ to the power t as it is.",
        ),
        Mistake(
            "the straight line",
            lambda t, beta2: min(1.0, t * (1 - beta2) / 2),
            "This is the rule of thumb of Ma and Yarats. Asked is the factor that RAdam derives.",
        ),
    ),
    properties=(Property("r lies between 0 and 1", lambda value, given: 0 <= value <= 1 + 1e-6),),
    rights=(warm_up_by_rule, warm_up_by_factors, warm_up_in_torch),
    hints=(
        "Compute ρ∞ and ρₜ, each in a line of its own, and look at ρₜ before you do anything else.",
        "For t = 1, ρₜ is 1, whatever β₂ is: try that first. If ρₜ is at most 4, return 0.",
        "Else the root of (ρₜ − 4)(ρₜ − 2) ρ∞ over (ρ∞ − 4)(ρ∞ − 2) ρₜ. Brackets around everything below the line.",
    ),
)


# 4 · Lookahead around anything ----------------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class Shrink:
    """One step of gradient descent on a bowl: every x is multiplied by its own 1 − αλ."""

    factors: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return self.factors * x

    def __repr__(self) -> str:
        return f"the function that makes {self.factors.tolist()} * x of x"


def draw_ahead(random: Random) -> dict[str, Any]:
    return {
        "start": random.tensor(low=1, high=5),
        "advance": Shrink(random.tensor(low=-0.9, high=0.9)),
        "k": random.integer(1, 4),
        "a": random.uniform(0.2, 0.9),
        "steps": random.integer(2, 9),
    }


Advance = Callable[[Tensor], Tensor]


def lookahead(start: Tensor, advance: Advance, k: int, a: float, steps: int) -> Tensor:
    rule, x = rules.Lookahead(rules.SGD(), k, a), start
    path, state = [x], rule.init(x)
    for _ in range(steps):
        x, state = rule.step(x, x - advance(x), state, 1.0)
        path.append(x)
    return torch.stack(path)


def lookahead_in_a_loop(start, advance, k, a, steps):
    slow, path = start, [start]
    for t in range(1, steps + 1):
        fast = advance(path[-1])
        if t % k == 0:
            slow = fast = slow + a * (fast - slow)
        path.append(fast)
    return torch.stack(path)


def lookahead_round_by_round(start, advance, k, a, steps):
    path = [start]
    while len(path) <= steps:
        for _ in range(k):
            path.append(advance(path[-1]))
        path[-1] = (1 - a) * path[-1 - k] + a * path[-1]
    return torch.stack(path[: steps + 1])


def lookahead_into_a_table(start, advance, k, a, steps):
    path = start.repeat(steps + 1, 1)
    for t in range(1, steps + 1):
        path[t] = advance(path[t - 1])
        if not t % k:
            path[t] = torch.lerp(path[t - k], path[t], a)
    return path


def _ahead(
    start: Tensor,
    advance: Advance,
    k: int,
    a: float,
    steps: int,
    due: Callable[[int, int], bool] = lambda t, k: t % k == 0,
    slow: Tensor | None = None,
    keeps: bool = True,
    goes_on: bool = False,
) -> Tensor:
    """Like `lookahead`: synchronised at other steps, from another slow point, or without one of its two effects."""
    fast, path = start, [start]
    slow = start if slow is None else slow
    for t in range(1, steps + 1):
        fast = shown = advance(fast)
        if due(t, k):
            shown = slow + a * (fast - slow)
            slow = shown if keeps else slow
            fast = fast if goes_on else shown
        path.append(shown)
    return torch.stack(path)


def _wasted_first(start: Tensor, advance: Advance, k: int, a: float, steps: int) -> Tensor:
    first = start
    for _ in range(k):
        first = advance(first)
    return _ahead(start, advance, k, a, steps, slow=first)


def _shown_too_soon(start: Tensor, advance: Advance, k: int, a: float, steps: int) -> Tensor:
    path = lookahead(start, advance, k, a, steps)
    return torch.stack([start, *(advance(x) for x in path[:-1])])


def _only_slow(start: Tensor, advance: Advance, k: int, a: float, steps: int) -> Tensor:
    path = lookahead(start, advance, k, a, steps)
    return path[torch.arange(steps + 1) // k * k]


LOOKAHEAD = Question(
    name="lookahead",
    signature="lookahead(start, advance, k, a, steps) -> path",
    draw=draw_ahead,
    answer=lookahead,
    examples=(
        {"start": vector(8), "advance": Shrink(vector(0.5)), "k": 2, "a": 0.5, "steps": 3},
        {"start": vector(16, 1), "advance": Shrink(vector(0.5, 0)), "k": 1, "a": 0.25, "steps": 2},
    ),
    mistakes=(
        Mistake(
            "first synchronisation wasted",
            _wasted_first,
            "Your slow weights are set at the first synchronisation, which so has nothing to go back to. They begin "
            "at the start.",
        ),
        Mistake(
            "share the wrong way round",
            lambda start, advance, k, a, steps: lookahead(start, advance, k, 1 - a, steps),
            "You kept the share a of the slow weights. a is how far they go towards the fast ones.",
        ),
        Mistake(
            "always back to the start",
            lambda start, advance, k, a, steps: _ahead(start, advance, k, a, steps, keeps=False),
            "Your slow weights never move: each time you go back towards the start. Keep the new point as slow.",
        ),
        Mistake(
            "fast weights not set back",
            lambda start, advance, k, a, steps: _ahead(start, advance, k, a, steps, goes_on=True),
            "After a synchronisation your fast weights go on from where they were. They start anew from the slow ones.",
        ),
        Mistake(
            "never set back",
            lambda start, advance, k, a, steps: _ahead(start, advance, k, a, steps, lambda t, k: False),
            "Your path is that of the rule alone. After every k-th step x is set to the slow weights.",
        ),
        Mistake(
            "row before it is set back",
            _shown_too_soon,
            "You put x into the path before it was set back. The row of a k-th step is x after that.",
        ),
        Mistake(
            "counted from zero",
            lambda start, advance, k, a, steps: _ahead(start, advance, k, a, steps, lambda t, k: (t - 1) % k == 0),
            "You synchronise after the first step, since 0 can be divided by k. Count steps from 1: after k, 2k, ...",
        ),
        Mistake(
            "one step late",
            lambda start, advance, k, a, steps: _ahead(start, advance, k, a, steps, lambda t, k: t % (k + 1) == 0),
            "You synchronise every k + 1 steps. The k-th step of a round is the one that is taken back in part.",
        ),
        Mistake(
            "slow weights only",
            _only_slow,
            "Your path waits at the slow weights. Between synchronisations x is the fast point.",
        ),
        Mistake(
            "start left out",
            lambda start, advance, k, a, steps: lookahead(start, advance, k, a, steps)[1:],
            "Your path begins after the first step. Its first row is the start, so it has steps + 1 rows.",
        ),
    ),
    rights=(lookahead_in_a_loop, lookahead_round_by_round, lookahead_into_a_table),
    hints=(
        "Two points to remember from step to step: the slow one and the fast one. Both begin at the start.",
        "Every step: fast = advance(fast). After every k-th: slow goes the share a of the way to fast, and fast is "
        "set to slow.",
        "for t in range(1, steps + 1), and t % k == 0 for every k-th. Then slow + a · (fast − slow). Put fast into "
        "the path last.",
    ),
)


# 5 · The same tries for all -------------------------------------------------------------------------------------------


def draw_tries(random: Random) -> dict[str, Any]:
    shape = random.integer(2, 3), random.integer(3, 5), random.integer(2, 4)
    table = random.tensor(*shape, low=0.1, high=2)
    for losses in table:
        for rate in random.choice(((), (0,), (1,), (0, 2))):  # never all rates: there is one that works
            losses[rate, random.integer(0, shape[2] - 1)] = math.nan
    return {"validation": table}


def choose(validation: Tensor) -> Tensor:
    return validation.mean(-1).nan_to_num(nan=math.inf).argmin(1)


def choose_in_loops(validation):
    picks = []
    for losses in validation.tolist():
        means = [sum(seeds) / len(seeds) for seeds in losses]
        usable = [rate for rate, mean in enumerate(means) if mean == mean]
        picks.append(min(usable, key=means.__getitem__))
    return torch.tensor(picks)


def choose_in_numpy(validation):
    return torch.from_numpy(np.nanargmin(validation.numpy().mean(axis=2), axis=1))


def choose_with_a_mask(validation):
    broken = validation.isnan().any(dim=2)
    return validation.sum(dim=2).masked_fill(broken, 1e9).min(dim=1).indices


TABLE = [[[4, 2], [1, 3]], [[0.5, 9], [2, 2]]]
BROKEN = [[[3, 3], [1, math.nan], [2, 2]]]

CHOOSE = Question(
    name="choose",
    signature="choose(validation) -> picks",
    draw=draw_tries,
    answer=choose,
    examples=(
        {"validation": torch.tensor(TABLE, dtype=torch.float64)},
        {"validation": torch.tensor(BROKEN, dtype=torch.float64)},
    ),
    mistakes=(
        Mistake(
            "NaN won",
            lambda validation: validation.mean(-1).argmin(1),
            "argmin takes NaN for the lowest number there is, so a rate that diverged won. Put math.inf in its place.",
        ),
        Mistake(
            "failures overlooked",
            lambda validation: validation.nanmean(-1).nan_to_num(nan=math.inf).argmin(1),
            "You took the mean of the seeds that survived. A rate at which some runs diverge is no good rate: it is "
            "out.",
        ),
        Mistake(
            "the luckiest seed",
            lambda validation: validation.nan_to_num(nan=math.inf).amin(-1).argmin(1),
            "You judged each rate by its luckiest seed. The mean over the seeds says what the rate is worth.",
        ),
        Mistake(
            "one rate for all",
            lambda validation: (
                validation.mean(-1).nan_to_num(nan=math.inf).mean(0).argmin().expand(len(validation)).clone()
            ),
            "You chose one rate for all rules, which is fair to none: a good rate for Adam is a bad one for momentum.",
        ),
        Mistake(
            "a rate for every seed",
            lambda validation: validation.nan_to_num(nan=math.inf).argmin(1),
            "You chose a rate for every seed. A rule gets one rate: take the mean over the seeds first, the last axis.",
        ),
        Mistake(
            "losses, not rates",
            lambda validation: validation.mean(-1).nan_to_num(nan=math.inf).amin(1),
            "You returned the lowest losses. Asked is at which rate they stand: argmin.",
        ),
        Mistake(
            "the worst",
            lambda validation: validation.mean(-1).nan_to_num(nan=-math.inf).argmax(1),
            "You chose the highest loss. A loss is better the lower it is.",
        ),
        Mistake(
            "by the worst seed",
            lambda validation: validation.nan_to_num(nan=math.inf).amax(-1).argmin(1),
            "You judged each rate by its unluckiest seed. That is cautious, but asked is the mean over the seeds.",
        ),
    ),
    rights=(choose_in_loops, choose_in_numpy, choose_with_a_mask),
    hints=(
        "Which axis are the seeds? Their mean goes first; then the lowest of the rates for each rule.",
        "A mean with a NaN in it is NaN, which is just what marks a broken rate. But where does argmin put a NaN?",
        "validation.mean(-1), then .nan_to_num(nan=math.inf), then .argmin along the rates, dim=1.",
    ),
)


# 6 · Seed by seed -----------------------------------------------------------------------------------------------------


def draw_pairs(random: Random) -> dict[str, Any]:
    grid = [round(0.05 * number, 2) for number in range(2, 20)]
    a = [random.choice(grid) for _ in range(2 + random.size)]
    b = [random.choice((loss, *grid[::3])) for loss in a]  # some ties
    return {"a": vector(*a), "b": vector(*b)}


def paired(a: Tensor, b: Tensor) -> tuple[int, float]:
    return int((a < b).sum()), float(np.median((a - b).numpy()))


def paired_in_plain_python(a, b):
    pairs = list(zip(a.tolist(), b.tolist(), strict=True))
    return sum(ours < theirs for ours, theirs in pairs), statistics.median(ours - theirs for ours, theirs in pairs)


def paired_by_quantile(a, b):
    return torch.count_nonzero(b > a).item(), (a - b).quantile(0.5).item()


def paired_by_sorting(a, b):
    ordered = (a - b).sort().values
    middle = ordered[(len(a) - 1) // 2] + ordered[len(a) // 2]
    return len(a) - int((a >= b).sum()), middle.item() / 2


PAIRED = Question(
    name="paired",
    signature="paired(a, b) -> wins, difference",
    draw=draw_pairs,
    answer=paired,
    examples=(
        {"a": vector(1, 5, 4), "b": vector(2, 9, 3)},
        {"a": vector(1, 2, 3, 9), "b": vector(3, 2, 4, 4)},
    ),
    mistakes=(
        Mistake(
            "ties counted as wins",
            lambda a, b: (int((a <= b).sum()), paired(a, b)[1]),
            "You counted equal losses as wins. Who is equal has not won: <, not <=.",
        ),
        Mistake(
            "wins of the other",
            lambda a, b: (int((a > b).sum()), paired(a, b)[1]),
            "You counted the seeds in which a is higher. It is losses: the lower one wins.",
        ),
        Mistake(
            "b minus a",
            lambda a, b: (paired(a, b)[0], -paired(a, b)[1]),
            "Your difference is b − a. Asked is a − b, below 0 where a is better.",
        ),
        Mistake(
            "difference of the medians",
            lambda a, b: (paired(a, b)[0], float(np.median(a.numpy()) - np.median(b.numpy()))),
            "You took the medians first, and so tore the pairs apart. Subtract seed by seed, then take the median.",
        ),
        Mistake(
            "mean",
            lambda a, b: (paired(a, b)[0], float((a - b).mean())),
            "You took the mean of the differences. A single bad seed can carry it away: asked is the median.",
        ),
        Mistake(
            "lower middle",
            lambda a, b: (paired(a, b)[0], float((a - b).median())),
            "torch.median gives the lower of the two middle numbers if there is an even number of them. The median "
            "lies half way between: quantile(0.5).",
        ),
        Mistake(
            "sorted first",
            lambda a, b: (paired(a, b)[0], float((a.sort().values - b.sort().values).quantile(0.5))),
            "You sorted the losses before you subtracted. Entry i of both belongs to the same seed: leave the order.",
        ),
        Mistake(
            "share, not count",
            lambda a, b: (paired(a, b)[0] / len(a), paired(a, b)[1]),
            "You returned the share of the seeds. Asked is their number: 70 of 80 is more evidence than 7 of 8.",
        ),
    ),
    rights=(paired_in_plain_python, paired_by_quantile, paired_by_sorting),
    hints=(
        "Entry i of a and entry i of b have the same seed. So work with a < b and a − b, entry by entry.",
        "Count where a is below b. The difference is the middle one of all a − b.",
        "int((a < b).sum()), and (a − b).quantile(0.5), made a plain number by float(...).",
    ),
)


# 7 · Could it be luck? ------------------------------------------------------------------------------------------------


def draw_luck(random: Random) -> dict[str, Any]:
    seeds = random.integer(3, 16)
    return {"wins": random.integer(seeds // 2, seeds), "seeds": seeds}


def luck(wins: int, seeds: int) -> float:
    return sum(math.comb(seeds, count) for count in range(wins, seeds + 1)) / 2**seeds


def luck_by_scipy(wins, seeds):
    return scipy.stats.binom.sf(wins - 1, seeds, 0.5)


def luck_by_throwing(wins, seeds):
    throws = np.arange(2**seeds)  # in binary: every way in which the coins may fall
    heads = sum(throws >> coin & 1 for coin in range(seeds))
    return (heads >= wins).mean()


def luck_by_counting(wins, seeds):
    chance = [1.0]
    for _ in range(seeds):  # one coin more: half of each count stays, half moves up
        chance = [(stay + come) / 2 for stay, come in zip([*chance, 0.0], [0.0, *chance], strict=True)]
    return math.fsum(chance[wins:])


LUCK = Question(
    name="luck",
    signature="luck(wins, seeds) -> chance",
    draw=draw_luck,
    answer=luck,
    examples=(
        {"wins": 2, "seeds": 2},
        {"wins": 3, "seeds": 4},
        {"wins": 12, "seeds": 16},
    ),
    mistakes=(
        Mistake(
            "exactly so many",
            lambda wins, seeds: math.comb(seeds, wins) / 2**seeds,
            "This is the chance of exactly so many wins. You would have been as impressed by more: add those.",
        ),
        Mistake(
            "more than that",
            lambda wins, seeds: luck(wins + 1, seeds),
            "You left out the number of wins itself. At least so many: begin with it.",
        ),
        Mistake(
            "at most",
            lambda wins, seeds: 1 - luck(wins + 1, seeds),
            "This is the chance of at most so many wins. Asked is at least so many.",
        ),
        Mistake(
            "both sides",
            lambda wins, seeds: min(1.0, 2 * luck(wins, seeds)),
            "You counted the wins of the other side as well. The claim is about one side only.",
        ),
        Mistake(
            "wins alone",
            lambda wins, seeds: 0.5**wins,
            "This is the chance of so many wins in a row. The losses may lie anywhere between: count the ways.",
        ),
        Mistake(
            "share of the losses",
            lambda wins, seeds: 1 - wins / seeds,
            "This is the share of the seeds that were lost, 0 if all were won. Asked is how often a coin does as well.",
        ),
        Mistake(
            "bell curve",
            lambda wins, seeds: 0.5 * math.erfc((wins - seeds / 2) / math.sqrt(seeds / 2)),
            "You took the bell curve, which is for many throws. With a dozen seeds count: math.comb(seeds, k).",
        ),
    ),
    rights=(luck_by_scipy, luck_by_throwing, luck_by_counting),
    hints=(
        "Throw n coins. All 2ⁿ outcomes are equally likely: how many of them have at least so many heads?",
        "math.comb(n, k) outcomes have exactly k heads. Add them up from the number of wins to n.",
        "range(wins, seeds + 1), so that n itself is in it. Divide the sum by 2ⁿ.",
    ),
)


# 8 · How sure is the difference? --------------------------------------------------------------------------------------


def draw_resamples(random: Random) -> dict[str, Any]:
    seeds, resamples = 2 * random.size + 1, random.integer(9, 15)
    rows = [[random.integer(0, seeds - 1) for _ in range(seeds)] for _ in range(resamples)]
    return {"differences": random.tensor(seeds), "picks": torch.tensor(rows), "cut": random.integer(1, 3)}


def interval(differences: Tensor, picks: Tensor, cut: int) -> tuple[float, float]:
    medians = differences[picks].median(1).values.sort().values
    return float(medians[cut]), float(medians[-1 - cut])


def interval_in_loops(differences, picks, cut):
    medians = sorted(statistics.median(differences[i].item() for i in row) for row in picks)
    return medians[cut], medians[len(medians) - cut - 1]


def interval_in_numpy(differences, picks, cut):
    medians = np.sort(np.median(differences.numpy()[picks.numpy()], axis=1))
    left = medians[cut : len(medians) - cut]
    return left.min(), left.max()


def interval_by_topk(differences, picks, cut):
    medians = differences.take(picks).quantile(0.5, dim=1)
    return -(-medians).topk(cut + 1).values[-1].item(), medians.topk(cut + 1).values[-1].item()


def _ends(medians: Tensor, cut: int) -> tuple[float, float]:
    medians = medians.sort().values
    return float(medians[cut]), float(medians[-1 - cut])


PICKS = [[0, 0, 0], [2, 2, 1], [1, 0, 1], [0, 2, 0], [2, 0, 2]]

INTERVAL = Question(
    name="interval",
    signature="interval(differences, picks, cut) -> low, high",
    draw=draw_resamples,
    answer=interval,
    examples=(
        {"differences": vector(-3, -1, 2), "picks": torch.tensor(PICKS[:4]), "cut": 1},
        {"differences": vector(-3, -1, 2), "picks": torch.tensor(PICKS), "cut": 1},
    ),
    mistakes=(
        Mistake(
            "not sorted",
            lambda differences, picks, cut: (
                float(differences[picks].median(1).values[cut]),
                float(differences[picks].median(1).values[-1 - cut]),
            ),
            "You cut the medians in the order in which they were drawn. Sort them first.",
        ),
        Mistake(
            "cut one too few",
            lambda differences, picks, cut: _ends(differences[picks].median(1).values, cut - 1),
            "You cut one too few at each end. If `cut` are off, the lowest that is left has the index cut.",
        ),
        Mistake(
            "nothing cut",
            lambda differences, picks, cut: _ends(differences[picks].median(1).values, 0),
            "You took the lowest and the highest median of all. One odd resample decides about those: cut them off.",
        ),
        Mistake(
            "means",
            lambda differences, picks, cut: _ends(differences[picks].mean(1), cut),
            "You took the mean of each resample. What you want to be sure about is the median.",
        ),
        Mistake(
            "along the resamples",
            lambda differences, picks, cut: _ends(differences[picks].quantile(0.5, dim=0), cut),
            "You took the medians along the columns. Each row is one resample: a median for every row, dim=1.",
        ),
        Mistake(
            "spread of the seeds",
            lambda differences, picks, cut: (float(differences.min()), float(differences.max())),
            "This is how far the seeds lie apart. Asked is how far their median would, in another set of seeds.",
        ),
        Mistake(
            "exchanged",
            lambda differences, picks, cut: interval(differences, picks, cut)[::-1],
            "Both numbers are right, in the wrong order: the low end first.",
        ),
        Mistake(
            "one too few at the top",
            lambda differences, picks, cut: (
                interval(differences, picks, cut)[0],
                float(differences[picks].median(1).values.sort().values[-cut]),
            ),
            "At the top you cut one too few. The last has the index −1, so with `cut` of them gone it is −1 − cut.",
        ),
    ),
    properties=(Property("the low end is not above the high one", lambda value, given: value[0] <= value[1]),),
    rights=(interval_in_loops, interval_in_numpy, interval_by_topk),
    hints=(
        "differences[picks] has the shape of picks: each row is another set of seeds that you might have had.",
        "The median of every row, then sort. Of n sorted medians, which is the first that is left, which the last?",
        "Those with the index cut and, from the end, −1 − cut. float(...) makes plain numbers of them.",
    ),
)


QUESTIONS = (CLIP, LION, WARM_UP, LOOKAHEAD, CHOOSE, PAIRED, LUCK, INTERVAL)
