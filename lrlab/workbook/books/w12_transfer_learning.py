"""The questions of workbook 12: factors by layer, lower rates below, unfreezing, freezing, a new head, features kept.

Each section is one question: how an input is drawn, the reference, three other right ways to write it, the question.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lrlab import transfer
from lrlab._groups import last_linear
from lrlab.factors import factor_of as lrlab_factor_of
from lrlab.factors import train_mode
from lrlab.workbook.questions import Mistake, Property, Question, Random

VERSION = 1


def lies_under(name: str, path: str) -> bool:
    """Whether the parameter of this name belongs to the module at this path."""
    return name == path or name.startswith(path + ".")


# 1 · Whose factor is it? ----------------------------------------------------------------------------------------------


def draw_factors(random: Random) -> dict[str, Any]:
    parts = [random.choice(("layer1", "layer2", "layer10")), random.choice(("0", "1", "10")), "conv1", "weight"]
    above = [".".join(parts[:length]) for length in (1, 2, 3, 4)]
    others = ["stem", "layer1", "layer2", "layer10.0", "layer1.1", "conv1", "fc"]
    paths = {path: None for path in (*above, *others) if random.choice((True, False))}
    order = sorted(paths, key=lambda path: random.uniform(0, 1))
    values = [0.0, 0.02, 0.1, 0.3, 0.5, 0.7, 2.0, 3.0, 5.0, 7.0]
    return {"name": ".".join(parts), "factors": {path: random.choice(values) for path in order}}


def factor_of(name: str, factors: Mapping[str, float]) -> float:
    return lrlab_factor_of(name, factors)


def factor_of_longest(name, factors):
    fitting = sorted((path for path in factors if (name + ".").startswith(path + ".")), key=len)
    return factors[fitting[-1]] if fitting else 1.0


def factor_of_upwards(name, factors):
    while name:
        if name in factors:
            return factors[name]
        name = name.rpartition(".")[0]
    return 1.0


def factor_of_by_parts(name, factors):
    parts, found = name.split("."), 1.0
    for length in range(1, len(parts) + 1):
        found = factors.get(".".join(parts[:length]), found)
    return found


def _fitting(name: str, factors: Mapping[str, float]) -> list[str]:
    return [path for path in factors if lies_under(name, path)]


def _longest(paths: Sequence[str], factors: Mapping[str, float]) -> float:
    return factors[max(paths, key=len)] if paths else 1.0


FACTOR_OF = Question(
    name="factor_of",
    signature="factor_of(name, factors) -> factor",
    draw=draw_factors,
    answer=factor_of,
    examples=(
        {"name": "fc.weight", "factors": {"fc": 3.0}},
        {"name": "layer1.0.weight", "factors": {"layer1.0": 0.5, "layer1": 0.1}},
        {"name": "layer10.0.weight", "factors": {"layer1": 0.1}},
        {"name": "layer1.conv1.weight", "factors": {"conv1": 0.1}},
        {"name": "layer1.0.weight", "factors": {"layer1": 0.1, "layer1.0": 0.0}},
        {"name": "fc.bias", "factors": {"fc": 3.0, "fc.bias": 0.5}},
    ),
    mistakes=(
        Mistake(
            "path without its dot",
            lambda name, factors: _longest([path for path in factors if name.startswith(path)], factors),
            'You compared letters. "layer1" is the beginning of "layer10", but no module above it: a path ends at a '
            "dot, or with the name.",
        ),
        Mistake(
            "whole name overlooked",
            lambda name, factors: _longest([path for path in factors if name.startswith(path + ".")], factors),
            "A path may be the whole name, and then no dot follows it: ask for name == path as well.",
        ),
        Mistake(
            "path anywhere",
            lambda name, factors: _longest([path for path in factors if path in name], factors),
            "You looked for the path anywhere in the name. It has to be the beginning of it, up to a dot.",
        ),
        Mistake(
            "first that fits",
            lambda name, factors: factors[_fitting(name, factors)[0]] if _fitting(name, factors) else 1.0,
            "You took the first path that fits. The order in the dictionary says nothing: the longest wins.",
        ),
        Mistake(
            "shortest",
            lambda name, factors: factors[min(_fitting(name, factors), key=len)] if _fitting(name, factors) else 1.0,
            "You took the shortest path that fits. The longest one is the one that says it most exactly.",
        ),
        Mistake(
            "factors multiplied",
            lambda name, factors: math.prod(factors[path] for path in _fitting(name, factors)),
            "You multiplied all factors that fit. Only one counts: that of the longest path.",
        ),
        Mistake(
            "only the first word",
            lambda name, factors: factors.get(name.split(".")[0], 1.0),
            "You looked up the first word of the name only. A path may have more words, and the longest one wins.",
        ),
        Mistake(
            "0 where none fits",
            lambda name, factors: factor_of(name, factors) if _fitting(name, factors) else 0.0,
            "You froze what nobody has named. A weight without a factor learns at the full rate: its factor is 1.",
        ),
        Mistake(
            "0 taken for nothing",
            lambda name, factors: factor_of(name, factors) or 1.0,
            "A factor of 0 became 1. For Python 0 is false, so `… or 1` takes it for missing: ask with `in` instead.",
        ),
    ),
    rights=(factor_of_longest, factor_of_upwards, factor_of_by_parts),
    hints=(
        "Two questions: which paths fit the name, and which of these wins?",
        'A path fits if it is the name, or if the name begins with the path and a dot. str.startswith(path + ".").',
        "Collect the paths that fit. With none of them return 1.0, else the factor of max(fitting, key=len).",
    ),
)


# 2 · Lower below ------------------------------------------------------------------------------------------------------

GROUPS = ("stem", "layer1", "layer2", "layer3", "layer4", "head")


def draw_groups(random: Random) -> list[str]:
    return [*GROUPS[: min(random.size, 4) + random.integer(0, 1)], "head"]


def discriminative(groups: list[str], divide_by: float) -> dict[str, float]:
    # the factors of lrlab, by the path of a layer: a group is one layer here
    layers = nn.Sequential(*(nn.Linear(1, 1) for _ in groups))
    return dict(zip(groups, transfer.discriminative(layers, divide_by).values(), strict=True))


def discriminative_by_powers(groups, divide_by):
    return {group: divide_by ** (number - len(groups) + 1) for number, group in enumerate(groups)}


def discriminative_downwards(groups, divide_by):
    factor, factors = 1.0, {}
    for group in reversed(groups):
        factors[group] = factor
        factor = factor / divide_by
    return factors


def discriminative_in_numpy(groups, divide_by):
    below = np.arange(len(groups))[::-1]
    return dict(zip(groups, np.exp(-below * np.log(divide_by)).tolist(), strict=True))


def _by_depth(factor: Callable[[int, int, float], float]) -> Callable[[list[str], float], dict[str, float]]:
    """The factor as a function of: how many groups lie above, how many groups there are, divide_by."""

    def factors(groups: list[str], divide_by: float) -> dict[str, float]:
        count = len(groups)
        return {group: factor(count - 1 - number, count, divide_by) for number, group in enumerate(groups)}

    return factors


DISCRIMINATIVE = Question(
    name="discriminative",
    signature="discriminative(groups, divide_by) -> factors",
    draw=lambda random: {"groups": draw_groups(random), "divide_by": random.uniform(1.5, 10)},
    answer=discriminative,
    examples=(
        {"groups": ["stem", "head"], "divide_by": 10.0},
        {"groups": ["stem", "layer1", "head"], "divide_by": 2.0},
    ),
    properties=(
        Property("the head has the factor 1", lambda value, given: abs(value["head"] - 1) < 1e-6),
        Property(
            "no group learns faster than the one above it",
            lambda value, given: all(
                value[low] <= value[high] * (1 + 1e-6) for low, high in itertools.pairwise(given["groups"])
            ),
        ),
    ),
    mistakes=(
        Mistake(
            "upside down",
            _by_depth(lambda above, count, ratio: ratio ** -(count - 1 - above)),
            "You have the full rate at the input and the lowest one at the head. It is the head that has everything "
            "to learn.",
        ),
        Mistake(
            "head divided too",
            _by_depth(lambda above, count, ratio: ratio ** -(above + 1)),
            "You divided the head as well. It is the base of all: factor 1, and the first division is below it.",
        ),
        Mistake(
            "divided only once",
            _by_depth(lambda above, count, ratio: 1 / ratio if above else 1.0),
            "All groups below your head have the same factor. Each is divided by what the one above it has.",
        ),
        Mistake(
            "in equal steps",
            _by_depth(lambda above, count, ratio: 1 / (above * ratio) if above else 1.0),
            "You divided by 1, 2, 3, … times divide_by. From group to group it is the same ratio: powers.",
        ),
        Mistake(
            "multiplied",
            _by_depth(lambda above, count, ratio: ratio**above),
            "Your rates grow towards the input. Divide from group to group, do not multiply.",
        ),
        Mistake(
            "a share of the number of groups",
            _by_depth(lambda above, count, ratio: (count - above) / count),
            "You spread the factors evenly over the groups. divide_by says how many times lower each one is.",
        ),
    ),
    rights=(discriminative_by_powers, discriminative_downwards, discriminative_in_numpy),
    hints=(
        "Begin at the head, with 1, and walk down to the input.",
        "The k-th group below the head has been divided k times: its factor is 1 over divide_by to the power k.",
        "With enumerate(reversed(groups)) you get k and the group: the factor is divide_by to the power −k.",
    ),
)


# 3 · One more each time -----------------------------------------------------------------------------------------------

Plan = list[tuple[int, list[str]]]


def draw_unfreezing(random: Random) -> dict[str, Any]:
    batch_size = random.choice((8, 16, 32, 64))
    return {
        "groups": draw_groups(random),
        "images": batch_size * random.integer(2, 20) + random.integer(1, batch_size - 1),
        "batch_size": batch_size,
        "epochs": random.integer(1, 4),
    }


def unfreezing(groups: list[str], images: int, batch_size: int, epochs: int) -> Plan:
    # the plan of lrlab, whose factors are by the path of a layer: a group is one layer here
    layers = nn.Sequential(*(nn.Linear(1, 1) for _ in groups))
    plan = transfer.gradual(layers, every=epochs * (images // batch_size))
    return [
        (step, [group for group, factor in zip(groups, factors.values(), strict=True) if factor])
        for step, _, factors in plan
    ]


def unfreezing_in_a_loop(groups, images, batch_size, epochs):
    an_epoch = images // batch_size
    return [(number * epochs * an_epoch, groups[-1 - number :]) for number in range(len(groups))]


def unfreezing_from_the_top(groups, images, batch_size, epochs):
    plan, step = [], 0
    learning: list[str] = []
    for group in groups[::-1]:
        learning = [group, *learning]
        plan.append((step, learning))
        step += epochs * (images // batch_size)
    return plan


def unfreezing_by_lengths(groups, images, batch_size, epochs):
    steps = range(0, len(groups) * epochs * (images // batch_size), epochs * (images // batch_size))
    asleep = range(len(groups) - 1, -1, -1)
    return list(zip(steps, (groups[count:] for count in asleep), strict=True))


def _plan(
    every: Callable[[int, int, int], float], learning: Callable[[list[str], int], list[str]]
) -> Callable[..., list[tuple[float, list[str]]]]:
    """A plan made of: steps from one move to the next, and who learns after how many of them."""

    def plan(groups: list[str], images: int, batch_size: int, epochs: int) -> list[tuple[float, list[str]]]:
        apart = every(images, batch_size, epochs)
        return [(number * apart, learning(groups, number)) for number in range(len(groups))]

    return plan


def _right_distance(images: int, batch_size: int, epochs: int) -> int:
    return epochs * (images // batch_size)


def _from_the_top(groups: list[str], number: int) -> list[str]:
    return groups[-1 - number :]


UNFREEZING = Question(
    name="unfreezing",
    signature="unfreezing(groups, images, batch_size, epochs)",
    draw=draw_unfreezing,
    answer=unfreezing,
    examples=(
        {"groups": ["stem", "head"], "images": 320, "batch_size": 32, "epochs": 1},
        {"groups": ["stem", "layer1", "head"], "images": 330, "batch_size": 32, "epochs": 2},
    ),
    mistakes=(
        Mistake(
            "epochs for steps",
            _plan(lambda images, batch_size, epochs: epochs, _from_the_top),
            "You counted in epochs. A run counts in steps: one epoch is as many of them as there are full batches.",
        ),
        Mistake(
            "images for steps",
            _plan(lambda images, batch_size, epochs: epochs * images, _from_the_top),
            "You took a step for each image. A step takes a whole batch of them.",
        ),
        Mistake(
            "last batch counted",
            _plan(lambda images, batch_size, epochs: epochs * math.ceil(images / batch_size), _from_the_top),
            "You rounded up. The images that do not fill a batch sit out, so an epoch has only the full ones.",
        ),
        Mistake(
            "rounded at the end",
            lambda groups, images, batch_size, epochs: [
                (number * epochs * images // batch_size, groups[-1 - number :]) for number in range(len(groups))
            ],
            "You multiplied first and rounded once. Each epoch loses its own rest: round down to whole batches first.",
        ),
        Mistake(
            "from the bottom",
            _plan(_right_distance, lambda groups, number: groups[: number + 1]),
            "You begin at the input. Unfreeze from the top down: first the head learns, which knows nothing yet.",
        ),
        Mistake(
            "one at a time",
            _plan(_right_distance, lambda groups, number: [groups[-1 - number]]),
            "In your plan the others fall asleep again. Who is awake stays awake: each move adds a group.",
        ),
        Mistake(
            "head not first",
            lambda groups, images, batch_size, epochs: [
                (step + _right_distance(images, batch_size, epochs), learning)
                for step, learning in unfreezing(groups, images, batch_size, epochs)
            ],
            "Your first move comes late. Until then all would learn: the plan begins at step 0 with the head alone.",
        ),
    ),
    rights=(unfreezing_in_a_loop, unfreezing_from_the_top, unfreezing_by_lengths),
    hints=(
        "Two things for each move: its step, and a piece of the list of groups that ends with the head.",
        "Steps in an epoch: images // batch_size, rounded down. The last n entries of a list: groups[-n:].",
        "Move number n (0, 1, 2, …) is at step n times epochs times the steps in an epoch; then the last n + 1 groups "
        "learn.",
    ),
)


# 4 · Freeze -----------------------------------------------------------------------------------------------------------


def normalised(channels_in: int, channels: int) -> list[nn.Module]:
    return [nn.Conv2d(channels_in, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()]


def flat_network() -> nn.Sequential:
    pooled = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 3)]
    return nn.Sequential(*normalised(1, 2), *normalised(2, 2), *normalised(2, 2), nn.Dropout(), *pooled)


def nested_network() -> nn.Sequential:
    blocks = {name: nn.Sequential(*normalised(n, 2)) for name, n in {"stem": 1, "layer1": 2, "layer2": 2}.items()}
    return nn.Sequential(OrderedDict(blocks, pool=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten(), head=nn.Linear(2, 3)))


FLAT, NESTED = ("0", "1", "3", "4", "6", "7"), ("stem", "layer1", "layer2")


def draw_network_to_freeze(random: Random) -> dict[str, Any]:
    nested = random.choice((True, False))
    frozen = random.integer(1, 3)  # so many blocks from the input
    paths = list(NESTED[:frozen] if nested else FLAT[: 2 * frozen])
    network = nested_network() if nested else flat_network()
    for weight in network.parameters():
        weight.requires_grad_(random.choice((True, False)))  # left by somebody who had it before
    return {"network": _constant(network).train(random.choice((True, False))), "paths": paths}


def _constant(network: nn.Module) -> nn.Module:
    """The weights do not matter; but two draws from one seed shall be equal."""
    for weight in network.parameters():
        nn.init.constant_(weight, 0.5)
    return network


def who_learns(network: nn.Module) -> dict[str, str]:
    learning = [name for name, weight in network.named_parameters() if weight.requires_grad]
    modes = [name for name, layer in network.named_modules() if isinstance(layer, _BatchNorm) and layer.training]
    return {"weights that learn": ", ".join(learning), "normalisations in training mode": ", ".join(modes)}


def freeze(network: nn.Module, paths: Sequence[str]) -> nn.Module:
    for name, weight in network.named_parameters():
        weight.requires_grad_(not any(lies_under(name, path) for path in paths))
    train_mode(network)
    return network


def freeze_by_modules(network, paths):
    network.train().requires_grad_(True)
    for path in paths:
        network.get_submodule(path).requires_grad_(False).eval()
    return network


def freeze_by_names(network, paths):
    beginnings = tuple(path + "." for path in paths)
    for name, weight in network.named_parameters():
        weight.requires_grad = not name.startswith(beginnings)
    for name, module in network.named_modules():
        module.training = not (name + ".").startswith(beginnings)
    return network


def freeze_by_looking_around(network, paths):
    frozen = [module for path in paths for module in network.get_submodule(path).modules()]
    for module in network.modules():
        module.training = not any(module is other for other in frozen)
        for weight in module.parameters(recurse=False):
            weight.requires_grad_(module.training)
    return network


def _frozen_where(
    weights: Callable[[str, Sequence[str]], bool], modes: Callable[[nn.Module, Sequence[str]], Any]
) -> Callable[[nn.Module, Sequence[str]], nn.Module]:
    def freeze(network: nn.Module, paths: Sequence[str]) -> nn.Module:
        for name, weight in network.named_parameters():
            weight.requires_grad_(not weights(name, paths))
        modes(network, paths)
        return network

    return freeze


def _right_weights(name: str, paths: Sequence[str]) -> bool:
    return any(lies_under(name, path) for path in paths)


def _right_modes(network: nn.Module, paths: Sequence[str]) -> None:
    network.train()
    for path in paths:
        network.get_submodule(path).eval()


def _without_thawing(network: nn.Module, paths: Sequence[str]) -> nn.Module:
    _right_modes(network, paths)
    for path in paths:
        network.get_submodule(path).requires_grad_(False)
    return network


def _only_gradients(network: nn.Module, paths: Sequence[str]) -> nn.Module:
    for path in paths:
        network.get_submodule(path).requires_grad_(False)
    return network


FREEZE = Question(
    name="freeze",
    signature="freeze(network, paths) -> network",
    draw=draw_network_to_freeze,
    answer=freeze,
    read=who_learns,
    may_change=("network",),
    examples=(
        {"network": _constant(nested_network()), "paths": ["stem"]},
        {"network": _constant(flat_network()), "paths": ["0", "1"]},
    ),
    mistakes=(
        Mistake(
            "normalisation still in training",
            _frozen_where(_right_weights, lambda network, paths: network.train()),
            "Your frozen batch normalisations are in training mode: their running statistics go on changing, with no "
            "gradient at all. Call .eval() on what is frozen.",
        ),
        Mistake(
            "everything in inference mode",
            _frozen_where(_right_weights, lambda network, paths: network.eval()),
            "You put the whole network into inference mode. Only the frozen modules belong there; what learns is in "
            "training mode.",
        ),
        Mistake(
            "mode left as it was",
            _frozen_where(
                _right_weights, lambda network, paths: [network.get_submodule(path).eval() for path in paths]
            ),
            "You put nothing into training mode. The network may come from somebody who had called .eval(): begin with "
            "network.train().",
        ),
        Mistake(
            "never thawed",
            _without_thawing,
            "You only froze. The network may come with frozen weights, and those at other paths shall learn: "
            "requires_grad is True for them.",
        ),
        Mistake(
            "half of it",
            _only_gradients,
            "You took the gradients of these weights away, and no more. The network may come with other weights frozen "
            "and in any mode: set requires_grad and the mode of all of it.",
        ),
        Mistake(
            "attribute of a module",
            _frozen_where(lambda name, paths: False, _right_modes),
            "All weights still learn. `module.requires_grad = False` only makes a new attribute that nobody reads. "
            "Take module.requires_grad_(False), or the attribute of each parameter.",
        ),
        Mistake(
            "path without its dot",
            _frozen_where(lambda name, paths: any(name.startswith(path) for path in paths), _right_modes),
            'You compared letters: with the path "1" you froze "12" as well, the head. A path ends at a dot.',
        ),
        Mistake(
            "only its own weights",
            _frozen_where(lambda name, paths: any(name.rpartition(".")[0] == path for path in paths), _right_modes),
            "You froze only what hangs on the module itself. A group is often made of modules, and the weights are "
            "theirs: take all whose name begins with the path and a dot.",
        ),
        Mistake(
            "the others frozen",
            _frozen_where(lambda name, paths: not _right_weights(name, paths), _right_modes),
            "You froze all but these. The paths name what shall not learn.",
        ),
    ),
    rights=(freeze_by_modules, freeze_by_names, freeze_by_looking_around),
    hints=(
        "First make everything learn, then take the paths out. Two things are to be set: requires_grad, and the mode.",
        "A module has .requires_grad_(True or False), with the underscore, and .train() and .eval(). All three reach "
        "the modules inside it.",
        "network.get_submodule(path) finds the module at a path. On it .requires_grad_(False) and .eval(), after "
        "network.train() and network.requires_grad_(True).",
    ),
)


# 5 · A new head -------------------------------------------------------------------------------------------------------

INPUTS = 4


class Network(nn.Module):
    """A body and a head under a name of its own, as torchvision's networks have them."""

    def __init__(self, body: nn.Module, name: str, head: nn.Module) -> None:
        super().__init__()
        self.body, self.name = body, name
        self.add_module(name, head)

    def forward(self, x: Tensor) -> Tensor:
        return self.get_submodule(self.name)(self.body(x))

    def __repr__(self) -> str:
        return f"a network whose last child is {self.name}"


