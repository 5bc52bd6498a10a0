"""When is a network that has learned something else worth more than a fresh one? Ten ways to use it, on three targets.

The network has learned 36 printed digits and capitals (`transfer.pretrained("glyphs")`, three of them, from three
seeds). It is put to three tasks of ten classes and 8 x 8 pixels, ever less like what it knows:

- ten printed small letters, of the same faces;
- handwritten digits;
- the same digits with their 64 pixels in another order, one for all pictures of a seed: nothing that it knows of
  strokes is of use. No such task exists; it marks the end of the scale.

Each with 2, 5, 20 and 90 training images per class. Every way of training makes the same number of steps, under a
cosine, with momentum, and gets the same tries: six rates under two seeds, of which the validation split chooses one.
What is kept is the accuracy on the test split under ten other seeds. A seed draws the images, the head, the order of
the data, the order of the pixels, and says which of the three networks it is.

lrlab/transfer_accuracy.csv has a row per target, number of images, steps and seed, lrlab/transfer_rates.csv the
validation accuracy at each rate. Lecture 12 shows both. It takes ten minutes on one core.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import nn

from lrlab import Run, data, models, rules, schedules, sweep, transfer
from lrlab.data import Dataset, Split
from lrlab.transfer import Plan

FOLDER = Path(transfer.__file__).parent
ACCURACY, RATE_TABLE = FOLDER / "transfer_accuracy.csv", FOLDER / "transfer_rates.csv"
IMAGES = (2, 5, 20, 90)  # per class
RATES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
TUNING_SEEDS, SEEDS = (100, 101), tuple(range(10))
STEPS = 100
BODIES = 3  # pre-trained networks
SMALL_LETTERS = "abdeghnqrt"  # those that do not look like their capitals
LONGER = (400, 1600)  # steps, for the question whether a fresh network only needs more of them


# The targets ----------------------------------------------------------------------------------------------------------


def targets() -> dict[str, Callable[[int], Dataset]]:
    """By name, functions that make the data set of a seed, with all its training images."""
    letters = data.load("glyphs", device="cpu", side=8, characters=SMALL_LETTERS, count=3000)
    digits = data.load("digits", device="cpu")
    return {
        "printed letters": lambda seed: letters,
        "handwritten digits": lambda seed: digits,
        "scrambled digits": lambda seed: scrambled(digits, seed),
    }


def scrambled(dataset: Dataset, seed: int) -> Dataset:
    """The same pictures with their pixels in another order, the same for all of them."""
    order = torch.randperm(64, generator=torch.Generator().manual_seed(seed))
    train, validation, test = (
        Split(split.x.flatten(1)[:, order].view_as(split.x), split.y)
        for split in (dataset.train, dataset.validation, dataset.test)
    )
    return replace(dataset, train=train, validation=validation, test=test, source=None)


def few(dataset: Dataset, count: int, seed: int) -> Dataset:
    """So many training images of each class, others for every seed."""
    x, y = dataset.train
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))
    keep = torch.cat([order[y[order] == k][:count] for k in range(len(dataset.classes))])
    return replace(dataset, train=Split(x[keep], y[keep]), source=None)


# The ways -------------------------------------------------------------------------------------------------------------


class Start(NamedTuple):
    """What is trained, on what, with which factors and moves."""

    model: nn.Module
    dataset: Dataset
    factors: dict[str, float] | None = None
    plan: Plan | None = None


def body(seed: int) -> nn.Module:
    """The pre-trained network of a seed, with a fresh head."""
    return transfer.new_head(transfer.pretrained("glyphs", seed=seed % BODIES, progress=False), 10, seed)


def fresh(seed: int) -> nn.Module:
    """A network that knows nothing."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return models.cnn()


