"""Against overfitting: penalties on the weights, a bound on their norm, two loss functions, early stopping.

A penalty adds λ R(W) to the loss::

    L(W) = 1/N Σᵢ Lᵢ(W) + λ R(W)

It is a frozen dataclass with three pure functions of parameters ``x [..., P]`` and of the `Place` where it acts: its
value, its gradient, and, for those that are no gradient, what happens to x *after* the step of the rule. Leading axes
are independent runs, and λ may be a tensor ``[..., 1]``, as everywhere in this package.

Symbols: ``x`` parameters, ``λ`` (`lam`) the strength, in units of loss per unit of R, ``α`` the learning rate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn

from lrlab.rules import NON_NEGATIVE, POSITIVE, Number, check_number, number

# Where a penalty acts -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Place:
    """Which of the P parameters a penalty touches, and which of them belong together.

    Attributes:
        mask: ``[P]``, 1 where the penalty acts and 0 elsewhere.
        unit: int64 ``[P]``, the number of the unit that a parameter leads into: all weights of one row of a matrix, or
            of one filter of a convolution, have the same.
        units: how many units there are.
    """

    mask: Tensor
    unit: Tensor
    units: int


def everywhere(x: Tensor) -> Place:
    """All of x ``[..., P]``, as one unit: for a point on a surface.

    >>> everywhere(torch.zeros(5, 2)).mask
    tensor([1., 1.])
    """
    one_unit = torch.zeros(x.shape[-1], dtype=torch.long, device=x.device)
    return Place(torch.ones(x.shape[-1], dtype=x.dtype, device=x.device), one_unit, 1)


def place(model: nn.Module, on: str | Sequence[str] = "weights") -> Place:
    """The place of a network's trainable parameters, in the order of the flat vector of a `Run`.

    Args:
        model: the network.
        on: ``"weights"``: matrices and filters, but not biases and not the scales of normalisations, which cannot
            overfit much and must be free to shift; ``"all"``; or names from ``model.named_parameters()``.

    Raises:
        ValueError: a name that the model does not have, or nothing is touched.

    >>> layer = nn.Linear(2, 3)                           # 6 weights, 3 biases
    >>> place(layer).mask
    tensor([1., 1., 1., 1., 1., 1., 0., 0., 0.])
    >>> place(layer).unit.tolist()
    [0, 0, 1, 1, 2, 2, 3, 4, 5]
    """
    trainable = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    chosen = _chosen(trainable, on)
    masks, units, count = [], [], 0
    for name, weight in trainable.items():
        rows = len(weight) if weight.dim() else 1
        masks.append(torch.full((weight.numel(),), float(name in chosen), dtype=weight.dtype, device=weight.device))
        row = torch.arange(rows, device=weight.device).repeat_interleave(weight.numel() // rows)
        units.append(count + row)
        count += rows
    return Place(torch.cat(masks), torch.cat(units), count)


def _chosen(trainable: Mapping[str, Tensor], on: str | Sequence[str]) -> set[str]:
    if on == "all":
        chosen = set(trainable)
    elif on == "weights":
        chosen = {name for name, weight in trainable.items() if weight.dim() >= 2}
    elif isinstance(on, str):
        raise ValueError(f"on must be 'weights', 'all' or a tuple of parameter names, got {on!r}")
    else:
        chosen = set(on)
        if unknown := sorted(chosen - set(trainable)):
            raise ValueError(f"on names the parameter {unknown[0]!r}; the model has {', '.join(trainable)}")
    if not chosen:
        raise ValueError(f"on = {on!r} touches no parameter of this model; it has {', '.join(trainable) or 'none'}")
    return chosen


# Penalties ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Penalty:
    """λ R(W), added to any loss. Subclasses define `each` and `slope`, element by element.

    Parameters
    ----------
    on
        The parameters it touches: ``"weights"``, ``"all"`` or a tuple of their names; see `place`.
    """

    on: str | tuple[str, ...] = field(default="weights", kw_only=True)

    def __post_init__(self) -> None:
        for item in fields(self):
            if "range" in item.metadata:
                check_number(f"{type(self).__name__}: {item.name}", getattr(self, item.name), item.metadata["range"])

    def hyperparameters(self) -> dict[str, Number]:
        """The numeric hyperparameters by name, in the order of the signature."""
        return {item.name: getattr(self, item.name) for item in fields(self) if "range" in item.metadata}

    def each(self, x: Tensor) -> Tensor:
        """λ r(xᵢ), what each parameter adds to the loss, ``[..., P]``."""
        return torch.zeros_like(x)

    def slope(self, x: Tensor) -> Tensor:
        """Its derivative λ r′(xᵢ), ``[..., P]``."""
        return torch.zeros_like(x)

    def __call__(self, x: Tensor, place: Place) -> Tensor:
        """λ R(W), ``[...]``: one number for each run."""
        return (place.mask * self.each(x)).sum(-1)

    def gradient(self, x: Tensor, place: Place) -> Tensor:
        """λ ∇R(W), ``[..., P]``, to be added to the gradient of the loss."""
        return place.mask * self.slope(x)

    def after(self, x: Tensor, lr: Number, place: Place) -> Tensor:
        """What becomes of x after a step of the rule with rate α, ``[..., P]``: mostly x itself."""
        return x


@dataclass(frozen=True)
class L2(Penalty):
    """The sum of squares: every weight is pulled towards 0 in proportion to its size, and none arrives there.

    ::

        R(W) = Σ w²             λ ∇R = 2 λ w

    Parameters
    ----------
    lam
        λ ≥ 0, in loss per squared weight. 1e-4 to 1e-3 is usual.
    on
        By name only: ``"weights"``, ``"all"`` or a tuple of parameter names.

    Differs from torch: ``weight_decay`` there (and in `Run`) is the factor of w itself in the gradient, so it is 2λ,
    and it touches biases too. Under SGD this is the same as shrinking w by (1 − 2αλ) before each step; under Adam
    it is not, since Adam divides the pull by the size of the gradients: `lrlab.rules.AdamW`.

    Examples
    --------
    >>> w = torch.tensor([3.0, -4.0])
    >>> L2(lam=0.1)(w, everywhere(w)), L2(lam=0.1).gradient(w, everywhere(w))
    (tensor(2.5000), tensor([ 0.6000, -0.8000]))

    Source: Hoerl and Kennard 1970, Ridge regression; Krogh and Hertz 1991, A simple weight decay can improve
    generalization.
    """

    lam: Number = number(1e-4, NON_NEGATIVE)

    def each(self, x: Tensor) -> Tensor:
        return self.lam * x**2

    def slope(self, x: Tensor) -> Tensor:
        return 2 * self.lam * x


@dataclass(frozen=True)
class L1(Penalty):
    """The sum of absolute values: every weight is pulled towards 0 by the same amount, and the useless ones arrive.

    ::

        R(W) = Σ |w|            λ ∇R = λ sign(w),   0 at w = 0

    Parameters
    ----------
    lam
        λ ≥ 0, in loss per unit of weight. 1e-4 is usual; 1e-2 leaves few weights.
    proximal
        False: the gradient above. It steps *over* zero and back, so weights become small but not 0. True: nothing is
        added to the gradient; after each step of the rule comes the exact step of the penalty alone, which stops *at*
        zero (soft thresholding)::

            w ← sign(w) · max(|w| − αλ, 0)

        With SGD this is proximal gradient descent (ISTA). With an adaptive rule α is not the length of a step, so the
        minimum is another one than that of L + λR.
    on
        By name only: ``"weights"``, ``"all"`` or a tuple of parameter names.

    Examples
    --------
    >>> w = torch.tensor([3.0, -0.05])
    >>> L1(lam=0.1).gradient(w, everywhere(w))
    tensor([ 0.1000, -0.1000])
    >>> L1(lam=0.1, proximal=True).after(w, 1.0, everywhere(w))
    tensor([2.9000, -0.0000])

    Source: Tibshirani 1996, Regression shrinkage and selection via the lasso; Daubechies, Defrise and De Mol 2004 for
    the proximal step.
    """

    lam: Number = number(1e-4, NON_NEGATIVE)
    proximal: bool = False

    def each(self, x: Tensor) -> Tensor:
        return self.lam * x.abs()

    def slope(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x) if self.proximal else self.lam * x.sign()

    def after(self, x: Tensor, lr: Number, place: Place) -> Tensor:
        return soft_threshold(x, lr * self.lam * place.mask) if self.proximal else x


@dataclass(frozen=True)
class ElasticNet(Penalty):
    """Both at once: L1 picks the weights, L2 keeps correlated ones together.

    ::

        R(W) = Σ β w² + |w|     λ ∇R = λ (2 β w + sign(w))

    Parameters
    ----------
    lam
        λ ≥ 0, in loss per unit of weight.
    beta
        β ≥ 0, the weight of the squares against the absolute values. 0 is L1; for large β it is `L2` with λβ.
    proximal
        As in `L1`: the exact step of λR after each step of the rule, ``w ← S(w, αλ) / (1 + 2 αλβ)`` with the soft
        threshold S.
    on
        By name only: ``"weights"``, ``"all"`` or a tuple of parameter names.

    Differs from scikit-learn, whose ``ElasticNet(alpha, l1_ratio)`` has α (ρ |w| + ½ (1 − ρ) w²): λ = αρ and
    β = (1 − ρ) / 2ρ.

    Examples
    --------
    >>> w = torch.tensor([3.0, -4.0])
    >>> ElasticNet(lam=0.1, beta=0.5)(w, everywhere(w))
    tensor(1.9500)

    Source: Zou and Hastie 2005, Regularization and variable selection via the elastic net.
    """

    lam: Number = number(1e-4, NON_NEGATIVE)
    beta: Number = number(0.5, NON_NEGATIVE)
    proximal: bool = False

    def each(self, x: Tensor) -> Tensor:
        return self.lam * (self.beta * x**2 + x.abs())

    def slope(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x) if self.proximal else self.lam * (2 * self.beta * x + x.sign())

    def after(self, x: Tensor, lr: Number, place: Place) -> Tensor:
        if not self.proximal:
            return x
        amount = lr * self.lam * place.mask
        return soft_threshold(x, amount) / (1 + 2 * self.beta * amount)


@dataclass(frozen=True)
class MaxNorm(Penalty):
    """A bound in place of a pull: no unit's incoming weights are longer than c.

    ::

        w ← w · min(1, c / ‖w‖₂)          after each step, w all weights that lead into one unit

    Parameters
    ----------
    c
        The greatest length, > 0. 2 to 4 is usual, with dropout and a large learning rate.
    on
        By name only: ``"weights"``, ``"all"`` or a tuple of parameter names. A bias is a unit of its own.

    Examples
    --------
    >>> w = torch.tensor([3.0, -4.0])
    >>> MaxNorm(c=1.0).after(w, 0.1, everywhere(w))
    tensor([ 0.6000, -0.8000])

    Source: Srebro and Shraibman 2005, Rank, trace-norm and max-norm; Srivastava et al. 2014, Dropout, section 5.1.
    """

    c: Number = number(3.0, POSITIVE)

    def after(self, x: Tensor, lr: Number, place: Place) -> Tensor:
        squares = torch.zeros(*x.shape[:-1], place.units, dtype=x.dtype, device=x.device)
        lengths = squares.index_add(-1, place.unit, x**2).sqrt()
        shrink = (self.c / lengths.clamp(min=torch.finfo(x.dtype).tiny)).clamp(max=1)
        return torch.where(place.mask > 0, x * shrink[..., place.unit], x)


PENALTIES: dict[str, type[Penalty]] = {kind.__name__: kind for kind in (L2, L1, ElasticNet, MaxNorm)}


def soft_threshold(x: Tensor, amount: Number | Tensor) -> Tensor:
    """Towards zero by ``amount``, and not beyond: ``sign(x) · max(|x| − amount, 0)``, the proximal step of |x|.

    >>> soft_threshold(torch.tensor([3.0, -0.5, -2.0]), 1.0)
    tensor([ 2., -0., -1.])
    """
    return x.sign() * (x.abs() - amount).clamp(min=0)


def zeros(x: Tensor, place: Place) -> Tensor:
    """The share of the touched parameters that are exactly 0, ``[...]``: the sparsity.

    >>> zeros(torch.tensor([0.0, 1.0]), everywhere(torch.zeros(2)))
    tensor(0.5000)
    """
    return (place.mask * (x == 0)).sum(-1) / place.mask.sum()


# Loss functions -------------------------------------------------------------------------------------------------------


def hinge(outputs: Tensor, targets: Tensor) -> Tensor:
    """The loss of the multiclass support vector machine: every wrong class must stay behind by 1.

    ::

        L = 1/N Σᵢ Σ_{j ≠ yᵢ} max(0, f_j − f_yᵢ + 1)

    Args:
        outputs: scores f ``[N, classes]``.
        targets: the right classes y, int64 ``[N]``.

    Returns:
        a number ≥ 0; 0 once each right score leads by 1. About ``classes − 1`` while all scores are alike.

    Raises:
        ValueError or TypeError: shapes that do not belong together, or labels that are no class indices.

    Differs from torch: ``nn.MultiMarginLoss`` divides by the number of classes too.

    >>> hinge(torch.tensor([[3.2, 5.1, -1.7]]), torch.tensor([0]))
    tensor(2.9000)

    Source: Weston and Watkins 1999, Support vector machines for multi-class pattern recognition.
    """
    _check_labels("hinge", outputs, targets)
    right = outputs.gather(-1, targets[:, None])
    margins = (outputs - right + 1).clamp(min=0)
    return (margins.sum(-1) - 1).mean()  # the right class adds max(0, 1) = 1


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """The loss of softmax regression: how surprised the network is by the right class, in nats.

    ::

        L = 1/N Σᵢ −log softmax(f)_yᵢ = 1/N Σᵢ (log Σⱼ e^{f_j} − f_yᵢ)

    Args:
        outputs: scores (logits) f ``[N, classes]``.
        targets: the right classes y, int64 ``[N]``.

    Returns:
        a number ≥ 0; log(classes) while all scores are alike, 2.30 for ten.

    Raises:
        ValueError or TypeError: as for `hinge`.

    Differs from torch / keras: not at all; keras must be told ``from_logits=True``.

    >>> cross_entropy(torch.tensor([[3.2, 5.1, -1.7]]), torch.tensor([0]))
    tensor(2.0404)
    """
    _check_labels("cross_entropy", outputs, targets)
    return (outputs.logsumexp(-1) - outputs.gather(-1, targets[:, None])[:, 0]).mean()


def _check_labels(name: str, outputs: Tensor, targets: Tensor) -> None:
    if targets.dtype != torch.int64:
        raise TypeError(f"{name}: targets must be class indices of type int64, got {targets.dtype}; use .long()")
    if outputs.dim() != 2 or targets.shape != outputs.shape[:1]:
        shapes = f"{list(outputs.shape)} and {list(targets.shape)}"
        raise ValueError(f"{name}: outputs must be [N, classes] and targets [N], got {shapes}")


# Early stopping -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class EarlyStopping:
    """Ends a run when its validation loss has stopped falling: the simplest regularisation, and the simplest schedule.

    An observation is *good* when it beats the best one so far by more than `min_delta`; the first finite one is good.
    Every other one is *bad*, and so is NaN or an infinity. The run ends **with the `patience`-th bad observation in a
    row**.

    Like the state of an update rule, its memory is a value outside of it; whoever keeps an old one can go back to it.

    Args:
        patience: the number of bad observations in a row that end the run: a whole number ≥ 1.
        min_delta: the improvement that counts, ≥ 0, in the unit of the metric.
        restore_best: go back to the weights of the best observation, bit by bit, when the run ends.
        mode: "min" for a loss, "max" for an accuracy.

    Differs from keras, which counts in the same way but has restore_best False; Lightning counts the same.

    Example:
        >>> stopping = EarlyStopping(patience=2)
        >>> state = stopping.init()
        >>> for loss in (1.0, 0.8, 0.9, float("nan")):
        ...     state = stopping.observe(loss, state)
        >>> state
        {'best': 0.8, 'bad': 2, 'seen': 4, 'best_at': 2, 'stop': True}

    Source: Prechelt 1998, Early stopping, but when?
    """

    patience: int = 10
    min_delta: float = 0.0
    restore_best: bool = True
    mode: str = "min"

    def __post_init__(self) -> None:
        if isinstance(self.patience, bool) or not isinstance(self.patience, int) or self.patience < 1:
            raise ValueError(f"EarlyStopping: patience must be a whole number of at least 1, got {self.patience!r}")
        is_number = isinstance(self.min_delta, Real) and not isinstance(self.min_delta, bool)
        if not is_number or not 0 <= self.min_delta < math.inf:
            raise ValueError(f"EarlyStopping: min_delta must be a number in [0, inf), got {self.min_delta!r}")
        if self.mode not in ("min", "max"):
            raise ValueError(f"EarlyStopping: mode must be 'min' (a loss) or 'max' (an accuracy), got {self.mode!r}")

    def init(self) -> dict[str, Any]:
        """The state before the first observation."""
        return {"best": None, "bad": 0, "seen": 0, "best_at": 0, "stop": False}

    def observe(self, metric: float | Tensor, state: Mapping[str, Any]) -> dict[str, Any]:
        """The state after one more observation; ``state["stop"]`` says whether to end. `state` stays as it was.

        Raises:
            ValueError: `state` is not the state of an EarlyStopping.
        """
        if set(state) != set(self.init()):
            keys = list(self.init())
            raise ValueError(f"EarlyStopping: state must have the keys of init(), {keys}, got {list(state)}")
        metric, seen = float(metric), state["seen"] + 1
        if self._improves(metric, state["best"]):
            return {"best": metric, "bad": 0, "seen": seen, "best_at": seen, "stop": False}
        bad = state["bad"] + 1
        return {**state, "bad": bad, "seen": seen, "stop": bad >= self.patience}

    def metric(self, loss: float, accuracy: float) -> float:
        """Which of the two it observes."""
        return loss if self.mode == "min" else accuracy

    def _improves(self, metric: float, best: float | None) -> bool:
        if not math.isfinite(metric):
            return False
        if best is None:
            return True
        gain = best - metric if self.mode == "min" else metric - best
        return gain > self.min_delta
