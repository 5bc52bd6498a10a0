"""What several workbooks share: short tensors, bowls and their gradients, counts, and the length of many tensors."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lrlab.workbook.questions import Random


def vector(*entries: float) -> Tensor:
    """Numbers as a tensor ``[n]`` in float64."""
    return torch.tensor(entries, dtype=torch.float64)


def matrix(*rows: Sequence[Any]) -> Tensor:
    """Rows of numbers, or rows of rows, as a tensor ``[m, n]`` (or ``[m, n, ...]``) in float64."""
    return torch.tensor(rows, dtype=torch.float64)


def length(tensors: Iterable[Tensor]) -> float:
    """The length of all tensors together, as if they were one long vector: the root of the sum of all squares."""
    return math.sqrt(sum(float(tensor.square().sum()) for tensor in tensors))


def draw_hessian(random: Random) -> dict[str, Any]:
    """A bowl: ``{"hessian": [n, n]}``, symmetric, every curvature 0.1 or more, and as a rule none along an axis."""
    count = random.size + 1
    root = random.tensor(count, count, low=-2, high=2)
    return {"hessian": root @ root.T + torch.eye(count, dtype=torch.float64) / 10}


def same_count(of: str) -> Callable[[float, float], str | None]:
    """For ``Question.compare`` with ``read=float``: a count of steps, say, of which 5 and 5.0 are the same."""

    def compare(expected: float, got: float) -> str | None:
        if got == expected:
            return None
        wanted, given = ("for ever (inf)" if math.isinf(count) else f"{count:g}" for count in (expected, got))
        return f"the count of {of} should be {wanted}, and it is {given}"

    return compare


@dataclass(frozen=True, repr=False)
class BowlGradient:
    """The gradient of ½ Σ λᵢ xᵢ², with the curvatures λ ``[P]``."""

    curvatures: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return self.curvatures * x

    def __repr__(self) -> str:
        return f"the function that makes {self.curvatures.tolist()} * x of x"
