"""The networks: their sizes and shapes, their seeds, and that they learn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.nn import functional as F

from lrlab import data, models


def seeded(make: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return make()


def train(model: nn.Module, split: data.Split, steps: int, lr: float = 0.1, batch_size: int = 64) -> nn.Module:
    """SGD with momentum 0.9, batches drawn with replacement."""
    optimizer = torch.optim.SGD(model.parameters(), lr, momentum=0.9)
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        batch = torch.randint(len(split.y), (batch_size,), generator=generator)
        optimizer.zero_grad()
        F.cross_entropy(model(split.x[batch]), split.y[batch]).backward()
        optimizer.step()
    return model.eval()


@torch.no_grad()
def accuracy(model: nn.Module, split: data.Split) -> float:
    return (model(split.x).argmax(1) == split.y).double().mean().item()


# Sizes and shapes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "count"),
    [
        (models.mlp, 9_610),
        (lambda: models.mlp(64, (), 10), 650),
        (lambda: models.mlp(2, [8, 8], 3), 24 + 72 + 27),
        (models.cnn, 25_978),
        (models.resnet18, 11_173_962),
    ],
)
def test_parameter_counts(make: Callable[[], nn.Module], count: int) -> None:
    assert models.parameter_count(make()) == count


def test_frozen_parameters_are_not_counted() -> None:
    model = models.mlp()
    next(model.parameters()).requires_grad_(False)
    assert models.parameter_count(model) == 9_610 - 64 * 128


def test_the_mlp_is_its_formula() -> None:
    model = seeded(lambda: models.mlp(6, (4,), 3))
    w1, b1, w2, b2 = model.parameters()
    x = torch.randn(5, 1, 2, 3)
    assert torch.allclose(model(x), torch.relu(x.flatten(1) @ w1.T + b1) @ w2.T + b2)


@pytest.mark.parametrize("name", ["mlp", "cnn", "resnet18"])
@pytest.mark.parametrize("image_shape", [(1, 8, 8), (1, 16, 16), (1, 28, 28), (3, 32, 32)])
def test_each_network_takes_each_image(name: str, image_shape: tuple[int, int, int]) -> None:
    model = models.build(name, image_shape, 7)
    logits = model(torch.randn(2, *image_shape))
    assert logits.shape == (2, 7)
    logits.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_the_small_stem_keeps_the_resolution() -> None:
    model = models.resnet18(channels=1).eval()
    sizes = []
    model.layer1.register_forward_hook(lambda _module, _inputs, output: sizes.append(output.shape[2:]))
    model(torch.zeros(1, 1, 8, 8))
    assert sizes == [(8, 8)]


def test_features_of_any_shape_go_into_the_mlp() -> None:
    assert models.build("mlp", (2,), 3)(torch.randn(4, 2)).shape == (4, 3)
    assert models.build("mlp", (5, 4), 3)(torch.randn(6, 5, 4)).shape == (6, 3)


def test_an_image_does_not_depend_on_its_batch() -> None:
    model = models.cnn()
    x = torch.randn(5, 1, 8, 8)
    assert torch.allclose(model(x)[:1], model(x[:1]), atol=1e-6)


# Seeds ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", models.names())
def test_the_global_generator_fixes_the_first_weights(name: str) -> None:
    def flat(seed: int) -> Tensor:
        return nn.utils.parameters_to_vector(seeded(lambda: models.build(name, (1, 8, 8), 10), seed).parameters())

    assert torch.equal(flat(3), flat(3)) and not torch.equal(flat(3), flat(4))


@pytest.mark.parametrize("make", [models.mlp, models.cnn])
def test_training_is_deterministic(make: Callable[[], nn.Module]) -> None:
    split = data.load("digits", device="cpu").train
    first, second = (nn.utils.parameters_to_vector(train(seeded(make), split, 5).parameters()) for _ in range(2))
    assert torch.equal(first, second)


# Many at once -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [8, 16, 28])
def test_many_cnns_at_once_under_vmap(side: int) -> None:
    """Outputs and gradients of three stacked networks are those of each alone."""
    singles = [seeded(lambda: models.cnn(width=8), seed) for seed in range(3)]
    parameters, buffers = stack_module_state(singles)
    assert buffers == {}
    x, y = torch.randn(4, 1, side, side), torch.tensor([0, 1, 2, 3])

    def loss(parameters: dict[str, Tensor]) -> Tensor:
        return F.cross_entropy(functional_call(singles[0], parameters, (x,)), y)

    together = vmap(grad(loss))(parameters)
    for k, single in enumerate(singles):
        F.cross_entropy(single(x), y).backward()
        for name, parameter in single.named_parameters():
            assert parameter.grad is not None
            assert torch.allclose(together[name][k], parameter.grad, atol=1e-5), name


# They learn -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_the_mlp_reads_digits(seed: int) -> None:
    digits = data.load("digits", device="cpu", seed=seed)
    assert accuracy(train(seeded(models.mlp, seed), digits.train, steps=200), digits.validation) >= 0.96


def test_the_cnn_reads_glyphs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LRLAB_CACHE", str(tmp_path))
    letters = data.load("glyphs", device="cpu", count=3000, side=12, characters="ABCDEFGHKLMNPRST")
    model = seeded(lambda: models.cnn(classes=16, width=8))
    assert accuracy(model, letters.validation) < 0.2
    assert accuracy(train(model, letters.train, steps=200, lr=0.05), letters.validation) >= 0.9


# Bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: models.build("mpl", (1, 8, 8), 10), ValueError, "unknown model 'mpl'; did you mean 'mlp'\\?"),
        (
            lambda: models.build("ResNet-18", (1, 8, 8), 10),
            ValueError,
            "did you mean 'resnet18'\\? Known: mlp, cnn, resnet18",
        ),
        (lambda: models.build("transformer", (1, 8, 8), 10), ValueError, "unknown model 'transformer'. Known: mlp"),
        (lambda: models.build(nn.Linear(2, 2), (2,), 2), ValueError, "works wherever a name does"),  # type: ignore[arg-type]
        (
            lambda: models.build("cnn", (2,), 10),
            ValueError,
            r"'cnn' needs images of shape .* got \(2,\). 'mlp' takes any",
        ),
        (lambda: models.build("resnet18", (8, 8), 10), ValueError, r"'resnet18' needs images .* got \(8, 8\)"),
        (lambda: models.build("cnn", (1, 2, 2), 10), ValueError, r"at least 4 x 4 pixels; got \(1, 2, 2\)"),
        (lambda: models.build("mlp", (), 10), ValueError, r"image_shape must have at least one axis"),
        (lambda: models.build("mlp", (0, 8), 10), ValueError, "image_shape must be a positive whole number, got 0"),
        (lambda: models.build("mlp", (1, 8, 8), 0), ValueError, "classes must be a positive whole number, got 0"),
        (lambda: models.mlp(hidden=128), TypeError, r"hidden must be a sequence .* such as \(128,\).* got 128"),  # type: ignore[arg-type]
        (lambda: models.mlp(hidden=(0,)), ValueError, "hidden must be a positive whole number, got 0"),
        (lambda: models.mlp(inputs=6.4), ValueError, "inputs must be a positive whole number, got 6.4"),  # type: ignore[arg-type]
        (lambda: models.cnn(width=10), ValueError, "width must be a multiple of 4.* got 10"),
        (lambda: models.cnn(channels=True), ValueError, "channels must be a positive whole number, got True"),
        (lambda: models.resnet18(classes=-1), ValueError, "classes must be a positive whole number, got -1"),
    ],
)
def test_bad_arguments(call: Callable[[], nn.Module], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
