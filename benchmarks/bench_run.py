"""Steps per second of a `Run` beside a plain loop and beside other trainers: the digits MLP 64-128-10, batch 128.

All arms take turns in one process. The plain loop is what a course would write: torch.optim.SGD with momentum, tensors
indexed directly, nothing logged. A `Run` logs loss and rate at each step as well. "+ validation": once an epoch.
"""

from __future__ import annotations

import contextlib
import io
import logging
import statistics
import sys
import threading
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec

import torch
from torch import nn

from lrlab import Run, data, models, rules

try:
    from lrlab.instruments import LiveTuner
except ImportError:  # a machine without a notebook's packages
    LiveTuner = None  # type: ignore[assignment,misc]

BATCH, LR, RHO, ROUNDS = 128, 0.1, 0.9, 12
digits = data.load("digits", device="cpu")  # `main` moves it


def plain(steps: int, validate: bool = False) -> None:
    """The loop of every course."""
    torch.manual_seed(0)
    X, Y = digits.train
    model = models.mlp().to(X.device)
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, momentum=RHO)
    done = 0
    while done < steps:
        order = torch.randperm(len(X))
        for start in range(0, len(X) - BATCH + 1, BATCH):
            index = order[start : start + BATCH]
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(X[index]), Y[index])
            loss.backward()
            optimizer.step()
            done += 1
        if validate:
            model.eval()
            with torch.no_grad():
                outputs = model(digits.validation.x)
                nn.functional.cross_entropy(outputs, digits.validation.y).item()
                (outputs.argmax(1) == digits.validation.y).float().mean().item()
            model.train()


def new_run(**options) -> Run:
    """The same training as a `Run`."""
    settings = {"rule": rules.Momentum(rho=RHO), "lr": LR, "batch_size": BATCH, "validate_every": 0}
    return Run("mlp", digits, device=digits.train.x.device, **{**settings, **options})


def ours(steps: int) -> None:
    """A fresh `Run`, construction included."""
    new_run().train(steps, progress=False)


def ours_validating(steps: int) -> None:
    """The same with its validation, once an epoch by default."""
    new_run(validate_every=None).train(steps, progress=False)


def compiled() -> Callable[[int], None]:
    """One compiled `Run`, which goes on: compilation is over before the clock starts."""
    run = new_run(compile=True).train(50, progress=False)
    return lambda steps: run.train(steps, progress=False) and None


def threaded(steps: int) -> None:
    """A `Run` in a worker thread without a tuner: what the tuner is compared with."""
    run = new_run()
    thread = threading.Thread(target=lambda: run.train(steps, progress=False))
    thread.start()
    thread.join()


def tuned(steps: int) -> None:
    """The same with a live tuner attached, its front end headless."""
    tuner = LiveTuner(new_run())
    tuner.play(steps=steps)
    tuner.wait()


def skorch_net(steps: int) -> None:
    from skorch import NeuralNetClassifier

    net = NeuralNetClassifier(
        models.mlp, criterion=nn.CrossEntropyLoss, optimizer=torch.optim.SGD, optimizer__momentum=RHO, lr=LR,
        batch_size=BATCH, max_epochs=epochs_of(steps), train_split=None, verbose=0, iterator_train__drop_last=True,
    )  # fmt: skip
    net.fit(*digits.train)


def lightning_trainer(steps: int) -> None:
    import lightning

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)  # importing it has set it to chatty

    class Digits(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = models.mlp()

        def training_step(self, batch, _):
            return nn.functional.cross_entropy(self.model(batch[0]), batch[1])

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=LR, momentum=RHO)

    trainer = lightning.Trainer(
        max_steps=steps, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(Digits(), loader())


def fastai_learner(steps: int) -> None:
    from fastai.data.core import DataLoaders
    from fastai.learner import Learner
    from fastai.optimizer import SGD

    learner = Learner(
        DataLoaders(loader(), loader()), models.mlp(), loss_func=nn.CrossEntropyLoss(), lr=LR,
        opt_func=lambda p, lr, **_: SGD(p, lr=lr, mom=RHO),
    )  # fmt: skip
    with learner.no_bar(), learner.no_logging():
        learner.fit(epochs_of(steps))


def loader() -> torch.utils.data.DataLoader:
    pairs = torch.utils.data.TensorDataset(*digits.train)
    return torch.utils.data.DataLoader(pairs, batch_size=BATCH, shuffle=True, drop_last=True)


def epochs_of(steps: int) -> int:
    return max(1, round(steps / (len(digits.train.x) // BATCH)))


def speeds(arms: dict[str, Callable[[int], None]], steps: dict[str, int]) -> dict[str, list[float]]:
    """Steps per second of each arm, round by round; the order turns with each round."""
    found: dict[str, list[float]] = {name: [] for name in arms}
    names = list(arms)
    for round_number in range(ROUNDS):
        for name in names[round_number % len(names) :] + names[: round_number % len(names)]:
            start = time.perf_counter()
            with contextlib.redirect_stdout(io.StringIO()):
                arms[name](steps[name])
                if torch.cuda.is_available():
                    torch.cuda.synchronize()
            found[name].append(steps[name] / (time.perf_counter() - start))
    return found


def ratio(found: dict[str, list[float]], arm: str, base: str) -> float:
    """The fastest round of an arm over that of its base: what disturbs a round can only slow it down."""
    return max(found[arm]) / max(found[base])


def main() -> int:
    warnings.simplefilter("ignore")
    others = {"skorch": skorch_net, "lightning": lightning_trainer, "fastai": fastai_learner}
    here = {name: arm for name, arm in others.items() if find_spec(name)}
    if missing := set(others) - set(here):
        print(f"not installed, so not measured: {', '.join(sorted(missing))} (make bench installs them)")
    missed = compare("cpu", 1, here) + compare("cpu", 2, here)
    if torch.cuda.is_available():
        missed += compare("cuda", 2, {})
    return 1 if missed else 0


def compare(device: str, threads: int, others: dict[str, Callable[[int], None]]) -> list[str]:
    """Measure all arms on one device, print the table, and give the names of the targets that were missed."""
    global digits
    digits = data.load("digits", device=device)
    torch.set_num_threads(threads)
    arms = {
        "plain loop": plain,
        "Run": ours,
        "Run, compiled": compiled(),
        "plain + validation": lambda steps: plain(steps, validate=True),
        "Run + validation": ours_validating,
        **({"Run, thread": threaded, "Run, tuner": tuned} if LiveTuner else {}),
        **others,
    }
    steps = {name: 300 if name in others else 2000 for name in arms}
    found = speeds(arms, steps)
    validating = ratio(found, "Run + validation", "plain + validation")
    print(f"\n{device}, {threads} thread(s)       steps/s (median)   against the plain loop (fastest rounds)")
    for name in arms:
        print(f"  {name:20} {statistics.median(found[name]):12,.0f}   {ratio(found, name, 'plain loop'):12.2f} x")
    print(f"  Run / plain loop, both validating once an epoch: {validating:.2f} x")
    targets = [
        ("Run / plain loop", ratio(found, "Run", "plain loop"), 1.1),
        ("Run, compiled / plain loop", ratio(found, "Run, compiled", "plain loop"), 1.8),
    ]
    if LiveTuner:
        targets += [("Run with a tuner / without", ratio(found, "Run, tuner", "Run, thread"), 0.98)]
    for name, value, target in targets:
        print(f"  {name:30} {value:5.2f} x, target at least {target} x: {'met' if value >= target else 'MISSED'}")
    return [name for name, value, target in targets if value < target]


if __name__ == "__main__":
    sys.exit(main())
