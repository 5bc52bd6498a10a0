"""Steps per second of a sweep over 64 learning rates, beside a plain loop that trains one network after the other.

The plain loop is the fast form of what a course would write: ``torch.optim.SGD`` with momentum, fused, the data
shuffled once an epoch and sliced, nothing logged. A sweep logs every loss of every run and watches for divergence. Both
use two threads. "steady": a stack that is under way. "whole call": `sweep` from the first line to the table, with
trials, compilation and validation, against the plain loop's measured speed for the same 64 x 2,000 steps.
"""

from __future__ import annotations

import dataclasses
import statistics
import sys
import time
import warnings
from collections.abc import Callable

import torch
from torch import nn

from lrlab import data, models, rules, sweep
from lrlab._execution import Chunk
from lrlab.batched import CompiledRuns, Runs

RATES, RHO, THREADS, ROUNDS, WHOLE = torch.logspace(-3, -1, 64), 0.9, 2, 9, 2000
digits = data.load("digits", device="cpu")  # `main` moves it


def plain(model: Callable[[], nn.Module], batch: int) -> Callable[[int], nn.Module]:
    """The loop of every course, in its fast form."""

    def train(steps: int) -> nn.Module:
        x, y = digits.train
        network = model().to(x.device)
        optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=RHO, fused=True)
        done = 0
        while done < steps:
            order = torch.randperm(len(x)).to(x.device)
            inputs, targets = x[order], y[order]
            for start in range(0, len(x) - batch + 1, batch):
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(
                    network(inputs[start : start + batch]), targets[start : start + batch]
                )
                loss.backward()
                optimizer.step()
                done += 1
                if done == steps:
                    break
        return network

    return train


def settings(batch: int, **options) -> dict:
    """The same training for a sweep."""
    rule = rules.Momentum(rho=RHO)
    common = {"rule": rule, "lr": RATES, "batch_size": batch, "device": digits.train.x.device, "progress": False}
    return {**common, **options}


def steady(model: Callable[[], nn.Module], batch: int, kind: type[Runs]) -> Callable[[int], None]:
    """64 runs that are under way: compilation is over before the clock starts."""
    started = sweep(model, digits, **settings(batch, steps=1, how="batched"))
    job, rows = dataclasses.replace(started._job, steps=40 * ROUNDS * len(RATES)), started._plan.rows
    chunk = Chunk(job, rows, job.stack([0]), kind)
    for _ in range(5):
        chunk.step()

    def train(steps: int) -> None:
        for _ in range(steps // len(rows)):
            losses = chunk.step()
        losses.cpu()

    return train


def speeds(arms: dict[str, Callable[[int], object]], steps: dict[str, int]) -> dict[str, list[float]]:
    """Steps per second of each arm, round by round; the order turns with each round."""
    found: dict[str, list[float]] = {name: [] for name in arms}
    names = list(arms)
    for number in range(ROUNDS):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            start = time.perf_counter()
            arms[name](steps[name])
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            found[name].append(steps[name] / (time.perf_counter() - start))
    return found


def compare(
    title: str, model: Callable[[], nn.Module], batch: int, targets: dict[str, float], whole: bool
) -> list[str]:
    """Measure one network, print the table, and give the names of the targets that were missed."""
    arms = {"plain loop": plain(model, batch), "batched": steady(model, batch, Runs)}
    if "compiled" in targets:
        arms["compiled"] = steady(model, batch, CompiledRuns)
    found = speeds(arms, {name: 400 if name == "plain loop" else 40 * len(RATES) for name in arms})
    base = max(found["plain loop"])
    ratios = {name: max(found[name]) / base for name in arms}
    print(f"\n{title:44} steps/s (median)   against the plain loop (fastest rounds)")
    for name in arms:
        print(f"  {name:42} {statistics.median(found[name]):12,.0f}   {ratios[name]:12.2f} x")
    if whole:
        for call in ("first", "second"):
            start = time.perf_counter()
            result = sweep(model, digits, **settings(batch, steps=WHOLE))
            seconds = time.perf_counter() - start
            ratios[f"{call} whole call"] = len(RATES) * WHOLE / seconds / base
            print(f"  {call} whole call of {WHOLE:,} steps: {seconds:.1f} s; {result.why}")
    return verdicts(title, ratios, targets)


def looped(batch: int = 64, steps: int = 300) -> list[str]:
    """Convolutions on the CPU: two runs that go one by one, each validated at its end."""
    train = plain(models.cnn, batch)

    def plain_twice(steps: int) -> None:
        for _ in range(2):
            network = train(steps // 2)
            with torch.no_grad():
                nn.functional.cross_entropy(network(digits.validation.x), digits.validation.y).item()

    two = settings(batch, lr=[0.01, 0.05], steps=steps // 2, how="looped")
    arms = {"plain loop": plain_twice, "looped": lambda steps: sweep(models.cnn, digits, **two) is None}
    found = speeds(arms, dict.fromkeys(arms, steps))
    ratio = max(found["looped"]) / max(found["plain loop"])
    title = f"cnn, batch {batch}, two runs one by one"
    print(f"\n{title:44} {statistics.median(found['looped']):,.0f} steps/s (median), plain loop "
          f"{statistics.median(found['plain loop']):,.0f}")  # fmt: skip
    chosen = sweep(models.cnn, digits, **settings(batch, lr=RATES[:16], steps=40))
    print(f"  auto, 16 runs: {chosen.why}")
    return verdicts(title, {"looped": ratio}, {"looped": 0.95})


def verdicts(title: str, ratios: dict[str, float], targets: dict[str, float]) -> list[str]:
    missed = []
    for name, target in targets.items():
        met = ratios[name] >= target
        print(f"  {name:22} {ratios[name]:7.2f} x, target at least {target} x: {'met' if met else 'MISSED'}")
        missed += [] if met else [f"{title}: {name}"]
    return missed


def small() -> nn.Module:
    return models.mlp(64, (32,), 10)


def main() -> int:
    global digits
    warnings.simplefilter("ignore")
    torch.set_num_threads(THREADS)
    targets = {"batched": 2.5, "compiled": 4.0, "first whole call": 2.5, "second whole call": 2.5}
    missed = compare("cpu, MLP 64-128-10, batch 128", models.mlp, 128, targets, whole=True)
    missed += compare("cpu, MLP 64-32-10, batch 32", small, 32, {"batched": 12.0}, whole=False)
    missed += looped()
    if torch.cuda.is_available():
        digits = data.load("digits", device="cuda")
        targets = {"batched": 32.0, "compiled": 32.0, "first whole call": 2.5, "second whole call": 2.5}
        missed += compare("cuda, MLP 64-128-10, batch 128", models.mlp, 128, targets, whole=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