def headed_network(kind: str, hidden: int, classes: int, bias: bool) -> nn.Module:
    first, last = nn.Linear(INPUTS, hidden), nn.Linear(hidden, classes, bias=bias)
    if kind == "sequential":
        return _counting(nn.Sequential(first, nn.ReLU(), last))
    if kind == "log-probabilities":
        return _counting(nn.Sequential(first, nn.ReLU(), last, nn.LogSoftmax(dim=1)))
    if kind == "fc":
        return _counting(Network(nn.Sequential(first, nn.ReLU()), "fc", last))
    between, last = nn.Linear(hidden, hidden + 1), nn.Linear(hidden + 1, classes, bias=bias)
    return _counting(Network(nn.Sequential(first, nn.ReLU()), "classifier", nn.Sequential(between, nn.ReLU(), last)))


def _counting(network: nn.Module) -> nn.Module:
    """Weights 0.1, 0.2, 0.3, ...: the same at each draw, and no two layers alike."""
    for number, weight in enumerate(network.parameters()):
        weight.data = _numbers(number, weight)
    return network


def _numbers(number: int, weight: Tensor) -> Tensor:
    return (torch.arange(weight.numel()) / 10 + number).reshape(weight.shape)


def draw_network_with_head(random: Random) -> dict[str, Any]:
    kinds = ("sequential", "fc", "classifier", "log-probabilities")
    kind, bias = random.choice(kinds), random.choice((True, False))
    network = headed_network(kind, random.integer(2, 6), random.integer(2, 9), bias)
    return {"network": network, "classes": random.integer(2, 9)}


