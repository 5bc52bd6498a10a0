"""Many networks at once: R runs of one architecture as one tensor ``x [R, P]``, moved by the very rules of one run.

A small network leaves a processor waiting: most of a step is spent on starting operations. With R networks in one
tensor each operation is started once for all of them. Nothing is shared between the runs but the mini-batch, so each
does what it would have done alone.
"""

from __future__ import annotations

import copy
import functools
import shutil
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrlab.engine import Loss, as_tensors, bare_step, flatten, held, scalar, trainable
from lrlab.regularization import Penalty, Place, place
from lrlab.rules import Rule, State, check_step

# x [R, P], inputs, own -> outputs [R, B, ...]; inputs are [B, ...] for all runs, or with own=True [R, B, ...].
Forward = Callable[[Tensor, Tensor, bool], Tensor]
# outputs [R, B, ...], targets, own -> the loss of each run [R]; targets are [B, ...], or with own=True [R, B, ...].
Losses = Callable[[Tensor, Tensor, bool], Tensor]

# Layers that work on each number by itself: on a stack of networks they do what they do on one.
ELEMENTWISE = (
    *(nn.Identity, nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Softplus),
    *(nn.Sigmoid, nn.Tanh, nn.Softsign, nn.Hardtanh, nn.Hardsigmoid, nn.Hardswish, nn.LogSigmoid, nn.Softshrink),
)


class NotBatchable(Exception):
    """This network or loss cannot be trained as a stack; the message says why."""


class Stack:
    """The form in which R networks of one architecture, and their losses, are computed at once.

    Args:
        model: one of the networks.
        loss: ``loss(outputs, targets) -> scalar``, of one network.
        sample: two examples, ``(inputs, targets)``, to try the form on.

    Raises:
        NotBatchable: if a network needs more than its flat weights (running statistics, random numbers), or torch
            cannot vectorise it.
    """

    def __init__(self, model: nn.Module, loss: Loss, sample: tuple[Tensor, Tensor]) -> None:
        _check_quiet(copy.deepcopy(model), loss, sample)
        self.model = copy.deepcopy(model)
        self.forward = mlp_forward(self.model, sample[0]) or vmap_forward(self.model)
        classes = sample[1].dim() == 1 and not sample[1].is_floating_point()
        self.losses = cross_entropies if loss is F.cross_entropy and classes else vmap_losses(loss)
        self._check_agreement(loss, sample)

    @functools.cached_property
    def compiled_step(self) -> Any:
        """`step` of this stack, compiled once for all its chunks of runs."""
        return torch.compile(functools.partial(_whole_step, self), dynamic=False)

    def _check_agreement(self, loss: Loss, sample: tuple[Tensor, Tensor]) -> None:
        """Two equal networks in a stack must compute what the network computes."""
        inputs, targets = sample
        self.model.train(True)
        x = flatten([weight.detach() for weight in trainable(self.model)]).repeat(2, 1).requires_grad_()
        try:
            found = self.losses(self.forward(x, inputs, False), targets, False)
            torch.autograd.grad(found.sum(), x)
            with torch.no_grad():
                expected = loss(self.model(inputs), targets)
        except Exception as error:  # a stranger's code under vmap may raise anything
            raise NotBatchable(f"torch.func.vmap cannot vectorise it ({str(error).splitlines()[0]})") from None
        if not torch.allclose(found, expected.expand(2), rtol=1e-3, atol=1e-5, equal_nan=True):
            raise NotBatchable("in a stack it does not compute what it computes alone")


