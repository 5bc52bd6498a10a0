"""Pictures changed at random, so that a network sees more of them than there are: pipelines, and two ways to run them.

    pipeline = Pipeline((HorizontalFlip(p=0.5), Rotate(degrees=10)), seed=0)

    changed = pipeline.albumentations()(image=image)["image"]   # one picture [H, W, C], on the CPU, in a DataLoader
    x = pipeline.batched(x, seed=7)                             # a batch [N, C, H, W], at once, on its device
    run = Run("cnn", "digits", augment=pipeline)                # in training, every batch anew; validation never

The two ways draw from the same distributions, but not the same numbers. They differ where transforms are chained: the
batched way interpolates once, albumentations after each transform, so that its pictures are a little softer, and a
corner that one transform turned out of the picture is lost for the next. torchvision's v2 transforms draw one set of
parameters for the whole batch they are given, and have neither stretch nor lens; so only kernels of it serve here.

**How not to starve the device.** In a DataLoader the CPU changes pictures while the device trains, and the device waits
when the CPU needs longer: use several workers (``num_workers=4, persistent_workers=True``), or the batched way, which
needs none.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lrlab import _spec
from lrlab.batches import seed_of
from lrlab.data import Dataset, Split
from lrlab.mixing import CutMix, Mixup, check_between, mix, soft_labels
from lrlab.transforms import (
    TRANSFORMS,
    ColourJitter,
    Drawn,
    Geometric,
    HorizontalFlip,
    LensDistortion,
    RandomCrop,
    ResNetCrop,
    Rotate,
    Shear,
    Size,
    Stretch,
    Transform,
    Translate,
    look_up,
)

__all__ = [
    "HorizontalFlip",
    "ResNetCrop",
    "RandomCrop",
    "Translate",
    "Rotate",
    "Stretch",
    "Shear",
    "LensDistortion",
    "ColourJitter",
    "Pipeline",
    "PerImage",
    "predict_with",
    "Mixup",
    "CutMix",
    "mix",
    "soft_labels",
    "from_spec",
]

# The pipeline ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pipeline:
    """Transforms, one after the other, with a seed. It is data: two equal ones do the same, and `spec` is its JSON.

    Args:
        transforms: a tuple of them.
        seed: of everything random, unless a call brings its own.

    Raises:
        TypeError: something in it is no transform.

    >>> pipeline = Pipeline((HorizontalFlip(p=0.5), Translate(pixels=1)), seed=0)
    >>> from_spec(pipeline.spec()) == pipeline
    True
    >>> pipeline.batched(torch.rand(5, 3, 8, 8)).shape
    torch.Size([5, 3, 8, 8])
    """

    transforms: tuple[Transform, ...]
    seed: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.transforms, (tuple, list)):
            raise TypeError(f"Pipeline: transforms must be a tuple of transforms, (a, b), got {self.transforms!r}")
        for transform in self.transforms:
            if isinstance(transform, (Mixup, CutMix)):
                name = type(transform).__name__
                raise TypeError(f"Pipeline: {name} takes two pictures: give Run(augment=(pipeline, {name}()))")
            if not isinstance(transform, Transform):
                raise TypeError(f"Pipeline: {transform!r} is no transform; there are {', '.join(TRANSFORMS)}")
        object.__setattr__(self, "transforms", tuple(self.transforms))
        check_between("Pipeline: seed", self.seed, 0, 2**32 - 1, whole=True)

    def spec(self) -> dict[str, Any]:
        """It as a dict that JSON can write; `from_spec` reads it."""
        return _spec.to_spec(self)

    # Batched

    def batched(self, x: Tensor, seed: int | None = None, data: Dataset | None = None) -> Tensor:
        """A batch of pictures changed at once, on the device where it lies, each with parameters of its own.

        Args:
            x: floating-point pixels ``[N, C, H, W]`` in [0, 1].
            seed: the same seed gives the same change, on every device; None: the pipeline's.
            data: the data set that x is from, where x is standardised as its `Dataset` stores it; it comes back so.

        Returns:
            ``[N, C, h, w]``, another size only after a crop.

        Raises:
            TypeError or ValueError: bytes (uint8), another shape, or colours that are not in [0, 1].
        """
        size = self._check(x)
        drawn = self.draw(len(x), size, self.seed if seed is None else seed)
        if data is None:
            return self.apply(x, drawn)
        mean, scale = _per_channel(data.mean, data.scale, x.dtype, x.device)
        return (self.apply(torch.addcmul(mean, x, scale), drawn) - mean) / scale

    def draw(self, count: int, size: Size, seed: int) -> list[Drawn]:
        """The parameters of each transform for ``count`` pictures of one size (height, width)."""
        rng, drawn = np.random.default_rng(seed), []
        for transform in self.transforms:
            drawn.append(transform.draw(count, size, rng))
            size = transform.new_size(size)
        return drawn

    def apply(self, x: Tensor, drawn: Sequence[Drawn]) -> Tensor:
        """Pixels ``x [N, C, H, W]`` in [0, 1] with parameters that `draw` gave."""
        pairs = zip(self.transforms, drawn, strict=True)
        for geometric, group in itertools.groupby(pairs, lambda pair: isinstance(pair[0], Geometric)):
            transforms, own = zip(*group, strict=True)
            if geometric:
                x = look_up(x, transforms, own)
            else:
                if x.device.type == "cpu":  # on a GPU a look would stop the queue at every step
                    check_pixels(x)
                for transform, parameters in zip(transforms, own, strict=True):
                    x = transform.apply(x, parameters)
        return x

    def _check(self, x: Any) -> Size:
        """The size of the pictures, if all transforms can take them."""
        if not isinstance(x, Tensor):
            raise TypeError(
                f"batched: x must be a tensor [N, C, H, W], got {type(x).__name__}; one picture [H, W, C] as an array "
                "is for pipeline.albumentations()"
            )
        if not x.is_floating_point():
            raise TypeError(
                f"batched: x is {str(x.dtype).removeprefix('torch.')}, but the batched way takes floating-point pixels "
                "in [0, 1] (float32); for bytes (uint8): x.float() / 255"
            )
        if x.dim() != 4:
            raise ValueError(f"batched: x must be a batch of pictures [N, C, H, W], got {list(x.shape)}; one: x[None]")
        return self.check(x.shape[1], (x.shape[2], x.shape[3]))

    def check(self, channels: int, size: Size) -> Size:
        """ValueError if a transform cannot take pictures of this shape. Returns that size."""
        after = size
        for transform in self.transforms:
            transform.check(channels, after)
            after = transform.new_size(after)
        return size

    # Per image

    def albumentations(self) -> Any:
        """The same as an ``albumentations.Compose`` with this seed, for one picture at a time on the CPU.

        ::

            compose = pipeline.albumentations()
            changed = compose(image=image)["image"]

        The image is an array ``[H, W, C]``: uint8 from 0 to 255, or float32 from 0 to 1. A Compose remembers where it
        is in its random numbers: a new one begins anew, and **each worker of a DataLoader begins with the same copy**,
        so that all workers draw the same; `PerImage` seeds it from torch for each picture and has no such trap.

        Raises:
            ImportError: albumentations is not installed.
        """
        from lrlab import _albumentations  # not everybody has it installed

        return _albumentations.compose(self)


def from_spec(spec: Mapping[str, Any]) -> Any:
    """The pipeline, transform, Mixup or CutMix that a dict describes, as `Pipeline.spec` makes it."""
    return _spec.from_spec(spec, {**TRANSFORMS, "Pipeline": Pipeline, "Mixup": Mixup, "CutMix": CutMix})


@functools.lru_cache(maxsize=16)
def _per_channel(
    mean: tuple[float, ...], scale: tuple[float, ...], dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Mean and scale of a standardisation as ``[C, 1, 1]`` on the device."""
    first, second = (torch.tensor(v, dtype=dtype, device=device).view(-1, 1, 1) for v in (mean, scale))
    return first, second


