"""Two examples made into one, and what its label is then: soft labels, mixup, CutMix.

Both take a batch ``x [N, ...]`` with its labels and give another batch of the same size::

    x̃ = λ x + (1 − λ) x[partner]          ỹ = λ y + (1 − λ) y[partner]          λ ~ Beta(α, α)

ỹ is a *soft label*: the share of each class, summing to 1. Cross-entropy takes it as it takes a class,
``L = − Σ_k ỹ_k log softmax(f)_k``, so it is λ times the loss of the one class plus (1 − λ) times that of the other.

Everything random is a function of a seed, and drawn on the CPU: a seed means the same on every device.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

# Soft labels ----------------------------------------------------------------------------------------------------------


def soft_labels(y: Tensor, classes: int | None = None, dtype: torch.dtype = torch.float32) -> Tensor:
    """Labels as shares of the classes, ``[N, classes]``: a class index becomes 1 in its column, else 0.

    Args:
        y: class indices, int64 ``[N]``; or soft labels ``[N, classes]``, which come back as they are.
        classes: how many classes there are; needed for class indices.
        dtype: of the result.

    Raises:
        TypeError or ValueError: y is neither; an index outside 0 ... classes − 1 (looked at on the CPU only: on a GPU
            the look would stop the queue at every step).

    >>> soft_labels(torch.tensor([2, 0]), classes=3)
    tensor([[0., 0., 1.],
            [1., 0., 0.]])
    """
    if not isinstance(y, Tensor):
        raise TypeError(f"y must be a tensor of labels, got {type(y).__name__}; torch.as_tensor(y)")
    if y.is_floating_point() and y.dim() == 2:
        return y.to(dtype)
    if y.dtype != torch.int64 or y.dim() != 1:
        raise TypeError(
            f"y must be class indices, int64 [N], or soft labels, floating point [N, classes]; got {y.dtype} "
            f"{list(y.shape)}. Whole numbers: y.long(); other targets cannot be mixed as classes"
        )
    if classes is None:
        raise ValueError("y holds class indices: say how many classes there are, classes=10")
    if y.device.type == "cpu" and len(y) and not 0 <= int(y.min()) <= int(y.max()) < classes:
        raise ValueError(f"y must hold class indices from 0 to {classes - 1}, got {int(y.min())} to {int(y.max())}")
    return F.one_hot(y, classes).to(dtype)


def mix(a: Tensor, b: Tensor, lam: float | Tensor) -> Tensor:
    """``λ a + (1 − λ) b``, for pictures and for soft labels alike; λ may be one number, or one for each example."""
    if isinstance(lam, Tensor):
        lam = lam.view(-1, *[1] * (a.dim() - 1))
    return torch.lerp(b, a, lam)  # b + λ (a − b), in one pass over the memory


# Mixup ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mixup:
    """Trains on the straight lines between examples, where the network shall behave linearly.

    ::

        x̃ = λ x + (1 − λ) x[partner],   ỹ = λ y + (1 − λ) y[partner],   λ ~ Beta(α, α)

    ``partner`` is a random order of the batch. Small α: λ near 0 or 1, hardly mixed; α = 1: λ uniform in [0, 1].

    Args:
        alpha: α > 0. 0.1 to 0.4 on ImageNet, 1 on CIFAR-10 (paper).
        per_sample: draw one λ for each example; by default one for the whole batch, as the paper does.

    Keeps the label: no, and on purpose. It says how much of each class is in the picture.
    Differs from fastai, which draws one λ per example, takes max(λ, 1 − λ), and has α = 0.4; from torchvision's
    ``v2.MixUp``, whose partner is the example before (``x.roll(1)``): it relies on the batch being shuffled.

    >>> x, y = torch.eye(2), torch.tensor([0, 1])
    >>> mixed, soft = Mixup(alpha=1.0)(x, y, seed=3, classes=2)
    >>> torch.equal(mixed, soft)
    True

    Source: Zhang, Cisse, Dauphin and Lopez-Paz 2018, mixup: beyond empirical risk minimization.
    """

    alpha: float = 1.0
    per_sample: bool = False

    def __post_init__(self) -> None:
        _check_alpha("Mixup", self.alpha)
        if not isinstance(self.per_sample, bool):
            raise TypeError(f"Mixup: per_sample must be True or False, got {self.per_sample!r}")

    def __call__(self, x: Tensor, y: Tensor, seed: int = 0, classes: int | None = None) -> tuple[Tensor, Tensor]:
        """Another batch: ``x̃ [N, ...]`` and soft labels ``ỹ [N, classes]``.

        Args:
            x: floating point ``[N, ...]``, N ≥ 2.
            y: class indices ``[N]`` or soft labels ``[N, classes]``.
            seed: the same seed gives the same λ and the same partners.
            classes: how many classes, for class indices.
        """
        soft = _checked_batch("Mixup", x, y, classes)
        rng = np.random.default_rng(seed)
        lam = torch.from_numpy(rng.beta(self.alpha, self.alpha, len(x) if self.per_sample else 1)).to(x)
        partner = torch.from_numpy(rng.permutation(len(x))).to(x.device)
        return mix(x, x[partner], lam), mix(soft, soft[partner], lam)


# CutMix ---------------------------------------------------------------------------------------------------------------

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class CutMix:
    """Pastes a box of one picture into another; the label follows the area.

    ::

        box of H√(1 − λ) x W√(1 − λ) pixels around a random place,   λ ~ Beta(α, α)
        x̃ = x[partner] inside the box, x outside,   ỹ = λ' y + (1 − λ') y[partner],   λ' = the share outside

    λ' is not quite λ: what sticks out of the picture is cut off, and sides are whole pixels. One box for the batch.

    Args:
        alpha: α > 0; 1 in the paper.

    Keeps the label: no, on purpose, as `Mixup`; but what is pasted may be background, and the label does not know.
    Differs from torchvision's ``v2.CutMix`` only in the partner, as `Mixup` does.

    Source: Yun, Han, Oh, Chun, Choe and Yoo 2019, CutMix: regularization strategy to train strong classifiers.
    """

    alpha: float = 1.0

    def __post_init__(self) -> None:
        _check_alpha("CutMix", self.alpha)

    def __call__(self, x: Tensor, y: Tensor, seed: int = 0, classes: int | None = None) -> tuple[Tensor, Tensor]:
        """Another batch, as `Mixup` gives it; x must be pictures ``[N, C, H, W]``."""
        soft = _checked_batch("CutMix", x, y, classes)
        if x.dim() != 4:
            raise ValueError(f"CutMix: x must be pictures [N, C, H, W], got {list(x.shape)}; Mixup takes any shape")
        height, width = x.shape[-2:]
        rng = np.random.default_rng(seed)
        lam = rng.beta(self.alpha, self.alpha)
        cut = box(lam, (int(rng.integers(height)), int(rng.integers(width))), (height, width))
        partner = torch.from_numpy(rng.permutation(len(x))).to(x.device)
        return paste(x, x[partner], cut), mix(soft, soft[partner], outside(cut, (height, width)))


def box(lam: float, centre: tuple[int, int], size: tuple[int, int]) -> Box:
    """CutMix's box ``(top, left, bottom, right)`` for a share 1 − λ of a picture of ``size`` (height, width).

    >>> box(0.75, (4, 4), (8, 8))
    (2, 2, 6, 6)
    """
    ends = []
    for middle, side in zip(centre, size, strict=True):
        half = int(0.5 * side * math.sqrt(1 - lam))
        ends.append((max(middle - half, 0), min(middle + half, side)))
    (top, bottom), (left, right) = ends
    return top, left, bottom, right


def paste(x: Tensor, other: Tensor, cut: Box) -> Tensor:
    """x ``[..., H, W]`` with the box from another picture."""
    top, left, bottom, right = cut
    pasted = x.clone()
    pasted[..., top:bottom, left:right] = other[..., top:bottom, left:right]
    return pasted


def outside(cut: Box, size: tuple[int, int]) -> float:
    """λ': the share of a picture of ``size`` (height, width) that lies outside of the box."""
    top, left, bottom, right = cut
    return 1 - (bottom - top) * (right - left) / (size[0] * size[1])