def described_head(network: nn.Module) -> dict[str, Any]:
    linear = {name: layer for name, layer in network.named_modules() if isinstance(layer, nn.Linear)}
    *_, last = linear
    sizes = [
        f"{name}: {layer.weight.shape[1]} to {layer.weight.shape[0]}{'' if layer.bias is not None else ', no bias'}"
        for name, layer in linear.items()
    ]
    below = [weight for name, weight in network.named_parameters() if not lies_under(name, last)]
    kept = all(torch.equal(weight, _numbers(number, weight)) for number, weight in enumerate(below))
    return {
        "linear layers": "; ".join(sizes),
        "answers": _answers(network),
        "weights below the head": "as they were" if kept else "other ones",
    }


def _answers(network: nn.Module) -> str:
    try:
        with torch.no_grad():
            return f"{network(torch.ones(1, INPUTS)).shape[1]} numbers for each example"
    except RuntimeError:
        return "none: the layers do not fit together"


def new_head(network: nn.Module, classes: int) -> nn.Module:
    return transfer.new_head(network, classes)


def new_head_by_its_path(network, classes):
    path = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)][-1]
    old = network.get_submodule(path)
    parent, _, name = path.rpartition(".")
    setattr(network.get_submodule(parent), name, nn.Linear(old.in_features, classes, bias=old.bias is not None))
    return network


