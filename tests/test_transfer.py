"""Transfer: layer groups, freezing, factors, plans, features computed once, and the recipe made of them."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import torchvision.models as tv
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock
from torchvision.models.vgg import make_layers

from lrlab import Run, data, features, models, rules, schedules, transfer
from lrlab.augmentation import Pipeline, Translate
from lrlab.regularization import EarlyStopping
from lrlab.transfer import (
    discriminative,
    factors,
    follow,
    freeze,
    gradual,
    layer_groups,
    new_head,
    precompute,
    unfreeze,
)


def vgg() -> tv.VGG:
    """torchvision's VGG class with few channels; its own classifier alone would have 10⁸ weights."""
    with torch.device("meta"):
        model = tv.VGG(nn.Sequential())
    model.features = make_layers([4, "M", 8, 8, "M"], batch_norm=True)  # type: ignore[list-item]
    model.avgpool = nn.AdaptiveAvgPool2d((2, 2))
    layers = [nn.Linear(32, 16), nn.ReLU(True), nn.Dropout(), nn.Linear(16, 16), nn.ReLU(True), nn.Dropout()]
    model.classifier = nn.Sequential(*layers, nn.Linear(16, 10))
    return model


def vit() -> tv.VisionTransformer:
    return tv.VisionTransformer(8, 4, num_layers=2, num_heads=2, hidden_dim=8, mlp_dim=16, num_classes=10)


def resnet() -> tv.ResNet:
    """torchvision's ResNet class with a sixteenth of the channels."""
    with torch.device("meta"):
        model = tv.ResNet(BasicBlock, [1, 1, 1, 1])
    model.inplanes = 4
    model.conv1, model.bn1 = nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
    for number, channels in enumerate((4, 8, 16, 32), 1):
        setattr(model, f"layer{number}", model._make_layer(BasicBlock, channels, 1, stride=1 + number % 2))
    model.fc = nn.Linear(32, 10)
    return model


class Own(nn.Module):
    """Somebody's network."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.lower = nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.ReLU())
        self.quiet = nn.Dropout(0.0)
        self.upper = nn.Linear(12, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.upper(self.quiet(self.lower(self.scale * x)))


class Wrapped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = models.mlp(hidden=(12, 11))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


GROUPS: list[tuple[Callable[[], nn.Module], dict[str, tuple[str, ...]]]] = [
    (models.cnn, {"block1": ("0", "1"), "block2": ("4", "5"), "block3": ("8", "9"), "head": ("13",)}),
    (lambda: models.mlp(hidden=(8, 7)), {"block1": ("1",), "block2": ("3",), "head": ("5",)}),
    (lambda: models.mlp(hidden=()), {"head": ("1",)}),
    (
        resnet,
        {"stem": ("conv1", "bn1"), **{f"layer{k}": (f"layer{k}",) for k in (1, 2, 3, 4)}, "head": ("fc",)},
    ),
    (
        vgg,
        {
            "stage1": ("features.0", "features.1"),
            "stage2": ("features.4", "features.5", "features.7", "features.8"),
            "classifier": ("classifier.0", "classifier.3"),
            "head": ("classifier.6",),
        },
    ),
    (
        vit,
        {
            "stem": ("class_token", "conv_proj", "encoder.pos_embedding"),
            "block1": ("encoder.layers.encoder_layer_0",),
            "block2": ("encoder.layers.encoder_layer_1", "encoder.ln"),
            "head": ("heads",),
        },
    ),
    (Own, {"scale": ("scale",), "lower": ("lower",), "upper": ("upper",)}),
    (Wrapped, {"block1": ("net.1",), "block2": ("net.3",), "head": ("net.5",)}),
    (lambda: nn.Sequential(nn.Sequential(nn.Linear(3, 4), nn.ReLU()), nn.Linear(4, 2)), {"0": ("0",), "1": ("1",)}),
    (lambda: nn.Linear(3, 2), {"head": ("weight", "bias")}),
    (lambda: Scaled(), {"scale": ("scale",), "net": ("net",)}),
    (lambda: HeadFirst(), {"trunk": ("trunk",), "head": ("classifier",)}),
]


class Scaled(Wrapped):
    """An only child, but not all that there is."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))


