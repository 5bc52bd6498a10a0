"""The layers of a network in a few named groups, from input to output, and what can be done to a group."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Mapping
from numbers import Real
from typing import Any

import torch
from torch import nn
from torchvision.models import VGG, ResNet, VisionTransformer

Groups = dict[str, tuple[str, ...]]

POOLING = (nn.MaxPool2d, nn.AvgPool2d)


def layer_groups(model: nn.Module) -> Groups:
    """The layers of a network in groups, from input to output: the name of each group, and the paths of its modules.

    | network                              | groups                                                   |
    |--------------------------------------|----------------------------------------------------------|
    | `models.cnn`, `models.mlp`, any flat | ``block1``, ``block2``, ... ``head``: a convolution or   |
    | ``nn.Sequential`` of layers          | linear layer each, with the normalisation after it       |
    | torchvision's ResNet                 | ``stem``, ``layer1``, ... ``layer4``, ``head``           |
    | torchvision's VGG                    | ``stage1``, ... ``stage5`` (pooling ends a stage),       |
    |                                      | ``classifier``, ``head``                                 |
    | torchvision's VisionTransformer      | ``stem``, ``block1``, ... ``head``                       |
    | any other                            | its children with parameters, by their own names, in the |
    |                                      | order in which they were made, which is taken for the    |
    |                                      | order of their use; an only child is opened              |

    Where that is not what you want, a network may say it itself, and this function and all that build on it take it at
    its word: ``model.layer_groups = {"body": ("embed", "trunk"), "head": ("classifier",)}``, from input to output.

    Each parameter is in one group. A path is a prefix of parameter names that ends at a dot.

    Raises:
        TypeError: no module, or ``model.layer_groups`` is no dict of names to paths.
        ValueError: a module without parameters; a path in ``model.layer_groups`` that leads to none, or two that lead
            to the same.

    >>> from lrlab import models
    >>> layer_groups(models.cnn())
    {'block1': ('0', '1'), 'block2': ('4', '5'), 'block3': ('8', '9'), 'head': ('13',)}
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    if not any(True for _ in model.parameters()):
        raise ValueError(f"{type(model).__name__} has no parameters, so it has no layer groups")
    if (declared := getattr(model, "layer_groups", None)) is not None:
        groups = _declared(model, declared)
    elif isinstance(model, ResNet):
        groups = _of_resnet(model)
    elif isinstance(model, VGG):
        groups = _of_vgg(model)
    elif isinstance(model, VisionTransformer):
        groups = _of_transformer(model)
    else:
        groups = _of_any(model)
    filled = {name: tuple(path for path in paths if _holds_any(model, path)) for name, paths in groups.items()}
    filled = {name: paths for name, paths in filled.items() if paths}
    return {**_left_over(model, filled), **filled}


def _declared(model: nn.Module, declared: Any) -> Groups:
    """The groups that a network names itself, after a look whether they can be."""
    own = f"{type(model).__name__}.layer_groups"
    if not isinstance(declared, Mapping) or not all(isinstance(paths, (list, tuple)) for paths in declared.values()):
        raise TypeError(
            f'{own} must be a dict from input to output, such as {{"body": ("embed", "trunk"), "head": ("fc",)}}; '
            f"got {declared!r}"
        )
    groups = {str(name): tuple(map(str, paths)) for name, paths in declared.items()}
    paths = [path for group in groups.values() for path in group]
    if lost := [path for path in paths if not _holds_any(model, path)]:
        raise ValueError(f"{own} names {lost[0]!r}, where there is no parameter")
    for name, _ in model.named_parameters():
        if len(doubled := [path for path in paths if fits(name, path)]) > 1:
            raise ValueError(f"{own} has {name!r} twice, under {' and '.join(map(repr, doubled))}")
    return groups


def _of_resnet(model: ResNet) -> Groups:
    stages = {name: (name,) for name, _ in model.named_children() if name.startswith("layer")}
    return {"stem": ("conv1", "bn1"), **stages, "head": ("fc",)}