def new_head_by_walking_down(network, classes):
    parent, child = network, network
    while not isinstance(child, nn.Linear):
        parent = child
        for name, module in parent.named_children():
            if any(isinstance(inside, nn.Linear) for inside in module.modules()):
                last, child = name, module
    parent.register_module(last, nn.Linear(child.in_features, classes, child.bias is not None))
    return network


def new_head_of_new_weights(network, classes):
    head = [module for module in network.modules() if isinstance(module, nn.Linear)][-1]
    head.weight = nn.Parameter(torch.randn(classes, head.in_features) / head.in_features**0.5)
    if head.bias is not None:
        head.bias = nn.Parameter(torch.zeros(classes))
    head.out_features = classes
    return network


def _in_place_of_the_head(layer: Callable[[nn.Linear, int], nn.Module]) -> Callable[[nn.Module, int], nn.Module]:
    """Put another layer where the head is."""

    def replace(network: nn.Module, classes: int) -> nn.Module:
        parent, name, old = last_linear(network)
        setattr(parent, name, layer(old, classes))
        return network

    return replace


def _first_replaced(network: nn.Module, classes: int) -> nn.Module:
    path = next(name for name, module in network.named_modules() if isinstance(module, nn.Linear))
    parent, _, name = path.rpartition(".")
    setattr(network.get_submodule(parent), name, nn.Linear(INPUTS, classes))
    return network