class HeadFirst(nn.Module):
    """Made in another order than it is used in, and it says so."""

    def __init__(self) -> None:
        super().__init__()
        self.classifier = nn.Linear(12, 10)
        self.trunk = nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.ReLU())
        self.layer_groups = {"trunk": ["trunk"], "head": ["classifier"]}

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.trunk(x))


def digits(per_class: int | None = 8, **options: Any) -> data.Dataset:
    return data.load("digits", device="cpu", per_class=per_class, **options)


def learned(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return models.cnn(width=4)


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def changed(before: dict[str, Tensor], model: nn.Module) -> set[str]:
    return {name for name, tensor in model.state_dict().items() if not torch.equal(before[name], tensor)}


# Layer groups ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("make", "expected"), GROUPS)
def test_groups_of_known_networks_and_of_any_other(make: Callable[[], nn.Module], expected: dict) -> None:
    assert layer_groups(make()) == expected
    assert list(layer_groups(make())) == list(expected)  # from input to output


@pytest.mark.parametrize(
    "make",
    [
        *(make for make, _ in GROUPS), lambda: models.build("resnet18", (3, 32, 32), 10), tv.alexnet, tv.vgg16_bn,
        tv.vit_b_16, tv.resnet50, tv.mobilenet_v3_small, tv.densenet121, tv.convnext_tiny, tv.swin_t,
    ],
)  # fmt: skip
def test_each_parameter_is_in_one_group(make: Callable[[], nn.Module]) -> None:
    with torch.device("meta"):
        model = make()
    paths = [path for group in layer_groups(model).values() for path in group]
    assert len(layer_groups(model)) > 1 or len(list(model.parameters())) == 2
    for name, _ in model.named_parameters():
        assert sum(name == path or name.startswith(f"{path}.") for path in paths) == 1, name


def test_what_was_added_to_a_known_network_has_a_group_too() -> None:
    model = resnet()
    model.extra = nn.Linear(2, 2)
    assert layer_groups(model)["others"] == ("extra.weight", "extra.bias")
    assert list(layer_groups(model))[-1] == "head"
    model.fc = nn.Identity()  # type: ignore[assignment]
    assert "head" not in layer_groups(model)


def test_a_network_that_says_its_groups_is_taken_at_its_word() -> None:
    model = new_head(freeze(HeadFirst()), 7)
    assert {name for name, weight in model.named_parameters() if weight.requires_grad} == {
        "classifier.weight",
        "classifier.bias",
    }
    assert model(torch.zeros(2, 1, 8, 8)).shape == (2, 7)
    assert discriminative(model, 10) == {"trunk": 0.1, "classifier": 1.0}
    assert gradual(model, 5)[0][2] == {"trunk": 0.0, "classifier": 1.0}
    assert copy.deepcopy(model).layer_groups == model.layer_groups
    for wrong, error, message in (
        ({"head": "classifier"}, TypeError, "HeadFirst.layer_groups must be a dict from input to output"),
        (["trunk", "classifier"], TypeError, "HeadFirst.layer_groups must be a dict"),
        ({"body": ("trunc",)}, ValueError, "HeadFirst.layer_groups names 'trunc', where there is no parameter"),
        ({"a": ("trunk",), "b": ("trunk.1",)}, ValueError, "has 'trunk.1.weight' twice, under 'trunk' and 'trunk.1'"),
    ):
        model.layer_groups = wrong
        with pytest.raises(error, match=message):
            layer_groups(model)
    model.layer_groups = {"head": ("classifier",)}
    assert layer_groups(model) == {"others": ("trunk.1.weight", "trunk.1.bias"), "head": ("classifier",)}


def test_a_single_layer_or_none_in_the_place_of_vggs_classifier() -> None:
    model = vgg()
    inputs = model.classifier[0].in_features
    model.classifier = nn.Linear(inputs, 10)
    assert layer_groups(model)["head"] == ("classifier",) and "classifier" not in layer_groups(model)
    assert new_head(model, 12).classifier.out_features == 12
    pictures = transfer.imagenet_images(digits(2), 32)
    for group in ("stage2", "head"):
        precompute(model, pictures, group, device="cpu")  # or it would say that the parts are not the whole
    model.classifier = nn.Identity()  # type: ignore[assignment]
    assert list(layer_groups(model)) == ["stage1", "stage2"]


def test_what_has_no_groups() -> None:
    with pytest.raises(TypeError, match="must be a torch.nn.Module, got str"):
        layer_groups("cnn")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="ReLU has no parameters, so it has no layer groups"):
        layer_groups(nn.ReLU())


