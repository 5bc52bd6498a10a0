"""Augmentation: both ways against each other, torchvision and the formulas; mixing; what a run does with it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision.transforms.v2 import functional as vision

from lrlab import Run, augmentation, data, mixing, models, rules
from lrlab.augmentation import (
    ColourJitter,
    CutMix,
    HorizontalFlip,
    LensDistortion,
    Mixup,
    PerImage,
    Pipeline,
    RandomCrop,
    ResNetCrop,
    Rotate,
    Shear,
    Stretch,
    Translate,
    predict_with,
)
from lrlab.configuration import accuracy_of
from lrlab.transforms import TRANSFORMS, Transform

A = pytest.importorskip("lrlab._albumentations", reason="albumentations is not installed").A
Lens = pytest.importorskip("lrlab._albumentations").Lens

ALL: list[Transform] = [
    HorizontalFlip(p=0.3),
    ResNetCrop(low=30, high=50, size=28),
    RandomCrop(size=26, padding=3),
    Translate(pixels=5),
    Rotate(degrees=40),
    Stretch(by=0.3),
    Shear(degrees=25),
    LensDistortion(most=0.6),
    ColourJitter(brightness=0.5, contrast=0.6, saturation=0.7, hue=0.2),
]
SEVERAL = Pipeline((HorizontalFlip(), Rotate(20), ColourJitter(0.3, 0.3, 0.3, 0.1), RandomCrop(8, 2)), seed=5)


def names(values: Any) -> list[str]:
    return [type(value).__name__ for value in values]


@pytest.fixture(scope="module")
def photo() -> Tensor:
    """A photograph, ``[1, 3, 40, 60]``, not square, so that an exchange of x and y is seen."""
    whole = data.load("photos", device="cpu").train.x[1:]
    return F.interpolate(whole, (40, 60), mode="bilinear", antialias=True).clamp(0, 1)


def array(x: Tensor) -> np.ndarray:
    return np.ascontiguousarray(x[0].permute(1, 2, 0).numpy())


def done(transform: Transform, x: Tensor, **parameters: Any) -> Tensor:
    """The batched way with given parameters."""
    drawn = {k: v if isinstance(v, tuple) else np.array([float(v)]) for k, v in parameters.items()}
    return Pipeline((transform,)).apply(x, [drawn])


# The two ways: the same parameters, the same picture ------------------------------------------------------------------

FACTORS = {"brightness": 1.4, "contrast": 0.5, "saturation": 1.8, "hue": 0.3}


def only(name: str) -> Any:
    neutral = {"brightness": (1.0, 1.0), "contrast": (1.0, 1.0), "saturation": (1.0, 1.0), "hue": (0.0, 0.0)}
    return A.ColorJitter(**{**neutral, name: (FACTORS[name], FACTORS[name])}, p=1.0)


SAME = [
    (HorizontalFlip(), {"flipped": 1}, A.HorizontalFlip(p=1.0)),
    (Translate(9), {"right": 3, "down": -5}, A.Affine(translate_px={"x": (3, 3), "y": (-5, -5)}, p=1.0)),
    (Rotate(), {"angle": 25}, A.Affine(rotate=(25, 25), p=1.0)),
    (Stretch(), {"wide": 1.3, "high": 0.8}, A.Affine(scale={"x": (1.3, 1.3), "y": (0.8, 0.8)}, p=1.0)),
    (Shear(), {"slant": 20}, A.Affine(shear={"x": (-20, -20), "y": (0.0, 0.0)}, p=1.0)),
    (LensDistortion(), {"k": 0.5}, Lens(distort_limit=(0.5, 0.5), p=1.0)),
    (LensDistortion(), {"k": -0.4}, Lens(distort_limit=(-0.4, -0.4), p=1.0)),
    (
        ResNetCrop(48, 48, 30),
        {"height": 48, "width": 72, "top": 10, "left": 25},
        A.Sequential([A.SmallestMaxSize(48), A.Crop(25, 10, 55, 40)], p=1.0),
    ),
    (
        RandomCrop(30, 6),
        {"top": 2, "left": 40},
        A.Sequential([A.Pad(6, p=1.0), A.Crop(40, 2, 70, 32)], p=1.0),
    ),
    *((ColourJitter(), {name: FACTORS[name], "order": (name,)}, only(name)) for name in FACTORS),
]


@pytest.mark.parametrize(("transform", "parameters", "other"), SAME, ids=lambda value: type(value).__name__)
def test_with_the_same_parameters_both_ways_give_the_same_picture(
    photo: Tensor, transform: Transform, parameters: dict[str, Any], other: Any
) -> None:
    ours = array(done(transform, photo, **parameters))
    theirs = A.Compose([other])(image=array(photo))["image"]
    np.testing.assert_allclose(ours, theirs, atol=2e-4)
    in_bytes = A.Compose([other])(image=(255 * array(photo)).round().astype(np.uint8))["image"] / 255
    assert np.abs(ours - in_bytes).mean() < 0.003
    if not isinstance(transform, ColourJitter):
        assert not np.allclose(ours[:20, :20], array(photo)[:20, :20], atol=0.05)


def test_colours_are_those_of_torchvision(photo: Tensor) -> None:
    kernels = {
        "brightness": vision.adjust_brightness,
        "contrast": vision.adjust_contrast,
        "saturation": vision.adjust_saturation,
        "hue": vision.adjust_hue,
    }
    for name, kernel in kernels.items():
        ours = done(ColourJitter(), photo, **{name: FACTORS[name], "order": (name,)})
        torch.testing.assert_close(ours, kernel(photo, FACTORS[name]), atol=2e-4, rtol=0)


def test_geometry_is_that_of_torchvision(photo: Tensor) -> None:
    middle = [0.0, 0.0]
    bilinear = vision.InterpolationMode.BILINEAR
    turned = vision.rotate(photo, 25.0, bilinear)  # it leaves the border out a little differently
    torch.testing.assert_close(
        done(Rotate(), photo, angle=25)[..., 9:-9, 9:-9], turned[..., 9:-9, 9:-9], atol=1e-4, rtol=0
    )
    shifted = vision.affine(photo, 0.0, [4, -3], 1.0, middle)
    assert torch.equal(done(Translate(), photo, right=4, down=-3), shifted)
    assert torch.equal(done(HorizontalFlip(), photo, flipped=1), vision.horizontal_flip(photo))


@pytest.mark.parametrize(
    "transform", [t for t in ALL if not isinstance(t, (ResNetCrop, RandomCrop))], ids=lambda t: type(t).__name__
)
def test_neutral_parameters_leave_the_picture_alone(photo: Tensor, transform: Transform) -> None:
    neutral = {"wide": 1.0, "high": 1.0, "brightness": 1.0, "contrast": 1.0, "saturation": 1.0}
    drawn = transform.draw(1, (40, 60), np.random.default_rng(0))
    parameters = {name: v if name == "order" else neutral.get(name, 0.0) for name, v in drawn.items()}
    torch.testing.assert_close(done(transform, photo, **parameters), photo, atol=1e-5, rtol=0)


# The two ways: the same distributions ---------------------------------------------------------------------------------


def statistics(pictures: np.ndarray) -> np.ndarray:
    """Of pictures ``[N, H, W, C]``: brightness, centre of mass, spread, one colour against another, ``[N, 8]``."""
    weight = pictures.mean(-1) + 1e-6
    weight = weight / weight.sum((1, 2), keepdims=True)
    y, x = np.mgrid[: weight.shape[1], : weight.shape[2]]
    cx, cy = (weight * x).sum((1, 2)), (weight * y).sum((1, 2))
    dx, dy = x - cx[:, None, None], y - cy[:, None, None]
    moments = [(weight * m).sum((1, 2)) for m in (dx**2, dy**2, dx * dy)]
    colours = [pictures.mean((1, 2, 3)), pictures.std((1, 2, 3)), (pictures[..., 0] - pictures[..., 2]).mean((1, 2))]
    return np.stack([cx, cy, *moments, *colours], 1)


def agree(a: np.ndarray, b: np.ndarray) -> None:
    """Two samples ``[N, statistics]`` of one distribution: means and deviations agree within five standard errors."""
    error = np.sqrt(a.var(0) / len(a) + b.var(0) / len(b))
    assert np.all(np.abs(a.mean(0) - b.mean(0)) <= 5 * error + 2e-3 * np.abs(a.mean(0)) + 1e-6)
    fourth = ((a - a.mean(0)) ** 4).mean(0) - a.var(0) ** 2  # the variance of a squared deviation
    assert np.all(np.abs(a.var(0) - b.var(0)) <= 5 * np.sqrt(2 * fourth / len(a)) + 0.02 * a.var(0) + 1e-9)


@pytest.mark.parametrize("transform", ALL, ids=lambda t: type(t).__name__)
def test_both_ways_draw_from_the_same_distribution(photo: Tensor, transform: Transform) -> None:
    count = 800
    pipeline = Pipeline((transform,), seed=1)
    compose = pipeline.albumentations()
    image = array(photo)
    theirs = np.stack([compose(image=image)["image"] for _ in range(count)])
    # One batch has one order of colours: many small batches have many.
    parts = [pipeline.batched(photo.expand(count // 20, -1, -1, -1), seed) for seed in range(20)]
    ours = torch.cat(parts).permute(0, 2, 3, 1).numpy()
    assert ours.shape == theirs.shape
    agree(statistics(ours), statistics(theirs))


def test_another_distribution_is_noticed(photo: Tensor) -> None:
    narrow, wide = (
        Pipeline((Rotate(degrees),)).batched(photo.expand(400, -1, -1, -1)).permute(0, 2, 3, 1).numpy()
        for degrees in (30, 36)
    )
    with pytest.raises(AssertionError):
        agree(statistics(narrow), statistics(wide))


def test_a_chain_is_looked_up_once_and_is_the_same_picture(photo: Tensor) -> None:
    x = photo.expand(16, -1, -1, -1)
    chain = Pipeline((HorizontalFlip(), Translate(3), Rotate(10), LensDistortion(0.2), Stretch(0.1), Shear(8)))
    drawn = chain.draw(len(x), (40, 60), 3)
    at_once, stepwise = chain.apply(x, drawn), x
    for transform, own in zip(chain.transforms, drawn, strict=True):
        stepwise = Pipeline((transform,)).apply(stepwise, [own])
    inside = (..., slice(14, -14), slice(14, -14))
    difference = (at_once - stepwise)[inside].abs().mean()
    changed = (at_once - x)[inside].abs().mean()
    assert difference < 0.35 * changed

    def sharpness(pictures: Tensor) -> float:
        return float(pictures[inside].diff(dim=-1).abs().mean())

    assert sharpness(at_once) > 1.05 * sharpness(stepwise)


def test_whole_pixels_are_moved_and_not_interpolated(photo: Tensor) -> None:
    pipeline = Pipeline((HorizontalFlip(), Translate(4), RandomCrop(24, 5)))
    changed = pipeline.batched(photo.expand(50, -1, -1, -1), seed=2)
    assert set(changed.unique().tolist()) <= {0.0, *photo.unique().tolist()}


# Draws and seeds ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transform", ALL, ids=lambda t: type(t).__name__)
def test_a_seed_is_a_picture_and_every_picture_has_its_own_draw(photo: Tensor, transform: Transform) -> None:
    pipeline, x = Pipeline((transform,), seed=3), photo.expand(12, -1, -1, -1)
    first = pipeline.batched(x)
    assert torch.equal(first, pipeline.batched(x, seed=3)) and not torch.equal(first, pipeline.batched(x, seed=4))
    assert len({picture.numpy().tobytes() for picture in first}) >= 2 if isinstance(transform, HorizontalFlip) else 11
    one, two = (pipeline.albumentations() for _ in range(2))
    image = array(photo)
    assert all(np.array_equal(one(image=image)["image"], two(image=image)["image"]) for _ in range(3))


@pytest.mark.parametrize("transform", ALL, ids=lambda t: type(t).__name__)
def test_what_is_drawn_lies_in_its_range(transform: Transform) -> None:
    drawn = transform.draw(2000, (40, 60), np.random.default_rng(0))
    ends = {
        "flipped": (0, 1),
        "angle": (-40, 40),
        "wide": (0.7, 1.3),
        "high": (0.7, 1.3),
        "slant": (-25, 25),
        "k": (-0.6, 0.6),
        "right": (-5, 5),
        "down": (-5, 5),
        "brightness": (0.5, 1.5),
        "contrast": (0.4, 1.6),
        "saturation": (0.3, 1.7),
        "hue": (-0.2, 0.2),
        "height": (30, 50),
        "width": (45, 75),
        "top": (0, 22 if isinstance(transform, ResNetCrop) else 20),
        "left": (0, 47 if isinstance(transform, ResNetCrop) else 40),
    }
    for name, values in drawn.items():
        if isinstance(values, np.ndarray):
            low, high = ends[name]
            assert low <= values.min() < low + 0.02 * (high - low) + 1e-9, name
            assert high - 0.05 * (high - low) - 1e-9 < values.max() <= high, name


def test_the_crop_of_the_resnet_recipe_lies_in_the_scaled_picture() -> None:
    crop = ResNetCrop(low=256, high=480, size=224)
    drawn = crop.draw(5000, (427, 640), np.random.default_rng(0))
    sides = drawn["height"]
    assert sides.min() == 256 and sides.max() == 480 and np.array_equal(sides, sides.round())
    assert np.array_equal(drawn["width"], (640 * sides / 427).round())
    assert bool((drawn["top"] + 224 <= sides).all()) and bool((drawn["left"] + 224 <= drawn["width"]).all())
    assert ResNetCrop.scaled(224) == crop


def test_standardised_pictures_come_back_standardised() -> None:
    digits = data.load("digits", device="cpu")
    pipeline = Pipeline((Rotate(30), ColourJitter(0.4, 0.4)))
    x = digits.train.x[:40]
    changed = pipeline.batched(x, seed=1, data=digits)
    expected = pipeline.batched(digits.pixels(x), seed=1)
    torch.testing.assert_close(digits.pixels(changed), expected, atol=1e-5, rtol=0)
    white = (torch.ones(20, 1, 8, 8) - digits.mean[0]) / digits.scale[0]
    shifted = digits.pixels(Pipeline((Translate(3),)).batched(white, data=digits))
    assert set(shifted.round(decimals=5).abs().unique().tolist()) == {0.0, 1.0}  # what comes in is black


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu_a_seed_means_the_same(photo: Tensor) -> None:
    x = photo.expand(6, -1, -1, -1)
    for transform in ALL:
        pipeline = Pipeline((transform,), seed=7)
        here, there = pipeline.batched(x), pipeline.batched(x.cuda()).cpu()
        assert (here - there).abs().mean() < 1e-4
    mixed, soft = Mixup()(x.cuda(), torch.arange(6).cuda(), seed=3, classes=6)
    torch.testing.assert_close(mixed.cpu(), Mixup()(x, torch.arange(6), seed=3, classes=6)[0])
    assert soft.is_cuda


# Data and code --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "thing", [*ALL, Pipeline(tuple(ALL[3:]), seed=9), Mixup(0.4, per_sample=True), CutMix(0.7)], ids=repr
)
def test_everything_goes_through_json_and_through_its_repr(thing: Any) -> None:
    spec = json.loads(json.dumps(augmentation._spec.to_spec(thing)))
    assert augmentation.from_spec(spec) == thing
    assert eval(repr(thing), vars(augmentation)) == thing


def test_every_transform_is_in_the_registry_and_says_whether_it_keeps_the_label() -> None:
    assert set(names(ALL)) == set(TRANSFORMS)
    for cls in [*TRANSFORMS.values(), Mixup, CutMix]:
        assert "Keeps the label:" in (cls.__doc__ or "")
        assert cls.__name__ in augmentation.__all__


# Mixing ---------------------------------------------------------------------------------------------------------------


def test_mixup_is_its_formula() -> None:
    x, y = torch.rand(6, 3, 4, 4), torch.tensor([0, 1, 2, 0, 1, 2])
    mixed, soft = Mixup(alpha=0.8)(x, y, seed=5, classes=3)
    rng = np.random.default_rng(5)
    lam, partner = rng.beta(0.8, 0.8, 1)[0], rng.permutation(6)
    torch.testing.assert_close(mixed, (lam * x + (1 - lam) * x[partner]).float())
    torch.testing.assert_close(soft.sum(1), torch.ones(6))
    loss = F.cross_entropy(outputs := torch.randn(6, 3), soft)
    both = lam * F.cross_entropy(outputs, y) + (1 - lam) * F.cross_entropy(outputs, y[partner])
    torch.testing.assert_close(loss, both.float())


def test_lambda_has_the_moments_of_its_distribution() -> None:
    x = torch.eye(2)
    for alpha in (0.2, 1.0, 4.0):
        drawn = [Mixup(alpha)(x, torch.tensor([0, 1]), seed, classes=2)[1] for seed in range(3000)]
        lam = torch.stack(drawn)[:, 0, 0]  # λ, or 1 where the partner is the example itself
        lam = lam[lam < 1]
        variance = 1 / (4 * (2 * alpha + 1))
        assert abs(float(lam.mean()) - 0.5) < 5 * math.sqrt(variance / len(lam))
        assert float(lam.var()) == pytest.approx(variance, rel=0.12)


def test_one_lambda_for_the_batch_or_one_for_each() -> None:
    x, y = torch.eye(64), torch.arange(64)
    for per_sample, least in ((False, 1), (True, 50)):
        _, soft = Mixup(per_sample=per_sample)(x, y, seed=1, classes=64)
        shares = soft.amax(1)[soft.amax(1) < 1]
        assert (shares.unique().numel() == 1) if not per_sample else shares.unique().numel() > least
        torch.testing.assert_close(Mixup(per_sample=per_sample)(x, y, seed=1, classes=64)[0], soft)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), height=st.integers(2, 12), width=st.integers(2, 12))
def test_cutmix_labels_follow_the_area(seed: int, height: int, width: int) -> None:
    x = torch.arange(5.0).view(5, 1, 1, 1).expand(5, 2, height, width)
    mixed, soft = CutMix()(x, torch.arange(5), seed, classes=5)
    for number in range(5):
        counted = torch.bincount(mixed[number, 0].long().flatten(), minlength=5) / (height * width)
        torch.testing.assert_close(soft[number], counted)
        changed = (mixed[number, 0] != number).nonzero()
        if len(changed):  # one box, and it is full
            (top, left), (bottom, right) = changed.amin(0).tolist(), changed.amax(0).tolist()
            assert len(changed) == (bottom - top + 1) * (right - left + 1)


def test_soft_labels_are_accepted_again() -> None:
    soft = mixing.soft_labels(torch.tensor([1, 0]), 2)
    assert torch.equal(Mixup()(torch.rand(2, 3), soft, seed=1)[1].sum(1), torch.ones(2))


# In a run -------------------------------------------------------------------------------------------------------------


def made(**changes: Any) -> Run:
    given: dict[str, Any] = {"rule": rules.Momentum(0.9), "lr": 0.05, "batch_size": 32, "seed": 1, "augment": SEVERAL}
    return Run("mlp", data.load("digits", device="cpu", per_class=20), device="cpu", **{**given, **changes})


def weights(run: Run) -> Tensor:
    return torch.cat([weight.detach().reshape(-1) for weight in run.model.parameters()])


@pytest.mark.parametrize("augment", [SEVERAL, Mixup(0.4), (SEVERAL, CutMix())], ids=["pipeline", "mixup", "both"])
def test_replay_rewind_and_branch_are_bitwise(augment: Any, tmp_path: Path) -> None:
    run = made(augment=augment).train(steps=20, progress=False)
    run.batch_size = 20
    run.train(steps=11, progress=False)
    end, losses = weights(run).clone(), run.history["loss"].copy()
    config, moves = json.loads(json.dumps([run.config, run.moves]))
    again = Run.replay(config, moves)
    assert torch.equal(weights(again), end) and np.array_equal(again.history["loss"], losses)
    run.save(tmp_path / "run.safetensors")
    child = run.branch(9)
    child.train(steps=11, progress=False)
    child.batch_size = 20
    child.train(steps=11, progress=False)
    run.rewind(20)
    run.batch_size = 20
    run.train(steps=11, progress=False)
    for other in (child, run, Run.load(tmp_path / "run.safetensors")):
        assert torch.equal(weights(other), end)
    assert not torch.equal(weights(made(augment=None).train(steps=31, progress=False)), end)


def test_training_sees_changed_pictures_and_validation_does_not() -> None:
    seen: list[Tensor] = []

    def note(x: Tensor, y: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        seen.append(x.clone())
        return x, y

    plain, changed = made(augment=note), made(augment=(SEVERAL, note))
    clean = plain.validate()
    assert changed.validate() == clean
    torch.testing.assert_close(torch.tensor(clean), torch.tensor(made(augment=None).validate()))
    seen.clear()
    for run in (plain, changed):
        run.train(steps=1, progress=False)
    before, after = seen
    assert before.shape == after.shape and not torch.equal(before, after)
    assert len({row.numpy().tobytes() for row in after}) == len(after)


def test_the_first_step_is_that_of_the_changed_batch() -> None:
    """Against a step by hand on what the chain makes of the batch."""
    run = made(rule=rules.SGD(), lr=0.5, augment=(SEVERAL, Mixup(1.0)))
    batches = run._material._replace(augment=None).batches(1)
    x, y = batches.next(32)
    chain = augmentation.Chain((SEVERAL, Mixup(1.0)), run.dataset)
    seed = augmentation.seed_of(1, "augment 0", 0)
    x, soft = chain(x, y, seed)
    assert soft.shape == (32, 10)
    model = run._setup.build_model(run._material)
    start = torch.cat([w.detach().reshape(-1) for w in model.parameters()])
    loss = F.cross_entropy(model(x), soft)
    gradient = torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss, list(model.parameters()))])
    run.train(steps=1, progress=False)
    torch.testing.assert_close(weights(run), start - 0.5 * gradient)
    assert run.history["loss"][0] == pytest.approx(loss.item(), rel=1e-6)


def test_every_batch_of_every_epoch_is_changed_anew() -> None:
    seen: list[tuple[Tensor, int]] = []

    def note(x: Tensor, y: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        seen.append((x.clone(), seed))
        return x, y

    run = made(augment=(SEVERAL, note), batch_size=50)
    seen.clear()
    run.train(steps=8, progress=False)  # four in each of two epochs
    assert len({seed for _, seed in seen}) == 8
    assert len({row.numpy().tobytes() for x, _ in seen for row in x}) > 8 * 50 * 0.99


def test_accuracy_with_soft_labels() -> None:
    outputs = torch.tensor([[2.0, 1.0, 0.0], [0.0, 3.0, 1.0], [0.0, 0.0, 1.0]])
    soft = torch.tensor([[0.7, 0.3, 0.0], [0.6, 0.4, 0.0], [0.1, 0.2, 0.7]])
    assert accuracy_of(outputs, soft) == pytest.approx(2 / 3)
    assert math.isnan(accuracy_of(outputs, 5 * soft)) and math.isnan(accuracy_of(outputs, soft - 1))


def test_a_function_of_ones_own_is_named_when_it_is_missing() -> None:
    def darker(x: Tensor, y: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        return 0.5 * x, y

    run = made(augment=darker).train(steps=3, progress=False)
    again = Run.replay(run.config, run.moves)
    assert torch.equal(weights(run), weights(again))
    config = run._setup.nameable(run.config)
    with pytest.raises(ValueError, match=r"used a augment of its own|augment=\.\.\."):
        Run.replay(json.loads(json.dumps(config)), run.moves)
    assert torch.equal(
        weights(run), weights(Run.replay(config, run.moves, augment=darker, data=run._setup.given["data"]))
    )


def test_pictures_changed_one_by_one_in_a_loader_are_replayed() -> None:
    digits = data.load("digits", device="cpu", per_class=10)
    pictures = PerImage(digits.train, Pipeline((Rotate(15), Translate(1))), data=digits)
    loader = DataLoader(pictures, batch_size=25, shuffle=True)

    def run() -> Run:
        return Run(models.mlp, loader, validation=digits.validation, seed=4, device="cpu")

    first = run().train(steps=7, progress=False)
    assert torch.equal(weights(first), weights(run().train(steps=7, progress=False)))
    end = weights(first).clone()
    first.rewind(3).train(steps=4, progress=False)
    assert torch.equal(weights(first), end)
    x, y = pictures[3]
    assert x.shape == (1, 8, 8) and x.dtype == torch.float32 and y == digits.train.y[3]


def test_workers_of_a_loader_do_not_draw_the_same() -> None:
    same = data.Split(torch.rand(1, 3, 16, 16).expand(8, -1, -1, -1), torch.zeros(8, dtype=torch.int64))
    loader = DataLoader(PerImage(same, Pipeline((Rotate(90),))), batch_size=4, num_workers=2)
    torch.manual_seed(0)
    pictures = torch.cat([x for x, _ in loader])
    assert len({picture.numpy().tobytes() for picture in pictures}) == 8


def test_time_augmentation_is_the_mean_over_draws() -> None:
    digits = data.load("digits", device="cpu")
    x = digits.test.x[:30]
    model = nn.Sequential(models.mlp(), nn.Dropout(0.5)).train()
    pipeline = Pipeline((Translate(1), Rotate(10)))
    mean = predict_with(model, x, pipeline, draws=4, seed=2, data=digits)
    assert model.training and model[1].training
    model.eval()
    seeds = [augmentation.seed_of(2, "draw", draw) for draw in range(4)]
    with torch.no_grad():
        expected = torch.stack([model(pipeline.batched(x, seed, digits)).softmax(-1) for seed in seeds]).mean(0)
        torch.testing.assert_close(mean, expected)
        torch.testing.assert_close(predict_with(model, x, Pipeline(()), draws=2), model(x).softmax(-1))
    torch.testing.assert_close(mean.sum(1), torch.ones(30))


# Bad input ------------------------------------------------------------------------------------------------------------

X = torch.rand(4, 3, 16, 16)
Y = torch.arange(4)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: HorizontalFlip(p=1.2), ValueError, r"p, a probability, must be a number from 0 to 1, got 1.2"),
        (lambda: HorizontalFlip(p="half"), TypeError, "p, a probability, must be a number"),
        (lambda: HorizontalFlip(p=math.nan), ValueError, "got nan"),
        (lambda: Rotate(200), ValueError, "Rotate: degrees must be a number from 0 to 180, got 200"),
        (lambda: Rotate(-5), ValueError, "Rotate: degrees .* got -5"),
        (lambda: Stretch(1), ValueError, "Stretch: by must be a number from 0 to 0.99, got 1"),
        (lambda: Shear(90), ValueError, "Shear: degrees .* 0 to 80"),
        (lambda: LensDistortion(2), ValueError, "LensDistortion: most .* 0 to 1, got 2"),
        (lambda: Translate(0.1), TypeError, "Translate: pixels must be a whole number"),
        (lambda: ColourJitter(hue=0.7), ValueError, "hue, in turns of the colour wheel, .* 0 to 0.5, got 0.7"),
        (lambda: ColourJitter(brightness=-1), ValueError, "ColourJitter: brightness .* got -1"),
        (lambda: ResNetCrop(low=200, high=300, size=224), ValueError, "size <= low <= high .* low=200"),
        (lambda: ResNetCrop(low=2.5), TypeError, "ResNetCrop: low must be a whole number"),
        (lambda: RandomCrop(size=0), ValueError, "RandomCrop: size must be a whole number from 1"),
        (lambda: Pipeline(Rotate()), TypeError, r"transforms must be a tuple of transforms, \(a, b\), got Rotate"),
        (lambda: Pipeline((Rotate,)), TypeError, "is no transform; there are HorizontalFlip, "),
        (
            lambda: Pipeline((Mixup(),)),
            TypeError,
            r"Mixup takes two pictures: give Run\(augment=\(pipeline, Mixup\(\)\)\)",
        ),
        (lambda: Pipeline((), seed=-1), ValueError, "Pipeline: seed must be a whole number from 0"),
        (
            lambda: SEVERAL.batched((255 * X).byte()),
            TypeError,
            r"x is uint8, but .* floating-point .* x.float\(\) / 255",
        ),
        (lambda: SEVERAL.batched(X.numpy()), TypeError, r"x must be a tensor \[N, C, H, W\], got ndarray"),
        (lambda: SEVERAL.batched(X[0]), ValueError, r"must be a batch of pictures \[N, C, H, W\], got \[3, 16, 16\]"),
        (lambda: SEVERAL.batched(255 * X), ValueError, r"pixels must lie in \[0, 1\], these lie in .*: divide by 255"),
        (lambda: SEVERAL.batched(X[:, :2]), ValueError, r"1 channel \(grey\) or 3 .* got 2"),
        (
            lambda: Pipeline((RandomCrop(20, 1),)).batched(X),
            ValueError,
            "a square of 20 is larger than the picture of 16 x 16",
        ),
        (
            lambda: Mixup(alpha=0),
            ValueError,
            "alpha must be greater than 0 and finite, got 0; for no mixing leave it out",
        ),
        (lambda: Mixup(per_sample=1), TypeError, "per_sample must be True or False"),
        (lambda: CutMix(alpha="1"), TypeError, "CutMix: alpha must be a number greater than 0"),
        (
            lambda: Mixup()(X[:1], Y[:1], classes=4),
            ValueError,
            "a batch of 1 has no two examples to mix: give at least 2",
        ),
        (
            lambda: Mixup()((255 * X).byte(), Y, classes=4),
            TypeError,
            "must be a floating-point tensor, got torch.uint8",
        ),
        (lambda: Mixup()(X, Y), ValueError, "say how many classes there are, classes=10"),
        (lambda: Mixup()(X, Y, classes=3), ValueError, "class indices from 0 to 2, got 0 to 3"),
        (lambda: Mixup()(X, Y - 1, classes=4), ValueError, "class indices from 0 to 3, got -1 to 2"),
        (lambda: Mixup()(X, Y.float(), classes=4), TypeError, r"class indices, int64 \[N\], or soft labels"),
        (lambda: Mixup()(X, Y.int(), classes=4), TypeError, r"Whole numbers: y.long\(\)"),
        (lambda: Mixup()(X, Y[:3], classes=4), ValueError, "equally long, got 4 examples and 3 labels"),
        (lambda: CutMix()(X[:, 0, 0], Y, classes=4), ValueError, r"CutMix: x must be pictures \[N, C, H, W\]"),
        (lambda: predict_with(models.mlp(), X, SEVERAL, draws=0), ValueError, "draws must be a whole number from 1"),
        (lambda: augmentation.from_spec({"name": "Rotat"}), ValueError, "unknown name 'Rotat'; did you mean 'Rotate'"),
    ],
)
def test_bad_input_is_refused_with_a_remedy(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (np.zeros((16, 16, 3)), TypeError, "the image is float64; give uint8 from 0 to 255, or float32 from 0 to 1"),
        (np.full((16, 16, 3), 200, np.float32), ValueError, r"must lie in \[0, 1\], these lie in \[200, 200\]"),
        (np.zeros((3, 16, 16), np.uint8), ValueError, r"must be \[H, W, C\], got \[3, 16, 16\]; .*transpose"),
        (np.zeros((16, 16), np.uint8), ValueError, r"grey: image\[..., None\]"),
        (np.zeros((16, 16, 2), np.uint8), ValueError, "got 2"),
        (np.zeros((3, 3, 3), np.uint8), ValueError, "a square of 8 is larger than the picture of 3 x 3"),
    ],
)
def test_albumentations_is_not_given_a_wrong_picture(image: np.ndarray, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        SEVERAL.albumentations()(image=image)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"augment": "flip"}, TypeError, "augment must be a Pipeline"),
        ({"augment": Mixup}, TypeError, "augment must be a Pipeline"),
        ({"augment": Mixup(), "loss": "hinge"}, ValueError, "loss='hinge' takes classes, .* loss='cross_entropy'"),
        (
            {"augment": Mixup(), "batch_size": 1},
            ValueError,
            "batch_size must be at least 2: two examples are to be mixed",
        ),
        ({"augment": RandomCrop(6, 0)}, ValueError, r"makes pictures \[1, 6, 6\] out of \[1, 8, 8\].* crop to size=8"),
        ({"augment": lambda x, y, seed: x}, ValueError, r"augment must give a pair \(x, y\), it gave Tensor"),
    ],
)
def test_what_a_run_refuses(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        made(**changes)


def test_a_run_refuses_colours_of_what_is_no_picture() -> None:
    split = (torch.randn(40, 3, 4, 4), torch.arange(40) % 2)
    with pytest.raises(ValueError, match=r"pixels must lie in \[0, 1\]"):
        Run(lambda: models.mlp(48, (8,), 2), split, augment=ColourJitter(), device="cpu")


def test_a_batch_of_one_is_refused_in_the_middle_too() -> None:
    run = made(augment=Mixup())
    with pytest.raises(ValueError, match="batch_size must be at least 2"):
        run.batch_size = 1
    assert run.train(steps=2, progress=False).status == "done"