def _is_linear(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear)


def _last_child_replaced(network: nn.Module, classes: int) -> nn.Module:
    with_layers = [(name, list(child.modules())) for name, child in network.named_children()]
    *_, (name, modules) = ((name, modules) for name, modules in with_layers if any(map(_is_linear, modules)))
    old = next(filter(_is_linear, modules))
    assert isinstance(old, nn.Linear)
    setattr(network, name, nn.Linear(old.in_features, classes, bias=last_linear(network)[2].bias is not None))
    return network


def _all_fresh(network: nn.Module, classes: int) -> nn.Module:
    network = copy.deepcopy(transfer.new_head(network, classes))
    for weight in network.parameters():
        nn.init.zeros_(weight)
    return network


NEW_HEAD = Question(
    name="new_head",
    signature="new_head(network, classes) -> network",
    draw=draw_network_with_head,
    answer=new_head,
    read=described_head,
    may_change=("network",),
    examples=(
        {"network": headed_network("sequential", 2, 3, True), "classes": 5},
        {"network": headed_network("fc", 2, 3, False), "classes": 5},
        {"network": headed_network("classifier", 2, 3, True), "classes": 5},
        {"network": headed_network("log-probabilities", 2, 3, True), "classes": 5},
    ),
    mistakes=(
        Mistake(
            "only the label changed",
            _in_place_of_the_head(lambda old, classes: old),
            "The weights of the head are the old ones. `out_features = …` is only a label on a layer: it takes a new "
            "nn.Linear.",
        ),
        Mistake(
            "one layer more",
            _in_place_of_the_head(lambda old, classes: nn.Sequential(old, nn.Linear(old.out_features, classes))),
            "You put a layer behind the old head. Your classes would then be told from the old answers: the new head "
            "takes the place of the old one, and sees the features.",
        ),
        Mistake(
            "sizes exchanged",
            _in_place_of_the_head(lambda old, classes: nn.Linear(classes, old.in_features, old.bias is not None)),
            "You exchanged the sizes. nn.Linear takes first how many features come in, then how many answers go out.",
        ),
        Mistake(
            "size of the old answers",
            _in_place_of_the_head(lambda old, classes: nn.Linear(old.out_features, classes, old.bias is not None)),
            "Your head expects as many numbers as the old one put out. It sees what the old one saw: in_features.",
        ),
        Mistake(
            "always with a bias",
            _in_place_of_the_head(lambda old, classes: nn.Linear(old.in_features, classes)),
            "The old head had no bias, and yours has one. Ask whether old.bias is None.",
        ),
        Mistake(
            "never with a bias",
            _in_place_of_the_head(lambda old, classes: nn.Linear(old.in_features, classes, bias=False)),
            "The old head had a bias, and yours has none. Ask whether old.bias is None.",
        ),
        Mistake(
            "first linear layer",
            _first_replaced,
            "You replaced the first linear layer, which reads the input. The head is the last one.",
        ),
        Mistake(
            "more than the head",
            _last_child_replaced,
            "You threw away everything that hangs on the last child. Before its last linear layer there may be others "
            "that have learned something: go down to the layer itself.",
        ),
        Mistake(
            "everything forgotten",
            _all_fresh,
            "The weights below the head are not those that you were given. They are the whole point: replace the head "
            "alone.",
        ),
    ),
    rights=(new_head_by_its_path, new_head_by_walking_down, new_head_of_new_weights),
    hints=(
        "First find the name of the last nn.Linear, then put a new one into its place. It may lie inside of something.",
        "network.named_modules() gives all names with their modules, from input to output here. What isinstance("
        "module, nn.Linear) says yes to last is the head.",
        'path.rpartition(".") cuts "classifier.2" into the parent\'s path and the name in it. network.get_submodule('
        "parent) finds the parent (itself for an empty path), and setattr(…, name, layer) puts a layer there.",
    ),
)