def test_an_unknown_group_names_the_nearest_and_all() -> None:
    message = "Sequential has no layer group 'blok1'; did you mean 'block1'\\? It has: block1, block2, block3, head"
    for use in (
        lambda: freeze(models.cnn(), "blok1"),
        lambda: unfreeze(models.cnn(), "head", "blok1"),
        lambda: factors(models.cnn(), {"blok1": 0.1}),
        lambda: precompute(learned(), digits(), "blok1"),
    ):
        with pytest.raises(ValueError, match=message):
            use()
    with pytest.raises(TypeError, match="a layer group is a name, .* several are given one by one; got \\['block1'"):
        freeze(models.cnn(), ["block1", "block2"])  # type: ignore[arg-type]
    model = models.cnn()
    with pytest.raises(ValueError, match="no layer group 'zzz'. It has"):
        freeze(model, "head", "zzz")
    assert all(weight.requires_grad for weight in model.parameters())  # all or nothing


def test_factors_by_group() -> None:
    assert factors(resnet(), {"stem": 0, "layer2": 0.5}) == {"conv1": 0.0, "bn1": 0.0, "layer2": 0.5}
    with pytest.raises(ValueError, match="the factor of 'head' must be at least 0 and finite; got -1"):
        factors(models.cnn(), {"head": -1})
    with pytest.raises(ValueError, match="finite; got nan"):
        factors(models.cnn(), {"head": float("nan")})
    with pytest.raises(TypeError, match="the factor of 'head' must be a number of at least 0; got 'a'"):
        factors(models.cnn(), {"head": "a"})  # type: ignore[dict-item]
    with pytest.raises(TypeError, match="factors must be a dict"):
        factors(models.cnn(), ["head"])  # type: ignore[arg-type]


