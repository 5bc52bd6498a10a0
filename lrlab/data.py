"""The data sets of the course, as tensors that lie on the device.

| name            | what                                      | train / validation / test | from                   |
|-----------------|-------------------------------------------|---------------------------|------------------------|
| `digits`        | handwritten digits, 1 x 8 x 8             | 1,197 / 300 / 300         | scikit-learn, embedded |
| `glyphs`        | printed letters and digits, 1 x 16 x 16   | 8,000 / 2,000 / 2,000     | matplotlib's fonts     |
| `photos`        | two photographs, 3 x 427 x 640            | 2 / 0 / 0                 | scikit-learn, embedded |
| `fashion-mnist` | clothes, 1 x 28 x 28                      | 54,000 / 6,000 / 10,000   | torchvision, download  |
| `cifar10`       | small photographs, 3 x 32 x 32            | 45,000 / 5,000 / 10,000   | torchvision, download  |

Your own images come from a folder (`from_folder`), your own tensors or arrays by `from_tensors`.

Two folders are used, and only when needed: ``LRLAB_CACHE`` for drawn glyphs (by default the user's cache folder) and
``LRLAB_DATA`` for downloads (by default ``data`` in it).
"""

from __future__ import annotations

import difflib
import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import platformdirs
import sklearn.datasets
import torch
from torch import Tensor

from lrlab import _folders, downloads, glyphs
from lrlab._examples import checked_classes, checked_examples, checked_labels, held_out


class Split(NamedTuple):
    """Examples and their labels: ``x [N, ...]`` float32, ``y [N]`` int64."""

    x: Tensor
    y: Tensor


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """A data set for classification, on one device.

    Attributes:
        name: what `load` calls it, or the user's own name.
        description: one line.
        train, validation, test: three `Split` with no example in common.
        classes: the name of each class; label k is ``classes[k]``.
        image_shape: shape of one example, ``(channels, height, width)`` for images.
        mean, scale: per channel. Images are stored as ``x = (pixel - mean) / scale`` with pixels in [0, 1], where mean
            and scale are the mean and the standard deviation over the training split only. (0,) and (1,): as they were.
        source: the arguments of `load` that give this data set again; None for the user's own tensors.
    """

    name: str
    description: str
    train: Split
    validation: Split
    test: Split
    classes: tuple[str, ...]
    image_shape: tuple[int, ...]
    mean: tuple[float, ...] = (0.0,)
    scale: tuple[float, ...] = (1.0,)
    source: Mapping[str, Any] | None = None

    def to(self, device: str | torch.device | None = None, dtype: torch.dtype | None = None) -> Dataset:
        """The same data on another device (see `resolve_device`) or with x of another dtype; labels stay int64."""
        place = None if device is None else resolve_device(device)
        moved = (Split(s.x.to(place, dtype), s.y.to(place)) for s in (self.train, self.validation, self.test))
        train, validation, test = moved
        return replace(self, train=train, validation=validation, test=test)

    def pixels(self, x: Tensor) -> Tensor:
        """Undo the standardisation, to look at images: ``x [..., C, H, W]`` -> pixels in [0, 1], same shape."""
        if len(self.image_shape) != 3:
            raise ValueError(f"{self.name} has no images: an example has shape {self.image_shape}")
        mean, scale = (torch.tensor(v, dtype=x.dtype, device=x.device).view(-1, 1, 1) for v in (self.mean, self.scale))
        return x * scale + mean

    def __repr__(self) -> str:
        sizes = f"{len(self.train.y):,} train, {len(self.validation.y):,} validation, {len(self.test.y):,} test"
        return f"Dataset({self.name}: {sizes}; {'x'.join(map(str, self.image_shape))}; {len(self.classes)} classes)"


def names() -> tuple[str, ...]:
    """The names `load` knows."""
    return tuple(_SOURCES)