class Runs:
    """R runs in training.

    Args:
        stack: how to compute them.
        x: first weights ``[R, P]``.
        rule: the update rule; a hyperparameter that varies is a tensor ``[R, 1]``.
        decay: λ of the L2 penalty, a number or ``[R, 1]``.
        penalty: what else is added to the loss; a hyperparameter that varies is a tensor ``[R, 1]``.
        factor: learning-rate multipliers ``[P]`` (see `lrlab.factors`), or None.
    """

    def __init__(
        self,
        stack: Stack,
        x: Tensor,
        rule: Rule,
        decay: float | Tensor,
        penalty: Penalty | None = None,
        factor: Tensor | None = None,
    ) -> None:
        self.penalty, self.factor = penalty, factor
        self.moving = None if factor is None else factor > 0
        self.place = None if penalty is None else place(stack.model, penalty.on)
        self.stack, self.rule, self.decay, self.x = stack, rule, decay, x
        self.state = rule.init(x)
        self.alive = torch.ones(len(x), dtype=torch.bool, device=x.device)
        check_step(rule, x, x, self.state, 0.0)  # once here, so that each step may be the bare formula
        self._looks = x.device.type == "cpu"  # elsewhere, looking at the losses would make the processor wait
        stack.model.train(True)

    def step(self, inputs: Tensor, targets: Tensor, lr: Tensor, own: bool) -> Tensor:
        """One step of every run; the losses ``[R]`` before it. A run whose loss is not finite stays where it is."""
        at = self.rule.gradient_point(self.x, self.state).detach().requires_grad_()
        losses = self.stack.losses(self.stack.forward(at, inputs, own), targets, own)
        (g,) = torch.autograd.grad(losses.sum(), at)  # each run's weights appear in its own loss only
        losses, at = losses.detach(), at.detach()
        if isinstance(self.decay, Tensor) or self.decay:
            g = g + self.decay * at
        if self.penalty is not None and self.place is not None:
            g = g + self.penalty.gradient(at, self.place)
        rate = lr if self.factor is None else lr * self.factor
        x, self.state = bare_step(self.rule)(self.rule, self.x, g, self.state, rate)
        if self.penalty is not None and self.place is not None:
            x = self.penalty.after(x, rate, self.place)
        x = held(x, self.x, self.moving)
        self.alive = self.alive & torch.isfinite(losses)
        if not (self._looks and bool(self.alive.all())):
            x = torch.where(self.alive.unsqueeze(1), x, self.x)
        self.x = x
        return losses

    def freeze(self, run: int, x: Tensor) -> None:
        """Leave a run at these weights ``[P]`` from now on."""
        self.x, self.alive = self.x.clone(), self.alive.clone()
        self.x[run], self.alive[run] = x, False

    def evaluate(self, x: Tensor, y: Tensor, at_once: int) -> tuple[Tensor, Tensor]:
        """Loss and accuracy ``[R]`` of every run on examples, ``at_once`` of them at a time."""
        self.stack.model.train(False)
        try:
            with torch.no_grad():
                outputs = torch.cat([self.stack.forward(self.x, part, False) for part in x.split(at_once)], dim=1)
                losses = self.stack.losses(outputs, y, False)
        finally:
            self.stack.model.train(True)
        if outputs.dim() != 3 or y.dim() != 1 or y.is_floating_point():
            return losses, torch.full_like(losses, torch.nan)
        return losses, (outputs.argmax(2) == y).double().mean(1)


class CompiledRuns(Runs):
    """`Runs` whose whole step, forward and backward pass and rule, is one function compiled by ``torch.compile``.

    The first step takes seconds. Learning rates and hyperparameters go in as tensors, so other values compile nothing.
    """

    def __init__(
        self,
        stack: Stack,
        x: Tensor,
        rule: Rule,
        decay: float | Tensor,
        penalty: Penalty | None = None,
        factor: Tensor | None = None,
    ) -> None:
        super().__init__(stack, x, rule, decay, penalty, factor)
        self.rule = as_tensors(rule, x.device)
        self.penalty = None if penalty is None else as_tensors(penalty, x.device)
        self.decay = decay if isinstance(decay, Tensor) else scalar(decay, x.device)

    def step(self, inputs: Tensor, targets: Tensor, lr: Tensor, own: bool) -> Tensor:
        assert isinstance(self.decay, Tensor)
        self.x, self.state, self.alive, losses = self.stack.compiled_step(
            *(self.rule, self.penalty, self.place, self.x, self.state, self.alive),
            *(inputs, targets, lr, self.decay, own, self.factor, self.moving),
        )
        return losses


def _whole_step(
    stack: Stack, rule: Rule, penalty: Penalty | None, place: Place | None, x: Tensor, state: State, alive: Tensor,
    inputs: Tensor, targets: Tensor, lr: Tensor, decay: Tensor, own: bool, factor: Tensor | None,
    moving: Tensor | None,
) -> tuple[Tensor, State, Tensor, Tensor]:  # fmt: skip
    """`Runs.step` as one pure function."""

    def total(at: Tensor) -> tuple[Tensor, Tensor]:
        losses = stack.losses(stack.forward(at, inputs, own), targets, own)
        return losses.sum(), losses

    at = rule.gradient_point(x, state)
    g, losses = torch.func.grad(total, has_aux=True)(at)
    g = g + decay * at
    if penalty is not None and place is not None:
        g = g + penalty.gradient(at, place)
    rate = lr if factor is None else lr * factor
    new_x, state = bare_step(rule)(rule, x, g, state, rate)
    if penalty is not None and place is not None:
        new_x = penalty.after(new_x, rate, place).to(x.dtype)
    new_x = held(new_x, x, moving)
    alive = alive & torch.isfinite(losses)
    return torch.where(alive.unsqueeze(1), new_x, x), state, alive, losses


def can_compile() -> bool:
    """Whether ``torch.compile`` can work here: on a CPU it needs a C++ compiler."""
    return any(shutil.which(compiler) for compiler in ("c++", "g++", "clang++"))


# The forms ------------------------------------------------------------------------------------------------------------


