"""The sliders of the augmentation view: which number of which transform each turns, and how far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lrlab.transforms import (
    ColourJitter,
    Drawn,
    HorizontalFlip,
    LensDistortion,
    RandomCrop,
    ResNetCrop,
    Rotate,
    Shear,
    Stretch,
    Transform,
    Translate,
)


@dataclass(frozen=True)
class Dial:
    """One slider: a number of a transform, and how the page shows it.

    Attributes:
        cls, name: the transform and its field.
        label: its words on the page.
        first: the transform that is added, for pictures of a size (height, width).
        ends: the ends of the slider for such a transform and size.
        scale: "share": in steps of 0.01; "whole": whole numbers.
    """

    cls: type[Transform]
    name: str
    label: str
    first: Callable[[tuple[int, int]], Transform]
    ends: Callable[[Any, tuple[int, int]], tuple[float, float]]
    scale: str = "share"


def _colour(name: str, value: float, high: float) -> Dial:
    none = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0}
    return Dial(ColourJitter, name, name, lambda _: ColourJitter(**{**none, name: value}), lambda *_: (0, high))


DIALS: dict[str, Dial] = {
    "flip": Dial(HorizontalFlip, "p", "flip, p", lambda _: HorizontalFlip(), lambda *_: (0, 1)),
    "crop": Dial(
        ResNetCrop,
        "high",
        "crop, L up to",
        lambda size: ResNetCrop.scaled(min(size)),
        lambda crop, size: (crop.low, 4 * crop.size),
        "whole",
    ),
    "pad": Dial(
        RandomCrop,
        "padding",
        "crop, border",
        lambda size: RandomCrop(min(size), max(1, min(size) // 8)),
        lambda crop, size: (max(0, (crop.size - min(size) + 1) // 2), max(size) // 2),
        "whole",
    ),
    "shift": Dial(
        Translate,
        "pixels",
        "shift, pixels",
        lambda size: Translate(max(1, min(size) // 10)),
        lambda _, size: (0, max(size) // 2),
        "whole",
    ),
    "rotate": Dial(Rotate, "degrees", "rotate, ° up to", lambda _: Rotate(15.0), lambda *_: (0, 180), "whole"),
    "stretch": Dial(Stretch, "by", "stretch, ± up to", lambda _: Stretch(0.2), lambda *_: (0, 0.9)),
    "shear": Dial(Shear, "degrees", "shear, ° up to", lambda _: Shear(15.0), lambda *_: (0, 60), "whole"),
    "lens": Dial(LensDistortion, "most", "lens, k up to", lambda _: LensDistortion(0.4), lambda *_: (0, 1)),
    "brightness": _colour("brightness", 0.3, 1.0),
    "contrast": _colour("contrast", 0.3, 1.0),
    "saturation": _colour("saturation", 0.5, 1.0),
    "hue": _colour("hue", 0.1, 0.5),
}


def words_of(drawn: list[Drawn], number: int) -> str:
    """What was drawn for one picture, in a few words."""
    words = []
    for own in drawn:
        for name, values in own.items():
            if name == "flipped":
                words.append("flipped" if values[number] else "not flipped")
            elif isinstance(values, np.ndarray) and ("order" not in own or name in own["order"]):
                words.append(f"{name} {float(values[number]):.3g}")
    return ", ".join(words) or "unchanged"


def as_its_kind(dial: str, value: Any) -> Any:
    """A whole number for the fields that take nothing else: pages send 3.0 and 3 alike."""
    whole = DIALS[dial].scale == "whole" and DIALS[dial].cls in (ResNetCrop, RandomCrop, Translate)
    return int(value) if whole and isinstance(value, float) and value.is_integer() else value
