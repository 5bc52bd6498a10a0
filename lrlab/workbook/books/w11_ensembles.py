"""The questions of workbook 11: the prediction of many, how much they differ, why that helps, snapshots and averages.

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

from lrlab import ensembles, schedules
from lrlab.workbook.given import matrix, vector
from lrlab.workbook.questions import Mistake, Property, Question, Random

VERSION = 1


# 1 · What do they say together? ---------------------------------------------------------------------------------------


def draw_logits(random: Random, members: int = 2, classes: int = 3) -> Tensor:
    """Logits [M, N, K] without ties."""
    logits = random.tensor(members, random.size + 1, classes)
    return logits + torch.arange(logits.numel(), dtype=torch.float64).reshape(logits.shape) / 10_000


def together(logits: Tensor) -> Tensor:
    return ensembles.average(logits, "probabilities").exp()


def together_by_softmax(logits):
    return logits.softmax(-1).mean(0)


def together_by_exp(logits):
    odds = logits.exp()
    shares = odds / odds.sum(2, keepdim=True)
    return shares.sum(0) / len(logits)


def together_in_a_loop(logits):
    total = torch.zeros_like(logits[0])
    for member in logits:
        total += torch.nn.functional.softmax(member, dim=1)
    return total / logits.shape[0]


TWO_VOICES = matrix([[4, 0], [0, 1]], [[0, 1], [0, 1]])  # one sure of the first example, one not


TOGETHER = Question(
    name="together",
    signature="together(logits) -> probabilities",
    draw=lambda random: {"logits": draw_logits(random, random.integer(2, 5), random.integer(2, 4))},
    answer=together,
    examples=({"logits": matrix([[0, 0]], [[0, 0]])}, {"logits": TWO_VOICES}),
    properties=(
        Property(
            "each row sums to 1",
            lambda value, given: torch.allclose(value.sum(-1), torch.ones_like(value.sum(-1))),
        ),
    ),
    mistakes=(
        Mistake(
            "logits averaged",
            lambda logits: logits.mean(0).softmax(-1),
            "You averaged the logits and took the softmax at the end. That is the other way, the geometric mean: here "
            "each member speaks in probabilities first.",
        ),
        Mistake(
            "summed",
            lambda logits: logits.softmax(-1).sum(0),
            "You added the probabilities up. Divide by the number of members.",
        ),
        Mistake(
            "softmax over the examples",
            lambda logits: logits.softmax(1).mean(0),
            "Your softmax runs over the examples. It belongs to the classes, the last axis: each row sums to 1.",
        ),
        Mistake(
            "softmax over the members",
            lambda logits: logits.softmax(0).mean(0),
            "Your softmax runs over the members, so they compete. It belongs to the classes, the last axis.",
        ),
        Mistake(
            "averaged over the examples",
            lambda logits: logits.softmax(-1).mean(1),
            "You averaged over the examples. The members are the first axis; N examples stay N.",
        ),
        Mistake(
            "logits returned",
            lambda logits: logits.mean(0),
            "You returned mean logits. They are no probabilities yet, and averaging them first is another thing.",
        ),
        Mistake(
            "multiplied",
            lambda logits: logits.softmax(-1).prod(0),
            "You multiplied the probabilities. One member that says 0 would then outvote all others: take their mean.",
        ),
    ),
    rights=(together_by_softmax, together_by_exp, together_in_a_loop),
    hints=(
        "Two steps: from logits to probabilities, from members to the whole. In this order.",
        "softmax over the last axis, mean over the first.",
        "logits.softmax(-1) is [M, N, K], and .mean(0) takes the members away.",
    ),
)


# 2 · How much do they differ? -----------------------------------------------------------------------------------------


def disagreement(logits: Tensor) -> float:
    matrix = ensembles.disagreement(logits)
    members = len(logits)
    return float(matrix.double().sum() / (members * (members - 1)))


def disagreement_of_pairs(logits):
    classes = logits.argmax(-1)
    shares = [(a != b).double().mean().item() for a, b in itertools.combinations(classes, 2)]
    return sum(shares) / len(shares)


def disagreement_by_counting(logits):
    members, examples, _ = logits.shape
    different = 0
    for example in range(examples):
        votes = [int(logits[member, example].argmax()) for member in range(members)]
        different += sum(votes[i] != votes[j] for i in range(members) for j in range(i))
    return different / examples / math.comb(members, 2)


def disagreement_in_numpy(logits):
    classes = logits.numpy().argmax(2)
    different = (classes[:, None] != classes[None]).mean(2)
    return float(different[np.triu_indices(len(classes), 1)].mean())


def _of_pairs(logits: Tensor, measure: Callable[[Tensor, Tensor], Tensor]) -> float:
    pairs = itertools.combinations(logits, 2)
    return float(torch.stack([measure(a, b) for a, b in pairs]).mean())


DISAGREEMENT = Question(
    name="disagreement",
    signature="disagreement(logits) -> share",
    draw=lambda random: {"logits": draw_logits(random, random.integer(2, 5), random.integer(2, 4))},
    answer=disagreement,
    examples=(
        {"logits": matrix([[1, 0], [1, 0]], [[2, 0], [0, 1]])},
        {"logits": matrix([[1, 0], [1, 0]], [[2, 0], [0, 1]], [[0, 1], [0, 2]])},
    ),
    tolerance=1e-5,
    mistakes=(
        Mistake(
            "agreement",
            lambda logits: 1 - disagreement(logits),
            "You counted how often two agree. Asked is how often they do not.",
        ),
        Mistake(
            "diagonal counted in",
            lambda logits: disagreement(logits) * (len(logits) - 1) / len(logits),
            "You counted each member paired with itself, and nobody disagrees with himself. Only pairs of two members.",
        ),
        Mistake(
            "numbers compared",
            lambda logits: _of_pairs(logits, lambda a, b: (a != b).double().mean()),
            "You compared the logits themselves, which always differ. Compare what the two say: the likeliest class.",
        ),
        Mistake(
            "a count",
            lambda logits: disagreement(logits) * logits.shape[1],
            "You have a number of examples. A share is that number divided by N.",
        ),
        Mistake(
            "any of them",
            lambda logits: float((logits.argmax(-1) != logits.argmax(-1)[0]).any(0).double().mean()),
            "You counted the examples on which not all agree. Asked is the mean over pairs.",
        ),
        Mistake(
            "with the first only",
            lambda logits: float((logits.argmax(-1)[1:] != logits.argmax(-1)[0]).double().mean()),
            "You compared each with the first member only. Every pair counts.",
        ),
        Mistake(
            "distance of probabilities",
            lambda logits: _of_pairs(logits, lambda a, b: (a.softmax(-1) - b.softmax(-1)).abs().sum(-1).mean() / 2),
            "You measured how far apart their probabilities are. That is a measure of diversity too, but here it is "
            "classes that are compared.",
        ),
    ),
    rights=(disagreement_of_pairs, disagreement_by_counting, disagreement_in_numpy),
    hints=(
        "First what each member says for each example: a class. Then pairs.",
        "logits.argmax(-1) is [M, N]. For two members a and b the share is the mean of (a != b).",
        "itertools.combinations(classes, 2) goes through all pairs; return the mean of their shares, as a number.",
    ),
)


# 3 · Why does it help? ------------------------------------------------------------------------------------------------


def draw_errors(random: Random) -> dict[str, Any]:
    return {
        "variance": random.log_uniform(0.01, 10),
        "correlation": random.uniform(0.05, 0.95),
        "members": random.integer(2, 30),
    }


def variance_of_mean(variance: float, correlation: float, members: int) -> float:
    return variance * (correlation + (1 - correlation) / members)


def variance_of_mean_by_matrix(variance, correlation, members):
    covariance = torch.full((members, members), variance * correlation, dtype=torch.float64)
    covariance.fill_diagonal_(variance)
    return covariance.mean().item()


def variance_of_mean_by_counting(variance, correlation, members):
    own, pairs = members * variance, members * (members - 1) * variance * correlation
    return (own + pairs) / members**2


def variance_of_mean_by_parts(variance, correlation, members):
    common = variance * correlation
    return common + (variance - common) / members


VARIANCE_OF_MEAN = Question(
    name="variance_of_mean",
    signature="variance_of_mean(variance, correlation, members) -> variance",
    draw=draw_errors,
    answer=variance_of_mean,
    examples=(
        {"variance": 1.0, "correlation": 0.5, "members": 2},
        {"variance": 4.0, "correlation": 0.0, "members": 4},
        {"variance": 4.0, "correlation": 0.5, "members": 1000},
    ),
    properties=(
        Property(
            "the mean varies no more than one member does",
            lambda value, given: value <= given["variance"] * (1 + 1e-6),
        ),
        Property(
            "what all have in common does not average away",
            lambda value, given: value >= given["variance"] * given["correlation"] * (1 - 1e-6),
        ),
    ),
    mistakes=(
        Mistake(
            "as if independent",
            lambda variance, correlation, members: variance / members,
            "This holds for errors that know nothing of each other. Here a part is common to all.",
        ),
        Mistake(
            "variance of the sum",
            lambda variance, correlation, members: members**2 * variance_of_mean(variance, correlation, members),
            "This is the variance of the sum. The mean is the sum over M, and its variance that of the sum over M².",
        ),
        Mistake(
            "parts exchanged",
            lambda variance, correlation, members: variance * ((1 - correlation) + correlation / members),
            "You averaged away the common part and kept the other. It is the common part, ρ, that stays.",
        ),
        Mistake(
            "standard deviation",
            lambda variance, correlation, members: math.sqrt(variance_of_mean(variance, correlation, members)),
            "You took the root: that is the standard deviation. Asked is the variance.",
        ),
        Mistake(
            "only the common part",
            lambda variance, correlation, members: variance * correlation,
            "This is what is left when the members are without number. With M of them (1 − ρ)/M comes on top.",
        ),
        Mistake(
            "pairs forgotten",
            lambda variance, correlation, members: variance * (1 + correlation) / members,
            "You counted one partner for each member. Each has M − 1 of them.",
        ),
    ),
    rights=(variance_of_mean_by_matrix, variance_of_mean_by_counting, variance_of_mean_by_parts),
    hints=(
        "Think of each error as a part that all have in common plus a part of its own. Which of them averages away?",
        "The common part has the variance ρσ² and stays. The own part has (1 − ρ)σ², and its mean is M times smaller.",
        "σ² (ρ + (1 − ρ)/M).",
    ),
)


# 4 · When to take a snapshot ------------------------------------------------------------------------------------------


def draw_cycles(random: Random) -> dict[str, Any]:
    period, mult, cycles = random.integer(2, 4), random.choice((1, 1, 2)), random.integer(1, 4)
    steps = sum(period * mult**number for number in range(cycles)) + random.choice((0, 0, 1))
    schedule: schedules.Schedule = schedules.WarmRestarts(random.log_uniform(0.01, 1), period=period, mult=mult)
    warmup = random.choice((0, 2, 3))
    if warmup:
        schedule, steps = schedules.Warmup(schedule(0), steps=warmup).then(schedule), warmup + steps
    return {"rates": torch.tensor([schedule(step) for step in range(steps)], dtype=torch.float64)}


def snapshot_steps(rates: Tensor) -> list[int]:
    with_what_follows = [*rates.tolist(), math.inf]
    return ensembles.minima(with_what_follows)


def snapshot_steps_by_falls(rates):
    fallen = [step for step in range(2, len(rates) + 1) if rates[step - 1] < rates[step - 2]]
    return [step for step in fallen if step == len(rates) or rates[step] > rates[step - 1]]


def snapshot_steps_by_differences(rates):
    falls = torch.diff(rates) < 0
    rises = torch.cat([torch.diff(rates) > 0, torch.tensor([True])])[1:]
    return (torch.nonzero(falls & rises).flatten() + 2).tolist()


def snapshot_steps_in_a_loop(rates):
    found, low = [], False
    for step, rate in enumerate(rates.tolist()):
        if step and rate > float(rates[step - 1]):
            if low:
                found.append(step)
            low = False
        if step and rate < float(rates[step - 1]):
            low = True
    return [*found, len(rates)] if low else found


SNAPSHOT_STEPS = Question(
    name="snapshot_steps",
    signature="snapshot_steps(rates)",
    draw=draw_cycles,
    answer=snapshot_steps,
    examples=(
        {"rates": vector(1, 0.1)},
        {"rates": vector(1, 0.5, 0.1, 1, 0.5, 0.1)},
        {"rates": vector(1, 0.5, 0.1, 1)},
        {"rates": vector(0, 0.5, 1, 0.5, 0.1)},
    ),
    mistakes=(
        Mistake(
            "one step early",
            lambda rates: [step - 1 for step in snapshot_steps(rates)],
            "You are one step early: the step at the lowest rate is still to be made. After it, step + 1 are made.",
        ),
        Mistake(
            "one step late",
            lambda rates: [step + 1 for step in snapshot_steps(rates)],
            "You are one step late: the first step at the high rate throws the weights out of the valley again.",
        ),
        Mistake(
            "warm-up taken for restarts",
            lambda rates: sorted(
                {*snapshot_steps(rates), *(step for step in range(1, len(rates)) if rates[step] > rates[step - 1])}
            ),
            "You take one whenever the rate is about to rise. In a warm-up it rises from step to step: it must have "
            "fallen just before.",
        ),
        Mistake(
            "last one forgotten",
            lambda rates: [step for step in snapshot_steps(rates) if step < len(rates)],
            "The last snapshot is missing: at the end the rate has come down too, and no restart follows.",
        ),
        Mistake(
            "at the restarts",
            lambda rates: [0, *[step for step in snapshot_steps(rates) if step < len(rates)]],
            "You listed where the cycles begin. A snapshot is taken where one ends.",
        ),
        Mistake(
            "the end in any case",
            lambda rates: sorted({*snapshot_steps(rates), len(rates)}),
            "At the end you always take one. If a cycle has just begun, the rate is high: that is no snapshot.",
        ),
        Mistake(
            "lowest of all",
            lambda rates: [step for step in snapshot_steps(rates) if rates[step - 1] == rates.min()],
            "You looked for the very lowest rate. Each valley of the rate counts, whether or not another is lower.",
        ),
        Mistake(
            "where the rate falls",
            lambda rates: [step for step in range(1, len(rates)) if rates[step] < rates[step - 1]],
            "You listed every step at which the rate falls. Asked is where it has fallen as low as it goes.",
        ),
    ),
    rights=(snapshot_steps_by_falls, snapshot_steps_by_differences, snapshot_steps_in_a_loop),
    hints=(
        "Two things make a snapshot: the rate came down with the last step, and it does not go on coming down.",
        "After t steps the last rate was that of index t − 1, and the next one has the index t. Compare three of them. "
        "What if there is no next one?",
        "So: every t from 2 on with rates[t − 1] < rates[t − 2], and rates[t] > rates[t − 1] or t = len(rates).",
    ),
)


# 5 · A mean on the way ------------------------------------------------------------------------------------------------


def draw_mean(random: Random) -> dict[str, Any]:
    return {"mean": random.tensor(), "count": random.integer(0, 9), "x": random.tensor()}


def swa_update(mean: Tensor, count: int, x: Tensor) -> Tensor:
    return mean + (x - mean) / (count + 1)


def swa_update_by_the_sum(mean, count, x):
    return (count * mean + x) / (count + 1)


def swa_update_by_lerp(mean, count, x):
    return torch.lerp(mean, x, 1 / (1 + count))


def swa_update_by_list(mean, count, x):
    return torch.stack([mean] * count + [x]).mean(0)


SWA_UPDATE = Question(
    name="swa_update",
    signature="swa_update(mean, count, x) -> mean",
    draw=draw_mean,
    answer=swa_update,
    examples=(
        {"mean": vector(0, 0), "count": 0, "x": vector(3, -1)},
        {"mean": vector(1), "count": 1, "x": vector(3)},
        {"mean": vector(1), "count": 3, "x": vector(5)},
    ),
    mistakes=(
        Mistake(
            "divided by the old count",
            lambda mean, count, x: mean + (x - mean) / max(count, 1),
            "You divided by how many there were. With the new one it is one more.",
        ),
        Mistake(
            "half and half",
            lambda mean, count, x: (mean + x) / 2,
            "You gave the new weights as much say as all before them together. Each weighs the same: 1 of count + 1.",
        ),
        Mistake(
            "shares exchanged",
            lambda mean, count, x: (mean + count * x) / (count + 1),
            "You gave the share of the many to the new one. The mean stands for `count` weights, x for one.",
        ),
        Mistake(
            "sum",
            lambda mean, count, x: count * mean + x,
            "This is the sum of all. Divide by how many there are now.",
        ),
        Mistake(
            "fading",
            lambda mean, count, x: 0.9 * mean + 0.1 * x,
            "This is an exponential average with 0.9, which forgets. In SWA each weighs the same, however long ago.",
        ),
        Mistake(
            "away from the new",
            lambda mean, count, x: mean - (x - mean) / (count + 1),
            "You moved the mean away from x. It moves towards it.",
        ),
    ),
    rights=(swa_update_by_the_sum, swa_update_by_lerp, swa_update_by_list),
    hints=(
        "The mean stands for `count` networks. What was their sum?",
        "Their sum is count · mean. Add x, and divide by how many there are now.",
        "(count · mean + x) / (count + 1); with count = 0 that is x itself.",
    ),
)


# 6 · A mean that forgets ----------------------------------------------------------------------------------------------


def draw_weights(random: Random) -> dict[str, Any]:
    return {"path": random.tensor(random.size + 1, 2), "decay": random.choice((0.5, 0.8, 0.9))}


def ema(path: Tensor, decay: float) -> Tensor:
    average = torch.zeros_like(path[0])
    for x in path:
        average = decay * average + (1 - decay) * x
    return average / (1 - decay ** len(path))


def ema_by_weights(path, decay):
    ages = torch.arange(len(path) - 1, -1, -1)
    weights = decay**ages
    return (weights[:, None] * path).sum(0) / weights.sum()


def ema_with_its_own_total(path, decay):
    total, weight = 0 * path[0], 0.0
    for x in path:
        total, weight = decay * total + x, decay * weight + 1
    return total / weight


def ema_corrected_at_every_step(path, decay):
    mean = path[0]
    for number, x in enumerate(path[1:], start=2):
        mean = mean + (1 - decay) / (1 - decay**number) * (x - mean)
    return mean


def _ema(path: Tensor, decay: float, start: Tensor | None = None) -> Tensor:
    average = torch.zeros_like(path[0]) if start is None else start
    for x in path:
        average = decay * average + (1 - decay) * x
    return average


EMA = Question(
    name="ema",
    signature="ema(path, decay) -> average",
    draw=draw_weights,
    answer=ema,
    examples=(
        {"path": matrix([3.0]), "decay": 0.5},
        {"path": matrix([3.0], [6.0]), "decay": 0.5},
    ),
    mistakes=(
        Mistake(
            "not corrected",
            lambda path, decay: _ema(path, decay),
            "You began at 0 and left the correction out, so the average leans to 0. Divide by 1 − dᵗ, as Adam does.",
        ),
        Mistake(
            "started at the first weights",
            lambda path, decay: _ema(path[1:], decay, path[0]),
            "You began with the first weights, which then keep too large a share, dᵗ⁻¹. Begin at 0 and correct.",
        ),
        Mistake(
            "shares exchanged",
            lambda path, decay: _ema(path, 1 - decay) / (1 - (1 - decay) ** len(path)),
            "You kept the share 1 − d of the average. It is d that is kept, and 1 − d that the new weights get.",
        ),
        Mistake(
            "equal weights",
            lambda path, decay: path.mean(0),
            "This is the plain mean, SWA's. Here the older ones count less and less.",
        ),
        Mistake(
            "one power too few",
            lambda path, decay: _ema(path, decay) / (1 - decay ** max(len(path) - 1, 1)),
            "The power in your correction is one too small: after t weights it is 1 − dᵗ, counted from 1.",
        ),
        Mistake(
            "corrected by 1 − d",
            lambda path, decay: _ema(path, decay) / (1 - decay),
            "You divided by 1 − d. That is right after the first weights only; after t of them it is 1 − dᵗ.",
        ),
        Mistake(
            "order reversed",
            lambda path, decay: ema(path.flip(0), decay),
            "You gave the oldest weights the largest share. The last row is the newest.",
        ),
    ),
    rights=(ema_by_weights, ema_with_its_own_total, ema_corrected_at_every_step),
    hints=(
        "A loop over the rows of the path: of the average the share d stays, and the new weights get the rest.",
        "It begins at zeros, so it leans to 0 at first. How Adam undoes that stands in lecture 4.",
        "average = decay * average + (1 − decay) * x in the loop; after it, divide by 1 − decay ** len(path).",
    ),
)


# 7 · Can you believe the percentage? ----------------------------------------------------------------------------------


def draw_calibration(random: Random) -> dict[str, Any]:
    examples, classes = 4 + 4 * random.size, random.integer(2, 4)
    probabilities = random.tensor(examples, classes).softmax(-1)
    labels = [random.integer(0, classes - 1) for _ in range(examples)]
    return {"probabilities": probabilities, "y": torch.tensor(labels), "bins": random.choice((1, 5, 10))}


def ece(probabilities: Tensor, y: Tensor, bins: int) -> float:
    return ensembles.ece(probabilities, y, bins)


def _bin_numbers(confidence: Tensor, bins: int) -> Tensor:
    return (confidence * bins).long().clamp(max=bins - 1)


def ece_in_a_loop(probabilities, y, bins):
    confidence, predicted = probabilities.max(-1)
    right = (predicted == y).double()
    number, error = _bin_numbers(confidence, bins), 0.0
    for b in range(bins):
        inside = number == b
        if inside.any():
            error += inside.double().mean().item() * abs(right[inside].mean() - confidence[inside].mean()).item()
    return error


def ece_by_sums(probabilities, y, bins):
    confidence, predicted = probabilities.max(-1)
    gaps = torch.zeros(bins, dtype=torch.float64)
    gaps.index_add_(0, _bin_numbers(confidence, bins), (predicted == y).double() - confidence)
    return float(gaps.abs().sum() / len(y))


def ece_in_numpy(probabilities, y, bins):
    shares, labels = probabilities.numpy(), y.numpy()
    gap = (shares.argmax(1) == labels) - shares.max(1)
    number = np.minimum((shares.max(1) * bins).astype(int), bins - 1)
    return float(np.abs(np.bincount(number, weights=gap, minlength=bins)).sum() / len(labels))


def _gaps(probabilities: Tensor, y: Tensor, bins: int) -> tuple[Tensor, Tensor]:
    """Accuracy minus confidence in each bin that is not empty, and the share of examples in it."""
    confidence, predicted = probabilities.max(-1)
    number, right = _bin_numbers(confidence, bins), (predicted == y).double()
    inside = [number == b for b in range(bins) if (number == b).any()]
    gaps = torch.stack([right[part].mean() - confidence[part].mean() for part in inside])
    return gaps, torch.stack([part.double().mean() for part in inside])


def _sure_ones_lost(probabilities: Tensor, y: Tensor, bins: int) -> float:
    unsure = probabilities.amax(-1) < 1
    return ece(probabilities[unsure], y[unsure], bins) * float(unsure.double().mean()) if unsure.any() else 0.0


def _bins_of(change: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor, int], float]:
    return lambda probabilities, y, bins: float(change(*_gaps(probabilities, y, bins)))


ECE = Question(
    name="ece",
    signature="ece(probabilities, y, bins) -> error",
    draw=draw_calibration,
    answer=ece,
    tolerance=1e-5,
    examples=(
        {"probabilities": matrix([0.9, 0.1], [0.2, 0.8]), "y": torch.tensor([0, 0]), "bins": 10},
        {"probabilities": matrix([0.9, 0.1], [0.2, 0.8]), "y": torch.tensor([0, 0]), "bins": 1},
        {"probabilities": matrix([0.7, 0.3], [0.7, 0.3], [0.1, 0.9]), "y": torch.tensor([0, 1, 1]), "bins": 10},
        {"probabilities": matrix([1, 0], [0, 1]), "y": torch.tensor([0, 0]), "bins": 5},
    ),
    mistakes=(
        Mistake(
            "bins not weighted",
            _bins_of(lambda gaps, shares: gaps.abs().mean()),
            "You averaged the bins, whether one example is in them or a hundred. Weigh each by its share of examples.",
        ),
        Mistake(
            "signs kept",
            _bins_of(lambda gaps, shares: (gaps * shares).sum()),
            "You let too sure and too unsure cancel. It is the size of the gap in each bin that counts.",
        ),
        Mistake(
            "squared",
            _bins_of(lambda gaps, shares: (gaps.square() * shares).sum()),
            "You squared the gaps. The expected calibration error takes their sizes.",
        ),
        Mistake(
            "the largest gap",
            _bins_of(lambda gaps, shares: gaps.abs().max()),
            "You took the worst bin, which is the maximum calibration error. Expected means a weighted mean.",
        ),
        Mistake(
            "example by example",
            lambda probabilities, y, bins: float(
                ((probabilities.argmax(-1) == y).double() - probabilities.max(-1).values).abs().mean()
            ),
            "You compared example by example. A forecast of 80 % can only be judged over many: over a bin.",
        ),
        Mistake(
            "probability of the true class",
            lambda probabilities, y, bins: ece(
                torch.stack([probabilities[range(len(y)), y], 1 - probabilities[range(len(y)), y]], 1),
                (probabilities.argmax(-1) != y).long(),
                bins,
            ),
            "You took the probability of the true class. Confidence is that of the class the network chose.",
        ),
        Mistake(
            "sure ones lost",
            _sure_ones_lost,
            "A confidence of 1 falls into none of your bins: times bins it is the number of the bin behind the last. "
            "It belongs to the last one.",
        ),
        Mistake(
            "not divided",
            lambda probabilities, y, bins: len(y) * ece(probabilities, y, bins),
            "You added up over the examples. A share of bin b is n_b / N.",
        ),
    ),
    rights=(ece_in_a_loop, ece_by_sums, ece_in_numpy),
    hints=(
        "For each example: how sure was the network of what it chose, and was it right? Then sort them into bins.",
        "probabilities.max(-1) gives both, confidence and class. The bin: confidence times bins, rounded down, and "
        "at most bins − 1.",
        "For each bin that is not empty: its share of all examples times |mean of right − mean of confidence|. Add up.",
    ),
)


QUESTIONS = (TOGETHER, DISAGREEMENT, VARIANCE_OF_MEAN, SNAPSHOT_STEPS, SWA_UPDATE, EMA, ECE)