def check_pixels(x: Tensor) -> None:
    """ValueError unless x are pixels, whose colours may be changed."""
    low, high = (float(end) for end in x.aminmax()) if x.numel() else (0.0, 1.0)
    if not (low >= -1e-3 and high <= 1 + 1e-3):
        raise ValueError(
            f"ColourJitter: pixels must lie in [0, 1], these lie in [{low:.3g}, {high:.3g}]: divide by 255, or "
            "name the data set they are from, data=..., if they are standardised"
        )


class PerImage(torch.utils.data.Dataset):
    """Pictures that albumentations changes one at a time on the CPU, for a DataLoader.

    Every picture is changed under a seed from torch's generator, of which each worker has its own, and which a `Run`
    sets before each batch: so no two workers draw the same, and a run can be replayed.

    Args:
        split: ``x [N, C, H, W]`` and ``y [N]``, such as ``dataset.train``.
        pipeline: what is done.
        data: the data set that x is from, where x is standardised as its `Dataset` stores it; it comes back so.

    >>> from lrlab import data
    >>> digits = data.load("digits", device="cpu")
    >>> pictures = PerImage(digits.train, Pipeline((Rotate(10),)), data=digits)
    >>> loader = torch.utils.data.DataLoader(pictures, batch_size=64, shuffle=True)   # num_workers=4 for larger ones
    >>> next(iter(loader))[0].shape
    torch.Size([64, 1, 8, 8])
    """

    def __init__(self, split: Split, pipeline: Pipeline, data: Dataset | None = None) -> None:
        x = split.x if data is None else data.pixels(split.x).clamp(0, 1)
        pipeline._check(x)
        self.images = np.ascontiguousarray(x.permute(0, 2, 3, 1).cpu().numpy(), dtype=np.float32)
        self.labels = split.y.cpu()
        self.compose = pipeline.albumentations()
        mean, scale = ((0.0,), (1.0,)) if data is None else (data.mean, data.scale)
        self.mean, self.scale = (torch.tensor(v, dtype=torch.float32).view(-1, 1, 1) for v in (mean, scale))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        self.compose.set_random_seed(int(torch.randint(2**31, ())))
        changed = self.compose(image=self.images[index])["image"]
        return (torch.from_numpy(changed).permute(2, 0, 1) - self.mean) / self.scale, self.labels[index]


