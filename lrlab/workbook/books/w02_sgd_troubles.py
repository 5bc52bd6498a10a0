"""The questions of workbook 02: the best rate for a valley, scaled inputs, saddles, the noise of a batch, clipping.

Each section is one question: how an input is drawn, the reference, three other right ways to write it, the question.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lrlab import rules
from lrlab.workbook.given import draw_hessian, length, matrix, same_count
from lrlab.workbook.questions import Mistake, Property, Question, Random

VERSION = 1


# 1 · The best rate for a valley ---------------------------------------------------------------------------------------


def _ends(hessian: Tensor) -> tuple[float, float]:
    """The smallest and the largest curvature."""
    curvatures = torch.linalg.eigvalsh(hessian)
    return float(curvatures[0]), float(curvatures[-1])


def best_rate(hessian: Tensor) -> tuple[float, float]:
    low, high = _ends(hessian)
    return 2 / (low + high), (high - low) / (high + low)


def best_rate_through_kappa(hessian):
    high, low = torch.linalg.matrix_norm(hessian, 2), torch.linalg.matrix_norm(hessian, -2)
    kappa = high / low
    return (2 / low / (kappa + 1)).item(), ((kappa - 1) / (kappa + 1)).item()


def best_rate_by_the_factor(hessian):
    low, high = np.linalg.eigvalsh(hessian.numpy())[[0, -1]]
    lr = 1 / np.mean([low, high])
    return lr, 1 - lr * low


def best_rate_by_both_factors(hessian):
    curvatures = torch.linalg.svdvals(hessian)
    lr = 2 / (curvatures.max() + curvatures.min()).item()
    return [lr, (1 - lr * curvatures).abs().max().item()]


def _valley(rate: Callable[[float, float], float], share: Callable[[float, float], float]) -> Callable[..., Any]:
    """Another rate and another share, each from the smallest and the largest curvature."""

    def pair(hessian: Tensor) -> tuple[float, float]:
        ends = _ends(hessian)
        return rate(*ends), share(*ends)

    return pair


def _right_rate(low: float, high: float) -> float:
    return 2 / (low + high)


def _right_share(low: float, high: float) -> float:
    return (high - low) / (high + low)


def _from_the_diagonal(hessian: Tensor) -> tuple[float, float]:
    low, high = float(hessian.diagonal().min()), float(hessian.diagonal().max())
    return _right_rate(low, high), _right_share(low, high)


BEST_RATE = Question(
    name="best_rate",
    signature="best_rate(hessian) -> lr, share",
    draw=draw_hessian,
    answer=best_rate,
    tolerance=1e-5,
    examples=(
        {"hessian": matrix((2, 0), (0, 6))},
        {"hessian": matrix((5, 3), (3, 5))},
        {"hessian": matrix((1, 0, 0), (0, 9, 0), (0, 0, 2))},
    ),
    mistakes=(
        Mistake(
            "the cliff",
            _valley(lambda low, high: 2 / high, _right_share),
            "Your α is 2/λmax, the cliff: there the steepest direction jumps to and fro for ever. The best rate lies "
            "below.",
        ),
        Mistake(
            "best for the walls",
            _valley(lambda low, high: 1 / high, _right_share),
            "Your α is the best for the steepest direction alone, which is done in one step. It may take more, and the "
            "floor needs more.",
        ),
        Mistake(
            "the diagonal",
            _from_the_diagonal,
            "You took the diagonal of the Hessian. The curvatures of a valley that lies across are its eigenvalues.",
        ),
        Mistake(
            "share of the loss",
            _valley(_right_rate, lambda low, high: _right_share(low, high) ** 2),
            "Your share is squared: that is what is left of the loss. Asked is what is left of the distance.",
        ),
        Mistake(
            "what a step gains",
            _valley(_right_rate, lambda low, high: 1 - _right_share(low, high)),
            "This is the share of the distance that a step gains. Asked is the share that it leaves.",
        ),
        Mistake(
            "one over the condition number",
            _valley(_right_rate, lambda low, high: 1 - low / high),
            "1 − 1/κ is what the floor keeps at the rate 1/λmax. At the better rate it is less: put your α into "
            "1 − αλmin.",
        ),
        Mistake(
            "exchanged",
            lambda hessian: best_rate(hessian)[::-1],
            "Both numbers are right, in the wrong order: α first, then the share.",
        ),
        Mistake(
            "mean of all curvatures",
            lambda hessian: (1 / float(hessian.diagonal().mean()), best_rate(hessian)[1]),
            "You took the mean of all curvatures. Only the two at the ends count: those between are never the slowest.",
        ),
    ),
    properties=(
        Property(
            "α lies below the cliff, 2/λmax",
            lambda value, given: value[0] * _ends(given["hessian"])[1] < 2 * (1 - 1e-6),
        ),
    ),
    rights=(best_rate_through_kappa, best_rate_by_the_factor, best_rate_by_both_factors),
    hints=(
        "The curvatures are the eigenvalues of the Hessian. Which two of them matter?",
        "The factors of the flattest and the steepest direction, 1 − αλmin and 1 − αλmax, shall be of one size, with "
        "opposite signs.",
        "torch.linalg.eigvalsh gives the curvatures, smallest first. α is 2 over the sum of the two at the ends, and "
        "the share is 1 − αλmin.",
    ),
)


# 2 · The cheapest cure ------------------------------------------------------------------------------------------------


def draw_inputs(random: Random) -> dict[str, Any]:
    columns = random.integer(2, 3)
    units = torch.tensor([random.choice((0.1, 1.0, 10.0, 30.0)) for _ in range(columns)], dtype=torch.float64)
    return {"inputs": random.tensor(random.size + 5, columns, low=-1, high=2) * units}


def _condition(inputs: Tensor) -> float:
    low, high = _ends(inputs.T @ inputs / len(inputs))
    return high / low


def condition_numbers(inputs: Tensor) -> tuple[float, float]:
    return _condition(inputs), _condition(inputs / inputs.square().mean(0).sqrt())


def condition_numbers_by_singular_values(inputs):
    def kappa(table):
        values = torch.linalg.svdvals(table)
        return float(values[0] / values[-1]) ** 2

    return kappa(inputs), kappa(inputs / inputs.norm(dim=0) * len(inputs) ** 0.5)


def condition_numbers_by_the_hessian(inputs):
    hessian = inputs.T @ inputs / len(inputs)
    size = hessian.diagonal().sqrt()
    return torch.linalg.cond(hessian).item(), torch.linalg.cond(hessian / torch.outer(size, size)).item()


def condition_numbers_in_numpy(inputs):
    table = inputs.numpy()
    scaled = table / np.sqrt(np.mean(table**2, axis=0, keepdims=True))
    return [np.linalg.cond(each.T @ each) for each in (table, scaled)]


CONDITION_NUMBERS = Question(
    name="condition_numbers",
    signature="condition_numbers(inputs) -> before, after",
    draw=draw_inputs,
    answer=condition_numbers,
    tolerance=1e-5,
    examples=(
        {"inputs": matrix((1, 10), (1, -10), (-1, 10), (-1, -10))},
        {"inputs": matrix((1, 10), (1, 10), (-1, -10), (1, -10))},
    ),
    mistakes=(
        Mistake(
            "condition number of the inputs",
            lambda inputs: tuple(math.sqrt(kappa) for kappa in condition_numbers(inputs)),
            "You took κ of the table of inputs. The Hessian is XᵀX/N, with X in it twice: its κ is the square.",
        ),
        Mistake(
            "nothing gained",
            lambda inputs: (_condition(inputs), _condition(inputs)),
            "Your two numbers are the same: nothing was scaled, or all columns by one number, which cancels. Each "
            "column has a root mean square of its own.",
        ),
        Mistake(
            "root forgotten",
            lambda inputs: (_condition(inputs), _condition(inputs / inputs.square().mean(0))),
            "You divided by the mean square. Its root has the unit of the input; the square turns large into small.",
        ),
        Mistake(
            "the diagonal",
            lambda inputs: (float(inputs.square().mean(0).max() / inputs.square().mean(0).min()), 1.0),
            "You took the diagonal of the Hessian for its eigenvalues. They differ where the inputs go together.",
        ),
        Mistake(
            "rows scaled",
            lambda inputs: (_condition(inputs), _condition(inputs / inputs.square().mean(1, keepdim=True).sqrt())),
            "You scaled the rows, one for each example. An input is a column: take the mean over dimension 0.",
        ),
        Mistake(
            "mean taken off",
            lambda inputs: (_condition(inputs), _condition((inputs - inputs.mean(0)) / inputs.std(0))),
            "You took the mean off as well, which is a good idea, and another question. Here the columns are divided "
            "only.",
        ),
        Mistake(
            "divided by the largest",
            lambda inputs: (_condition(inputs), _condition(inputs / inputs.abs().amax(0))),
            "You divided each column by its largest entry. Asked is its root mean square: no single entry decides.",
        ),
        Mistake(
            "upside down",
            lambda inputs: tuple(1 / kappa for kappa in condition_numbers(inputs)),
            "Your fraction is upside down: κ is the largest curvature over the smallest, and at least 1.",
        ),
        Mistake(
            "exchanged",
            lambda inputs: condition_numbers(inputs)[::-1],
            "Both numbers are right, in the wrong order: before the scaling, then after.",
        ),
    ),
    properties=(Property("a condition number is at least 1", lambda value, given: min(value) >= 1 - 1e-5),),
    rights=(
        condition_numbers_by_singular_values,
        condition_numbers_by_the_hessian,
        condition_numbers_in_numpy,
    ),
    hints=(
        "Write a small function for κ of the Hessian of any inputs, and call it twice.",
        "The Hessian is X.T @ X / N; κ is its largest eigenvalue over its smallest. Then divide every column of X by "
        "its root mean square.",
        "The sizes of the columns are inputs.square().mean(dim=0).sqrt(); inputs over sizes divides column by column.",
    ),
)


# 3 · What kind of place? ----------------------------------------------------------------------------------------------

KINDS = ("minimum", "maximum", "saddle", "undecided")
NEARLY_ZERO = 1e-9  # as a share of the largest curvature


def draw_place(random: Random) -> dict[str, Any]:
    count = random.size + 1
    sizes = [random.uniform(0.5, 4) for _ in range(count)]
    signs = random.choice(((1, 1), (-1, -1), (1, -1), (1, 0), (-1, 0), (1, -1, 0)))
    curvatures = torch.tensor([size * signs[place % len(signs)] for place, size in enumerate(sizes)])
    axis = torch.tensor([float(random.integer(1, 3)) for _ in range(count)], dtype=torch.float64)
    turn = torch.eye(count, dtype=torch.float64) - 2 * torch.outer(axis, axis) / axis.dot(axis)
    hessian = turn @ torch.diag(curvatures.double()) @ turn * random.choice((1.0, 1.0, 1e-10, 1e9))
    return {"hessian": (hessian + hessian.T) / 2}


def _signs(hessian: Tensor) -> set[int]:
    """The signs of the curvatures: 1, −1, and 0 for what is only rounding."""
    curvatures = torch.linalg.eigvalsh(hessian)
    return set(_rounded(curvatures, NEARLY_ZERO * float(curvatures.abs().max())).sign().int().tolist())


def _rounded(curvatures: Tensor, zero: float) -> Tensor:
    """The curvatures, with 0 for those that are no larger than this."""
    return torch.where(curvatures.abs() <= zero, 0.0, curvatures)


def _kind(signs: set[int]) -> str:
    if {1, -1} <= signs:
        return "saddle"
    return "undecided" if 0 in signs else "minimum" if signs == {1} else "maximum"


def kind(hessian: Tensor) -> str:
    return _kind(_signs(hessian))


def kind_by_ends(hessian):
    low, high = _ends(hessian)
    zero = NEARLY_ZERO * max(abs(low), abs(high))
    if low > zero:
        return "minimum"
    if high < -zero:
        return "maximum"
    return "saddle" if low < -zero and high > zero else "undecided"


def kind_by_counting(hessian):
    curvatures = np.linalg.eigvals(hessian.numpy()).real  # in any order
    zero = 1e-9 * np.abs(curvatures).max()
    up, down = (curvatures > zero).sum(), (curvatures < -zero).sum()
    if up and down:
        return "saddle"
    return {(len(curvatures), 0): "minimum", (0, len(curvatures)): "maximum"}.get((up, down), "undecided")


def kind_by_masks(hessian):
    curvatures = torch.linalg.eigvalsh(hessian)
    if not curvatures.any():
        return KINDS[-1]
    shares = curvatures / curvatures.abs().max()
    up, down = bool((shares > 1e-9).any()), bool((shares < -1e-9).any())
    flat = bool((shares.abs() <= 1e-9).any())
    return "saddle" if up and down else "undecided" if flat else KINDS[0] if up else KINDS[1]


def _by_determinant(hessian: Tensor) -> str:
    signs = _signs(hessian)
    if 0 in signs:
        return "undecided"
    if torch.linalg.det(hessian) < 0:
        return "saddle"
    return "minimum" if hessian[0, 0] > 0 else "maximum"


KIND = Question(
    name="kind",
    signature="kind(hessian) -> word",
    draw=draw_place,
    draws=30,
    answer=kind,
    examples=(
        {"hessian": matrix((2, 0), (0, 3))},
        {"hessian": matrix((-2, 0), (0, -1))},
        {"hessian": matrix((1, 2), (2, 1))},
        {"hessian": matrix((1, 1), (1, 1))},
        {"hessian": matrix((1, 0, 0), (0, 0, 0), (0, 0, -1))},
        {"hessian": matrix((2e-12, 0), (0, 1e-12))},
        {"hessian": matrix((0, 0), (0, 0))},
    ),
    mistakes=(
        Mistake(
            "the diagonal",
            lambda hessian: _kind(set(hessian.diagonal().sign().int().tolist())),
            "You looked at the diagonal. A surface may bend up along every axis and down between them: take the "
            "eigenvalues.",
        ),
        Mistake(
            "flat taken for a minimum",
            lambda hessian: "minimum" if _signs(hessian) == {0, 1} else kind(hessian),
            "You took a curvature of 0 for one that bends up. Along that direction the second derivatives cannot tell.",
        ),
        Mistake(
            "flat taken for a saddle",
            lambda hessian: "saddle" if kind(hessian) == "undecided" else kind(hessian),
            "Whatever is neither a minimum nor a maximum you called a saddle. A saddle bends both ways; with zeros and "
            "one sign it is undecided.",
        ),
        Mistake(
            "any zero leaves it undecided",
            lambda hessian: "undecided" if 0 in _signs(hessian) else kind(hessian),
            "You stop at a curvature of 0. If others bend both up and down it is a saddle, whatever the flat one does.",
        ),
        Mistake(
            "the determinant",
            _by_determinant,
            "You went by the determinant, the product of the curvatures. One zero hides all the others in it, and two "
            "that bend down look like two that bend up.",
        ),
        Mistake(
            "maximum and minimum exchanged",
            lambda hessian: {"minimum": "maximum", "maximum": "minimum"}.get(kind(hessian), kind(hessian)),
            "You exchanged the two: positive curvatures bend up on all sides, and that is a minimum.",
        ),
        Mistake(
            "one zero for all",
            lambda hessian: _kind(set(_rounded(torch.linalg.eigvalsh(hessian), 1e-9).sign().int().tolist())),
            "You call a curvature zero below a fixed size, whatever its unit. In other units the same place would be "
            "another one: compare with 1e-9 times the largest of them.",
        ),
        Mistake(
            "a plain of any kind",
            lambda hessian: kind(hessian) if hessian.any() else "minimum",
            "Where all curvatures are 0 you see a minimum. Zero is not above zero: with >= it would be.",
        ),
        Mistake(
            "no maximum",
            lambda hessian: "saddle" if kind(hessian) == "maximum" else kind(hessian),
            "You called a maximum a saddle. There all curvatures are negative: no direction leads up.",
        ),
    ),
    rights=(kind_by_ends, kind_by_counting, kind_by_masks),
    hints=(
        "What counts are the signs of the eigenvalues. torch.linalg.eigvalsh gives them, smallest first.",
        "So the first and the last of them say it all. Decide first what counts as 0.",
        "Let zero be 1e-9 times the larger size of the two. Smallest above zero: a minimum. Largest below −zero: a "
        "maximum. Smallest below −zero and largest above zero: a saddle.",
    ),
)


# 4 · Off the ridge ----------------------------------------------------------------------------------------------------


def draw_ridge(random: Random) -> dict[str, Any]:
    curvature = random.log_uniform(0.1, 10)
    return {
        "offset": random.log_uniform(1e-10, 0.5) * random.choice((1, -1)),
        "curvature": curvature,
        "lr": random.uniform(0.05, 1.5) / curvature,
    }


def escape(offset: float, curvature: float, lr: float) -> float:
    if offset == 0:
        return math.inf
    return float(math.ceil(-math.log(abs(offset)) / math.log1p(lr * curvature)))


def escape_by_walking(offset, curvature, lr):
    if not offset:
        return math.inf
    y, steps = offset, 0
    while abs(y) < 1:
        y, steps = y + lr * curvature * y, steps + 1
    return steps


def escape_on_the_surface(offset, curvature, lr):
    """On the surface ½(x² − y²) itself, with the rate lr · curvature in place of another curvature."""
    if offset == 0:
        return float("inf")
    x, rule, steps = matrix((0, offset))[0], rules.SGD(), 0
    while x[1].abs() < 1:
        gradient = torch.stack([x[0], -x[1]])
        x, _ = rule.step(x, gradient, {}, lr * curvature)
        steps += 1
    return steps


def escape_in_numpy(offset, curvature, lr):
    with np.errstate(divide="ignore"):
        return np.ceil(-np.log2(np.abs(offset)) / np.log2(1 + lr * curvature))


def _escaping(offset: float, growth: float, rounded: Callable[[float], float] = math.ceil) -> float:
    return math.inf if offset == 0 else float(rounded(-math.log(abs(offset)) / math.log(growth)))


ESCAPE = Question(
    name="escape",
    signature="escape(offset, curvature, lr) -> steps",
    draw=draw_ridge,
    answer=escape,
    read=float,
    compare=same_count("steps"),
    examples=(
        {"offset": 0.1, "curvature": 1.0, "lr": 1.0},
        {"offset": -0.0001, "curvature": 1.0, "lr": 1.0},
        {"offset": 0.1, "curvature": 4.0, "lr": 0.5},
        {"offset": 0.0, "curvature": 1.0, "lr": 1.0},
    ),
    mistakes=(
        Mistake(
            "a constant gradient",
            lambda offset, curvature, lr: (
                math.inf if offset == 0 else float(math.ceil((1 - abs(offset)) / (lr * curvature * abs(offset))))
            ),
            "You walked at the speed of the start. The slope grows with the distance, and the ball with it faster and "
            "faster.",
        ),
        Mistake(
            "rounded down",
            lambda offset, curvature, lr: _escaping(offset, 1 + lr * curvature, math.floor),
            "You are one short: after that many steps the ball is still nearer than 1. Round up.",
        ),
        Mistake(
            "not rounded",
            lambda offset, curvature, lr: _escaping(offset, 1 + lr * curvature, lambda steps: steps),
            "Your formula is right, but there is no 3.3rd step. Round up to the next whole one.",
        ),
        Mistake(
            "one more",
            lambda offset, curvature, lr: escape(offset, curvature, lr) + 1,
            "You are one over. Do you count the start as a step?",
        ),
        Mistake(
            "one side only",
            lambda offset, curvature, lr: math.inf if offset < 0 else escape(offset, curvature, lr),
            "Your ball never leaves on the negative side. The saddle falls off on both: the size of y counts.",
        ),
        Mistake(
            "a valley",
            lambda offset, curvature, lr: math.inf,
            "Your ball comes back to the ridge, as if the curvature were positive. Here it is −c, and a step "
            "multiplies y by 1 + αc.",
        ),
        Mistake(
            "small-step formula",
            lambda offset, curvature, lr: _escaping(offset, math.exp(lr * curvature)),
            "exp(αc) is what 1 + αc comes near to when α is small. Here take 1 + αc itself.",
        ),
        Mistake(
            "rate left out",
            lambda offset, curvature, lr: _escaping(offset, 1 + curvature),
            "The learning rate does nothing in your formula. A step multiplies y by 1 + αc.",
        ),
    ),
    rights=(escape_by_walking, escape_on_the_surface, escape_in_numpy),
    hints=(
        "The gradient across the ridge is −c y. So what does one step of gradient descent make of y?",
        "It multiplies y by 1 + αc. After t steps the distance is |y₀| (1 + αc)ᵗ: when is that 1? And if y₀ is 0?",
        "t is −log|y₀| over log(1 + αc), rounded up by math.ceil; math.inf where y₀ is 0.",
    ),
)


# 5 · The noise of a batch ---------------------------------------------------------------------------------------------


def draw_batch(random: Random) -> dict[str, Any]:
    examples = random.size + 2
    return {
        "gradients": random.tensor(examples, random.integer(1, 3)),
        "batch_size": random.integer(1, examples),
        "replacement": random.choice((True, False)),
    }


def batch_error(gradients: Tensor, batch_size: int, replacement: bool) -> float:
    examples = len(gradients)
    variance = float((gradients - gradients.mean(0)).square().sum(1).mean())
    correction = 1.0 if replacement else (examples - batch_size) / (examples - 1)
    return math.sqrt(variance / batch_size * correction)


def batch_error_by_var(gradients, batch_size, replacement):
    squares = gradients.var(dim=0, correction=0 if replacement else 1).sum().item() / batch_size
    return (squares if replacement else squares * (1 - batch_size / len(gradients))) ** 0.5


def batch_error_by_covariance(gradients, batch_size, replacement):
    covariance = np.atleast_2d(np.cov(gradients.numpy(), rowvar=False, bias=True))
    left = 1 if replacement else (len(gradients) - batch_size) / (len(gradients) - 1)
    return np.sqrt(np.trace(covariance) * left / batch_size)


def batch_error_by_moments(gradients, batch_size, replacement):
    examples = len(gradients)
    mean_square = sum(float(g @ g) for g in gradients) / examples
    mean = gradients.sum(0) / examples
    variance = max(mean_square - float(mean @ mean), 0.0) / batch_size
    if not replacement:
        variance = variance * (examples - batch_size) / (examples - 1)
    return variance**0.5


def _left(examples: int, batch_size: int, replacement: bool) -> float:
    return 1.0 if replacement else (examples - batch_size) / (examples - 1)


def _second_moment(gradients: Tensor, batch_size: int, replacement: bool) -> float:
    squares = float(gradients.square().sum(1).mean())
    return math.sqrt(squares / batch_size * _left(len(gradients), batch_size, replacement))


def _correction_over_n(gradients: Tensor, batch_size: int, replacement: bool) -> float:
    shrink = 1.0 if replacement else (len(gradients) - 1) / len(gradients)
    return batch_error(gradients, batch_size, replacement) * math.sqrt(shrink)


FOUR = matrix((0,), (6,), (0,), (6,))

BATCH_ERROR = Question(
    name="batch_error",
    signature="batch_error(gradients, batch_size, replacement) -> error",
    draw=draw_batch,
    draws=30,
    answer=batch_error,
    examples=(
        {"gradients": matrix((0,), (6,)), "batch_size": 1, "replacement": True},
        {"gradients": FOUR, "batch_size": 4, "replacement": True},
        {"gradients": FOUR, "batch_size": 4, "replacement": False},
        {"gradients": FOUR, "batch_size": 3, "replacement": False},
    ),
    mistakes=(
        Mistake(
            "root forgotten",
            lambda gradients, batch_size, replacement: batch_error(gradients, batch_size, replacement) ** 2,
            "This is the mean squared length. Take its root, and it has the unit of a gradient again.",
        ),
        Mistake(
            "divided by B",
            lambda gradients, batch_size, replacement: (
                batch_error(gradients, batch_size, replacement) / math.sqrt(batch_size)
            ),
            "You divided the error itself by B. It is the variance that falls as 1/B; the error falls as 1/√B.",
        ),
        Mistake(
            "batch size left out",
            lambda gradients, batch_size, replacement: (
                batch_error(gradients, batch_size, replacement) * math.sqrt(batch_size)
            ),
            "The batch size divides nothing in your formula. The mean of B examples has a B times smaller variance.",
        ),
        Mistake(
            "correction forgotten",
            lambda gradients, batch_size, replacement: batch_error(gradients, batch_size, True),
            "You leave the correction out. Without replacement a batch of all N is the whole set, and makes no error: "
            "(N − B)/(N − 1).",
        ),
        Mistake(
            "correction in both cases",
            lambda gradients, batch_size, replacement: batch_error(gradients, batch_size, False),
            "You correct in both cases. With replacement the draws know nothing of each other: σ²/B, without more.",
        ),
        Mistake(
            "replacement the wrong way round",
            lambda gradients, batch_size, replacement: batch_error(gradients, batch_size, not replacement),
            "You exchanged the two cases. The correction is for draws without replacement.",
        ),
        Mistake(
            "an estimate's variance",
            lambda gradients, batch_size, replacement: (
                batch_error(gradients, batch_size, replacement) * math.sqrt(len(gradients) / (len(gradients) - 1))
            ),
            "You divided by N − 1, as torch's var does unless told otherwise. That is for a sample; you have all N.",
        ),
        Mistake(
            "correction over N",
            _correction_over_n,
            "Your correction is (N − B)/N. It is (N − B)/(N − 1): with B = 1 nothing has to be corrected.",
        ),
        Mistake(
            "mean not taken off",
            _second_moment,
            "You squared the gradients themselves. The error is measured from their mean g: take it off first.",
        ),
        Mistake(
            "mean over the weights",
            lambda gradients, batch_size, replacement: (
                batch_error(gradients, batch_size, replacement) / math.sqrt(gradients.shape[1])
            ),
            "You took the mean over the weights, too. The squared length of a gradient is the sum over its P entries.",
        ),
    ),
    properties=(
        Property(
            "a batch of all N, none of them twice, makes no error",
            lambda value, given: (
                given["replacement"] or given["batch_size"] < len(given["gradients"]) or abs(value) < 1e-6
            ),
        ),
    ),
    rights=(batch_error_by_var, batch_error_by_covariance, batch_error_by_moments),
    hints=(
        "Three things: the scatter of the single gradients around their mean, the batch, and the correction.",
        "σ² is the mean over the N rows of the squared length of ∇Lᵢ − g, where g is the mean of the rows.",
        "off = gradients − gradients.mean(0); σ² is off.square().sum(1).mean(). Divide by B; without replacement, "
        "times (N − B)/(N − 1). Then the root, as a number.",
    ),
)


# 6 · The short batch --------------------------------------------------------------------------------------------------


def draw_epoch(random: Random) -> dict[str, Any]:
    batch_size = random.integer(2, 10)
    return {
        "examples": batch_size * random.integer(1, 8) + random.choice((0, random.integer(1, batch_size - 1))),
        "batch_size": batch_size,
    }


def overweight(examples: int, batch_size: int) -> float:
    left = examples % batch_size
    return batch_size / left if left else 1.0


def overweight_by_lengths(examples, batch_size):
    lengths = [len(batch) for batch in torch.arange(examples).split(batch_size)]
    return lengths[0] / lengths[-1]


def overweight_by_ceiling(examples, batch_size):
    batches = math.ceil(examples / batch_size)
    return batch_size / (examples - (batches - 1) * batch_size)


def overweight_by_weights(examples, batch_size):
    starts = range(0, examples, batch_size)
    weights = [1 / min(batch_size, examples - start) for start in starts]
    return np.divide(weights[-1], weights[0])


def _overweight(left: Callable[[int, int], float], even: float = 1.0) -> Callable[[int, int], float]:
    """Another weight where something is left over, and another where nothing is."""
    return lambda examples, batch_size: left(examples, batch_size) if examples % batch_size else even


OVERWEIGHT = Question(
    name="overweight",
    signature="overweight(examples, batch_size) -> factor",
    draw=draw_epoch,
    answer=overweight,
    read=float,
    examples=(
        {"examples": 5, "batch_size": 2},
        {"examples": 6, "batch_size": 3},
        {"examples": 1197, "batch_size": 64},
    ),
    mistakes=(
        Mistake(
            "upside down",
            _overweight(lambda examples, batch_size: examples % batch_size / batch_size),
            "Your fraction is upside down. The fewer share a step, the more each of them counts.",
        ),
        Mistake(
            "an empty batch",
            _overweight(overweight, even=0.0),
            "Where nothing is left over there is no short batch, and no empty one: all count alike, 1 times.",
        ),
        Mistake(
            "all alike",
            lambda examples, batch_size: 1.0,
            "They do not all count alike: each step is a mean over its batch, whether that is full or short.",
        ),
        Mistake(
            "what is missing",
            _overweight(lambda examples, batch_size: batch_size / (batch_size - examples % batch_size)),
            "You divided by how many are missing in the last batch. Divide by how many are in it.",
        ),
        Mistake(
            "against the mean of all",
            _overweight(
                lambda examples, batch_size: examples / (math.ceil(examples / batch_size) * (examples % batch_size))
            ),
            "You compared with the mean over all examples. Asked is the comparison with one of a full batch.",
        ),
        Mistake(
            "left out",
            _overweight(lambda examples, batch_size: 0.0),
            "You dropped the short batch (drop_last=True). Here it makes a step of its own like the others.",
        ),
        Mistake(
            "one image",
            _overweight(lambda examples, batch_size: float(batch_size)),
            "This is right if just one is left over. Divide by how many there are in the last batch.",
        ),
    ),
    properties=(Property("nobody in the last batch counts less", lambda value, given: value >= 1 - 1e-6),),
    rights=(overweight_by_lengths, overweight_by_ceiling, overweight_by_weights),
    hints=(
        "How many are left for the last batch? And what share of a step has each example of a full batch?",
        "An example has 1/B of a step in a full batch, 1 over the rest in the last one. The rest is N modulo B.",
        "The rest is examples % batch_size. The factor is batch_size over it; 1 where the rest is 0.",
    ),
)


# 7 · A leash for the gradient -----------------------------------------------------------------------------------------


def draw_layers(random: Random) -> dict[str, Any]:
    shapes = [(random.size,), (random.size, 2), (1,)][: random.integer(1, 3)]
    gradients = [random.tensor(*shape) for shape in shapes]
    return {"gradients": gradients, "limit": random.choice((0.3, 1.0, 2.5, 20.0))}


def _scaled(gradients: Sequence[Tensor], factor: float) -> list[Tensor]:
    return [g * factor for g in gradients]


def clip(gradients: list[Tensor], limit: float) -> list[Tensor]:
    return _scaled(gradients, min(1.0, limit / length(gradients)))


def clip_by_torch(gradients, limit):
    weights = [torch.nn.Parameter(torch.zeros_like(g)) for g in gradients]
    for weight, g in zip(weights, gradients, strict=True):
        weight.grad = g.clone()
    torch.nn.utils.clip_grad_norm_(weights, limit)
    return [weight.grad for weight in weights]


def clip_in_one_vector(gradients, limit):
    total = torch.cat([g.flatten() for g in gradients]).norm()
    return tuple(limit * g / total if total > limit else g for g in gradients)


def clip_in_layers(gradients, limit):
    norms = torch.stack([torch.linalg.vector_norm(g) for g in gradients])
    share = (limit / torch.linalg.vector_norm(norms)).clamp(max=1)
    return [g.mul(share) for g in gradients]


CLIP = Question(
    name="clip",
    signature="clip(gradients, limit)",
    draw=draw_layers,
    answer=clip,
    tolerance=1e-5,
    examples=(
        {"gradients": [matrix((3, 4))[0]], "limit": 1.0},
        {"gradients": [matrix((3, 4))[0]], "limit": 10.0},
        {"gradients": [matrix((6, 0))[0], matrix((8,))[0]], "limit": 5.0},
    ),
    mistakes=(
        Mistake(
            "each layer by itself",
            lambda gradients, limit: [g * min(1.0, limit / length([g])) for g in gradients],
            "You clipped every layer on its own, which turns the gradient. Its length is that of all layers together.",
        ),
        Mistake(
            "each entry by itself",
            lambda gradients, limit: [g.clamp(-limit, limit) for g in gradients],
            "You clipped the single entries, which turns the gradient. Multiply all of it by one number.",
        ),
        Mistake(
            "short ones stretched",
            lambda gradients, limit: _scaled(gradients, limit / length(gradients)),
            "You brought every gradient to the limit, short ones as well. One that is short enough stays as it is.",
        ),
        Mistake(
            "limit forgotten",
            lambda gradients, limit: _scaled(gradients, 1 / length(gradients) if length(gradients) > limit else 1.0),
            "A long gradient ends with the length 1 in your code, not with the limit.",
        ),
        Mistake(
            "root forgotten",
            lambda gradients, limit: _scaled(gradients, min(1.0, limit / length(gradients) ** 2)),
            "You divided by the squared length. Take the root of the sum of squares.",
        ),
        Mistake(
            "lengths added up",
            lambda gradients, limit: _scaled(gradients, min(1.0, limit / sum(length([g]) for g in gradients))),
            "You added up the lengths of the layers. It is their squares that add up, as in any vector; then the root.",
        ),
        Mistake(
            "limit as a factor",
            lambda gradients, limit: _scaled(gradients, limit if length(gradients) > limit else 1.0),
            "You multiplied by the limit. The factor is the limit divided by the length.",
        ),
        Mistake(
            "nothing clipped",
            lambda gradients, limit: list(gradients),
            "Long gradients come out as they went in. Above the limit, multiply by limit / length.",
        ),
    ),
    properties=(
        Property(
            "what comes out is no longer than the limit",
            lambda value, given: length(value) <= given["limit"] * (1 + 1e-5),
        ),
        Property(
            "a gradient that is short enough stays as it is",
            lambda value, given: (
                length(given["gradients"]) > given["limit"]
                or math.isclose(length(value), length(given["gradients"]), rel_tol=1e-5)
            ),
        ),
    ),
    rights=(clip_by_torch, clip_in_one_vector, clip_in_layers),
    hints=(
        "One length for all layers together, and one factor for all of them.",
        "The length is the root of the sum of all squares, over all layers. The factor is limit / length, if that is "
        "below 1.",
        "total: the root of sum((g * g).sum() for g in gradients). If it is above the limit, the list of all g times "
        "limit / total; else the gradients as they are.",
    ),
)


QUESTIONS = (BEST_RATE, CONDITION_NUMBERS, KIND, ESCAPE, BATCH_ERROR, OVERWEIGHT, CLIP)
