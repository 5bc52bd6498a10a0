"""How good is the advice of a range test? The regret of each suggestion rule, ours and those of three other libraries.

For each task, update rule and seed one range test of 100 steps is recorded, and every suggestion rule reads it. What
the advised rate is worth is known from a dense sweep: networks trained at constant rates, for the steps of the task,
under the same seeds. The *regret* is the final validation loss at the advised rate, less that at the best one: the
median over seeds for each rate, interpolated in its logarithm.

A run that diverged, or ended worse than twice the loss of guessing, 2 ln(classes), counts as exactly so bad. No advice
counts as no training: as advice of the smallest rate of the sweep.

The constants of our rules were fitted on the tasks that say "chosen on". The figures of the other half were seen, too,
while the rules were made: no blind test, and a small one.

All figures go to finder_regret.json, beside this file, and the regrets to lrlab/finder_regret.csv, which lecture 6
shows.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import nn

from lrlab import Run, data, finder, models, rules, sweep
from lrlab.data import Dataset
from lrlab.rules import Rule

RESULT = Path(__file__).with_name("finder_regret.json")
FOR_THE_LECTURE = Path(finder.__file__).with_name("finder_regret.csv")
SEEDS = 8
RULES: tuple[Rule, ...] = (rules.SGD(), rules.Momentum(rho=0.9), rules.Adam())
LOW, HIGH = 1e-5, 10.0  # of the dense sweep; advice outside is taken as the nearer end
LRS = finder.rates(1e-7, 10.0, 100)  # of the range tests
CHOSEN, HELD_OUT = "chosen on", "held out"


class Task(NamedTuple):
    """What is learned: a network, data and a batch size, for how many steps at a constant rate."""

    model: Callable[[], nn.Module]
    dataset: Dataset
    batch_size: int
    steps: int
    per_decade: int  # rates of the dense sweep in each decade
    half: str  # whether the constants of our rules were chosen on it


def tasks() -> dict[str, Task]:
    """The tasks by name."""
    digits, glyphs = data.load("digits", device="cpu"), data.load("glyphs", device="cpu")
    mlp, cnn = models.mlp, models.cnn
    return {
        "MLP 64-128-10, digits, batch 64": Task(lambda: mlp(hidden=(128,)), digits, 64, 300, 4, CHOSEN),
        "MLP 64-32-10, digits, batch 8": Task(lambda: mlp(hidden=(32,)), digits, 8, 300, 4, CHOSEN),
        "CNN of width 4, digits, batch 16": Task(lambda: cnn(width=4), digits, 16, 150, 2, CHOSEN),
        "MLP 256-32-36, glyphs, batch 32": Task(lambda: mlp(256, (32,), 36), glyphs, 32, 300, 4, CHOSEN),
        "MLP 64-(5 x 64)-10, digits, batch 32": Task(lambda: mlp(hidden=(64,) * 5), digits, 32, 300, 4, HELD_OUT),
        "MLP 64-256-10, digits, batch 128": Task(lambda: mlp(hidden=(256,)), digits, 128, 200, 3, HELD_OUT),
        "CNN of width 8, digits, batch 32": Task(lambda: cnn(width=8), digits, 32, 150, 2, HELD_OUT),
        "MLP 256-64-32-36, glyphs, batch 128": Task(lambda: mlp(256, (64, 32), 36), glyphs, 128, 200, 3, HELD_OUT),
    }


# What each rate is worth, and the curves ------------------------------------------------------------------------------


def worth(task: Task, rule: Rule) -> tuple[np.ndarray, np.ndarray]:
    """The rates of the dense sweep, and for each the median over seeds of the final validation loss."""
    lrs = np.geomspace(LOW, HIGH, 1 + round(task.per_decade * math.log10(HIGH / LOW)))
    settings = {"rule": rule, "batch_size": task.batch_size, "device": "cpu", "progress": False}
    table = sweep(task.model, task.dataset, lr=lrs, steps=task.steps, seeds=SEEDS, **settings)
    worst = 2 * math.log(len(task.dataset.classes))
    losses = table["val_loss"].fillna(worst).clip(upper=worst).to_numpy().reshape(len(lrs), SEEDS)
    return lrs, np.median(losses, axis=1)


def curve(task: Task, rule: Rule, seed: int) -> np.ndarray:
    """The losses of a range test that nothing stops but a loss which is not finite: `[100]`, NaN from there on.

    Not stopped, because every library has its own idea of when to.
    """
    settings = {"rule": rule, "batch_size": task.batch_size, "device": "cpu", "validate_every": 0}
    run = Run(task.model, task.dataset, seed=seed, **settings)
    losses = np.full(len(LRS), np.nan)
    records = run.steps()
    for i, lr in enumerate(LRS):
        run.lr = float(lr)
        losses[i] = next(records).loss
        if run.status == "diverged":
            losses[i] = np.nan
            break
    records.close()
    return losses


# Our advice -----------------------------------------------------------------------------------------------------------


def ours(losses: np.ndarray) -> dict[str, float | None]:
    """What `lrlab.range_test` would say: the curve ends where `finder.diverged` stops it."""
    stop = next((n for n in range(1, len(losses) + 1) if finder.diverged(losses[:n])), len(losses))
    seen = np.where(np.arange(len(losses)) < stop, losses, np.nan)
    return {f"lrlab {rule}": lr for rule, lr in finder.RangeTest(LRS, seen).suggestions.items()}


# The advice of others, on the same curves -----------------------------------------------------------------------------
# Written anew after their sources, with their smoothing, their stop and what they cut off at both ends.


def fastai(losses: np.ndarray) -> dict[str, float | None]:
    """fastai 2.8, callback/schedule.py: LRFinder, valley, slide, minimum, steep."""
    smoothed = finder.smooth(_finite(losses), 0.98)
    best = np.minimum.accumulate(smoothed)
    keep = slice(len(LRS) // 10, _stop(smoothed > 4 * best) - 5)
    lrs, smoothed = LRS[: len(smoothed)][keep], smoothed[keep]
    if len(smoothed) < 17:  # too few for the window of slide
        return dict.fromkeys(("fastai valley", "fastai slide", "fastai minimum", "fastai steep"))
    return {
        "fastai valley": _fastai_valley(lrs, smoothed),
        "fastai slide": _fastai_slide(lrs, smoothed),
        "fastai minimum": float(lrs[np.argmin(smoothed)] / 10),
        "fastai steep": float(lrs[np.argmin(np.diff(smoothed) / np.diff(np.log(lrs)))]),
    }


def _fastai_valley(lrs: np.ndarray, losses: np.ndarray) -> float:
    """Half-way into the window that ends with the longest falling subsequence and is as long as it has elements."""
    length = [1] * len(losses)
    start = end = 0
    for i in range(1, len(losses)):
        for j in range(i):
            if losses[i] < losses[j] and length[i] < length[j] + 1:
                length[i] = length[j] + 1
            if length[end] < length[i]:
                end = i
                start = end - length[end]
    third = (end - start) / 3
    return float(lrs[start + int(third) + int(third / 2)])


def _fastai_slide(lrs: np.ndarray, losses: np.ndarray) -> float:
    """From the right: the first place where the slopes at the ends of a window of 15 steps differ by at most .005."""
    slope = np.gradient(losses)
    right, left = -1, -16
    advice = lrs[left]
    while left >= -len(losses) and abs(slope[right] - slope[left]) > 0.005:
        advice = lrs[left]
        right, left = right - 1, left - 1
    return float(advice)


def lightning(losses: np.ndarray) -> dict[str, float | None]:
    """Lightning 2.6, tuner/lr_finder.py: steepest in the rate itself; its correction divides by 1 − β^(n + 1)."""
    n = np.arange(1, len(losses) + 1)
    smoothed = finder.smooth(_finite(losses), 0.98)
    smoothed = smoothed * ((1 - 0.98**n) / (1 - 0.98 ** (n + 1)))[: len(smoothed)]
    best = np.minimum.accumulate(smoothed)
    keep = slice(10, _stop(smoothed > 4 * best) - 1)
    lrs, smoothed = LRS[: len(smoothed)][keep], smoothed[keep]
    return {"Lightning": float(lrs[np.argmin(np.gradient(smoothed, lrs))]) if len(smoothed) > 1 else None}


def torch_lr_finder(losses: np.ndarray) -> dict[str, float | None]:
    """torch-lr-finder 0.2.2, lr_finder.py: steepest by number of step; an average that begins with the first loss."""
    losses = _finite(losses)
    smoothed = losses.copy()
    for i in range(1, len(losses)):
        smoothed[i] = 0.05 * losses[i] + 0.95 * smoothed[i - 1]
    best = np.minimum.accumulate(smoothed)
    keep = slice(10, _stop(smoothed > 5 * best) - 5)
    lrs, smoothed = LRS[: len(smoothed)][keep], smoothed[keep]
    return {"torch-lr-finder": float(lrs[np.argmin(np.gradient(smoothed))]) if len(smoothed) > 1 else None}


def _finite(losses: np.ndarray) -> np.ndarray:
    bad = np.flatnonzero(~np.isfinite(losses))
    return losses[: bad[0]] if len(bad) else losses


def _stop(exceeded: np.ndarray) -> int:
    """The number of steps made, if the test stops after the first for which this is true."""
    return int(np.argmax(exceeded)) + 1 if exceeded.any() else len(exceeded)


# The table ------------------------------------------------------------------------------------------------------------


def advice(losses: np.ndarray) -> dict[str, float | None]:
    """What everybody says about one curve."""
    return {**ours(losses), **fastai(losses), **lightning(losses), **torch_lr_finder(losses)}


def regret(lr: float | None, lrs: np.ndarray, losses: np.ndarray) -> float:
    """The loss at a rate, less the loss at the best one."""
    at = np.interp(math.log(LOW if lr is None else lr), np.log(lrs), losses)
    return float(at - losses.min())


def measure(name: str, task: Task, rule: Rule) -> dict[str, Any]:
    """The sweep of one task and rule, and what everybody advises for each seed with the regret of it."""
    lrs, losses = worth(task, rule)
    said = [advice(curve(task, rule, seed)) for seed in range(SEEDS)]
    return {
        **{"task": name, "half": task.half, "rule": type(rule).__name__, "steps": task.steps},
        **{"lr": lrs.tolist(), "loss": losses.tolist()},
        "advised": {who: [one[who] for one in said] for who in said[0]},
        "regret": {who: [regret(one[who], lrs, losses) for one in said] for who in said[0]},
    }


def rows_of(cases: list[dict[str, Any]]) -> pd.DataFrame:
    """The cases of the result file as a table, one row for each task, rule, seed and piece of advice."""
    return pd.DataFrame(
        [
            {"task": case["task"], "half": case["half"], "rule": case["rule"], "seed": seed, "advice": who}
            | {"lr": case["advised"][who][seed], "regret": regrets[seed]}
            for case in cases
            for who, regrets in case["regret"].items()
            for seed in range(len(regrets))
        ]
    )


def table_of(rows: pd.DataFrame) -> pd.DataFrame:
    """Median, mean and 90 % quantile of the regret for each suggestion rule, best first; and the median by halves."""
    by = rows.groupby("advice")
    columns = {
        "median": by.regret.median(),
        "mean": by.regret.mean(),
        "90 %": by.regret.quantile(0.9),
        "no advice": by.lr.apply(lambda lr: lr.isna().mean()),
        **{half: rows[rows.half == half].groupby("advice").regret.median() for half in (CHOSEN, HELD_OUT)},
    }
    return pd.DataFrame(columns).sort_values("median")


def main() -> int:
    torch.set_num_threads(1)  # small networks: two threads would wait for each other
    began, cases = time.perf_counter(), []
    for name, task in tasks().items():
        cases += [measure(name, task, rule) for rule in RULES]
        print(f"{name}: {time.perf_counter() - began:.0f} s", flush=True)
    lines = ",\n".join(json.dumps(_short(case)) for case in cases)
    RESULT.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    rows = rows_of(cases)
    wide = rows.pivot(index=["task", "half", "rule", "seed"], columns="advice", values="regret").reset_index()
    wide.to_csv(FOR_THE_LECTURE, index=False, float_format="%.4g")
    table = table_of(rows)
    print(table.to_string(float_format=lambda value: f"{value:.3f}"))
    mine = table.index.str.startswith("lrlab")
    ours_best, theirs_best = table[mine].iloc[0], table[~mine].iloc[0]
    print(f"best of ours: {ours_best.name} {ours_best['median']:.3f}", end="; ")
    print(f"target, the best of theirs: {theirs_best.name} {theirs_best['median']:.3f}")
    return int(ours_best["median"] > theirs_best["median"])


def _short(value: Any) -> Any:
    """Four digits are enough for a file that is kept."""
    if isinstance(value, dict):
        return {key: _short(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_short(item) for item in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


if __name__ == "__main__":
    sys.exit(main())