# In use ---------------------------------------------------------------------------------------------------------------


def predict_with(
    model: nn.Module, x: Tensor, pipeline: Pipeline, draws: int = 10, seed: int = 0, data: Dataset | None = None
) -> Tensor:
    """Test-time augmentation: the average of the network's probabilities over changed copies of each picture.

    ::

        p(y | x) ≈ 1/M Σₘ softmax(f(Tₘ x))

    Args:
        model: gives logits ``[N, classes]``; it comes back in the mode it had.
        x: ``[N, C, H, W]``, as for `Pipeline.batched`.
        pipeline: what is done; better what the network was trained with, or less.
        draws: M, how many copies, at least 1.
        seed: of the draws.
        data: as for `Pipeline.batched`.

    Returns:
        probabilities ``[N, classes]``.

    Source: Krizhevsky, Sutskever and Hinton 2012, ImageNet classification, section 4.1 (ten crops).
    """
    check_between("predict_with: draws", draws, 1, 1_000_000, whole=True)
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            changed = (pipeline.batched(x, seed_of(seed, "draw", draw), data) for draw in range(draws))
            return torch.stack([model(copy).softmax(-1) for copy in changed]).mean(0)
    finally:
        for part, training in modes:
            part.training = training


class Chain:
    """What a run does to its mini-batches: pipelines, mixup, functions of one's own, one after the other.

    Args:
        parts: each a `Pipeline`, `Mixup`, `CutMix`, or a function ``(x, y, seed) -> (x, y)``.
        data: the data set the batches come from; None for others, whose pixels must lie in [0, 1] for colours.
    """

    def __init__(self, parts: Sequence[Any], data: Dataset | None) -> None:
        self.parts, self.data = tuple(parts), data
        self.mixes = any(isinstance(part, (Mixup, CutMix)) for part in parts)
        self.least = 2 if self.mixes else 1  # examples in a batch

    def check(self, x: Tensor, y: Tensor, train: Split | None) -> None:
        """Try it on two examples, and look at the colours of all examples, once; ValueError if it will not do.

        Args:
            x, y: the two examples.
            train: all of them, where they are at hand.
        """
        pipelines = [part for part in self.parts if isinstance(part, Pipeline)]
        if train is not None and any(isinstance(t, ColourJitter) for part in pipelines for t in part.transforms):
            check_pixels(train.x if self.data is None else self.data.pixels(train.x))
        changed, _ = self(x, y, 0)
        if changed.shape != x.shape:
            raise ValueError(
                f"augment makes pictures {list(changed.shape[1:])} out of {list(x.shape[1:])}, but validation shows "
                f"the network those it has: crop to size={x.shape[-1]}, or scale the data set beforehand"
            )

    def __call__(self, x: Tensor, y: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        """Another batch; all that is random in it is a function of the seed."""
        for number, part in enumerate(self.parts):
            own = seed_of(seed, "part", number)
            if isinstance(part, Pipeline):
                x = part.batched(x, own, self.data)
            elif isinstance(part, (Mixup, CutMix)):
                x, y = part(x, y, own, self._classes(y))
            else:
                changed = part(x, y, own)
                if not isinstance(changed, tuple) or len(changed) != 2:
                    raise ValueError(f"augment must give a pair (x, y), it gave {type(changed).__name__}")
                x, y = changed
        return x, y

    def _classes(self, y: Tensor) -> int | None:
        if self.data is not None:
            return len(self.data.classes)
        if not y.is_floating_point():
            raise ValueError(
                "a DataLoader does not say how many classes there are: mix with a function of your own, "
                "augment=lambda x, y, seed: Mixup()(x, y, seed, classes=10)"
            )
        return None


def as_augment(augment: Any) -> tuple[Any, ...]:
    """What may be given as ``Run(augment=...)``, as a tuple of parts; specs are built, None is ().

    Raises:
        TypeError: for anything else.
    """
    if augment is None:
        return ()
    parts = augment if isinstance(augment, (tuple, list)) else (augment,)
    made = tuple(from_spec(part) if isinstance(part, Mapping) else part for part in parts)
    made = tuple(Pipeline((part,)) if isinstance(part, Transform) else part for part in made)
    for part in made:
        if isinstance(part, type) or not (isinstance(part, Pipeline) or callable(part)):
            raise TypeError(
                f"augment must be a Pipeline, Mixup(), CutMix(), a function (x, y, seed) -> (x, y), or a tuple of "
                f"these, got {part!r}"
            )
    return made


def spec_of(parts: Sequence[Any]) -> Any:
    """The parts of `as_augment` for a configuration: specs, and functions of one's own as they are."""
    if not parts:
        return None
    named = [_spec.to_spec(part) if isinstance(part, (Pipeline, Mixup, CutMix)) else part for part in parts]
    return named[0] if len(named) == 1 else named