def linear_after(network: nn.Module, layers: int, dataset: Dataset, seed: int) -> Start:
    """A linear classifier on what comes out of the first layers, which stay as they are: computed once."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        inside = nn.Sequential(*list(network)[:layers], nn.Flatten())
        size = inside(dataset.train.x[:1]).shape[1]
        whole = nn.Sequential(*inside, nn.Linear(size, 10))
    if layers == 0:
        return Start(whole, dataset)
    features = transfer.precompute(whole, dataset, device="cpu")
    return Start(features.head, features.data)


def layer_wise(dataset: Dataset, seed: int, divide_by: float) -> Start:
    network = body(seed)
    return Start(network, dataset, transfer.discriminative(network, divide_by))


def upper_layers(dataset: Dataset, seed: int) -> Start:
    network = body(seed)
    return Start(network, dataset, transfer.factors(network, {"block1": 0, "block2": 0}))


def unfrozen_gradually(dataset: Dataset, seed: int) -> Start:
    network = body(seed)
    return Start(network, dataset, None, transfer.gradual(network, every=STEPS // 6))


METHODS: dict[str, Callable[[Dataset, int], Start]] = {
    "linear on pixels": lambda dataset, seed: linear_after(body(seed), 0, dataset, seed),
    "linear after block1": lambda dataset, seed: linear_after(body(seed), 4, dataset, seed),
    "linear after block2": lambda dataset, seed: linear_after(body(seed), 8, dataset, seed),
    "head": lambda dataset, seed: linear_after(body(seed), 12, dataset, seed),
    "head on a random body": lambda dataset, seed: linear_after(fresh(seed), 12, dataset, seed),
    "block3 and head": upper_layers,
    "all layers": lambda dataset, seed: Start(body(seed), dataset),
    "discriminative": lambda dataset, seed: layer_wise(dataset, seed, transfer.ULMFIT),
    "gradual": unfrozen_gradually,
    "from scratch": lambda dataset, seed: Start(fresh(seed), dataset),
}


# The measurement ------------------------------------------------------------------------------------------------------


def trained(start: Start, lr: float, seed: int, steps: int = STEPS) -> Run:
    """A run that has made all its steps."""
    size = min(32, len(start.dataset.train.y))
    settings = {"rule": rules.Momentum(), "batch_size": size, "seed": seed, "device": "cpu", "validate_every": 0}
    falling = schedules.Cosine(lr, total=steps)
    run = Run(start.model, start.dataset, lr=falling, factors=start.factors, checkpoint_mb=0, **settings)
    return transfer.follow(run, start.plan or [], steps, progress=False)


def accuracy(run: Run, split: Split) -> float:
    """The share of right answers; none for a run that diverged."""
    return 0.0 if run.status == "diverged" else run.evaluate(split)[1]


def at_each_rate(make: Callable[[Dataset, int], Start], dataset: Dataset, seed: int) -> list[float]:
    """The validation accuracy at each rate."""
    if make(dataset, seed).plan is not None:  # a sweep makes no moves
        starts = [make(dataset, seed) for _ in RATES]
        return [
            accuracy(trained(start, lr, seed), start.dataset.validation)
            for start, lr in zip(starts, RATES, strict=True)
        ]
    start = make(dataset, seed)
    table = sweep(
        start.model,
        start.dataset,
        **{"rule": rules.Momentum(), "lr": [schedules.Cosine(lr, total=STEPS) for lr in RATES], "steps": STEPS},
        **{"batch_size": min(32, len(dataset.train.y)), "seeds": [seed], "factors": start.factors},
        **{"device": "cpu", "how": "batched", "progress": False},
    )
    return table["val_accuracy"].fillna(0.0).tolist()


def measure(name: str, whole: Callable[[int], Dataset], images: int) -> tuple[list[dict], list[dict]]:
    """The rows of both tables for one target and number of images."""
    rates, rows = [], [{"target": name, "images": images, "steps": STEPS, "seed": seed} for seed in SEEDS]
    for method, make in METHODS.items():
        tried = np.mean([at_each_rate(make, few(whole(seed), images, seed), seed) for seed in TUNING_SEEDS], axis=0)
        lr = RATES[int(tried.argmax())]
        rates.append({"target": name, "images": images, "method": method, "chosen": lr})
        rates[-1] |= {f"{rate:g}": value for rate, value in zip(RATES, tried, strict=True)}
        for seed, row in zip(SEEDS, rows, strict=True):
            start = make(few(whole(seed), images, seed), seed)
            row[method] = accuracy(trained(start, lr, seed), start.dataset.test)
    return rates, rows


def longer(name: str, whole: Callable[[int], Dataset], images: int, lrs: dict[str, float]) -> list[dict]:
    """The same with more steps, for two ways, at the rates chosen before, under four seeds."""
    rows = []
    for steps in LONGER:
        for seed in SEEDS[:4]:
            row: dict = {"target": name, "images": images, "steps": steps, "seed": seed}
            for method, lr in lrs.items():
                start = METHODS[method](few(whole(seed), images, seed), seed)
                row[method] = accuracy(trained(start, lr, seed, steps), start.dataset.test)
            rows.append(row)
    return rows


def main() -> int:
    torch.set_num_threads(1)  # small networks: two threads would wait for each other
    began = time.perf_counter()
    rates: list[dict] = []
    rows: list[dict] = []
    for name, whole in targets().items():
        for images in IMAGES:
            new_rates, new_rows = measure(name, whole, images)
            rates, rows = rates + new_rates, rows + new_rows
            medians = pd.DataFrame(new_rows)[list(METHODS)].median()
            print(f"{name}, {images} per class, {time.perf_counter() - began:.0f} s", flush=True)
            print(pd.DataFrame(new_rates).set_index("method").assign(test=medians).to_string(), flush=True)
    chosen = pd.DataFrame(rates).set_index(["target", "images", "method"])["chosen"]
    lrs = {method: float(chosen["printed letters", 90, method]) for method in ("all layers", "from scratch")}
    rows += longer("printed letters", targets()["printed letters"], 90, lrs)
    pd.DataFrame(rows).to_csv(ACCURACY, index=False, float_format="%.4g")
    pd.DataFrame(rates).to_csv(RATE_TABLE, index=False, float_format="%.4g")
    print(f"{time.perf_counter() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
