"""The transforms of pictures: each a frozen dataclass that says what it may do, in numbers.

A transform *draws* its parameters (one angle for each picture) and *applies* them to a batch ``[N, C, H, W]``; or it
names the same transform of albumentations, for one picture at a time.

**Geometry.** A geometric transform says for each pixel of the new picture where in the old one its colour comes from.
For all but the lens that is a matrix, and the matrices of neighbours in a pipeline multiply: each pixel is looked up
once (``grid_sample``, bilinear), however many transforms there are. What comes from beyond the edge is black.
Coordinates are pixels, x to the right and y down, whole numbers at the centres of pixels.

**Does it keep the label?** That is the question about each of them, and depends on the data: every class says so below.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.v2.functional import rgb_to_grayscale

from lrlab.mixing import check_between, mix

Size = tuple[int, int]  # height, width
Drawn = dict[str, Any]  # parameters: arrays [N], one number for each picture


@dataclass(frozen=True)
class Transform:
    """One thing that may be done to a picture."""

    def draw(self, count: int, size: Size, rng: np.random.Generator) -> Drawn:
        """The parameters for ``count`` pictures of this size: arrays ``[count]``."""
        raise NotImplementedError

    def new_size(self, size: Size) -> Size:
        """Height and width after it."""
        return size

    def check(self, channels: int, size: Size) -> None:
        """ValueError if it cannot be done to pictures of this shape."""

    def albumentations(self, A: Any) -> list[Any]:
        """The same as transforms of albumentations (the module A)."""
        raise NotImplementedError


# Geometry -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Geometric(Transform):
    """A transform that moves pixels and leaves their colours."""

    whole_pixels: ClassVar[bool] = False  # pixels land on pixels: nothing is interpolated

    def source(self, size: Size, drawn: Drawn) -> np.ndarray:
        """``[N, 3, 3]``: takes a pixel ``(x, y, 1)`` of the new picture to its place in the old one, of this size."""
        raise NotImplementedError


@dataclass(frozen=True)
class HorizontalFlip(Geometric):
    """Mirrors left and right with probability p.

    Args:
        p: in [0, 1].

    Keeps the label: of animals, clothes and landscapes; not of writing (a flipped 2 is no 2, a flipped b is a d), nor
    where the side is the label (the left lung).
    """

    p: float = 0.5
    whole_pixels = True

    def __post_init__(self) -> None:
        check_between("HorizontalFlip: p, a probability,", self.p, 0, 1)

    def draw(self, count: int, size: Size, rng: np.random.Generator) -> Drawn:
        return {"flipped": (rng.random(count) < self.p).astype(float)}

    def source(self, size: Size, drawn: Drawn) -> np.ndarray:
        flipped = drawn["flipped"]
        return _matrix(((1 - 2 * flipped, 0, flipped * (size[1] - 1)), (0, 1, 0)))

    def albumentations(self, A: Any) -> list[Any]:
        return [A.HorizontalFlip(p=self.p)]


@dataclass(frozen=True)
class ResNetCrop(Geometric):
    """Scales the picture at random and cuts a square out of it, the recipe of VGG and ResNet.

    ::

        L ~ whole numbers from low to high;  the shorter side becomes L;  a random square of size x size is cut out

    Args:
        low, high: the range of L, in pixels; low ≥ size.
        size: the side of the result. 256, 480 and 224 on ImageNet; for small pictures see `scaled`.

    Keeps the label: while the thing is still in the square. With the largest L it holds 22 % of a square picture: where
    the thing is small or at the edge, the network is shown grass and told "cow".
    Interpolation is bilinear without antialiasing in both ways, as OpenCV's; torchvision's ``v2.Resize`` antialiases.

    Source: Simonyan and Zisserman 2015; He, Zhang, Ren and Sun 2016, Deep residual learning, section 3.4.
    """

    low: int = 256
    high: int = 480
    size: int = 224

    def __post_init__(self) -> None:
        for name in ("low", "high", "size"):
            check_between(f"ResNetCrop: {name}", getattr(self, name), 1, 100_000, whole=True)
        if not self.size <= self.low <= self.high:
            raise ValueError(
                f"ResNetCrop: size <= low <= high is needed, got size={self.size}, low={self.low}, high={self.high}: "
                "a square cannot be cut out of a picture whose shorter side is less than its own"
            )

    @classmethod
    def scaled(cls, size: int) -> ResNetCrop:
        """The recipe in its proportions (256 : 480 : 224) for another size.

        >>> ResNetCrop.scaled(32)
        ResNetCrop(low=37, high=69, size=32)
        """
        return cls(low=round(size * 256 / 224), high=round(size * 480 / 224), size=size)

    def new_size(self, size: Size) -> Size:
        return self.size, self.size

    def draw(self, count: int, size: Size, rng: np.random.Generator) -> Drawn:
        sides = rng.integers(self.low, self.high + 1, count)
        drawn = {}
        for name, place, side in zip(("height", "width"), ("top", "left"), size, strict=True):
            scaled = np.round(side * sides / min(size))
            start = rng.integers(0, scaled.astype(int) - self.size + 1)
            drawn[name], drawn[place] = scaled, start.astype(float)
        return drawn

    def source(self, size: Size, drawn: Drawn) -> np.ndarray:
        rows = []
        for number, (scaled, start, side) in enumerate((("width", "left", size[1]), ("height", "top", size[0]))):
            ratio = side / drawn[scaled]  # pixels of the old picture in one of the new; centres lie at halves
            row = [0, 0, (drawn[start] + 0.5) * ratio - 0.5]
            row[number] = ratio
            rows.append(row)
        return _matrix(rows)

    def albumentations(self, A: Any) -> list[Any]:
        return [A.SmallestMaxSize(max_size=list(range(self.low, self.high + 1))), A.RandomCrop(self.size, self.size)]


@dataclass(frozen=True)
class RandomCrop(Geometric):
    """Cuts a random square out of the picture, after a black border was put around it: the recipe for CIFAR-10.

    Args:
        size: the side of the result, in pixels.
        padding: the width of the border; with size = side of the picture, the picture is shifted by up to as much.

    Keeps the label: as `Translate`.

    Source: Lee et al. 2015, Deeply-supervised nets; He et al. 2016, section 4.2 (32 pixels, padding 4).
    """

    size: int = 32
    padding: int = 4
    whole_pixels = True

    def __post_init__(self) -> None:
        check_between("RandomCrop: size", self.size, 1, 100_000, whole=True)
        check_between("RandomCrop: padding", self.padding, 0, 100_000, whole=True)

    def new_size(self, size: Size) -> Size:
        return self.size, self.size

    def check(self, channels: int, size: Size) -> None:
        if self.size > min(size) + 2 * self.padding:
            raise ValueError(
                f"RandomCrop: a square of {self.size} is larger than the picture of {size[0]} x {size[1]} with a "
                f"padding of {self.padding}: give a smaller size or a larger padding"
            )

    def draw(self, count: int, size: Size, rng: np.random.Generator) -> Drawn:
        room = [side + 2 * self.padding - self.size for side in size]
        top, left = (rng.integers(0, most + 1, count).astype(float) for most in room)
        return {"top": top, "left": left}

    def source(self, size: Size, drawn: Drawn) -> np.ndarray:
        left, top = drawn["left"] - self.padding, drawn["top"] - self.padding
        return _matrix(((1, 0, left), (0, 1, top)))

    def albumentations(self, A: Any) -> list[Any]:
        border = [A.Pad(padding=self.padding, fill=0, p=1.0)] if self.padding else []
        return [*border, A.RandomCrop(self.size, self.size)]


@dataclass(frozen=True)
class Translate(Geometric):
    """Shifts the picture by whole pixels, in x and in y each by a whole number from −pixels to pixels.

    Args:
        pixels: the largest shift, ≥ 0.

    Keeps the label: as long as the thing stays in the picture; a tenth of the side is usual.
    In whole pixels because albumentations rounds a fraction towards 0: its ``translate_percent=0.1`` never moves a
    picture of 8 x 8.
    """

    pixels: int = 1
    whole_pixels = True

    def __post_init__(self) -> None:
        check_between("Translate: pixels", self.pixels, 0, 100_000, whole=True)

    def draw(self, count: int, size: Size, rng: np.random.Generator) -> Drawn:
        right, down = (rng.integers(-self.pixels, self.pixels + 1, count).astype(float) for _ in range(2))
        return {"right": right, "down": down}

    def source(self, size: Size, drawn: Drawn) -> np.ndarray:
        return _matrix(((1, 0, -drawn["right"]), (0, 1, -drawn["down"])))

    def albumentations(self, A: Any) -> list[Any]:
        return [A.Affine(translate_px=(-self.pixels, self.pixels), p=1.0)]


@dataclass(frozen=True)
class Rotate(Geometric):
    """Turns the picture about its centre by θ ~ U(−degrees, degrees), counter-clockwise where θ > 0.

    Args:
        degrees: the largest angle, in [0, 180].

    Keeps the label: of small angles, nearly always. Upside down a 6 is a 9, and a street scene is none; a cell under
    the microscope and a satellite picture have no upright.
    """

    degrees: float = 15.0

    def __post_init__(self) -> None:
        check_between("Rotate: degrees", self.degrees, 0, 180)

    def draw(self, count: int, size: Size, rng: np.random.Generator) -> Drawn:
        return {"angle": rng.uniform(-self.degrees, self.degrees, count)}

    def source(self, size: Size, drawn: Drawn) -> np.ndarray:
        angle = np.deg2rad(drawn["angle"])
        c, s = np.cos(angle), np.sin(angle)
        return _about_centre(((c, -s), (s, c)), size)

    def albumentations(self, A: Any) -> list[Any]:
        return [A.Affine(rotate=(-self.degrees, self.degrees), p=1.0)]


@dataclass(frozen=True)
class Stretch(Geometric):
    """Stretches or squeezes the picture about its centre, in x and in y by factors of their own, U(1 − by, 1 + by).

    Args:
        by: in [0, 1).

    Keeps the label: unless the proportions are the label (a circle and an ellipse, a 0 and an o).
    """

    by: float = 0.1

    def __post_init__(self) -> None:
        check_between("Stretch: by", self.by, 0, 0.99)

    def draw(self, count: int, size: Size, rng: np.random.Generator) -> Drawn:
        wide, high = (rng.uniform(1 - self.by, 1 + self.by, count) for _ in range(2))
        return {"wide": wide, "high": high}

    def source(self, size: Size, drawn: Drawn) -> np.ndarray:
        return _about_centre(((1 / drawn["wide"], 0), (0, 1 / drawn["high"])), size)

    def albumentations(self, A: Any) -> list[Any]:
        ends = (1 - self.by, 1 + self.by)
        return [A.Affine(scale={"x": ends, "y": ends}, keep_ratio=False, p=1.0)]


@dataclass(frozen=True)
class Shear(Geometric):
    """Slants the picture as italics are slanted: ``x' = x + tan(φ) y`` about the centre, φ ~ U(−degrees, degrees).

    Args:
        degrees: the largest slant, in [0, 80].

    Keeps the label: writing slants by itself, up to about 20 degrees; a 1 that is slanted further becomes a /.
    """

    degrees: float = 10.0

    def __post_init__(self) -> None:
        check_between("Shear: degrees", self.degrees, 0, 80)

    def draw(self, count: int, size: Size, rng: np.random.Generator) -> Drawn:
        return {"slant": rng.uniform(-self.degrees, self.degrees, count)}

    def source(self, size: Size, drawn: Drawn) -> np.ndarray:
        return _about_centre(((1, -np.tan(np.deg2rad(drawn["slant"]))), (0, 1)), size)

    def albumentations(self, A: Any) -> list[Any]:
        return [A.Affine(shear={"x": (-self.degrees, self.degrees), "y": (0.0, 0.0)}, p=1.0)]


@dataclass(frozen=True)
class LensDistortion(Geometric):
    """Bends straight lines as a simple lens does: a barrel for k > 0, a pincushion for k < 0; k ~ U(−most, most).

    ::

        old place = new place · (1 + k r² + k r⁴)          r: distance from the centre; the picture is 1 wide, 1 high

    Args:
        most: the largest \\|k\\|, in [0, 1]. At k = 1 a corner is looked up 1.75 times as far out.

    Keeps the label: nearly always; not where straight or bent is the question (a defect in a beam).
    It is OpenCV's camera model with k₁ = k₂ = k. albumentations' own also moves it by half a pixel.

    Source: Brown 1966, Decentering distortion of lenses.
    """

    most: float = 0.3

    def __post_init__(self) -> None:
        check_between("LensDistortion: most", self.most, 0, 1)

    def draw(self, count: int, size: Size, rng: np.random.Generator) -> Drawn:
        return {"k": rng.uniform(-self.most, self.most, count)}

    def bend(self, points: Tensor, size: Size, drawn: Drawn) -> Tensor:
        """The places ``[N, 2, pixels]`` in the old picture for places in the new one, both in pixels (x, y)."""
        side = torch.tensor([[size[1]], [size[0]]], dtype=points.dtype, device=points.device)
        place = (points + 0.5) / side - 0.5
        k = torch.from_numpy(drawn["k"]).to(points).view(-1, 1, 1)
        r2 = (place**2).sum(1, keepdim=True)
        return (place * (1 + k * r2 + k * r2**2) + 0.5) * side - 0.5

    def albumentations(self, A: Any) -> list[Any]:
        from lrlab._albumentations import Lens

        return [Lens(distort_limit=(-self.most, self.most), mode="camera", p=1.0)]


def _matrix(rows: Sequence[Sequence[Any]]) -> np.ndarray:
    """``[N, 3, 3]`` from two rows of numbers and arrays ``[N]``; the third row is 0, 0, 1."""
    matrix = np.zeros((max(np.size(entry) for row in rows for entry in row), 3, 3))
    matrix[:, 2, 2] = 1
    for i, row in enumerate(rows):
        for j, entry in enumerate(row):
            matrix[:, i, j] = entry
    return matrix


def _about_centre(rows: Sequence[Sequence[Any]], size: Size) -> np.ndarray:
    """The linear map of two rows as ``[N, 3, 3]``, such that the middle of the picture stays where it is."""
    x, y = (size[1] - 1) / 2, (size[0] - 1) / 2
    (a, b), (c, d) = rows
    return _matrix(((a, b, x - a * x - b * y), (c, d, y - c * x - d * y)))


def look_up(x: Tensor, run: Sequence[Geometric], drawn: Sequence[Drawn]) -> Tensor:
    """Pictures ``x [N, C, H, W]`` after several geometric transforms with drawn parameters, each pixel looked up once.

    From the last transform back to the first: old place = M₁ M₂ … M_k · new place. A lens bends on the way. The
    matrices are multiplied on the CPU: they are small, and the device gets one product.
    """
    sizes = [(x.shape[-2], x.shape[-1])]
    for transform in run:
        sizes.append(transform.new_size(sizes[-1]))
    points = _pixels(sizes[-1], x.dtype, x.device)
    matrix = np.eye(3)[None]
    for transform, size, own in zip(reversed(run), reversed(sizes[:-1]), reversed(drawn), strict=True):
        if isinstance(transform, LensDistortion):
            bent = transform.bend(_moved(points, matrix), size, own)
            points, matrix = F.pad(bent, (0, 0, 0, 1), value=1.0), np.eye(3)[None]
        else:
            matrix = transform.source(size, own) @ matrix
    height, width = sizes[0]
    to_unit = np.array([[2 / width, 0, 1 / width - 1], [0, 2 / height, 1 / height - 1], [0, 0, 1]])  # edges at -1 and 1
    grid = _moved(points, to_unit @ matrix).unflatten(-1, sizes[-1]).permute(0, 2, 3, 1)
    exact = all(transform.whole_pixels for transform in run)
    return F.grid_sample(x, grid, "nearest" if exact else "bilinear", "zeros", align_corners=False)


def _moved(points: Tensor, matrix: np.ndarray) -> Tensor:
    """Points ``[3, pixels]`` or ``[N, 3, pixels]`` (x, y, 1) by matrices ``[N, 3, 3]``: places ``[N, 2, pixels]``."""
    return torch.from_numpy(matrix[:, :2]).to(points) @ points


@functools.lru_cache(maxsize=16)
def _pixels(size: Size, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The pixels of a picture, row by row: ``[3, height · width]``, x, y, 1."""
    down, right = (torch.arange(side, dtype=dtype, device=device) for side in size)
    columns, rows = torch.meshgrid(right, down, indexing="xy")
    return torch.stack([columns, rows, torch.ones_like(rows)]).flatten(1)


