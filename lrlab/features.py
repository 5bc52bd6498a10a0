"""Features computed once: what the frozen part of a network says about every example, kept as a data set of its own.

As long as the lower layers are frozen and the pictures stay the same, their outputs stay the same too. So they need to
be computed once only, and what is trained on them, a head, is small::

    features = precompute(network, "digits")
    Run(features.head, features.data, lr=0.1).train(epochs=5)
    network = features.join()

With augmentation this would be wrong: each step shows other pictures, but the kept features would be those of the
pictures as they were. So it is refused.
"""

from __future__ import annotations

import copy
import os
import time
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import VGG, ResNet

from lrlab import data as datasets
from lrlab._groups import layer_groups, paths_of
from lrlab.configuration import Material, as_dtype, check_output
from lrlab.data import Dataset, Split
from lrlab.run import Run


class SpeedUp(NamedTuple):
    """What `Features.speedup` has measured, in milliseconds per training step.

    ``with_body`` runs the frozen part at each step, ``on_features`` does not; ``once`` is what computing the features
    took, in milliseconds too.
    """

    with_body: float
    on_features: float
    once: float

    @property
    def factor(self) -> float:
        """How many times quicker a step is."""
        return self.with_body / self.on_features

    @property
    def pays_after(self) -> float:
        """The number of steps after which the time for computing the features is won back; infinite if it never is."""
        won = self.with_body - self.on_features
        return self.once / won if won > 0 else float("inf")

    def __str__(self) -> str:
        return (
            f"a step on features takes {self.on_features:.2f} ms, with the frozen part {self.with_body:.2f} ms: "
            f"{self.factor:.1f} times quicker; computing them took {self.once:.0f} ms, worth it after "
            f"{self.pays_after:.0f} steps"
        )


@dataclass(frozen=True, eq=False, repr=False)
class Features:
    """Examples as a frozen network sees them, and the part of it that remains to be trained.

    Attributes:
        data: a data set whose examples are features ``[F]`` (flattened), on the device; labels and splits as before.
        head: the rest of the network, a copy: ``[N, F] -> [N, classes]``. Train it with an ordinary `Run`.
        source: the data set the features are of.
        group: the first layer group of the head.
        seconds: what computing the features took.
        model: the whole network, with the head as it was before training.
        shape: of the features of one example, before they were flattened.
    """

    data: Dataset
    head: nn.Module
    source: Dataset
    group: str
    seconds: float
    model: nn.Module
    shape: torch.Size

    def join(self, head: nn.Module | None = None) -> nn.Module:
        """A whole network again: a copy of the one the features are of, with the weights of the trained head.

        Args:
            head: a trained copy of `head`, such as ``run.model``; None: `head` itself.

        Raises:
            ValueError: a head of another form.
        """
        head = self.head if head is None else head
        whole = copy.deepcopy(self.model)
        _, tail = cut(whole, self.group)
        try:
            _head(tail, self.shape).load_state_dict(head.state_dict())
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise ValueError(f"this head does not belong to these features: {reason}") from None
        return whole

    def speedup(self, batch_size: int | None = None, steps: int = 20, rounds: int = 5) -> SpeedUp:
        """Measure it: training steps with the frozen part and steps on the features, in turns; the quickest of each.

        Args:
            batch_size: examples in a step; None: 64, or all where there are fewer.
            steps: training steps in a round.
            rounds: how often both are measured.
        """
        whole = copy.deepcopy(self.model).requires_grad_(False)
        for layer in cut(whole, self.group)[1]:
            layer.requires_grad_(True)
        settings: dict[str, Any] = {"lr": 1e-3, "batch_size": batch_size, "device": self.data.train.x.device}
        settings |= {"dtype": self.data.train.x.dtype, "validate_every": 0, "checkpoint_mb": 0}
        both = Run(whole, self.source, **settings), Run(copy.deepcopy(self.head), self.data, **settings)
        quickest = [float("inf"), float("inf")]
        for _ in range(rounds + 1):  # the first is a warm-up, and never the quickest
            for number, run in enumerate(both):
                quickest[number] = min(quickest[number], _time_of(run, steps))
        return SpeedUp(1e3 * quickest[0], 1e3 * quickest[1], 1e3 * self.seconds)

    def __repr__(self) -> str:
        size = self.data.image_shape[0]
        return f"Features({size:,} of each example of {self.source.name}, before {self.group!r}; {self.seconds:.2g} s)"