# 6 · Once is enough ---------------------------------------------------------------------------------------------------


def draw_body(random: Random) -> dict[str, Any]:
    channels = random.integer(1, 3)
    body = nn.Sequential(nn.BatchNorm2d(channels), nn.Conv2d(channels, 2, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2))
    norm = body[0]
    assert isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None and norm.running_var is not None
    body = body.double()
    norm.running_mean.copy_(random.tensor(channels))
    norm.running_var.copy_(random.tensor(channels, low=0.5, high=3))
    for weight in body[1].parameters():
        weight.data = random.tensor(*weight.shape, low=-1, high=1)
    batch_size = random.integer(1, 3)
    images = batch_size * random.integer(1, 3) + random.integer(0, batch_size - 1)
    return {"body": body, "x": random.tensor(images, channels, 4, 4), "batch_size": batch_size}


def body_by_hand() -> nn.Sequential:
    norm = nn.BatchNorm2d(1, eps=1e-12, dtype=torch.float64)
    assert norm.running_mean is not None and norm.running_var is not None
    norm.running_mean.fill_(1)
    norm.running_var.fill_(4)
    return nn.Sequential(norm, nn.AvgPool2d((1, 2)))


def features(body: nn.Module, x: Tensor, batch_size: int) -> Tensor:
    body.eval()
    with torch.no_grad():
        return torch.cat([body(some).flatten(1) for some in x.split(batch_size)])


