"""The adapter: any rule of `lrlab.rules` as a `torch.optim.Optimizer`.

The rule stays what it is, a formula on a flat vector. Here it meets the parameters of a module, gathered into such
vectors, and what torch expects of an optimizer: groups, closures, schedulers, `state_dict`. Long vectors are stepped in
pieces that stay in the processor's cache; rules work element by element, so this changes nothing.

For the rules that torch has a fused kernel for (SGD, Momentum, Nesterov, Adam, AdamW, AMSGrad) that kernel does the
step, in place and in one pass. The rule remains the reference: a test holds the two together to 1e-12, and a subclass
of a rule always takes the readable path.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from itertools import chain
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd

from lrlab import rules
from lrlab.rules import Number, Rule, State, check_number

PIECE = 2**17  # elements: half a megabyte of float32


class Optimizer(torch.optim.Optimizer):
    """A rule as a torch optimizer.

    ::

        g ← ∂loss/∂x            −g if maximize
        g ← g + λ x             L2 regularisation, if weight_decay λ is not 0
        x ← rule.step(x, g)

    Each group may have its own `lr`, `weight_decay`, `maximize` and hyperparameters of the rule. In the groups these
    have the rule's names, except those that torch's schedulers look for: rho is `momentum`, (beta1, beta2) is `betas`.
    OneCycleLR and CyclicLR turn them unless told `cycle_momentum=False`; with a rule that has neither they must be.

    Some rules take the gradient elsewhere than at x (NesterovLookahead, ScheduleFreeSGD). With them, the parameters of
    the module *are* the gradient point while you train, and x is in the state, as `true_x`. Call `optimizer.eval()` to
    put x into the module before you validate or save it, and `optimizer.train()` before you go on. With other rules
    both do nothing.

    Parameters
    ----------
    params
        Parameters, named parameters or dictionaries of groups, as for every torch optimizer.
    rule
        A rule, such as `rules.Momentum(rho=0.9)`. It must work element by element, as all of `lrlab.rules` do.
    lr
        The learning rate α > 0. A scheduler may set it to 0 later.
    weight_decay
        λ ≥ 0: L2, added to the gradient, as in torch.optim.SGD and Adam. A rule with a weight_decay of its own, such
        as AdamW, takes it there and refuses it here.
    maximize
        Climb instead of descend.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or outside its range; complex parameters; in `step`, sparse gradients; in
        `load_state_dict`, the state of another rule.

    Examples
    --------
    >>> model = torch.nn.Linear(3, 1)
    >>> optimizer = Optimizer(model.parameters(), rules.Momentum(rho=0.9), lr=0.1)
    >>> model(torch.ones(5, 3)).sum().backward()
    >>> optimizer.step()
    >>> optimizer.param_groups[0]["momentum"]
    0.9
    """

    def __init__(
        self, params: Iterable[Any], rule: Rule, lr: Number, weight_decay: float = 0.0, *, maximize: bool = False
    ) -> None:
        if not isinstance(rule, Rule):
            raise TypeError(f"rule must be a rule, such as rules.Adam(), not {rule!r}")
        self.rule = rule
        self._forget()
        probe = torch.zeros(2)
        state = rule.init(probe)
        self._looks_elsewhere = rule.gradient_point(probe, state) is not probe
        self._counters = {name for name, value in state.items() if value.shape[-1] == 1}
        self._state_names = {*state, "true_x"} if self._looks_elsewhere else {*state}
        mode = {"evaluating": False} if self._looks_elsewhere else {}
        _refuse_second_decay(rule, weight_decay)
        super().__init__(
            params, {"lr": lr, "weight_decay": weight_decay, "maximize": maximize, **mode, **_to_group(rule)}
        )

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters, with settings of its own where it names them."""
        super().add_param_group(param_group)
        try:
            self._check_group(self.param_groups[-1])
        except (TypeError, ValueError):
            self.param_groups.pop()
            raise

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step for every parameter that has a gradient. A `closure` computes the loss, which is then returned."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for index, group in enumerate(self.param_groups):
            if group.get("evaluating"):
                raise RuntimeError("the parameters hold x, for evaluation: call optimizer.train() before a step")
            lr = group["lr"]
            if not (isinstance(lr, Tensor) or 0 <= lr < math.inf):
                check_number("lr", lr, rules.NON_NEGATIVE)
            rule = self._rule(index, group)
            l2 = 0.0 if "weight_decay" in self._settings else group["weight_decay"]
            for worker in self._workers(index, group):
                worker.step(rule, lr, l2, group["maximize"])
        return loss

    @torch.no_grad()
    def eval(self) -> None:
        """Put x into the parameters, for validation and saving."""
        for group in self.param_groups:
            if group.get("evaluating") is False:
                group["evaluating"] = True
                for p in filter(self.state.get, group["params"]):
                    p.copy_(self.state[p]["true_x"])

    @torch.no_grad()
    def train(self) -> None:
        """Put the gradient point into the parameters, to go on training after `eval`."""
        for index, group in enumerate(self.param_groups):
            if group.get("evaluating"):
                group["evaluating"] = False
                for p in filter(self.state.get, group["params"]):
                    state = {name: value.reshape(-1) for name, value in self.state[p].items()}
                    p.copy_(self._rule(index, group).gradient_point(state.pop("true_x"), state).view_as(p))

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a `state_dict()` of this class, made with the same rule."""
        for group in state_dict["param_groups"]:
            if missing := self.defaults.keys() - group.keys():
                raise ValueError(f"state_dict has a group without {sorted(missing)}: is it of another rule?")
        for state in state_dict["state"].values():
            if state.keys() != self._state_names:
                raise ValueError(
                    f"state_dict holds {sorted(state)}, but {type(self.rule).__name__} needs "
                    f"{sorted(self._state_names)}: is it of another rule?"
                )
        super().load_state_dict(state_dict)
        # torch casts every state to the dtype of its parameter; a step counter would stop counting in bfloat16.
        saved = chain.from_iterable(group["params"] for group in state_dict["param_groups"])
        own = chain.from_iterable(group["params"] for group in self.param_groups)
        for key, p in zip(saved, own, strict=True):
            for name in self._counters & state_dict["state"].get(key, {}).keys():
                self.state[p][name] = state_dict["state"][key][name].to(p.device, copy=True)

    def __getstate__(self) -> dict[str, Any]:
        kept = ("rule", "_looks_elsewhere", "_counters", "_state_names")
        return {**super().__getstate__(), **{name: getattr(self, name) for name in kept}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._forget()

    def _forget(self) -> None:
        """Drop what is only kept to be quick; it is made again from the groups and the state."""
        self._settings = list(_to_group(self.rule))
        self._known_rules: dict[int, tuple[list[Any], Rule]] = {}
        self._known_workers: dict[int, tuple[list[int], list[Worker]]] = {}

    def _check_group(self, group: dict[str, Any]) -> None:
        check_number("lr", group["lr"], rules.POSITIVE)
        check_number("weight_decay", group["weight_decay"], rules.NON_NEGATIVE)
        if "weight_decay" not in self._settings:
            _refuse_second_decay(self.rule, group["weight_decay"])
        for name, value in _from_group(self.rule, group).hyperparameters().items():
            if isinstance(value, Tensor) and value.numel() != 1:
                raise ValueError(f"{name} has shape {list(value.shape)}, but a group has one value: give it a number")
        for p in group["params"]:
            if not p.is_floating_point():
                raise TypeError(f"params must be real floating-point tensors; one of them is {p.dtype}")

    def _rule(self, index: int, group: dict[str, Any]) -> Rule:
        """The rule with the hyperparameters of this group; made anew when one of them has been turned."""
        values = [group[name] for name in self._settings]
        if index not in self._known_rules or self._known_rules[index][0] != values:
            self._known_rules[index] = values, _from_group(self.rule, group)
        return self._known_rules[index][1]

    def _workers(self, index: int, group: dict[str, Any]) -> list[Worker]:
        """Who steps this group; chosen anew when other parameters have a gradient than at the step before."""
        params = [p for p in group["params"] if p.grad is not None]
        key = [id(p) for p in params]
        if index not in self._known_workers or self._known_workers[index][0] != key:
            self._known_workers[index] = key, self._new_workers(params)
        return self._known_workers[index][1]

    def _new_workers(self, params: list[Tensor]) -> list[Worker]:
        if not params:
            return []
        states = [self._state(p) for p in params]
        if has_kernel(self.rule) and all(suits_kernel(p) for p in params):
            return [_Fused(params, states)]
        together: dict[Any, list[int]] = {}
        for i, (p, state) in enumerate(zip(params, states, strict=True)):
            counts = tuple(state[name].item() for name in sorted(self._counters))
            alone = i if p.device.type == "cpu" and p.numel() > PIECE else None
            together.setdefault((p.dtype, p.device, counts, alone), []).append(i)
        return [
            _Readable([params[i] for i in chosen], [states[i] for i in chosen], self._counters)
            for chosen in together.values()
        ]

    def _state(self, p: Tensor) -> State:
        """The state of one parameter: tensors of its shape, and counters without axes."""
        if not self.state[p]:
            x = p.detach().reshape(-1)
            fresh = {**self.rule.init(x), **({"true_x": x.clone()} if self._looks_elsewhere else {})}
            self.state[p] = {
                name: value.reshape(()) if name in self._counters else value.reshape(p.shape)
                for name, value in fresh.items()
            }
        return self.state[p]


def _to_group(rule: Rule) -> dict[str, Any]:
    """The hyperparameters under the names they have in a group."""
    values: dict[str, Any] = rule.hyperparameters()
    if "rho" in values:
        values["momentum"] = values.pop("rho")
    if "beta1" in values and "beta2" in values:
        values["betas"] = values.pop("beta1"), values.pop("beta2")
    return values


def _from_group(rule: Rule, group: Mapping[str, Any]) -> Rule:
    """The rule with the hyperparameters that stand in a group."""
    values = {name: group[name] for name in _to_group(rule)}
    if "rho" in rule.hyperparameters():
        values["rho"] = values.pop("momentum")
    if "betas" in values:
        values["beta1"], values["beta2"] = values.pop("betas")
    return replace(rule, **values)


def _refuse_second_decay(rule: Rule, weight_decay: Number) -> None:
    if weight_decay and _owns_weight_decay(rule):
        raise ValueError(
            f"weight_decay = {weight_decay} would be L2 on top of the weight_decay that {type(rule).__name__} has "
            "itself: set it in the rule, and leave this one at 0"
        )


def _owns_weight_decay(rule: Rule) -> bool:
    inner = getattr(rule, "inner", None)
    return "weight_decay" in rule.hyperparameters() or (isinstance(inner, Rule) and _owns_weight_decay(inner))


class Worker(Protocol):
    """Who steps some of the parameters of a group, all with the same settings."""

    def step(self, rule: Rule, lr: Number, weight_decay: Number, maximize: bool) -> None: ...


# The readable way -----------------------------------------------------------------------------------------------------


class _Readable:
    """Parameters that are stepped by the rule itself, as one flat vector; their states become views of flat ones."""

    def __init__(self, params: list[Tensor], states: list[State], counters: set[str]) -> None:
        self.params = params
        self.sizes = [p.numel() for p in params]
        self.flat, self.counts = {}, {}
        for name in states[0]:
            if name in counters:
                self.counts[name] = states[0][name].reshape(1).to(torch.float64, copy=True)
                views = [self.counts[name].view(())] * len(states)
            else:
                self.flat[name] = torch.cat([state[name].reshape(-1) for state in states])
                views = self._split(self.flat[name])
            for state, view in zip(states, views, strict=True):
                state[name] = view

    def step(self, rule: Rule, lr: Number, weight_decay: Number, maximize: bool) -> None:
        point = _flatten(self.params)
        g = _flatten([gradient(p) for p in self.params])
        if maximize:
            g = -g
        if isinstance(weight_decay, Tensor) or weight_decay != 0:
            g = g + weight_decay * point
        x = self.flat.get("true_x", point)
        state = {name: value for name, value in self.flat.items() if name != "true_x"}
        counts = self.counts
        for x_part, g_part, *parts in zip(_pieces(x), _pieces(g), *map(_pieces, state.values()), strict=True):
            part = dict(zip(state, parts, strict=True))
            new_x, new = rule.step(x_part, g_part, {**part, **self.counts}, lr)
            x_part.copy_(new_x)
            for name in part:
                part[name].copy_(new[name])
            counts = {name: new[name] for name in counts}
        for name in counts:
            self.counts[name].copy_(counts[name])
        if "true_x" in self.flat:
            x = rule.gradient_point(x, {**state, **self.counts})
        if x.data_ptr() != self.params[0].data_ptr():
            torch._foreach_copy_(self.params, self._split(x))

    def _split(self, flat: Tensor) -> list[Tensor]:
        return [part.view(p.shape) for part, p in zip(flat.split(self.sizes), self.params, strict=True)]


def _flatten(tensors: list[Tensor]) -> Tensor:
    """One vector of all; a single contiguous tensor is not copied, so that a step can write to it."""
    return tensors[0].detach().reshape(-1) if len(tensors) == 1 else torch.cat([t.reshape(-1) for t in tensors])


def _pieces(x: Tensor) -> list[Tensor]:
    """Views of `PIECE` elements on the CPU; the whole where there is no cache to stay in."""
    return list(x.split(PIECE)) if x.device.type == "cpu" and len(x) > PIECE else [x]


def gradient(p: Tensor) -> Tensor:
    """The gradient of a parameter; TypeError if it is sparse."""
    g = p.grad
    assert g is not None
    if g.layout is not torch.strided:
        raise TypeError(
            f"the gradient of a parameter of shape {list(p.shape)} is sparse ({g.layout}), but rules step dense "
            "vectors: use sparse=False in the embedding, or p.grad = p.grad.to_dense() before the step"
        )
    return g


# The fused way --------------------------------------------------------------------------------------------------------


class _Fused:
    """Parameters that are stepped in place by one of torch's fused kernels."""

    def __init__(self, params: list[Tensor], states: list[State]) -> None:
        # The kernel walks through memory, so that states and gradients must lie there as their parameter does. It
        # counts in float32, for each parameter apart.
        self.params = params
        for p, state in zip(params, states, strict=True):
            for name, value in state.items():
                state[name] = value.float() if name == "t" else _laid_out(value, p)
        self.states = {name: [state[name] for state in states] for name in states[0]}

    def step(self, rule: Rule, lr: Number, weight_decay: Number, maximize: bool) -> None:
        grads = [_laid_out(gradient(p), p) for p in self.params]
        settings = {"lr": lr, "weight_decay": weight_decay, "maximize": maximize, "fused": True}
        KERNELS[type(rule)](rule, self.params, grads, self.states, settings)