# Freezing, a new head -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [learned, resnet, vgg, vit, Own, Wrapped])
def test_what_is_frozen_does_not_move(make: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    model = freeze(make())
    source = digits()
    if isinstance(model, (tv.ResNet, tv.VGG, tv.VisionTransformer)):
        source = transfer.imagenet_images(source)
    before = weights_of(model)
    Run(model, source, lr=0.1, batch_size=16, device="cpu", validate_every=0).train(3, progress=False)
    head = list(layer_groups(model).values())[-1]
    assert changed(before, model) == {name for name in before if any(name.startswith(f"{path}.") for path in head)}


def test_freezing_by_name_and_back() -> None:
    model = models.cnn()
    assert freeze(model, "block1", "head") is model
    frozen = {name.split(".")[0] for name, weight in model.named_parameters() if not weight.requires_grad}
    assert frozen == {"0", "1", "13"}
    unfreeze(model, "head")
    assert models.parameter_count(model) == 25978 - 9 * 16 - 2 * 16
    assert models.parameter_count(unfreeze(model)) == 25978


def test_nothing_left_to_train() -> None:
    model = freeze(models.mlp(), "block1", "head")
    with pytest.raises(ValueError, match="nothing to train"):
        Run(model, digits())
    with pytest.raises(ValueError, match="nothing is left to train: 'head' and all after it are frozen; unfreeze"):
        precompute(model, digits(), device="cpu")
    with pytest.raises(ValueError, match="nothing to train"):
        Run(models.cnn(), digits(), factors=factors(models.cnn(), dict.fromkeys(layer_groups(models.cnn()), 0)))


@pytest.mark.parametrize("make", [models.cnn, models.mlp, resnet, vgg, vit, Own, Wrapped])
def test_a_new_head_for_other_classes(make: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    model = make().double()
    before = weights_of(model)
    assert new_head(model, 7, seed=1) is model
    different = {name for name, tensor in model.state_dict().items() if tensor.shape != before[name].shape}
    head = list(layer_groups(model).values())[-1]
    assert len(different) == 2 and all(any(name.startswith(path) for path in head) for name in different)
    assert changed({**before, **{name: model.state_dict()[name] for name in different}}, model) == set()
    assert all(weight.dtype == torch.float64 for weight in model.parameters())


def test_a_new_head_is_a_function_of_its_seed_and_leaves_the_generator_alone() -> None:
    heads = [new_head(models.mlp(hidden=(5,)), 4, seed=seed)[-1].weight for seed in (1, 1, 2)]
    assert torch.equal(heads[0], heads[1]) and not torch.equal(heads[0], heads[2])
    model, before = models.mlp(), torch.get_rng_state()
    new_head(model, 4)
    assert torch.equal(before, torch.get_rng_state())


def test_a_head_that_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="'1', has no linear layer that could be replaced"):
        new_head(nn.Sequential(nn.Sequential(nn.Linear(3, 4)), nn.Conv2d(1, 2, 3)), 4)
    for classes in (0, -1, 2.5, True, "10"):
        with pytest.raises(ValueError, match="classes must be a whole number of at least 1"):
            new_head(models.cnn(), classes)  # type: ignore[arg-type]


# Discriminative rates -------------------------------------------------------------------------------------------------


def test_each_group_below_has_a_lower_rate() -> None:
    values = list(dict.fromkeys(discriminative(models.cnn()).values()))
    assert values == pytest.approx([2.6**-3, 2.6**-2, 1 / 2.6, 1])
    assert discriminative(Own(), 10) == pytest.approx({"scale": 0.01, "lower": 0.1, "upper": 1})
    assert set(discriminative(models.cnn(), 1).values()) == {1.0}


def test_fast_ais_slices() -> None:
    assert discriminative(Own(), slice(0.01, 1)) == pytest.approx({"scale": 0.01, "lower": 0.1, "upper": 1})
    assert discriminative(Own(), slice(2)) == pytest.approx({"scale": 0.2, "lower": 0.2, "upper": 2})
    assert discriminative(models.mlp(hidden=()), slice(0.1, 1)) == {"1": 1.0}


@pytest.mark.parametrize("wrong", [0, 0.5, -3, float("inf"), float("nan")])
def test_a_ratio_below_1(wrong: float) -> None:
    with pytest.raises(ValueError, match="divide_by must be at least 1 and finite"):
        discriminative(models.cnn(), wrong)


@pytest.mark.parametrize(
    "wrong", [slice(None), slice(0, 1), slice(1, 0.1), slice(0.1, 1, 2), slice(-1), slice("a", 1), slice(float("inf"))]
)
def test_a_slice_that_says_nothing(wrong: slice) -> None:
    with pytest.raises(ValueError, match="slice\\(low, high\\) or slice\\(high\\)"):
        discriminative(models.cnn(), wrong)


@pytest.mark.parametrize("wrong", ["2.6", True, None, [1, 2]])
def test_a_ratio_that_is_no_number(wrong: Any) -> None:
    with pytest.raises(TypeError, match="divide_by must be a number"):
        discriminative(models.cnn(), wrong)


def test_a_step_of_each_group_is_its_factor_times_the_plain_step() -> None:
    steps = {}
    for given in ({}, discriminative(learned(), 4)):
        run = Run(learned(), digits(), lr=0.1, batch_size=32, dtype="float64", device="cpu", factors=given)
        before = weights_of(run.model)
        run.train(1, progress=False)
        steps[bool(given)] = {name: run.model.state_dict()[name] - before[name] for name in before}
    for name, step in steps[True].items():
        assert torch.allclose(step, discriminative(learned(), 4)[name.split(".")[0]] * steps[False][name], atol=1e-12)


# Gradual unfreezing ---------------------------------------------------------------------------------------------------


def test_a_plan_unfreezes_from_the_top() -> None:
    plan = gradual(models.cnn(), every=20, first=5)
    assert [(step, knob) for step, knob, _ in plan] == [
        (5, "factors"),
        (25, "factors"),
        (45, "factors"),
        (65, "factors"),
    ]
    head, *_, all_ = [value for _, _, value in plan]
    assert head == {"0": 0, "1": 0, "4": 0, "5": 0, "8": 0, "9": 0, "13": 1}
    assert set(all_.values()) == {1}
    lower = gradual(models.cnn(), every=20, divide_by=3)
    assert lower[-1][2] == discriminative(models.cnn(), 3)
    assert lower[1][2] == {"0": 0, "1": 0, "4": 0, "5": 0, "8": 1 / 3, "9": 1 / 3, "13": 1}


def test_a_plan_prints_is_a_table_and_is_json() -> None:
    plan = gradual(models.cnn(), every=20, divide_by=2)
    assert str(plan).splitlines()[-1].split() == ["60", "0.125", "0.25", "0.5", "1"]
    assert str(plan).splitlines()[1].split() == ["0", "frozen", "frozen", "frozen", "1"]
    assert plan.table["from step"].tolist() == [0, 20, 40, 60] and plan.table["block2"].tolist() == [0, 0, 0.25, 0.25]
    assert "<table" in plan._repr_html_() and "frozen" in plan._repr_html_()
    assert [tuple(move) for move in json.loads(json.dumps(plan))] == plan


def test_following_a_plan_is_turning_by_hand_and_is_a_replay(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"rule": rules.Adam(), "lr": schedules.Cosine(0.01, total=40), "device": "cpu"}
    settings |= {"batch_size": 16, "seed": 3}
    run = Run("cnn", digits(), **settings)
    plan = gradual(run.model, every=10, divide_by=2.6)
    follow(run, plan, steps=40, progress=False)
    assert run.step == 40 and run.moves == plan and run.status == "done"

    by_hand = Run("cnn", digits(), **settings)
    for _, _, value in plan:
        by_hand.factors = value  # type: ignore[misc]
        by_hand.train(10, progress=False)
    saved, log = Run.load_moves(run.save_moves(tmp_path / "run.json"))
    replayed = Run.replay(saved, log, progress=False)
    for other in (by_hand, replayed, Run.replay(run.config, plan, progress=False)):
        assert other.history["loss"].tolist() == run.history["loss"].tolist()
        assert changed(weights_of(run.model), other.model) == set()
    assert run.history["lr"].tolist() == [settings["lr"](t) for t in range(40)]


def test_a_group_stands_still_until_its_step() -> None:
    run = Run(learned(), digits(), rule=rules.Momentum(), lr=0.05, batch_size=16, device="cpu", validate_every=0)
    plan, moving = gradual(run.model, every=4), []
    for goal in (4, 8, 12, 16):
        before = weights_of(run.model)
        follow(run, plan[len(moving) :], steps=goal, progress=False)
        moving.append({name.split(".")[0] for name in changed(before, run.model)})
    assert moving == [{"13"}, {"8", "9", "13"}, {"4", "5", "8", "9", "13"}, {"0", "1", "4", "5", "8", "9", "13"}]


def test_a_plan_may_begin_later_and_end_earlier() -> None:
    run = Run(learned(), digits(), batch_size=16, device="cpu")
    follow(run, gradual(run.model, every=5, first=2), steps=8, progress=False)
    assert run.step == 8 and [step for step, _, _ in run.moves] == [2, 7]
    with pytest.raises(ValueError, match="the plan begins at step 2, but the run stands at 8: rewind it"):
        follow(run, gradual(run.model, every=5, first=2), steps=20)
    with pytest.raises(ValueError, match="steps must be a whole number of at least 8, got 7"):
        follow(run, [], steps=7)
    assert follow(run, [], steps=10, progress=False).step == 10


def test_a_run_that_diverges_or_stops_leaves_the_plan() -> None:
    run = Run(learned(), digits(), lr=1e38, batch_size=16, device="cpu")
    follow(run, gradual(run.model, every=10), steps=40, progress=False)
    assert run.status == "diverged" and len(run.moves) == 1
    patient = EarlyStopping(patience=1)
    run = Run(learned(), digits(), lr=1e-9, batch_size=16, device="cpu", validate_every=1, stopping=patient, seed=1)
    follow(run, [(6, "lr", 1e-8), (900, "lr", 0.1)], steps=1000, progress=False)
    assert run.stopped and run.step < 900 and (900, "lr", 0.1) not in run.moves


@pytest.mark.parametrize("wrong", [{"every": 0}, {"every": 2.5}, {"every": True}, {"every": 1, "first": -1}])
def test_a_plan_that_cannot_be(wrong: dict) -> None:
    with pytest.raises(ValueError, match="must be a whole number of at least"):
        gradual(models.cnn(), **wrong)


# Features computed once -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "group"),
    [
        (learned, "head"), (learned, "block3"), (learned, "block2"), (resnet, "head"), (resnet, "layer4"),
        (vgg, "head"), (vgg, "stage2"), (vit, "head"), (Own, "upper"), (Wrapped, "head"),
    ],
)  # fmt: skip
def test_training_on_features_equals_training_with_a_frozen_body(make: Callable[[], nn.Module], group: str) -> None:
    torch.manual_seed(0)
    model = make().eval()
    if isinstance(model, tv.VGG) and group == "stage2":
        model.classifier = nn.Sequential(nn.Linear(32, 10), nn.Linear(10, 10))  # no dropout: the runs draw otherwise
    source = digits(8)
    if isinstance(model, (tv.ResNet, tv.VGG, tv.VisionTransformer)):
        source = transfer.imagenet_images(source)
        with torch.no_grad():
            model.train()(source.train.x)  # batch statistics other than 0 and 1
    settings: dict[str, Any] = {"rule": rules.Momentum(), "lr": 0.05, "batch_size": 16, "seed": 4}
    settings |= {"device": "cpu", "dtype": "float64", "validate_every": 5}

    kept = precompute(model, source, group, device="cpu", dtype="float64", batch_size=7)
    on_features = Run(kept.head, kept.data, **settings).train(10, progress=False)

    whole = copy.deepcopy(model)
    frozen = list(layer_groups(whole))[: list(layer_groups(whole)).index(group)]
    for part in whole.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0  # off below the cut; the networks with dropout above it are not here
    with_body = Run(freeze(whole, *frozen), source, **settings).train(10, progress=False)

    assert on_features.history["loss"] == pytest.approx(with_body.history["loss"], rel=1e-9)
    assert on_features.history["val_loss"] == pytest.approx(with_body.history["val_loss"], rel=1e-9)
    joined = kept.join()
    for name, tensor in with_body.model.state_dict().items():
        assert torch.allclose(joined.state_dict()[name], tensor, rtol=1e-8, atol=1e-10), name
    x = source.test.x.double()
    assert torch.allclose(joined.eval()(x), with_body.model(x), rtol=1e-8, atol=1e-8)