def _time_of(run: Run, steps: int) -> float:
    """Seconds per step."""
    _wait_for(run.device)
    start = time.perf_counter()
    run.train(steps, progress=False)
    _wait_for(run.device)
    return (time.perf_counter() - start) / steps


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def precompute(
    model: nn.Module,
    data: str | Dataset | tuple[Any, Any],
    group: str | None = None,
    *,
    batch_size: int = 512,
    device: str | torch.device = "auto",
    dtype: str | torch.dtype = "float32",
    augment: Any = None,
) -> Features:
    """Run the frozen part of a network over a data set once, in inference mode, and keep what comes out.

    Training the head on the features is the same as training the network with everything below frozen: the same
    batches, gradients and weights, up to the rounding of sums. It differs where a frozen layer draws random numbers
    (dropout), which is off here.

    Args:
        model: the network, which is left as it is: all that follows works on copies.
        data: a data set, its name, or a pair ``(x, y)``.
        group: the layer group with which the head begins (see `layer_groups`); None: the last one. Earlier ones work
            for ``nn.Sequential``, torchvision's ResNet and VGG.
        batch_size: examples that go through at once. It does not change the result.
        device, dtype: as for a `Run`.
        augment: None. Anything else is refused: see above.

    Returns:
        `Features`: the data set of features, the head, and `Features.join`, which makes a whole network of both.

    Raises:
        ValueError: augmentation; a group that does not exist or cannot be cut off; a head without anything to train;
            a model that does not take this data; features that do not fit in memory.
        TypeError: data of another kind. A DataLoader may change its pictures, so that is one.

    >>> from lrlab import models
    >>> features = precompute(models.cnn(), "digits", device="cpu")
    >>> features.data
    Dataset(digits, features: 1,197 train, 300 validation, 300 test; 256; 10 classes)
    """
    if augment is not None:
        raise ValueError(
            "augment: features are computed once, of the pictures as they are; with augmentation each step shows other "
            "pictures, and their features would be wrong. Leave it out here, and augment when the whole network trains"
        )
    group = list(layer_groups(model))[-1] if group is None else group
    paths_of(model, group)
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise ValueError(f"batch_size must be a whole number of at least 1, got {batch_size!r}")
    source = _dataset(data, device).to(device, as_dtype(dtype))
    whole = copy.deepcopy(model).to(source.train.x.device, source.train.x.dtype).eval()
    material = Material(source.name, source.train.x.device, source.train.x.dtype, source.train, None, source)
    check_output(whole, F.cross_entropy, material)
    body, tail = cut(whole, group)
    shape = _shape_of(body, source)
    head = _head(tail, shape)
    _check_cut(whole, body, head, group, source.train.x[:2])
    if not any(weight.requires_grad for weight in head.parameters()):
        raise ValueError(f"nothing is left to train: {group!r} and all after it are frozen; unfreeze(model, {group!r})")
    _check_memory(source, shape)
    start = time.perf_counter()
    train, validation, test = (
        Split(_outputs(body, split.x, batch_size, shape), split.y)
        for split in (source.train, source.validation, source.test)
    )
    _wait_for(source.train.x.device)
    seconds = time.perf_counter() - start
    kept = Dataset(
        f"{source.name}, features",
        f"what {type(model).__name__} makes of {source.name}, before {group!r}",
        *(train, validation, test, source.classes, (shape.numel(),)),
    )
    return Features(kept, copy.deepcopy(head), source, group, seconds, whole, shape)


def _dataset(data: Any, device: str | torch.device) -> Dataset:
    if isinstance(data, str):
        return datasets.load(data, device=device)
    if isinstance(data, tuple) and len(data) == 2:
        return datasets.from_tensors(*data, test=0.0, device=device)
    if not isinstance(data, Dataset):
        raise TypeError(f"data must be a name, a Dataset or a pair (x, y), got {type(data).__name__}")
    return data


def _outputs(body: nn.Module, x: Tensor, batch_size: int, shape: torch.Size) -> Tensor:
    """The features of many examples, ``[N, F]``, each batch written to its place at once."""
    features = torch.empty(len(x), shape.numel(), device=x.device, dtype=x.dtype)
    with torch.no_grad():
        for some, place in zip(x.split(batch_size), features.split(batch_size), strict=True):
            place.copy_(body(some).flatten(1))
    return features