# What is given, and whether it is right -------------------------------------------------------------------------------


def check_between(name: str, value: Any, low: float, high: float, whole: bool = False) -> None:
    """TypeError unless the value is a number (a whole one), ValueError unless it lies from low to high."""
    kind = "a whole number" if whole else "a number"
    is_number = isinstance(value, int if whole else Real) and not isinstance(value, bool)
    if not is_number:
        raise TypeError(f"{name} must be {kind} from {low:g} to {high:g}, got {value!r}")
    if not low <= value <= high:
        raise ValueError(f"{name} must be {kind} from {low:g} to {high:g}, got {value!r}")


def _check_alpha(name: str, alpha: Any) -> None:
    if isinstance(alpha, bool) or not isinstance(alpha, Real):
        raise TypeError(f"{name}: alpha must be a number greater than 0, got {alpha!r}")
    if not 0 < float(alpha) < math.inf:
        raise ValueError(f"{name}: alpha must be greater than 0 and finite, got {alpha!r}; for no mixing leave it out")


def _checked_batch(name: str, x: Any, y: Any, classes: int | None) -> Tensor:
    """The soft labels of a batch that can be mixed."""
    if not isinstance(x, Tensor) or not x.is_floating_point():
        kind = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise TypeError(f"{name}: x must be a floating-point tensor, got {kind}; of bytes (uint8): x.float() / 255")
    soft = soft_labels(y, classes, x.dtype)
    if len(x) != len(soft):
        raise ValueError(f"{name}: x and y must be equally long, got {len(x)} examples and {len(soft)} labels")
    if len(x) < 2:
        raise ValueError(f"{name}: a batch of {len(x)} has no two examples to mix: give at least 2 (batch_size)")
    return soft