def features_in_a_list(body, x, batch_size):
    body.eval()
    kept = []
    for start in range(0, len(x), batch_size):
        kept.append(body(x[start : start + batch_size]).detach().flatten(1))
    return torch.cat(kept)


@torch.inference_mode()
def features_into_a_table(body, x, batch_size):
    body = body.train(False)
    shape = body(x[:1]).shape
    table = torch.zeros(len(x), shape[1:].numel(), dtype=x.dtype)
    for start in range(0, len(x), batch_size):
        some = body(x[start : start + batch_size])
        table[start : start + len(some)] = some.reshape(len(some), -1)
    return table


def features_one_by_one(body, x, batch_size):
    body.eval().requires_grad_(False)
    return torch.stack([body(picture[None])[0].ravel() for picture in x])


def _in_training_mode(body: nn.Module, x: Tensor, batch_size: int) -> Tensor:
    body.train()
    with torch.no_grad():
        return torch.cat([body(some).flatten(1) for some in x.split(batch_size)])


def _with_gradient(body: nn.Module, x: Tensor, batch_size: int) -> Tensor:
    return torch.cat([body.eval()(some).flatten(1) for some in x.split(batch_size)])


def _maps(body: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        return body.eval()(x)


FEATURES = Question(
    name="features",
    signature="features(body, x, batch_size) -> features",
    draw=draw_body,
    answer=features,
    may_change=("body",),
    examples=(
        {"body": body_by_hand(), "x": torch.tensor([[[[1.0, 3.0], [5.0, 7.0]]]], dtype=torch.float64), "batch_size": 1},
        {
            "body": body_by_hand(),
            "x": torch.tensor([[[[1.0, 3.0], [5.0, 7.0]]], [[[3.0, 3.0], [1.0, 1.0]]]], dtype=torch.float64),
            "batch_size": 2,
        },
    ),
    properties=(Property("no gradient hangs on the features", lambda value, given: not value.requires_grad),),
    mistakes=(
        Mistake(
            "body in training mode",
            _in_training_mode,
            "The body ran in training mode, so its batch normalisation used the batch instead of what it has learned: "
            "the features of a picture then depend on its neighbours. body.eval() first.",
        ),
        Mistake(
            "gradient kept",
            _with_gradient,
            "The numbers are right, but all that went on in the body is kept for a gradient that nobody needs, and "
            "fills the memory. Compute them under torch.no_grad().",
        ),
        Mistake(
            "last pictures left out",
            lambda body, x, batch_size: features(body, x, batch_size)[: len(x) // batch_size * batch_size],
            "The pictures that do not fill a last batch are missing. In training they may sit out; here each counts.",
        ),
        Mistake(
            "only the last batch",
            lambda body, x, batch_size: features(body, x, batch_size)[(len(x) - 1) // batch_size * batch_size :],
            "You return the features of the last batch only. Collect them in a list, and join it with torch.cat.",
        ),
        Mistake(
            "not flattened",
            lambda body, x, batch_size: _maps(body, x),
            "You return maps, as they come out of the body. A head wants a row of numbers for each picture: "
            ".flatten(1).",
        ),
        Mistake(
            "pictures flattened away",
            lambda body, x, batch_size: _maps(body, x).flatten(),
            "You flattened everything into one row. The first axis, that of the pictures, stays: .flatten(1).",
        ),
        Mistake(
            "averaged over the picture",
            lambda body, x, batch_size: _maps(body, x).mean((2, 3)),
            "You averaged each map. Asked are all its numbers, in a row.",
        ),
    ),
    rights=(features_in_a_list, features_into_a_table, features_one_by_one),
    hints=(
        "Three things besides the loop: the mode of the body, no gradient, and the shape of what comes out.",
        "x.split(batch_size) gives the batches, the last one shorter. What the body makes of one is [n, …]; "
        ".flatten(1) keeps the first axis.",
        "body.eval(); under torch.no_grad() a list of body(some).flatten(1), one for each batch; torch.cat of it.",
    ),
)


# 7 · When has it paid? ------------------------------------------------------------------------------------------------


def draw_times(random: Random) -> dict[str, Any]:
    with_body = random.uniform(2, 20)
    share = random.choice((0.1, 0.3, 0.5, 0.9, 1.0, 1.2))
    return {
        "once": random.uniform(50, 3000),
        "with_body": with_body,
        "on_features": float(f"{share * with_body:.3g}"),
        "steps": random.integer(2, 30),
    }


def epochs_until_cheaper(once: float, with_body: float, on_features: float, steps: int) -> float:
    won = steps * (with_body - on_features)
    return math.floor(once / won) + 1 if won > 0 else math.inf


def epochs_until_cheaper_by_counting(once, with_body, on_features, steps):
    if on_features >= with_body:
        return math.inf
    epochs = 1
    while once + epochs * steps * on_features >= epochs * steps * with_body:
        epochs += 1
    return epochs


def epochs_until_cheaper_by_steps(once, with_body, on_features, steps):
    won_in_a_step = with_body - on_features
    if won_in_a_step <= 0:
        return float("inf")
    return 1 + int(once / won_in_a_step / steps)


def epochs_until_cheaper_in_numpy(once, with_body, on_features, steps):
    epochs = np.arange(1, 1_000_000)
    cheaper = once + epochs * (steps * on_features) < epochs * (steps * with_body)
    return int(epochs[cheaper.argmax()]) if cheaper.any() else np.inf


def _if_any_is_won(epochs: Callable[[float, float, float, int], float]) -> Callable[..., float]:
    """A function of what was spent once, what a step wins, what it costs with the body, and steps in an epoch."""

    def until(once: float, with_body: float, on_features: float, steps: int) -> float:
        won = with_body - on_features
        return epochs(once, won, with_body, steps) if won > 0 else math.inf

    return until


EPOCHS_UNTIL_CHEAPER = Question(
    name="epochs_until_cheaper",
    signature="epochs_until_cheaper(once, with_body, on_features, steps) -> epochs",
    draw=draw_times,
    answer=epochs_until_cheaper,
    examples=(
        {"once": 30.0, "with_body": 3.0, "on_features": 1.0, "steps": 10},
        {"once": 100.0, "with_body": 3.0, "on_features": 1.0, "steps": 10},
        {"once": 100.0, "with_body": 1.0, "on_features": 2.0, "steps": 10},
        {"once": 1.0, "with_body": 1.0, "on_features": 0.75, "steps": 2},
    ),
    mistakes=(
        Mistake(
            "rounded up",
            _if_any_is_won(lambda once, won, with_body, steps: math.ceil(once / (won * steps))),
            "You rounded up, which is right unless it comes out even: then both have cost the same, and the next epoch "
            "is the first that is cheaper.",
        ),
        Mistake(
            "rounded down",
            _if_any_is_won(lambda once, won, with_body, steps: math.floor(once / (won * steps))),
            "After so many whole epochs you have not won everything back yet. It takes one more.",
        ),
        Mistake(
            "not rounded",
            _if_any_is_won(lambda once, won, with_body, steps: once / (won * steps)),
            "You return the moment at which both cost the same. Asked is the first whole epoch after it.",
        ),
        Mistake(
            "steps for epochs",
            _if_any_is_won(lambda once, won, with_body, steps: math.floor(once / won) + 1),
            "You counted steps. An epoch has many of them, and wins as many times more.",
        ),
        Mistake(
            "head for nothing",
            _if_any_is_won(lambda once, won, with_body, steps: math.floor(once / (with_body * steps)) + 1),
            "You left out on_features: a step on features costs something, too. What it wins is the difference.",
        ),
        Mistake(
            "never not thought of",
            lambda once, with_body, on_features, steps: math.floor(once / (steps * (with_body - on_features))) + 1,
            "Where a step on features is no quicker, it never pays, and your number means nothing: math.inf there.",
        ),
        Mistake(
            "times of a step compared",
            _if_any_is_won(lambda once, won, with_body, steps: with_body / (with_body - won)),
            "You return how many times quicker a step is. Asked is when that has paid for what was spent before.",
        ),
    ),
    rights=(epochs_until_cheaper_by_counting, epochs_until_cheaper_by_steps, epochs_until_cheaper_in_numpy),
    hints=(
        "What does one epoch win, and how many of them win back what was spent once?",
        "An epoch wins steps · (with_body − on_features), in milliseconds. If that is not above 0, it never pays.",
        "Divide what was spent once by what an epoch wins. After so many epochs it is even; the next whole number is "
        "cheaper: round down, and one more.",
    ),
)


QUESTIONS = (FACTOR_OF, DISCRIMINATIVE, UNFREEZING, FREEZE, NEW_HEAD, FEATURES, EPOCHS_UNTIL_CHEAPER)