def _laid_out(value: Tensor, p: Tensor) -> Tensor:
    return value if value.stride() == p.stride() else torch.empty_like(p).copy_(value)


def has_kernel(rule: Rule) -> bool:
    """Is this exactly a rule that torch has a fused kernel for, with numbers as hyperparameters?"""
    plain = not any(isinstance(value, Tensor) for value in rule.hyperparameters().values())
    return type(rule) in KERNELS and plain and getattr(rule, "bias_correction", True)


def suits_kernel(p: Tensor) -> bool:
    """Is the parameter of a kind that the kernels step exactly as the rule does?"""
    dense = p.is_contiguous() or (p.dim() == 4 and p.is_contiguous(memory_format=torch.channels_last))
    return dense and p.dtype in (torch.float32, torch.float64) and p.device.type in ("cpu", "cuda")


def _sgd_kernel(rule: Any, params: list[Tensor], grads: list[Tensor], states: Any, settings: dict[str, Any]) -> None:
    rho = 0.0 if isinstance(rule, rules.SGD) else rule.rho
    buffers = states.get("v", [None] * len(params))
    sgd(params, grads, buffers, momentum=rho, dampening=0.0, nesterov=isinstance(rule, rules.Nesterov), **settings)


def _adam_kernel(rule: Any, params: list[Tensor], grads: list[Tensor], states: Any, settings: dict[str, Any]) -> None:
    kernel: Callable[..., None] = adam
    if isinstance(rule, rules.AdamW):
        kernel, settings = adamw, {**settings, "weight_decay": rule.weight_decay}
    kernel(
        *(params, grads, states["m"], states["v"], states.get("v_max", []), states["t"]),
        amsgrad=isinstance(rule, rules.AMSGrad),
        beta1=rule.beta1,
        beta2=rule.beta2,
        eps=rule.eps,
        **settings,
    )


KERNELS: dict[type[Rule], Callable[..., None]] = {
    rules.SGD: _sgd_kernel,
    rules.Momentum: _sgd_kernel,
    rules.Nesterov: _sgd_kernel,
    rules.Adam: _adam_kernel,
    rules.AdamW: _adam_kernel,
    rules.AMSGrad: _adam_kernel,
}
