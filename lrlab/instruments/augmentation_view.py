"""The augmentation view: one picture, what a pipeline makes of it, and two pictures mixed into one."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lrlab import data as data_sets
from lrlab import figures
from lrlab.augmentation import Pipeline
from lrlab.data import Dataset
from lrlab.instruments.instrument import Instrument
from lrlab.instruments.picture_dials import DIALS, as_its_kind, words_of
from lrlab.instruments.racers import unknown
from lrlab.mixing import box, check_between, mix, outside, paste
from lrlab.transforms import ColourJitter, HorizontalFlip, Rotate, Stretch, Transform, Translate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lrlab.instruments.page import Page

DRAWS = 11  # with the picture itself two rows of six, or three of four
MOST_DIALS = 6
MOST_PICTURES = 12
LONGEST_SIDE = 192  # pixels that the page gets of a picture
SHOWN = {"draws": "draws", "mixup": "mixup, CutMix"}


class AugmentationView(Instrument):
    """An instrument on augmentation: a slider for each transform, eleven draws of the pipeline, and the code for it.

    It also mixes two pictures: mixup and CutMix with λ by hand, and the soft label beside. Everything shown is made by
    `lrlab.augmentation`: ``view.pipeline.batched`` gives the same draws, and `code` makes the same pipeline.

    Args:
        pictures: a data set or its name (one picture of each class, up to twelve), or pictures of your own,
            ``[C, H, W]`` or ``[N, C, H, W]`` with 1 or 3 channels, pixels in [0, 1] or bytes. Those with more than 192
            pixels to a side are scaled down to that.
        pipeline: where it begins; each kind of transform at most once, the first six numbers with a slider. None: a
            usual one.

    Raises:
        TypeError, ValueError: pictures or a pipeline it cannot show; the message says what it can.

    >>> from lrlab import instruments
    >>> view = instruments.AugmentationView("digits")
    >>> view.turn("rotate", 90)
    >>> view.pipeline
    Pipeline(transforms=(Translate(pixels=1), Rotate(degrees=90), Stretch(by=0.1)), seed=0)
    """

    def __init__(
        self, pictures: str | Dataset | Tensor | np.ndarray = "photos", pipeline: Pipeline | None = None
    ) -> None:
        super().__init__()
        self._title, self._pixels, self.names = _pictures_of(pictures)
        self._size = (self._pixels.shape[2], self._pixels.shape[3])
        first = _usual(self._pixels) if pipeline is None else _checked_pipeline(pipeline)
        first.check(self._pixels.shape[1], self._size)
        self._first = first
        self._lam, self._picture, self._partner, self._shown = 0.7, 0, min(1, len(self.names) - 1), "draws"
        self._pipeline, self._dials = first, _dials_of(first)
        self._make()

    def __repr__(self) -> str:
        return f"AugmentationView({self._title})"

    # What is set -----------------------------------------------------------------------------------------------------

    @property
    def pipeline(self) -> Pipeline:
        """The pipeline as the sliders stand."""
        return self._pipeline

    @property
    def settings(self) -> dict[str, float]:
        """The sliders and their values, λ of the mixture among them."""
        return {**{key: getattr(self._transform(key), DIALS[key].name) for key in self._dials}, "lam": self._lam}

    @property
    def code(self) -> str:
        """The lines that make what is shown: the pipeline with its seed, or both mixtures of a and b (labels y)."""
        if self._shown == "mixup":
            centre, size = self._centre(), self._size
            return (
                "from lrlab.mixing import box, mix, outside, paste\n\n"
                f"x, y = mix(a, b, {self._lam:g}), mix(y_a, y_b, {self._lam:g})  # mixup\n\n"
                f"cut = box({self._lam:g}, centre={centre}, size={size})\n"
                f"x, y = paste(a, b, cut), mix(y_a, y_b, outside(cut, {size}))  # CutMix"
            )
        names = sorted({"Pipeline", *(type(transform).__name__ for transform in self._pipeline.transforms)})
        body = "".join(f"    {transform!r},\n" for transform in self._pipeline.transforms)
        inside = f"(\n{body})" if body else "()"
        return (
            f"from lrlab.augmentation import {', '.join(names)}\n\n"
            f"pipeline = Pipeline({inside}, seed={self._pipeline.seed})"
        )

    def turn(self, dial: str, value: Any) -> None:
        """Turn a slider: one of `settings`.

        Raises:
            TypeError, ValueError: no such slider (the nearest is suggested), or a value it does not accept.
        """
        if dial == "lam":
            check_between("λ, the share of the first picture,", value, 0, 1)
            with self._lock:
                self._lam = float(value)
                self._make()
        else:
            self._check_dial(dial)
            transform = self._transform(dial)
            changed = dataclasses.replace(transform, **{DIALS[dial].name: as_its_kind(dial, value)})
            self._take([changed if part is transform else part for part in self._pipeline.transforms])
        self._show_news()

    def add(self, transform: str) -> None:
        """Add a transform (or one of the colours) with a usual value, at the end of the pipeline.

        Raises:
            ValueError: no such transform, it is there already, or there are six sliders.
        """
        if transform not in DIALS:
            raise ValueError(unknown("transform", transform, list(DIALS), of="this view"))
        if transform in self._dials:
            raise ValueError(f"{transform!r} is in the pipeline already: turn it")
        if len(self._dials) >= MOST_DIALS:
            raise ValueError(f"{MOST_DIALS} sliders are as many as one can follow: remove one first")
        dial = DIALS[transform]
        new = dial.first(self._size)
        parts = list(self._pipeline.transforms)
        present = [part for part in parts if type(part) is dial.cls]
        if present:  # a colour joins the others
            value = getattr(new, dial.name)
            parts[parts.index(present[0])] = dataclasses.replace(present[0], **{dial.name: value})
        else:
            parts.append(new)
        self._take(parts, [*self._dials, transform])
        self._show_news()

    def remove(self, transform: str) -> None:
        """Take a transform (or one of the colours) out of the pipeline.

        Raises:
            ValueError: it is not there.
        """
        self._check_dial(transform)
        part, rest = self._transform(transform), [key for key in self._dials if key != transform]
        parts = [other for other in self._pipeline.transforms if other is not part]
        if any(DIALS[key].cls is type(part) for key in rest):
            place = self._pipeline.transforms.index(part)
            parts.insert(place, dataclasses.replace(part, **{DIALS[transform].name: 0.0}))
        self._take(parts, rest)
        self._show_news()

    def new_draws(self) -> None:
        """Draw again, with the next seed."""
        with self._lock:
            self._pipeline = dataclasses.replace(self._pipeline, seed=self._pipeline.seed + 1)
            self._make()
        self._show_news()

    def choose(self, picture: str, partner: str | None = None) -> None:
        """Show another picture, or mix with another partner: by their `names`.

        Raises:
            ValueError: no such picture.
        """
        for name in (picture, partner):
            if name is not None and name not in self.names:
                raise ValueError(unknown("picture", name, self.names, of="this view"))
        with self._lock:
            self._picture = self.names.index(picture)
            self._partner = self._partner if partner is None else self.names.index(partner)
            self._make()
        self._show_news()

    def show(self, what: str) -> None:
        """Show ``"draws"`` of the pipeline, or ``"mixup"``: two pictures mixed.

        Raises:
            ValueError: neither.
        """
        if what not in SHOWN:
            raise ValueError(f"what = {what!r} cannot be shown; there are: {', '.join(SHOWN)}")
        with self._lock:
            self._shown = what
        self._show_news()

    def reset(self) -> None:
        """Back to the first pipeline and its seed."""
        with self._lock:
            self._lam = 0.7
            self._pipeline, self._dials = self._first, _dials_of(self._first)
            self._make()
        self._show_news()

    def _take(self, parts: list[Transform], dials: list[str] | None = None) -> None:
        pipeline = Pipeline(tuple(parts), self._pipeline.seed)
        pipeline.check(self._pixels.shape[1], self._size)
        with self._lock:
            self._pipeline, self._dials = pipeline, self._dials if dials is None else dials
            self._make()

    def _transform(self, dial: str) -> Transform:
        return next(part for part in self._pipeline.transforms if type(part) is DIALS[dial].cls)

    def _check_dial(self, dial: str) -> None:
        if dial not in self._dials:
            raise ValueError(unknown("slider", dial, [*self._dials, "lam"], of="this view"))

    # What came of it -------------------------------------------------------------------------------------------------

    def draws(self) -> Tensor:
        """What the pipeline makes of the picture: pixels ``[11, C, h, w]`` in [0, 1]."""
        return self._draws.clone()

    def mixture(self) -> dict[str, tuple[Tensor, dict[str, float]]]:
        """By mixup and by CutMix: the picture ``[C, H, W]``, and its soft label, the share of each class in it."""
        return {how: (picture.clone(), dict(label)) for how, (picture, label) in self._mixtures.items()}

    def _centre(self) -> tuple[int, int]:
        """Where CutMix's box lies for this seed: a pixel (row, column)."""
        rng = np.random.default_rng(self._pipeline.seed)
        return int(rng.integers(self._size[0])), int(rng.integers(self._size[1]))

    def _make(self) -> None:
        picture, other = self._pixels[self._picture], self._pixels[self._partner]
        drawn = self._pipeline.draw(DRAWS, self._size, self._pipeline.seed)
        draws = self._pipeline.apply(picture.expand(DRAWS, -1, -1, -1), drawn).clamp(0, 1)
        cut = box(self._lam, self._centre(), self._size)
        mixtures = {
            "mixup": (mix(picture, other, self._lam), self._label(self._lam)),
            "CutMix": (paste(picture, other, cut), self._label(outside(cut, self._size))),
        }
        # At once: a cell and a page may each be on a thread of its own, and none shall see half of it.
        self._draws, self._mixtures, self._words = draws, mixtures, [words_of(drawn, i) for i in range(DRAWS)]

    def _label(self, lam: float) -> dict[str, float]:
        first, second = self.names[self._picture], self.names[self._partner]
        return {first: 1.0} if first == second else {first: lam, second: 1 - lam}

    def figure(self) -> Figure:
        """The picture and its draws, or the two pictures and their mixtures, as a matplotlib figure."""
        with self._lock:
            if self._shown == "mixup":
                mixed = [(_label_words(label), picture) for picture, label in self._mixtures.values()]
                shown = [(self.names[i], self._pixels[i]) for i in (self._picture, self._partner)] + mixed
                title, rows = f"Two pictures, mixed with λ = {self._lam:g}: on the left mixup, on the right CutMix", 1
            else:
                shown = [("as it is", self._pixels[self._picture]), *(("", draw) for draw in self._draws)]
                title, rows = f"{self._name}, and eleven draws of a pipeline", 2
            height, width = self._size
            columns = len(shown) // rows
            size = (6.0, 0.6 + rows * (6.0 / columns * height / width + 0.2))  # photographs: a wider PNG is too large
            fig, axes = figures.figure(title, rows, columns, size=size, sharex=False)
            for ax, (words, picture) in zip(np.ravel(axes), shown, strict=True):
                pixels = picture.permute(1, 2, 0).numpy().repeat(3 // len(picture), -1)
                ax.imshow(pixels, interpolation="nearest" if max(self._size) < 64 else "antialiased")
                ax.set_title(words, fontsize=9)
                ax.axis("off")
        return fig

    @property
    def _name(self) -> str:
        return f"{self.names[self._picture]} of {self._title}"

    @property
    def alt(self) -> str:
        """What `figure` shows, in words."""
        with self._lock:
            if self._shown == "mixup":
                labels = "; ".join(f"{how}: {_label_words(label)}" for how, (_, label) in self._mixtures.items())
                first, second = self.names[self._picture], self.names[self._partner]
                return (
                    f"Augmentation view: {first} and {second} of {self._title}, mixed with λ = {self._lam:g}. {labels}."
                )
            steps = ", ".join(map(repr, self._pipeline.transforms)) or "nothing"
            return f"Augmentation view: {self._name}, and {DRAWS} draws with seed {self._pipeline.seed} of {steps}."

    def _picture_key(self) -> Any:
        return (self._pipeline, self._lam, self._picture, self._partner, self._shown)

    # The page --------------------------------------------------------------------------------------------------------

    def _new_page(self) -> Page:
        from lrlab.instruments.page import AugmentationPage  # a page opens a channel: not before it is needed

        return AugmentationPage(repr(self), self._hear)

    def _obey(self, message: dict[str, Any]) -> None:
        match message:
            case {"do": "turn", "knob": str(dial), "value": value}:
                self.turn(dial, value)
            case {"do": "add", "transform": str(transform)}:
                self.add(transform)
            case {"do": "remove", "transform": str(transform)}:
                self.remove(transform)
            case {"do": "draw"}:
                self.new_draws()
            case {"do": "choose", "picture": str(picture), "partner": str(partner)}:
                self.choose(picture, partner)
            case {"do": "show", "what": str(what)}:
                self.show(what)
            case {"do": "reset"}:
                self.reset()
            case _:
                raise ValueError(f"the page sent {message!r}, which this view does not know")

    def _state(self) -> dict[str, Any]:
        channels = self._pixels.shape[1]
        settings = self.settings
        return {
            "title": self._title,
            "size": [channels, *self._size],
            "names": self.names,
            "picture": self.names[self._picture],
            "partner": self.names[self._partner],
            "shown": self._shown,
            "choices": list(SHOWN.items()),
            "seed": self._pipeline.seed,
            "knobs": [self._dial(key, settings[key]) for key in self._dials]
            if self._shown == "draws"
            else [self._lambda()],
            "missing": [[key, key] for key in self._can_be_added()],
            "words": self._words,
            "labels": [[how, list(label.items())] for how, (_, label) in self._mixtures.items()],
            "code": self.code,
            "alt": self.alt,
        }

    def _can_be_added(self) -> list[str]:
        grey = self._pixels.shape[1] == 1
        return [key for key in DIALS if key not in self._dials and not (grey and key in ("saturation", "hue"))]

    def _dial(self, key: str, value: float) -> dict[str, Any]:
        """A slider as controls.js knows it: its name, value, scale and ends."""
        dial = DIALS[key]
        low, high = dial.ends(self._transform(key), self._size)
        ends = {"low": min(low, value), "high": max(high, value)}
        return {"name": key, "label": dial.label, "value": value, "scale": dial.scale, **ends}

    def _lambda(self) -> dict[str, Any]:
        ends = {"low": 0.0, "high": 1.0}
        return {"name": "lam", "label": "λ, the share of the first", "value": self._lam, "scale": "share", **ends}

    def _news(self, fresh: bool) -> tuple[dict[str, Any], list[bytes]]:
        key = self._picture_key()
        if not fresh and key == getattr(self, "_sent", None):
            return {}, []
        self._sent = key
        if self._shown == "mixup":
            pictures = [self._pixels[[self._picture, self._partner]]]
            pictures += [torch.stack([picture for picture, _ in self._mixtures.values()])]
        else:
            pictures = [self._pixels[[self._picture]], self._draws]
        bytes_of = [(255 * p).round().byte().permute(0, 2, 3, 1).contiguous() for p in map(_small, pictures)]
        return {"shapes": [list(p.shape) for p in bytes_of]}, [p.numpy().tobytes() for p in bytes_of]


def _dials_of(pipeline: Pipeline) -> list[str]:
    """The sliders of a pipeline, at most six."""
    return [
        key
        for part in pipeline.transforms
        for key, dial in DIALS.items()
        if type(part) is dial.cls and (dial.cls is not ColourJitter or getattr(part, dial.name))
    ][:MOST_DIALS]


def _label_words(label: dict[str, float]) -> str:
    return ", ".join(f"{name} {share:.2f}" for name, share in label.items())


# What is given, and whether it is right -------------------------------------------------------------------------------


def _pictures_of(given: Any) -> tuple[str, Tensor, list[str]]:
    """A title, pixels ``[N, C, H, W]`` in [0, 1] on the CPU, and a name for each."""
    if isinstance(given, str):
        given = data_sets.load(given, device="cpu")
    if isinstance(given, Dataset):
        first = [int((given.train.y == label).nonzero()[0]) for label in range(min(len(given.classes), MOST_PICTURES))]
        pixels = given.pixels(given.train.x[first]).cpu().float()
        title, names = given.name, list(given.classes[: len(first)])
    else:
        title, pixels = "your pictures", _own_pictures(given)
        names = [f"picture {number + 1}" for number in range(len(pixels))]
    if pixels.shape[1] not in (1, 3):
        raise ValueError(f"pictures must have 1 channel (grey) or 3 (red, green, blue), got {pixels.shape[1]}")
    return title, _small(pixels).clamp(0, 1), names


def _own_pictures(given: Any) -> Tensor:
    if not isinstance(given, (Tensor, np.ndarray)):
        kind = type(given).__name__
        raise TypeError(f"pictures must be a data set, its name, or a tensor or array [N, C, H, W], not {kind}")
    pixels = torch.as_tensor(given).cpu()
    if pixels.dtype == torch.uint8:
        pixels = pixels / 255
    if not pixels.is_floating_point():
        raise TypeError(f"pictures must be pixels in [0, 1] or bytes (uint8), not {pixels.dtype}")
    if pixels.dim() == 3:
        pixels = pixels[None]
    if pixels.dim() != 4 or not pixels.numel():
        raise ValueError(f"pictures must be [C, H, W] or [N, C, H, W], got {list(pixels.shape)}")
    if len(pixels) > MOST_PICTURES:
        raise ValueError(f"pictures are {len(pixels)}, but a menu holds {MOST_PICTURES}: give the first few")
    low, high = float(pixels.min()), float(pixels.max())
    if not (low >= -1e-3 and high <= 1 + 1e-3):
        raise ValueError(f"pictures must have pixels in [0, 1], these lie in [{low:.3g}, {high:.3g}]: divide by 255")
    return pixels.float()


def _small(pixels: Tensor) -> Tensor:
    """Pictures of at most 192 pixels to a side."""
    ratio = LONGEST_SIDE / max(pixels.shape[2:])
    if ratio >= 1:
        return pixels
    size = [max(1, round(ratio * side)) for side in pixels.shape[2:]]
    return F.interpolate(pixels, size, mode="bilinear", antialias=True).clamp(0, 1)


def _usual(pixels: Tensor) -> Pipeline:
    if pixels.shape[1] == 1:
        return Pipeline((Translate(max(1, min(pixels.shape[2:]) // 10)), Rotate(15), Stretch(0.1)))
    return Pipeline((HorizontalFlip(), Rotate(10), ColourJitter(0.3, 0.3, 0.3)))


def _checked_pipeline(pipeline: Any) -> Pipeline:
    if not isinstance(pipeline, Pipeline):
        raise TypeError(f"pipeline must be a lrlab.augmentation.Pipeline, not {pipeline!r}")
    kinds = [type(part) for part in pipeline.transforms]
    if twice := [kind.__name__ for kind in kinds if kinds.count(kind) > 1]:
        raise ValueError(f"pipeline has {twice[0]} more than once, and a slider turns one: leave the others out")
    return pipeline