def test_the_same_in_single_precision_and_with_factors() -> None:
    settings: dict[str, Any] = {"rule": rules.Adam(), "lr": 0.01, "batch_size": 16, "device": "cpu"}
    kept = precompute(learned(), digits(), device="cpu")
    on_features = Run(kept.head, kept.data, **settings).train(30, progress=False)
    frozen = factors(learned(), dict.fromkeys(["block1", "block2", "block3"], 0))
    with_body = Run(learned(), digits(), factors=frozen, **settings).train(30, progress=False)
    assert on_features.history["loss"] == pytest.approx(with_body.history["loss"], rel=1e-4)
    assert torch.allclose(kept.join()[-1].weight, with_body.model[-1].weight, atol=1e-4)  # type: ignore[index]


def test_features_are_a_data_set_with_the_same_labels_and_splits() -> None:
    source = digits()
    kept = precompute(learned(), source, device="cpu", batch_size=13)
    for split, features_ in ((source.train, kept.data.train), (source.test, kept.data.test)):
        assert torch.equal(split.y, features_.y) and features_.x.shape == (len(split.y), 64)
    assert kept.data.classes == source.classes and kept.data.image_shape == (64,) and kept.group == "head"
    at_once = precompute(learned(), source, device="cpu")
    assert torch.allclose(at_once.data.train.x, kept.data.train.x, atol=1e-6)
    assert "64 of each example of digits, before 'head'" in repr(kept)
    assert not kept.data.train.x.requires_grad