def load(
    name: str, device: str | torch.device = "auto", seed: int = 0, *, per_class: int | None = None, **options: Any
) -> Dataset:
    """Load a data set by name, split into training, validation and test examples.

    Splits are stratified: each class has the same share in all three. Images are standardised per channel with the
    mean and standard deviation of the training split (see `Dataset`); ``photos`` keeps its pixels in [0, 1].

    Args:
        name: one of `names`; or ``"folder"``, with ``path=`` and the other arguments of `from_folder`.
        device: see `resolve_device`.
        seed: fixes the split, the choice of ``per_class`` and the drawing of glyphs. The same seed gives the same data.
        per_class: keep only that many training examples of each class; validation and test stay whole. With the same
            seed, the smaller choices are part of the larger ones.
        options: for ``glyphs``, ``count=12_000`` images, ``side=16`` pixels, ``characters="0…9A…Z"``; for
            ``fashion-mnist`` and ``cifar10``, ``download=True`` to fetch them if they are not there.

    Raises:
        ValueError: unknown name or device, or a value outside its range.
        TypeError: an option the data set does not have.
        FileNotFoundError: a data set that was not downloaded yet.
        ConnectionError: a download that failed.

    Example:
        >>> load("digits", device="cpu")
        Dataset(digits: 1,197 train, 300 validation, 300 test; 1x8x8; 10 classes)
    """
    if name == "folder":
        return from_folder(device=device, seed=seed, per_class=per_class, **options)
    if not isinstance(name, str) or name not in _SOURCES:
        nearest = difflib.get_close_matches(str(name).lower(), _SOURCES, n=1)
        hint = f"; did you mean {nearest[0]!r}?" if nearest else "."
        raise ValueError(
            f"unknown data set {name!r}{hint} Known: {', '.join(names())}. For your own data see data.from_folder and"
            " data.from_tensors."
        )
    known = list(inspect.signature(_SOURCES[name]).parameters)[1:]
    if unknown := [option for option in options if option not in known]:
        raise TypeError(f"data set {name!r} has no option {unknown[0]!r}; it has {', '.join(['per_class', *known])}")
    seed = _whole("seed", seed, at_least=0)
    place = resolve_device(device)
    images = _few(_SOURCES[name](seed, **options), per_class)
    source = {"name": name, "seed": seed, "per_class": per_class, **options}
    source = {key: _plain(value) for key, value in source.items() if value is not None and key != "download"}
    return _on_device(name, images, place, source)


def from_folder(
    path: str | os.PathLike[str],
    *,
    side: int | None = None,
    grey: bool | None = None,
    validation: float = 0.2,
    test: float = 0.2,
    per_class: int | None = None,
    device: str | torch.device = "auto",
    seed: int = 0,
    digest: str | None = None,
) -> Dataset:
    """Your own images: a folder with one folder of images per class, whose name is the name of the class.

    Every image is brought to one size and to grey or RGB: turned as its EXIF orientation says, laid on white where it
    is transparent, cropped to the middle, resized (bicubic, antialiased). 16-bit grey keeps its upper eight bits; of an
    animation the first picture is taken. Images are then standardised as `load` does.

    Files that are no images, damaged, or of more than 89 million pixels (`PIL.Image.MAX_IMAGE_PIXELS`) are skipped; a
    warning counts them and names the first ten. Hidden files are not looked at.

    Args:
        path: the folder, ``pets/cat/*.jpg``, ``pets/dog/*.jpg``. Or it holds ``train``, ``validation`` (``valid``,
            ``val``) and ``test``, each with all class folders; a part that is missing is then taken from ``train``.
        side: width and height in pixels. None: as they are where all have one size, else 64.
        grey: True: one channel; False: three; None: one where no file has colour (a palette counts as colour).
        validation, test: shares of the images for the parts that have no folder of their own, each in [0, 1), together
            less than 1.
        per_class: keep only that many training images of each class, as `load` does.
        device: see `resolve_device`.
        seed: fixes the split, which is stratified.
        digest: that of an earlier `Dataset.source`: an error if names or contents of the images are not those any more.

    Returns:
        A data set whose ``source`` is JSON, so that a run on it can be replayed. It holds the path as it was given: a
        relative one is looked for in the current folder again.

    Raises:
        FileNotFoundError, NotADirectoryError: there is no such folder; an archive must be unpacked first.
        ValueError: fewer than two classes; a class that is missing in one part or has no image; too few images of a
            class for each part to get one; images that would not fit into memory; another digest.
        TypeError: an argument of the wrong kind.
    """
    place, seed = resolve_device(device), _whole("seed", seed, at_least=0)
    side = None if side is None else _whole("side", side)
    if grey is not None and not isinstance(grey, bool):
        raise TypeError(f"grey must be True, False or None (as the files are), got {grey!r}")
    found = _folders.read(path, side, grey)
    name = _folders.folder_at(path).resolve().name
    _folders.warn_of_skipped(name, found.skipped)
    if digest not in (None, found.digest):
        raise ValueError(
            f"the images in {os.fspath(path)} are not those of the digest {digest!r}: files were added, removed,"
            f" renamed or changed since (now {found.digest!r}). Put the former ones back, or leave digest out"
        )
    parts = _shared_out(found, validation, test, seed)
    count, (channels, height, width) = sum(len(p.labels) for p in parts), parts[0].pixels.shape[1:]
    description = f"{count:,} images, {width} x {height} pixels, {'grey' if channels == 1 else 'RGB'} (a folder)"
    images = _few(_Images(description, found.classes, 255, *parts), per_class)
    source = {"path": os.fspath(path), "side": side, "grey": grey, "validation": validation, "test": test}
    source = {"name": "folder", "seed": seed, "per_class": per_class, **source, "digest": found.digest}
    source = {key: _plain(value) for key, value in source.items() if value is not None}
    return _on_device(name, images, place, source)


