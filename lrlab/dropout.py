"""Dropout from scratch: masks, both conventions, the average over all masks and what stands in for it.

In training, each unit is silenced at random, new in every step and for every example::

    mask ~ Bernoulli(keep)         1 keeps a unit, 0 drops it
    out  = mask · x

so that its expectation is ``keep · x``. At inference no unit is dropped, and the expectation must be the same. There
are two ways, and with them two meanings of the letter p, which cause more confusion than anything else here:

- the lecture's form, `Dropout`: multiply by ``keep`` at inference; p is the probability to **keep** (Srivastava);
- the inverted form, `InvertedDropout`: divide by ``keep`` in training; p is the probability to **drop** (torch, keras).

``p_drop = 1 − p_keep``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from numbers import Real
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

MOST_UNITS = 20  # 2²⁰ masks are a million rows


def draw_mask(x: Tensor, keep: float) -> Tensor:
    """A mask of the shape of x: 1 with probability ``keep``, else 0, from torch's global generator.

    Under ``torch.func.vmap(..., randomness="different")`` every run gets its own.
    """
    return torch.empty_like(x).bernoulli_(keep)


# The two conventions --------------------------------------------------------------------------------------------------


class Dropout(nn.Module):
    """The lecture's dropout: nothing is rescaled in training, every unit is scaled down at inference.

    ::

        training:   out = mask · x,   mask ~ Bernoulli(keep)
        inference:  out = keep · x

    Args:
        keep: the probability p in (0, 1] that a unit stays. 0.5 for hidden units, 0.8 for inputs are usual.

    Shapes: any. Each number of x is a unit, for each example on its own.
    Differs from torch / keras, whose ``p`` is the probability to *drop*: ``Dropout(keep)`` is
    ``InvertedDropout(1 - keep)``, up to the factor ``keep`` in the outputs (and in the gradients).

    >>> layer = Dropout(keep=0.5)
    >>> layer(torch.ones(100)).unique()
    tensor([0., 1.])
    >>> layer.eval()(torch.ones(100)).unique()
    tensor([0.5000])

    Source: Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov 2014, Dropout, section 4.
    """

    def __init__(self, keep: float = 0.5) -> None:
        super().__init__()
        self.keep = _check_probability("Dropout: keep, the probability to keep a unit,", keep, "(0, 1]")

    def forward(self, x: Tensor) -> Tensor:
        return draw_mask(x, self.keep) * x if self.training else self.keep * x

    def extra_repr(self) -> str:
        return f"keep={self.keep:g}"


class InvertedDropout(nn.Module):
    """The libraries' dropout: what stays is scaled up in training, and inference does nothing.

    ::

        training:   out = mask / (1 − p) · x,   mask ~ Bernoulli(1 − p)
        inference:  out = x

    Args:
        p: the probability in [0, 1) that a unit is **dropped**.

    Shapes: any. Each number of x is a unit, for each example on its own.
    Differs from torch: not at all, bit by bit under the same seed on the CPU. From the lecture's `Dropout(keep)`:
    p = 1 − keep, and the scale.

    >>> layer = InvertedDropout(p=0.5)
    >>> layer(torch.ones(100)).unique()
    tensor([0., 2.])
    >>> layer.eval()(torch.ones(100)).unique()
    tensor([1.])

    Source: as `Dropout`, section 10; torch's ``nn.Dropout``.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = _check_probability("InvertedDropout: p, the probability to drop a unit,", p, "[0, 1)")

    def forward(self, x: Tensor) -> Tensor:
        keep = 1 - self.p
        return draw_mask(x, keep) / keep * x if self.training else x

    def extra_repr(self) -> str:
        return f"p={self.p:g}"