def test_names_and_pairs_are_data_too() -> None:
    assert precompute(models.cnn(width=4), "digits", device="cpu").source.name == "digits"
    pair = (torch.rand(30, 1, 8, 8), torch.arange(30) % 10)
    assert len(precompute(learned(), pair, device="cpu").data.train.y) == 24
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*pair), batch_size=5)
    with pytest.raises(TypeError, match="data must be a name, a Dataset or a pair \\(x, y\\), got DataLoader"):
        precompute(learned(), loader, device="cpu")  # type: ignore[arg-type]


def test_the_model_stays_as_it_was() -> None:
    model = freeze(learned()).train()
    before = weights_of(model)
    kept = precompute(model, digits(), device="cpu", dtype="float64")
    Run(kept.head, kept.data, lr=0.5, device="cpu", dtype="float64", batch_size=16).train(3, progress=False)
    assert changed(before, model) == set() and model.training
    assert [weight.requires_grad for weight in model.parameters()] == [False] * 9 + [True] * 2
    joined = kept.join()
    assert joined is not model and changed({k: v.double() for k, v in before.items()}, joined) == {
        "13.weight",
        "13.bias",
    }


def test_a_head_trained_elsewhere_can_be_joined() -> None:
    kept = precompute(learned(), digits(), device="cpu")
    head = copy.deepcopy(kept.head)
    Run(head, kept.data, device="cpu", batch_size=16).train(2, progress=False)
    assert torch.equal(kept.join(head)[-1].weight, head[-1].weight)
    assert not torch.equal(kept.join()[-1].weight, head[-1].weight)
    with pytest.raises(ValueError, match="this head does not belong to these features"):
        kept.join(nn.Sequential(nn.Linear(3, 3)))


