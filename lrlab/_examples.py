"""Checks of a user's own examples, labels and class names, each with a message that says what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


def checked_examples(x: Any) -> Tensor:
    """x as float32 [N, ...], finite, not empty."""
    if not isinstance(x, (Tensor, np.ndarray)):
        raise TypeError(f"x must be a tensor or an array, got {type(x).__name__}")
    if x.is_complex() if isinstance(x, Tensor) else x.dtype.kind not in "fiub":
        raise TypeError(f"x must hold real numbers, got dtype {x.dtype}")
    # Copied, because torch warns of arrays that cannot be written to and refuses those that run backwards.
    examples = x.detach() if isinstance(x, Tensor) else torch.from_numpy(np.array(x))
    if examples.dim() < 2:
        raise ValueError(f"x must have an axis of examples and at least one of features, [N, ...]; got {list(x.shape)}")
    if examples.numel() == 0:
        raise ValueError(f"x is empty: its shape is {list(x.shape)}")
    examples = examples.float() / 255 if examples.dtype == torch.uint8 else examples.float()
    if bad := int((~examples.isfinite()).sum()):
        raise ValueError(f"x has {bad} values that are NaN or infinite (as float32); remove or replace them")
    return examples


def checked_labels(y: Any) -> npt.NDArray[np.int64]:
    """y as int64 [N], not negative."""
    if not isinstance(y, (Tensor, np.ndarray)):
        raise TypeError(f"y must be a tensor or an array, got {type(y).__name__}")
    labels = y.detach().cpu().numpy() if isinstance(y, Tensor) else y
    if labels.dtype.kind not in "iu":
        raise ValueError(
            f"y must hold class labels as integers, got {labels.dtype}. Whole numbers: y.long() or y.astype(int)."
            " Targets that are no classes: put them in a DataLoader or a data.Dataset."
        )
    if labels.ndim != 1:
        raise ValueError(
            f"y must have one label per example, shape [N]; got {list(labels.shape)} (one-hot? y.argmax(1))"
        )
    if len(labels) and labels.min() < 0:
        raise ValueError(f"y must hold labels from 0 on, but its smallest is {labels.min()}")
    return labels.astype(np.int64)


def checked_classes(labels: npt.NDArray[np.int64], classes: Sequence[str] | None) -> tuple[str, ...]:
    """The names of the classes, which must fit the labels."""
    if classes is None:
        present = np.unique(labels)
        if present[-1] >= len(present):
            missing = min(set(range(len(present))) - set(present.tolist()))
            raise ValueError(
                f"y has {len(present)} different labels up to {present[-1]}, but no {missing}: number the classes"
                " 0, 1, 2, ... without gaps, or name them all with classes=[...]"
            )
        return tuple(str(label) for label in present)
    names = tuple(classes)
    if isinstance(classes, str) or not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise ValueError(f"classes must be a list of different names, got {classes!r}")
    if labels.max() >= len(names):
        raise ValueError(
            f"y has the label {labels.max()}, but {len(names)} classes have the labels 0 to {len(names) - 1}"
        )
    return names


def held_out(count: int, validation: float, test: float) -> tuple[int, int]:
    """How many examples the two shares are; a share above 0 is at least one example."""
    for argument, share in (("validation", validation), ("test", test)):
        if not isinstance(share, (int, float)) or isinstance(share, bool) or not 0 <= share < 1:
            raise ValueError(f"{argument} must be a share of the examples in [0, 1), got {share!r}")
    sizes = [max(1, round(share * count)) if share else 0 for share in (validation, test)]
    if validation + test >= 1 or sum(sizes) >= count:
        raise ValueError(
            f"nothing is left to train on: validation={validation} and test={test} of {count} examples take"
            f" {sizes[0]} and {sizes[1]}"
        )
    return sizes[0], sizes[1]
