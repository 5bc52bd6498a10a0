"""Learning-rate multipliers by layer group: the factor that each weight of a network has, 0 for a frozen one."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from lrlab.knobs import check_number

Factors = dict[str, float]


def factor_of(name: str, factors: Mapping[str, float]) -> float:
    """The factor of one parameter: that of the longest path it lies under, or 1.

    Args:
        name: a parameter's name, as ``model.named_parameters()`` gives it.
        factors: module path -> factor.

    >>> factor_of("layer1.0.conv1.weight", {"layer1": 0.1, "layer1.0": 0.5, "fc": 3})
    0.5
    >>> factor_of("layer2.0.conv1.weight", {"layer1": 0.1})
    1.0
    """
    paths = [path for path in factors if name == path or name.startswith(f"{path}.")]
    return float(factors[max(paths, key=len)]) if paths else 1.0


def factors_checker(names: Iterable[str]) -> Callable[[Any], Factors]:
    """A function that checks the factors of a network whose parameters have these names.

    It returns them as a dict of floats, and raises TypeError for what is no mapping from text to numbers, ValueError
    for a factor that is negative or not finite, a path that no parameter lies under, or when nothing is left to train.

    >>> factors_checker(["stem.weight", "head.weight"])({"stem": 0})
    {'stem': 0.0}
    """
    names = list(names)
    paths = list(dict.fromkeys(path for name in names for path in _paths_above(name)))

    def check(factors: Any) -> Factors:
        if not isinstance(factors, Mapping):
            raise TypeError(f'factors must be a dict such as {{"{paths[0]}": 0.1}}, path to factor; got {factors!r}')
        for path in factors:
            if path not in paths:
                near = difflib.get_close_matches(str(path), paths, 1)
                hint = f", did you mean {near[0]!r}?" if near else "."
                some = ", ".join(dict.fromkeys(name.split(".")[0] for name in names))
                raise ValueError(
                    f"factors names {path!r}, but no weight is there{hint} It has: {some}. "
                    "To name layer groups instead, such as 'head': transfer.factors(model, {...})"
                )
        checked = {
            path: check_number(f"the factor of {path!r}", factor, lambda value: value >= 0, "at least 0")
            for path, factor in factors.items()
        }
        if not any(factor_of(name, checked) for name in names):
            raise ValueError(f"factors={checked} freezes every weight, so there is nothing to train: leave one above 0")
        return checked

    return check


def _paths_above(name: str) -> list[str]:
    """``a.b.weight`` lies under ``a``, ``a.b`` and itself."""
    parts = name.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts) + 1)]


def factor_vector(named: Sequence[tuple[str, Tensor]], factors: Mapping[str, float]) -> Tensor:
    """The factor of each of the P weights, ``[P]``, in the order of the flat vector of a `Run`."""
    return torch.cat([torch.full_like(weight.detach().flatten(), factor_of(name, factors)) for name, weight in named])


def train_mode(model: nn.Module) -> None:
    """``model.train()``, except for batch normalisations that are frozen: their running statistics stay as they are.

    A frozen layer that went on to fit its statistics to the new data would give other features at each step.
    """
    model.train(True)
    for module in model.modules():
        weights = list(module.parameters(recurse=False))
        if isinstance(module, _NormBase) and weights and not any(weight.requires_grad for weight in weights):
            module.train(False)