def test_augmentation_is_refused_and_the_message_says_why() -> None:
    augment = Pipeline((Translate(pixels=1),))
    with pytest.raises(ValueError, match="augment: features are computed once, of the pictures as they are"):
        precompute(learned(), digits(), device="cpu", augment=augment)
    for group in ("head", "block3"):  # nor can features be taken for pictures later on
        kept = precompute(learned(), digits(), group, device="cpu")
        with pytest.raises(ValueError):
            Run(kept.head, kept.data, augment=augment, device="cpu")


class DoesMore(Own):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).log_softmax(-1)


class Twice(Own):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + super().forward(-x)


@pytest.mark.parametrize(
    ("model", "group", "message"),
    [
        (DoesMore(), None, "DoesMore does more after 'upper' than its layers show"),
        (Twice(), None, "'upper' is used 2 times in one pass"),
        (Own(), "lower", "Own cannot be cut before 'lower', only before its last group, 'upper'"),
        (learned(), "block1", "nothing comes before the first layer group 'block1'"),
        (models.mlp(hidden=()), None, "nothing comes before the first layer group 'head'"),
        (models.cnn(channels=3), None, "the model does not take images of shape \\[1, 8, 8\\]"),
        (models.cnn(classes=5), None, "its last layer must have 10 outputs"),
    ],
)
def test_networks_that_cannot_be_cut_or_do_not_fit(model: nn.Module, group: str | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        precompute(model, digits(), group, device="cpu")


def test_features_are_what_the_head_was_given_before_it_changes_that_in_place() -> None:
    model = Own()
    model.upper = nn.Sequential(nn.ELU(inplace=True), nn.Linear(12, 10))  # type: ignore[assignment]
    found = precompute(model, digits(2), device="cpu")
    assert float(found.data.train.x.min()) >= 0, "those of the ReLU below"
    model.lower = nn.Sequential(nn.Flatten(), nn.Linear(64, 12))
    found = precompute(model, digits(2), device="cpu")
    assert float(found.data.train.x.min()) < -1, "an ELU is never below -1"


def test_features_that_do_not_fit_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "memory_of", lambda _: 680 * 64 * 4 - 1)
    with pytest.raises(ValueError, match="the features of 680 examples would take .* take fewer examples"):
        precompute(learned(), digits(), device="cpu")
    monkeypatch.setattr(features, "memory_of", lambda _: 680 * 64 * 4)
    precompute(learned(), digits(), device="cpu")


@pytest.mark.parametrize("size", [0, -1, 2.0, True])
def test_a_batch_size_that_is_none(size: Any) -> None:
    with pytest.raises(ValueError, match="batch_size must be a whole number"):
        precompute(learned(), digits(), batch_size=size)


def test_the_speed_up_is_measured_and_said() -> None:
    kept = precompute(learned(), digits(), device="cpu")
    before = weights_of(kept.head)
    measured = kept.speedup(steps=3, rounds=2)
    assert min(measured) > 0 and measured.factor == measured.with_body / measured.on_features
    assert f"{measured.factor:.1f} times quicker" in str(measured)
    assert changed(before, kept.head) == set()
    assert transfer.SpeedUp(3.0, 1.0, 20.0).pays_after == 10 and transfer.SpeedUp(1.0, 1.0, 5.0).pays_after == float(
        "inf"
    )


# The recipe -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def done() -> transfer.Recipe:
    return transfer.recipe(learned(), digits(20), cycle=10, batch_size=32, seed=1, device="cpu", progress=False)