def from_tensors(
    x: Tensor | npt.NDArray,
    y: Tensor | npt.NDArray,
    *,
    classes: Sequence[str] | None = None,
    validation: float = 0.2,
    test: float = 0.2,
    name: str = "your data",
    device: str | torch.device = "auto",
    seed: int = 0,
) -> Dataset:
    """Make a `Dataset` of your own examples, with a seeded, stratified split.

    Args:
        x: ``[N, ...]``, tensor or array. Kept as it is, as float32; only bytes (uint8) are taken for pixels and divided
            by 255.
        y: ``[N]``, whole numbers from 0 to K - 1.
        classes: names of the K classes; without names, each of the numbers must occur.
        validation, test: shares of the N examples, each in [0, 1), together less than 1.
        name: how plots and runs call the data.
        device: see `resolve_device`.
        seed: fixes the split.

    Raises:
        TypeError: x or y is neither a tensor nor an array.
        ValueError: anything else that is wrong with them; the message says what.

    Example:
        >>> from_tensors(torch.randn(50, 2), torch.arange(50) % 2, device="cpu")
        Dataset(your data: 30 train, 10 validation, 10 test; 2; 2 classes)
    """
    examples, labels = checked_examples(x), checked_labels(y)
    if len(examples) != len(labels):
        raise ValueError(f"x and y must be equally long: x has {len(examples)} examples, y has {len(labels)} labels")
    names = checked_classes(labels, classes)
    sizes = held_out(len(labels), validation, test)
    place = resolve_device(device)
    splits = []
    for part in _split(labels, *sizes, seed=_whole("seed", seed, at_least=0)):
        index = torch.from_numpy(part)
        splits.append(Split(examples[index.to(examples.device)].to(place), torch.from_numpy(labels)[index].to(place)))
    shape = tuple(examples.shape[1:])
    description = f"{len(labels):,} examples of shape {shape} in {len(names)} classes"
    return Dataset(name, description, splits[0], splits[1], splits[2], names, shape)


def resolve_device(device: str | torch.device = "auto") -> torch.device:
    """The device that a name means, after checking that it is there.

    Args:
        device: ``"auto"`` (CUDA if there is one, else the CPU), ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``.

    Raises:
        ValueError: an unknown device, or one this machine does not have.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        place = torch.device(device)
    except (RuntimeError, TypeError):
        place = None
    if place is None or place.type not in ("cpu", "cuda", "mps"):
        raise ValueError(f"unknown device {device!r}; known: 'auto', 'cpu', 'cuda', 'cuda:N', 'mps'")
    if place.type == "mps" and not torch.backends.mps.is_available():
        raise ValueError("device='mps' is not available: torch finds no Apple GPU. Use 'auto' or 'cpu'.")
    if place.type == "cuda":
        here = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (place.index or 0) >= here:
            raise ValueError(
                f"device='{place}' is not available: torch finds {here} CUDA devices. Use 'auto' or 'cpu'."
            )
        # A tensor's device always has a number; without one the two would not compare equal.
        place = torch.device("cuda", torch.cuda.current_device() if place.index is None else place.index)
    return place


def cache_folder() -> Path:
    """Where drawn glyphs are kept: ``LRLAB_CACHE``, or the platform's cache folder for the user."""
    return Path(os.environ.get("LRLAB_CACHE") or platformdirs.user_cache_dir("lrlab", appauthor=False)).expanduser()


def data_folder() -> Path:
    """Where downloaded data sets are kept: ``LRLAB_DATA``, or ``data`` in the cache folder."""
    return Path(os.environ.get("LRLAB_DATA") or cache_folder() / "data").expanduser()


def at_hand(name: str) -> bool:
    """Can the data set be loaded without a network? (Only looks whether the files are there, does not read them.)"""
    return name not in downloads.SOURCES or downloads.at_hand(name, data_folder())


