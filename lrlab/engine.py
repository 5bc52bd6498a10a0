"""What one training step does to a model's weights: the gradient, then the rule.

Three engines share five verbs. `propose` computes the loss and all that the step needs; `accept` makes the step, or
`reject` forgets it (a run whose loss is not finite never accepts); `snapshot` and `restore` are how a run goes back.
"""

from __future__ import annotations

import copy
import dataclasses
import inspect
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from lrlab.factors import factor_of, factor_vector
from lrlab.regularization import Penalty, Place, place
from lrlab.rules import Rule, State, check_step

Loss = Callable[[Tensor, Tensor], Tensor]
Snapshot = dict[str, Any]
Settings = TypeVar("Settings", Rule, Penalty)

PIECE = 2**17  # weights: with gradient and state, what a processor's cache can hold


def flatten(tensors: Sequence[Tensor]) -> Tensor:
    """Tensors of any shapes as one vector ``[P]``."""
    return torch.cat([tensor.reshape(-1) for tensor in tensors])


def trainable(model: nn.Module) -> list[nn.Parameter]:
    """The parameters that the rule may move; an error if there are none."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        raise ValueError("the model has nothing to train: it has no parameter with requires_grad=True")
    return parameters


class FlatEngine:
    """A model whose weights are views of one flat vector ``x [P]``, moved by a pure rule.

    Args:
        model: the network; its parameters become views of ``x``.
        loss: ``loss(outputs, targets) -> scalar``.
        rule: the update rule.
        weight_decay: λ of the L2 penalty ½λ‖x‖², added to the gradient as λx (torch's convention).
        penalty: what else is added to the loss; its gradient joins the loss's, and what it does after a step is done.

    A weight's learning rate is the run's times the weight's factor (`set_factors`), which is 1 at first.
    """

    def __init__(
        self, model: nn.Module, loss: Loss, rule: Rule, weight_decay: float = 0.0, penalty: Penalty | None = None
    ) -> None:
        self.model, self.loss, self.weight_decay = model, loss, weight_decay
        self.weights = trainable(model)
        self.names = [name for name, weight in model.named_parameters() if weight.requires_grad]
        self.factors: Mapping[str, float] = {}
        self._factor: Tensor | None = None  # [P]; None: 1 for all
        self._moving: Tensor | None = None  # [P], whether the factor is above 0; None: all are
        self.buffers = list(model.buffers())
        self.x = flatten([weight.detach() for weight in self.weights])
        pieces = self.x.split([weight.numel() for weight in self.weights])
        for weight, piece in zip(self.weights, pieces, strict=True):
            weight.data = piece.view_as(weight)
        self.in_pieces = self.x.device.type == "cpu" and self.x.numel() > 2 * PIECE
        self.state: State = {}
        self.set_rule(rule)
        self.set_penalty(penalty)

    def set_penalty(self, penalty: Penalty | None) -> None:
        """Go on with this penalty."""
        self.penalty = penalty
        frozen = [weight for weight in self.weights if not weight.requires_grad]
        for weight in frozen:  # it has its place in x all the same
            weight.requires_grad_(True)
        self.place: Place | None = None if penalty is None else place(self.model, penalty.on)
        for weight in frozen:
            weight.requires_grad_(False)

    def set_factors(self, factors: Mapping[str, float]) -> None:
        """Go on with these learning-rate multipliers, path to factor; a weight with the factor 0 is frozen.

        If others are frozen than before, the memory of the rule begins anew, its count of steps included: an average
        of Adam's that starts late would be taken for one that has settled, and make steps several times too large.
        """
        self.factors = dict(factors)
        vector = factor_vector(list(zip(self.names, self.weights, strict=True)), factors)
        self._factor = None if bool((vector == 1).all()) else vector
        self._moving = None if bool((vector > 0).all()) else vector > 0
        before = [weight.requires_grad for weight in self.weights]
        for name, weight in zip(self.names, self.weights, strict=True):
            weight.requires_grad_(factor_of(name, factors) > 0)
        if before != [weight.requires_grad for weight in self.weights]:
            self.state = self.rule.init(self.x)

    def _gradient_of(self, loss: Tensor) -> Tensor:
        """``∂loss/∂x [P]``: 0 for frozen weights, down to which no gradient is propagated."""
        moving = [weight for weight in self.weights if weight.requires_grad]
        gradients = iter(torch.autograd.grad(loss, moving, materialize_grads=True))
        return flatten([next(gradients) if w.requires_grad else torch.zeros_like(w) for w in self.weights])

    def set_rule(self, rule: Rule) -> None:
        """Go on with this rule. A state of the same names means the same (see `Rule`) and is kept; else a new one."""
        self.rule = rule
        first = rule.init(self.x)
        if self.state.keys() != first.keys():
            self.state = first
        check_step(rule, self.x, self.x, self.state, 0.0)  # once here, so that each step may be the bare formula
        self._formula = bare_step(rule)

    def propose(self, inputs: Tensor, targets: Tensor, lr: float) -> Tensor:
        """The loss of one mini-batch, and its gradient, which `accept` will step on."""
        x, at = self.x, self.rule.gradient_point(self.x, self.state)
        if at is not x:  # Nesterov's look-ahead: the network stands at another point while the gradient is taken
            x = x.clone()
            self.x.copy_(at)
        loss = self.loss(self.model(inputs), targets)
        g = self._gradient_of(loss)
        if self.weight_decay:
            g = g + self.weight_decay * self.x
        if self.penalty is not None and self.place is not None:
            g = g + self.penalty.gradient(self.x, self.place)
        self._start, self._gradient = x, g
        self._rate = lr if self._factor is None else lr * self._factor
        return loss.detach()

    def accept(self) -> None:
        """Make the proposed step."""
        if self.in_pieces:
            self._accept_in_pieces()
        else:
            x, self.state = self._formula(self.rule, self._start, self._gradient, self.state, self._rate)
            self.x.copy_(held(x, self._start, self._moving))
        if self.penalty is not None and self.place is not None:
            x = self.penalty.after(self.x, self._rate, self.place)
            self.x.copy_(held(x, self.x, self._moving))

    def _accept_in_pieces(self) -> None:
        """The same step, a piece of the vector at a time, in place; rules work element by element, so nothing changes.

        Fresh vectors of tens of megabytes would cost more than the arithmetic on them.
        """
        per_weight = [name for name, tensor in self.state.items() if tensor.shape == self.x.shape]
        pieces = {name: self.state[name].split(PIECE) for name in per_weight}
        whole = zip(self.x.split(PIECE), self._start.split(PIECE), self._gradient.split(PIECE), strict=True)
        rates = self._rate.split(PIECE) if isinstance(self._rate, Tensor) else None
        moving = None if self._moving is None else self._moving.split(PIECE)
        for number, (target, x, g) in enumerate(whole):
            state = {**self.state, **{name: pieces[name][number] for name in per_weight}}
            rate = self._rate if rates is None else rates[number]
            new_x, new_state = self._formula(self.rule, x, g, state, rate)
            target.copy_(held(new_x, x, None if moving is None else moving[number]))
            for name in per_weight:
                pieces[name][number].copy_(new_state[name])
        counters = {name: tensor for name, tensor in new_state.items() if name not in per_weight}
        self.state = {**self.state, **counters}

    def reject(self) -> None:
        """Forget the proposed step: the weights are what they were."""
        if self._start is not self.x:
            self.x.copy_(self._start)

    def snapshot(self) -> Snapshot:
        """Copies of weights, rule state and buffers."""
        state = {name: tensor.clone() for name, tensor in self.state.items()}
        return {"x": self.x.clone(), "state": state, "buffers": [buffer.clone() for buffer in self.buffers]}

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot, which stays usable."""
        self.x.copy_(snapshot["x"])
        self.state = {name: tensor.to(self.x.device, copy=True) for name, tensor in snapshot["state"].items()}
        for buffer, saved in zip(self.buffers, snapshot["buffers"], strict=True):
            buffer.copy_(saved)


def held(new: Tensor, old: Tensor, moving: Tensor | None) -> Tensor:
    """The new weights where they may move, the old ones where they are frozen."""
    return new if moving is None else torch.where(moving, new, old)


class CompiledEngine(FlatEngine):
    """`FlatEngine` with forward pass, backward pass and rule compiled into one function by ``torch.compile``.

    The first step takes seconds; learning rate and hyperparameters go in as tensors, so turning them compiles nothing.
    """

    def __init__(
        self, model: nn.Module, loss: Loss, rule: Rule, weight_decay: float = 0.0, penalty: Penalty | None = None
    ) -> None:
        if list(model.buffers()):
            raise ValueError("compile=True needs a model without buffers: GroupNorm in place of BatchNorm, say")
        if not any(shutil.which(compiler) for compiler in ("c++", "g++", "clang++")):
            raise ValueError("compile=True needs a C++ compiler, g++ or clang++: install one, or use compile=False")
        super().__init__(model, loss, rule, weight_decay, penalty)
        names = [name for name, weight in model.named_parameters() if weight.requires_grad]
        shapes = [weight.shape for weight in self.weights]
        sizes = [weight.numel() for weight in self.weights]

        def loss_at(x: Tensor, inputs: Tensor, targets: Tensor) -> Tensor:
            pieces = zip(names, x.split(sizes), shapes, strict=True)
            weights = {name: piece.view(shape) for name, piece, shape in pieces}
            return loss(torch.func.functional_call(model, weights, (inputs,)), targets)

        def step(
            rule: Rule,
            penalty: Penalty | None,
            place: Place | None,
            x: Tensor,
            state: State,
            inputs: Tensor,
            targets: Tensor,
            lr: Tensor,
            decay: Tensor,
        ) -> tuple[Tensor, tuple[Tensor, State]]:
            at = rule.gradient_point(x, state)
            g, loss = torch.func.grad_and_value(loss_at)(at, inputs, targets)
            g = g + decay * at
            if penalty is None or place is None:
                return loss, bare_step(rule)(rule, x, g, state, lr)
            x, state = bare_step(rule)(rule, x, g + penalty.gradient(at, place), state, lr)
            return loss, (penalty.after(x, lr, place).to(x.dtype), state)

        self._step = torch.compile(step)
        self._settings = (math.nan, math.nan)  # the numbers that are on the device as tensors now

    def set_rule(self, rule: Rule) -> None:
        super().set_rule(rule)
        self._rule_of_tensors = as_tensors(rule, self.x.device)

    def set_penalty(self, penalty: Penalty | None) -> None:
        super().set_penalty(penalty)
        self._penalty_of_tensors = None if penalty is None else as_tensors(penalty, self.x.device)

    def propose(self, inputs: Tensor, targets: Tensor, lr: float) -> Tensor:
        if (lr, self.weight_decay) != self._settings:
            self._settings = (lr, self.weight_decay)
            self._lr, self._decay = (scalar(value, self.x.device) for value in self._settings)
        self._start = self.x
        loss, self._proposal = self._step(
            self._rule_of_tensors,
            self._penalty_of_tensors,
            self.place,
            *(self.x, self.state, inputs, targets, self._lr, self._decay),
        )
        return loss

    def accept(self) -> None:
        x, self.state = self._proposal
        self.x.copy_(x)


def bare_step(rule: Rule) -> Any:
    """The formula of a rule without the checks around it: they cost time, and a compiler cannot look into them."""
    return inspect.unwrap(type(rule).step)


def as_tensors(rule: Settings, device: torch.device) -> Settings:
    """A rule or penalty with its real-valued hyperparameters as 0-dimensional tensors, also those of an inner rule."""
    changes: dict[str, Any] = {}
    for field in dataclasses.fields(rule):
        value = getattr(rule, field.name)
        if isinstance(value, Rule):
            changes[field.name] = as_tensors(value, device)
        elif isinstance(value, float):
            changes[field.name] = scalar(value, device)
    return dataclasses.replace(rule, **changes)


def scalar(value: float, device: torch.device) -> Tensor:
    """A number as a tensor without dimensions: in float64 where the device has it, and never widening a vector."""
    return torch.tensor(value, dtype=torch.float32 if device.type == "mps" else torch.float64, device=device)


class TorchEngine:
    """A model trained by any ``torch.optim.Optimizer``, for those who bring their own.

    Args:
        model: the network.
        loss: ``loss(outputs, targets) -> scalar``.
        factory: called with the list of trainable parameters, gives the optimizer. The learning rate that is applied
            multiplies the ratios between its groups, as they were given.
    """

    def __init__(
        self, model: nn.Module, loss: Loss, factory: Callable[[list[nn.Parameter]], torch.optim.Optimizer]
    ) -> None:
        self.model, self.loss = model, loss
        self.weights = trainable(model)
        self.buffers = list(model.buffers())
        self.optimizer = factory(self.weights)
        if not isinstance(self.optimizer, torch.optim.Optimizer):
            raise TypeError(f"optimizer must make a torch.optim.Optimizer, got {type(self.optimizer).__name__}")
        self.lr = float(self.optimizer.param_groups[0]["lr"])
        self._ratios = [float(group["lr"]) / self.lr for group in self.optimizer.param_groups]

    def hyperparameters(self) -> dict[str, float]:
        """The real-valued settings of the first group that can be turned, the learning rate excluded."""
        first = self.optimizer.param_groups[0]
        return {k: v for k, v in first.items() if k != "lr" and isinstance(v, (int, float)) and not isinstance(v, bool)}

    def turn(self, name: str, value: float) -> None:
        """Set a hyperparameter in all groups."""
        for group in self.optimizer.param_groups:
            group[name] = value

    def propose(self, inputs: Tensor, targets: Tensor, lr: float) -> Tensor:
        """The loss of one mini-batch; its gradient is left in the parameters."""
        for group, ratio in zip(self.optimizer.param_groups, self._ratios, strict=True):
            group["lr"] = lr * ratio
        self.optimizer.zero_grad()
        loss = self.loss(self.model(inputs), targets)
        loss.backward()
        return loss.detach()

    def accept(self) -> None:
        """Let the optimizer make its step."""
        self.optimizer.step()

    def reject(self) -> None:
        """Forget the gradient: the weights are what they were."""
        self.optimizer.zero_grad()

    def snapshot(self) -> Snapshot:
        """Copies of weights, buffers and the optimizer's state."""
        return {
            "weights": [weight.detach().clone() for weight in self.weights],
            "buffers": [buffer.clone() for buffer in self.buffers],
            "optimizer": copy.deepcopy(self.optimizer.state_dict()),
        }

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot, which stays usable."""
        with torch.no_grad():
            for tensor, saved in zip(self.weights, snapshot["weights"], strict=True):
                tensor.copy_(saved)
        for buffer, saved in zip(self.buffers, snapshot["buffers"], strict=True):
            buffer.copy_(saved)
        self.optimizer.load_state_dict(copy.deepcopy(snapshot["optimizer"]))