def _shape_of(body: nn.Module, source: Dataset) -> torch.Size:
    with torch.no_grad():
        return body(source.train.x[:1]).shape[1:]


def _check_memory(source: Dataset, shape: torch.Size) -> None:
    count = sum(len(split.x) for split in (source.train, source.validation, source.test))
    needed, there = count * shape.numel() * source.train.x.element_size(), memory_of(source.train.x.device)
    if needed > there:
        raise ValueError(
            f"the features of {count:,} examples would take {needed / 2**30:.1f} GiB and {there / 2**30:.1f} GiB are "
            "there: begin the head with a later group, where features are smaller, or take fewer examples"
        )


def memory_of(device: torch.device) -> int:
    """Bytes: what is free on a GPU, half of what a computer has."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, ValueError, OSError):  # not every system says
        return 8 * 2**30


# Cutting a network in two ---------------------------------------------------------------------------------------------


def cut(model: nn.Module, group: str) -> tuple[nn.Module, list[nn.Module]]:
    """A network in two: all that comes before a layer group, and the layers from there on. Both share its weights.

    Raises:
        ValueError: the first group, before which there is nothing, or a network that cannot be cut there.
    """
    paths = paths_of(model, group)
    if group == next(iter(layer_groups(model))):
        raise ValueError(f"nothing comes before the first layer group {group!r}, so nothing can be computed beforehand")
    layers = _in_order(model)
    position = next((i for i, (name, _) in enumerate(layers) if name in paths), None)
    if position is not None:
        return nn.Sequential(*(layer for _, layer in layers[:position])), [layer for _, layer in layers[position:]]
    if group == list(layer_groups(model))[-1] and len(paths) == 1:
        return _InputOf(model, paths[0]), [model.get_submodule(paths[0])]
    last = list(layer_groups(model))[-1]
    raise ValueError(f"{type(model).__name__} cannot be cut before {group!r}, only before its last group, {last!r}")


def _in_order(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """The layers in the order in which they are used, for networks where that is known; else none."""
    if isinstance(model, nn.Sequential):
        return list(model.named_children())
    if isinstance(model, ResNet):
        before = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4", "avgpool")
        return [*((name, model.get_submodule(name)) for name in before), ("", nn.Flatten()), ("fc", model.fc)]
    if isinstance(model, VGG):
        features = [(f"features.{name}", layer) for name, layer in model.features.named_children()]
        classifier = [(f"classifier.{name}", layer) for name, layer in model.classifier.named_children()]
        classifier = classifier or [("classifier", model.classifier)]  # somebody's single layer
        return [*features, ("avgpool", model.avgpool), ("", nn.Flatten()), *classifier]
    return []


class _InputOf(nn.Module):
    """What one module of a network is given while the network runs."""

    def __init__(self, model: nn.Module, path: str) -> None:
        super().__init__()
        self.model, self.path = model, path

    def forward(self, x: Tensor) -> Tensor:
        seen: list[Tensor] = []
        watch = self.model.get_submodule(self.path).register_forward_pre_hook(
            lambda _, given: seen.append(given[0].clone())
        )
        try:
            self.model(x)
        finally:
            watch.remove()
        if len(seen) != 1:
            raise ValueError(f"{self.path!r} is used {len(seen)} times in one pass, so the network cannot be cut there")
        return seen[0]


def _head(tail: list[nn.Module], shape: torch.Size) -> nn.Sequential:
    """The layers of the head for features ``[N, F]``, which are given the shape that the layers expect."""
    return nn.Sequential(*([nn.Unflatten(1, shape)] if len(shape) > 1 else []), *tail)


def _check_cut(whole: nn.Module, body: nn.Module, head: nn.Module, group: str, x: Tensor) -> None:
    """ValueError unless body and head together are the network, tried on two examples."""
    with torch.no_grad():
        expected, found = whole(x), head(body(x).flatten(1))
    if expected.shape != found.shape or not torch.allclose(expected, found, rtol=1e-3, atol=1e-4):
        raise ValueError(
            f"{type(whole).__name__} does more after {group!r} than its layers show, so it cannot be cut there: its "
            "output is another than that of the parts"
        )