class SpatialDropout(nn.Module):
    """Drops whole channels of a feature map, since neighbours in a channel say nearly the same.

    ::

        training:   out[n, c] = mask[n, c] / (1 − p) · x[n, c],   mask ~ Bernoulli(1 − p)
        inference:  out = x

    Args:
        p: the probability in [0, 1) that a channel is dropped.

    Shapes: ``[N, C, ...]``, and as many dimensions as you like after the channels.
    Differs from torch's ``nn.Dropout2d``: not at all.

    Source: Tompson, Goroshin, Jain, LeCun and Bregler 2015, Efficient object localization using convolutional networks.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = _check_probability("SpatialDropout: p, the probability to drop a channel,", p, "[0, 1)")

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() < 3:
            raise ValueError(f"SpatialDropout: x must be [N, channels, ...] with places behind it, got {list(x.shape)}")
        keep = 1 - self.p
        one_each = x[(slice(None), slice(None), *[slice(1)] * (x.dim() - 2))]
        return draw_mask(one_each, keep) / keep * x if self.training else x

    def extra_repr(self) -> str:
        return f"p={self.p:g}"


class DropConnect(nn.Linear):
    """A linear layer that drops weights in place of units: one mask for the batch, 2^(weights) of them.

    ::

        training:   out = x (mask / (1 − p) · W)ᵀ + b,   mask ~ Bernoulli(1 − p), of the shape of W
        inference:  out = x Wᵀ + b

    Args:
        inputs, outputs: the widths.
        p: the probability in [0, 1) that a weight is dropped.
        bias: whether there is b; it is never dropped.

    Differs from the paper, which draws a mask for each example and samples the pre-activations at inference.

    Source: Wan, Zeiler, Zhang, LeCun and Fergus 2013, Regularization of neural networks using DropConnect.
    """

    def __init__(self, inputs: int, outputs: int, p: float = 0.5, bias: bool = True) -> None:
        super().__init__(inputs, outputs, bias=bias)
        self.p = _check_probability("DropConnect: p, the probability to drop a weight,", p, "[0, 1)")

    def forward(self, x: Tensor) -> Tensor:
        keep = 1 - self.p
        if not self.training:
            return super().forward(x)
        # Not drawn in place: under vmap one weight may serve several runs, and each needs a mask of its own.
        mask = torch.bernoulli(torch.full_like(self.weight, keep))
        return nn.functional.linear(x, mask / keep * self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, p={self.p:g}"


LAYERS = (Dropout, InvertedDropout, SpatialDropout, DropConnect, nn.modules.dropout._DropoutNd)


# The average over masks -----------------------------------------------------------------------------------------------


def all_masks(units: int) -> Tensor:
    """Every mask of so many units, ``[2^units, units]``, float64.

    Raises:
        ValueError: fewer than 1 unit or more than 20.

    >>> all_masks(2).tolist()
    [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
    """
    if isinstance(units, bool) or not isinstance(units, int) or not 1 <= units <= MOST_UNITS:
        raise ValueError(
            f"all_masks: units must be a whole number from 1 to {MOST_UNITS} (2^{MOST_UNITS} masks), got {units!r}; "
            "for more, take samples: monte_carlo"
        )
    return torch.tensor(list(itertools.product((0.0, 1.0), repeat=units)), dtype=torch.float64)


def expectation(f: Callable[[Tensor], Tensor], units: int, keep: float) -> Tensor:
    """The integral over masks, exactly: `Σ_m P(m) f(m)` with `P(m) = keep^ones (1 − keep)^zeros`.

    Args:
        f: a function of masks ``[M, units]`` that gives ``[M, ...]``.
        units: how many, up to 20.
        keep: the probability to keep a unit, in (0, 1].

    Returns:
        ``[...]``.

    The sum of two inputs, as on every slide about dropout: a quarter of each of the four masks, half the full sum.

    >>> w, x = torch.tensor([3.0, 1.0]).double(), torch.tensor([1.0, 2.0]).double()
    >>> expectation(lambda masks: (masks * w * x).sum(-1), units=2, keep=0.5)
    tensor(2.5000, dtype=torch.float64)
    """
    keep = _check_probability("expectation: keep, the probability to keep a unit,", keep, "(0, 1]")
    masks = all_masks(units)
    ones = masks.sum(-1)
    chance = keep**ones * (1 - keep) ** (units - ones)
    values = f(masks)
    return torch.tensordot(chance.to(values.dtype), values, dims=1)


class Estimate(NamedTuple):
    """What Monte-Carlo dropout gives: the mean over masks and the deviation between them, each ``[N, classes]``."""

    mean: Tensor
    deviation: Tensor


def monte_carlo(model: nn.Module, x: Tensor, draws: int = 50, seed: int = 0) -> Estimate:
    """The average of the network's probabilities over random masks: an estimate of the integral over all of them.

    ::

        p(y | x) ≈ 1/M Σₘ softmax(f(x; mask m))            its error falls as 1/√M

    Only the dropout layers draw; everything else, such as batch normalisation, is as at inference. The model comes
    back in the mode it had, and torch's generators as they were.

    Args:
        model: gives logits ``[N, classes]`` and has a dropout layer, ours or torch's.
        x: ``[N, ...]``.
        draws: M, how many masks, at least 2.
        seed: of the masks.

    Raises:
        ValueError: fewer than two draws, or a model without dropout, whose draws would all be alike.

    Source: Gal and Ghahramani 2016, Dropout as a Bayesian approximation.
    """
    if isinstance(draws, bool) or not isinstance(draws, int) or draws < 2:
        raise ValueError(f"monte_carlo: draws must be a whole number of at least 2, got {draws!r}")
    with masks_at_inference(model), torch.random.fork_rng(_cuda_of(x)), torch.no_grad():
        torch.manual_seed(seed)
        probabilities = torch.stack([model(x).softmax(-1) for _ in range(draws)])
    return Estimate(probabilities.mean(0), probabilities.std(0))


@contextmanager
def masks_at_inference(model: nn.Module) -> Iterator[nn.Module]:
    """The model at inference, but with its dropout layers at work; afterwards every part is in the mode it had."""
    layers = [part for part in model.modules() if isinstance(part, LAYERS)]
    if not layers:
        raise ValueError("the model has no dropout layer: nothing in it is random. Add dropout.InvertedDropout(p)")
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    for layer in layers:
        layer.train()
    try:
        yield model
    finally:
        for part, training in modes:
            part.training = training


def log10_masks(units: int) -> float:
    """How many networks share the weights: the exponent of 2^units as a power of ten.

    >>> round(log10_masks(4096))
    1233
    """
    return units * math.log10(2)


def _cuda_of(x: Tensor) -> list[Any]:
    return [x.device] if x.is_cuda else []


def _check_probability(name: str, value: Any, allowed: str) -> float:
    """A probability as a float: "(0, 1]" for one to keep, "[0, 1)" for one to drop; both leave something."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number in {allowed}, got {value!r}")
    p = float(value)
    if not (0 < p <= 1 if allowed == "(0, 1]" else 0 <= p < 1):
        raise ValueError(f"{name} must be in {allowed}, got {value!r}")
    return p
