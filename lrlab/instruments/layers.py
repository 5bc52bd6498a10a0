"""The layer groups of a run's network without their page: factors, how far each group has moved, the first filters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from lrlab import transfer
from lrlab._groups import fits
from lrlab.factors import factor_of
from lrlab.run import Run

MOST_FILTERS, MOST_NUMBERS = 64, 16_384  # that are shown; numbers in all of them


class Group(NamedTuple):
    """One layer group: the paths of those of its modules that the run trains, and its parameters by name."""

    paths: tuple[str, ...]
    weights: Mapping[str, Tensor]

    @property
    def outside(self) -> bool:
        """Whether the run cannot train it: its ``requires_grad`` was off when the run was made."""
        return not self.paths

    @property
    def parameters(self) -> int:
        return sum(weight.numel() for weight in self.weights.values())

    def span(self, factors: Mapping[str, float]) -> tuple[float, float]:
        """The least and the greatest factor in the group: one and the same, unless its parts were given their own."""
        inside = [name for name in self.weights if any(fits(name, path) for path in self.paths)]
        values = [factor_of(name, factors) for name in inside] or [0.0]
        return min(values), max(values)


class Layers:
    """The layer groups of a run's network, from input to output, and where their weights were when the run began."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.groups = _groups_of(run)
        start = run.model if run.step == 0 else run.fresh().model
        self._start = {name: weight.detach().clone() for name, weight in start.named_parameters()}
        convolutions = (name for name, part in run.model.named_modules() if isinstance(part, nn.Conv2d))
        self.convolution = next(convolutions, None)

    def span(self, name: str) -> tuple[float, float]:
        """The least and the greatest factor of a group, from the next step on."""
        return self.groups[name].span(self.run.factors)

    @property
    def factors(self) -> dict[str, float]:
        """The factor of each group, the greatest where there are several."""
        return {name: self.span(name)[1] for name in self.groups}

    @property
    def rates(self) -> dict[str, float]:
        """Base rate times factor, of the next step."""
        base = float(self.run.knobs["lr"])
        return {name: base * factor for name, factor in self.factors.items()}

    @property
    def frozen(self) -> list[str]:
        return [name for name, factor in self.factors.items() if not factor]

    @property
    def learning(self) -> list[str]:
        return [name for name, factor in self.factors.items() if factor]

    @property
    def next_to_thaw(self) -> str | None:
        """The frozen group nearest to the head, among those that the run can train."""
        names = [name for name in self.frozen if not self.groups[name].outside]
        return names[-1] if names else None

    def set(self, by_group: Mapping[str, float]) -> dict[str, float]:
        """Turn the run's knob ``factors`` so that these groups have these; returns those that were others before.

        Raises:
            ValueError, TypeError: no such group, a factor out of its range, a group that the run cannot train, or
                nothing would be left to train.
        """
        transfer.factors(self.run.model, by_group)  # for its errors: they name a group, the run's own a path in it
        changed = {name: float(factor) for name, factor in by_group.items() if self.span(name) != (factor, factor)}
        for name in changed:
            if self.groups[name].outside:
                raise ValueError(
                    f"the run cannot train {name!r}: its requires_grad was off when the run was made. Make the run "
                    "with it on; factors, not requires_grad, freeze and unfreeze during a run"
                )
        if not any({**self.factors, **changed}.values()):
            raise ValueError("nothing would be left to train: leave at least one group with a factor above 0")
        if changed:
            self.run.turn("factors", self._with(by_group))
        return changed

    def _with(self, by_group: Mapping[str, float]) -> dict[str, float]:
        """The run's factors with those of these groups in place of whatever lies in them now."""
        own = {path: float(factor) for name, factor in by_group.items() for path in self.groups[name].paths}
        inside = [path for path in self.run.factors if any(fits(path, mine) for mine in own)]
        kept = {path: factor for path, factor in self.run.factors.items() if path in own or path not in inside}
        return kept | own

    def timeline(self) -> list[tuple[int, list[float]]]:
        """The factor of each group from each of these steps on."""
        at = {0: self.run.config["factors"]}
        at |= {step: value for step, knob, value in self.run.moves if knob == "factors"}
        groups = self.groups.values()
        return [(step, [group.span(given)[1] for group in groups]) for step, given in at.items()]

    def turns(self) -> list[tuple[int, str, bool]]:
        """Each freezing and unfreezing: steps made, the group, and whether it learns from there on."""
        timeline = self.timeline()
        return [
            (step, name, now > 0)
            for (_, before), (step, after) in zip(timeline, timeline[1:], strict=False)
            for name, was, now in zip(self.groups, before, after, strict=True)
            if (was > 0) != (now > 0)
        ]

    def moved(self) -> dict[str, float]:
        """``‖w − w₀‖ / ‖w₀‖`` of each group; NaN for one that began with nothing but zeros."""
        return {name: self._moved(group) for name, group in self.groups.items()}

    def _moved(self, group: Group) -> float:
        start = [self._start[name] for name in group.weights]
        change = [now.detach() - before for now, before in zip(group.weights.values(), start, strict=True)]
        length = _norm(start)
        return _norm(change) / length if length else math.nan

    def filters(self) -> tuple[np.ndarray, np.ndarray] | None:
        """The weights of the first convolution at the run's start and now, ``[filters, channels, height, width]``."""
        if self.convolution is None:
            return None
        now = self.run.model.get_submodule(self.convolution).weight
        assert isinstance(now, Tensor)
        before = self._start[f"{self.convolution}.weight"]
        return before.cpu().numpy().copy(), now.detach().cpu().numpy().copy()

    def pictures(self) -> tuple[np.ndarray, np.ndarray] | None:
        """The first filters as pictures ``[n, height, width, 1 or 3]``, before and now (of other channels the mean)."""
        filters = self.filters()
        return None if filters is None else (_as_pictures(filters[0]), _as_pictures(filters[1]))


def _groups_of(run: Run) -> dict[str, Group]:
    named = dict(run.model.named_parameters())
    # A weight that the run itself has frozen asks for no gradient either.
    trained = [name for name, weight in named.items() if weight.requires_grad or not factor_of(name, run.factors)]
    groups = {}
    for name, paths in transfer.layer_groups(run.model).items():
        weights = {key: weight for key, weight in named.items() if any(fits(key, path) for path in paths)}
        groups[name] = Group(tuple(path for path in paths if any(fits(key, path) for key in trained)), weights)
    return groups


def _norm(weights: list[Tensor]) -> float:
    """The Euclidean norm of all of them together."""
    return float(torch.stack([torch.linalg.vector_norm(weight).double() for weight in weights]).norm())


def _as_pictures(weights: np.ndarray) -> np.ndarray:
    """Filters ``[n, channels, height, width]`` as pictures ``[n, height, width, 1 or 3]``, not too many of them."""
    pictures = weights.transpose(0, 2, 3, 1)
    if pictures.shape[-1] not in (1, 3):
        pictures = pictures.mean(-1, keepdims=True)
    return pictures[: max(1, min(MOST_FILTERS, MOST_NUMBERS // pictures[0].size))]
