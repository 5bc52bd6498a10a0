"""What a step of `lrlab.optim.Optimizer` costs, beside torch's own optimizers of the same rule.

    python -m benchmarks optim
    python benchmarks/bench_optim.py --threads 1

The optimizers of a row take turns, so that a busy machine is busy for all of them. Only the step is timed; the
gradients lie there. `lrlab readable` is the same rule without the kernel.

Targets: at most 1.0 × torch's default and 1.2 × fused on the CPU, at most 1.0 × foreach on a GPU.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn
from torchvision.models import resnet18

from lrlab import models, optim, rules

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "digits MLP, 4 tensors": models.mlp,
    "MLP, 24 tensors": lambda: models.mlp(inputs=64, hidden=(64,) * 11, classes=10),
    "ResNet-18, 62 tensors": resnet18,
}
RULES: dict[str, tuple[rules.Rule, Callable[..., torch.optim.Optimizer]]] = {
    "Momentum": (rules.Momentum(0.9), lambda params, **options: torch.optim.SGD(params, 1e-3, momentum=0.9, **options)),
    "Adam": (rules.Adam(), lambda params, **options: torch.optim.Adam(params, 1e-3, **options)),
}
COLUMNS = ("torch default", "foreach", "fused", "lrlab", "lrlab readable")


def readable(rule: rules.Rule) -> rules.Rule:
    """The same rule as a class that the adapter has no kernel for."""
    return type(type(rule).__name__, (type(rule),), {})(**rule.hyperparameters())


def parameters(build: Callable[[], nn.Module], device: str) -> list[nn.Parameter]:
    torch.manual_seed(0)
    params = [nn.Parameter(p.detach().to(device)) for p in build().parameters()]
    for p in params:
        p.grad = 0.01 * torch.randn_like(p)
    return params


def seconds(step: Callable[[], object], steps: int, device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    begin = time.perf_counter()
    for _ in range(steps):
        step()
    if device == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - begin) / steps


def measure(build: Callable[[], nn.Module], name: str, device: str, rounds: int) -> dict[str, list[float]]:
    """Seconds a step, for each column and round."""
    rule, torchs = RULES[name]
    contenders = {
        "torch default": torchs(parameters(build, device)),
        "foreach": torchs(parameters(build, device), foreach=True),
        "fused": torchs(parameters(build, device), fused=True),
        "lrlab": optim.Optimizer(parameters(build, device), rule, 1e-3),
        "lrlab readable": optim.Optimizer(parameters(build, device), readable(rule), 1e-3),
    }
    for contender in contenders.values():
        seconds(contender.step, 3, device)
    steps = max(1, min(200, int(0.02 / seconds(contenders["torch default"].step, 3, device))))
    times: dict[str, list[float]] = {column: [] for column in contenders}
    for _ in range(rounds):
        for column, contender in contenders.items():
            times[column].append(seconds(contender.step, steps, device))
    return times


def ratio(times: dict[str, list[float]], to: str) -> float:
    """The fastest round of lrlab over the fastest of another: what disturbs a round can only slow it down."""
    return min(times["lrlab"]) / min(times[to])


def targets(device: str) -> dict[str, float]:
    """The largest ratio that is good enough, for each of torch's optimizers that has one."""
    return {"foreach": 1.0} if device == "cuda" else {"torch default": 1.0, "fused": 1.2}


def main(arguments: list[str] | None = None) -> int:
    """Print the table; 1 if a target was missed."""
    parser = argparse.ArgumentParser(description="A step of lrlab.optim.Optimizer, beside torch's own optimizers.")
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2], help="numbers of CPU threads to measure with")
    parser.add_argument("--rounds", type=int, default=15, help="how often each has its turn")
    options = parser.parse_args(arguments)
    places = [("cpu", threads) for threads in options.threads] + [("cuda", 1)] * torch.cuda.is_available()
    print(f"µs a step, median of {options.rounds} rounds; then the ratio of lrlab to torch's, fastest round of each")
    print(f"{'':42}" + "".join(f"{column:>15}" for column in (*COLUMNS, *(f"/ {column}" for column in COLUMNS[:3]))))
    missed = 0
    for (device, threads), (network, build), name in itertools.product(places, NETWORKS.items(), RULES):
        torch.set_num_threads(threads)
        times = measure(build, name, device, options.rounds)
        ratios = {column: ratio(times, column) for column in COLUMNS[:3]}
        late = [column for column, most in targets(device).items() if ratios[column] > most]
        missed += len(late)
        medians = [1e6 * statistics.median(times[column]) for column in COLUMNS]
        place = "GPU" if device == "cuda" else f"{threads} thread{'s' if threads > 1 else ''}"
        figures = "".join(f"{value:15.1f}" for value in medians) + "".join(
            f"{value:15.2f}" for value in ratios.values()
        )
        print(f"{place:10}{name:9}{network:23}{figures}{'   missed: ' * bool(late)}{', '.join(late)}", flush=True)
    return int(missed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
