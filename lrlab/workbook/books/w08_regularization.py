"""The questions of workbook 08: the factor 2 of L2, what is decayed, zeros, how many of them, the wall, when to stop.

Each section is one question: how an input is drawn, the reference, three other right ways to write it, the question.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lrlab.regularization import L1, L2, EarlyStopping, ElasticNet, MaxNorm, Place, everywhere
from lrlab.workbook.given import matrix, vector
from lrlab.workbook.questions import Mistake, Property, Question, Random

VERSION = 1


# 1 · The pull of L2 ---------------------------------------------------------------------------------------------------


def draw_pull(random: Random) -> dict[str, Any]:
    return {"w": random.tensor(), "g": random.tensor(), "lam": random.log_uniform(1e-2, 1)}


def l2_gradient(w: Tensor, g: Tensor, lam: float) -> Tensor:
    return g + L2(lam).gradient(w, everywhere(w))


def l2_gradient_in_a_line(w, g, lam):
    return g + 2 * lam * w


def l2_gradient_by_autograd(w, g, lam):
    w = w.clone().requires_grad_()
    (w @ g + lam * (w**2).sum()).backward()
    return w.grad


def l2_gradient_by_differences(w, g, lam):
    ahead, behind = w + 0.5, w - 0.5  # of a parabola the slope between two points is that of their middle
    return torch.add(g, ahead.square() - behind.square(), alpha=lam)


L2_GRADIENT = Question(
    name="l2_gradient",
    signature="l2_gradient(w, g, lam) -> gradient",
    draw=draw_pull,
    answer=l2_gradient,
    examples=(
        {"w": vector(3), "g": vector(1), "lam": 0.1},
        {"w": vector(3, -4), "g": vector(1, 0), "lam": 0.1},
    ),
    mistakes=(
        Mistake(
            "factor 2 lost",
            lambda w, g, lam: g + lam * w,
            "You pulled by λw. That is the convention of torch's weight_decay; the derivative of λw² is twice as much.",
        ),
        Mistake(
            "mean of the squares",
            lambda w, g, lam: g + 2 * lam * w / len(w),
            "You took the mean of the squares. The penalty is their sum: each weight pays for itself.",
        ),
        Mistake(
            "pushed away",
            lambda w, g, lam: g - 2 * lam * w,
            "Your penalty pushes the weights away from 0. What is added to the loss is added to the gradient as well.",
        ),
        Mistake(
            "L1",
            lambda w, g, lam: g + lam * w.sign(),
            "Your pull is the same for every weight: this is the gradient of L1. That of a square grows with w.",
        ),
        Mistake(
            "the penalty itself",
            lambda w, g, lam: g + lam * (w**2).sum(),
            "You added the penalty, a loss, to the gradient. It is the derivative by w that belongs there.",
        ),
        Mistake(
            "the square kept",
            lambda w, g, lam: g + lam * w**2,
            "You added λw², which pulls negative weights further down. Take the derivative of w² by w.",
        ),
        Mistake(
            "penalty alone",
            lambda w, g, lam: 2 * lam * w,
            "This is the pull of the penalty. Asked is the gradient of the whole loss: g belongs to it.",
        ),
    ),
    rights=(l2_gradient_in_a_line, l2_gradient_by_autograd, l2_gradient_by_differences),
    hints=(
        "The gradient of a sum is the sum of the gradients. One of the two you are given.",
        "The other is the derivative of λ w² by w, weight by weight. The sum over the weights leaves no trace in it.",
        "That is 2 λ w. Add it to g.",
    ),
)


# 2 · Which weights, in torch's words ----------------------------------------------------------------------------------

Shapes = dict[str, tuple[int, ...]]


def draw_shapes(random: Random) -> dict[str, Any]:
    units = random.integer(2, 9)
    layers: list[Shapes] = [
        {"0.weight": (units, 4), "0.bias": (units,)},
        {"stem.weight": (units, 3, 3, 3)},
        {"norm.weight": (units,), "norm.bias": (units,)},
        {"attention.in_proj": (3 * units, units)},
        {"prelu.slope": (1,)},
        {"temperature": ()},
    ]
    shapes: Shapes = {}
    for number in sorted({random.integer(0, 5) for _ in range(1 + random.size)}):
        shapes |= layers[number]
    return {"shapes": shapes, "lam": random.log_uniform(1e-4, 1)}


def _decays(shapes: Shapes, decay: float, touched: Callable[[str, tuple[int, ...]], bool]) -> dict[str, float]:
    return {name: decay if touched(name, shape) else 0.0 for name, shape in shapes.items()}


def is_weight(name: str, shape: tuple[int, ...]) -> bool:
    return len(shape) >= 2


def weight_decays(shapes: Shapes, lam: float) -> dict[str, float]:
    return _decays(shapes, 2 * lam, is_weight)


def weight_decays_in_a_loop(shapes, lam):
    decays = dict.fromkeys(shapes, 0)
    for name in shapes:
        if len(shapes[name]) > 1:
            decays[name] = lam + lam
    return decays


def weight_decays_by_meta_tensors(shapes, lam):
    parameters = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    return {name: 2 * lam * (parameter.dim() not in (0, 1)) for name, parameter in parameters.items()}


def weight_decays_by_filter(shapes, lam):
    spared = {name: 0.0 for name, shape in shapes.items() if shape in [(), shape[:1]]}
    return {**dict.fromkeys(shapes, lam / 0.5), **spared}


WEIGHT_DECAYS = Question(
    name="weight_decays",
    signature="weight_decays(shapes, lam) -> decays",
    draw=draw_shapes,
    answer=weight_decays,
    examples=(
        {"shapes": {"0.weight": (3, 2), "0.bias": (3,)}, "lam": 0.1},
        {"shapes": {"stem.weight": (8, 1, 3, 3), "norm.weight": (8,), "norm.bias": (8,)}, "lam": 0.01},
        {"shapes": {"head.weight": (2, 8), "temperature": ()}, "lam": 0.01},
    ),
    mistakes=(
        Mistake(
            "λ handed on as it is",
            lambda shapes, lam: _decays(shapes, lam, is_weight),
            "You gave torch λ itself. torch multiplies w by its weight_decay, and your gradient has 2λw.",
        ),
        Mistake(
            "everything decayed",
            lambda shapes, lam: _decays(shapes, 2 * lam, lambda name, shape: True),
            "You decayed biases and scales too, as torch does if nobody stops it. Only matrices and filters are asked.",
        ),
        Mistake(
            "chosen by name",
            lambda shapes, lam: _decays(shapes, 2 * lam, lambda name, shape: name.endswith("weight")),
            "You went by the word weight in the name. The scale of a normalisation is called weight as well, and a "
            "matrix may have any name: go by the shape.",
        ),
        Mistake(
            "all but biases",
            lambda shapes, lam: _decays(shapes, 2 * lam, lambda name, shape: "bias" not in name),
            "You spared what is called bias. Scales and temperatures are no matrices either: go by the shape.",
        ),
        Mistake(
            "filters forgotten",
            lambda shapes, lam: _decays(shapes, 2 * lam, lambda name, shape: len(shape) == 2),
            "You decayed matrices only. The filters of a convolution have four axes, and are weights too.",
        ),
        Mistake(
            "vectors taken for weights",
            lambda shapes, lam: _decays(shapes, 2 * lam, lambda name, shape: len(shape) >= 1),
            "You spared single numbers only. A bias or a scale is a vector, with one axis; a weight has two or more.",
        ),
        Mistake(
            "exchanged",
            lambda shapes, lam: _decays(shapes, 2 * lam, lambda name, shape: not is_weight(name, shape)),
            "You decayed just those that are to be left alone, and spared the others.",
        ),
        Mistake(
            "spared ones left out",
            lambda shapes, lam: {name: 2 * lam for name, shape in shapes.items() if is_weight(name, shape)},
            "The dictionary needs an entry for every parameter: 0 for those that are left alone.",
        ),
    ),
    rights=(weight_decays_in_a_loop, weight_decays_by_meta_tensors, weight_decays_by_filter),
    hints=(
        "Two decisions: how large is torch's number for your λ, and who gets it?",
        "torch adds weight_decay · w to the gradient; compare with question 1. And a bias is told by its shape: it "
        "has one axis only.",
        "A dictionary over shapes.items(): 2 λ where len(shape) is 2 or more, and 0 elsewhere.",
    ),
)


# 3 · The step that stops at zero --------------------------------------------------------------------------------------


def draw_proximal(random: Random) -> dict[str, Any]:
    return {
        "w": random.tensor(),
        "g": random.tensor(),
        "lr": random.log_uniform(0.05, 0.8),
        "lam": random.uniform(0.5, 3),
    }


def l1_step(w: Tensor, g: Tensor, lr: float, lam: float) -> Tensor:
    return L1(lam, proximal=True).after(w - lr * g, lr, everywhere(w)) + 0.0  # or a student would be shown -0.0


def shrunk(z: Tensor, amount: float) -> Tensor:
    return z.sign() * (z.abs() - amount).clamp(min=0)


def l1_step_by_cases(w, g, lr, lam):
    z, amount = w - lr * g, lr * lam
    return torch.where(z > amount, z - amount, torch.where(z < -amount, z + amount, 0.0))


def l1_step_by_torch(w, g, lr, lam):
    return torch.nn.functional.softshrink(w - lr * g, lr * lam)


def l1_step_by_clamp(w, g, lr, lam):
    z = w.sub(g, alpha=lr)
    return z - z.clamp(-lr * lam, lr * lam)


L1_STEP = Question(
    name="l1_step",
    signature="l1_step(w, g, lr, lam) -> w",
    draw=draw_proximal,
    answer=l1_step,
    examples=(
        {"w": vector(1), "g": vector(2), "lr": 0.1, "lam": 3.0},
        {"w": vector(0.2, -1, -0.3), "g": vector(0, 0, -8), "lr": 0.1, "lam": 3.0},
    ),
    mistakes=(
        Mistake(
            "over zero and back",
            lambda w, g, lr, lam: w - lr * (g + lam * w.sign()),
            "This is L1 by gradient. Near 0 its step goes over zero, and no weight ever stays there: stop at zero.",
        ),
        Mistake(
            "does not stop",
            lambda w, g, lr, lam: (w - lr * g) - lr * lam * (w - lr * g).sign(),
            "You move every weight by αλ towards 0, small ones beyond it. Whoever is nearer than αλ stops at 0.",
        ),
        Mistake(
            "threshold without the rate",
            lambda w, g, lr, lam: shrunk(w - lr * g, lam),
            "Your threshold is λ. A step of the rate α pulls by αλ; look at the units.",
        ),
        Mistake(
            "threshold first",
            lambda w, g, lr, lam: shrunk(w, lr * lam) - lr * g,
            "You shrank first, and then the gradient lifted the zeros off again. First the step of the loss.",
        ),
        Mistake(
            "cut off, not shrunk",
            lambda w, g, lr, lam: torch.where((w - lr * g).abs() <= lr * lam, 0.0, w - lr * g),
            "You set small weights to 0 and left the others alone. L1 pulls at all: large ones get αλ shorter.",
        ),
        Mistake(
            "negative weights lost",
            lambda w, g, lr, lam: (w - lr * g - lr * lam).clamp(min=0),
            "Negative weights end at 0 in your step. Shrink the absolute value, and put the sign back.",
        ),
        Mistake(
            "sign of the old weight",
            lambda w, g, lr, lam: w.sign() * ((w - lr * g).abs() - lr * lam).clamp(min=0),
            "You took the sign before the step of the loss, which may have changed it. Take that of w − αg.",
        ),
        Mistake(
            "pulled twice",
            lambda w, g, lr, lam: shrunk(w - lr * (g + lam * w.sign()), lr * lam),
            "You pulled twice: once in the gradient, once by the threshold. The step of the loss takes g alone.",
        ),
    ),
    properties=(
        Property(
            "no weight ends on the other side of 0 from where the step of the loss alone leads",
            lambda value, given: bool((value * (given["w"] - given["lr"] * given["g"]) >= 0).all()),
        ),
    ),
    rights=(l1_step_by_cases, l1_step_by_torch, l1_step_by_clamp),
    hints=(
        "Two moves, one after the other: that of the loss, then that of the penalty alone.",
        "z = w − αg is the first. The second takes αλ off |z|, but never below 0, and keeps the sign of z.",
        "z.sign() times (z.abs() − αλ), the latter with .clamp(min=0).",
    ),
)


# 4 · From which λ on is nothing left? ---------------------------------------------------------------------------------


def draw_regression(random: Random) -> dict[str, Any]:
    samples, inputs = random.integer(3, 6), random.size + 1
    return {"X": random.tensor(samples, inputs), "y": random.tensor(samples)}


def nothing_left(X: Tensor, y: Tensor) -> float:
    return float((X.T @ y).abs().max() / len(y))


def nothing_left_by_autograd(X, y):
    w = torch.zeros(X.shape[1], dtype=X.dtype, requires_grad=True)
    (slope,) = torch.autograd.grad(0.5 * (X @ w - y).square().mean(), w)
    return slope.abs().max().item()


def nothing_left_in_numpy(X, y):
    return np.linalg.norm(np.einsum("ij,i->j", X.numpy(), y.numpy()), np.inf) / X.shape[0]


def nothing_left_by_trying(X, y):
    w = torch.zeros(X.shape[1], dtype=X.dtype)
    g = X.T @ (X @ w - y) / len(y)
    low, high = 0.0, 100.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if l1_step(w, g, 1.0, middle).any() else (low, middle)
    return high


NOTHING_LEFT = Question(
    name="nothing_left",
    signature="nothing_left(X, y) -> lam",
    draw=draw_regression,
    answer=nothing_left,
    examples=(
        {"X": matrix((1,), (2,)), "y": vector(3, 4)},
        {"X": matrix((1, 4), (2, -7)), "y": vector(3, 4)},
    ),
    mistakes=(
        Mistake(
            "sum, not mean",
            lambda X, y: float((X.T @ y).abs().max()),
            "You forgot the N samples: the loss is a mean, and so is its gradient.",
        ),
        Mistake(
            "sign kept",
            lambda X, y: float((X.T @ y).max() / len(y)),
            "You took the largest number, but a slope of −8 lifts a weight off 0 just as 8 does: look at |slope|.",
        ),
        Mistake(
            "all slopes together",
            lambda X, y: float((X.T @ y).norm() / len(y)),
            "You took the length of the gradient. The weights do not help each other: λ must hold down the strongest.",
        ),
        Mistake(
            "slopes added up",
            lambda X, y: float((X.T @ y).abs().sum() / len(y)),
            "You added up the slopes. Each weight is held down by λ on its own: only the steepest one counts.",
        ),
        Mistake(
            "the weakest",
            lambda X, y: float((X.T @ y).abs().min() / len(y)),
            "At this λ the first weight falls to 0, if no other moves. Asked is where the last one does.",
        ),
        Mistake(
            "half forgotten",
            lambda X, y: float(2 * (X.T @ y).abs().max() / len(y)),
            "You have a factor 2 too much: the ½ before the square takes it away.",
        ),
        Mistake(
            "threshold of the targets",
            lambda X, y: float(y.abs().mean()),
            "You looked at the targets alone. What pulls at a weight is the slope, and X stands in it.",
        ),
    ),
    rights=(nothing_left_by_autograd, nothing_left_in_numpy, nothing_left_by_trying),
    hints=(
        "Put w = 0 into your l1_step. When does it stay there, whatever the rate is?",
        "The step of the loss leads to −αg, and the threshold is αλ. So each |slope| at w = 0 must be at most λ.",
        "The gradient of the loss at w = 0 is −Xᵀy / N. Take the largest of its absolute values; float(...) makes a "
        "plain number.",
    ),
)


# 5 · Both at once -----------------------------------------------------------------------------------------------------


def draw_elastic(random: Random) -> dict[str, Any]:
    return {**draw_proximal(random), "beta": random.uniform(0.2, 3)}


def elastic_step(w: Tensor, g: Tensor, lr: float, lam: float, beta: float) -> Tensor:
    return ElasticNet(lam, beta, proximal=True).after(w - lr * g, lr, everywhere(w)) + 0.0


def elastic_step_in_two_lines(w, g, lr, lam, beta):
    w = torch.nn.functional.softshrink(w - lr * g, lr * lam)
    return w / (1 + 2 * lr * lam * beta)


def elastic_step_by_cases(w, g, lr, lam, beta):
    z, below = w - lr * g, 1 + 2 * lr * lam * beta
    right, left = (z - lr * lam) / below, (z + lr * lam) / below
    return torch.where(right > 0, right, torch.where(left < 0, left, 0.0))


def elastic_step_by_bisection(w, g, lr, lam, beta):
    z = w - lr * g
    low, high = torch.zeros_like(z), z.abs()
    for _ in range(80):  # the slope of (v − |z|)²/2α + λ (β v² + v) rises with v
        v = (low + high) / 2
        rises = (v - z.abs()) / lr + lam * (2 * beta * v + 1) > 0
        low, high = torch.where(rises, low, v), torch.where(rises, v, high)
    return high * z.sign()


ELASTIC_STEP = Question(
    name="elastic_step",
    signature="elastic_step(w, g, lr, lam, beta) -> w",
    draw=draw_elastic,
    answer=elastic_step,
    examples=(
        {"w": vector(1), "g": vector(0), "lr": 0.1, "lam": 2.5, "beta": 1.0},
        {"w": vector(0.2, -1), "g": vector(0, 0.5), "lr": 0.1, "lam": 2.5, "beta": 1.0},
    ),
    mistakes=(
        Mistake(
            "factor 2 lost",
            lambda w, g, lr, lam, beta: shrunk(w - lr * g, lr * lam) / (1 + lr * lam * beta),
            "The 2 is missing below the line: the derivative of βw² is 2βw.",
        ),
        Mistake(
            "shrunk by the slope",
            lambda w, g, lr, lam, beta: shrunk(w - lr * g, lr * lam) * (1 - 2 * lr * lam * beta),
            "You took a gradient step for the square: times 1 − 2αλβ. The exact one divides by 1 + 2αλβ, and never "
            "goes beyond 0.",
        ),
        Mistake(
            "divided first",
            lambda w, g, lr, lam, beta: shrunk((w - lr * g) / (1 + 2 * lr * lam * beta), lr * lam),
            "You divided before the threshold. Set the derivative to 0 once more: αλ comes off z first.",
        ),
        Mistake(
            "rate left out",
            lambda w, g, lr, lam, beta: shrunk(w - lr * g, lr * lam) / (1 + 2 * lam * beta),
            "You divided by 1 + 2λβ. That has a unit in it; with the rate α it has none.",
        ),
        Mistake(
            "L1 alone",
            lambda w, g, lr, lam, beta: shrunk(w - lr * g, lr * lam),
            "This is the step of L1. The square pulls as well: what is left is divided by something.",
        ),
        Mistake(
            "β at the wrong term",
            lambda w, g, lr, lam, beta: shrunk(w - lr * g, lr * lam * beta) / (1 + 2 * lr * lam),
            "You gave β to the absolute value. Here it weighs the square: λ (β w² + |w|).",
        ),
        Mistake(
            "square in the gradient",
            lambda w, g, lr, lam, beta: shrunk(w - lr * (g + 2 * lam * beta * w), lr * lam),
            "You put the pull of the square into the gradient. That is a fair step, but the exact one of the whole "
            "penalty is asked: both parts after the step of the loss.",
        ),
        Mistake(
            "λ missing below",
            lambda w, g, lr, lam, beta: shrunk(w - lr * g, lr * lam) / (1 + 2 * lr * beta),
            "You divided by 1 + 2αβ. λ stands before both parts of the penalty.",
        ),
    ),
    rights=(elastic_step_in_two_lines, elastic_step_by_cases, elastic_step_by_bisection),
    hints=(
        "Take v above 0 first, where |v| is v. Where is the derivative of (v − z)²/(2α) + λ(βv² + v) zero?",
        "(v − z)/α + 2λβv + λ = 0. Solve for v. And if that gives a v below 0, the best is v = 0.",
        "v (1 + 2αλβ) = z − αλ. So take the step of question 3, and divide what it leaves.",
    ),
)


# 6 · The wall ---------------------------------------------------------------------------------------------------------


def draw_rows(random: Random) -> dict[str, Any]:
    W = random.tensor(random.size + 1, random.integer(2, 4))
    if random.integer(0, 1):
        W[0] = 0.0  # a unit that has not learned anything yet
    return {"W": W, "c": random.uniform(0.5, 4)}


def max_norm(W: Tensor, c: float) -> Tensor:
    units, inputs = W.shape
    rows = Place(torch.ones(W.numel()), torch.arange(units).repeat_interleave(inputs), units)
    return MaxNorm(c).after(W.flatten(), 1.0, rows).view_as(W)


def max_norm_in_two_lines(W, c):
    lengths = W.norm(dim=1, keepdim=True)
    return W * (c / lengths).clamp(max=1)


def max_norm_row_by_row(W, c):
    return torch.stack([row if row.norm() <= c else row * (c / row.norm()) for row in W])


def max_norm_in_numpy(W, c):
    lengths = np.sqrt((W.numpy() ** 2).sum(1))
    return torch.from_numpy(W.numpy() / np.maximum(1, lengths / c)[:, None])


MAX_NORM = Question(
    name="max_norm",
    signature="max_norm(W, c) -> W",
    draw=draw_rows,
    answer=max_norm,
    examples=(
        {"W": matrix((3, 4)), "c": 1.0},
        {"W": matrix((6, 8), (0.3, 0.4)), "c": 5.0},
        {"W": matrix((0, 0), (0, -2)), "c": 1.0},
    ),
    mistakes=(
        Mistake(
            "every unit at the wall",
            lambda W, c: W * c / W.norm(dim=1, keepdim=True),
            "You stretched the short rows as well. Max-norm is a wall, not a length: who is within it stays.",
        ),
        Mistake(
            "lengths lined up with the columns",
            lambda W, c: W * (c / W.norm(dim=1)).clamp(max=1),
            "Your lengths have the shape [units], so torch multiplied the columns by them. With keepdim=True they are "
            "[units, 1], one for each row.",
        ),
        Mistake(
            "columns",
            lambda W, c: W * (c / W.norm(dim=0, keepdim=True)).clamp(max=1),
            "You measured columns, the weights that go out of an input. A unit's incoming weights are a row: dim=1.",
        ),
        Mistake(
            "the whole matrix",
            lambda W, c: W * (c / W.norm()).clamp(max=1),
            "You measured the whole matrix. Every unit has a wall of its own.",
        ),
        Mistake(
            "entry by entry",
            lambda W, c: W.clamp(-c, c),
            "You bounded every entry, which turns the row to another direction. Its length is bounded, all in one.",
        ),
        Mistake(
            "length squared",
            lambda W, c: W * (c / W.square().sum(1, keepdim=True)).clamp(max=1),
            "You divided by the squared length. Look at the units: c is a length.",
        ),
        Mistake(
            "sum of absolute values",
            lambda W, c: W * (c / W.abs().sum(1, keepdim=True)).clamp(max=1),
            "You measured rows by the sum of |w|. The wall is on the length ‖w‖₂.",
        ),
        Mistake(
            "cut to length 1",
            lambda W, c: W / W.norm(dim=1, keepdim=True).clamp(min=c),
            "Your long rows end with the length 1. Multiply by c: the wall stands there.",
        ),
    ),
    properties=(
        Property(
            "no row is longer than c",
            lambda value, given: bool((value.norm(dim=1) <= given["c"] * (1 + 1e-6)).all()),
        ),
    ),
    rights=(max_norm_in_two_lines, max_norm_row_by_row, max_norm_in_numpy),
    hints=(
        "First the length of every row: W.norm, along which dimension?",
        "W.norm(dim=1, keepdim=True). Every row is multiplied by c over its length, but by 1 if that is more.",
        "The factor is (c / lengths).clamp(max=1); a row of zeros divides by 0, gets inf, and is cut back to 1.",
    ),
)


# 7 · When to stop -----------------------------------------------------------------------------------------------------


def draw_losses(random: Random) -> dict[str, Any]:
    levels = (0.9, 0.8, 0.8, 0.7, 0.6, 0.5, math.nan)
    later = [random.choice(levels) for _ in range(2 + 2 * random.size)]
    return {"losses": [1.0, *later], "patience": random.integer(1, 3)}


def when_to_stop(losses: list[float], patience: int) -> tuple[int, int]:
    stopping = EarlyStopping(patience)
    state = stopping.init()
    for loss in losses:
        state = stopping.observe(loss, state)
        if state["stop"]:
            break
    return state["seen"], state["best_at"]


def when_to_stop_by_distance(losses, patience):
    best, best_at = math.inf, 0
    for number, loss in enumerate(losses, 1):
        if loss < best:
            best, best_at = loss, number
        if number - best_at == patience:
            return number, best_at
    return len(losses), best_at


def when_to_stop_in_a_while(losses, patience):
    seen, bad, kept = 0, 0, (math.inf, 0)
    while seen < len(losses) and bad < patience:
        seen += 1
        better = losses[seen - 1] < kept[0]
        kept, bad = ((losses[seen - 1], seen), 0) if better else (kept, bad + 1)
    return seen, kept[1]


def when_to_stop_in_numpy(losses, patience):
    values = np.nan_to_num(np.array(losses), nan=np.inf)
    before = np.concatenate([[np.inf], np.minimum.accumulate(values)[:-1]])
    good = np.flatnonzero(values < before) + 1
    gaps = np.diff([*good, len(losses) + 1]) > patience
    best = good[gaps.argmax()] if gaps.any() else good[-1]
    return (int(best) + patience if gaps.any() else len(losses)), int(best)


def _stop(
    losses: list[float],
    patience: int,
    good: Callable[[float, float], bool] = lambda loss, best: loss < best,
    bad: Callable[[float, float], bool] = lambda loss, best: True,
    in_a_row: bool = True,
    forget: bool = False,
    first: int = 1,
) -> tuple[int, int]:
    """Like `when_to_stop`, with another idea of what is good or bad, or of how they are counted."""
    best, best_at, count = math.inf, 0, 0
    for number, loss in enumerate(losses, first):
        if good(loss, best):
            best, best_at, count = loss, number, 0 if in_a_row else count
        elif bad(loss, best):
            count += 1
        if count >= patience:
            return number, best_at
        if forget:
            best = loss
    return len(losses), best_at


WHEN_TO_STOP = Question(
    name="when_to_stop",
    signature="when_to_stop(losses, patience) -> stop, best",
    draw=draw_losses,
    answer=when_to_stop,
    examples=(
        {"losses": [1.0, 0.8, 0.9], "patience": 1},
        {"losses": [1.0, 0.8, 0.9, 0.7, 0.7, 0.8, 0.1], "patience": 2},
        {"losses": [1.0, math.nan, 0.8, 0.6], "patience": 2},
        {"losses": [1.0, 0.8, math.nan, 0.9, 0.1], "patience": 2},
    ),
    mistakes=(
        Mistake(
            "one too patient",
            lambda losses, patience: when_to_stop(losses, patience + 1),
            "You stop one validation late: with the bad one that makes the patience full, not after it.",
        ),
        Mistake(
            "bad ones added up",
            lambda losses, patience: _stop(losses, patience, in_a_row=False),
            "You count all bad validations. Patience is about those in a row: a good one sets the count back to 0.",
        ),
        Mistake(
            "a tie is an improvement",
            lambda losses, patience: _stop(losses, patience, good=lambda loss, best: loss <= best),
            "You take an equal loss for a better one. It must be below the best: with <=, a run that has come to rest "
            "never stops.",
        ),
        Mistake(
            "compared with the one before",
            lambda losses, patience: _stop(losses, patience, forget=True),
            "You compare with the validation before. It must beat the best of all so far.",
        ),
        Mistake(
            "NaN overlooked",
            lambda losses, patience: _stop(losses, patience, bad=lambda loss, best: loss >= best),
            "A NaN is neither below nor above anything, so you did not count it. It is a bad validation: use else.",
        ),
        Mistake(
            "NaN taken for the best",
            lambda losses, patience: _stop(losses, patience, good=lambda loss, best: not loss >= best),
            "A NaN became your best loss, since `not nan >= best` is True. Ask whether the loss is below the best.",
        ),
        Mistake(
            "counted from zero",
            lambda losses, patience: tuple(number - 1 for number in when_to_stop(losses, patience)),
            "You count validations from 0, as Python does. Here the first one is number 1.",
        ),
        Mistake(
            "counted from zero where it stops",
            lambda losses, patience: _stop(losses, patience, first=0),
            "Where the run is stopped your numbers are one too low: enumerate counts from 0. enumerate(losses, 1) "
            "begins with 1.",
        ),
        Mistake(
            "last weights kept",
            lambda losses, patience: (when_to_stop(losses, patience)[0],) * 2,
            "You stay on the last weights, as keras does unless told otherwise. Asked is also which were the best.",
        ),
        Mistake(
            "a look into the future",
            lambda losses, patience: (
                when_to_stop(losses, patience)[0],
                1 + losses.index(min(loss for loss in losses if loss == loss)),
            ),
            "Your best lies after the stop, where nobody was. Only the validations up to the stop have been made.",
        ),
        Mistake(
            "exchanged",
            lambda losses, patience: when_to_stop(losses, patience)[::-1],
            "Both numbers are right, in the wrong order: where it stops, then which was the best.",
        ),
    ),
    rights=(when_to_stop_by_distance, when_to_stop_in_a_while, when_to_stop_in_numpy),
    hints=(
        "Three things to remember from one validation to the next: the best loss, its number, and how many bad ones "
        "came in a row since.",
        "A loss below the best is good: keep it, and the count is 0 again. Anything else, NaN too, adds 1; when the "
        "count reaches the patience, return.",
        "Start with best = math.inf; for number, loss in enumerate(losses, 1). After the loop nothing has stopped "
        "you: return len(losses) and the number of the best.",
    ),
)


QUESTIONS = (L2_GRADIENT, WEIGHT_DECAYS, L1_STEP, NOTHING_LEFT, ELASTIC_STEP, MAX_NORM, WHEN_TO_STOP)