# Colour ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ColourJitter(Transform):
    """Changes brightness, contrast, saturation and hue, in random order.

    ::

        brightness    f x                                      f ~ U(1 − brightness, 1 + brightness), not below 0
        contrast      f x + (1 − f) mean of the grey picture    f ~ U(1 − contrast, 1 + contrast)
        saturation    f x + (1 − f) grey picture                f ~ U(1 − saturation, 1 + saturation)
        hue           the colour wheel turned by f turns        f ~ U(−hue, hue)

    cut off at [0, 1] after each. Pictures of one channel have no saturation and no hue: those do nothing then.

    Args:
        brightness, contrast, saturation: ≥ 0.
        hue: in [0, 0.5], in turns of the colour wheel.

    Keeps the label: unless colour is the label (a ripe and an unripe tomato, a traffic light).
    The batched way draws one order for the batch, and for each picture factors of its own.

    Source: Howard 2013, Some improvements on deep convolutional neural network based image classification.
    """

    brightness: float = 0.2
    contrast: float = 0.2
    saturation: float = 0.2
    hue: float = 0.0

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "saturation"):
            check_between(f"ColourJitter: {name}", getattr(self, name), 0, 10)
        check_between("ColourJitter: hue, in turns of the colour wheel,", self.hue, 0, 0.5)

    def ends(self, name: str) -> tuple[float, float]:
        """The lowest and the highest factor of one of the four."""
        by = getattr(self, name)
        return (-by, by) if name == "hue" else (max(0.0, 1.0 - by), 1.0 + by)

    def check(self, channels: int, size: Size) -> None:
        if channels not in (1, 3):
            raise ValueError(
                f"ColourJitter: pictures must have 1 channel (grey) or 3 (red, green, blue), got {channels}: "
                "apply it to those channels alone"
            )

    def draw(self, count: int, size: Size, rng: np.random.Generator) -> Drawn:
        drawn: Drawn = {name: rng.uniform(*self.ends(name), count) for name in _COLOURS}
        order = [str(name) for name in rng.permutation(list(_COLOURS))]
        drawn["order"] = tuple(name for name in order if getattr(self, name))  # a factor of 1 does nothing
        return drawn

    def apply(self, x: Tensor, drawn: Drawn) -> Tensor:
        """Pixels ``x [N, C, H, W]`` in [0, 1] with drawn factors."""
        for name in drawn["order"]:
            if x.shape[1] == 3 or name in ("brightness", "contrast"):
                x = _COLOURS[name](x, torch.from_numpy(drawn[name]).to(x).view(-1, 1, 1, 1)).clamp_(0, 1)
        return x

    def albumentations(self, A: Any) -> list[Any]:
        return [A.ColorJitter(**{name: self.ends(name) for name in _COLOURS}, p=1.0)]


