"""How many pictures a second: one by one through albumentations, or batched on the device?

    python -m benchmarks augmentation
    python benchmarks/bench_augmentation.py --threads 1

The same pipeline both ways, on the same pictures, in turn, so that a busy machine is busy for both. `one by one` is
albumentations on the CPU, uint8, as a single DataLoader worker would run it; `torchvision` is its v2 transforms one
picture at a time, where they have the pipeline's transforms; `batched` is `Pipeline.batched` on a float batch that lies
on the device. Last, the share of a training step that the batched pipeline takes, on the digits.

Target: batched at least 2 x as fast as one by one with one thread on the CPU for pictures up to 32 pixels, and 20 x as
fast on a GPU for all.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torchvision.transforms import v2

from lrlab import Run, rules
from lrlab.augmentation import ColourJitter, HorizontalFlip, Pipeline, ResNetCrop, Rotate, Stretch, Translate

CASES: dict[str, tuple[tuple[int, int, int], int, Pipeline]] = {
    "digits 8 x 8, shift, rotate, stretch": (
        (1, 8, 8),
        256,
        Pipeline((Translate(1), Rotate(10), Stretch(0.1))),
    ),
    "32 x 32, flip, shift, colours": (
        (3, 32, 32),
        256,
        Pipeline((HorizontalFlip(), Translate(4), ColourJitter(0.3, 0.3, 0.3))),
    ),
    "256 x 341, ResNet's crop, flip, colours": (
        (3, 256, 341),
        16,
        Pipeline((ResNetCrop(256, 480, 224), HorizontalFlip(), ColourJitter(0.3, 0.3, 0.3))),
    ),
}
TORCHVISION: dict[str, v2.Compose] = {
    "32 x 32, flip, shift, colours": v2.Compose(
        [v2.RandomHorizontalFlip(), v2.RandomAffine(0, (0.125, 0.125)), v2.ColorJitter(0.3, 0.3, 0.3)]
    ),
    "256 x 341, ResNet's crop, flip, colours": v2.Compose(
        [
            v2.RandomShortestSize(list(range(256, 481))),
            v2.RandomCrop(224),
            v2.RandomHorizontalFlip(),
            v2.ColorJitter(0.3, 0.3, 0.3),
        ]
    ),
}


def contenders(case: str, device: str) -> dict[str, Callable[[], object]]:
    """What each arm does with one batch."""
    shape, count, pipeline = CASES[case]
    x = torch.rand((count, *shape), generator=torch.Generator().manual_seed(0))
    images = (255 * x).byte().permute(0, 2, 3, 1).contiguous().numpy()
    compose, there = pipeline.albumentations(), x.to(device)
    seeds = iter(range(10**9))
    arms: dict[str, Callable[[], Any]] = {
        "one by one": lambda: np.stack([compose(image=image)["image"] for image in images]),
        "batched": lambda: pipeline.batched(there, next(seeds)),
    }
    if case in TORCHVISION:
        arms["torchvision"] = lambda: torch.stack([TORCHVISION[case](picture) for picture in x])
    return arms


def seconds(work: Callable[[], object], times: int, device: str) -> float:
    begin = time.perf_counter()
    for _ in range(times):
        work()
    if device == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - begin) / times


def measure(case: str, device: str, rounds: int) -> dict[str, list[float]]:
    """Pictures a second of each arm, a number a round."""
    count, arms = CASES[case][1], contenders(case, device)
    times = {}
    for name, work in arms.items():
        seconds(work, 2, device)
        times[name] = max(1, int(0.1 / seconds(work, 2, device)))
    rates: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(rounds):
        for name, work in arms.items():
            rates[name].append(count / seconds(work, times[name], device))
    return rates


def step_times(device: str, rounds: int) -> tuple[float, float]:
    """Microseconds a step on the digits: without augmentation, and with the batched pipeline. Fastest rounds."""
    pipeline = CASES["digits 8 x 8, shift, rotate, stretch"][2]
    given: dict[str, Any] = {"rule": rules.Momentum(0.9), "lr": 0.01, "batch_size": 128, "validate_every": 0}
    runs = [Run("mlp", "digits", device=device, augment=augment, **given) for augment in (None, pipeline)]
    times: list[list[float]] = [[], []]
    for run in runs:
        run.train(steps=30, progress=False)
    for _ in range(rounds):
        for run, own in zip(runs, times, strict=True):
            own.append(seconds(lambda run=run: run.train(steps=100, progress=False), 1, device) / 100)
    return 1e6 * min(times[0]), 1e6 * min(times[1])


def target(case: str, device: str, threads: int) -> float | None:
    """The least ratio of batched to one by one that is good enough."""
    if device == "cuda":
        return 20.0
    return 2.0 if threads == 1 and not case.startswith("256") else None


def main(arguments: list[str] | None = None) -> int:
    """Print the tables; 1 if a target was missed."""
    parser = argparse.ArgumentParser(description="Augmentation one picture at a time, and batched.")
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2], help="numbers of CPU threads to measure with")
    parser.add_argument("--rounds", type=int, default=7, help="how often each has its turn")
    options = parser.parse_args(arguments)
    places = [("cpu", threads) for threads in options.threads] + [("cuda", 1)] * torch.cuda.is_available()
    print(f"pictures a second, median of {options.rounds} rounds; then the ratio of the fastest rounds")
    columns = ("one by one", "torchvision", "batched")
    print(f"{'':52}" + "".join(f"{column:>13}" for column in columns) + f"{'batched / one by one':>23}")
    missed = 0
    for device, threads in places:
        torch.set_num_threads(threads)
        place = "GPU" if device == "cuda" else f"{threads} thread{'s' if threads > 1 else ''}"
        for case in CASES:
            rates = measure(case, device, options.rounds)
            medians = [statistics.median(rates[name]) if name in rates else None for name in columns]
            shown = "".join(f"{'-' if rate is None else format(rate, ',.0f'):>13}" for rate in medians)
            ratio, least = max(rates["batched"]) / max(rates["one by one"]), target(case, device, threads)
            late = least is not None and ratio < least
            missed += late
            print(f"{place:11}{case:41}{shown}{ratio:21.1f} x{'   missed' * late}", flush=True)
        plain, augmented = step_times(device, options.rounds)
        print(f"{place:11}a step on the digits, batch 128: {plain:,.0f} µs; augmented, batched: {augmented:,.0f} µs")
    return int(missed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
