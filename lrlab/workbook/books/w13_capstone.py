"""The questions of workbook 13: no leak, the account, paired differences, the choice, an interval, an ablation.

Each section is one question: how an input is drawn, the reference, three other right ways to write it, the question.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from lrlab.workbook.given import matrix, vector
from lrlab.workbook.questions import Mistake, Property, Question, Random

VERSION = 1


# 1 · Without a leak ---------------------------------------------------------------------------------------------------

Parts = tuple[Tensor, Tensor, Tensor]
OVER = (0, 2, 3)  # images, height and width: a number is left for each channel


def draw_parts(random: Random) -> dict[str, Any]:
    channels = random.integer(1, 3)
    sizes = {"train": random.integer(2, 4), "validation": random.integer(1, 3), "test": random.integer(1, 3)}
    return {name: random.tensor(size, channels, 2, 2, low=0, high=9) for name, size in sizes.items()}


def standardise(train: Tensor, validation: Tensor, test: Tensor) -> Parts:
    mean, scale = train.mean(OVER, keepdim=True), train.std(OVER, correction=0, keepdim=True)
    return (train - mean) / scale, (validation - mean) / scale, (test - mean) / scale


def standardise_by_channel(train, validation, test):
    results = [part.clone() for part in (train, validation, test)]
    for channel in range(train.shape[1]):
        known = train[:, channel]
        for result in results:
            result[:, channel] -= known.mean()
            result[:, channel] /= ((known - known.mean()) ** 2).mean().sqrt()
    return results


def standardise_in_rows(train, validation, test):
    by_channel = train.transpose(0, 1).flatten(1)  # [C, N·H·W]
    variance, mean = torch.var_mean(by_channel, dim=1, unbiased=False)
    return tuple((part - mean[:, None, None]) * variance.rsqrt()[:, None, None] for part in (train, validation, test))


def standardise_by_moments(train, validation, test):
    mean = train.mean(OVER).view(-1, 1, 1)
    scale = (train.square().mean(OVER).view(-1, 1, 1) - mean.square()).sqrt()
    return tuple(part.sub(mean).div(scale) for part in (train, validation, test))


def _by(mean_and_scale: Callable[[Tensor], tuple[Any, Any]]) -> Callable[..., Parts]:
    """All three parts by a mean and a scale of the training part."""

    def standardise(train: Tensor, validation: Tensor, test: Tensor) -> Parts:
        mean, scale = mean_and_scale(train)
        return (train - mean) / scale, (validation - mean) / scale, (test - mean) / scale

    return standardise


def _mean(x: Tensor) -> Tensor:
    return x.mean(OVER, keepdim=True)


def _scale(x: Tensor) -> Tensor:
    return x.std(OVER, correction=0, keepdim=True)


def _by_all_three(train: Tensor, validation: Tensor, test: Tensor) -> Parts:
    everything = torch.cat([train, validation, test])
    return _by(lambda _: (_mean(everything), _scale(everything)))(train, validation, test)


STANDARDISE = Question(
    name="standardise",
    signature="standardise(train, validation, test) -> train, validation, test",
    draw=draw_parts,
    answer=standardise,
    examples=(
        {"train": matrix([[[1, 3]]]), "validation": matrix([[[2, 5]]]), "test": matrix([[[0, 2]]])},
        {
            "train": matrix([[[1, 3]], [[0, 4]]], [[[1, 3]], [[0, 4]]]),
            "validation": matrix([[[2, 5]], [[2, 6]]]),
            "test": matrix([[[0, 2]], [[4, 2]]]),
        },
    ),
    mistakes=(
        Mistake(
            "each by its own",
            lambda train, validation, test: tuple(
                (part - _mean(part)) / _scale(part) for part in (train, validation, test)
            ),
            "You measured mean and scale of each part by itself. Then the same picture looks different in training and "
            "in the test, and a single new one cannot be standardised at all: the training part's numbers serve for "
            "all.",
        ),
        Mistake(
            "by all three",
            _by_all_three,
            "You measured mean and scale over all three parts. That is the leak: the network would know something of "
            "the test before it. Measure on the training part alone.",
        ),
        Mistake(
            "test left as it was",
            lambda train, validation, test: (*standardise(train, validation, test)[:2], test),
            "You left the test part raw. Not measuring on it does not mean not changing it: it gets the numbers of the "
            "training part.",
        ),
        Mistake(
            "one scale for all channels",
            _by(lambda train: (train.mean(), train.std(correction=0))),
            "You took one mean and one scale for all channels. Each channel has its own: average over images, height "
            "and width only.",
        ),
        Mistake(
            "one for all, by n − 1",
            _by(lambda train: (train.mean(), train.std())),
            "You took one mean and one scale for all channels, and a standard deviation that divides by n − 1. Each "
            "channel has its own, and correction=0 divides by n.",
        ),
        Mistake(
            "pixel by pixel",
            _by(lambda train: (train.mean(0), train.std(0, correction=0))),
            "You standardised every pixel by itself. Asked is one mean and one scale for each channel.",
        ),
        Mistake(
            "picture by picture",
            lambda train, validation, test: tuple(
                (part - part.mean((1, 2, 3), keepdim=True)) / part.std((1, 2, 3), correction=0, keepdim=True)
                for part in (train, validation, test)
            ),
            "You standardised each picture by itself, so how bright it was is lost. One mean and one scale for each "
            "channel, over all training pictures.",
        ),
        Mistake(
            "divided by the variance",
            _by(lambda train: (_mean(train), train.var(OVER, correction=0, keepdim=True))),
            "You divided by the variance. It has the unit of the square: take its root.",
        ),
        Mistake(
            "n − 1",
            _by(lambda train: (_mean(train), train.std(OVER, keepdim=True))),
            "Your standard deviation divides by n − 1, as torch's does unless told. Here it is by n: correction=0.",
        ),
        Mistake(
            "not centred",
            _by(lambda train: (0.0, _scale(train))),
            "You divided, but did not take the mean away first.",
        ),
    ),
    rights=(standardise_by_channel, standardise_in_rows, standardise_by_moments),
    hints=(
        "Two numbers for each channel, measured once, on one part; then they are used three times.",
        "train.mean((0, 2, 3), keepdim=True) is [1, C, 1, 1]. The same for the standard deviation, with correction=0.",
        "mean and scale of train; then (part − mean) / scale for train, validation and test.",
    ),
)


# 2 · The account ------------------------------------------------------------------------------------------------------


def draw_trials(random: Random) -> dict[str, Any]:
    count = random.integer(1, random.size + 2)
    trials = [(random.choice((50, 100, 200, 400)), random.integer(1, 6)) for _ in range(count)]
    total = sum(steps * seeds for steps, seeds in trials)
    return {
        "trials": trials,
        "budget": random.choice((total, total // 2, total // 3 + 50, trials[0][0] * trials[0][1])),
    }


def carried_out(trials: Sequence[tuple[int, int]], budget: int) -> tuple[list[int], int]:
    done = []
    for number, (steps, seeds) in enumerate(trials):
        if steps * seeds <= budget:
            done.append(number)
            budget -= steps * seeds
    return done, budget


def carried_out_by_spending(trials, budget):
    done, spent = [], 0
    for number in range(len(trials)):
        cost = trials[number][0] * trials[number][1]
        if spent + cost > budget:
            continue
        spent += cost
        done.append(number)
    return done, budget - spent


def carried_out_by_calling_itself(trials, budget):
    if not trials:
        return [], budget
    done, left = carried_out_by_calling_itself(trials[:-1], budget)
    cost = math.prod(trials[-1])
    return ([*done, len(trials) - 1], left - cost) if cost <= left else (done, left)


def carried_out_in_numpy(trials, budget):
    costs = np.prod(np.array(trials), axis=1)
    lefts = list(itertools.accumulate(costs, lambda left, cost: left - cost * (cost <= left), initial=budget))
    return [n for n in range(len(costs)) if lefts[n + 1] < lefts[n]], int(lefts[-1])


def _stopped(trials: Sequence[tuple[int, int]], budget: int) -> tuple[list[int], int]:
    sums = list(itertools.accumulate(steps * seeds for steps, seeds in trials))
    done = [number for number, spent in enumerate(sums) if spent <= budget]
    return done, budget - (sums[len(done) - 1] if done else 0)


def _overdrawn(trials: Sequence[tuple[int, int]], budget: int) -> tuple[list[int], int]:
    done = []
    for number, (steps, seeds) in enumerate(trials):
        if budget > 0:
            done.append(number)
            budget -= steps * seeds
    return done, budget


def _cheapest_first(trials: Sequence[tuple[int, int]], budget: int) -> tuple[list[int], int]:
    order = sorted(range(len(trials)), key=lambda number: math.prod(trials[number]))
    done, left = carried_out([trials[number] for number in order], budget)
    return [order[number] for number in done], left


def _keeping_something(trials: Sequence[tuple[int, int]], budget: int) -> tuple[list[int], int]:
    done, left = carried_out(trials, budget - 1)
    return done, left + 1


CARRIED_OUT = Question(
    name="carried_out",
    signature="carried_out(trials, budget) -> done, left",
    draw=draw_trials,
    answer=carried_out,
    examples=(
        {"trials": [(200, 6)], "budget": 1200},
        {"trials": [(200, 6), (100, 2)], "budget": 1300},
        {"trials": [(200, 6), (200, 4), (100, 3)], "budget": 1500},
    ),
    mistakes=(
        Mistake(
            "stopped too soon",
            _stopped,
            "You stopped at the first trial that you could not afford. A cheaper one behind it may still fit.",
        ),
        Mistake(
            "overdrawn",
            _overdrawn,
            "You began a trial whenever something was left. Ask before: does this one's whole cost fit into what is "
            "left?",
        ),
        Mistake(
            "seeds forgotten",
            lambda trials, budget: carried_out([(steps, 1) for steps, _ in trials], budget),
            "You paid for one seed of each trial. A trial trains a network for each of its seeds: steps times seeds.",
        ),
        Mistake(
            "cheapest first",
            _cheapest_first,
            "You began with the cheapest trial. They come in the order of the list, which is that of the lecture: the "
            "question decides what comes first, not the price.",
        ),
        Mistake(
            "never to the last step",
            _keeping_something,
            "A trial that costs exactly what is left fits: compare with <=.",
        ),
        Mistake(
            "nothing paid",
            lambda trials, budget: (
                [number for number, (steps, seeds) in enumerate(trials) if steps * seeds <= budget],
                budget,
            ),
            "You compared each trial with the whole budget. What is done is paid for, and leaves less for the next.",
        ),
        Mistake(
            "counted from 1",
            lambda trials, budget: (
                [number + 1 for number in carried_out(trials, budget)[0]],
                carried_out(trials, budget)[1],
            ),
            "You counted from 1. The first trial has the index 0, as everywhere in Python.",
        ),
    ),
    rights=(carried_out_by_spending, carried_out_by_calling_itself, carried_out_in_numpy),
    hints=(
        "Walk through the list once, with what is left in your hand.",
        "for number, (steps, seeds) in enumerate(trials): the cost is their product. If it fits, note the number and "
        "pay.",
        "If it does not fit, do nothing and go on with the next. In the end return the list of numbers and what is "
        "left.",
    ),
)


# 3 · Seed by seed -----------------------------------------------------------------------------------------------------


def draw_seeds(random: Random) -> dict[str, Any]:
    seeds = max(3, random.size + 1)
    before = random.tensor(seeds, low=60, high=80)
    return {"after": before + random.tensor(seeds, low=-1, high=3), "before": before}


def won(after: Tensor, before: Tensor) -> tuple[float, float]:
    points = (after - before).numpy()
    return float(points.mean()), float(stats.sem(points))


def won_in_torch(after, before):
    points = after - before
    return points.mean().item(), (points.std() / len(points) ** 0.5).item()


def won_by_statistics(after, before):
    points = [float(a) - float(b) for a, b in zip(after, before, strict=True)]
    return statistics.fmean(points), statistics.stdev(points) / math.sqrt(len(points))


def won_by_sums(after, before):
    seeds = after.numel()
    mean = float((after.sum() - before.sum()) / seeds)
    squares = sum((float(points) - mean) ** 2 for points in after.sub(before))
    return mean, math.sqrt(squares / (seeds * (seeds - 1)))


def _with_error(error: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], tuple[float, float]]:
    return lambda after, before: (float((after - before).mean()), float(error(after, before)))


WON = Question(
    name="won",
    signature="won(after, before) -> mean, error",
    draw=draw_seeds,
    answer=won,
    examples=(
        {"after": vector(71, 63, 82), "before": vector(70, 60, 80)},
        {"after": vector(72, 60, 84, 76), "before": vector(70, 62, 80, 76)},
    ),
    mistakes=(
        Mistake(
            "unpaired",
            _with_error(lambda after, before: ((after.var() + before.var()) / len(after)).sqrt()),
            "You added up the spread of the two. A seed that is good is good before and after, and that cancels: take "
            "the differences first, seed by seed, and then their spread.",
        ),
        Mistake(
            "spread of after",
            _with_error(lambda after, before: after.std() / len(after) ** 0.5),
            "This is the standard error of what is there after the change. Asked is that of what was won: take the "
            "differences first, seed by seed.",
        ),
        Mistake(
            "spread of the seeds",
            _with_error(lambda after, before: (after - before).std()),
            "This is how much one seed differs from the next. The mean of n of them is surer: divide by √n.",
        ),
        Mistake(
            "divided by n",
            _with_error(lambda after, before: (after - before).std() / len(after)),
            "You divided by n. The variance of a mean is n times smaller, so its root is √n times smaller.",
        ),
        Mistake(
            "n for n − 1",
            _with_error(lambda after, before: (after - before).std(correction=0) / len(after) ** 0.5),
            "Your standard deviation divides by n. The mean was taken from the same few numbers, so it is too small: "
            "n − 1.",
        ),
        Mistake(
            "no root",
            _with_error(lambda after, before: (after - before).var() / len(after)),
            "This is the square of the standard error, in points squared. Take the root.",
        ),
        Mistake(
            "before minus after",
            lambda after, before: won(before, after),
            "Your sign is the wrong way round. What is won is what is there after, minus what was there before.",
        ),
        Mistake(
            "median",
            lambda after, before: (float(np.median((after - before).numpy())), won(after, before)[1]),
            "You took the median, as the lecture does. Here it is the mean, to which the standard error belongs.",
        ),
        Mistake(
            "in per cent of before",
            lambda after, before: won(after / before * 100, torch.full_like(before, 100)),
            "You have per cent of what was there before. Points are differences: 70 % to 71 % is one point.",
        ),
    ),
    rights=(won_in_torch, won_by_statistics, won_by_sums),
    hints=(
        "What has one seed won? Ask that for each of them, and forget the rest.",
        "The mean of the differences; and their standard deviation (with n − 1) over √n.",
        "points = after − before. Then points.mean() and points.std() / math.sqrt(len(points)), both as numbers.",
    ),
)


# 4 · The choice -------------------------------------------------------------------------------------------------------


def draw_results(random: Random) -> dict[str, Any]:
    trials, seeds = random.integer(2, random.size + 3), random.integer(2, 4)
    unequal = torch.arange(trials, dtype=torch.float64)[:, None] / 1000  # no two trials alike
    validation = random.tensor(trials, seeds, low=60, high=90) + unequal
    test = random.tensor(trials, seeds, low=60, high=90) + unequal
    if random.choice((True, False)):  # one seed of one trial diverged; another trial is left
        trial, seed = random.integer(0, trials - 1), random.integer(0, seeds - 1)
        validation[trial, seed] = test[trial, seed] = math.nan
    return {"validation": validation, "test": test}


def choose(validation: Tensor, test: Tensor) -> tuple[int, float]:
    means = validation.mean(1).nan_to_num(nan=-math.inf)
    best = int(means.argmax())
    return best, float(test[best].mean())


def choose_in_a_loop(validation, test):
    best, highest = None, -1.0
    for trial in range(len(validation)):
        mean = sum(validation[trial].tolist()) / validation.shape[1]
        if mean > highest:  # False for NaN
            best, highest = trial, mean
    return best, test[best].mean().item()


def choose_in_numpy(validation, test):
    best = np.nanargmax(validation.numpy().mean(axis=1))
    return int(best), float(np.mean(test.numpy()[best]))


def choose_by_sorting(validation, test):
    whole = [trial for trial, row in enumerate(validation) if row.isfinite().all()]
    whole.sort(key=lambda trial: float(validation[trial].sum()))
    return whole[-1], float(test[whole[-1]].sum() / test.shape[1])


def _best(means: Tensor) -> int:
    return int(means.nan_to_num(nan=-math.inf).argmax())


def _chosen(index: Callable[[Tensor, Tensor], int]) -> Callable[[Tensor, Tensor], tuple[int, float]]:
    def choose(validation: Tensor, test: Tensor) -> tuple[int, float]:
        best = index(validation, test)
        return best, float(test[best].mean())

    return choose


def _reported(value: Callable[[Tensor, Tensor, int], Tensor]) -> Callable[[Tensor, Tensor], tuple[int, float]]:
    def choose(validation: Tensor, test: Tensor) -> tuple[int, float]:
        best = _best(validation.mean(1))
        return best, float(value(validation, test, best))

    return choose


CHOOSE = Question(
    name="choose",
    signature="choose(validation, test) -> trial, reported",
    draw=draw_results,
    answer=choose,
    examples=(
        {"validation": matrix([70, 72], [78, 80]), "test": matrix([74, 76], [72, 74])},
        {"validation": matrix([70, 90], [84, 82], [60, 62]), "test": matrix([81, 85], [78, 80], [60, 64])},
        {"validation": matrix([95, math.nan], [80, 82]), "test": matrix([95, math.nan], [78, 80])},
    ),
    mistakes=(
        Mistake(
            "best on the test",
            _chosen(lambda validation, test: _best(test.mean(1))),
            "You chose by the test. Then it is no test any more: the best of several lucky draws is luckier than the "
            "next pictures will be. Choose by validation, whatever the test says.",
        ),
        Mistake(
            "validation reported",
            _reported(lambda validation, test, best: validation[best].mean()),
            "You report the validation value by which you chose. It was chosen for being high: the winner's curse. "
            "Report the chosen trial's value on the test.",
        ),
        Mistake(
            "best seed",
            _chosen(lambda validation, test: _best(validation.nan_to_num(nan=-math.inf).max(1).values)),
            "You chose the trial with the single best seed. A lucky seed is no setting: compare the means over the "
            "seeds.",
        ),
        Mistake(
            "best seed reported",
            _reported(lambda validation, test, best: test[best].max()),
            "You chose rightly, and report the best seed of it. The setting is worth the mean over its seeds.",
        ),
        Mistake(
            "diverged seed left out",
            _chosen(lambda validation, test: int(validation.nanmean(1).argmax())),
            "You averaged over the seeds that were left. A setting with which training can break is not a good one "
            "because its other seeds are: it cannot be chosen.",
        ),
        Mistake(
            "NaN wins",
            _chosen(lambda validation, test: int(validation.mean(1).argmax())),
            "A trial that diverged won. For argmax NaN is larger than any number: turn it into −∞ first.",
        ),
        Mistake(
            "the lowest",
            _chosen(lambda validation, test: int(validation.mean(1).nan_to_num(nan=math.inf).argmin())),
            "You took the lowest value, as if it were a loss. More right answers are better.",
        ),
        Mistake(
            "both counted",
            _chosen(lambda validation, test: _best(validation.mean(1) + test.mean(1))),
            "You chose by validation and test together. The test has no vote, not even half of one.",
        ),
    ),
    rights=(choose_in_a_loop, choose_in_numpy, choose_by_sorting),
    hints=(
        "Two tables, and each is used for one thing only.",
        "The mean over the seeds is validation.mean(1). A row with a NaN has the mean NaN, and must not win.",
        "means = validation.mean(1).nan_to_num(nan=-math.inf), its argmax is the trial; report test[trial].mean().",
    ),
)


# 5 · How sure? --------------------------------------------------------------------------------------------------------


def draw_hits(random: Random) -> dict[str, Any]:
    images = random.choice((10, 20, 50, 200, 1000))
    share = random.choice((0.1, 0.5, 0.8, 0.95, 0.99, 1.0))
    return {"right": round(share * images), "images": images, "z": random.choice((1.0, 1.64, 1.96, 2.58))}


def interval(right: int, images: int, z: float) -> tuple[float, float]:
    found = stats.binomtest(right, images).proportion_ci(2 * float(stats.norm.cdf(z)) - 1, method="wilson")
    return float(found.low), float(found.high)


def interval_by_formula(right, images, z):
    p, shift = right / images, z**2 / images
    centre, half = (p + shift / 2) / (1 + shift), z / (1 + shift) * math.sqrt(p * (1 - p) / images + shift / images / 4)
    return centre - half, centre + half


def interval_by_roots(right, images, z):
    low, high = sorted(np.roots([images + z**2, -2 * right - z**2, right**2 / images]).real.tolist())
    return low, high


def interval_by_counts(right, images, z):
    """As if z² pictures more had been seen, half of them right."""
    seen, hits = images + z**2, right + z**2 / 2
    half = z * (right * (images - right) / images + z**2 / 4) ** 0.5
    return (hits - half) / seen, (hits + half) / seen


def _around(
    centre_and_half: Callable[[float, int, float], tuple[float, float]],
) -> Callable[[int, int, float], tuple[float, float]]:
    def interval(right: int, images: int, z: float) -> tuple[float, float]:
        centre, half = centre_and_half(right / images, images, z)
        return centre - half, centre + half

    return interval


def _centre(p: float, n: int, z: float) -> float:
    return (p + z**2 / (2 * n)) / (1 + z**2 / n)


def _half(p: float, n: int, z: float) -> float:
    return z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)


INTERVAL = Question(
    name="interval",
    signature="interval(right, images, z) -> low, high",
    draw=draw_hits,
    answer=interval,
    examples=(
        {"right": 1, "images": 1, "z": 1.0},
        {"right": 2, "images": 4, "z": 2.0},
        {"right": 850, "images": 1000, "z": 1.96},
    ),
    properties=(
        Property(
            "both ends lie between 0 and 1",
            lambda value, given: value[0] >= -1e-6 and value[1] <= 1 + 1e-6,
        ),
    ),
    mistakes=(
        Mistake(
            "the simple one",
            _around(lambda p, n, z: (p, z * math.sqrt(p * (1 - p) / n))),
            "This is p ± z √(p(1 − p)/n). Near 0 and 1 it goes wrong: 20 of 20 right would mean certainty. Wilson's "
            "moves the centre and has a second term under the root.",
        ),
        Mistake(
            "centre not moved",
            _around(lambda p, n, z: (p, _half(p, n, z))),
            "Your width is Wilson's, your centre is p. The centre moves towards one half: (p + z²/2n) / (1 + z²/n).",
        ),
        Mistake(
            "not divided",
            _around(lambda p, n, z: (_centre(p, n, z) * (1 + z**2 / n), _half(p, n, z) * (1 + z**2 / n))),
            "You left out the denominator. Centre and half width are both divided by 1 + z²/n.",
        ),
        Mistake(
            "only the centre divided",
            _around(lambda p, n, z: (_centre(p, n, z), _half(p, n, z) * (1 + z**2 / n))),
            "You divided the centre by 1 + z²/n, and not the half width. Both are.",
        ),
        Mistake(
            "second term forgotten",
            _around(lambda p, n, z: (_centre(p, n, z), z * math.sqrt(p * (1 - p) / n) / (1 + z**2 / n))),
            "Under your root there is only p(1 − p)/n. With all right it is 0, and you would be sure: z²/4n² is "
            "missing.",
        ),
        Mistake(
            "z under the root once",
            _around(
                lambda p, n, z: (
                    _centre(p, n, z),
                    z * math.sqrt(p * (1 - p) / n + z / (4 * n)) / (1 + z**2 / n),
                )
            ),
            "The second term under your root is z/4n. It is z²/4n²: both are squared.",
        ),
        Mistake(
            "spread of one picture",
            _around(lambda p, n, z: (p, z * math.sqrt(p * (1 - p)))),
            "This is how much one picture spreads, whatever their number. Where is n?",
        ),
        Mistake(
            "in per cent",
            lambda right, images, z: tuple(100 * end for end in interval(right, images, z)),
            "You have per cent. Asked are shares, between 0 and 1.",
        ),
    ),
    rights=(interval_by_formula, interval_by_roots, interval_by_counts),
    hints=(
        "Three lines: p, the centre, the half width. The formula stands above the cell.",
        "Write d = 1 + z²/n first: the centre and the half width are both divided by it.",
        "centre = (p + z²/2n)/d and half = z √(p(1 − p)/n + z²/4n²)/d. In Python z² is z**2, and 4n² is 4 * n**2.",
    ),
)


# 6 · Alone, and left out ----------------------------------------------------------------------------------------------

Settings = Mapping[str, Any]


@dataclass(frozen=True, repr=False)
class Accuracy:
    """Points of accuracy of a recipe whose steps are worth something alone, and something else together."""

    base: float
    worth: Mapping[str, float]
    together: float
    final: Settings

    def __call__(self, settings: Settings) -> float:
        taken = [worth for name, worth in self.worth.items() if settings[name] == self.final[name]]
        pairs = sum(one * other for one, other in itertools.combinations(taken, 2))
        return self.base + sum(taken) + self.together * pairs

    def __repr__(self) -> str:
        return "the function that measures a whole recipe"


DEFAULT = {"rate": 0.001, "augment": "nothing", "schedule": "constant", "decay": 0.0}
FINAL = {"rate": 0.01, "augment": "shifts", "schedule": "cosine", "decay": 0.1}


def recipes(worth: Mapping[str, float], together: float, base: float = 60.0) -> dict[str, Any]:
    default, final = ({name: recipe[name] for name in worth} for recipe in (DEFAULT, FINAL))
    return {"measure": Accuracy(base, worth, together, final), "default": default, "final": final}


def draw_recipes(random: Random) -> dict[str, Any]:
    names = list(DEFAULT)[: random.integer(2, 4)]
    worth = {name: random.uniform(0.5, 5) for name in names}
    return recipes(worth, random.choice((-0.5, 0.5, 1.0)), random.uniform(40, 70))


Effects = dict[str, tuple[float, float]]


def ablation(measure: Callable[[Settings], float], default: Settings, final: Settings) -> Effects:
    start, end = measure(default), measure(final)
    return {
        name: (
            measure({**default, name: final[name]}) - start,
            end - measure({**final, name: default[name]}),
        )
        for name in default
    }


def ablation_in_a_loop(measure, default, final):
    effects = {}
    for name in final:
        one = dict(default)
        one[name] = final[name]
        without = dict(final)
        without[name] = default[name]
        effects[name] = measure(one) - measure(default), measure(final) - measure(without)
    return effects


def ablation_by_merging(measure, default, final):
    alone = [measure(default | {name: value}) - measure(default) for name, value in final.items()]
    missed = [measure(final) - measure(final | {name: value}) for name, value in default.items()]
    return dict(zip(default, zip(alone, missed, strict=True), strict=True))


def ablation_by_choosing(measure, default, final):
    def with_some(names):
        return measure({name: (final if name in names else default)[name] for name in default})

    everything = set(default)
    return {
        name: [with_some({name}) - with_some(set()), with_some(everything) - with_some(everything - {name})]
        for name in default
    }


def _effects(
    effect: Callable[[Callable[[Settings], float], Settings, Settings, str], tuple[float, float]],
) -> Callable[..., Effects]:
    def ablation(measure: Callable[[Settings], float], default: Settings, final: Settings) -> Effects:
        return {name: effect(measure, default, final, name) for name in default}

    return ablation


def _alone(measure: Callable[[Settings], float], default: Settings, final: Settings, name: str) -> float:
    return measure({**default, name: final[name]}) - measure(default)


def _left_out(measure: Callable[[Settings], float], default: Settings, final: Settings, name: str) -> float:
    return measure(final) - measure({**final, name: default[name]})


def _staircase(measure: Callable[[Settings], float], default: Settings, final: Settings) -> Effects:
    effects, recipe = {}, dict(default)
    for name in default:
        before = measure(recipe)
        recipe[name] = final[name]
        effects[name] = measure(recipe) - before, _left_out(measure, default, final, name)
    return effects


ABLATION = Question(
    name="ablation",
    signature="ablation(measure, default, final) -> effects",
    draw=draw_recipes,
    answer=ablation,
    examples=(
        recipes({"rate": 2.0, "augment": 3.0}, 1.0),
        recipes({"rate": 2.0, "augment": 3.0, "schedule": 1.0}, -0.5),
    ),
    mistakes=(
        Mistake(
            "the staircase",
            _staircase,
            "Your first number is what the step wins in line, on top of those before it. Alone means: the default "
            "recipe with this step and no other, each time anew.",
        ),
        Mistake(
            "minus on what is lost",
            _effects(lambda *given: (_alone(*given), -_left_out(*given))),
            "Your second number has the wrong sign. What is lost without the step is what it was worth: the final "
            "recipe minus the one without it.",
        ),
        Mistake(
            "alone twice",
            _effects(lambda *given: (_alone(*given), _alone(*given))),
            "Your two numbers are the same. To leave a step out is another question: all the others are there.",
        ),
        Mistake(
            "exchanged",
            _effects(lambda *given: (_left_out(*given), _alone(*given))),
            "Both numbers are right, in the wrong order: alone first, then left out.",
        ),
        Mistake(
            "accuracies",
            _effects(
                lambda measure, default, final, name: (
                    measure({**default, name: final[name]}),
                    measure({**final, name: default[name]}),
                )
            ),
            "You return what the two recipes get right. Asked is what the step wins: a difference, from the default "
            "recipe and from the final one.",
        ),
        Mistake(
            "compared with the start",
            _effects(
                lambda measure, default, final, name: (
                    _alone(measure, default, final, name),
                    measure({**final, name: default[name]}) - measure(default),
                )
            ),
            "You compared the recipe without the step with the default one: that is what all the others win. What this "
            "step is worth is the gap to the final recipe.",
        ),
        Mistake(
            "compared with the end",
            _effects(
                lambda measure, default, final, name: (
                    measure(final) - measure({**default, name: final[name]}),
                    _left_out(measure, default, final, name),
                )
            ),
            "Your first number is the gap from the single step to the final recipe. Alone it wins what it is ahead of "
            "the default one.",
        ),
    ),
    rights=(ablation_in_a_loop, ablation_by_merging, ablation_by_choosing),
    hints=(
        "Four recipes for each step: the default one, it plus the step, the final one, it minus the step.",
        "{**default, name: final[name]} is the default recipe with one step. How would you write the final one "
        "without?",
        "The first number is measure of the default with the step, minus measure(default); the second measure(final), "
        "minus measure of the final with default[name].",
    ),
)


QUESTIONS = (STANDARDISE, CARRIED_OUT, WON, CHOOSE, INTERVAL, ABLATION)