def test_the_recipe_has_eight_steps_that_are_measured(done: transfer.Recipe) -> None:
    table = done.table
    assert table.index.tolist() == list(range(1, 9))
    assert table["steps"].tolist() == [0, 0, 10, 20, 0, 0, 0, 70]
    assert table["lr"].isna().tolist() == [True, False, False, False, True, True, False, False]
    assert table["val_loss"].iloc[-1] < table["val_loss"].iloc[3] < table["val_loss"].iloc[0]
    assert (table["seconds"] >= 0).all()
    loss, accuracy = Run(done.network, digits(20), device="cpu").validate()
    assert accuracy == table["val_accuracy"].iloc[-1] and loss == pytest.approx(table["val_loss"].iloc[-1])
    assert "block1 0.037, block2 0.11, block3 0.33, head 1" in str(done) and "<table" in done._repr_html_()
    assert "after eight steps" in repr(done)


def test_the_recipe_is_made_of_its_parts(done: transfer.Recipe) -> None:
    first, second = (test for test in done.range_tests)
    lr, later = done.table["lr"][2], done.table["lr"][7]
    assert lr == transfer.advised(first, 1) and later == transfer.advised(second, lr / 10)
    assert done.head_run.step == 10 and done.run.step == 90
    head_cycles = [schedules.WarmRestarts(lr, 10)(t) for t in range(20)]
    all_cycles = [schedules.WarmRestarts(later, 10, 2)(t) for t in range(70)]
    assert done.run.history["lr"].tolist() == pytest.approx(head_cycles + all_cycles)
    assert [(step, knob) for step, knob, _ in done.run.moves] == [(20, "factors"), (20, "factors"), (20, "lr")]
    assert set(done.run.moves[0][2].values()) == {1.0} and done.run.moves[1][2] == discriminative(learned(), 3)


def test_the_recipe_is_repeatable_and_its_run_can_be_replayed(done: transfer.Recipe) -> None:
    again = transfer.recipe(learned(), digits(20), cycle=10, batch_size=32, seed=1, device="cpu", progress=False)
    assert changed(weights_of(again.network), done.network) == set()
    pd.testing.assert_frame_equal(again.table.drop(columns="seconds"), done.table.drop(columns="seconds"))
    replayed = Run.replay(done.run.config, done.run.moves, progress=False)
    assert replayed.history["loss"].tolist() == done.run.history["loss"].tolist()


def test_the_recipe_augments_from_step_4_on_and_leaves_the_model_alone() -> None:
    model, seen = freeze(learned()), []

    def augment(x: Tensor, y: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        seen.append(x.shape[1:])
        return x, y

    before = weights_of(model)
    result = transfer.recipe(model, digits(), augment=augment, cycle=3, cycles=1, device="cpu", progress=False)
    assert set(seen) == {torch.Size([1, 8, 8])} and len(seen) >= 9
    assert "with augmentation" in result.table["what"][4]
    assert changed(before, model) == set() and models.parameter_count(model) == 64 * 10 + 10


def test_the_recipe_on_colour_pictures_and_torchvisions_network() -> None:
    torch.manual_seed(0)
    pictures = transfer.imagenet_images(digits())
    result = transfer.recipe(
        resnet(), pictures, cycle=2, cycles=1, batch_size=16, divide_by=slice(0.1, 1), device="cpu", progress=False
    )
    assert result.run.step == 6 and list(result.run.factors) == [
        "conv1",
        "bn1",
        "layer1",
        "layer2",
        "layer3",
        "layer4",
        "fc",
    ]


def test_what_the_recipe_cannot_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TypeError, match="model must be a network that has learned, such as .*; got 'cnn'"):
        transfer.recipe("cnn", "digits")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="data must be a name or a Dataset, got list"):
        transfer.recipe(learned(), [1, 2])  # type: ignore[arg-type]
    whole = digits()
    none = data.from_tensors(whole.train.x, whole.train.y, validation=0, test=0, device="cpu")
    with pytest.raises(ValueError, match="has no validation split"):
        transfer.recipe(learned(), none)
    for wrong in ({"cycle": 0}, {"cycles": 0}, {"cycles": 1.5}):
        with pytest.raises(ValueError, match="must be a whole number of at least 1"):
            transfer.recipe(learned(), whole, **wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="does not take images"):
        transfer.recipe(models.cnn(channels=3), whole, device="cpu")
    monkeypatch.setattr(transfer, "advised", lambda *_, **__: 1e38)
    with pytest.raises(RuntimeError, match="step 3 of the recipe, 'the head, on features', diverged at the .* 1e\\+38"):
        transfer.recipe(learned(), whole, device="cpu", progress=False)
