"""The augmentation view without a browser: its pipeline and its draws; mixtures; the messages; what it refuses."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
import torch

from lrlab import data, figures, instruments, mixing
from lrlab.augmentation import (
    ColourJitter,
    HorizontalFlip,
    LensDistortion,
    Mixup,
    Pipeline,
    RandomCrop,
    ResNetCrop,
    Rotate,
    Shear,
    Stretch,
    Translate,
)
from lrlab.instruments import instrument
from lrlab.instruments.augmentation_view import AugmentationView
from lrlab.instruments.picture_dials import DIALS


@pytest.fixture(scope="module")
def digits() -> data.Dataset:
    return data.load("digits", device="cpu")


def picture(digits: data.Dataset, label: int) -> torch.Tensor:
    """The first of its class, as pixels ``[1, 8, 8]``."""
    return digits.pixels(digits.train.x[(digits.train.y == label).nonzero()[0]])[0].clamp(0, 1)


def test_the_draws_are_those_of_its_pipeline(digits: data.Dataset) -> None:
    view = AugmentationView(digits, Pipeline((Rotate(40), HorizontalFlip(0.3)), seed=4))
    view.choose("7")
    for _ in range(2):
        x = picture(digits, 7).expand(11, -1, -1, -1)
        torch.testing.assert_close(view.draws(), view.pipeline.batched(x))
        view.new_draws()
    assert view.pipeline == Pipeline((Rotate(40), HorizontalFlip(0.3)), seed=6)


def test_the_code_makes_the_same_pipeline() -> None:
    view = AugmentationView("photos")
    for key in ("crop", "lens"):
        view.remove({"crop": "contrast", "lens": "flip"}[key])
        view.add(key)
    view.turn("rotate", 33)
    view.new_draws()
    made: dict[str, Any] = {}
    exec(view.code, made)
    assert made["pipeline"] == view.pipeline
    for key in [key for key in view.settings if key != "lam"]:
        view.remove(key)
    exec(view.code, made)
    assert made["pipeline"] == view.pipeline == Pipeline((), seed=1)
    assert torch.equal(view.draws()[3], view._pixels[0])


def test_the_mixtures_and_their_code(digits: data.Dataset) -> None:
    view = AugmentationView(digits)
    view.choose("3", "8")
    view.turn("lam", 0.6)
    view.show("mixup")
    a, b = picture(digits, 3), picture(digits, 8)
    mixed, label = view.mixture()["mixup"]
    torch.testing.assert_close(mixed, 0.6 * a + 0.4 * b)
    assert label == {"3": 0.6, "8": pytest.approx(0.4)}
    cut, shares = view.mixture()["CutMix"]
    from_b = float((cut != a).float().mean())
    assert sum(shares.values()) == pytest.approx(1) and shares["8"] >= from_b > 0
    y_a, y_b = (mixing.soft_labels(torch.tensor([label]), 10)[0] for label in (3, 8))
    made: dict[str, Any] = {"a": a, "b": b, "y_a": y_a, "y_b": y_b}
    exec(view.code, made)
    torch.testing.assert_close(made["x"], cut)
    torch.testing.assert_close(made["y"][[3, 8]], torch.tensor([shares["3"], shares["8"]]))
    view.choose("3", "3")
    assert view.mixture()["mixup"][1] == {"3": 1.0}


@pytest.mark.parametrize("key", DIALS)
def test_every_transform_can_be_added_turned_and_removed(key: str) -> None:
    view = AugmentationView("photos", Pipeline((Rotate(5), ColourJitter(0.0, 0.0, 0.0, 0.2))))
    assert list(view.settings) == ["rotate", "hue", "lam"]
    if key not in view.settings:
        view.add(key)
    before = view.draws()
    dial = next(dial for dial in view._state()["knobs"] if dial["name"] == key)
    assert dial["low"] <= dial["value"] <= dial["high"]
    for value in (dial["low"], dial["high"]):  # both ends of the slider are allowed
        view.turn(key, value)
        assert view.settings[key] == value
    assert not torch.equal(view.draws(), before)
    view.remove(key)
    assert key not in view.settings
    left = {type(part) for part in view.pipeline.transforms}
    assert left == {Rotate, ColourJitter} - ({Rotate} if key == "rotate" else {ColourJitter} if key == "hue" else set())


def test_turning_one_leaves_the_order_and_reset_brings_the_first_back() -> None:
    first = Pipeline((Shear(5), Translate(1), Stretch(0.2)), seed=2)
    view = AugmentationView("digits", first)
    view.turn("shift", 2.0)  # a page sends numbers without a kind
    assert view.pipeline == Pipeline((Shear(5), Translate(2), Stretch(0.2)), seed=2)
    view.add("lens")
    view.turn("lam", 0.1)
    view.reset()
    assert view.pipeline == first and view.settings == {"shear": 5, "shift": 1, "stretch": 0.2, "lam": 0.7}


def test_crops_are_shown_in_their_own_size() -> None:
    view = AugmentationView("photos", Pipeline((ResNetCrop.scaled(64), RandomCrop(60, 0))))
    assert view.draws().shape == (11, 3, 60, 60)
    news, buffers = view._news(True)
    assert news["shapes"] == [[1, 128, 192, 3], [11, 60, 60, 3]] and len(buffers[1]) == 11 * 60 * 60 * 3
    assert len(figures.png(view.figure())) < figures.LIMIT_BYTES


def test_name_picture_and_words() -> None:
    view = AugmentationView("photos")
    assert repr(view) == "AugmentationView(photos)" and instruments.AugmentationView is AugmentationView
    assert view.alt.startswith("Augmentation view: china of photos, and 11 draws with seed 0 of HorizontalFlip(p=0.5)")
    assert len(view.figure().axes) == 12
    view.show("mixup")
    assert "mixed with λ = 0.7. mixup: china 0.70, flower 0.30; CutMix: china 0." in view.alt
    assert [ax.get_title() for ax in view.figure().axes][:3] == ["china", "flower", "china 0.70, flower 0.30"]
    assert len(figures.png(view.figure())) < figures.LIMIT_BYTES
    flip = AugmentationView("digits", Pipeline((HorizontalFlip(1.0), Rotate(30), ColourJitter(0.5, 0.0, 0.0))))
    words = flip._state()["words"][0]
    drawn = flip.pipeline.draw(11, (8, 8), 0)
    angle, brightness = float(drawn[1]["angle"][0]), float(drawn[2]["brightness"][0])
    assert words == f"flipped, angle {angle:.3g}, brightness {brightness:.3g}"


def test_pictures_of_ones_own() -> None:
    bytes_of = (torch.rand(2, 3, 400, 300) * 255).byte()
    view = AugmentationView(bytes_of)
    assert view.names == ["picture 1", "picture 2"] and view._size == (192, 144)
    grey = AugmentationView(np.random.default_rng(0).random((1, 20, 20)))
    assert grey.names == ["picture 1"] and "saturation" not in dict(grey._state()["missing"])


def test_who_looks_while_a_slider_turns_sees_whole_pictures() -> None:
    view = AugmentationView("digits", Pipeline((Rotate(0.0),)))
    turning = threading.Thread(target=lambda: [view.turn("rotate", angle) for angle in range(40)])
    turning.start()
    while turning.is_alive():
        assert view.draws().shape == (11, 1, 8, 8) and len(view.alt) > 20
    torch.testing.assert_close(view.draws(), view.pipeline.batched(view._pixels[:1].expand(11, -1, -1, -1)))


class FakePage:
    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.pictures: list[np.ndarray] = []

    def tell(self, message: dict[str, Any], buffers: list[bytes]) -> None:
        self.messages.append(message)
        if buffers:
            pairs = zip(buffers, message["shapes"], strict=True)
            self.pictures = [np.frombuffer(part, np.uint8).reshape(shape) for part, shape in pairs]

    def close(self) -> None:
        pass


def test_a_page_is_answered_at_once() -> None:
    view, fake = AugmentationView("digits"), FakePage()
    view._belongings.page = fake  # type: ignore[assignment]
    view._publish_picture = lambda: setattr(view, "_pictured", view._picture_key())  # type: ignore[method-assign]
    wishes: list[dict[str, Any]] = [
        {"do": "hello"},
        {"do": "turn", "knob": "rotate", "value": 60},
        {"do": "add", "transform": "lens"},
        {"do": "remove", "transform": "shift"},
        {"do": "draw"},
        {"do": "turn", "knob": "rotate", "value": 600},
        {"do": "show", "what": "mixup"},
        {"do": "choose", "picture": "4", "partner": "5"},
        {"do": "turn", "knob": "lam", "value": 0.25},
        {"do": "reset"},
    ]
    for number, message in enumerate(wishes):
        view._hear({**message, "view": "v", **({"seq": number} if number else {})})
        state = fake.messages[-1]["state"]
        assert state["heard"] == ({"v": number} if number else {})
        problem = "Rotate: degrees must be a number from 0 to 180, got 600"
        assert state["problem"] == (problem if number == 5 else "")
        assert len(state["knobs"]) <= 6
        mixed = state["shown"] == "mixup"
        expected = torch.stack([shown for shown, _ in view.mixture().values()]) if mixed else view.draws()
        pixels = fake.pictures[1].transpose(0, 3, 1, 2) / 255
        np.testing.assert_allclose(pixels, expected.numpy(), atol=0.5 / 255 + 1e-6)
    assert view.settings == {"shift": 1, "rotate": 15, "stretch": 0.1, "lam": 0.7}
    view._views.clear()
    instrument._on_screen.discard(view)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("digit",), ValueError, "did you mean 'digits'"),
        ((3,), TypeError, "pictures must be a data set, its name, or a tensor or array"),
        ((torch.zeros(2, 5, 8, 8),), ValueError, "must have 1 channel .* or 3 .* got 5"),
        ((torch.zeros(8, 8),), ValueError, r"must be \[C, H, W\] or \[N, C, H, W\], got \[8, 8\]"),
        ((torch.full((1, 8, 8), 9.0),), ValueError, r"pixels in \[0, 1\], these lie in \[9, 9\]: divide by 255"),
        ((torch.zeros(1, 8, 8, dtype=torch.int64),), TypeError, "pixels in .* or bytes"),
        ((torch.zeros(13, 1, 8, 8),), ValueError, "pictures are 13, but a menu holds 12"),
        (("digits", Mixup()), TypeError, "pipeline must be a lrlab.augmentation.Pipeline"),
        (("digits", Pipeline((Rotate(1), Rotate(2)))), ValueError, "pipeline has Rotate more than once"),
        (("digits", Pipeline((RandomCrop(32, 4),))), ValueError, "a square of 32 is larger than the picture of 8 x 8"),
    ],
)
def test_what_a_view_refuses(arguments: tuple[Any, ...], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        AugmentationView(*arguments)


def test_what_its_methods_refuse() -> None:
    view = AugmentationView("photos", Pipeline((Rotate(5), LensDistortion(), HorizontalFlip(), Stretch(), Shear())))
    before = view.pipeline
    for call, message in [
        (lambda: view.turn("rotat", 3), "this view has no slider 'rotat', did you mean 'rotate'"),
        (lambda: view.turn("hue", 0.1), "this view has no slider 'hue'"),
        (lambda: view.turn("lam", 1.5), "λ, the share of the first picture, must be a number from 0 to 1, got 1.5"),
        (lambda: view.add("blur"), "this view has no transform 'blur'"),
        (lambda: view.add("rotate"), "'rotate' is in the pipeline already: turn it"),
        (lambda: view.remove("crop"), "this view has no slider 'crop'"),
        (lambda: view.choose("chine"), "no picture 'chine', did you mean 'china'"),
        (lambda: view.show("all"), "what = 'all' cannot be shown; there are: draws, mixup"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()
    assert view.pipeline == before
    view.add("hue")
    with pytest.raises(ValueError, match="6 sliders are as many as one can follow: remove one first"):
        view.add("contrast")
