"""Averages of a network's weights along its run: the plain mean (SWA, Polyak) and the exponential one (EMA)."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from tqdm.auto import tqdm

from lrlab.engine import flatten
from lrlab.run import Run


class Average(Protocol):
    """What takes in the weights ``[P]`` after each step, and gives their average."""

    def add(self, x: Tensor, step: int) -> None: ...
    def value(self) -> Tensor: ...


class Mean:
    """``x̄ = 1/n Σ x``, over every ``every``-th step after the first ``start``; summed in float64 where there is one."""

    def __init__(self, start: int, every: int) -> None:
        self.start, self.every, self.count = start, every, 0
        self.sum: Tensor | None = None

    def add(self, x: Tensor, step: int) -> None:
        if step > self.start and (step - self.start) % self.every == 0:
            self.sum = wide(x) if self.sum is None else self.sum + wide(x)
            self.count += 1

    def value(self) -> Tensor:
        assert self.sum is not None
        return self.sum / self.count


class Exponential:
    """``x̄ ← d x̄ + (1 − d) x``, from ``first``, or from 0 and then divided by ``1 − dᵗ``."""

    def __init__(self, decay: float, first: Tensor, corrected: bool) -> None:
        self.decay, self.corrected, self.count = decay, corrected, 0
        self.sum = torch.zeros_like(wide(first)) if corrected else wide(first)

    def add(self, x: Tensor, step: int) -> None:
        self.sum = self.decay * self.sum + (1 - self.decay) * wide(x)
        self.count += 1

    def value(self) -> Tensor:
        return self.sum / (1 - self.decay**self.count) if self.corrected else self.sum


def swa(run: Run, steps: int, *, start: int = 0, every: int = 1, progress: bool = True) -> nn.Module:
    """Train a run on, and average its weights on the way: stochastic weight averaging.

    ::

        x̄ = 1/n Σᵢ x(start + i·every),        i = 1 … n,  n = ⌊(steps − start)/every⌋

    The mean lies nearer to the middle of the valley than any of the points that the noise of the mini-batches throws
    about it, if the rate stays high enough to move and all points lie in one valley. With ``start=0, every=1`` it is
    the Polyak–Ruppert average of all steps. The run itself goes on as it would have done: to keep it, ``run.branch()``.

    Args:
        run: the run, which makes ``steps`` more steps.
        steps: how many.
        start: how many of them are made before the averaging begins.
        every: steps between two points of the mean; an epoch in the paper.
        progress: show a bar.

    Returns:
        a copy of the network with the mean of the weights, its batch normalisations renewed on the training data
        (see `renew_batchnorm`), in inference mode.

    Raises:
        ValueError: there is no point to average, or the run diverges; the message says where.

    >>> run = Run("mlp", "digits", lr=0.2, batch_size=32)
    >>> mean = swa(run, 200, start=100, progress=False)
    >>> run.step, run.evaluate(run.dataset.train)[1] > 0.9
    (200, True)

    Source: Izmailov, Podoprikhin, Garipov, Vetrov and Wilson 2018, Averaging weights leads to wider optima and better
    generalization; Polyak and Juditsky 1992.
    """
    _check_run("swa", run)
    check_whole("steps", steps, 1)
    check_whole("start", start, 0)
    check_whole("every", every, 1)
    if start + every > steps:
        raise ValueError(
            f"swa: start={start} and every={every} leave nothing to average in steps={steps}: "
            f"the first point would be that after step {start + every}"
        )
    return _averaged("swa", run, steps, Mean(start, every), progress)


def ema(run: Run, steps: int, *, decay: float = 0.99, corrected: bool = True, progress: bool = True) -> nn.Module:
    """Train a run on, and average its weights on the way with weights that fade: the exponential moving average.

    ::

        x̄ₜ = d x̄ₜ₋₁ + (1 − d) xₜ,        t = 1 … steps

        corrected:      x̄₀ = 0, and the result is x̄ₜ / (1 − dᵗ): a weighted mean of x₁ … xₜ
        not corrected:  x̄₀ = x₀, the weights before: they keep the share dᵗ, 37 % after 1/(1 − d) steps

    It looks back over about 1/(1 − d) steps. torch's ``AveragedModel`` with ``get_ema_multi_avg_fn`` starts from x₁ and
    is not corrected; timm and TensorFlow let d grow at the start, to min(d, (1 + t)/(10 + t)).

    Args:
        run: the run, which makes ``steps`` more steps. It goes on as it would have done: to keep it, ``run.branch()``.
        steps: how many.
        decay: d in [0, 1).
        corrected: without the bias towards the start.
        progress: show a bar.

    Returns:
        a copy of the network with the averaged weights, its batch normalisations renewed on the training data (see
        `renew_batchnorm`), in inference mode.

    Raises:
        ValueError: decay is outside its range, or the run diverges; the message says where.

    Source: Polyak and Juditsky 1992, Acceleration of stochastic approximation by averaging; the correction is Adam's,
    Kingma and Ba 2015.
    """
    _check_run("ema", run)
    check_whole("steps", steps, 1)
    if isinstance(decay, bool) or not isinstance(decay, (int, float)) or not 0 <= decay < 1:
        raise ValueError(f"decay must be in [0, 1), such as 0.99 to look back over about 100 steps; got {decay!r}")
    return _averaged("ema", run, steps, Exponential(decay, weights_of(run.model), corrected), progress)


def _averaged(purpose: str, run: Run, steps: int, average: Average, progress: bool) -> nn.Module:
    train_on(purpose, run, steps, average, progress)
    model = copy.deepcopy(run.model)
    pieces = average.value().split([weight.numel() for weight in model.parameters()])
    with torch.no_grad():
        for weight, piece in zip(model.parameters(), pieces, strict=True):
            weight.copy_(piece.view_as(weight))
    train = run._material.train
    return renew_batchnorm(model, train if not isinstance(train, tuple) else train[0])


def train_on(purpose: str, run: Run, steps: int, average: Average, progress: bool) -> None:
    """Make steps, and show the weights after each to the average."""
    with tqdm(total=steps, unit="step", disable=not progress, desc=run.title) as bar:
        for made, _ in enumerate(run.steps(steps), start=1):
            average.add(weights_of(run.model), made)
            bar.update()
    check_survived(purpose, run)
    if made < steps:
        raise ValueError(f"{purpose}: the run was stopped early, after {made} of {steps} steps: leave out stopping=")


def check_survived(purpose: str, run: Run) -> None:
    """ValueError if the run has diverged."""
    if run.status == "diverged":
        raise ValueError(
            f"{purpose}: the run diverged at step {run.step}: its loss is not finite. "
            "Go back with run.rewind(step), lower run.lr, and try again"
        )


# Batch normalisation --------------------------------------------------------------------------------------------------


def renew_batchnorm(model: nn.Module, data: Tensor | Iterable[Any], batch_size: int = 256) -> nn.Module:
    """Measure the statistics of batch normalisations anew, in one pass over the training data.

    A network's running statistics belong to the weights it was trained with. Averaged weights make other activations,
    and with the old statistics such a network may be no better than guessing.

    ::

        running mean and variance  ←  the mean over all mini-batches of their mean and (unbiased) variance

    Other layers work as at inference, so that dropout does not disturb; frozen normalisations (their own weights have
    no gradient) keep what they have. Differs from torch's ``update_bn``, in which dropout is at work.

    Args:
        model: the network, changed in place.
        data: the training inputs ``[N, ...]``, cut into equal mini-batches; or a DataLoader.
        batch_size: at most so many at once, of a tensor.

    Returns:
        the model, in inference mode.

    Raises:
        TypeError or ValueError: data of another kind, or with too few examples.
    """
    layers = [part for part in model.modules() if isinstance(part, _BatchNorm) and _is_renewed(part)]
    model.eval()
    if not layers:
        return model
    momenta, before = [layer.momentum for layer in layers], copy.deepcopy([layer.state_dict() for layer in layers])
    place = next(model.parameters(), torch.zeros(()))
    try:
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None  # torch's word for: the plain mean over all batches
            layer.train()
        with torch.no_grad():
            for inputs in _inputs(data, batch_size):
                model(inputs.to(place.device, place.dtype if inputs.is_floating_point() else None))
    except BaseException:  # an empty loader, a stop: old statistics are better than none
        for layer, state in zip(layers, before, strict=True):
            layer.load_state_dict(state)
        raise
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
        model.eval()
    return model


def _is_renewed(layer: _BatchNorm) -> bool:
    weights = list(layer.parameters())
    return layer.track_running_stats and (not weights or any(weight.requires_grad for weight in weights))


def _inputs(data: Tensor | Iterable[Any], batch_size: int) -> Iterator[Tensor]:
    check_whole("batch_size", batch_size, 2)
    if isinstance(data, Tensor):
        if len(data) < 2:
            raise ValueError(f"renew_batchnorm: data must have at least 2 examples, got {len(data)}")
        yield from data.tensor_split(math.ceil(len(data) / batch_size))
        return
    wanted = "data must be the inputs, a tensor [N, ...] such as dataset.train.x, or a DataLoader"
    if isinstance(data, tuple) or not isinstance(data, Iterable):
        raise TypeError(f"renew_batchnorm: {wanted}; got {type(data).__name__}")
    empty = True
    for batch in data:
        inputs = batch[0] if isinstance(batch, (list, tuple)) and batch else batch
        if not isinstance(inputs, Tensor):
            raise TypeError(f"renew_batchnorm: {wanted}; a batch of this {type(data).__name__} is {batch!r:.40}")
        yield inputs
        empty = False
    if empty:
        raise ValueError(f"renew_batchnorm: this {type(data).__name__} gave no batch, so there is nothing to measure")


# Helpers --------------------------------------------------------------------------------------------------------------


def weights_of(model: nn.Module) -> Tensor:
    """All parameters as one vector ``[P]``, a copy."""
    return flatten([weight.detach() for weight in model.parameters()])


def wide(x: Tensor) -> Tensor:
    """A copy in float64, where the device has it: sums of thousands of float32 weights lose digits."""
    return x.to(torch.float32 if x.device.type == "mps" else torch.float64, copy=True)


def check_whole(name: str, value: Any, least: int) -> None:
    """ValueError for anything but a whole number of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}; got {value!r}")


def _check_run(purpose: str, run: Any) -> None:
    if not isinstance(run, Run):
        raise TypeError(f"{purpose}: run must be a Run, such as Run('mlp', 'digits', lr=0.1); got {type(run).__name__}")
