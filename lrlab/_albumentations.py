"""albumentations as the pipelines need it: imported without a network, asked with care, and with a lens in the middle.

This module is only imported when a picture is to be changed by albumentations, which may not be installed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np

# It would ask the package index for a newer version at every import; lectures work without a network.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
try:
    import albumentations as A
except ImportError:
    raise ImportError(
        "albumentations is not installed: pip install 'lrlab[lab]'; pipeline.batched(x) works without it"
    ) from None


class Lens(A.OpticalDistortion):
    """``OpticalDistortion`` about the middle of the picture.

    albumentations gives OpenCV a camera whose axis meets the picture at (W/2, H/2), where whole numbers are the centres
    of pixels; so its picture moves by half a pixel at every k, 0 included.
    """

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        maps = super().get_params_dependent_on_data(params, data)
        return {name: places - 0.5 for name, places in maps.items()}


@dataclass(frozen=True)
class ImageCheck:
    """Looks at a picture before albumentations does: it would take some wrong ones without a word."""

    pipeline: Any

    def __call__(self, image: Any, **_: Any) -> Any:
        if image.dtype not in (np.uint8, np.float32):
            raise TypeError(
                f"albumentations: the image is {image.dtype}; give uint8 from 0 to 255, or float32 from 0 to 1 "
                "(image.astype('float32'))"
            )
        if image.ndim != 3 or image.shape[-1] > 4:
            hint = "grey: image[..., None]" if image.ndim == 2 else "of [C, H, W]: image.transpose(1, 2, 0)"
            raise ValueError(f"albumentations: the image must be [H, W, C], got {list(image.shape)}; {hint}")
        if image.dtype == np.float32 and image.size and not -1e-3 <= image.min() <= image.max() <= 1 + 1e-3:
            ends = f"[{image.min():.3g}, {image.max():.3g}]"
            raise ValueError(f"albumentations: float32 pixels must lie in [0, 1], these lie in {ends}: divide by 255")
        self.pipeline.check(image.shape[-1], image.shape[:2])
        return image


def compose(pipeline: Any) -> A.Compose:
    """A pipeline as albumentations knows it."""
    transforms = [made for transform in pipeline.transforms for made in transform.albumentations(A)]
    return A.Compose([A.Lambda(image=ImageCheck(pipeline), p=1.0), *transforms], seed=pipeline.seed)