def _grey(x: Tensor) -> Tensor:
    return x if x.shape[1] == 1 else rgb_to_grayscale(x)


def _turn_hue(x: Tensor, turns: Tensor) -> Tensor:
    """Turn the colour wheel: red, green, blue -> hue, saturation, value -> back (Smith 1978)."""
    value, chroma = x.amax(1, keepdim=True), x.amax(1, keepdim=True) - x.amin(1, keepdim=True)
    red, green, blue = x.split(1, dim=1)
    safe = torch.where(chroma > 0, chroma, 1.0)
    sector = torch.where(value == red, (green - blue) / safe, (blue - red) / safe + 2)
    sector = torch.where((value == blue) & (value != red) & (value != green), (red - green) / safe + 4, sector)
    hue = sector + 6 * turns  # in sixths of the wheel
    corner = torch.tensor([5.0, 3.0, 1.0], dtype=x.dtype, device=x.device).view(1, 3, 1, 1)
    distance = (corner + hue) % 6
    return value - chroma * torch.minimum(distance, 4 - distance).clamp(0, 1)


_COLOURS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "brightness": lambda x, f: f * x,
    "contrast": lambda x, f: mix(x, _grey(x).mean((1, 2, 3), keepdim=True), f),
    "saturation": lambda x, f: mix(x, _grey(x), f),
    "hue": _turn_hue,
}


TRANSFORMS: dict[str, type[Transform]] = {
    cls.__name__: cls
    for cls in (
        *(HorizontalFlip, ResNetCrop, RandomCrop, Translate, Rotate, Stretch, Shear, LensDistortion),
        ColourJitter,
    )
}
