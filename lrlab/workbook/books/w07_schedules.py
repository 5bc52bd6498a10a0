"""The questions of workbook 07: rates as functions of time, steps and epochs, and a rate that watches the loss.

Each section is one question: how an input is drawn, the reference, three other right ways to write it, the question.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from lrlab import schedules
from lrlab.schedules import Cosine, Exponential, Linear, Schedule, Step
from lrlab.workbook.questions import Mistake, Property, Question, Random

VERSION = 1


# 1 · Stairs -----------------------------------------------------------------------------------------------------------


def draw_stairs(random: Random) -> dict[str, Any]:
    milestones, milestone = [], 0
    for _ in range(min(random.size, 3)):
        milestone += random.integer(3, 30)
        milestones.append(milestone)
    near = [0, 1, *(milestone + away for milestone in milestones for away in (-1, 0, 1, 9))]
    return {
        "times": [random.choice(near) for _ in range(random.size + 2)],
        "lr": random.log_uniform(1e-2, 1),
        "milestones": milestones,
        "gamma": random.choice((0.1, 0.3, 0.5)),
    }


def stairs(times: list[int], lr: float, milestones: list[int], gamma: float) -> list[float]:
    schedule = schedules.MultiStep(lr, tuple(milestones), gamma)
    return [schedule(t) for t in times]


def stairs_by_counting(times, lr, milestones, gamma):
    rates = []
    for t in times:
        rate = lr
        for milestone in milestones:
            if t >= milestone:
                rate = rate * gamma
        rates.append(rate)
    return rates


def stairs_by_bisection(times, lr, milestones, gamma):
    return [lr * gamma ** bisect_right(milestones, t) for t in times]


def stairs_in_numpy(times, lr, milestones, gamma):
    passed = (np.array(times)[:, None] >= np.array(milestones)).sum(axis=1)
    return list(lr * float(gamma) ** passed)


def _stairs(cuts: Callable[[int, Sequence[int]], float]) -> Callable[..., list[float]]:
    """The stairs, with another count of the cuts."""

    def rates(times: list[int], lr: float, milestones: list[int], gamma: float) -> list[float]:
        return [lr * gamma ** cuts(t, milestones) for t in times]

    return rates


def _stairs_from_the_rate_before(times: list[int], lr: float, milestones: list[int], gamma: float) -> list[float]:
    rates = []
    for t in times:
        if t in milestones:
            lr *= gamma
        rates.append(lr)
    return rates


def _stairs_cut_again(times: list[int], lr: float, milestones: list[int], gamma: float) -> list[float]:
    rates = []
    for t in times:
        lr *= gamma ** sum(t >= milestone for milestone in milestones)
        rates.append(lr)
    return rates


STAIRS = Question(
    name="stairs",
    signature="stairs(times, lr, milestones, gamma)",
    draw=draw_stairs,
    answer=stairs,
    examples=(
        {"times": [0, 9, 10], "lr": 1.0, "milestones": [10], "gamma": 0.5},
        {"times": [29, 30, 90], "lr": 0.1, "milestones": [30, 60], "gamma": 0.1},
        {"times": [70, 70, 20], "lr": 0.1, "milestones": [30, 60], "gamma": 0.1},
    ),
    mistakes=(
        Mistake(
            "from the rate before",
            _stairs_from_the_rate_before,
            "You cut the rate you had before, at the moment a milestone is met. A run that is resumed or rewound skips "
            "that moment, or meets it twice. Compute each rate from its own t, and from the first rate.",
        ),
        Mistake(
            "cut again at every time",
            _stairs_cut_again,
            "You cut the rate that the time before has left, so the cuts pile up. Begin with lr anew for each t.",
        ),
        Mistake(
            "a step late",
            _stairs(lambda t, milestones: sum(t > milestone for milestone in milestones)),
            "You cut one step late: at t = 30 the milestone 30 is passed already. Take >=.",
        ),
        Mistake(
            "a step early",
            _stairs(lambda t, milestones: sum(t + 1 >= milestone for milestone in milestones)),
            "You cut one step early. Time counts from 0, and the cut comes at the milestone, not before it.",
        ),
        Mistake(
            "one cut only",
            _stairs(lambda t, milestones: int(t >= milestones[0])),
            "You cut once, however many milestones are passed. Each of them multiplies by gamma: that is a power.",
        ),
        Mistake(
            "stairs of equal length",
            _stairs(lambda t, milestones: t // milestones[0]),
            "You go on cutting at multiples of the first milestone. The cuts stand in the list: count those passed.",
        ),
        Mistake(
            "upwards",
            _stairs(lambda t, milestones: -sum(t >= milestone for milestone in milestones)),
            "Your stairs lead up: you divide by gamma. A gamma of 0.1 multiplies the rate, and makes it a tenth.",
        ),
    ),
    rights=(stairs_by_counting, stairs_by_bisection, stairs_in_numpy),
    hints=(
        "What must you know to say the rate at one t? Not what it was before: only how many milestones lie behind.",
        "Count the milestones that are at most t. Each of them has multiplied the first rate by gamma.",
        "sum(t >= milestone for milestone in milestones) counts them. Do it for each t of the list, from lr each time.",
    ),
)


# 2 · Down by a cosine -------------------------------------------------------------------------------------------------


def draw_cosine(random: Random) -> dict[str, Any]:
    total, lr = random.integer(5, 40 * random.size), random.log_uniform(1e-2, 1)
    return {
        "t": round(total * random.choice((0.0, 0.2, 0.4, 0.5, 0.8, 1.0, 1.3, 2.0))),
        "lr": lr,
        "total": total,
        "final": random.choice((0.0, 0.1, 0.3)) * lr,
    }


def cosine(t: int, lr: float, total: int, final: float) -> float:
    return Cosine(lr, total, final)(t)


def cosine_by_formula(t, lr, total, final):
    if t >= total:
        return final
    return final + 0.5 * (lr - final) * (1 + math.cos(math.pi * t / total))


def cosine_by_halves(t, lr, total, final):
    share = math.cos(math.pi / 2 * min(t / total, 1)) ** 2
    return share * lr + (1 - share) * final


def cosine_in_numpy(t, lr, total, final):
    middle, swing = (lr + final) / 2, (lr - final) / 2
    return middle + swing * np.cos(np.pi * np.clip(t / total, 0, 1))


def _cosine(share: Callable[[float], float], clipped: bool = True) -> Callable[..., float]:
    """A fall whose share left of the way is another function of the time passed."""

    def rate(t: int, lr: float, total: int, final: float) -> float:
        return final + (lr - final) * share(min(t / total, 1) if clipped else t / total)

    return rate


def _half_wave(p: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * p))


COSINE = Question(
    name="cosine",
    signature="cosine(t, lr, total, final) -> rate",
    draw=draw_cosine,
    answer=cosine,
    examples=(
        {"t": 50, "lr": 0.2, "total": 100, "final": 0.0},
        {"t": 0, "lr": 0.2, "total": 100, "final": 0.1},
        {"t": 50, "lr": 0.2, "total": 100, "final": 0.1},
        {"t": 150, "lr": 0.2, "total": 100, "final": 0.1},
    ),
    properties=(
        Property(
            "the rate lies between final and lr",
            lambda value, given: given["final"] * (1 - 1e-6) <= value <= given["lr"] * (1 + 1e-6),
        ),
    ),
    mistakes=(
        Mistake(
            "rises again",
            _cosine(_half_wave, clipped=False),
            "After its end your cosine climbs again, as torch's does. Who trains longer than planned is thrown back to "
            "the first rate: from t = total on it should stay at final.",
        ),
        Mistake(
            "a whole wave",
            _cosine(lambda p: 0.5 * (1 + math.cos(2 * math.pi * p))),
            "Yours is down half way, and up again at the end. A fall is half a wave: π t/T, not 2π t/T.",
        ),
        Mistake(
            "floor put underneath",
            lambda t, lr, total, final: final + lr * _half_wave(min(t / total, 1)),
            "You added final to the whole fall from lr to 0, so you begin at lr + final. What is left to fall is only "
            "lr − final.",
        ),
        Mistake(
            "floor as a stop",
            lambda t, lr, total, final: max(lr * _half_wave(min(t / total, 1)), final),
            "You fall towards 0 and stop short at final. The curve itself should end at final, flat, at t = total.",
        ),
        Mistake(
            "upwards",
            _cosine(lambda p: 1 - _half_wave(p)),
            "Your cosine climbs from final to lr. The cosine of 0 is 1: with a plus before it, it begins at the top.",
        ),
        Mistake(
            "π forgotten",
            _cosine(lambda p: 0.5 * (1 + math.cos(p))),
            "Without π the cosine does not get down: cos takes radians, and half a wave is π of them.",
        ),
        Mistake(
            "a straight line",
            _cosine(lambda p: 1 - p),
            "This is the linear schedule. A cosine stays high for longer at first, and low for longer at the end.",
        ),
    ),
    rights=(cosine_by_formula, cosine_by_halves, cosine_in_numpy),
    hints=(
        "First the share of the time that is over. It must not be more than 1.",
        "½ (1 + cos πp) falls from 1 to 0 while that share p goes from 0 to 1. It is the share of the way still left.",
        "p = min(t / total, 1). The rate is final, plus that share of the way from final to lr.",
    ),
)


# 3 · .99 per what? ----------------------------------------------------------------------------------------------------


def draw_decay(random: Random) -> dict[str, Any]:
    lr = random.log_uniform(1e-2, 1)
    return {
        "lr": lr,
        "final": lr * random.choice((0.5, 0.1, 0.03, 0.001)),
        "epochs": random.integer(2, 6 * random.size),
        "steps_per_epoch": random.integer(2, 10 * random.size),
    }


def decay_factors(lr: float, final: float, epochs: int, steps_per_epoch: int) -> tuple[float, float]:
    per_epoch = (final / lr) ** (1 / epochs)
    return per_epoch ** (1 / steps_per_epoch), per_epoch


def decay_factors_by_logarithms(lr, final, epochs, steps_per_epoch):
    fall = math.log(final) - math.log(lr)
    return math.exp(fall / (epochs * steps_per_epoch)), math.exp(fall / epochs)


def decay_factors_from_the_step(lr, final, epochs, steps_per_epoch):
    per_step = (final / lr) ** (1 / (epochs * steps_per_epoch))
    return per_step, per_step**steps_per_epoch


def decay_factors_in_numpy(lr, final, epochs, steps_per_epoch):
    rates = np.geomspace(lr, final, epochs * steps_per_epoch + 1)
    return rates[1] / lr, rates[steps_per_epoch] / lr


DECAY_FACTORS = Question(
    name="decay_factors",
    signature="decay_factors(lr, final, epochs, steps_per_epoch) -> per_step, per_epoch",
    draw=draw_decay,
    answer=decay_factors,
    tolerance=1e-9,
    examples=(
        {"lr": 0.8, "final": 0.2, "epochs": 2, "steps_per_epoch": 1},
        {"lr": 1.0, "final": 0.0625, "epochs": 2, "steps_per_epoch": 2},
        {"lr": 0.1, "final": 0.001, "epochs": 90, "steps_per_epoch": 300},
    ),
    mistakes=(
        Mistake(
            "epoch for step",
            lambda lr, final, epochs, steps_per_epoch: ((final / lr) ** (1 / epochs),) * 2,
            "Your factor per step is the one per epoch. Multiplied in at every step, it is through after as many steps "
            "as you wanted epochs.",
        ),
        Mistake(
            "exchanged",
            lambda lr, final, epochs, steps_per_epoch: decay_factors(lr, final, epochs, steps_per_epoch)[::-1],
            "Both factors are right, in the wrong order: the one per step first. It is the one nearer to 1.",
        ),
        Mistake(
            "upside down",
            lambda lr, final, epochs, steps_per_epoch: decay_factors(final, lr, epochs, steps_per_epoch),
            "Your factors are above 1, and the rate would climb. Divide final by lr, not lr by final.",
        ),
        Mistake(
            "divided instead of the root",
            lambda lr, final, epochs, steps_per_epoch: (final / lr / (epochs * steps_per_epoch), final / lr / epochs),
            "You divided the whole fall by the number of times. Factors multiply: n of them need the n-th root.",
        ),
        Mistake(
            "factor shared out among the steps",
            lambda lr, final, epochs, steps_per_epoch: (
                (final / lr) ** (1 / epochs) / steps_per_epoch,
                (final / lr) ** (1 / epochs),
            ),
            "You divided the factor per epoch by its steps. Multiplied with itself, once for each step, it must "
            "make the one per epoch: it is a root again.",
        ),
        Mistake(
            "an equal amount",
            lambda lr, final, epochs, steps_per_epoch: (
                1 - (1 - final / lr) / (epochs * steps_per_epoch),
                1 - (1 - final / lr) / epochs,
            ),
            "You took off an equal share of the first rate each time, which is the linear schedule. Here each share is "
            "taken of what is left: a root.",
        ),
        Mistake(
            "the logarithm",
            lambda lr, final, epochs, steps_per_epoch: (
                math.log(final / lr) / (epochs * steps_per_epoch),
                math.log(final / lr) / epochs,
            ),
            "This is the logarithm of each factor. One step is missing: exp.",
        ),
        Mistake(
            "one time less",
            lambda lr, final, epochs, steps_per_epoch: (
                (final / lr) ** (1 / max(epochs * steps_per_epoch - 1, 1)),
                (final / lr) ** (1 / max(epochs - 1, 1)),
            ),
            "You took the root of one time less. At t = 0 the rate is still lr, at t = n it has n factors.",
        ),
    ),
    rights=(decay_factors_by_logarithms, decay_factors_from_the_step, decay_factors_in_numpy),
    hints=(
        "After n multiplications the rate is lr times γ to the power n. Which n, per epoch? And per step?",
        "Solve lr · γⁿ = final for γ: a root of final / lr.",
        "The power 1 / n of final / lr, with n = epochs, and with n = epochs times steps_per_epoch.",
    ),
)


# 4 · What time is it? -------------------------------------------------------------------------------------------------


def draw_clock(random: Random) -> dict[str, Any]:
    batch_size, lr = random.integer(3, 16), random.log_uniform(1e-2, 1)
    samples = batch_size * random.integer(2, 3 * random.size) + random.integer(0, batch_size - 1)
    kinds = (Cosine(lr, total=12), Exponential(lr, gamma=0.8), Linear(lr, total=15), Step(lr, every=3, gamma=0.5))
    return {
        "step": random.integer(0, 10 * (samples // batch_size)),
        "samples": samples,
        "batch_size": batch_size,
        "schedule": random.choice(kinds),
    }


def rate_of_step(step: int, samples: int, batch_size: int, schedule: Schedule) -> float:
    return schedule(step // (samples // batch_size))


def rate_of_step_by_division(step, samples, batch_size, schedule):
    steps_per_epoch = math.floor(samples / batch_size)
    epoch, _ = divmod(step, steps_per_epoch)
    return schedule(epoch)


def rate_of_step_by_walking(step, samples, batch_size, schedule):
    epoch, position = 0, 0
    for _ in range(step):
        position += batch_size
        if position + batch_size > samples:
            epoch, position = epoch + 1, 0
    return schedule(epoch)


def rate_of_step_in_torch(step, samples, batch_size, schedule):
    batches = len(torch.arange(samples).unfold(0, batch_size, batch_size))
    return schedule(math.floor(step / batches))


RATE_OF_STEP = Question(
    name="rate_of_step",
    signature="rate_of_step(step, samples, batch_size, schedule) -> rate",
    draw=draw_clock,
    answer=rate_of_step,
    examples=(
        {"step": 9, "samples": 50, "batch_size": 10, "schedule": Step(0.1, every=2, gamma=0.5)},
        {"step": 10, "samples": 50, "batch_size": 10, "schedule": Step(0.1, every=2, gamma=0.5)},
        {"step": 10, "samples": 53, "batch_size": 10, "schedule": Step(0.1, every=2, gamma=0.5)},
        {"step": 8, "samples": 53, "batch_size": 10, "schedule": Linear(0.1, total=2)},
    ),
    mistakes=(
        Mistake(
            "epoch for step",
            lambda step, samples, batch_size, schedule: schedule(step),
            "You handed the step to a schedule that counts epochs, so all of it is over after a few batches. Say first "
            "which epoch the step is in.",
        ),
        Mistake(
            "last batch counted",
            lambda step, samples, batch_size, schedule: schedule(step // math.ceil(samples / batch_size)),
            "You rounded the steps of an epoch up. The few samples that fill no batch sit out here: round down.",
        ),
        Mistake(
            "samples counted",
            lambda step, samples, batch_size, schedule: schedule(step * batch_size // samples),
            "You counted samples seen, and divided by all of them. Some sit out in each epoch, so an epoch is over a "
            "little earlier: count in steps.",
        ),
        Mistake(
            "first epoch called 1",
            lambda step, samples, batch_size, schedule: schedule(step // (samples // batch_size) + 1),
            "You called the first epoch 1. At step 0 no epoch is done: the time is 0, and the rate schedule(0).",
        ),
        Mistake(
            "parts of an epoch",
            lambda step, samples, batch_size, schedule: schedule(step / (samples // batch_size)),
            "You let the rate change inside an epoch. Asked are whole epochs done: //, not /.",
        ),
        Mistake(
            "nothing rounded",
            lambda step, samples, batch_size, schedule: schedule(step * batch_size / samples),
            "You rounded nothing. An epoch has whole batches only, and asked is the rate after whole epochs: both "
            "divisions leave out the rest.",
        ),
        Mistake(
            "batch size forgotten",
            lambda step, samples, batch_size, schedule: schedule(step // samples),
            "You took as many steps for an epoch as there are samples. A step takes a whole batch of them.",
        ),
        Mistake(
            "divided by the batch size",
            lambda step, samples, batch_size, schedule: schedule(step // batch_size),
            "You divided the step by the batch size. Divide it by the number of batches in an epoch.",
        ),
    ),
    rights=(rate_of_step_by_division, rate_of_step_by_walking, rate_of_step_in_torch),
    hints=(
        "The schedule wants to know how many epochs are done. How many steps does one epoch have?",
        "As many as there are whole batches in the samples. Then: how many whole epochs are in the steps?",
        "Two whole divisions, //: samples by batch_size, and step by what comes out. Hand that to the schedule.",
    ),
)


# 5 · Warm up, then anything -------------------------------------------------------------------------------------------


def draw_warmup(random: Random) -> dict[str, Any]:
    warmup, lr = random.integer(3, 10 * random.size), random.log_uniform(1e-2, 1)
    total = 2 * warmup + 5
    kinds = (Cosine(lr, total=total), Linear(lr, total=total), Exponential(lr, gamma=0.9))
    return {
        "t": random.choice((0, 1, warmup // 2, warmup - 1, warmup, warmup + 1, 2 * warmup, 4 * warmup)),
        "warmup": warmup,
        "schedule": random.choice(kinds),
    }


def warmup_then(t: int, warmup: int, schedule: Schedule) -> float:
    return schedules.Warmup(schedule(0), steps=warmup).then(schedule)(t)


def warmup_then_by_cases(t, warmup, schedule):
    if t < warmup:
        return schedule(0) * t / warmup
    return schedule(t - warmup)


def warmup_then_by_clipping(t, warmup, schedule):
    return min(t / warmup, 1) * schedule(max(t - warmup, 0))


def warmup_then_in_numpy(t, warmup, schedule):
    climb = np.linspace(0, schedule(0), warmup + 1)[:-1]
    return float(climb[t]) if t < len(climb) else schedule(t - len(climb))


WARMUP_THEN = Question(
    name="warmup_then",
    signature="warmup_then(t, warmup, schedule) -> rate",
    draw=draw_warmup,
    answer=warmup_then,
    examples=(
        {"t": 2, "warmup": 4, "schedule": Linear(0.1, total=10)},
        {"t": 0, "warmup": 4, "schedule": Linear(0.1, total=10)},
        {"t": 4, "warmup": 4, "schedule": Linear(0.1, total=10)},
        {"t": 9, "warmup": 4, "schedule": Linear(0.1, total=10)},
    ),
    mistakes=(
        Mistake(
            "first part eaten",
            lambda t, warmup, schedule: schedule(0) * t / warmup if t < warmup else schedule(t),
            "Your schedule has been running during the warm-up: its first part, with the peak, is never seen, as with "
            "timm. Its own clock starts at 0 when the warm-up ends.",
        ),
        Mistake(
            "multiplied",
            lambda t, warmup, schedule: min(t / warmup, 1) * schedule(t),
            "You multiplied a schedule that is falling already. During the warm-up its own clock stands at 0, and it "
            "starts when the warm-up ends.",
        ),
        Mistake(
            "peak seen twice",
            lambda t, warmup, schedule: schedule(0) * t / warmup if t <= warmup else schedule(t - warmup - 1),
            "The peak comes twice: at the end of the climb, and again as the schedule's first value. At t = warmup the "
            "schedule begins.",
        ),
        Mistake(
            "first value lost",
            lambda t, warmup, schedule: schedule(0) * t / warmup if t < warmup else schedule(t - warmup + 1),
            "The schedule's first value is never seen: at t = warmup you ask it for time 1. Its clock starts at 0.",
        ),
        Mistake(
            "a step early",
            lambda t, warmup, schedule: schedule(0) * (t + 1) / warmup if t < warmup else schedule(t - warmup),
            "Your climb is one step ahead: it starts above 0, and is at the peak before the warm-up ends. At t = 0 the "
            "rate asked for is 0.",
        ),
        Mistake(
            "at the peak too soon",
            lambda t, warmup, schedule: schedule(0) * t / (warmup - 1) if t < warmup else schedule(t - warmup),
            "You divided by warmup − 1, so the peak is there a step too soon, and the schedule gives it out again. "
            "Divide by warmup.",
        ),
        Mistake(
            "no climb",
            lambda t, warmup, schedule: schedule(max(t - warmup, 0)),
            "You wait at the peak instead of climbing to it. During the warm-up the rate is a share of schedule(0).",
        ),
    ),
    rights=(warmup_then_by_cases, warmup_then_by_clipping, warmup_then_in_numpy),
    hints=(
        "Two cases: t before the end of the warm-up, and from there on. What is the schedule's own time then?",
        "Before: the share t / warmup of where it leads, which is schedule(0). After: the schedule, on a clock of its "
        "own that starts at 0.",
        "If t < warmup: the share times schedule(0). Else ask the schedule for t − warmup.",
    ),
)


# 6 · Teeth that halve -------------------------------------------------------------------------------------------------


def draw_teeth(random: Random) -> dict[str, Any]:
    stepsize, base = random.integer(2, 8 * random.size), random.log_uniform(1e-3, 1e-1)
    return {
        "t": random.integer(0, 8 * stepsize),
        "base": base,
        "top": base * random.choice((3, 10)),
        "stepsize": stepsize,
    }


def triangular2(t: int, base: float, top: float, stepsize: int) -> float:
    return schedules.Triangular2(base, top, stepsize)(t)


def triangular2_by_smith(t, base, top, stepsize):
    cycle = math.floor(1 + t / (2 * stepsize))
    x = abs(t / stepsize - 2 * cycle + 1)
    return base + (top - base) * max(0, 1 - x) / 2 ** (cycle - 1)


def triangular2_by_walking(t, base, top, stepsize):
    height = top - base
    while t >= 2 * stepsize:
        t, height = t - 2 * stepsize, height / 2
    climbed = t if t <= stepsize else 2 * stepsize - t
    return base + height * climbed / stepsize


def triangular2_in_numpy(t, base, top, stepsize):
    cycle, phase = np.divmod(t, 2 * stepsize)
    return np.interp(phase, [0, stepsize, 2 * stepsize], [base, base + (top - base) * 0.5**cycle, base])


def _teeth(t: float, stepsize: float) -> tuple[int, float]:
    cycle, phase = divmod(t, 2 * stepsize)
    return int(cycle), 1 - abs(phase / stepsize - 1)


TRIANGULAR2 = Question(
    name="triangular2",
    signature="triangular2(t, base, top, stepsize) -> rate",
    draw=draw_teeth,
    answer=triangular2,
    examples=(
        {"t": 4, "base": 0.1, "top": 0.9, "stepsize": 4},
        {"t": 8, "base": 0.1, "top": 0.9, "stepsize": 4},
        {"t": 12, "base": 0.1, "top": 0.9, "stepsize": 4},
        {"t": 10, "base": 0.1, "top": 0.9, "stepsize": 4},
    ),
    properties=(
        Property(
            "the rate lies between base and top",
            lambda value, given: given["base"] * (1 - 1e-6) <= value <= given["top"] * (1 + 1e-6),
        ),
    ),
    mistakes=(
        Mistake(
            "all teeth alike",
            lambda t, base, top, stepsize: base + (top - base) * _teeth(t, stepsize)[1],
            "All your teeth are of one height: this is plain triangular. Each further cycle has half the height.",
        ),
        Mistake(
            "stepsize taken for the cycle",
            lambda t, base, top, stepsize: triangular2(t, base, top, stepsize / 2),
            "Your cycles are half as long as asked. A stepsize is one flank: up in one, down in the next.",
        ),
        Mistake(
            "first tooth halved",
            lambda t, base, top, stepsize: (
                base + (top - base) * _teeth(t, stepsize)[1] / 2 ** (_teeth(t, stepsize)[0] + 1)
            ),
            "Your first tooth is halved already. Count the cycles from 0: the first one is divided by 2⁰ = 1.",
        ),
        Mistake(
            "base halved too",
            lambda t, base, top, stepsize: (base + (top - base) * _teeth(t, stepsize)[1]) / 2 ** _teeth(t, stepsize)[0],
            "You halved the whole rate, and sink below base. Only the height above base is halved.",
        ),
        Mistake(
            "top halved instead of the height",
            lambda t, base, top, stepsize: base + (top / 2 ** _teeth(t, stepsize)[0] - base) * _teeth(t, stepsize)[1],
            "You halved top, from 0. What is halved is the height of a tooth above base, top − base.",
        ),
        Mistake(
            "downwards first",
            lambda t, base, top, stepsize: (
                base + (top - base) * (1 - _teeth(t, stepsize)[1]) / 2 ** _teeth(t, stepsize)[0]
            ),
            "Your teeth start at the top. A cycle climbs first: from base at its start to its peak in the middle.",
        ),
        Mistake(
            "halved on each flank",
            lambda t, base, top, stepsize: base + (top - base) * _teeth(t, stepsize)[1] / 2 ** (t // stepsize),
            "You halve at every stepsize, so the rate jumps at the peaks. A cycle is two of them: halve after both.",
        ),
    ),
    rights=(triangular2_by_smith, triangular2_by_walking, triangular2_in_numpy),
    hints=(
        "Two numbers say it all: which cycle t is in, counted from 0, and how far into that cycle.",
        "divmod(t, 2 * stepsize) gives both. The height climbs from 0 to 1 in one stepsize, and falls in the next.",
        "With the phase q: h = 1 − |q / stepsize − 1|. The rate: base plus h times (top − base), over 2 to the cycle.",
    ),
)


# 7 · Start again ------------------------------------------------------------------------------------------------------


def draw_restarts(random: Random) -> dict[str, Any]:
    period, mult = random.integer(2, 4 * random.size), random.choice((2, 2, 3))
    restarts = [period * sum(mult**cycle for cycle in range(cycles)) for cycles in range(5)]
    return {
        "t": max(0, random.choice(restarts) + random.choice((-1, 0, 0, 1, period // 2))),
        "lr": random.log_uniform(1e-2, 1),
        "period": period,
        "mult": mult,
    }


def warm_restarts(t: int, lr: float, period: int, mult: int) -> float:
    return schedules.WarmRestarts(lr, period, mult)(t)


def warm_restarts_by_walking(t, lr, period, mult):
    while t >= period:
        t = t - period
        period = period * mult
    return lr * (1 + math.cos(math.pi * t / period)) / 2


def warm_restarts_by_calling_itself(t, lr, period, mult):
    if t >= period:
        return warm_restarts_by_calling_itself(t - period, lr, mult * period, mult)
    return lr * math.cos(math.pi / 2 * t / period) ** 2


def warm_restarts_in_numpy(t, lr, period, mult):
    lengths = period * mult ** np.arange(30, dtype=float)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    cycle = np.searchsorted(starts, t, side="right") - 1
    return 0.5 * lr * (1 + np.cos(np.pi * (t - starts[cycle]) / lengths[cycle]))


def _fall(lr: float, share: float) -> float:
    return lr * _half_wave(share)


def _cycle(t: int, period: int, longer: Callable[[int, int], int]) -> tuple[int, int]:
    """The time since the last restart, and the length of this cycle, where `longer` makes the next length."""
    number, length = 0, period
    while t >= length:
        t, number = t - length, number + 1
        length = longer(length, number)
    return t, length


def _restarts(share: Callable[[int, int], float]) -> Callable[..., float]:
    """Restarts at the right times, with another share of the cycle that is over."""

    def rate(t: int, lr: float, period: int, mult: int) -> float:
        return _fall(lr, share(*_cycle(t, period, lambda length, number: length * mult)))

    return rate


def _restarts_late(t: int, lr: float, period: int, mult: int) -> float:
    while t > period:
        t, period = t - period, period * mult
    return _fall(lr, t / period)


def _restarts_at_powers(t: int, lr: float, period: int, mult: int) -> float:
    start, end = 0, period
    while t >= end:
        start, end = end, end * mult
    return _fall(lr, (t - start) / (end - start))


def _restarts_without_mult(t: int, lr: float, period: int, mult: int) -> float:
    return _fall(lr, t % period / period)


def _longer_by_an_equal_amount(t: int, lr: float, period: int, mult: int) -> float:
    since, length = _cycle(t, period, lambda length, number: length + (mult - 1) * period)
    return _fall(lr, since / length)


def _first_period_for_all(t: int, lr: float, period: int, mult: int) -> float:
    since, _ = _cycle(t, period, lambda length, number: length * mult)
    return _fall(lr, min(since / period, 1))


WARM_RESTARTS = Question(
    name="warm_restarts",
    signature="warm_restarts(t, lr, period, mult) -> rate",
    draw=draw_restarts,
    answer=warm_restarts,
    tolerance=1e-3,  # just before a restart 1 + cos has lost all but four digits in float32
    examples=(
        {"t": 5, "lr": 0.2, "period": 10, "mult": 2},
        {"t": 10, "lr": 0.2, "period": 10, "mult": 2},
        {"t": 20, "lr": 0.2, "period": 10, "mult": 2},
        {"t": 50, "lr": 0.2, "period": 10, "mult": 2},
    ),
    mistakes=(
        Mistake(
            "all cycles alike",
            _restarts_without_mult,
            "All your cycles have the length of the first. Each one is mult times as long as the one before.",
        ),
        Mistake(
            "restarts at the powers",
            _restarts_at_powers,
            "Your restarts stand at period, period · mult, period · mult², … Those are the lengths of the cycles. The "
            "restarts stand at their sums: 10, 30, 70 with period 10 and mult 2.",
        ),
        Mistake(
            "a step late",
            _restarts_late,
            "You restart one step late: where the minimum would be, the next cycle begins, at lr.",
        ),
        Mistake(
            "minimum squeezed in",
            _restarts(lambda since, length: since / max(length - 1, 1)),
            "You divided by the length minus 1, to see the minimum. Asked is the share u / P; the minimum falls on the "
            "restart, and in whole steps it is never seen.",
        ),
        Mistake(
            "old period in the cosine",
            _first_period_for_all,
            "You restart at the right times, but every fall takes the first period and then waits. Stretch it: divide "
            "by the length of its own cycle.",
        ),
        Mistake(
            "longer by an equal amount",
            _longer_by_an_equal_amount,
            "Your cycles grow by the same amount each time. They should grow by the same factor: 10, 20, 40, 80.",
        ),
        Mistake(
            "a whole wave",
            _restarts(lambda since, length: 2 * since / length),
            "Your rate is down in the middle of a cycle and climbs back. A fall is half a wave, then it jumps.",
        ),
    ),
    rights=(warm_restarts_by_walking, warm_restarts_by_calling_itself, warm_restarts_in_numpy),
    hints=(
        "If you knew the time since the last restart and the length of this cycle, it would be question 2.",
        "Take whole cycles off t as long as one fits: first one of length period, then one mult times as long, and on.",
        "while t >= period: take period off t, then make period mult times as long. Then the cosine, with t / period.",
    ),
)


# 8 · Watch the loss ---------------------------------------------------------------------------------------------------


def draw_losses(random: Random) -> dict[str, Any]:
    losses, level = [], 8
    for _ in range(4 + 2 * random.size):
        level = max(1, level + random.choice((-2, -1, 0, 0, 1, 1)))
        losses.append(level / 10)
    if random.size > 2:
        losses[random.integer(1, len(losses) - 3)] = math.nan
    return {
        "losses": losses,
        "lr": random.log_uniform(1e-2, 1),
        "factor": random.choice((0.1, 0.5)),
        "patience": random.integer(1, 3),
    }


def plateau(losses: list[float], lr: float, factor: float, patience: int) -> list[float]:
    schedule = schedules.Plateau(lr, factor=factor, patience=patience, threshold=0.0)
    state, rates = schedule.init(), []
    for loss in losses:
        state = schedule.observe(loss, state)
        rates.append(state["lr"])
    return rates


def plateau_in_a_loop(losses, lr, factor, patience):
    best, bad, rates = math.inf, 0, []
    for loss in losses:
        if loss < best:
            best, bad = loss, 0
        else:
            bad += 1
        if bad == patience:
            lr, bad = lr * factor, 0
        rates.append(lr)
    return rates


def plateau_by_looking_back(losses, lr, factor, patience):
    rates, since = [], 0
    for now in range(len(losses)):
        before = [loss for loss in losses[:now] if not math.isnan(loss)]
        if not before or losses[now] < min(before):
            since = now
        elif now - since == patience:
            since, lr = now, lr * factor
        rates.append(lr)
    return rates


def plateau_in_numpy(losses, lr, factor, patience):
    lows = np.fmin.accumulate(np.array(losses))
    good = np.concatenate([[True], lows[1:] < lows[:-1]])
    cuts, left = np.zeros(len(losses), dtype=int), patience
    for now, is_good in enumerate(good):
        left = patience if is_good else left - 1
        if left == 0:
            cuts[now], left = 1, patience
    return list(lr * factor ** np.cumsum(cuts).astype(float))


def _watch(
    losses: list[float],
    lr: float,
    factor: float,
    patience: int,
    *,
    good: Callable[[float, float], bool] = lambda loss, best: loss < best,
    best_of: Callable[[float, float], float] = lambda loss, best: loss,
    forgets: bool = True,
    in_a_row: bool = True,
    best: float = math.inf,
) -> list[float]:
    """The plateau, with other opinions: what is good, what is compared with next, and when the count starts anew."""
    bad, rates = 0, []
    for loss in losses:
        if good(loss, best):
            best, bad = loss, 0 if in_a_row else bad
        else:
            best, bad = best_of(best, loss), bad + 1
        if bad >= patience:
            lr, bad = lr * factor, 0 if forgets else bad
        rates.append(lr)
    return rates


PLATEAU = Question(
    name="plateau",
    signature="plateau(losses, lr, factor, patience)",
    draw=draw_losses,
    answer=plateau,
    examples=(
        {"losses": [1.0, 0.8, 0.8, 0.9], "lr": 0.1, "factor": 0.5, "patience": 2},
        {"losses": [1.0, 1.1, 1.2, 1.3, 1.4], "lr": 0.1, "factor": 0.5, "patience": 2},
        {"losses": [1.0, 1.2, 1.1, 0.9], "lr": 0.1, "factor": 0.5, "patience": 2},
        {"losses": [1.0, math.nan, 1.1, 0.5], "lr": 0.1, "factor": 0.5, "patience": 2},
    ),
    mistakes=(
        Mistake(
            "patience plus one",
            lambda losses, lr, factor, patience: plateau(losses, lr, factor, patience + 1),
            "You cut one observation later than asked: that is torch's way to count. Here the cut comes with the "
            "patience-th bad one.",
        ),
        Mistake(
            "count not begun anew",
            lambda losses, lr, factor, patience: _watch(losses, lr, factor, patience, forgets=False),
            "After a cut you go on counting, and cut again with each bad loss. A cut starts the count anew.",
        ),
        Mistake(
            "not in a row",
            lambda losses, lr, factor, patience: _watch(losses, lr, factor, patience, in_a_row=False),
            "You counted all bad losses since the last cut. A good one in between sets the count back to 0.",
        ),
        Mistake(
            "compared with the loss before",
            lambda losses, lr, factor, patience: _watch(losses, lr, factor, patience, best_of=lambda best, loss: loss),
            "You compared each loss with the one before. On a noisy plateau every second one looks like progress: "
            "compare with the best so far.",
        ),
        Mistake(
            "standstill taken for progress",
            lambda losses, lr, factor, patience: _watch(losses, lr, factor, patience, good=lambda a, b: a <= b),
            "You took an equal loss for an improvement. Then a loss that stands still never brings a cut, and that is "
            "what this schedule is for. Take <.",
        ),
        Mistake(
            "NaN taken for progress",
            lambda losses, lr, factor, patience: _watch(losses, lr, factor, patience, good=lambda a, b: not a >= b),
            "Your NaN became the best loss of all, for every comparison with NaN is False. Ask whether the loss is "
            "below the best, not whether it is above.",
        ),
        Mistake(
            "first loss counted as bad",
            lambda losses, lr, factor, patience: _watch(losses, lr, factor, patience, best=losses[0]),
            "You made the first loss the best one and then compared it with itself, so it counted as bad. Let the best "
            "begin at math.inf: then the first loss is good.",
        ),
        Mistake(
            "rates before the losses",
            lambda losses, lr, factor, patience: [lr, *plateau(losses, lr, factor, patience)[:-1]],
            "Your list is one place behind: it has the rate before each loss was seen. Asked is the one after it.",
        ),
    ),
    rights=(plateau_in_a_loop, plateau_by_looking_back, plateau_in_numpy),
    hints=(
        "This one needs a memory. Which numbers must you remember from loss to loss?",
        "The rate, the best loss so far (math.inf at first), and how many bad ones there were in a row.",
        "For each loss: below the best? Then it is the new best, and the count is 0. Else the count grows, and when it "
        "reaches the patience, lr gets its factor and the count is 0. Then append lr.",
    ),
)


QUESTIONS = (STAIRS, COSINE, DECAY_FACTORS, RATE_OF_STEP, WARMUP_THEN, TRIANGULAR2, WARM_RESTARTS, PLATEAU)