# The sources ------------------------------------------------------------------------------------------------------


class _Part(NamedTuple):
    pixels: npt.NDArray[np.uint8]  # [N, C, H, W]
    labels: npt.NDArray[np.int64]  # [N]


class _Images(NamedTuple):
    """Images as they come: whole grey levels from 0 to ``white``."""

    description: str
    classes: tuple[str, ...]
    white: int
    train: _Part
    validation: _Part
    test: _Part
    standardise: bool = True


def _digits(seed: int) -> _Images:
    bunch = sklearn.datasets.load_digits()
    whole = _Part(bunch.images[:, None].astype(np.uint8), bunch.target.astype(np.int64))
    description = "1,797 handwritten digits of 13 writers, 8 x 8 pixels (UCI, through scikit-learn)"
    return _Images(description, tuple("0123456789"), 16, *_split_part(whole, 300, 300, seed))


def _glyphs(seed: int, count: int = 12_000, side: int = 16, characters: str = glyphs.CHARACTERS) -> _Images:
    if not isinstance(characters, str) or len(characters) < 2:
        raise ValueError(f"characters must be a text of at least two characters, got {characters!r}")
    if repeated := {character for character in characters if characters.count(character) > 1}:
        raise ValueError(f"characters={characters!r}: each must occur once, but {sorted(repeated)} repeat")
    side = _whole("side", side, at_least=8, at_most=128)
    count = _whole("count", count, at_least=6 * len(characters))
    pixels, labels = glyphs.pictures(count, side, characters, seed, cache_folder())
    description = f"{count:,} printed characters in many faces, {side} x {side} pixels (drawn from matplotlib's fonts)"
    parts = _split_part(_Part(pixels, labels), count // 6, count // 6, seed)
    return _Images(description, tuple(characters), 255, *parts)


def _photos(seed: int) -> _Images:
    images = np.stack(sklearn.datasets.load_sample_images().images).transpose(0, 3, 1, 2)
    whole = _Part(np.ascontiguousarray(images), np.arange(2))
    none = _Part(whole.pixels[:0], whole.labels[:0])
    description = "two photographs, a Chinese temple and a flower (scikit-learn); for augmentation, not for training"
    return _Images(description, ("china", "flower"), 255, whole, none, none, standardise=False)


def _fashion_mnist(seed: int, download: bool = False) -> _Images:
    description = "70,000 grey pictures of clothes, 28 x 28 pixels (Zalando, through torchvision)"
    return _downloaded("fashion-mnist", description, seed, download)


def _cifar10(seed: int, download: bool = False) -> _Images:
    description = "60,000 small colour photographs, 32 x 32 pixels (Krizhevsky, through torchvision)"
    return _downloaded("cifar10", description, seed, download)


_SOURCES: dict[str, Callable[..., _Images]] = {
    "digits": _digits,
    "glyphs": _glyphs,
    "photos": _photos,
    "fashion-mnist": _fashion_mnist,
    "cifar10": _cifar10,
}


def _downloaded(name: str, description: str, seed: int, download: bool) -> _Images:
    if not isinstance(download, bool):
        raise TypeError(f"download must be True or False, got {download!r}")
    train, test = downloads.read(name, data_folder(), download)
    tenth = len(train.targets) // 10
    kept, validation, _ = _split_part(_as_part(train), tenth, 0, seed)
    return _Images(description, tuple(train.classes), 255, kept, validation, _as_part(test))


def _as_part(files: Any) -> _Part:
    pixels = np.asarray(files.data)
    pixels = pixels[:, None] if pixels.ndim == 3 else pixels.transpose(0, 3, 1, 2)
    return _Part(pixels, np.asarray(files.targets, dtype=np.int64))


# Splitting and standardising --------------------------------------------------------------------------------------


def _stratified_order(labels: npt.NDArray[np.int64], seed: int) -> npt.NDArray[np.int64]:
    """A random order of which every beginning has each class in its share, give or take one example.

    Example number r of the m in a class stands at position (r + 1/2) / m between 0 and 1; equal positions at random.
    """
    generator = np.random.default_rng(seed)
    shuffled = generator.permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    sizes = np.bincount(labels)
    first = np.cumsum(sizes) - sizes
    rank = np.arange(len(labels)) - first[labels[by_class]]
    position = (rank + 0.5) / sizes[labels[by_class]]
    return by_class[np.lexsort((generator.random(len(labels)), position))]


def _split(labels: npt.NDArray[np.int64], validation: int, test: int, seed: int) -> tuple[npt.NDArray[np.int64], ...]:
    """Indices of the training, validation and test examples."""
    order = _stratified_order(labels, seed)
    return order[test + validation :], order[test : test + validation], order[:test]


def _split_part(whole: _Part, validation: int, test: int, seed: int) -> tuple[_Part, _Part, _Part]:
    train, middle, last = (
        _Part(whole.pixels[i], whole.labels[i]) for i in _split(whole.labels, validation, test, seed)
    )
    return train, middle, last


def _shared_out(found: _folders.Folder, validation: float, test: float, seed: int) -> tuple[_Part, _Part, _Part]:
    """Training, validation and test part of a folder; those it does not have are taken from its training images."""
    whole = _Part(*found.parts["train"])
    shares = {"validation": validation, "test": test}
    sizes = held_out(len(whole.labels), *(0 if part in found.parts else share for part, share in shares.items()))
    taken = dict(zip(("train", *shares), _split_part(whole, *sizes, seed), strict=True))
    given = {part: _Part(*found.parts[part]) for part in shares if part in found.parts}
    parts = {**taken, **given}
    for part, (_, labels) in parts.items():
        lacking = np.flatnonzero(np.bincount(labels, minlength=len(found.classes)) == 0)
        if len(labels) and len(lacking):
            count = int((whole.labels == lacking[0]).sum())
            raise ValueError(
                f"class {found.classes[lacking[0]]!r} has too few images ({count}): none falls into the {part} part"
                f" with validation={validation} and test={test}: add images, or change the shares (0: no such part)"
            )
    return parts["train"], parts["validation"], parts["test"]


def _few(images: _Images, per_class: int | None) -> _Images:
    """The images with only so many training examples of each class, if a number is given."""
    if per_class is None:
        return images
    return images._replace(train=_keep(images, _whole("per_class", per_class)))


def _keep(images: _Images, per_class: int) -> _Part:
    """The first examples of each class; the training split is in a random order."""
    pixels, labels = images.train
    fewest = int(np.bincount(labels, minlength=len(images.classes)).min())
    if per_class > fewest:
        raise ValueError(f"per_class={per_class}, but one class has only {fewest} training examples")
    chosen = np.sort(np.concatenate([np.flatnonzero(labels == k)[:per_class] for k in range(len(images.classes))]))
    return _Part(pixels[chosen], labels[chosen])


def _mean_and_scale(pixels: npt.NDArray[np.uint8], white: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel of pixels / white.

    Counted by grey level: exact, and the same with any number of threads, as a sum of millions of floats is not.
    """
    means, scales = [], []
    for channel in pixels.swapaxes(0, 1):
        levels, counts = np.unique(channel, return_counts=True)
        mean = np.average(levels, weights=counts)
        means.append(float(mean / white))
        scales.append(float(np.sqrt(np.average((levels - mean) ** 2, weights=counts)) / white) or 1.0)
    return tuple(means), tuple(scales)


def _on_device(name: str, images: _Images, device: torch.device, source: Mapping[str, Any]) -> Dataset:
    mean, scale = _mean_and_scale(images.train.pixels, images.white) if images.standardise else ((0.0,), (1.0,))
    centre, spread = (torch.tensor(per_channel, device=device).view(-1, 1, 1) for per_channel in (mean, scale))

    def move(part: _Part) -> Split:
        # Bytes go to the device and become floats there: a quarter of the transfer.
        x = torch.from_numpy(np.ascontiguousarray(part.pixels)).to(device).float().div_(images.white)
        return Split(x.sub_(centre).div_(spread), torch.from_numpy(part.labels).to(device))

    train, validation, test = move(images.train), move(images.validation), move(images.test)
    shape = tuple(train.x.shape[1:])
    return Dataset(name, images.description, train, validation, test, images.classes, shape, mean, scale, source)


def _whole(argument: str, value: Any, at_least: int = 1, at_most: int | None = None) -> int:
    allowed = f"a whole number from {at_least}" + (" on" if at_most is None else f" to {at_most}")
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool):
        raise TypeError(f"{argument} must be {allowed}, got {value!r}")
    if value < at_least or (at_most is not None and value > at_most):
        raise ValueError(f"{argument} must be {allowed}, got {value}")
    return int(value)


def _plain(value: Any) -> Any:
    """JSON has no numpy integers."""
    return int(value) if isinstance(value, np.integer) else value