def _of_vgg(model: VGG) -> Groups:
    stages: list[list[str]] = [[]]
    for name, layer in model.features.named_children():
        if isinstance(layer, POOLING):
            stages.append([])
        else:
            stages[-1].append(f"features.{name}")
    groups = {f"stage{number}": tuple(paths) for number, paths in enumerate(stages, 1)}
    # Someone may have put a single layer, or none, in the place of the three.
    layers = [f"classifier.{name}" for name, layer in model.classifier.named_children() if _parameters(layer)]
    layers = layers or ["classifier"]
    return {**groups, "classifier": tuple(layers[:-1]), "head": (layers[-1],)}


def _of_transformer(model: VisionTransformer) -> Groups:
    blocks = [f"encoder.layers.{name}" for name, _ in model.encoder.layers.named_children()]
    groups: Groups = {f"block{number}": (path,) for number, path in enumerate(blocks, 1)}
    groups[f"block{len(blocks)}"] += ("encoder.ln",)  # the normalisation after the last block
    return {"stem": ("class_token", "conv_proj", "encoder.pos_embedding"), **groups, "head": ("heads",)}


def _of_any(model: nn.Module, prefix: str = "") -> Groups:
    children = {name: child for name, child in model.named_children() if _parameters(child)}
    own = [name for name, _ in model.named_parameters(recurse=False)]
    if not children:
        return {"head": tuple(prefix + name for name in own)}
    if isinstance(model, nn.Sequential) and not any(list(child.children()) for child in children.values()):
        return _of_layers(children, prefix)
    if len(children) == 1 and not own:
        name, child = next(iter(children.items()))
        if list(child.children()):
            return _of_any(child, f"{prefix}{name}.")
    return {name: (prefix + name,) for name in (*own, *children)}


def _of_layers(layers: Mapping[str, nn.Module], prefix: str) -> Groups:
    blocks: list[list[str]] = []
    for name, layer in layers.items():
        # Only vectors: a normalisation or a PReLU, which belongs to the layer whose output it changes.
        if blocks and all(weight.dim() <= 1 for weight in _parameters(layer)):
            blocks[-1].append(prefix + name)
        else:
            blocks.append([prefix + name])
    *lower, head = map(tuple, blocks)
    return {**{f"block{number}": paths for number, paths in enumerate(lower, 1)}, "head": head}


def _left_over(model: nn.Module, groups: Groups) -> Groups:
    """What someone has added to a network that we know, in a group of its own, so that no parameter is without one."""
    paths = [path for group in groups.values() for path in group]
    free = [name for name, _ in model.named_parameters() if not any(fits(name, path) for path in paths)]
    return {"others": tuple(free)} if free else {}


def _parameters(module: nn.Module) -> list[nn.Parameter]:
    return list(module.parameters())


def fits(name: str, path: str) -> bool:
    """Whether the parameter of this name lies at or below the path."""
    return name == path or name.startswith(f"{path}.")


def _holds_any(model: nn.Module, path: str) -> bool:
    return any(fits(name, path) for name, _ in model.named_parameters())


def parameters_of(model: nn.Module, *groups: str) -> Iterator[nn.Parameter]:
    """The parameters in these groups."""
    paths = [path for group in groups for path in paths_of(model, group)]
    return (weight for name, weight in model.named_parameters() if any(fits(name, path) for path in paths))


def paths_of(model: nn.Module, group: str) -> tuple[str, ...]:
    """The module paths of one group.

    Raises:
        TypeError: no name.
        ValueError: no such group; the message has the nearest name and the list.
    """
    groups = layer_groups(model)
    if not isinstance(group, str):
        raise TypeError(
            f'a layer group is a name, such as "{next(iter(groups))}", and several are given one by one; got {group!r}'
        )
    if group not in groups:
        nearest = difflib.get_close_matches(str(group), groups, n=1)
        hint = f"; did you mean {nearest[0]!r}?" if nearest else "."
        raise ValueError(f"{type(model).__name__} has no layer group {group!r}{hint} It has: {', '.join(groups)}")
    return groups[group]


