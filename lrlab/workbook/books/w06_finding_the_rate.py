"""The questions of workbook 06: where to try, how often, where to look closer, and a range test with its advice.

Each section is one question: how an input is drawn, the reference, three other right ways to write it, the question.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lrlab import finder, search
from lrlab.workbook.given import same_count, vector
from lrlab.workbook.questions import Mistake, Property, Question, Random

VERSION = 1


# 1 · Dice for rates ---------------------------------------------------------------------------------------------------


def draw_position(random: Random) -> dict[str, Any]:
    low = random.choice((1e-6, 1e-5, 3e-4, 1e-3))
    return {"u": random.uniform(0, 1), "low": low, "high": low * 10 ** random.integer(1, 6)}


def log_uniform(u: float, low: float, high: float) -> float:
    return float(search.log_uniform(low, high).value(u))


def log_uniform_by_ratio(u, low, high):
    return low * (high / low) ** u


def log_uniform_by_decades(u, low, high):
    start, end = math.log10(low), math.log10(high)
    return 10 ** (start + u * (end - start))


def log_uniform_in_numpy(u, low, high):
    return np.exp(np.interp(u, [0, 1], np.log([low, high])))


LOG_UNIFORM = Question(
    name="log_uniform",
    signature="log_uniform(u, low, high) -> rate",
    draw=draw_position,
    answer=log_uniform,
    examples=(
        {"u": 0.5, "low": 0.0001, "high": 1.0},
        {"u": 0.0, "low": 0.0001, "high": 1.0},
        {"u": 0.25, "low": 0.0001, "high": 1.0},
    ),
    properties=(
        Property(
            "the rate lies between low and high",
            lambda value, given: given["low"] * (1 - 1e-6) <= value <= given["high"] * (1 + 1e-6),
        ),
    ),
    mistakes=(
        Mistake(
            "evenly in the rate",
            lambda u, low, high: low + u * (high - low),
            "You walk evenly from low to high, so nine tenths of the tries fall into the highest decade. Walk evenly "
            "between their logarithms.",
        ),
        Mistake(
            "start left out",
            lambda u, low, high: (high / low) ** u,
            "Your factor is right, but it has nothing to multiply: at u = 0 you are at 1. Begin at low.",
        ),
        Mistake(
            "from the top",
            lambda u, low, high: high * (low / high) ** u,
            "You begin at high and end at low. As dice that would do as well, but asked is low at u = 0.",
        ),
        Mistake(
            "still a logarithm",
            lambda u, low, high: math.log(low) + u * (math.log(high) - math.log(low)),
            "This is the logarithm of the rate. One step is missing, that back to the rate: exp, or 10 to the power.",
        ),
        Mistake(
            "log10, exp",
            lambda u, low, high: math.exp(math.log10(low) + u * (math.log10(high) - math.log10(low))),
            "You went in by log10 and out by exp. Come back with the base you went in with: 10 ** …",
        ),
        Mistake(
            "natural logarithm, power of ten",
            lambda u, low, high: 10 ** (math.log(low) + u * (math.log(high) - math.log(low))),
            "You went in by the natural logarithm and out by a power of 10. Come back with exp, or go in with log10.",
        ),
        Mistake(
            "powers added",
            lambda u, low, high: low ** (1 - u) + high**u - 1,
            "You added two powers. The logarithms are added; the powers have to be multiplied.",
        ),
    ),
    rights=(log_uniform_by_ratio, log_uniform_by_decades, log_uniform_in_numpy),
    hints=(
        "Where on the logarithmic axis is u = 0, where u = 1, and where is the share u of the way between them?",
        "At ln low + u (ln high − ln low). Then back from the logarithm to the rate.",
        "The same without logarithms: low times a power of high / low. Which power?",
    ),
)


# 2 · How many tries? --------------------------------------------------------------------------------------------------


def draw_tries(random: Random) -> dict[str, Any]:
    return {
        "chance": random.choice((0.6, 0.8, 0.93, 0.95, 0.97, 0.998)),
        "share": random.choice((0.3, 0.15, 0.07, 0.05, 0.02, 0.01)),
    }


def tries_needed(chance: float, share: float) -> int:
    return search.trials_for(chance, share)


def tries_needed_by_trying(chance, share):
    tries, all_miss = 0, 1.0
    while 1 - all_miss < chance:
        tries, all_miss = tries + 1, all_miss * (1 - share)
    return tries


def tries_needed_in_torch(chance, share):
    all_miss = torch.full((2000,), 1 - share, dtype=torch.float64).cumprod(0)
    return int((all_miss > 1 - chance).sum()) + 1


def tries_needed_in_numpy(chance, share):
    return np.ceil(np.log1p(-chance) / np.log1p(-share))


TRIES_NEEDED = Question(
    name="tries_needed",
    signature="tries_needed(chance, share) -> tries",
    draw=draw_tries,
    answer=tries_needed,
    read=float,
    compare=same_count("tries"),
    examples=(
        {"chance": 0.75, "share": 0.5},
        {"chance": 0.7, "share": 0.5},
        {"chance": 0.95, "share": 0.05},
    ),
    mistakes=(
        Mistake(
            "rounded down",
            lambda chance, share: math.floor(math.log(1 - chance) / math.log(1 - share)),
            "You rounded down, and stay just below the chance. Round up: at least that chance is asked.",
        ),
        Mistake(
            "not rounded",
            lambda chance, share: math.log(1 - chance) / math.log(1 - share),
            "There is no 58.4th try. Round up to the next whole number.",
        ),
        Mistake(
            "rounded to the nearest",
            lambda chance, share: round(math.log(1 - chance) / math.log(1 - share)),
            "You rounded to the nearest whole number, which is below the chance half of the time. Round up.",
        ),
        Mistake(
            "one more where it is exact",
            lambda chance, share: math.floor(math.log(1 - chance) / math.log(1 - share)) + 1,
            "You rounded down and added 1. Where the quotient is whole already, that is one try too many: math.ceil "
            "rounds up.",
        ),
        Mistake(
            "chances added",
            lambda chance, share: math.ceil(chance / share),
            "You added the chances of the tries. Two tries at one half each are not sure of a hit: one in four pairs "
            "misses twice. Multiply the chances of a miss.",
        ),
        Mistake(
            "the mean wait",
            lambda chance, share: math.ceil(1 / share),
            "That is how long the first hit takes on average, and it has no chance in it. Ask how probable it is that "
            "all tries miss.",
        ),
        Mistake(
            "hits multiplied",
            lambda chance, share: math.ceil(math.log(1 - chance) / math.log(share)),
            "You multiplied the chances of a hit: that every try is a hit. It is enough that one is; what must not "
            "happen is that all of them miss.",
        ),
        Mistake(
            "chance of the miss",
            lambda chance, share: math.ceil(math.log(chance) / math.log(1 - share)),
            "You let all tries miss with the chance that you want for a hit. That they all miss may happen with 1 − "
            "chance only.",
        ),
        Mistake(
            "arguments exchanged",
            lambda chance, share: math.ceil(math.log(1 - share) / math.log(1 - chance)),
            "Your fraction is upside down. The smaller the share, the more tries it takes.",
        ),
    ),
    rights=(tries_needed_by_trying, tries_needed_in_torch, tries_needed_in_numpy),
    hints=(
        "Do not ask when one of them hits, but when all of them miss. That is easy for one try, and for n.",
        "All of n miss with the chance (1 − share)ⁿ. From which n on is that at most 1 − chance?",
        "A quotient of two logarithms, of 1 − chance and of 1 − share, rounded up by math.ceil.",
    ),
)


# 3 · Look closer ------------------------------------------------------------------------------------------------------


def draw_zoom(random: Random) -> dict[str, Any]:
    low, decades = random.choice((1e-5, 1e-4, 1e-3)), random.integer(2, 5)
    high = low * 10**decades
    at = random.choice((0.03, 0.21, 0.4, 0.55, 0.77, 0.98))
    best = float(f"{low * (high / low) ** at:.3g}")
    return {"low": low, "high": high, "best": best, "factor": random.choice((2, 3, 4))}


def zoom(low: float, high: float, best: float, factor: float) -> tuple[float, float]:
    old, half = search.log_uniform(low, high), 0.5 / factor
    centre = min(max(old.position(best), half), 1 - half)
    return float(old.value(centre - half)), float(old.value(centre + half))


def zoom_by_ratio(low, high, best, factor):
    ratio = (high / low) ** (1 / factor)
    start = max(best / ratio**0.5, low)
    start = min(start, high / ratio)
    return start, start * ratio


def zoom_in_decades(low, high, best, factor):
    start, end, middle = (math.log10(rate) for rate in (low, high, best))
    half = (end - start) / factor / 2
    if middle - half < start:
        middle = start + half
    if middle + half > end:
        middle = end - half
    return 10 ** (middle - half), 10 ** (middle + half)


def zoom_in_numpy(low, high, best, factor):
    start, end = np.log([low, high])
    width = (end - start) / factor
    first = np.clip(np.log(best) - width / 2, start, end - width)
    return tuple(np.exp([first, first + width]))


def _zoom(around: Callable[[float, float, float, float], tuple[float, float]], inside: bool = True) -> Any:
    """Another interval around the best; pushed inside the old one in the logarithm, or not."""

    def interval(low: float, high: float, best: float, factor: float) -> tuple[float, float]:
        start, end = around(low, high, best, factor)
        if inside and end > high:
            start, end = start * high / end, high
        if inside and start < low:
            start, end = low, min(end * low / start, high)
        return start, end

    return interval


def _around(low: float, high: float, best: float, factor: float) -> tuple[float, float]:
    half = (high / low) ** (0.5 / factor)
    return best / half, best * half


def _in_numbers(low: float, high: float, best: float, factor: float) -> tuple[float, float]:
    width = (high - low) / factor
    start = min(max(best - width / 2, low), high - width)
    return start, start + width


def _cut_off(low: float, high: float, best: float, factor: float) -> tuple[float, float]:
    start, end = _around(low, high, best, factor)
    return max(start, low), min(end, high)


def _ratio_divided(low: float, high: float, best: float, factor: float) -> tuple[float, float]:
    half = math.sqrt(high / low / factor)
    return best / half, best * half


ZOOM = Question(
    name="zoom",
    signature="zoom(low, high, best, factor) -> new_low, new_high",
    draw=draw_zoom,
    answer=zoom,
    examples=(
        {"low": 0.0001, "high": 1.0, "best": 0.01, "factor": 2},
        {"low": 0.0001, "high": 1.0, "best": 0.1, "factor": 4},
        {"low": 0.0001, "high": 1.0, "best": 0.5, "factor": 2},
    ),
    properties=(
        Property(
            "the new interval spans as many decades as the old one, over factor",
            lambda value, given: (
                0 < value[0] < value[1]
                and math.isclose(
                    given["factor"] * math.log(value[1] / value[0]),
                    math.log(given["high"] / given["low"]),
                    rel_tol=1e-6,
                )
            ),
        ),
    ),
    mistakes=(
        Mistake(
            "narrower in numbers",
            _in_numbers,
            "You divided the distance of the numbers, which is all in the highest decade. What gets narrower is the "
            "distance of the logarithms.",
        ),
        Mistake(
            "ratio divided",
            _zoom(_ratio_divided),
            "You divided the ratio high / low by the factor. On a logarithmic axis narrower means a root: half of four "
            "decades is two decades, a ratio of 100, not of 5000.",
        ),
        Mistake(
            "cut off at the border",
            _cut_off,
            "You cut off what lies outside, so the new interval is too narrow. Push it inside as a whole.",
        ),
        Mistake(
            "over the border",
            _zoom(_around, inside=False),
            "Your interval reaches beyond the old one, where nothing was tried. Push it inside as a whole.",
        ),
        Mistake(
            "twice as wide",
            _zoom(lambda low, high, best, factor: _around(low, high, best, factor / 2)),
            "You went the whole new width to either side of the best. Go half of it to each.",
        ),
        Mistake(
            "factor on the rates",
            lambda low, high, best, factor: (best / factor, best * factor),
            "You divided and multiplied the best rate by the factor, however wide the old interval was. It is the old "
            "width, in decades, that gets that many times narrower.",
        ),
        Mistake(
            "around the old middle",
            lambda low, high, best, factor: _around(low, high, math.sqrt(low * high), factor),
            "You zoomed into the middle of the old interval. The best try is where to look closer.",
        ),
    ),
    rights=(zoom_by_ratio, zoom_in_decades, zoom_in_numpy),
    hints=(
        "Do it in logarithms: there an interval has a width, a middle, and a border to be pushed back from.",
        "The new width is ln(high / low) over factor, and half of it goes to each side of ln best. Does that stick "
        "out?",
        "Let the start be ln best minus half the width, but at least ln low, and at most ln high minus the width. "
        "Then exp of the start, and exp of the start plus the width.",
    ),
)


# 4 · The rates of a range test ----------------------------------------------------------------------------------------


def draw_range(random: Random) -> dict[str, Any]:
    start = random.choice((1e-7, 1e-5, 1e-3))
    return {"start": start, "end": start * 10 ** random.integer(1, 7), "steps": random.integer(2, 4 + 4 * random.size)}


def rates(start: float, end: float, steps: int) -> list[float]:
    return [float(rate) for rate in np.geomspace(start, end, steps)]


def rates_by_formula(start, end, steps):
    return [start * (end / start) ** (i / (steps - 1)) for i in range(steps)]


def rates_by_a_factor(start, end, steps):
    factor, found = (end / start) ** (1 / (steps - 1)), [start]
    while len(found) < steps:
        found.append(found[-1] * factor)
    return found


def rates_in_torch(start, end, steps):
    return torch.logspace(math.log10(start), math.log10(end), steps, dtype=torch.float64).tolist()


RATES = Question(
    name="rates",
    signature="rates(start, end, steps)",
    draw=draw_range,
    answer=rates,
    examples=(
        {"start": 0.001, "end": 1.0, "steps": 4},
        {"start": 0.01, "end": 1.0, "steps": 5},
    ),
    mistakes=(
        Mistake(
            "end never reached",
            lambda start, end, steps: [start * (end / start) ** (i / steps) for i in range(steps)],
            "Your last rate is one factor below the end. Between n rates there are n − 1 factors, as between fence "
            "posts.",
        ),
        Mistake(
            "start left out",
            lambda start, end, steps: [start * (end / start) ** (i / steps) for i in range(1, steps + 1)],
            "Your first rate is one factor above the start. The first step is made at the start itself.",
        ),
        Mistake(
            "one rate too many",
            lambda start, end, steps: [start * (end / start) ** (i / steps) for i in range(steps + 1)],
            "You made a rate more than there are steps. Count the rates, not the gaps between them.",
        ),
        Mistake(
            "an equal amount",
            lambda start, end, steps: [start + (end - start) * i / (steps - 1) for i in range(steps)],
            "Your rates rise by an equal amount, so nearly all are in the highest decade. They should rise by an equal "
            "factor.",
        ),
        Mistake(
            "from the top",
            lambda start, end, steps: rates(start, end, steps)[::-1],
            "Your rates fall. A range test begins with the smallest: after the first explosion there is no going on.",
        ),
        Mistake(
            "always times ten",
            lambda start, end, steps: [start * 10**i for i in range(steps)],
            "You multiplied by 10 each time. The factor depends on how many steps there are from start to end.",
        ),
    ),
    rights=(rates_by_formula, rates_by_a_factor, rates_in_torch),
    hints=(
        "From each rate to the next it is the same factor. How many such factors lie between the first and the last?",
        "steps − 1. So the factor is that root of end / start.",
        "Rate number i, from 0, is start times end / start to the power i / (steps − 1).",
    ),
)


# 5 · Out of the noise -------------------------------------------------------------------------------------------------


def draw_losses(random: Random) -> dict[str, Any]:
    count = random.size + 1
    return {"losses": [random.uniform(-1, 5) for _ in range(count)], "beta": random.choice((0.5, 0.8, 0.9, 0.98))}


def smooth(losses: list[float], beta: float) -> list[float]:
    return [float(value) for value in finder.smooth(losses, beta)]


def smooth_in_a_loop(losses, beta):
    average, smoothed = 0.0, []
    for n, loss in enumerate(losses, start=1):
        average = beta * average + (1 - beta) * loss
        smoothed.append(average / (1 - beta**n))
    return smoothed


def smooth_by_weights(losses, beta):
    smoothed = []
    for now in range(len(losses)):
        weights = [beta ** (now - then) for then in range(now + 1)]
        smoothed.append(sum(w * loss for w, loss in zip(weights, losses, strict=False)) / sum(weights))
    return smoothed


def smooth_by_two_averages(losses, beta):
    of_losses, of_ones, smoothed = 0.0, 0.0, []
    for loss in losses:
        of_losses += (1 - beta) * (loss - of_losses)
        of_ones += (1 - beta) * (1 - of_ones)
        smoothed.append(of_losses / of_ones)
    return smoothed


def _smooth(divisor: Callable[[int, float], float], first: float = 0.0) -> Callable[..., list[float]]:
    """The smoothed losses with another correction."""

    def smoothed(losses: list[float], beta: float) -> list[float]:
        average, found = first, []
        for n, loss in enumerate(losses, start=1):
            average = beta * average + (1 - beta) * loss
            found.append(average / divisor(n, beta))
        return found

    return smoothed


def _smooth_from_the_first(losses: list[float], beta: float) -> list[float]:
    return _smooth(lambda n, beta: 1.0, first=losses[0])(losses, beta)


def _corrected_value_kept(losses: list[float], beta: float) -> list[float]:
    average, found = 0.0, []
    for n, loss in enumerate(losses, start=1):
        average = (beta * average + (1 - beta) * loss) / (1 - beta**n)
        found.append(average)
    return found


SMOOTH = Question(
    name="smooth",
    signature="smooth(losses, beta)",
    draw=draw_losses,
    answer=smooth,
    examples=(
        {"losses": [7.0, 7.0], "beta": 0.5},
        {"losses": [4.0, 1.0], "beta": 0.5},
        {"losses": [4.0, 1.0, 1.0], "beta": 0.9},
    ),
    mistakes=(
        Mistake(
            "not corrected",
            _smooth(lambda n, beta: 1.0),
            "Your average starts at 0 and climbs up to the losses: a loss that is always 7 begins at 3.5. Divide what "
            "you hand out by 1 − βⁿ.",
        ),
        Mistake(
            "exponent one too large",
            _smooth(lambda n, beta: 1 - beta ** (n + 1)),
            "Your n is one too large, as Lightning's is. After the first loss the weight given out is 1 − β, so n is "
            "1.",
        ),
        Mistake(
            "started from the first loss",
            _smooth_from_the_first,
            "You let the average begin with the first loss, as torch-lr-finder does. That one loss then weighs too "
            "much. Begin with 0 and divide by 1 − βⁿ.",
        ),
        Mistake(
            "weights exchanged",
            lambda losses, beta: smooth(losses, 1 - beta),
            "You gave the new loss the weight β. It is the old average that keeps β; the new loss enters with 1 − β.",
        ),
        Mistake(
            "corrected value kept",
            _corrected_value_kept,
            "You went on with the corrected average, so each value is corrected again at every later step. Keep the "
            "plain one, and divide only what you hand out.",
        ),
        Mistake(
            "one correction for all",
            lambda losses, beta: [
                value * (1 - beta**n) / (1 - beta ** len(losses))
                for n, value in enumerate(smooth(losses, beta), start=1)
            ],
            "You divided every value by the correction of the last one. After n losses it is 1 − βⁿ, another one at "
            "each place.",
        ),
        Mistake(
            "weight of the new loss left out",
            lambda losses, beta: [value / (1 - beta) for value in smooth(losses, beta)],
            "You added the whole new loss. It enters with the weight 1 − β.",
        ),
        Mistake(
            "a plain mean",
            lambda losses, beta: [sum(losses[:n]) / n for n in range(1, len(losses) + 1)],
            "This is the mean of all losses so far: it never forgets. Here what is past loses weight by β at every "
            "step.",
        ),
    ),
    rights=(smooth_in_a_loop, smooth_by_weights, smooth_by_two_averages),
    hints=(
        "A moving average first: it keeps the share β of itself, and takes 1 − β of the new loss. It begins with 0.",
        "After n losses it has given out the weight 1 − βⁿ in all. Divide by that, and a constant loss stays itself.",
        "In a loop with enumerate(losses, start=1): renew the average, and append average / (1 − beta**n). Keep the "
        "average itself undivided.",
    ),
)


# 6 · The steepest stretch ---------------------------------------------------------------------------------------------


def draw_curve(random: Random) -> dict[str, Any]:
    lrs, losses = [random.choice((1e-5, 1e-4, 1e-3))], [2.3]
    for _ in range(random.size + 2):
        lrs.append(float(f"{lrs[-1] * random.choice((1.3, 2, 5, 10)):.3g}"))
        losses.append(round(losses[-1] - random.uniform(-0.1, 0.6), 3))
    lrs.append(lrs[-1] * 1.5)
    losses.append(losses[-1] + 4)  # the explosion
    return {"lrs": vector(*lrs), "losses": vector(*losses)}


def steepest(lrs: Tensor, losses: Tensor) -> float:
    slopes = losses.diff() / lrs.log().diff()
    i = int(slopes.argmin())
    return math.sqrt(float(lrs[i] * lrs[i + 1]))


def steepest_in_a_loop(lrs, losses):
    best, found = math.inf, math.nan
    for i in range(len(lrs) - 1):
        slope = (losses[i + 1] - losses[i]) / torch.log(lrs[i + 1] / lrs[i])
        if slope < best:
            best, found = slope, (lrs[i] * lrs[i + 1]) ** 0.5
    return float(found)


def steepest_in_numpy(lrs, losses):
    where = np.log10(lrs.numpy())
    slopes = np.diff(losses.numpy()) / np.diff(where)
    return 10 ** ((where[:-1] + where[1:]) / 2)[slopes.argmin()]


def steepest_by_sorting(lrs, losses):
    pairs = list(zip(lrs.tolist(), losses.tolist(), strict=True))
    stretches = [
        ((after - before) / math.log(right / left), math.exp((math.log(left) + math.log(right)) / 2))
        for (left, before), (right, after) in zip(pairs, pairs[1:], strict=False)
    ]
    return sorted(stretches)[0][1]


def _steepest(
    slopes: Callable[[Tensor, Tensor], Tensor],
    point: Callable[[Tensor, int], float] = lambda lrs, i: math.sqrt(float(lrs[i] * lrs[i + 1])),
) -> Callable[[Tensor, Tensor], float]:
    """The stretch where another measure is lowest, or another point of it."""
    return lambda lrs, losses: point(lrs, int(slopes(lrs, losses).argmin()))


def _in_the_logarithm(lrs: Tensor, losses: Tensor) -> Tensor:
    return losses.diff() / lrs.log().diff()


STEEPEST = Question(
    name="steepest",
    signature="steepest(lrs, losses) -> lr",
    draw=draw_curve,
    answer=steepest,
    examples=(
        {"lrs": vector(0.001, 0.01, 0.1, 1), "losses": vector(2.3, 2.0, 1.0, 1.5)},
        {"lrs": vector(0.001, 0.01, 0.1, 0.2), "losses": vector(2.3, 2.0, 1.2, 0.8)},
        {"lrs": vector(0.01, 0.1, 1, 2), "losses": vector(2.0, 1.5, 1.4, 9.0)},
    ),
    mistakes=(
        Mistake(
            "per rate, not per factor",
            _steepest(lambda lrs, losses: losses.diff() / lrs.diff()),
            "You divided by the distance of the rates, which at small rates is next to nothing: so the smallest ones "
            "look steepest. Divide by the distance of their logarithms.",
        ),
        Mistake(
            "by index",
            _steepest(lambda lrs, losses: losses.diff()),
            "You took the largest fall from one entry to the next, however far apart their rates are. Divide by the "
            "distance, in ln α.",
        ),
        Mistake(
            "the steepest climb",
            _steepest(lambda lrs, losses: -_in_the_logarithm(lrs, losses)),
            "You found the steepest climb, which is the explosion. A loss that falls has a negative slope: look for "
            "the lowest.",
        ),
        Mistake(
            "up or down",
            _steepest(lambda lrs, losses: -_in_the_logarithm(lrs, losses).abs()),
            "You looked for the largest slope whatever its sign, and found the explosion. Falling slopes are negative: "
            "look for the lowest.",
        ),
        Mistake(
            "the lowest loss",
            lambda lrs, losses: float(lrs[int(losses.argmin())]),
            "This is the rate of the lowest loss. There falling and exploding are in balance; asked is where it falls "
            "fastest.",
        ),
        Mistake(
            "slopes at the points",
            lambda lrs, losses: float(lrs[int(torch.gradient(losses, spacing=(lrs.log(),))[0].argmin())]),
            "You took the slope at each point, which blends the stretches on both sides. Asked is the steepest stretch "
            "between two neighbours, and its middle.",
        ),
        Mistake(
            "left end",
            _steepest(_in_the_logarithm, lambda lrs, i: float(lrs[i])),
            "You found the right stretch, and returned its left end. Asked is its middle.",
        ),
        Mistake(
            "right end",
            _steepest(_in_the_logarithm, lambda lrs, i: float(lrs[i + 1])),
            "You found the right stretch, and returned its right end. Asked is its middle.",
        ),
        Mistake(
            "middle of the numbers",
            _steepest(_in_the_logarithm, lambda lrs, i: float(lrs[i] + lrs[i + 1]) / 2),
            "You found the right stretch, but its middle on the logarithmic axis is the root of the product of its "
            "ends, not half of their sum.",
        ),
    ),
    rights=(steepest_in_a_loop, steepest_in_numpy, steepest_by_sorting),
    hints=(
        "n points make n − 1 stretches. Each has a slope: how much the loss changes on it, over how wide it is.",
        "How wide it is in ln α: losses.diff() / lrs.log().diff(). Which of these numbers is the steepest fall?",
        "Its place i from .argmin(); then the root of lrs[i] · lrs[i + 1], as a plain number.",
    ),
)


# 7 · A tenth of the lowest --------------------------------------------------------------------------------------------


def draw_bottom(random: Random) -> dict[str, Any]:
    falls, climbs = random.integer(2, 2 + random.size), random.choice((0, 1, 2, 3))
    losses = [2.3]
    for number in range(falls + climbs):
        losses.append(round(losses[-1] + random.uniform(0.05, 0.4) * (-1 if number < falls else 1), 3))
    if random.choice((True, False)):
        losses += [math.nan, random.uniform(0.01, 0.2), *random.choice(((3.0,), (math.nan, 3.0)))]
    lrs = [float(f"{1e-4 * 3**number:.3g}") for number in range(len(losses))]
    return {"lrs": vector(*lrs), "losses": vector(*losses)}


def minimum_over_10(lrs: Tensor, losses: Tensor) -> float | None:
    broken = losses.isnan().nonzero()
    end = int(broken[0]) if len(broken) else len(losses)
    bottom = int(losses[:end].argmin())
    return None if bottom == end - 1 else float(lrs[bottom]) / 10


def minimum_over_10_in_a_loop(lrs, losses):
    lowest, found, last = math.inf, math.nan, math.nan
    for lr, loss in zip(lrs.tolist(), losses.tolist(), strict=True):
        if loss != loss:
            break
        last = lr
        if loss < lowest:
            lowest, found = loss, lr
    return None if found == last else found / 10


def minimum_over_10_in_numpy(lrs, losses):
    counts = np.logical_and.accumulate(np.isfinite(losses.numpy()))
    seen = losses.numpy()[counts]
    if seen.argmin() + 1 == len(seen):
        return None
    return lrs.numpy()[seen.argmin()] * 0.1


def minimum_over_10_by_lists(lrs, losses):
    seen = list(itertools.takewhile(lambda loss: not math.isnan(loss), losses.tolist()))
    bottom = seen.index(min(seen))
    if len(seen) > bottom + 1:
        return lrs[bottom].item() / 10
    return None


def _seen(losses: Tensor) -> Tensor:
    """The losses before the first NaN."""
    return losses[: int((~losses.isnan()).long().cumprod(0).sum())]


def _bottom(
    lrs: Tensor, losses: Tensor, advice: Callable[[Tensor, Tensor, int], float], at_the_end: bool = False
) -> float | None:
    bottom = int(losses.argmin())
    if bottom == len(losses) - 1 and not at_the_end:
        return None
    return advice(lrs, losses, bottom)


def _tenth(lrs: Tensor, losses: Tensor, bottom: int) -> float:
    return float(lrs[bottom]) / 10


MINIMUM_OVER_10 = Question(
    name="minimum_over_10",
    signature="minimum_over_10(lrs, losses) -> lr",
    draw=draw_bottom,
    answer=minimum_over_10,
    examples=(
        {"lrs": vector(0.01, 0.1, 1), "losses": vector(2.0, 1.0, 3.0)},
        {"lrs": vector(0.01, 0.1, 1), "losses": vector(2.0, 1.0, 0.5)},
        {"lrs": vector(0.001, 0.01, 0.1, 1, 10), "losses": vector(2.0, 1.0, 1.5, math.nan, 0.1)},
    ),
    mistakes=(
        Mistake(
            "not divided",
            lambda lrs, losses: _bottom(lrs, _seen(losses), lambda lrs, losses, bottom: float(lrs[bottom])),
            "You returned the rate of the lowest loss, where it is about to explode. Take a tenth of that.",
        ),
        Mistake(
            "advice at the end",
            lambda lrs, losses: _bottom(lrs, _seen(losses), _tenth, at_the_end=True),
            "Where the lowest loss is the last one, it may go on falling: nobody has seen the bottom. Return None "
            "then.",
        ),
        Mistake(
            "NaN taken for the lowest",
            lambda lrs, losses: _bottom(lrs, losses, _tenth),
            "You searched all the losses, and torch's argmin takes NaN for the lowest of all. Cut the losses off "
            "before the first NaN.",
        ),
        Mistake(
            "NaN skipped",
            lambda lrs, losses: _bottom(lrs, losses.nan_to_num(math.inf), _tenth),
            "You left out the NaN and looked at what comes behind it. Nothing behind it counts: the weights are "
            "ruined. Cut the losses off there.",
        ),
        Mistake(
            "a tenth of the loss",
            lambda lrs, losses: _bottom(lrs, _seen(losses), lambda lrs, losses, bottom: float(losses[bottom]) / 10),
            "You divided the lowest loss. Asked is a rate: the one at which that loss stands, over 10.",
        ),
        Mistake(
            "the highest loss",
            lambda lrs, losses: _bottom(lrs, -_seen(losses), _tenth),
            "You looked for the highest loss. The lowest is the bottom: argmin.",
        ),
    ),
    rights=(minimum_over_10_in_a_loop, minimum_over_10_in_numpy, minimum_over_10_by_lists),
    hints=(
        "Three things in order: what counts, where its lowest is, and whether that is a bottom at all.",
        "Find the first NaN and cut there. Then argmin. Is it the last place of what is left?",
        "losses.isnan() marks the NaN; .nonzero() has their places. If the lowest is the last one, None; otherwise a "
        "tenth of its rate, as a plain number.",
    ),
)


QUESTIONS = (LOG_UNIFORM, TRIES_NEEDED, ZOOM, RATES, SMOOTH, STEEPEST, MINIMUM_OVER_10)