def mlp_forward(model: nn.Module, inputs: Tensor) -> Forward | None:
    """The batched form of linear layers with activations between them; None for any other network.

        h ← W h + b        [R, out, in], [R, in, B] -> [R, out, B]

    Two to five times faster than ``vmap`` where networks are small, because nothing but the arithmetic is left.
    Examples stand on the last axis, so that no matrix has to be turned over.
    """
    layers = _layers(model)
    if layers and type(layers[0]) is nn.Flatten and (layers[0].start_dim, layers[0].end_dim) == (1, -1):
        layers = layers[1:]
    elif inputs.dim() != 2:
        return None
    linear = [layer for layer in layers if type(layer) is nn.Linear]
    plain = all(type(layer) is nn.Linear or type(layer) in ELEMENTWISE for layer in layers)
    weights = [weight for layer in linear for weight in (layer.weight, layer.bias) if weight is not None]
    own = [id(weight) for weight in model.parameters()]
    if not linear or not plain or own != [id(weight) for weight in weights]:
        return None
    if not all(weight.requires_grad for weight in weights):
        return None
    sizes = [weight.numel() for weight in weights]

    def forward(x: Tensor, inputs: Tensor, own: bool) -> Tensor:
        pieces = list(x.split(sizes, dim=1))
        h = inputs.flatten(2).transpose(1, 2) if own else inputs.flatten(1).T.expand(len(x), -1, -1)
        for layer in layers:
            if not isinstance(layer, nn.Linear):
                h = layer(h)
                continue
            weight = pieces.pop(0).view(-1, layer.out_features, layer.in_features)
            h = torch.bmm(weight, h) if layer.bias is None else torch.baddbmm(pieces.pop(0).unsqueeze(2), weight, h)
        return h.transpose(1, 2)

    return forward


def _layers(model: nn.Module) -> list[nn.Module]:
    """The layers of nested ``nn.Sequential``s in their order; empty for anything else."""
    if type(model) is not nn.Sequential:
        return []
    return [layer for part in model for layer in (_layers(part) or [part])]


def vmap_forward(model: nn.Module) -> Forward:
    """The batched form of any network, by ``torch.func.vmap``."""
    names = [name for name, weight in model.named_parameters() if weight.requires_grad]
    weights = trainable(model)
    sizes, shapes = [weight.numel() for weight in weights], [weight.shape for weight in weights]

    def alone(x: tuple[Tensor, ...], inputs: Tensor) -> Tensor:
        return torch.func.functional_call(model, dict(zip(names, x, strict=True)), (inputs,))

    def forward(x: Tensor, inputs: Tensor, own: bool) -> Tensor:
        pieces = zip(x.split(sizes, dim=1), shapes, strict=True)
        stacked = tuple(piece.reshape(len(x), *shape) for piece, shape in pieces)
        return torch.func.vmap(alone, in_dims=(0, 0 if own else None))(stacked, inputs)

    return forward


def cross_entropies(outputs: Tensor, targets: Tensor, own: bool) -> Tensor:
    """The mean cross-entropy of each run: logits ``[R, B, C]``, classes ``[B]`` or ``[R, B]`` -> ``[R]``."""
    each = F.cross_entropy(outputs.transpose(1, 2), targets.expand(outputs.shape[:2]), reduction="none")
    return each.mean(1)


def vmap_losses(loss: Loss) -> Losses:
    """The batched form of any loss."""

    def losses(outputs: Tensor, targets: Tensor, own: bool) -> Tensor:
        return torch.func.vmap(loss, in_dims=(0, 0 if own else None))(outputs, targets)

    return losses


# What does not go into a stack ----------------------------------------------------------------------------------------


def check_fixed_parts(models: Sequence[nn.Module]) -> None:
    """What is not trained stands in the stack once: NotBatchable if it is not the same in all these networks."""
    first, *others = [
        [*model.buffers(), *(weight for weight in model.parameters() if not weight.requires_grad)] for model in models
    ]
    for other in others:
        if not all(torch.equal(ours, theirs) for ours, theirs in zip(first, other, strict=True)):
            raise NotBatchable("its fixed weights or buffers differ from seed to seed")


def _check_quiet(model: nn.Module, loss: Loss, sample: tuple[Tensor, Tensor]) -> None:
    """A step in training mode must neither write to a buffer nor draw random numbers: each run has its own of both."""
    model.train(True)
    buffers = [buffer.clone() for buffer in model.buffers()]
    device = sample[0].device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), torch.no_grad():
        before = torch.get_rng_state(), *_device_rng(device)
        try:
            loss(model(sample[0]), sample[1])
        except Exception as error:  # a layer may refuse two samples in training that it takes in validation
            raise NotBatchable(f"it could not be tried in training mode ({str(error).splitlines()[0]})") from None
        after = torch.get_rng_state(), *_device_rng(device)
    if not all(torch.equal(old, new) for old, new in zip(buffers, model.buffers(), strict=True)):
        raise NotBatchable("it writes to its buffers in training (running statistics of batch normalisation)")
    if not all(torch.equal(old, new) for old, new in zip(before, after, strict=True)):
        raise NotBatchable("it draws random numbers in training (dropout), and each run needs its own")


def _device_rng(device: torch.device) -> list[Tensor]:
    return [torch.cuda.get_rng_state(device)] if device.type == "cuda" else []
