"""The knobs of a run: the settings that may be turned while it trains, and what each accepts."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

from lrlab import _spec, regularization, rules, schedules
from lrlab.moves import Move
from lrlab.regularization import Penalty
from lrlab.rules import Rule
from lrlab.schedules import Plateau, Schedule


@dataclass(frozen=True)
class Knobs:
    """All settings at one moment. Turning one gives new `Knobs`; a move log is a fold over this function.

    Args:
        lr: the learning rate: a number greater than 0, a schedule, or a plateau.
        rule: the update rule; ``None`` when a torch optimizer does the steps.
        batch_size: samples per step.
        weight_decay: λ ≥ 0, added to the gradient as λx. A rule with a weight decay of its own (AdamW) owns this knob.
        penalty: what is added to the loss besides, or None. Its hyperparameters (``lam``, ...) are knobs too.
        settings: the numeric settings of a torch optimizer.
        factors: learning-rate multipliers, module path to factor.
        check_batch_size: the data's own check of a batch size.
        check_factors: the model's own check of factors.
    """

    lr: float | Schedule | Plateau
    rule: Rule | None
    batch_size: int
    weight_decay: float = 0.0
    penalty: Penalty | None = None
    settings: Mapping[str, float] = field(default_factory=dict)
    factors: Mapping[str, float] = field(default_factory=dict)
    check_batch_size: Callable[[Any], int] = field(default=int, compare=False, repr=False)
    check_factors: Callable[[Any], dict[str, float]] = field(default=dict, compare=False, repr=False)

    def hyperparameters(self) -> dict[str, Any]:
        """The settings that the rule and the penalty (or the torch optimizer) bring along, by name."""
        return dict(self.settings) if self.rule is None else {**self.of_penalty(), **self.rule.hyperparameters()}

    def of_penalty(self) -> dict[str, Any]:
        """The settings of the penalty, by name."""
        return {} if self.penalty is None else self.penalty.hyperparameters()

    def names(self) -> list[str]:
        """Every knob there is."""
        own = ["lr", "batch_size"] + (["rule", "weight_decay", "penalty", "factors"] if self.rule is not None else [])
        return list(dict.fromkeys(own + list(self.hyperparameters())))

    def turned(self, knob: str, value: Any) -> Knobs:
        """The knobs with one of them at a new value.

        Raises:
            ValueError or TypeError: no such knob (the nearest is suggested), or a value it does not accept.
        """
        if knob not in self.names():
            near = difflib.get_close_matches(knob, self.names(), 1)
            hint = f", did you mean {near[0]!r}?" if near else "."
            raise ValueError(f"this run has no knob {knob!r}{hint} It has: {', '.join(self.names())}")
        if knob == "lr":
            return dataclasses.replace(self, lr=as_lr(value))
        if knob == "batch_size":
            return dataclasses.replace(self, batch_size=self.check_batch_size(value))
        if knob == "rule":
            return dataclasses.replace(self, rule=as_rule(value))
        if knob == "factors":
            return dataclasses.replace(self, factors=self.check_factors(value))
        if knob == "penalty":
            return dataclasses.replace(self, penalty=as_penalty(value))
        if self.rule is not None and knob in self.rule.hyperparameters():
            return dataclasses.replace(self, rule=dataclasses.replace(self.rule, **{knob: value}))
        if self.penalty is not None and knob in self.of_penalty():
            return dataclasses.replace(self, penalty=dataclasses.replace(self.penalty, **{knob: value}))
        if knob == "weight_decay" and self.rule is not None:
            return dataclasses.replace(self, weight_decay=check_number(knob, value, lambda v: v >= 0, "at least 0"))
        return dataclasses.replace(self, settings={**self.settings, knob: check_number(knob, value)})

    def value_of(self, knob: str) -> Any:
        """The value of a knob as the move log writes it: a number, a dict of factors, or the spec of the rest."""
        if knob in self.hyperparameters():
            return self.hyperparameters()[knob]
        value = getattr(self, knob)
        if knob == "factors":
            return dict(value)
        return _spec.to_spec(value) if dataclasses.is_dataclass(value) else value

    def after(self, moves: Iterable[Move]) -> Knobs:
        """The knobs after all these moves; an error names the move that cannot be made."""
        knobs = self
        for position, (step, knob, value) in enumerate(moves):
            try:
                knobs = knobs.turned(knob, value)
            except (TypeError, ValueError) as error:
                raise ValueError(f"move {position} (step {step}): {error}") from None
        return knobs


def check_number(
    name: str, value: Any, holds: Callable[[float], bool] = lambda value: True, allowed: str = "a real number"
) -> float:
    """The value as a float; ValueError (TypeError for what is no number) if it is not finite or not allowed."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number ({allowed}); got {value!r}")
    if not math.isfinite(value) or not holds(float(value)):
        raise ValueError(f"{name} must be {allowed} and finite; got {value!r}")
    return float(value)


def as_lr(value: Any) -> float | Schedule | Plateau:
    """The learning rate of a run: what `as_rate` takes, or a plateau, which needs the validations of a run."""
    if isinstance(value, Plateau):
        return value
    if isinstance(value, Mapping) and value.get("name") == "Plateau":
        return _spec.from_spec(value, {"Plateau": Plateau})
    return as_rate(value)


def as_rate(value: Any) -> float | Schedule:
    """A learning rate: a number greater than 0, a schedule, or the spec of one."""
    if isinstance(value, Mapping):
        return schedules.from_spec(value)
    if isinstance(value, Schedule):
        return value
    return check_number("lr", value, lambda rate: rate > 0, "greater than 0")


def as_penalty(value: Any) -> Penalty | None:
    """A penalty of `lrlab.regularization`, its spec, or None."""
    if value is None or isinstance(value, Penalty):
        return value
    if isinstance(value, Mapping):
        return _spec.from_spec(value, regularization.PENALTIES)
    raise TypeError(f"penalty must be a penalty such as regularization.L2(lam=1e-3), or None; got {value!r}")


def as_rule(value: Any) -> Rule:
    """A rule: one of `lrlab.rules`, its name, or its spec."""
    if isinstance(value, Rule):
        return value
    if isinstance(value, str):
        return rules.by_name(value)()
    if isinstance(value, Mapping):
        return _spec.from_spec(value, rules.RULES)
    if isinstance(value, type) and issubclass(value, Rule):
        raise TypeError(f"rule must be an instance: write rules.{value.__name__}() with its parentheses")
    raise TypeError(f"rule must be a rule such as rules.Momentum(rho=0.9) or its name; got {value!r}")
