"""The networks of the course: a multilayer perceptron, a small convolutional network and a ResNet-18.

Each is a plain ``nn.Module`` that maps images ``[N, channels, height, width]`` to logits ``[N, classes]``; the softmax
belongs to the loss. Initial weights are drawn from torch's global generator: seed it (a `Run` does) to get them again.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Sequence
from numbers import Integral

import torchvision
from torch import nn


def mlp(inputs: int = 64, hidden: Sequence[int] = (128,), classes: int = 10) -> nn.Sequential:
    """A multilayer perceptron: linear layers with ReLU between them.

        logits = W₂ relu(W₁ x + b₁) + b₂          (one hidden layer)

    Args:
        inputs: numbers in one example; an image is flattened, so channels × height × width.
        hidden: width of each hidden layer; ``()`` gives softmax regression.
        classes: number of classes.

    Returns:
        a module ``[N, ...] -> [N, classes]``; 9,610 parameters at the defaults.

    Example:
        >>> parameter_count(mlp(64, (128,), 10))
        9610
    """
    _check_sizes(inputs=inputs, classes=classes)
    if isinstance(hidden, (str, bytes)) or not isinstance(hidden, Sequence):
        raise TypeError(f"hidden must be a sequence of widths such as (128,) or (64, 64), got {hidden!r}")
    for width in hidden:
        _check_sizes(hidden=width)
    widths = [inputs, *hidden]
    layers: list[nn.Module] = [nn.Flatten()]
    for before, after in zip(widths, widths[1:], strict=False):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], classes))


def cnn(channels: int = 1, classes: int = 10, width: int = 16) -> nn.Sequential:
    """A small convolutional network for images of 8 × 8 to 32 × 32 pixels.

    Three times a 3 × 3 convolution, group normalisation and ReLU, with ``width``, ``2 width`` and ``4 width`` channels;
    pooling halves the picture after the first two; the mean over each quarter of what is left goes to one linear layer.
    (One mean over the whole picture would forget where a stroke lies, and with it the difference of A and 4.)

    Group normalisation looks at one image at a time and keeps no running statistics. So an image's logits do not depend
    on its batch, and many copies of the network can be trained at once under ``torch.func.vmap``, which batch
    normalisation does not allow.

    Args:
        channels: channels of the image, 1 for grey, 3 for colour.
        classes: number of classes.
        width: channels after the first convolution, a multiple of 4.

    Returns:
        a module ``[N, channels, height, width] -> [N, classes]``; 25,978 parameters at the defaults.

    Source: Y. Wu and K. He, "Group Normalization", ECCV 2018.
    """
    _check_sizes(channels=channels, classes=classes, width=width)
    if width % 4:
        raise ValueError(f"width must be a multiple of 4, for the groups of the normalisation; got {width}")
    layers: list[nn.Module] = []
    for before, after in ((channels, width), (width, 2 * width), (2 * width, 4 * width)):
        layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.GroupNorm(4, after), nn.ReLU()]
        layers.append(nn.MaxPool2d(2))
    layers[-1] = nn.AdaptiveAvgPool2d(2)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(4 * width * 4, classes))


def resnet18(channels: int = 3, classes: int = 10) -> torchvision.models.ResNet:
    """torchvision's ResNet-18 with a stem for small images, not pre-trained.

    ImageNet's stem (7 × 7 convolution with stride 2, then max-pooling) would leave 2 × 2 of an 8 × 8 image. Here it is
    one 3 × 3 convolution with stride 1 and no pooling, as usual for CIFAR-10. Batch normalisation needs at least two
    images in a training batch.

    Args:
        channels: channels of the image.
        classes: number of classes.

    Returns:
        a module ``[N, channels, height, width] -> [N, classes]``; 11,173,962 parameters at the defaults.

    Source: K. He et al., "Deep Residual Learning for Image Recognition", CVPR 2016.
    """
    _check_sizes(channels=channels, classes=classes)
    model = torchvision.models.resnet18(weights=None, num_classes=classes)
    model.conv1 = nn.Conv2d(channels, 64, kernel_size=3, stride=1, padding=1, bias=False)
    nn.init.kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")
    model.maxpool = nn.Identity()  # type: ignore[assignment]
    return model


def _build_mlp(image_shape: Sequence[int], classes: int) -> nn.Module:
    return mlp(math.prod(image_shape), classes=classes)


def _build_cnn(image_shape: Sequence[int], classes: int) -> nn.Module:
    return cnn(_channels("cnn", image_shape), classes)


def _build_resnet18(image_shape: Sequence[int], classes: int) -> nn.Module:
    return resnet18(_channels("resnet18", image_shape), classes)


_BUILDERS: dict[str, Callable[[Sequence[int], int], nn.Module]] = {
    "mlp": _build_mlp,
    "cnn": _build_cnn,
    "resnet18": _build_resnet18,
}


def names() -> tuple[str, ...]:
    """The names `build` knows."""
    return tuple(_BUILDERS)


def build(name: str, image_shape: Sequence[int], classes: int) -> nn.Module:
    """Build a network by name, to fit the data.

    Args:
        name: one of `names`.
        image_shape: shape of one example: ``(channels, height, width)``; for ``"mlp"`` any shape.
        classes: number of classes.

    Returns:
        a module ``[N, *image_shape] -> [N, classes]``, newly initialised.

    Raises:
        ValueError: an unknown name, or a shape the network cannot take.

    Example:
        >>> parameter_count(build("mlp", (1, 8, 8), 10))
        9610
    """
    if name not in _BUILDERS:
        nearest = difflib.get_close_matches(str(name).lower(), _BUILDERS, n=1)
        hint = f"; did you mean {nearest[0]!r}?" if nearest else "."
        raise ValueError(
            f"unknown model {name!r}{hint} Known: {', '.join(names())}. Your own nn.Module, or a function that makes"
            " one, works wherever a name does."
        )
    if not image_shape:
        raise ValueError("image_shape must have at least one axis, such as (1, 8, 8); got ()")
    for size in image_shape:
        _check_sizes(image_shape=size)
    return _BUILDERS[name](image_shape, classes)


def parameter_count(model: nn.Module) -> int:
    """The number P of trainable parameters."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def _channels(name: str, image_shape: Sequence[int]) -> int:
    if len(image_shape) != 3 or min(image_shape[1:]) < 4:
        raise ValueError(
            f"{name!r} needs images of shape (channels, height, width), at least 4 x 4 pixels;"
            f" got {tuple(image_shape)}. 'mlp' takes any shape."
        )
    return image_shape[0]


def _check_sizes(**sizes: int) -> None:
    for argument, size in sizes.items():
        if not isinstance(size, Integral) or isinstance(size, bool) or size < 1:
            raise ValueError(f"{argument} must be a positive whole number, got {size!r}")