def factors(model: nn.Module, by_group: Mapping[str, float]) -> dict[str, float]:
    """Learning-rate factors by layer group, as ``Run(factors=...)`` takes them: by module path.

    Args:
        model: the network.
        by_group: group name -> factor ≥ 0; 0 freezes the group. Groups that are not named keep the factor 1.

    Raises:
        ValueError: no such group, or a factor that is negative or not finite.
        TypeError: a factor that is no number.

    >>> from lrlab import models
    >>> factors(models.cnn(), {"block1": 0, "block2": 0.1})
    {'0': 0.0, '1': 0.0, '4': 0.1, '5': 0.1}
    """
    if not isinstance(by_group, Mapping):
        raise TypeError(f'factors must be a dict such as {{"head": 1.0}}, got {by_group!r}')
    by_path: dict[str, float] = {}
    for group, factor in by_group.items():
        paths = paths_of(model, group)
        if isinstance(factor, bool) or not isinstance(factor, Real):
            raise TypeError(f"the factor of {group!r} must be a number of at least 0; got {factor!r}")
        if not 0 <= factor < math.inf:
            raise ValueError(f"the factor of {group!r} must be at least 0 and finite; got {factor!r}")
        by_path.update(dict.fromkeys(paths, float(factor)))
    return by_path


def freeze(model: nn.Module, *groups: str) -> nn.Module:
    """Take layer groups out of the training, in place: no gradient is computed for them, and none is stored.

    A `Run` made afterwards trains what is left, on a shorter vector of weights, and leaves the running statistics of
    frozen batch normalisation as they are. To freeze and unfreeze during a run, give it factors: see `gradual`.

    Args:
        model: the network.
        groups: names of `layer_groups`. None at all: every group but the last.

    Returns:
        the model.

    Raises:
        ValueError: no such group.

    >>> from lrlab import models
    >>> models.parameter_count(freeze(models.cnn()))
    2570
    """
    return _learn(model, groups or tuple(layer_groups(model))[:-1], False)


def unfreeze(model: nn.Module, *groups: str) -> nn.Module:
    """Take layer groups back into the training, in place; no names at all: every group. The opposite of `freeze`."""
    return _learn(model, groups or tuple(layer_groups(model)), True)


def _learn(model: nn.Module, groups: tuple[str, ...], learns: bool) -> nn.Module:
    for weight in list(parameters_of(model, *groups)):
        weight.requires_grad_(learns)
    return model


def new_head(model: nn.Module, classes: int, seed: int = 0) -> nn.Module:
    """Put a fresh linear layer in the place of the last one, in place: other classes, same features.

    Args:
        model: a network whose last layer group ends with a linear layer. What else is in that group stays.
        classes: how many classes the new layer tells apart.
        seed: of its weights; torch's own initialisation, U(-1/√features, 1/√features).

    Returns:
        the model.

    Raises:
        ValueError: no linear layer in the last group, or ``classes`` out of its range.

    >>> from lrlab import models
    >>> new_head(models.cnn(classes=36), 10)[-1]
    Linear(in_features=256, out_features=10, bias=True)
    """
    if isinstance(classes, bool) or not isinstance(classes, int) or classes < 1:
        raise ValueError(f"classes must be a whole number of at least 1, got {classes!r}")
    parent, name, old = last_linear(model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = nn.Linear(old.in_features, classes, bias=old.bias is not None)
    setattr(parent, name, head.to(old.weight.device, old.weight.dtype))
    return model


def last_linear(model: nn.Module) -> tuple[nn.Module, str, nn.Linear]:
    """The last linear layer of the last group: the module it is in, its name there, and itself."""
    group, paths = list(layer_groups(model).items())[-1]
    inside = [name for name, _ in model.named_modules() if any(fits(name, path) for path in paths)]
    linear = [name for name in inside if isinstance(model.get_submodule(name), nn.Linear)]
    if not linear:
        raise ValueError(
            f"the last layer group of {type(model).__name__}, {group!r}, has no linear layer that could be replaced: "
            "put a new head there yourself"
        )
    parent, _, name = linear[-1].rpartition(".")
    layer = model.get_submodule(linear[-1])
    assert isinstance(layer, nn.Linear)
    return model.get_submodule(parent), name, layer
